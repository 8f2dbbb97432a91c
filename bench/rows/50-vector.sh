# bench/rows/50-vector.sh
# exact nearest neighbours, 100,000 and 1,000,000 vectors of 1,536 dimensions, top 10
row() {
    local kind round peer million
    rm -f "$work"/vector-*
    for round in $(seq "$ROUNDS"); do
        "$BUILD/bench/bench_vector" "$work" 100000 1536 101 >>"$work/vector-aegis"
        for kind in random clustered; do
            peer sqlite-vec --vectors $kind --count 100000 --dimension 1536 --queries 11 >>"$work/vector-peer"
        done
    done
    for kind in random clustered; do
        vector_figure "$work/vector-aegis" $kind "search p50" >"$work/vector-ours"
        vector_figure "$work/vector-peer" $kind "search p50" >"$work/vector-theirs"
        emit "vector search p50, 100,000 $kind" "$(median "$work/vector-ours")" ms sqlite-vec "$(median "$work/vector-theirs")" lower
    done
    vector_figure "$work/vector-aegis" random "open and first search" >"$work/vector-open"
    emit "open the index and search once" "$(median "$work/vector-open")" ms
    vector_figure "$work/vector-aegis" random append >"$work/vector-append"
    emit "add to the index" "$(median "$work/vector-append")" vectors/s
    if [ "${BENCH_MILLION:-1}" = 1 ]; then
        million="$work/vector-million"
        "$BUILD/bench/bench_vector" "$work" 1000000 1536 31 >"$million"
        for kind in random clustered; do
            emit "vector search p50, 1,000,000 $kind" "$(vector_figure "$million" $kind "search p50")" ms
        done
    fi
    setting exactness "both exact: Aegis over float16 rows by int8 codes with a proven bound, sqlite-vec over float32 rows in memory"
    setting sqlite_vec "$(version_of sqlite-vec)"
}

# vector_figure FILE KIND NAME
vector_figure() { jq -r --arg kind "$2" --arg name "$3" 'select(.vectors == $kind and .name == $name) | .value' "$1"; }
