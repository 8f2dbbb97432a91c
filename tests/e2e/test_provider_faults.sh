#!/usr/bin/env bash
# What a model provider can do wrong, and what comes of it: the state, the reason and the attempts that
# docs/retry.md promises, and nothing paid twice.
. "$(dirname "$0")/lib.sh"

chat=/v1/chat/completions
embed=/v1/embeddings
fake_start
n=0

# add_with RULE OPTION...: adds a new text while the rule holds; the text has the word $word and stands
# under $key. Leaves $status and $out.
add_with() {
    local rule=$1
    shift
    n=$((n + 1))
    word="subject$n"
    key="k/$word.txt"
    printf 'A report about %s. It was written on the island of Rhum in May.\n' "$word" >"$work/$word.txt"
    chats=$(requests $chat) embeds=$(requests $embed)
    control "{\"rules\":[${rule/\{/\{\"contains\":\"$word\",}]}"
    out=$("$AEGIS" --data "$data" --set retry.base=20ms --set retry.cap=50ms "$@" add --prefix k "$work/$word.txt" 2>&1)
    status=$?
}
# "1 chats, 2 embeds" since the text was added
calls() { echo "$(($(requests $chat) - chats)) chats, $(($(requests $embed) - embeds)) embeds"; }
job() { aegis jobs --json "$(aegis jobs --json --limit 1 2>/dev/null | jq '.jobs[0].id')" 2>/dev/null; }
summary() { job | jq -r '"\(.state) \(.reason // "-") after \(.attempts)"'; }
reasons() { job | jq -r '[.history[] | select(.outcome != "succeeded") | "\(.stage):\(.reason)"] | join(" ")'; }

# ---- transient: tried again, from the checkpoint ----
# fails_then_works NAME REASON RULE OPTION...: two failures of the embeddings endpoint; the summary,
# made before them, is not asked for again
fails_then_works() {
    local name=$1 reason=$2 rule=$3
    shift 3
    add_with "{\"path\":\"$embed\",\"times\":2,$rule}" "$@"
    equal "$name: exits 0" 0 "$status"
    equal "$name: succeeds" "succeeded - after 3" "$(summary)"
    equal "$name: each failure has its reason" "embed:$reason embed:$reason" "$(reasons)"
    equal "$name: the summary is paid for once" "1 chats, 3 embeds" "$(calls)"
}
fails_then_works "500" server_error '"status":500,"body":{"error":{"message":"The server had an error"}}'
fails_then_works "503 with a page" server_error '"status":503,"body":"<html>busy</html>"'
fails_then_works "half a body" incomplete_body '"fault":"half_body"'
fails_then_works "invalid JSON" malformed_reply '"fault":"invalid_json"'
fails_then_works "a vector too few" malformed_reply '"fault":"missing_item"'
fails_then_works "a vector that is no number" malformed_reply '"fault":"not_finite"'

# A connection kept from the last call that breaks before a byte of the reply came is no failure yet:
# the request is sent once more on a new one (RFC 9112, 9.3.1), so there may be an attempt less.
add_with "{\"path\":\"$embed\",\"times\":3,\"fault\":\"reset\"}"
contains "a reset: succeeds" "succeeded - after" "$(summary)"
equal "a reset: the reason is told" connection_reset "$(job | jq -r '[.history[].reason | values] | unique | join(" ")')"
equal "a reset: the summary is paid for once" "1 chats, 4 embeds" "$(calls)"

# The server counts a request when it is over, which one that hangs never is.
add_with "{\"path\":\"$embed\",\"times\":2,\"fault\":\"hang\"}" --set openai.timeout=1s
equal "a hang: succeeds" "succeeded - after 3" "$(summary)"
equal "a hang: each failure has its reason" "embed:timeout embed:timeout" "$(reasons)"
equal "a hang: the summary is paid for once" "1 chats, 1 embeds" "$(calls)"

add_with "{\"path\":\"$chat\",\"times\":2,\"fault\":\"invalid_json\"}"
equal "a summary that is invalid JSON is asked for again" "succeeded - after 3" "$(summary)"
equal "with its reason" "summarise:malformed_reply summarise:malformed_reply" "$(reasons)"
equal "and embedded once" "3 chats, 1 embeds" "$(calls)"

add_with "{\"path\":\"$embed\",\"times\":-1,\"status\":500,\"body\":\"\"}" --set retry.max_attempts=3
equal "what never passes fails" 4 "$status"
equal "as a dead letter after its attempts" "dead server_error after 3" "$(summary)"
equal "having paid for the summary once" "1 chats, 3 embeds" "$(calls)"
control '{"reset":true}'
chats=$(requests $chat) embeds=$(requests $embed)
exits "the dead letter is redriven" 0 aegis dead redrive --all
exits "and worked on" 0 aegis serve --until-idle
equal "with success" succeeded "$(field "$key" state)"
equal "from its checkpoint" "0 chats, 1 embeds" "$(calls)"

# ---- rate limits: the provider's pace, not an attempt ----
add_with "{\"path\":\"$embed\",\"times\":2,\"status\":429,\"body\":{\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}}"
equal "429 is waited out in the attempt" "succeeded - after 1" "$(summary)"
equal "without a second summary" "1 chats, 3 embeds" "$(calls)"
began=$(date +%s%3N)
add_with "{\"path\":\"$embed\",\"times\":1,\"status\":429,\"headers\":{\"Retry-After\":\"2\"},\"body\":{\"error\":{\"message\":\"slow down\"}}}"
took=$(($(date +%s%3N) - began))
equal "429 with Retry-After is waited out" "succeeded - after 1" "$(summary)"
if [ "$took" -ge 2000 ] && [ "$took" -lt 6000 ]; then pass "for the time it names"; else fail "for the time it names" "$took ms"; fi
equal "and asked once more" "1 chats, 2 embeds" "$(calls)"
add_with "{\"path\":\"$embed\",\"times\":1,\"status\":429,\"headers\":{\"retry-after-ms\":\"300\",\"Retry-After\":\"90\"},\"body\":\"\"}"
equal "retry-after-ms has the say over Retry-After" "succeeded - after 1" "$(summary)"

