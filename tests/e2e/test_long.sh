#!/usr/bin/env bash
# Long inputs in bounded memory: a text of 20 MB and a recording of half an hour, through the whole
# pipeline with a model provider. (A gigabyte and ten hours are in the benchmarks.)
. "$(dirname "$0")/lib.sh"

limit_kib=$((150 * 1024)) # all processes of Aegis together
fake_start

# ---- what is made ----
awk 'BEGIN {
    for (i = 1; bytes < 20000000; i++) {
        line = sprintf("Entry %d: the station at kilometre %d reported %d crates of lemons and a delay of %d minutes.\n",
                       i, i * 7 % 5000, i * 13 % 977, i % 60)
        if (i % 12 == 0) line = line "\n"
        bytes += length(line)
        printf "%s", line
    }
    print "The very last entry tells of an armadillo."
}' >"$work/long.txt"
espeak-ng -w "$work/one.wav" "The quick brown fox jumps over the lazy dog. The harbour was calm, and the ferry left on time. Nobody was on deck."
ffmpeg -loglevel error -stream_loop -1 -i "$work/one.wav" -t 1800 -ac 1 -ar 22050 -c:a pcm_s16le "$work/half-hour.wav"
ffmpeg -loglevel error -i "$work/half-hour.wav" -c:a libmp3lame -b:a 32k "$work/half-hour.mp3"

# ---- memory ----
# long_add DESCRIPTION ARGUMENT...: adds, measures
long_add() {
    local description=$1 peak
    shift
    "$AEGIS" --data "$data" "$@" >"$work/out" 2>&1 &
    local pid=$!
    pids+=("$pid")
    peak_of "$pid" &
    local watcher=$!
    wait "$pid"
    equal "$description goes through" 0 $?
    wait "$watcher"
    peak=$(cat "$work/peak")
    echo "# $description: $((peak / 1024)) MiB at most"
    case "$("$AEGIS" version --json 2>/dev/null; nm "$AEGIS" 2>/dev/null | grep -m1 -E '__(asan|tsan)_init')" in
    *san_init*) echo "# memory is not judged: a sanitizer has its own" ;;
    *) if [ "$peak" -gt 0 ] && [ "$peak" -le "$limit_kib" ]; then pass "$description stays within the memory"; else fail "$description stays within the memory" "$peak KiB"; fi ;;
    esac
}

# ---- a long text ----
long_add "a text of 20 MB" add --prefix l "$work/long.txt"
equal "it succeeds" succeeded "$(field l/long.txt state)"
contains "its end is found" "armadillo" "$(aegis search --json armadillo | jq -r '.hits[0].passage')"
contains "and its middle" "Entry 100000" "$(aegis search --json '"Entry 100000"' | jq -r '.hits[0].passage')"
equal "no call was asked for twice" "0 0" "$(requests /v1/embeddings errors) $(requests /v1/chat/completions errors)"

# ---- a long recording, compressed and not ----
for name in half-hour.mp3 half-hour.wav; do
    before=$(requests /v1/audio/transcriptions ok)
    long_add "$name" --set transcribe.piece=5m add --prefix l "$work/$name"
    equal "$name succeeds" succeeded "$(field "l/$name" state)"
    aegis transcript --format json "l/$name" >"$work/transcript.json"
    equal "$name: its segments are in order and do not overlap" true \
        "$(jq '[.segments[] | [.start_ms, .end_ms]] as $s | [range(1; $s | length) | $s[.][0] >= $s[. - 1][1]] | all' "$work/transcript.json")"
    equal "$name: none is empty or turned round" true "$(jq '[.segments[] | .end_ms > .start_ms] | all' "$work/transcript.json")"
    equal "$name: the first begins within the first piece" true "$(jq '.segments[0].start_ms < 300000' "$work/transcript.json")"
    equal "$name: the last ends within a piece of the end" true \
        "$(jq '.segments[-1].end_ms | . > 1800000 - 300000 and . <= 1801000' "$work/transcript.json")"
    # the fake server says of each piece how long it was
    grep -oE 'recording lasts [0-9.]+' "$work/transcript.json" | awk '{ print $3 }' >"$work/pieces"
    equal "$name: each piece was asked for once" "$(wc -l <"$work/pieces")" "$(($(requests /v1/audio/transcriptions ok) - before))"
    equal "$name: and is no longer than the limit" "" "$(awk '$1 > 300' "$work/pieces")"
    equal "$name: together they are the recording" true \
        "$(awk '{ sum += $1 } END { print (sum > 1750 && sum < 1805) ? "true" : sum }' "$work/pieces")"
    equal "$name: no piece was refused" 0 "$(requests /v1/audio/transcriptions errors)"
done
equal "the longest segment is no longer than a piece" true "$(jq '[.segments[] | .end_ms - .start_ms] | max <= 300000' "$work/transcript.json")"
contains "a passage of it has its time" true \
    "$(aegis search --json "how long the recording lasts" | jq '[.hits[] | select(.key | startswith("l/half-hour")) | .start_ms >= 0 and .end_ms <= 1801000] | length > 0 and all')"
done_testing
