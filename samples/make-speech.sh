#!/bin/sh
# Speaks the texts of samples/speech with espeak-ng: make-speech.sh DIRECTORY
#
# Voice, speed and pitch are those that PocketSphinx understands best; they were found by trial and
# are part of the samples. Recordings that are newer than their text are kept.
set -eu

here=$(dirname "$0")
out=${1:?usage: make-speech.sh DIRECTORY}

if ! command -v espeak-ng >/dev/null; then
    echo "make-speech.sh: espeak-ng is missing; install the package espeak-ng" >&2
    exit 1
fi

# speak NAME PITCH: samples/speech/NAME.txt becomes DIRECTORY/NAME.wav, whole or not at all
speak() {
    text=$here/speech/$1.txt
    wav=$out/$1.wav
    if [ -e "$wav" ] && [ -z "$(find "$text" "$0" -newer "$wav")" ]; then
        return
    fi
    espeak-ng -v en-us+f2 -s 150 -p "$2" -f "$text" -w "$wav.part"
    mv "$wav.part" "$wav"
}

mkdir -p "$out"
speak garden-radio 45
speak night-train 38
speak museum-letter 38
