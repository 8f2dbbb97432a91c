#!/usr/bin/env bash
# The workflows of GitHub Actions: what they may do and when, and that what they run exists. GitHub itself is not asked.
. "$(dirname "$0")/lib.sh"
cd "$AEGIS_SOURCE" || exit 1
/usr/bin/python3 -c 'import yaml' 2>/dev/null || { echo "1..0 # SKIP python3-yaml is not installed"; exit 77; }

mkdir "$work/scripts"
exits "triggers, permissions and pins are as they should be" 0 \
    /usr/bin/python3 tests/e2e/workflows.py . "$work/scripts"
used=$(sort -u <<<"$out")
steps=("$work"/scripts/*.sh)
[ ${#steps[@]} -gt 10 ] || fail "there are steps" "${steps[*]}"
for step in "${steps[@]}"; do
    bash -n "$step" 2>"$work/why" || fail "${step##*/} is a script" "$(cat "$work/why" "$step")"
    # GitHub runs it with -e: what fails in the middle ends it.
    ! command -v shellcheck >/dev/null || shellcheck --shell=bash --severity=warning "$step" >"$work/why" ||
        fail "${step##*/} passes shellcheck" "$(cat "$work/why")"
done
pass "${#steps[@]} steps are scripts"
while read -r what name; do
    case $what in
    make)
        # Deployment comes with the folder that it deploys.
        [ "$name" = deploy ] && [ ! -d infrastructure ] && echo "# make deploy: there is no infrastructure/" && continue
        make -n "$name" >/dev/null 2>"$work/why" || fail "make $name is a target" "$(cat "$work/why")"
        ;;
    file) [ -e "$name" ] || fail "$name exists" ;;
    *) fail "the list of what is used" "$what $name" ;;
    esac
done <<<"$used"
for name in "make test" "make asan" "make tsan" "make lint" "make deploy" "make all" "file scripts/release.sh"; do
    grep -qx "$name" <<<"$used" || fail "the workflows use: $name" "$used"
done
pass "what they run exists: $(tr '\n' ',' <<<"$used")"
if command -v actionlint >/dev/null; then
    exits "actionlint finds nothing" 0 actionlint .github/workflows/*.yml
fi

# ---- what the release consists of ----
mkdir "$work/release" "$work/again" "$work/unpacked"
exits "a release is made" 0 scripts/release.sh "$AEGIS_BUILD" "$work/release"
exits "the same release again" 0 scripts/release.sh "$AEGIS_BUILD" "$work/again"
exits "is the same bytes" 0 diff -r "$work/release" "$work/again"
exits "a tag of another version is refused" 1 scripts/release.sh "$AEGIS_BUILD" "$work/again" v0.0.0
exits "its digests are right" 0 env -C "$work/release" sha256sum --check --strict SHA256SUMS
equal "and of everything" "$(cd "$work/release" && ls | grep -vx SHA256SUMS)" \
    "$(awk '{ print $2 }' "$work/release/SHA256SUMS" | LC_ALL=C sort)"
tar -xzf "$work"/release/*.tar.gz -C "$work/unpacked"
program=$(echo "$work"/unpacked/aegis-*/bin/aegis)
equal "the program in it works" "$("$AEGIS" --version)" "$("$program" --version)"
mkdir "$work/zip"
python3 -m zipfile -e "$work"/release/*.zip "$work/zip"
exits "the other archive has the same files" 0 diff -r "$work/unpacked" "$work/zip"

bill=$(echo "$work"/release/*.spdx.json)
exits "the bill of materials is valid SPDX" 0 python3 tests/e2e/spdx.py "$bill" "$AEGIS"
sed 's/"SPDX-2.3"/"SPDX-9"/' "$bill" >"$work/wrong.json"
exits "which is more than that it exists" 1 python3 tests/e2e/spdx.py "$work/wrong.json" "$AEGIS"
jq 'del(.packages[] | select(.name == "libsqlite3-0"))' "$bill" >"$work/wrong.json"
exits "a library left out is found" 1 python3 tests/e2e/spdx.py "$work/wrong.json" "$AEGIS"
done_testing
