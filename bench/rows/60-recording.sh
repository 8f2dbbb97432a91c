# bench/rows/60-recording.sh
# recordings of 1 and 10 hours through the whole pipeline: time, memory
row() {
    local hours format
    for hours in ${BENCH_HOURS:-1 10}; do
        for format in mp3 m4a; do recording "$hours" $format; done
    done
    setting recordings "speech by espeak-ng, 44.1 kHz mono, 64 kbit/s, in an order that does not repeat; gpt-transcribe, so pieces of 45 s at most"
    setting measured "aegis add --detach, then aegis serve --until-idle; a provider that answers at once"
}

recording() {
    local seconds=$(($1 * 3600)) name before
    name="$1-hour $(echo "$2" | tr a-z A-Z)"
    before=$(calls /v1/audio/transcriptions)
    run_whole "$(long_recording "$2" $seconds)"
    check_stored
    check_transcript $seconds $(($(calls /v1/audio/transcriptions) - before))
    emit "$name: upload to results" "$(whole seconds)" s
    emit "$name: sound worked off" "$(jq -n "$seconds / $(whole seconds)")" "s a second"
    emit_memory "$name"
}
