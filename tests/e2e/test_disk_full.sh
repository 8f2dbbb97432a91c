#!/usr/bin/env bash
# A full disk: uploads are refused in one line, what was acknowledged is all there, a service pauses, and
# work goes on when there is room. Needs a small file system of its own, so root.
. "$(dirname "$0")/lib.sh"

disk="$work/disk"
mkdir "$disk"
if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=96m aegis-test "$disk" 2>"$work/mount.log"; then
    echo "1..0 # SKIP a small file system cannot be mounted here (needs root): $(cat "$work/mount.log" 2>/dev/null)"
    exit 77
fi
# The service is stopped before its disk goes away.
unmount() {
    local pid
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    umount "$disk" 2>/dev/null || umount -l "$disk"
    cleanup
}
trap unmount EXIT
data="$disk/data"

# Recordings of silence, each of its own length: large, and quick to work on.
mkdir "$work/in"
for i in $(seq 40); do
    ffmpeg -loglevel error -f lavfi -i anullsrc=r=16000:cl=mono -t "$((60 + i))" "$work/in/silence-$i.wav"
done
printf 'The dam was opened at noon.\n' >"$work/dam.txt"

# ---- uploads until it is full ----
head -c 20M /dev/zero >"$disk/ballast"
exits "what does not fit is refused" 5 aegis add --detach --json "$work/in"
equal "in one line" 1 "$(printf '%s\n' "$out" | grep -c '^aegis:')"
contains "that says what to do" "free some" "$out"
stored=$(printf '%s\n' "$out" | sed '/^aegis:/d' | jq .stored)
if [ "${stored:-0}" -gt 0 ] && [ "$stored" -lt 40 ]; then pass "some were taken before"; else fail "some were taken before" "$stored"; fi
equal "each that was acknowledged has its medium" "$stored" "$(aegis list --json --limit 0 | jq '.media | length')"
equal "and its job" "$stored" "$(aegis jobs --json --limit 0 | jq '.jobs | length')"
head -c 2M /dev/zero >"$disk/more-ballast"
exits "a small one is refused too" 5 aegis add --detach "$work/dam.txt"
equal "and leaves nothing" "$stored" "$(aegis list --json --limit 0 | jq '.media | length')"
equal "no draft is left behind" "$stored" "$(find "$data/objects" -type f | wc -l)"
exits "what was accepted is worked on meanwhile" 0 aegis serve --until-idle
equal "all of it" "$stored" "$(aegis jobs --json --limit 0 --state succeeded | jq '.jobs | length')"

# ---- room is made ----
rm "$disk/ballast" "$disk/more-ballast"
mv "$work/in" "$work/kept" && mkdir "$work/in" && cp "$work/kept"/silence-{1,2,3,38,39,40}.wav "$work/in"
exits "with room the same command goes on" 0 aegis add --detach --json "$work/in"
out=$(aegis add --detach --json "$work/in")
equal "what was there is not taken again" "6 unchanged, 0 stored" "$(jq -r '"\(.unchanged) unchanged, \(.stored) stored"' <<<"$out")"
exits "and all is worked off" 0 aegis serve --until-idle
equal "without a failure" 0 "$(aegis jobs --json --limit 0 | jq '[.jobs[] | select(.state != "succeeded")] | length')"

# ---- while a service runs ----
fake_start --latency-ms 1000
"$AEGIS" --data "$data" --set workers=4 --set queue.visibility=4s serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 10 grep -q serve.ready "$work/serve.log"
mkdir "$work/reports"
for i in $(seq 12); do
    printf 'Report %d on the river. It rose by %d centimetres in the night.\n' "$i" "$i" >"$work/reports/r-$i.txt"
done
exits "reports are queued" 0 aegis add --detach --prefix w "$work/reports"
wait_until 10 eval '[ "$(requests /v1/chat/completions)" -ge 4 ]'
cat /dev/zero >"$disk/ballast" 2>/dev/null
wait_until 20 grep -q pipeline.paused "$work/serve.log"
contains "a full disk pauses the service" disk_full "$(grep pipeline.paused "$work/serve.log")"
wait_until 3 eval '[ "$(grep -c failed "$work/serve.log")" -gt 100 ]' && fail "it does not fill its log with it" "$(tail -3 "$work/serve.log")"
if kill -0 "$serve" 2>/dev/null; then pass "it lives on"; else fail "it lives on" "$(tail -5 "$work/serve.log")"; fi
rm "$disk/ballast"
done_reports() { aegis jobs --json --limit 0 --state succeeded | jq '[.jobs[] | select(.key | startswith("w/"))] | length'; }
wait_until 30 eval '[ "$(done_reports)" = 12 ]'
equal "with room it goes on by itself" 12 "$(done_reports)"
equal "nothing became a dead letter" 0 "$(aegis dead --json | jq '.dead | length')"
equal "no attempt was burnt" "1" "$(aegis jobs --json --limit 12 | jq -r '[.jobs[].attempts] | unique | join(" ")')"
kill -TERM "$serve"
wait "$serve"
equal "it stops cleanly" 0 $?
equal "each summary was paid for once" 12 "$(requests /v1/chat/completions ok)"
for file in aegis objects queue; do
    equal "$file.db is whole" ok "$(sqlite3 "$data/$file.db" 'PRAGMA integrity_check')"
done
contains "and what was written is found" r-7.txt "$(aegis search --json '"7 centimetres"')"
done_testing
