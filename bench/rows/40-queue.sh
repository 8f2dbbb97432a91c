# bench/rows/40-queue.sh
# the embedded queue alone, with fsync, empty and with a backlog of 1,000,000
row() {
    "$BUILD/bench/bench_queue" --json --directory "$work" >"$work/queue"
    while IFS=$'\t' read -r name value unit; do
        emit "$name" "$value" "$unit"
    done < <(jq -r '[.name, .value, .unit] | @tsv' "$work/queue")
    setting durability "SQLite, synchronous=FULL"
}
