#!/usr/bin/env bash
# kill -9 at random moments, two processes on one directory: nothing lost, nothing done twice. The model
# takes its time, so that every kill hits jobs that are running.
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "# seed $seed"
jobs=400
rounds=4

fake_start --latency-ms 60
mkdir -p "$work/in"
for i in $(seq "$jobs"); do
    printf 'Report %d. The expedition reached camp %d and counted %d birds on the ice.\n' "$i" "$i" $((i * 7)) >"$work/in/report-$i.txt"
done
exits "the jobs are queued" 0 aegis add --detach --prefix in "$work/in"

serve() {
    "$AEGIS" --data "$data" --set queue.visibility=2s --set workers=4 serve >>"$work/serve.log" 2>&1 &
    pids+=($!)
}
in_state() { aegis jobs --json --state "$1" --limit 0 | jq '.jobs | length'; }
# running jobs of one worker process
held_by() { aegis jobs --json --state running --limit 0 | jq --arg pid ":$1" '[.jobs[] | select(.worker | endswith($pid))] | length'; }

# Each round: two services, and one is killed at a random moment of its work on a job.
interrupted=0
for round in $(seq "$rounds"); do
    serve
    victim=$!
    serve
    other=$!
    [ $((RANDOM % 2)) = 0 ] || { read -r victim other <<<"$other $victim"; }
    goal=$(($(in_state succeeded) + 5 + RANDOM % 20))
    wait_until 20 eval '[ "$(in_state succeeded)" -ge "$goal" ]' || fail "round $round: they work" "$(tail -3 "$work/serve.log")"
    kill -STOP "$victim" # it holds still, so that what it holds can be counted
    wait_until 5 grep -q '^State:.T' "/proc/$victim/status"
    held=$(held_by "$victim")
    kill -9 "$victim"
    wait "$victim" 2>/dev/null
    interrupted=$((interrupted + held))
    kill -TERM "$other"
    wait "$other"
    equal "round $round: the other one stops cleanly" 0 $?
done
if [ "$interrupted" -gt 0 ]; then pass "the kills hit $interrupted running jobs"; else fail "the kills hit running jobs"; fi

exits "what was interrupted is taken up again" 0 "$AEGIS" --data "$data" --set queue.visibility=2s --set workers=32 serve --until-idle
equal "every job succeeded" "$jobs" "$(in_state succeeded)"
equal "no other job is left" "$jobs" "$(aegis jobs --json --limit 0 | jq '.jobs | length')"
equal "each medium is there once" "$jobs" "$(aegis list --json --limit 0 | jq '[.media[].key] | unique | length')"
equal "nothing is in the dead letters" 0 "$(aegis dead --json | jq '.dead | length')"
lost=$(sqlite3 "$data/aegis.db" "SELECT sum(attempt - 1) FROM job")
equal "each interrupted attempt is on record as lost, and no other" "$interrupted" "$lost"
job=$(sqlite3 "$data/aegis.db" "SELECT job_id FROM job WHERE attempt > 1 LIMIT 1")
contains "with its history" "lost succeeded" "$(aegis jobs --json "${job:-0}" | jq -r '[.history[].outcome] | join(" ")')"

# A call that was under way when its process died may have been billed and must be made again; no other.
for path in /v1/chat/completions /v1/embeddings; do
    calls=$([ "$path" = /v1/embeddings ] && embedded || requests "$path")
    if [ "$calls" -ge "$jobs" ] && [ "$calls" -le $((jobs + interrupted)) ]; then pass "$path: no call beyond the interrupted ones"; else fail "$path: no call beyond the interrupted ones" "$calls for $jobs jobs, $interrupted interrupted"; fi
done

for file in aegis objects queue lexical; do
    equal "$file.db is whole" ok "$(sqlite3 "$data/$file.db" 'PRAGMA integrity_check' | head -1)"
done
equal "the queue is empty" 0 "$(aegis doctor --json 2>/dev/null | jq '[.queue.visible, .queue.in_flight, .queue.delayed] | add')"
contains "all are found" "report-77.txt" "$(aegis search --json '"camp 77"')"
done_testing
