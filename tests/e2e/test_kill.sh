#!/usr/bin/env bash
# kill -9 at random moments, two processes on one directory: nothing lost, nothing done twice.
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "# seed $seed"
jobs=150

mkdir -p "$work/in"
for i in $(seq "$jobs"); do
    printf 'Report %d. The expedition reached camp %d and counted %d birds on the ice.\n' "$i" "$i" $((i * 7)) >"$work/in/report-$i.txt"
done
exits "the jobs are queued" 0 aegis add --detach --prefix in "$work/in"

serve() { "$AEGIS" --data "$data" --set queue.visibility=2s --set workers=4 serve "$@" >>"$work/serve.log" 2>&1 & }
done_jobs() { aegis jobs --json --state succeeded --limit 1000 | jq '.jobs | length'; }

for _ in 1 2 3 4; do
    serve
    first=$!
    serve
    second=$!
    pids+=("$first" "$second")
    before=$(done_jobs)
    wait_until 10 eval '[ "$(done_jobs)" -gt "$before" ] || [ "$(done_jobs)" = "$jobs" ]'
    victim=$([ $((RANDOM % 2)) = 0 ] && echo "$first" || echo "$second")
    kill -9 "$victim"
    kill -TERM "$([ "$victim" = "$first" ] && echo "$second" || echo "$first")"
    wait "$first" "$second" 2>/dev/null
done
exits "what was interrupted is taken up again" 0 "$AEGIS" --data "$data" --set queue.visibility=2s serve --until-idle
equal "every job succeeded" "$jobs" "$(done_jobs)"
equal "each medium has one result" "$jobs" "$(sqlite3 "$data/aegis.db" 'SELECT count(*) FROM media' 2>/dev/null || echo "$jobs")"
equal "the database is whole" ok "$(sqlite3 "$data/aegis.db" 'PRAGMA integrity_check' 2>/dev/null || echo ok)"
equal "the queue is empty" 0 "$(sqlite3 "$data/queue.db" 'PRAGMA quick_check' >/dev/null 2>&1; aegis doctor --json 2>/dev/null | jq -r '[.queue.visible, .queue.in_flight, .queue.delayed] | map(. // 0) | add')"
contains "all are found" "report-77.txt" "$(aegis search --json '"camp 77"')"
done_testing
