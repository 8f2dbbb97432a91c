# bench/rows/16-scaling-postgres.sh
# 1, 2, 4 and 8 worker processes on one PostgreSQL, a model that takes 500 ms a call
row() {
    local workers=${BENCH_SCALING_WORKERS:-32} latency=500 calls=2 waves=${BENCH_SCALING_WAVES:-20} processes ideal one="" rate
    for processes in 1 2 4 8; do
        ideal=$((processes * workers * 1000 / (latency * calls)))
        run_aegis_processes "$processes" $((processes * workers * waves)) $latency "$workers"
        rate=$(report jobs_per_second)
        one=${one:-$rate}
        emit "worker processes: $processes" "$rate" jobs/s "all workers waiting for the model" "$ideal"
        emit "worker processes: $processes, times one" "$(jq -n "$rate / $one")" times "in a line" "$processes"
        emit "worker processes: $processes, processor time of PostgreSQL per 1,000 jobs" \
            "$(per_thousand "$(cat "$work/server-cpu")" "$(report jobs)")" s
        emit "worker processes: $processes, of all workers per 1,000 jobs" \
            "$(per_thousand "$(measure cpu_seconds)" "$(report jobs)")" s
    done
    setting aegis "worker --until-idle --workers $workers, $calls calls of $latency ms a job, $waves waves of jobs; starting included"
    setting server "$(postgres_settings server_version fsync synchronous_commit full_page_writes wal_compression shared_buffers max_wal_size work_mem autovacuum)"
}
