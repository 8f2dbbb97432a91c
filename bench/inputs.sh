# bench/inputs.sh - recordings and long texts, made once and kept in $BUILD/bench/inputs, 2 GB (make clean
# removes them). Each function prints a path. Sourced by bench/lib.sh.

inputs="$BUILD/bench/inputs"

# Each is made under another name and put in place whole.
made() { [ -s "$1" ]; }
finish_input() { mv "$1" "$2"; }

# The three recordings of samples/speech, one after the other: two minutes at 44.1 kHz.
speech_wav() {
    local out="$inputs/speech.wav" name
    made "$out" || {
        samples/make-speech.sh "$inputs/speech" >&2
        for name in garden-radio night-train museum-letter; do echo "file 'speech/$name.wav'"; done >"$inputs/speech.txt"
        ffmpeg -v error -nostdin -y -f concat -safe 0 -i "$inputs/speech.txt" -ac 1 -ar 44100 "$inputs/part.wav"
        finish_input "$inputs/part.wav" "$out"
    }
    echo "$out"
}

# How each format is encoded: what a recorder or a podcast uses.
encoder() {
    case $1 in
    mp3) echo "-c:a libmp3lame -b:a 64k" ;;
    m4a) echo "-c:a aac -b:a 64k" ;;
    opus) echo "-c:a libopus -b:a 48k" ;;
    flac) echo "-c:a flac" ;;
    wav) echo "-c:a pcm_s16le" ;;
    esac
}

# looped_recording FORMAT SECONDS: the speech over and over, in stereo.
looped_recording() {
    local out="$inputs/looped-$2.$1"
    mkdir -p "$inputs"
    made "$out" || {
        ffmpeg -v error -nostdin -y -stream_loop -1 -i "$(speech_wav)" -t "$2" -ac 2 $(encoder "$1") "$inputs/part.$1"
        finish_input "$inputs/part.$1" "$out"
    }
    echo "$out"
}

# snippets mp3|m4a VOLUME: the speech as bare frames, five seconds a file. (Without a bit reservoir no
# frame of MP3 needs the one before it.)
snippets() {
    local form="-f segment -segment_time 5"
    case $1 in
    mp3) form="-reservoir 0 $form -segment_format mp3 -segment_format_options write_xing=0:id3v2_version=0" ;;
    m4a) form="$form -segment_format adts" ;;
    esac
    ffmpeg -v error -nostdin -y -i "$(speech_wav)" -af "volume=$2" $(encoder "$1") $form "$inputs/snippet-$2-%02d.$1"
}

# in_random_order FORMAT SECONDS: names of snippets, the same ones every time; those of the last minute
# are the loud ones.
in_random_order() {
    awk -v format="$1" -v seconds="$2" 'BEGIN {
        srand(7)
        for (at = 0; at < seconds + 10; at += 5)
            printf "snippet-%d-%02d.%s\n", at < seconds - 60 ? 1 : 2, int(24 * rand()), format
    }'
}

# long_recording mp3|m4a SECONDS: mono, out of snippets in an order that does not repeat, so that none of
# its pieces has been transcribed before. Only two minutes are encoded: ten hours are made in seconds.
long_recording() {
    local out="$inputs/long-$2.$1" form=mp3
    [ "$1" = mp3 ] || form=aac
    mkdir -p "$inputs"
    made "$out" || {
        snippets "$1" 1
        snippets "$1" 2
        in_random_order "$1" "$2" | (cd "$inputs" && xargs cat 2>/dev/null) |
            ffmpeg -v error -f $form -i - -t "$2" -c copy -y "$inputs/part.$1"
        rm "$inputs"/snippet-*."$1"
        finish_input "$inputs/part.$1" "$out"
    }
    echo "$out"
}

# long_text BYTES: one text of words by Zipf's law; its last line is about an armadillo.
long_text() {
    local out="$inputs/text-$1.txt" last="The very last entry tells of an armadillo."
    made "$out" || {
        mkdir -p "$inputs"
        "$BUILD/bench/bench_texts" "$inputs/text" 1 $(($1 - ${#last} - 1)) >&2
        echo "$last" >>"$inputs/text/text-000000.txt"
        finish_input "$inputs/text/text-000000.txt" "$out"
    }
    echo "$out"
}
