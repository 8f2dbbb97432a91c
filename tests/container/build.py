#!/usr/bin/env python3
"""Does what a Dockerfile says, without Docker: build.py CONTEXT DIRECTORY

Each stage becomes DIRECTORY/<name or number>, a root folder that begins as a copy of a minimal Debian 12 made
by mmdebstrap from the mirror that this machine uses. RUN steps are executed there by chroot in namespaces of
their own, COPY copies what .dockerignore lets through. Prints the last stage's settings as JSON: ENV, USER,
ENTRYPOINT, CMD, HEALTHCHECK, root. It knows no more of either format than these two files use, and stops at the
rest. Run it as root.
"""
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

context, target = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])


def stop(why):
    sys.exit(f"build.py: {why}")


def instructions(path):
    text = open(path).read()
    lines = [l for l in text.split("\n") if not l.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).split("\n"):
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def ignore_rules(path):
    return [l.strip() for l in open(path) if l.strip() and not l.startswith("#")]


def passes(name, rules):
    """Whether a file of the context goes to the build: the last rule that fits it or a folder above it."""
    taken = True
    parts = name.split("/")
    paths = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    for rule in rules:
        pattern = rule.lstrip("!").rstrip("/")
        if any(fnmatch.fnmatchcase(p, pattern) and p.count("/") == pattern.count("/") for p in paths):
            taken = rule.startswith("!")
    return taken


def context_files():
    rules = ignore_rules(os.path.join(context, ".dockerignore"))
    names = subprocess.run(["git", "-C", context, "ls-files", "-co", "--exclude-standard"], check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [n for n in names if n and passes(n, rules) and os.path.isfile(os.path.join(context, n))]


def mirror():
    for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"):
        if os.path.exists(path):
            found = re.search(r"^(?:URIs:|deb(?: \[.*\])?)\s+(https?://\S+)", open(path).read(), re.M)
            if found:
                return found[1]
    stop("no Debian mirror is named in /etc/apt")


def base():
    """As Debian's own images, dpkg does not sync there."""
    root = os.path.join(target, "base")
    if not os.path.exists(os.path.join(root, "etc/debian_version")):
        here = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " + mirror()
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates",
                        "--dpkgopt=force-unsafe-io", "bookworm", root,
                        here + " bookworm main"], check=True)
        for name in os.listdir("/etc/apt/apt.conf.d"):  # a proxy, if this machine has one
            if "proxy" in open(f"/etc/apt/apt.conf.d/{name}", errors="replace").read().lower():
                shutil.copy(f"/etc/apt/apt.conf.d/{name}", f"{root}/etc/apt/apt.conf.d/")
    return root


def run_in(root, environment, directory, command):
    # A mount namespace of its own: nothing is left mounted, whatever happens.
    script = ('set -e; mount --make-rprivate /; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; '
              'cp -L /etc/resolv.conf "$0/etc/resolv.conf" 2>/dev/null || true; '
              'exec chroot "$0" /bin/sh -c "cd $1 && $2"')
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **environment}
    env.update({k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")})
    subprocess.run(["unshare", "--mount", "--", "/bin/sh", "-c", script, root, directory, command], env=env, check=True,
                   stdout=sys.stderr)


def copy_tree(source, destination):
    subprocess.run(["cp", "-a", "--", source, destination], check=True)


def copy(stage, stages, rest):
    words = shlex.split(rest)
    origin = context
    if words[0].startswith("--from="):
        origin = stages[words.pop(0)[7:]]["root"]
    if len(words) != 2 or words[0].startswith("--"):
        stop(f"COPY {rest}: only one source and no other options are understood")
    source, destination = words
    into = os.path.join(stage["root"], os.path.join(stage["dir"], destination).lstrip("/"))
    if origin is not context:
        os.makedirs(into, exist_ok=True)
        copy_tree(os.path.join(origin, source.lstrip("/")) + "/.", into)
        return
    names = [n for n in context_files() if source == "." or n == source or n.startswith(source + "/")]
    if not names:
        stop(f"COPY {rest}: .dockerignore leaves nothing of it")
    for name in names:
        relative = name if source == "." else (os.path.basename(name) if name == source else name[len(source) + 1:])
        place = os.path.join(into, relative)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy2(os.path.join(context, name), place)


def begin(stages, rest):
    words = rest.split()
    if words[0] not in ("debian:12-slim", "debian:bookworm-slim"):
        stop(f"FROM {rest}: the only base here is debian:12-slim")
    name = words[2] if len(words) == 3 else str(len(stages))
    root = os.path.join(target, name)
    if os.path.exists(root):
        stop(f"'{root}' is there already")
    copy_tree(base(), root)
    stages[name] = {"name": name, "root": root, "dir": "/", "env": {}}
    return stages[name]


def step(stage, stages, word, rest):
    if word == "RUN":
        run_in(stage["root"], stage["env"], stage["dir"], rest)
    elif word == "COPY":
        copy(stage, stages, rest)
    elif word == "WORKDIR":
        stage["dir"] = rest
        os.makedirs(stage["root"] + rest, exist_ok=True)
    elif word == "ENV":
        stage["env"].update(w.split("=", 1) for w in shlex.split(rest))
    elif word in ("ENTRYPOINT", "CMD"):
        stage[word.lower()] = json.loads(rest)
    elif word == "HEALTHCHECK":
        stage["healthcheck"] = json.loads(rest[rest.index("CMD") + 3:])
    elif word in ("USER", "VOLUME", "STOPSIGNAL"):
        stage[word.lower()] = rest
    elif word == "LABEL":
        stage["labels"] = dict(w.split("=", 1) for w in shlex.split(rest))
    else:
        stop(f"{word} is not understood")


def main():
    os.makedirs(target, exist_ok=True)
    stages, stage = {}, None
    for word, rest in instructions(os.path.join(context, "Dockerfile")):
        print(f"{word} {rest}", file=sys.stderr, flush=True)
        if word == "FROM":
            stage = begin(stages, rest)
        else:
            step(stage, stages, word, rest)
    print(json.dumps(stage))


def plan():
    """What there is to do, without doing it: build.py CONTEXT --plan"""
    print(json.dumps({"instructions": list(instructions(os.path.join(context, "Dockerfile"))),
                      "context": context_files()}))


plan() if sys.argv[2] == "--plan" else main()
