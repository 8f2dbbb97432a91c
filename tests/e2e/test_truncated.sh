#!/usr/bin/env bash
# Recordings that end early: dead letters before anything is paid for, and with the setting what there
# is of them, labelled wherever it is shown.
. "$(dirname "$0")/lib.sh"

fake_start
transcriptions() { requests /v1/audio/transcriptions; }

# ---- what is made: whole.FORMAT, and all but its end ----
mkdir "$work/cut" "$work/good"
espeak-ng -w "$work/words.wav" "The ferry leaves at noon from the old harbour, and nobody is to be late. Bring the blue lantern."
ffmpeg -v error -stream_loop 4 -i "$work/words.wav" -ar 44100 "$work/whole.wav"
for row in "mp3:" "flac:" "m4a:-movflags +faststart" "ogg:-c:a libvorbis" "webm:-c:a libopus"; do
    ffmpeg -v error -i "$work/whole.wav" ${row#*:} "$work/whole.${row%%:*}"
done
for format in wav mp3 flac m4a ogg webm; do
    size=$(stat -c %s "$work/whole.$format")
    head -c $((size * 6 / 10)) "$work/whole.$format" >"$work/cut/cut.$format"
done
ffmpeg -v error -i "$work/whole.wav" "$work/end.m4a" # its index is at the end
head -c $(($(stat -c %s "$work/end.m4a") / 2)) "$work/end.m4a" >"$work/cut/no-index.m4a"
cp "$work/whole.mp3" "$work/good"
printf 'A note about the lighthouse.\n' >"$work/good/note.txt"
# What states no length: a live stream that was stopped, and frames without a header.
ffmpeg -v error -i "$work/whole.wav" -c:a libopus -f webm - 2>/dev/null | head -c 20000 >"$work/good/live.webm"
ffmpeg -v error -i "$work/whole.wav" -write_xing 0 "$work/bare.mp3"
head -c 50001 "$work/bare.mp3" >"$work/good/bare.mp3"

# ---- refused ----
exits "recordings that end early fail" 4 aegis add --prefix cut "$work/cut"
for format in wav mp3 flac m4a ogg webm; do
    equal "a cut $format is dead, and why" "dead truncated" "$(aegis show --json "cut/cut/cut.$format" | jq -r '"\(.state) \(.reason)"')"
done
equal "so is one of which nothing decodes" "dead truncated" "$(aegis show --json cut/cut/no-index.m4a | jq -r '"\(.state) \(.reason)"')"
equal "nothing was asked of the provider" "0 0 0" \
    "$(transcriptions) $(requests /v1/chat/completions) $(requests /v1/embeddings)"
message=$(field cut/cut/cut.mp3 message)
contains "how much is there is told" "$(stat -c %s "$work/cut/cut.mp3") of $(stat -c %s "$work/whole.mp3") bytes" "$message"
contains "and what to do" "upload the whole file again, or set media.accept_truncated = true" "$message"
contains "in the dead letters too" "media.accept_truncated" "$(aegis dead list --json | jq -r '.dead[0].advice')"

exits "others are not affected" 0 aegis add --prefix good "$work/good"
equal "whole ones are not labelled, nor what states no length" "false false false" \
    "$(for name in whole.mp3 live.webm bare.mp3; do field "good/good/$name" incomplete; done | paste -sd' ')"
equal "and nothing of them is missing" 0 "$(field good/good/whole.mp3 missing_ms)"
equal "a document is not incomplete" "false 0" "$(aegis show --json good/good/note.txt | jq -r '"\(.incomplete) \(.missing_ms)"')"

# ---- accepted: the file says so, and they go round again ----
printf '[media]\naccept_truncated = yes\n' >"$data/aegis.conf"
exits "they are redriven" 0 aegis dead redrive --all
before=$(transcriptions)
exits "and worked on; of one nothing can be had" 4 aegis serve --until-idle
for format in wav mp3 flac m4a ogg webm; do
    shown=$(aegis show --json "cut/cut/cut.$format")
    equal "a cut $format is published, labelled" "succeeded true content" "$(jq -r '"\(.state) \(.incomplete) \(.outcome)"' <<<"$shown")"
    case $format in
    ogg) equal "$format: how much is missing is not known" null "$(jq .missing_ms <<<"$shown")" ;;
    *) equal "$format: what is missing and what is there make the whole" true \
        "$(jq --argjson whole "$(field good/good/whole.mp3 duration_ms)" '.missing_ms > 0 and .duration_ms > 0 and (.missing_ms + .duration_ms - $whole | fabs) < $whole / 10' <<<"$shown")" ;;
    esac
done
equal "each was transcribed once" 6 "$(($(transcriptions) - before))"
equal "what cannot be decoded stays dead" "dead truncated" "$(aegis show --json cut/cut/no-index.m4a | jq -r '"\(.state) \(.reason)"')"

# ---- labelled wherever it is shown ----
key=cut/cut/cut.mp3
contains "show" "[incomplete transcript]" "$(aegis show $key | head -1)"
contains "show says how much" "of the recording: it ends early" "$(aegis show $key | grep missing)"
equal "transcript" "[incomplete transcript]" "$(aegis transcript $key | head -1)"
contains "as VTT" "NOTE incomplete transcript" "$(aegis transcript --format vtt $key)"
contains "as SRT, on the side" "incomplete transcript" "$(aegis transcript --format srt $key 2>&1 >/dev/null)"
equal "as JSON" true "$(aegis transcript --json $key | jq .incomplete)"
contains "summary" "[incomplete transcript]" "$(aegis summary $key | head -1)"
equal "summary as JSON" true "$(aegis summary --json $key | jq .incomplete)"
contains "list" "incomplete" "$(aegis list --prefix $key)"
contains "search" "[incomplete]" "$(aegis search --prefix $key recording)"
equal "search as JSON" true "$(aegis search --json --prefix $key recording | jq '.hits[0].incomplete')"
equal "whole ones are not" false "$(aegis search --json --prefix good/good/whole recording | jq '.hits[0].incomplete')"
contains "ask" "[incomplete]" "$(aegis --set provider.answer=offline ask --prefix $key "How long does the recording last?" 2>&1)"
rm "$data/aegis.conf"
exits "one at a time, by environment" 0 env AEGIS_ACCEPT_TRUNCATED=true "$AEGIS" --data "$data" add --prefix again "$work/cut/cut.flac"
contains "added: labelled" "incomplete" "$out"
done_testing
