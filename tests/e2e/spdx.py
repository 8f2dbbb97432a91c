"""Checks a bill of materials against what SPDX 2.3 demands of a JSON document, and against the program:
spdx.py FILE BINARY. Exits with 1 and why. (https://spdx.github.io/spdx-spec/v2.3/)
"""
import json
import re
import subprocess
import sys

bill = json.load(open(sys.argv[1]))
ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
RELATIONSHIPS = {"DESCRIBES", "DYNAMIC_LINK", "STATIC_LINK", "RUNTIME_DEPENDENCY_OF"}
PURPOSES = {"APPLICATION", "LIBRARY"}


def demand(condition, why):
    if not condition:
        sys.exit(f"spdx.py: {why}")


demand(bill.get("spdxVersion") == "SPDX-2.3" and bill.get("dataLicense") == "CC0-1.0", "version or data licence")
demand(bill.get("SPDXID") == "SPDXRef-DOCUMENT" and bill.get("name"), "the document's identifier or name")
demand(re.fullmatch(r"https?://[^\s#]+", bill.get("documentNamespace", "")), "the namespace is no URI without '#'")
info = bill["creationInfo"]
demand(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", info["created"]), "the time of creation")
demand(info["creators"] and all(re.match(r"(Tool|Person|Organization): ", c) for c in info["creators"]), "creators")
ids = {"SPDXRef-DOCUMENT"}
for p in bill["packages"]:
    who = p.get("name")
    demand(who and ID.fullmatch(p.get("SPDXID", "")) and p["SPDXID"] not in ids, f"identifier of {who}")
    ids.add(p["SPDXID"])
    demand(p.get("versionInfo"), f"version of {who}")
    demand(p.get("downloadLocation") and p.get("filesAnalyzed") is False, f"location or analysis of {who}")
    demand(p.get("primaryPackagePurpose") in PURPOSES, f"purpose of {who}")
    demand(re.match(r"Organization: |Person: |NOASSERTION", p.get("supplier", "NOASSERTION")), f"supplier of {who}")
    for ref in p.get("externalRefs", []):
        demand(ref["referenceCategory"] == "PACKAGE-MANAGER" and ref["referenceType"] == "purl"
               and re.fullmatch(r"pkg:(deb/debian|github/\w+)/[^\s@]+@[^\s@?]+(\?\S+)?", ref["referenceLocator"]),
               f"reference of {who}")
    for sum_ in p.get("checksums", []):
        demand(sum_["algorithm"] == "SHA256" and re.fullmatch("[0-9a-f]{64}", sum_["checksumValue"]), "checksum")
for r in bill["relationships"]:
    demand(r["spdxElementId"] in ids and r["relatedSpdxElement"] in ids, f"a relationship to nothing: {r}")
    demand(r["relationshipType"] in RELATIONSHIPS, f"a relationship of no known kind: {r}")
related = {r["spdxElementId"] for r in bill["relationships"]} | {r["relatedSpdxElement"] for r in bill["relationships"]}
demand(ids == related, f"nothing is said of {ids - related}")

# Every library that the program names itself belongs to a package of the bill.
names = {p["name"] for p in bill["packages"]}
needed = re.findall(r"NEEDED\s+(\S+)", subprocess.run(["objdump", "-p", sys.argv[2]], check=True, capture_output=True,
                                                      text=True).stdout)
demand(len(needed) > 5, "the program names no libraries")
owners = subprocess.run(["dpkg-query", "-S"] + [f"*/{n}" for n in needed], capture_output=True, text=True).stdout
for library in needed:
    packages = {line.split(":")[0] for line in owners.split("\n") if line.endswith("/" + library)}
    demand(packages & names, f"'{library}' of {packages} is in no package of the bill")
