# bench/lib.sh - what the rows share. Sourced by bench/run.

. bench/inputs.sh
. bench/whole.sh
. bench/postgres.sh

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }

begin() {
    work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/aegis-bench-XXXXXX")
    chmod 711 "$work" # PostgreSQL runs as nobody if we are root
    : >"$work/rows"
    : >"$work/pids"
    mkdir -p "$(dirname "$results")"
}

clean_up() {
    local pid
    [ ! -d "$work/postgres" ] || tests/support/postgres.sh stop "$work/postgres" || true
    [ ! -d "$work/radosgw" ] || tests/support/radosgw.sh stop "$work/radosgw" || true
    [ ! -d "$work/moto" ] || tests/support/moto.sh stop "$work/moto" || true
    while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$work/pids"
    rm -rf "$work"
}

# ---- reporting ----

# emit NAME VALUE UNIT [PEER PEER_VALUE [higher|lower]]: one row. `ratio` is how many times better
# than the peer it is; higher (the default) or lower is better.
emit() {
    jq -nc --arg row "$ROW" --arg name "$1" --argjson value "$2" --arg unit "$3" --arg peer "${4:-}" \
        --argjson peer_value "${5:-null}" --arg better "${6:-higher}" '
        {row: $row, name: $name, value: $value, unit: $unit, peer: $peer, peer_value: $peer_value,
         ratio: (if $peer_value == null or $value == 0 or $peer_value == 0 then null
                 elif $better == "lower" then $peer_value / $value else $value / $peer_value end)}' >>"$work/rows"
}

# required NAME VALUE UNIT BOUND [higher|lower]: a row against what was promised for it; higher (the
# default) or lower is better. A value that misses it is told, and is no failure of the run.
required() {
    emit "$1" "$2" "$3" required "$4" "${5:-higher}"
    jq -ne --argjson value "$2" --argjson bound "$4" --arg better "${5:-higher}" \
        'if $better == "lower" then $value <= $bound else $value >= $bound end' >/dev/null ||
        say "$ROW: MISSED: $1: $2 $3, required: $4 $3"
}

# setting KEY VALUE: how this row was measured; kept beside it.
setting() {
    jq -nc --arg row "$ROW" --arg key "$1" --arg value "$2" '{row: $row, setting: {($key): $value}}' >>"$work/rows"
}

