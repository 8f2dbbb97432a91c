#!/usr/bin/env bash
# Several processes on one data directory share the work: each medium once, each content paid for once.
# A stop gives back what is under way. A database of a newer Aegis is refused and left as it is.
. "$(dirname "$0")/lib.sh"

fake_start --latency-ms 100
report() { printf 'Report %d on the glacier. It moved by %d metres last winter.\n' "$1" "$1"; }
mkdir -p "$work"/{a,b,c}
for i in $(seq 40); do report "$i" >"$work/a/r-$i.txt"; done
for i in $(seq 21 60); do report "$i" >"$work/b/r-$i.txt"; done

# ---- two `add` beside a `serve` ----
"$AEGIS" --data "$data" --set workers=8 serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 10 grep -q serve.ready "$work/serve.log"
# the same keys from two folders: half of the files are in both
(cd "$work/a" && "$AEGIS" --data "$data" add --prefix p "$work"/a/r-*.txt) >"$work/first.out" 2>&1 &
first=$!
(cd "$work/b" && "$AEGIS" --data "$data" add --prefix p "$work"/b/r-*.txt) >"$work/second.out" 2>&1 &
second=$!
pids+=("$first" "$second")
wait "$first"
equal "the first add ends well" 0 $?
wait "$second"
equal "and so does the second" 0 $?
wait_until 20 eval '[ "$(aegis jobs --json --limit 0 --state succeeded | jq ".jobs | length")" = "$(aegis jobs --json --limit 0 | jq ".jobs | length")" ]'
equal "each key is one medium" 60 "$(aegis list --json --limit 0 | jq '.media | length')"
equal "each is done" 60 "$(aegis list --json --limit 0 | jq '[.media[] | select(.state == "succeeded")] | length')"
equal "each content is summarised once" 60 "$(requests /v1/chat/completions ok)"
equal "and embedded once" 60 "$(embedded)"
if [ "$(aegis jobs --json --limit 0 | jq '[.jobs[].worker] | unique | length')" -ge 2 ]; then pass "the processes shared the work"; else fail "the processes shared the work" "$(aegis jobs --json --limit 0 | jq -c '[.jobs[].worker] | unique')"; fi

# ---- the outbox tells each job's life, in order and once ----
# The service logs the steps of all processes on the directory. odd FILTER: jobs whose steps fulfil it.
odd() {
    grep '^{' "$work/serve.log" | jq -c 'select(.event | startswith("job."))' |
        jq -sc "group_by(.job) | map({job: .[0].job, steps: map(.event[4:])} | select(.steps | $1))"
}
ends='(. == "succeeded" or . == "dead" or . == "cancelled")'
wait_until 5 eval '[ "$(odd "map($ends) | any | not")" = "[]" ]'
equal "each job was queued once, first of all" "[]" "$(odd '.[0] != "queued" or (map(select(. == "queued")) | length) != 1')"
equal "each ended once, last of all" "[]" "$(odd "(.[-1] | $ends | not) or (map(select($ends)) | length) != 1")"
equal "none was started again but after it was given back" "[]" \
    "$(odd '(map(select(. == "started")) | length) > 1 + (map(select(. == "given_back" or . == "retrying")) | length)')"

# ---- the same content under other names, while all work on it ----
mkdir "$work/same"
for i in $(seq 20); do printf 'One and the same notice about the lighthouse.\n' >"$work/same/n-$i.txt"; done
before=$(requests /v1/chat/completions ok)
exits "copies are added beside the service" 0 aegis add --prefix s "$work/same"
equal "all of them have results" 20 "$(aegis list --json --limit 0 | jq '[.media[] | select((.key | startswith("s/")) and .state == "succeeded")] | length')"
equal "which were paid for once" 1 "$(($(requests /v1/chat/completions ok) - before))"
kill -TERM "$serve"
wait "$serve"
equal "an idle service stops at once" 0 $?

# ---- SIGTERM: finish, or give back within the deadline ----
# drains LATENCY DRAIN STATES: jobs under way when the service is told to stop
drains() {
    local latency=$1 drain=$2
    control "{\"latency_ms\":$latency}"
    rm -f "$work"/c/*
    for i in $(seq 6); do printf 'Drain %s note %d about the tide.\n' "$latency" "$i" >"$work/c/d-$latency-$i.txt"; done
    aegis add --detach --prefix "$latency" "$work/c" >/dev/null 2>&1
    "$AEGIS" --data "$data" --set workers=6 --set drain="$drain" serve >"$work/drain.log" 2>&1 &
    serve=$!
    pids+=("$serve")
    wait_until 10 eval '[ "$(curl -fsS "$url/__control/stats" | jq .in_flight)" = 6 ]'
    began=$(date +%s%3N)
    kill -TERM "$serve"
    wait "$serve"
    status=$?
    took=$(($(date +%s%3N) - began))
    states=$(aegis jobs --json --limit 6 | jq -r '[.jobs[] | "\(.state) \(.attempts)"] | unique | join(", ")')
}
drains 700 20s
equal "told to stop, it exits 0" 0 "$status"
equal "what is under way is finished within the deadline" "succeeded 1" "$states"
drains 30000 1s
equal "past the deadline it exits 0 too" 0 "$status"
if [ "$took" -lt 4000 ]; then pass "soon"; else fail "soon" "$took ms"; fi
equal "and gives back what is under way, no attempt burnt" "queued 0" "$states"
control '{"latency_ms":0}'
exits "which is taken up again" 0 aegis serve --until-idle
equal "at once, not after a timeout" "succeeded 1" "$(aegis jobs --json --limit 6 | jq -r '[.jobs[] | "\(.state) \(.attempts)"] | unique | join(", ")')"

# ---- written by a newer Aegis ----
# newer FILE SQL: refused with exit 6 and not touched, whatever the command
newer() {
    local file=$1 change=$2 command before
    cp -a "$data" "$work/copy"
    sqlite3 "$data/$file" "$change; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
    rm -f "$data/$file"-{wal,shm}
    before=$(sha256sum "$data"/*.db)
    for command in "add --detach $work/a/r-1.txt" "serve --until-idle" "jobs"; do
        [ "$command $file" != "jobs queue.db" ] && [ "$command $file" != "jobs objects.db" ] || continue
        exits "$file of a newer Aegis: ${command%% *} is refused" 6 aegis $command
        equal "in one line" 1 "$(printf '%s\n' "$out" | grep -c .)"
        contains "that says so" newer "$out"
    done
    equal "$file of a newer Aegis is untouched" "$before" "$(sha256sum "$data"/*.db)"
    rm -rf "$data"
    mv "$work/copy" "$data"
}
newer aegis.db "INSERT INTO schema_migrations SELECT max(version) + 1, '9999_of_the_future', checksum, applied_ms FROM schema_migrations"
newer queue.db 'PRAGMA user_version = 9999'
newer objects.db 'PRAGMA user_version = 9999'
exits "the right one is opened again" 0 aegis doctor
done_testing
