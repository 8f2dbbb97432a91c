# bench/rows/20-latency.sh
# a model that takes 500 ms a call, 1,000 jobs in flight
row() {
    local flight=${BENCH_FLIGHT:-1000} latency=500 waves=${BENCH_WAVES:-20} calls=2 ideal jobs round rounds=${BENCH_LATENCY_ROUNDS:-1}
    jobs=$((flight * waves))
    ideal=$((flight * 1000 / (latency * calls)))
    rm -f "$work"/latency-*
    for round in $(seq "$rounds"); do
        run_aegis "$jobs" $latency "$flight"
        note_latency aegis
        for queue in bullmq pgboss; do
            run_peer $queue "$jobs" $latency "$flight"
            note_latency $queue
        done
    done
    against_peers "1,000 in flight at 500 ms" rate 1 jobs/s
    against_peers "1,000 in flight at 500 ms, steady" steady 1 jobs/s
    against_peers "share of the ideal rate" rate "100 / $ideal" %
    against_peers "share of the ideal rate, steady" steady "100 / $ideal" %
    against_peers "peak memory, 1,000 in flight" rss 1 MiB lower
    required "share of the ideal rate, steady" "$(jq -n "$(median "$work/latency-aegis-steady") * 100 / $ideal")" % 95
    required "peak memory, 1,000 in flight" "$(jq -n "$(median "$work/latency-aegis-rss") * 1.048576")" MB 128 lower
    setting ideal "$ideal jobs/s: $flight in flight, $calls calls of $latency ms one after the other"
    setting jobs "$jobs, $waves waves of $flight; first start and last end included, steady: without the first and the last $flight to finish"
    setting rounds "$rounds"
}

# note_latency WHO: the figures of the round just run
note_latency() {
    note "latency-$1" "$(report jobs_per_second)"
    note "latency-$1-steady" "$(report steady_jobs_per_second)"
    note "latency-$1-rss" "$(measure peak_rss_mib)"
}

# against_peers NAME rate|steady|rss FACTOR UNIT [lower]
against_peers() {
    local series="-$2" queue ours
    [ "$2" != rate ] || series=""
    ours=$(jq -n "$(median "$work/latency-aegis$series") * $3")
    for queue in bullmq pgboss; do
        emit "$1" "$ours" "$4" "$([ $queue = bullmq ] && echo BullMQ || echo pg-boss)" \
            "$(jq -n "$(median "$work/latency-$queue$series") * $3")" "${5:-higher}"
    done
}
