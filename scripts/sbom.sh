#!/usr/bin/env bash
# Prints a bill of materials of the built program in SPDX 2.3 JSON (https://spdx.github.io/spdx-spec/v2.3/):
# sbom.sh BINARY VERSION. It names the Debian packages of all libraries that the program is linked with (libstemmer
# statically), of those that it loads when it needs them and of the programs that it runs (dependencies.sh runtime), and
# what third_party/ holds of code.
# The same input gives the same output, with the time of SOURCE_DATE_EPOCH, else of the last commit.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:?usage: sbom.sh BINARY VERSION}
version=${2:?usage: sbom.sh BINARY VERSION}
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct)}

# owner FILE: the package; dpkg may know a library by its place before /lib became /usr/lib
owner() {
    local path
    path=$(realpath "$1")
    { dpkg-query -S "$path" 2>/dev/null || dpkg-query -S "${path#/usr}" 2>/dev/null; } | sed -n '1s/:.*//p'
}
linked() {
    ldd "$binary" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        name=$(owner "$library")
        [ -n "$name" ] || { echo "sbom: '$library' belongs to no package" >&2 && exit 1; }
        echo "$name"
    done | sort -u
}
# packages RELATIONSHIP < NAMES: a JSON object for each
packages() {
    local name
    while read -r name; do
        # shellcheck disable=SC2016 # dpkg-query's own variables
        dpkg-query -W -f='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Homepage}\n' "$name" |
            head -1
    done | jq -R --arg how "$1" 'split("\t") | {how: $how, name: .[0], version: .[1], architecture: .[2], source: .[3],
        source_version: .[4], homepage: .[5]}'
}

linked_names=$(linked)
loaded_names=$("$here/scripts/dependencies.sh" list runtime | tr ' ' '\n' | sort -u | grep -vxF "$linked_names")
yyjson=$(sed -n 's/^#define YYJSON_VERSION_STRING *"\(.*\)"/\1/p' "$here/third_party/yyjson/yyjson.h")
{
    packages STATIC_LINK <<<libstemmer-dev
    packages DYNAMIC_LINK <<<"$linked_names"
    packages RUNTIME_DEPENDENCY_OF <<<"$loaded_names"
} | jq -s --arg version "$version" --arg yyjson "$yyjson" --arg created "$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" \
    --arg sha256 "$(sha256sum "$binary" | cut -d' ' -f1)" '
    def id: "SPDXRef-" + gsub("[^A-Za-z0-9.-]"; "-");
    def package($purpose): {downloadLocation: "NOASSERTION", filesAnalyzed: false, licenseConcluded: "NOASSERTION",
        licenseDeclared: "NOASSERTION", copyrightText: "NOASSERTION", primaryPackagePurpose: $purpose} + .;
    def purl: "pkg:deb/debian/\(.name | @uri)@\(.version | @uri)?arch=\(.architecture)&distro=debian-12";
    {
        spdxVersion: "SPDX-2.3",
        dataLicense: "CC0-1.0",
        SPDXID: "SPDXRef-DOCUMENT",
        name: "aegis-\($version)",
        documentNamespace: "https://spdx.org/spdxdocs/aegis-\($version)-\($sha256)",
        creationInfo: {created: $created, creators: ["Tool: aegis-scripts-sbom.sh"]},
        documentDescribes: ["SPDXRef-aegis"],
        packages: ([
            ({name: "aegis", SPDXID: "SPDXRef-aegis", versionInfo: $version, licenseDeclared: "MIT",
                checksums: [{algorithm: "SHA256", checksumValue: $sha256}]} | package("APPLICATION")),
            ({name: "yyjson", SPDXID: "SPDXRef-yyjson", versionInfo: $yyjson, licenseDeclared: "MIT",
                externalRefs: [{referenceCategory: "PACKAGE-MANAGER", referenceType: "purl",
                    referenceLocator: "pkg:github/ibireme/yyjson@\($yyjson)"}]} | package("LIBRARY"))
        ] + map(. as $p | {name, SPDXID: ("deb-" + .name | id), versionInfo: .version, supplier: "Organization: Debian",
            sourceInfo: "built from the Debian source package \(.source) \(.source_version)",
            externalRefs: [{referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl}]}
            + (if $p.homepage == "" then {} else {homepage: $p.homepage} end) | package("LIBRARY"))),
        relationships: ([
            {spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: "SPDXRef-aegis"},
            {spdxElementId: "SPDXRef-aegis", relationshipType: "STATIC_LINK", relatedSpdxElement: "SPDXRef-yyjson"}
        ] + map(("deb-" + .name | id) as $id | if .how != "RUNTIME_DEPENDENCY_OF"
            then {spdxElementId: "SPDXRef-aegis", relationshipType: .how, relatedSpdxElement: $id}
            else {spdxElementId: $id, relationshipType: .how, relatedSpdxElement: "SPDXRef-aegis"} end))
    }'
