#!/usr/bin/env bash
# Eight worker processes on one queue in PostgreSQL, one of them killed with kill -9 every moment: every job is done
# once, none is lost, and nothing that was recorded as paid is paid again. JOBS (20,000), SEED.
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "# seed $seed"
jobs=${JOBS:-20000}
workers=8
flight=12 # jobs of one worker at a time

postgres_start
postgres_database chaos
export DATABASE_URL=$database
fake_start --latency-ms 2
mkdir -p "$work/in"
awk -v n="$jobs" -v dir="$work/in" 'BEGIN {
    for (i = 1; i <= n; i++) {
        file = sprintf("%s/report-%05d.txt", dir, i)
        printf "Report %d. The expedition reached camp %d and counted %d birds on the ice.\n", i, i % 977, i * 7 > file
        close(file)
    }
}'
exits "the schema is made" 0 aegis db migrate
exits "the jobs are queued" 0 aegis add --detach --prefix in "$work/in"
number() { PGOPTIONS="-c search_path=aegis" sql "$database" "$1"; }
equal "all of them" "$jobs" "$(number "SELECT count(*) FROM queue_message")"

declare -a worker
start() {
    "$AEGIS" --data "$data" --set queue.visibility=10s --set workers="$flight" worker >>"$work/worker.log" 2>&1 &
    worker[$1]=$!
    pids+=($!)
    disown # its end by a signal is no news
}
succeeded() { number "SELECT sum(jobs_succeeded) FROM total"; }
for i in $(seq 0 $((workers - 1))); do start "$i"; done
kills=0
deadline=$((SECONDS + 400))
while [ "$(succeeded)" -lt "$jobs" ] && [ "$SECONDS" -lt "$deadline" ]; do
    sleep "0.$((RANDOM % 5 + 1))" # the moment of the next kill
    victim=$((RANDOM % workers))
    kill -9 "${worker[$victim]}" && kills=$((kills + 1))
    start "$victim"
done
# Who was killed between a job's end and its message's left the message to the others.
wait_until 60 eval '[ "$(number "SELECT count(*) FROM queue_message")" = 0 ]'
equal "no message is left" 0 "$(number "SELECT count(*) FROM queue_message")"
for i in $(seq 0 $((workers - 1))); do kill -TERM "${worker[$i]}"; done
wait_until 60 eval '! kill -0 "${worker[@]}" 2>/dev/null' || fail "the workers stop"
if [ "$kills" -gt 10 ]; then pass "there were $kills kills"; else fail "there were only $kills kills"; fi

equal "every job succeeded" "$jobs" "$(number "SELECT count(*) FROM job WHERE state = 4")"
equal "no other job is left" "$jobs" "$(number "SELECT count(*) FROM job")"
equal "each was done once" "$jobs" "$(number "SELECT count(*) FROM attempt WHERE outcome = 1")"
equal "each medium has its result" "$jobs" "$(number "SELECT count(DISTINCT result_id) FROM media JOIN result USING (result_id) WHERE result.state = 1")"
space=$(number "SELECT min(space_id) FROM embedding_space")
equal "each result has its passage and its embedding" "$jobs $jobs" "$(number "SELECT (SELECT count(*) FROM chunk) || ' ' || (SELECT count(*) FROM embedding_$space) + (SELECT count(*) FROM embedding_${space}_fresh)")"
equal "nothing is in the dead letters" 0 "$(number "SELECT count(*) FROM queue_dead")"
equal "the totals agree" "$jobs $jobs" "$(number "SELECT sum(published) || ' ' || sum(results) FROM total")"
lost=$(number "SELECT count(*) FROM attempt WHERE outcome = 6")
echo "# $lost attempts were lost with their workers"
[ "$lost" -gt 0 ] || fail "the kills hit running jobs"
# What a process knew alone when it died may be asked for again; what was recorded may not.
for operation in 1 2; do
    equal "operation $operation is recorded once for each medium" "$jobs $jobs" \
        "$(number "SELECT count(*) || ' ' || count(DISTINCT media_id) FROM model_call WHERE operation = $operation")"
done
again() { # WHAT COUNT
    local again=$(($2 - jobs))
    echo "# $1: $again were answered to a process that died before it could record it"
    if [ "$again" -ge 0 ] && [ "$again" -le "$lost" ]; then
        pass "$1: no more than attempts were lost"
    else
        fail "$1: $again too many, $lost attempts were lost"
    fi
}
again summaries "$(requests /v1/chat/completions ok)"
again "embedded texts" "$(embedded)"
contains "and one is found" "report-00042" "$(aegis search --json "report 42 camp 42" | jq -r '.hits[0].key // .results[0].key')"
done_testing
