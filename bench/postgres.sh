# bench/postgres.sh - Aegis on the PostgreSQL that the peers use too. Sourced by bench/lib.sh.

sql() { psql -qtAX -v ON_ERROR_STOP=1 "$(postgres_url)" -c "$1"; }

# postgres_settings NAME...: each as the server says it is.
postgres_settings() {
    local name out=""
    for name in "$@"; do out="$out${out:+, }$name=$(sql "SHOW $name")"; done
    echo "$out"
}

# Processor seconds of the server so far: its processes, and those of its that have ended.
postgres_cpu() {
    local main pid
    main=$(head -n 1 "$(find "$work/postgres" -maxdepth 2 -name postmaster.pid | head -n 1)")
    {
        awk '{ sub(/.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$main/stat"
        for pid in $(pgrep -P "$main"); do
            awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat" 2>/dev/null || true
        done
    } | awk -v hertz="$(getconf CLK_TCK)" '{ s += $1 } END { print s / hertz }'
}

# The next round has it to itself: no connection of the last one is closing, nothing waits to be written.
postgres_quiet() {
    until [ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")" = 1 ]; do sleep 0.05; done
    sql CHECKPOINT
}

# counting_server COMMAND...: runs it, the server's processor seconds meanwhile to $work/server-cpu.
counting_server() {
    local before
    postgres_quiet
    before=$(postgres_cpu)
    "$@"
    postgres_quiet
    jq -n "$(postgres_cpu) - $before" >"$work/server-cpu"
}

# settle_words: what Aegis puts off until there is time, as its collector does it: fresh chunks into the index of
# words. (The peer's are there from the start. Neither side's figures hold an index of embeddings.)
settle_words() {
    local moved
    until moved=$(sql "WITH d AS (DELETE FROM aegis.chunk_fresh WHERE chunk_id = ANY(ARRAY(SELECT chunk_id
            FROM aegis.chunk_fresh ORDER BY chunk_id LIMIT 1000)) RETURNING chunk_id, result_id, start_ms, end_ms,
            byte_offset, ordinal, text, words), i AS (INSERT INTO aegis.chunk (chunk_id, result_id, start_ms, end_ms,
            byte_offset, ordinal, text, words) SELECT * FROM d RETURNING 1) SELECT count(*) FROM i") && [ "$moved" = 0 ]; do
        :
    done
    sql "SELECT aegis.settle_words()" >/dev/null
}

# Neither side's tables are there when the other one's round begins.
without_tables() {
    PGOPTIONS="-c client_min_messages=warning" sql "DROP TABLE IF EXISTS chunk, summary, media; DROP SCHEMA IF EXISTS pgboss CASCADE; DROP SCHEMA IF EXISTS aegis CASCADE"
}

# aegis_postgres_queued JOBS LATENCY_MS: a new schema with that many jobs on its queue.
aegis_postgres_queued() {
    without_tables
    aegis_new "$2"
    export DATABASE_URL
    DATABASE_URL=$(postgres_url)
    serving "$AEGIS" db migrate >/dev/null
    serving "$AEGIS" add --detach "$(texts "$1")" >/dev/null
}

# aegis_postgres_jobs: as aegis_jobs; words that are not in their index yet are searched all the same.
aegis_postgres_jobs() {
    sql "SELECT json_build_object('jobs', count(*), 'seconds', (max(finished_ms) - min(started_ms)) / 1000.0,
            'jobs_per_second', count(*) * 1000.0 / (max(finished_ms) - min(started_ms)))
         FROM aegis.job WHERE state = 4" >"$work/out"
}

# run_aegis_postgres JOBS LATENCY_MS WORKERS: a whole round; its report is in $work/out.
run_aegis_postgres() {
    aegis_postgres_queued "$1" "$2"
    counting_server aegis_serve "$3"
    aegis_postgres_jobs
    expect "the number of jobs that succeeded" "$1" "$(report jobs)"
    unset DATABASE_URL
}

# run_aegis_processes PROCESSES JOBS LATENCY_MS WORKERS: the same with worker processes, each with WORKERS jobs
# in flight.
run_aegis_processes() {
    local processes=$1
    aegis_postgres_queued "$2" "$3"
    counting_server worker_processes "$processes" "$4"
    aegis_postgres_jobs
    expect "the number of jobs that succeeded" "$2" "$(report jobs)"
    unset DATABASE_URL
}

worker_processes() {
    local i failed=0 pids=""
    for i in $(seq "$1"); do
        "$BUILD/bench/bench_measure" "$work/measure-$i" "$AEGIS" worker --until-idle --workers "$2" \
            >"$work/worker-$i" 2>"$work/worker-$i.log" &
        pids="$pids $!"
    done
    for i in $pids; do wait "$i" || failed=$?; done
    [ $failed = 0 ] || {
        tail -qn 1 "$work"/worker-*.log >&2
        return 1
    }
    jq -s '{cpu_seconds: map(.cpu_seconds) | add, peak_rss_mib: map(.peak_rss_mib) | max}' \
        $(seq -f "$work/measure-%.0f" "$1") >"$work/measure"
}

# per_thousand SECONDS JOBS
per_thousand() { jq -n "$1 * 1000 / $2"; }
