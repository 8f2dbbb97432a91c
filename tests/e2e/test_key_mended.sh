#!/usr/bin/env bash
# A wrong key is mended while `aegis serve` runs: in aegis.conf, and in the secrets file. The pipeline
# pauses, burns no attempt, and goes on by itself.
. "$(dirname "$0")/lib.sh"

fake_start
unset OPENAI_API_KEY
good=sk-good-0123456789
wrong=sk-wrong-0123456789
mkdir -p -m 700 "$data"

# Looked at with another configuration: the service's own may be broken at that moment.
: >"$work/empty.conf"
look() { aegis --config "$work/empty.conf" jobs --json "$@" 2>/dev/null; }
job() { look "$(look --limit 1 | jq '.jobs[0].id')"; }
is() { [ "$(job | jq -r .state)" = "$1" ]; }
# replaces DESTINATION TEXT: in one step, as an editor does
replaces() {
    (umask 077 && printf '%s' "$2" >"$1.new") && mv "$1.new" "$1"
}
# serve_with KEY_FILE TEXT: starts the service on this and waits until it is ready
serve_with() {
    replaces "$1" "$2"
    "$AEGIS" --data "$data" serve >"$work/serve.log" 2>&1 &
    serve=$!
    pids+=("$serve")
    wait_until 10 grep -q serve.ready "$work/serve.log"
}
stop() {
    kill -TERM "$serve"
    wait "$serve"
    equal "the service stops cleanly" 0 $?
    case "$(cat "$work/serve.log")" in
    *"$good"* | *"$wrong"*) fail "no key is in its log" "$(grep -n sk- "$work/serve.log")" ;;
    *) pass "no key is in its log" ;;
    esac
}
# upload NAME: through another process, which needs no key for that
upload() {
    printf 'A report about %s. It was written on the island of Rhum in May.\n' "$1" >"$work/$1.txt"
    aegis add --detach --prefix k "$work/$1.txt" >/dev/null 2>&1
}

# ---- aegis.conf ----
serve_with "$data/aegis.conf" "[openai]
api_key = $wrong
"
upload conf
wait_until 10 is paused
equal "a wrong key pauses" "paused invalid_key" "$(job | jq -r '"\(.state) \(.reason)"')"
asked=$(requests /v1/embeddings)
replaces "$data/aegis.conf" "[openai]
api_key = $wrong
no such line
"
wait_until 10 eval '[ "$(job | jq -r .reason)" = invalid_config ]'
equal "a file that cannot be read is told" "paused invalid_config" "$(job | jq -r '"\(.state) \(.reason)"')"
replaces "$data/aegis.conf" "[openai]
api_key = $good
"
wait_until 30 is succeeded
equal "the right key in aegis.conf resumes it" "succeeded after 1" "$(job | jq -r '"\(.state) after \(.attempts)"')"
equal "no failed attempt is on record" "" "$(job | jq -r '.history[] | select(.outcome != "succeeded") | .reason')"
equal "embeddings were asked for with the right key only" 0 "$asked"
contains "the log tells the pause" pipeline.paused "$(cat "$work/serve.log")"
contains "and the end of it" pipeline.resumed "$(cat "$work/serve.log")"
stop

# ---- the secrets file ----
rm "$data/aegis.conf"
serve_with "$data/secrets" "openai_api_key = $wrong
"
upload file
wait_until 10 is paused
equal "a wrong key in the secrets file pauses" "paused invalid_key" "$(job | jq -r '"\(.state) \(.reason)"')"
replaces "$data/secrets" "openai_api_key = $good
"
wait_until 30 is succeeded
equal "the right one resumes it" "succeeded after 1" "$(job | jq -r '"\(.state) after \(.attempts)"')"
stop

# ---- and which provider is used ----
unset OPENAI_BASE_URL
providers() { "$AEGIS" --data "$1" serve --until-idle 2>&1 | grep serve.ready; }
contains "a key in the secrets file chooses the provider" '"embed":"openai"' "$(providers "$data")"
contains "which without one is offline" '"embed":"offline"' "$(providers "$work/other")"
done_testing
