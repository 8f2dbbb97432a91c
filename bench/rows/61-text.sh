# bench/rows/61-text.sh
# texts of 100 MB and 1 GB through the whole pipeline: time, memory (needs 10 GB of disk)
row() {
    local megabytes
    for megabytes in ${BENCH_MEGABYTES:-100 1000}; do text "$megabytes"; done
    setting measured "aegis add --detach, then aegis serve --until-idle; a provider that answers at once"
}

text() {
    local bytes=$(($1 * 1000000)) name="$1 MB text"
    [ "$1" != 1000 ] || name="1 GB text"
    run_whole "$(long_text $bytes)"
    check_stored
    emit "$name: upload to results" "$(whole seconds)" s
    emit "$name: chunks worked off" "$(jq -n "$(medium chunks) / $(whole seconds)")" chunks/s
    emit_memory "$name"
    # The first search takes new vectors into the index; the next one finds it made.
    measured "$AEGIS" search --json armadillo
    emit "$name: first search, takes $(medium chunks) vectors in" "$(measure seconds)" s
    check_text $bytes armadillo
    measured "$AEGIS" search --json armadillo
    emit "$name: a search afterwards, process start included" "$(measure seconds)" s
}
