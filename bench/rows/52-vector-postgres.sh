# bench/rows/52-vector-postgres.sh
# nearest neighbours on PostgreSQL (HNSW over halfvec), 100,000 clustered vectors of 1,536 dimensions, top 10, beside the embedded index
row() {
    local url ef p out="$work/vector-postgres"
    url=$(tests/support/postgres.sh start "$work/postgres" -c shared_buffers=1GB -c maintenance_work_mem=1GB \
        -c max_wal_size=4GB -c jit=off) || return 0
    "$BUILD/bench/bench_vector_postgres" "$url" "$work" 100000 1536 101 >"$out"
    emit "build the HNSW index" "$(pg_figure "$out" postgres "build the index")" s
    emit "add to the HNSW index" "$(pg_figure "$out" postgres "add to the index")" vectors/s
    emit "size of the HNSW index" "$(pg_figure "$out" postgres "size of the index")" MB
    for ef in 40 200 400 800; do
        emit "recall@10, ef_search $ef" "$(pg_figure "$out" postgres "recall@10, ef_search $ef")" "of 1"
        for p in p50 p99; do
            emit "vector search $p on PostgreSQL, ef_search $ef" \
                "$(pg_figure "$out" postgres "search, ef_search $ef $p")" ms \
                "embedded index" "$(pg_figure "$out" embedded "search, ef_search $ef $p")" lower
        done
    done
    emit "vector search p50 on PostgreSQL, filter of 1%" "$(pg_figure "$out" postgres "search in 1% p50")" ms
    emit "vector search p50 on PostgreSQL, filter of 19%" "$(pg_figure "$out" postgres "search in 19% p50")" ms
    setting exactness "PostgreSQL: approximate, recall against the embedded index, which is exact; the same queries in turn"
    setting postgres "$(psql -AtX "$url" -c 'SHOW server_version')"
    setting load "$(cut -d' ' -f1 /proc/loadavg) at the end"
}

# pg_figure FILE ENGINE NAME
pg_figure() { jq -r --arg engine "$2" --arg name "$3" 'select(.engine == $engine and .name == $name) | .value' "$1"; }
