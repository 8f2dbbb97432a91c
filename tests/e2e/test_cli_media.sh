#!/usr/bin/env bash
# Recordings, workers beside each other, logs and interruption through the command line, offline.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work/in"
espeak-ng -s 140 -w "$work/in/speech.wav" "The meeting is on Monday morning. Please bring the report and the new budget."
ffmpeg -v error -f lavfi -i anullsrc=r=16000:cl=mono -t 3 "$work/in/silence.wav"
ffmpeg -v error -i "$work/in/speech.wav" -b:a 32k "$work/in/speech.mp3"
printf 'A note about the budget meeting on Monday.\n' >"$work/in/note.txt"

# ---- recordings ----
exits "recordings are added" 0 aegis add --prefix rec "$work/in"
contains "a draft is called so" "draft" "$out"
contains "silence is an outcome" "no speech" "$out"
speech=$(aegis show --json rec/in/speech.wav)
equal "what it is" "audio true content" "$(jq -r '"\(.kind) \(.draft) \(.outcome)"' <<<"$speech")"
equal "its duration is its own" true "$(jq '.duration_ms > 2000 and .duration_ms < 20000' <<<"$speech")"
equal "silence is published" "succeeded no_speech" "$(aegis show --json rec/in/silence.wav | jq -r '"\(.state) \(.outcome)"')"
exits "silence has no transcript" 3 aegis transcript rec/in/silence.wav
transcript=$(aegis transcript --json rec/in/speech.wav)
equal "a transcript is a draft" true "$(jq .draft <<<"$transcript")"
equal "its times lie in the recording" true \
    "$(jq '. as $t | all(.segments[]; .start_ms >= 0 and .end_ms > .start_ms and .end_ms <= $t.duration_ms + 100)' <<<"$transcript")"
equal "the draft is labelled in text" "[draft transcript]" "$(aegis transcript rec/in/speech.wav | head -1)"
contains "and in VTT" "NOTE draft transcript" "$(aegis transcript rec/in/speech.wav --format vtt)"
aegis transcript rec/in/speech.wav --format vtt >"$work/speech.vtt"
exits "ffmpeg reads the VTT" 0 ffmpeg -v error -i "$work/speech.vtt" -f srt -y /dev/null
aegis transcript rec/in/speech.wav --format srt >"$work/speech.srt" 2>"$work/note"
exits "and the SRT" 0 ffmpeg -v error -i "$work/speech.srt" -f webvtt -y /dev/null
contains "for SRT it is told on the side" "draft" "$(cat "$work/note")"
word=$(jq -r '[.segments[].text | split(" ")[] | select(length > 4)][0]' <<<"$transcript")
hit=$(aegis search --json --arm words --kind audio "$word" | jq -c '.hits[0]')
equal "a word of it is found in a recording, at a time" "audio true true" \
    "$(jq -r '"\(.kind) \(.draft) \(.start_ms >= 0)"' <<<"$hit")"
contains "and shown so" " at 0:0" "$(aegis search --arm words --kind audio "$word")"

# ---- a worker beside it, and logs ----
"$AEGIS" --data "$data" serve --log-format json 2>"$work/serve.log" &
pids+=($!)
wait_until 20 grep -q serve.ready "$work/serve.log" && pass "serve says that it is ready" || fail "serve says that it is ready" "$(cat "$work/serve.log")"
printf 'Apples are picked in October.\n' >"$work/apples.txt"
exits "work is left to it" 0 aegis add --detach --prefix more "$work/apples.txt"
wait_until 20 grep -q '"job.succeeded"' "$work/serve.log"
equal "each log line is JSON" 0 "$(jq -c . "$work/serve.log" >/dev/null; echo $?)"
line=$(grep '"job.succeeded"' "$work/serve.log" | tail -1)
equal "a step names its job, trace and key" "true 32 more/apples.txt" \
    "$(jq -r '"\(.job > 0) \(.trace_id | length) \(.key)"' <<<"$line")"
contains "steps come in order" "queued started succeeded" \
    "$(jq -r 'select(.key == "more/apples.txt") | .event | sub("job."; "")' "$work/serve.log" | paste -sd' ')"
exits "adding works beside it" 0 aegis add --prefix more "$work/in/note.txt"
kill -TERM "${pids[0]}"
wait "${pids[0]}"
equal "SIGTERM is a good end" 0 $?
contains "and logged" "serve.stopped" "$(tail -1 "$work/serve.log")"
pids=()

# ---- watching ----
mkdir "$work/inbox"
printf 'Pears were there before.\n' >"$work/inbox/pears.txt"
"$AEGIS" --data "$data" watch --prefix inbox --mirror "$work/inbox" 2>"$work/watch.log" &
pids+=($!)
wait_until 20 grep -q watch.ready "$work/watch.log" && pass "watch says that it is ready" || fail "watch says that it is ready" "$(cat "$work/watch.log")"
printf 'Plums came while watching.\n' >"$work/inbox/plums.txt"
published() { [ "$(aegis show --json "$1" | jq -r .state)" = succeeded ]; }
wait_until 20 published pears.txt && pass "what was there is taken" || fail "what was there is taken" "$(cat "$work/watch.log")"
wait_until 20 published plums.txt && pass "what comes is taken" || fail "what comes is taken" "$(cat "$work/watch.log")"
rm "$work/inbox/plums.txt"
gone() { ! aegis show plums.txt; }
wait_until 20 gone && pass "what goes is forgotten" || fail "what goes is forgotten" "$(cat "$work/watch.log")"
kill -TERM "${pids[0]}"
wait "${pids[0]}"
equal "watching ends well" 0 $?
pids=()
exits "a folder that is not there" 3 aegis watch "$work/nowhere"

# ---- interrupted ----
for i in $(seq 300); do echo "Page $i of the long report on whales and their songs." >"$work/in/page-$i.txt"; done
exits "many are queued" 0 aegis add --detach --prefix many "$work/in"
"$AEGIS" --data "$data" --set workers=1 reprocess --all 2>"$work/int.log" >/dev/null &
pid=$!
wait_until 20 test -s "$work/int.log" || wait_until 5 kill -0 "$pid"
kill -INT "$pid" 2>/dev/null
wait "$pid"
status=$?
case $status in 130 | 0) pass "Ctrl-C ends it (status $status)" ;; *) fail "Ctrl-C ends it" "status $status: $(cat "$work/int.log")" ;; esac
exits "nothing is lost by it" 0 aegis serve --until-idle
equal "all are done in the end" 0 "$(aegis jobs --json --limit 0 | jq '[.jobs[] | select(.state != "succeeded" and .state != "cancelled")] | length')"
done_testing
