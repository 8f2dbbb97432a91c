#!/usr/bin/env bash
# Dockerfile, .dockerignore and compose.yaml, as far as they can be looked at without Docker (docs/container.md says what
# else was tried).
. "$(dirname "$0")/lib.sh"
cd "$AEGIS_SOURCE" || exit 1
/usr/bin/python3 -c 'import yaml' 2>/dev/null || { echo "1..0 # SKIP python3-yaml is not installed"; exit 77; }

exits "the Dockerfile is read" 0 /usr/bin/python3 tests/container/build.py . --plan
plan=$out
instruction() { jq -r --arg word "$1" '.instructions[] | select(.[0] == $word)[1]' <<<"$plan"; }
equal "it ends as a numeric user" "10001:10001" "$(instruction USER)"
contains "the build stage installs what make does" "dependencies.sh build" "$(instruction RUN)"
contains "the last stage only what runs" "dependencies.sh runtime" "$(instruction RUN)"
contains "its health check is the program's own" 'CMD ["aegis", "health"]' "$(instruction HEALTHCHECK)"
equal "both stages begin alike" "debian:12-slim" "$(instruction FROM | sed 's/ AS .*//' | sort -u)"

# What .dockerignore lets through is enough to configure the build, and nothing else goes along.
mkdir "$work/context"
jq -r '.context[]' <<<"$plan" | tar -cf - -T - | tar -xf - -C "$work/context"
exits "the context configures" 0 cmake -G Ninja -S "$work/context" -B "$work/build" -DBUILD_TESTING=OFF
equal "and is the sources only" "CMakeLists.txt Makefile bench docs packaging scripts src third_party" \
    "$(cd "$work/context" && echo *)"

# The libraries that the program is linked with or loads late belong to packages that the last stage installs.
packages=$(scripts/dependencies.sh list runtime | tr ' ' '\n')
missing=$({ objdump -p "$AEGIS" | awk '$1 == "NEEDED" { print $2 }' && strings "$AEGIS" | grep -xE 'lib(xml2|zip|uchardet|microhttpd)\.so\.[0-9]+'; } | grep -vE '^(libc|libm|libgcc_s|lib[at]san|libubsan|ld-linux.*)\.so' |
    while read -r library; do
        owner=$(dpkg-query -S "*/$library" | sed -n '1s/:.*//p')
        grep -qx "$owner" <<<"$packages" || echo "$library of $owner"
    done)
equal "no library is missing there" "" "$missing"

exits "compose.yaml is as it should be" 0 /usr/bin/python3 - <<'PY'
import sys, yaml
compose = yaml.safe_load(open("compose.yaml"))
wrong = []
for name, s in compose["services"].items():
    if not (s.get("read_only") and s.get("cap_drop") == ["ALL"] and "cap_add" not in s):
        wrong.append(f"{name} can write to its root, or has capabilities")
    if "no-new-privileges:true" not in s.get("security_opt", []):
        wrong.append(f"{name} may gain privileges")
    if "restart" not in s:
        wrong.append(f"{name} is not started again")
    for port in s.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            wrong.append(f"{name} is reached from outside: {port}")
    for key, value in s.get("environment", {}).items():
        if any(word in key for word in ("PASSWORD", "KEY", "URL")) and not key.endswith("_FILE"):
            wrong.append(f"{name} has a secret in its environment: {key}")
    for secret in s.get("secrets", []):
        if "file" not in compose["secrets"][secret]:
            wrong.append(f"the secret {secret} is no file")
    for volume in s.get("volumes", []):
        source = volume.split(":")[0]
        if not source.startswith("./") and source not in compose["volumes"]:
            wrong.append(f"{name}: no volume {source}")
    for other, how in s.get("depends_on", {}).items():
        if how["condition"] == "service_healthy" and "healthcheck" not in compose["services"][other]:
            wrong.append(f"{name} waits for {other}, which has no health check")
sys.exit("\n".join(wrong) or 0)
PY
commands=$(/usr/bin/python3 -c 'import yaml
for s in yaml.safe_load(open("compose.yaml"))["services"].values():
    if "command" in s: print(s["command"][0])')
for command in $commands; do
    "$AEGIS" help "$command" >/dev/null || fail "compose.yaml starts a command: $command"
done
grace=$(sed -n 's/ *stop_grace_period: \([0-9]*\)s.*/\1/p' compose.yaml)
drain=$(aegis config --json | jq '.settings[] | select(.key == "drain").value / 1000')
if [ "$grace" -gt "$drain" ]; then pass "a stop waits for longer than the drain"; else fail "a stop waits for the drain" "$grace"; fi
done_testing
