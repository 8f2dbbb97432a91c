# bench/rows/70-decode.sh
# decoding to pieces of 16 kHz mono, against the ffmpeg program
row() {
    local seconds=${BENCH_DECODE_SECONDS:-1200} format name
    for format in mp3 m4a opus flac wav; do
        name=$(echo $format | tr a-z A-Z)
        [ $format != opus ] || name=Opus
        TMPDIR=$work "$BUILD/bench/bench_decode" "$(looped_recording $format "$seconds")" "$ROUNDS" >"$work/decode" 2>"$work/decode.log" || {
            tail -n 3 "$work/decode.log" >&2
            return 1
        }
        expect "that the whole of $name was decoded" true "$(decoded sound value "| . > $seconds - 1 and . < $seconds + 1")"
        emit "decode $name" "$(decoded realtime value)" "s a second" ffmpeg "$(decoded realtime peer_value)"
        emit "decode $name: processor time" "$(decoded cpu value)" s ffmpeg "$(decoded cpu peer_value)" lower
        emit "decode $name: peak memory" "$(decoded child_peak_rss value)" MiB ffmpeg "$(decoded child_peak_rss peer_value)" lower
    done
    setting recordings "$seconds s of speech by espeak-ng, 44.1 kHz stereo; MP3 and AAC 64 kbit/s, Opus 48 kbit/s, WAV 16 bit"
    setting aegis "sandboxed child and receiving half: decoding, resampling, cutting at silences, writing the pieces; memory of the child"
    setting ffmpeg "$(ffmpeg -version | sed -n '1s/ Copyright.*//p'), -ar 16000 -ac 1 -f s16le to /dev/null"
    setting rounds "$ROUNDS, interleaved; medians"
}

# decoded NAME FIELD [FILTER]
decoded() { jq -r "select(.name == \"$1\") | .$2 ${3:-}" "$work/decode"; }
