# bench/rows/30-start.sh
# from the start of the process to the first job picked, on a warm disk
row() {
    local rounds=$((ROUNDS * 3)) round queue
    rm -f "$work"/start-*
    for round in $(seq 0 "$rounds"); do # round 0 warms the disk
        for queue in aegis bullmq pgboss; do
            if [ $queue = aegis ]; then run_aegis 1 0 16; else run_peer $queue 1 0 16; fi
            [ "$round" = 0 ] || note start-$queue "$(jq -n "$(report first_job_at_ms) - $(measure started_at_ms)")"
        done
    done
    local aegis
    aegis=$(median "$work/start-aegis")
    emit "start to first job" "$aegis" ms BullMQ "$(median "$work/start-bullmq")" lower
    emit "start to first job" "$aegis" ms pg-boss "$(median "$work/start-pgboss")" lower
    setting rounds "$rounds, interleaved; medians"
}
