# bench/rows/20-latency.sh
# a model that takes 500 ms a call, 1,000 jobs in flight
row() {
    local flight=1000 latency=500 waves=${BENCH_WAVES:-20} calls=2 ideal jobs round rounds=${BENCH_LATENCY_ROUNDS:-1}
    jobs=$((flight * waves))
    ideal=$((flight * 1000 / (latency * calls)))
    rm -f "$work"/latency-*
    for round in $(seq "$rounds"); do
        run_aegis "$jobs" $latency $flight
        note latency-aegis "$(report jobs_per_second)"
        note latency-aegis-rss "$(measure peak_rss_mib)"
        for queue in bullmq pgboss; do
            run_peer $queue "$jobs" $latency $flight
            note latency-$queue "$(report jobs_per_second)"
            note latency-$queue-rss "$(measure peak_rss_mib)"
        done
    done
    local aegis rss
    aegis=$(median "$work/latency-aegis")
    rss=$(median "$work/latency-aegis-rss")
    emit "1,000 in flight at 500 ms" "$aegis" jobs/s BullMQ "$(median "$work/latency-bullmq")"
    emit "1,000 in flight at 500 ms" "$aegis" jobs/s pg-boss "$(median "$work/latency-pgboss")"
    emit "share of the ideal rate" "$(jq -n "$aegis * 100 / $ideal")" % BullMQ "$(jq -n "$(median "$work/latency-bullmq") * 100 / $ideal")"
    emit "share of the ideal rate" "$(jq -n "$aegis * 100 / $ideal")" % pg-boss "$(jq -n "$(median "$work/latency-pgboss") * 100 / $ideal")"
    emit "peak memory, 1,000 in flight" "$rss" MiB BullMQ "$(median "$work/latency-bullmq-rss")" lower
    emit "peak memory, 1,000 in flight" "$rss" MiB pg-boss "$(median "$work/latency-pgboss-rss")" lower
    setting ideal "$ideal jobs/s: $flight in flight, $calls calls of $latency ms one after the other"
    setting jobs "$jobs, $waves waves; first start and last end included"
    setting rounds "$rounds"
}