# ---- permanent: a dead letter at once ----
dies() {
    local name=$1 reason=$2 rule=$3 expected=$4
    add_with "$rule"
    equal "$name: exits 4" 4 "$status"
    equal "$name: dead at once" "dead $reason after 1" "$(summary)"
    equal "$name: asked no more than needed" "$expected" "$(calls)"
}
dies "a refusal" refused "{\"path\":\"$chat\",\"times\":-1,\"fault\":\"refusal\"}" "1 chats, 0 embeds"
dies "a content filter" refused "{\"path\":\"$chat\",\"times\":-1,\"fault\":\"content_filter\"}" "1 chats, 0 embeds"
add_with "{\"path\":\"$chat\",\"times\":-1,\"fault\":\"truncated\"}"
equal "a truncated answer is a dead letter" "dead truncated_reply after 1" "$(summary)"
control '{"reset":true}'

# ---- systemic: the pipeline pauses, no attempt is burnt ----
"$AEGIS" --data "$data" --set workers=4 serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 10 grep -q serve.ready "$work/serve.log"

# pauses NAME REASON PATH RULE CALLS: `serve` meets the failure twice and then goes on by itself
pauses() {
    local name=$1 reason=$2 path=$3 rule=$4 expected=$5
    n=$((n + 1))
    word="subject$n"
    printf 'A report about %s. It was written on the island of Rhum in May.\n' "$word" >"$work/$word.txt"
    chats=$(requests $chat) embeds=$(requests $embed)
    control "{\"rules\":[{\"path\":\"$path\",\"contains\":\"$word\",\"times\":2,$rule}]}"
    aegis add --detach --prefix k "$work/$word.txt" >/dev/null 2>&1
    wait_until 5 eval '[ "$(job | jq -r .state)" = paused ]'
    equal "$name: the job is paused" "paused $reason" "$(job | jq -r '"\(.state) \(.reason)"')"
    contains "$name: doctor says why" "$reason" "$(aegis doctor --json 2>&1)"
    wait_until 15 eval '[ "$(job | jq -r .state)" = succeeded ]'
    equal "$name: goes on by itself, in the same attempt" "succeeded - after 1" "$(summary)"
    equal "$name: no failed attempt is on record" "" "$(reasons)"
    equal "$name: pays once" "$expected" "$(calls)"
}
pauses "401" invalid_key $embed '"status":401,"body":{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}' "1 chats, 3 embeds"
pauses "insufficient_quota" quota_exhausted $embed '"status":429,"body":{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}' "1 chats, 3 embeds"
pauses "an unknown model" model_not_found $chat '"status":404,"body":{"error":{"message":"The model does not exist","code":"model_not_found"}}' "3 chats, 1 embeds"
pauses "vectors of a wrong length" wrong_dimension $embed '"fault":"wrong_dimension"' "1 chats, 3 embeds"

control '{"rules":[{"times":-1,"contains":"island","status":401,"body":{"error":{"message":"Incorrect API key provided"}}}]}'
printf 'One more report from the island.\n' >"$work/held.txt"
exits "a key that stays wrong is told by the exit status" 5 aegis add --prefix k "$work/held.txt"
contains "and in one line" "paused" "$out"
contains "with what to do" "key" "$out"
equal "nothing is dead for it" "" "$(aegis dead --json | jq -r '.dead[] | select(.key == "k/held.txt")')"
control '{"reset":true}'
wait_until 20 eval '[ "$(field k/held.txt state)" = succeeded ]'
equal "once mended the service goes on without a restart" "succeeded - after 1" "$(summary)"

# A server that is not there is no job's failure either. It comes back on the same port.
port=${url##*:}
kill "${pids[0]}"
wait "${pids[0]}"
unset 'pids[0]' # its number may be another's by the end
printf 'A last report from the island.\n' >"$work/cut-off.txt"
aegis add --detach --prefix k "$work/cut-off.txt" >/dev/null 2>&1
wait_until 10 eval '[ "$(job | jq -r .state)" = paused ]'
equal "no server: the job is paused" "paused provider_unreachable" "$(job | jq -r '"\(.state) \(.reason)"')"
contains "no server: doctor asks whether it runs" "is it running" "$(aegis doctor 2>&1)"
fake_start --port "$port"
fake=${pids[-1]}
wait_until 30 eval '[ "$(job | jq -r .state)" = succeeded ]'
equal "no server: goes on by itself when it is back, in the same attempt" "succeeded - after 1" "$(summary)"

kill -TERM "$serve"
wait "$serve"
equal "and stops cleanly" 0 $?
contains "its log tells the pause" pipeline.paused "$(cat "$work/serve.log")"
contains "and the end of it" pipeline.resumed "$(cat "$work/serve.log")"
case "$(cat "$work/serve.log")" in *sk-good*) fail "the key is not in the log" ;; *) pass "the key is not in the log" ;; esac

# ---- `aegis add` by itself, with no server ----
kill "$fake"
wait "$fake"
unset 'pids[-1]'
printf 'A report that nobody summarised.\n' >"$work/alone.txt"
exits "no server: add ends with 5" 5 aegis add --prefix k "$work/alone.txt"
equal "no server: its job waits" queued "$(job | jq -r .state)"
fake_start --port "$port"
exits "no server: the next process goes on" 0 aegis serve --until-idle
equal "no server: in the same attempt" "succeeded - after 1" "$(summary)"
done_testing
