"""Looks through the workflows of a source tree: workflows.py SOURCE SCRIPTS

Exits with 1 and one line for each thing that is wrong. Writes each `run:` step to SCRIPTS as a file, with every
${{ expression }} replaced by a word (by each of its values, where it is of the matrix), and prints the words of
`make TARGET` and the files that steps begin with, one a line: "make test", "file scripts/release.sh".
"""
import os
import re
import sys

import yaml

source, scripts = sys.argv[1], sys.argv[2]
folder = os.path.join(source, ".github/workflows")
wrong = []


def complain(name, what):
    wrong.append(f"{name}: {what}")


# What each may do, and when: a workflow that is not here is a mistake, or has to be added here.
expected = {
    "ci.yml": ({"push": {"branches": ["main", "develop"]}, "pull_request": {"branches": ["main", "develop"]}},
               {"contents": "read"}),
    "deploy.yml": ({"push": {"branches": ["main"]}}, {"contents": "read", "id-token": "write"}),
    "release.yml": ({"push": {"tags": ["v*"]}}, {"contents": "write"}),
}


def check_step(name, job, step):
    uses = step.get("uses")
    if uses and not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses):
        complain(name, f"'{uses}' is not pinned to a commit")
    if uses and uses.startswith("actions/checkout@") and step.get("with", {}).get("persist-credentials") is not False:
        complain(name, "checkout leaves its token behind")
    if bool(uses) == bool(step.get("run")):
        complain(name, f"a step of '{job}' neither runs nor uses anything, or both")
    # Texts that others write may not become a script's text: they go through the environment.
    if re.search(r"\$\{\{\s*(github\.(event|head_ref|ref_name)|inputs)", step.get("run", "")):
        complain(name, f"a script of '{job}' is put together from what others write")


def texts(job, step):
    """The script, once for each row of the matrix."""
    rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
    for row in rows:
        def value(m):
            return str(row.get(m[1].strip().removeprefix("matrix."), "EXPRESSION"))
        yield re.sub(r"\$\{\{(.*?)\}\}", value, step["run"])


def check(name, flow):
    triggers, rights = flow.get(True, flow.get("on")), {}
    if name not in expected:
        complain(name, "is not known to this test")
        return
    if triggers != expected[name][0]:
        complain(name, f"runs on {triggers}")
    if "permissions" not in flow:
        complain(name, "has whatever permissions the repository gives")
    if "concurrency" not in flow:
        complain(name, "has no concurrency")
    if name == "deploy.yml" and flow["concurrency"]["cancel-in-progress"] is not False:
        complain(name, "may be stopped half way")
    for id_, job in flow["jobs"].items():
        rights.update(flow["permissions"])
        rights.update(job.get("permissions", {}))
        if "timeout-minutes" not in job:
            complain(name, f"'{id_}' has no timeout")
        for i, step in enumerate(job["steps"]):
            check_step(name, id_, step)
            for n, text in enumerate(texts(job, step) if "run" in step else []):
                with open(os.path.join(scripts, f"{name}.{id_}.{i}.{n}.sh"), "w") as f:
                    f.write(text + "\n")
                look_for_targets(text)
    if rights != expected[name][1]:
        complain(name, f"may do {rights}")


def look_for_targets(text):
    for line in text.split("\n"):
        words = line.split()
        if words and words[0] == "make":
            print("make", *[w for w in words[1:] if re.fullmatch(r"[a-z-]+", w) and w != "-s"][:1])
        for file in re.findall(r"(?:^|\s)((?:scripts|tests|infrastructure)/[\w./-]+)", line):
            print("file", file)
        for file in re.findall(r"hashFiles\('([^']*)'\)", line):
            print("file", file)


for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name)) as f:
        content = f.read()
    check(name, yaml.safe_load(content))
    for file in re.findall(r"hashFiles\('([^']*)'\)", content):
        print("file", file)
missing = set(expected) - set(os.listdir(folder))
for name in missing:
    complain(name, "is missing")
deploy = open(os.path.join(folder, "deploy.yml")).read()
for word in ("AWS_ROLE_ARN", "AWS_ACCOUNT_ID", "AWS_REGION", "environment: production"):
    if word not in deploy:
        complain("deploy.yml", f"has no {word}")
if re.search("aws-(access-key-id|secret-access-key)", deploy):
    complain("deploy.yml", "uses a stored key")
for line in wrong:
    print(line, file=sys.stderr)
sys.exit(1 if wrong else 0)
