#!/usr/bin/env bash
# Runs every fuzz target of a build for some seconds each, in parallel: run.sh BUILD SECONDS
set -uo pipefail
build=${1:?build directory}
seconds=${2:?seconds per target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
run_one() {
    local target=$1 name
    name=$(basename "$target")
    mkdir -p "$work/$name"
    if "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$work/$name-" \
        "$work/$name" >"$work/$name.log" 2>&1; then
        echo "ok   $name: $(grep -oE 'Done [0-9]+ runs' "$work/$name.log" | tail -1)"
    else
        echo "FAIL $name"
        tail -40 "$work/$name.log"
        return 1
    fi
}
running=0
for target in "$build"/tests/fuzz_*; do
    [ -x "$target" ] || continue
    run_one "$target" &
    running=$((running + 1))
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n || status=1
        running=$((running - 1))
    fi
done
while [ "$running" -gt 0 ]; do
    wait -n || status=1
    running=$((running - 1))
done
exit $status