# median FILE: of numbers, one a line.
median() {
    sort -g "$1" | awk '{ v[NR] = $1 } END { if (!NR) exit 1; print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

version_of() { node -p "require('$PWD/bench/peers/node_modules/$1/package.json').version" 2>/dev/null || echo "not installed"; }

machine() {
    jq -n --arg cores "$(nproc)" --arg cpu "$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)" \
        --arg kernel "$(uname -sr)" --arg disk "$(df --output=fstype "${BENCH_DIR:-/var/tmp}" | tail -n 1)" \
        --arg aegis "$("$AEGIS" version 2>/dev/null | head -n 1)" --arg commit "$(git rev-parse --short HEAD 2>/dev/null)" \
        --arg sqlite "$(sqlite3 --version 2>/dev/null | cut -d' ' -f1)" --arg date "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
        '{date: $date, cores: $cores, cpu: $cpu, kernel: $kernel, file_system: $disk, aegis: $aegis, commit: $commit, sqlite: $sqlite}'
}

# Rows measured now replace those of the same name; the others stay as they were.
finish() {
    local old
    [ -s "$work/rows" ] || return 0
    old=$(cat "$results" 2>/dev/null || echo '{"rows":[]}')
    jq -s --argjson old "$old" --argjson machine "$(machine)" '
        (map(.row) | unique) as $done
        | (map(select(.setting)) | group_by(.row) | map({key: .[0].row, value: (map(.setting) | add)}) | from_entries) as $how
        | {machine: $machine,
           settings: (($old.settings // {}) + $how),
           rows: (($old.rows // [] | map(select(.row as $r | $done | index($r) | not))) + map(select(.name)))}' \
        "$work/rows" >"$work/latest.json"
    mv "$work/latest.json" "$results"
    jq -r --slurpfile now "$work/rows" '
        def n: if . == null then "" elif . >= 1000 then round | tostring elif . >= 100 then (. * 10 | round / 10 | tostring)
               else (. * 100 | round / 100 | tostring) end;
        ($now | map(.row) | unique) as $done
        | ["what", "Aegis", "unit", "peer", "peer has", "times better"],
          (.rows[] | select(.row as $r | $done | index($r)) | [.name, (.value | n), .unit, .peer, (.peer_value | n), (.ratio | n)])
        | @tsv' "$results" | column -t -s "$(printf '\t')"
}

# ---- services, each started when first asked for ----

remember() { echo "$1" >>"$work/pids"; }

# fake_openai LATENCY_MS: prints the base URL of a stand-in for the model provider.
fake_openai() {
    local out="$work/fake-$1"
    if [ ! -s "$out" ]; then
        "$BUILD/tests/fake_openai/fake_openai" --port 0 --latency-ms "$1" >"$out" 2>"$out.log" &
        remember $!
        disown
        until [ -s "$out" ]; do sleep 0.02; done
    fi
    echo "http://127.0.0.1:$(awk '{ print $NF; exit }' "$out")/v1"
}

# Durable as it comes (fsync and synchronous_commit on), with room to work.
postgres_url() {
    if [ ! -s "$work/postgres.url" ]; then
        tests/support/postgres.sh start "$work/postgres" -c shared_buffers=256MB -c max_wal_size=4GB \
            -c max_connections=200 -c wal_compression=lz4 >"$work/postgres.url"
    fi
    cat "$work/postgres.url"
}

# redis_socket POLICY: appendonly yes, and appendfsync POLICY (always, everysec).
redis_socket() {
    local at="$work/redis"
    if [ ! -d "$at" ]; then
        mkdir "$at"
        redis-server --port 0 --unixsocket "$at/socket" --dir "$at" --save "" --appendonly yes --appendfsync always \
            >"$at/log" 2>&1 &
        remember $!
        disown
        until redis-cli -s "$at/socket" ping >/dev/null 2>&1; do sleep 0.02; done
    fi
    redis-cli -s "$at/socket" config set appendfsync "$1" >/dev/null
    echo "$at/socket"
}

# texts COUNT: prints a directory with that many distinct texts of 4 KB.
texts() {
    [ -d "$work/texts-$1" ] || "$BUILD/bench/bench_texts" "$work/texts-$1" "$1" >&2
    echo "$work/texts-$1"
}

# ---- programs ----

# The peers bring their own Node, so that a run is the same everywhere.
node_peers() {
    local installed=bench/peers/node_modules/.package-lock.json
    if [ bench/peers/package-lock.json -nt $installed ]; then
        command -v npm >/dev/null || {
            echo "the peers need npm (apt-get install npm)" >&2
            return 1
        }
        say "installing the peers (npm)"
        # Not "npm ci": it refuses a lock file that leaves out other platforms' optional packages.
        (cd bench/peers && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
        touch $installed
    fi
    ls "$PWD"/bench/peers/node_modules/node-linux-*/bin/node
}

peer() {
    local script=$1
    shift
    "$(node_peers)" "bench/peers/$script.js" "$@"
}

# measured COMMAND...: runs it, its output to $work/out, its measure to $work/measure. What came before is on disk
# first, for Aegis and peers alike: it would be written during the measurement.
measured() { sync && "$BUILD/bench/bench_measure" "$work/measure" "$@" >"$work/out"; }
measure() { jq -r ".$1" "$work/measure"; }
measured_tree() { "$BUILD/bench/bench_measure" --tree "$work/measure" "$@" >"$work/out"; }

# serving COMMAND...: runs it; if it fails, the last lines of its log say why.
serving() {
    "$@" 2>"$work/serve.log" || {
        tail -n 3 "$work/serve.log" >&2
        return 1
    }
}

# Emptied before each round, as a new installation is.
fresh_postgres() {
    PGOPTIONS="-c client_min_messages=warning" psql -qX -v ON_ERROR_STOP=1 "$(postgres_url)" \
        -f bench/peers/schema.sql -c "DROP SCHEMA IF EXISTS pgboss CASCADE" -c CHECKPOINT
}

# run_peer bullmq|pgboss JOBS LATENCY_MS CONCURRENCY: a whole round; its report is in $work/out.
run_peer() {
    peer_queued "$1" "$2"
    peer_work "$@"
}

peer_queued() {
    fresh_postgres
    queue_of_peer=""
    if [ "$1" = bullmq ]; then
        queue_of_peer="--redis $(redis_socket "${APPENDFSYNC:-always}")"
        redis-cli -s "$work/redis/socket" flushall >/dev/null
    fi
    peer "$1" enqueue $queue_of_peer --database "$(postgres_url)" --texts "$(texts "$2")" --jobs "$2"
}

peer_work() {
    measured "$(node_peers)" "bench/peers/$1.js" work $queue_of_peer --database "$(postgres_url)" \
        --openai "$(fake_openai "$3")" --jobs "$2" --concurrency "$4" --connections 16
}

# aegis_new LATENCY_MS: a new data directory, $work/data, and a provider.
aegis_new() {
    rm -rf "$work/data"
    export AEGIS_DATA="$work/data" OPENAI_API_KEY=key OPENAI_BASE_URL
    OPENAI_BASE_URL=$(fake_openai "$1")
}

# aegis_queued JOBS LATENCY_MS: a new data directory with that many jobs on its queue.
aegis_queued() {
    aegis_new "$2"
    serving "$AEGIS" add --detach "$(texts "$1")" >/dev/null
}

# aegis_serve WORKERS: works off the queue. Then aegis_jobs says what came of it.
aegis_serve() { serving measured "$AEGIS" serve --until-idle --workers "$1"; }

# aegis_jobs SKIP: prints JSON: jobs that succeeded, from the first one's start to the end of the process:
# only then is the word index, which runs a little behind, known to be complete. The steady rate leaves
# out the first and the last SKIP jobs to finish.
aegis_jobs() {
    local ended
    ended=$(jq '.started_at_ms + .seconds * 1000' "$work/measure")
    sqlite3 -json "$work/data/aegis.db" "
        WITH done AS (SELECT a.started_ms, j.finished_ms, row_number() OVER (ORDER BY j.finished_ms) AS place
                      FROM attempt a JOIN job j USING (job_id) WHERE a.ordinal = j.ordinal AND j.state = 4),
             jobs AS (SELECT count(*) AS number, min(started_ms) AS first_ms FROM done),
             steady AS (SELECT max(finished_ms) - min(finished_ms) AS ms, count(*) - 1 AS number FROM done, jobs
                        WHERE place BETWEEN $1 AND jobs.number - $1)
        SELECT jobs.number AS jobs, first_ms AS first_job_at_ms, ($ended - first_ms) / 1000.0 AS seconds,
               jobs.number * 1000.0 / ($ended - first_ms) AS jobs_per_second,
               steady.number * 1000.0 / steady.ms AS steady_jobs_per_second
        FROM jobs, steady" | jq -c '.[0]'
}

# run_aegis JOBS LATENCY_MS WORKERS: a whole round; its report is in $work/out.
run_aegis() {
    aegis_queued "$1" "$2"
    aegis_serve "$3"
    aegis_jobs "$3" >"$work/out"
    expect "the number of jobs that succeeded" "$1" "$(report jobs)"
}

# expect WHAT EXPECTED FOUND: a result that is wrong fails the row.
expect() {
    [ "$2" = "$3" ] || {
        echo "$ROW: $1 is '$3', not '$2'" >&2
        return 1
    }
}

report() { jq -r ".$1" "$work/out"; }

# note SERIES NUMBER: collects a round's figure; median "$work/SERIES" sums them up.
note() { echo "$2" >>"$work/$1"; }
