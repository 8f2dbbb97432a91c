# bench/rows/15-throughput-postgres.sh
# jobs per second on PostgreSQL with a model that answers at once, and what they cost in processor time
row() {
    local jobs=${BENCH_PG_JOBS:-12000} peer_jobs=${BENCH_PG_PEER_JOBS:-6000} workers=${BENCH_WORKERS:-192} round
    rm -f "$work"/pg-*
    for round in $(seq "$ROUNDS"); do
        run_aegis_postgres "$jobs" 0 "$workers"
        note_postgres aegis "$jobs"
        counting_server settle_words
        note pg-aegis-settled "$(jq -n "$(tail -n 1 "$work/pg-aegis-server") + $(per_thousand "$(cat "$work/server-cpu")" "$jobs")")"
        without_tables
        peer_queued pgboss "$peer_jobs"
        counting_server peer_work pgboss "$peer_jobs" 0 64
        note_postgres pgboss "$peer_jobs"
    done
    emit "end to end on PostgreSQL" "$(median "$work/pg-aegis")" jobs/s pg-boss "$(median "$work/pg-pgboss")"
    emit "processor time per 1,000 jobs" "$(median "$work/pg-aegis-cpu")" s pg-boss "$(median "$work/pg-pgboss-cpu")" lower
    emit "processor time of PostgreSQL per 1,000 jobs" "$(median "$work/pg-aegis-server")" s pg-boss "$(median "$work/pg-pgboss-server")" lower
    emit "the same, with the index of words that is left for later" "$(median "$work/pg-aegis-settled")" s pg-boss "$(median "$work/pg-pgboss-server")" lower
    emit "peak memory, on PostgreSQL" "$(median "$work/pg-aegis-rss")" MiB pg-boss "$(median "$work/pg-pgboss-rss")" lower
    setting aegis "serve --until-idle, $workers workers, $jobs jobs"
    setting peer "one process, 64 jobs in flight, 16 connections, $peer_jobs jobs"
    setting server "$(postgres_settings server_version fsync synchronous_commit full_page_writes wal_compression shared_buffers max_wal_size work_mem autovacuum)"
    setting "processor time" "of the worker process from start to end; of the server meanwhile, with a checkpoint at the end"
    setting rounds "$ROUNDS, interleaved; medians"
}

# note_postgres WHO JOBS: the figures of the round just run
note_postgres() {
    note "pg-$1" "$(report jobs_per_second)"
    note "pg-$1-cpu" "$(per_thousand "$(measure cpu_seconds)" "$2")"
    note "pg-$1-server" "$(per_thousand "$(cat "$work/server-cpu")" "$2")"
    note "pg-$1-rss" "$(measure peak_rss_mib)"
}
