#!/usr/bin/env bash
# A model provider behind the command line: cost, citations, a wrong key, failures, a changed model,
# progress on a terminal. The server is the fake one of the tests.
. "$(dirname "$0")/lib.sh"

fake_start --latency-ms 20

mkdir -p "$work/in"
printf 'The orchard has forty apple trees. They were planted in 1950.\n' >"$work/in/orchard.txt"
printf 'The mill was driven by water until the flood of 1960.\n' >"$work/in/mill.txt"

# ---- with a key ----
exits "documents are added" 0 aegis add --prefix k "$work/in"
case "$out" in *OPENAI_API_KEY*) fail "nothing is said about offline models" "$out" ;; *) pass "nothing is said about offline models" ;; esac
contains "the cost is shown" '$0.0' "$out"
equal "who made it is known" "openai gpt-5.4-mini" \
    "$(aegis show --json k/in/mill.txt | jq -r '.made_by.summarise | "\(.provider) \(.model)"')"
equal "usage tells the models" "gpt-5.4-mini text-embedding-3-small" \
    "$(aegis usage --json --by model | jq -r '[.usage[].model] | unique | join(" ")')"
equal "and what they cost" true "$(aegis usage --json --by model | jq '[.usage[].cost_usd] | add > 0')"
equal "a price of one's own is used" true \
    "$(aegis --set openai.summarise_model=gpt-5.4-nano config --json | jq '.settings | length > 0')"
exits "a question is answered" 0 aegis ask "When was the flood?"
contains "with sources" "Sources" "$out"
equal "no model's answer is called quoted" false "$(aegis ask --json 'When was the flood?' | jq .quoted)"
exits "a search" 0 aegis search flood
equal "searches and questions are paid for too, for no medium" "answer embed" \
    "$(aegis usage --json --by media,model | jq -r '[.usage[] | select(.media == 0 and .cost_usd > 0).operation] | sort | join(" ")')"
contains "which usage shows as such" "(search)" "$(aegis usage --by media)"
contains "also by collection" "(search)" "$(aegis usage --by collection)"
exits "doctor reaches the server" 0 aegis doctor
contains "and says which model" "gpt-transcribe" "$out"

# ---- a changed model re-runs its stage only ----
chats=$(requests /v1/chat/completions) embeddings=$(requests /v1/embeddings)
exits "again with nothing changed" 0 aegis reprocess --all
equal "calls nobody" "$chats $embeddings" "$(requests /v1/chat/completions) $(requests /v1/embeddings)"
exits "again with another model for summaries" 0 aegis --set openai.summarise_model=gpt-5.4-nano reprocess --all
equal "summarises anew and embeds nothing" "$((chats + 2)) $embeddings" \
    "$(requests /v1/chat/completions) $(requests /v1/embeddings)"

# ---- a refusal is a dead letter, and can be sent round again ----
printf 'A text that is refused once.\n' >"$work/refused.txt"
control '{"rules":[{"path":"/v1/chat/completions","contains":"refused once","times":1,"status":400,"body":{"error":{"message":"no","type":"invalid_request_error","code":"bad"}}}]}'
exits "a refused text fails" 4 aegis add --prefix k "$work/refused.txt"
job=$(aegis dead --json | jq '.dead[0].id')
contains "its dead letter has the reason" "bad_request" "$(aegis dead)"
contains "and says what to do" "What to do" "$(aegis dead show "$job")"
equal "it is redriven" '{"redriven":1,"failed":0}' "$(aegis dead redrive --json "$job")"
exits "and worked on" 0 aegis serve --until-idle
equal "with success" succeeded "$(aegis show --json k/refused.txt | jq -r .state)"
contains "no dead letter is left" "No dead letters" "$(aegis dead)"
control '{"rules":[{"path":"/v1/chat/completions","contains":"dropped","times":1,"status":400,"body":{"error":{"message":"no","type":"invalid_request_error"}}}]}'
printf 'A text that is dropped.\n' >"$work/dropped.txt"
exits "another one fails" 4 aegis add --prefix k "$work/dropped.txt"
equal "and is dropped" '{"dropped":1,"failed":0}' "$(aegis dead drop --json --all)"
equal "its job is cancelled" cancelled "$(aegis jobs --json --limit 1 | jq -r '.jobs[0].state')"
exits "once only" 1 aegis dead drop "$(aegis jobs --json --limit 1 | jq '.jobs[0].id')"

# ---- a failure that passes is retried ----
control '{"rules":[{"path":"/v1/embeddings","times":2,"status":503,"body":"busy"}]}'
printf 'A text for a busy server.\n' >"$work/busy.txt"
exits "a busy server is waited for" 0 aegis --set retry.base=20ms add --prefix k "$work/busy.txt"
equal "in three attempts" 3 "$(aegis jobs --json --limit 1 | jq '.jobs[0].attempts')"

# ---- a wrong key pauses; nothing is lost ----
printf 'A text behind a wrong key.\n' >"$work/locked.txt"
exits "a wrong key is told by the exit status" 5 env OPENAI_API_KEY=sk-wrong-0123456789 "$AEGIS" --data "$data" add --prefix k "$work/locked.txt"
contains "and in words" "paused" "$out"
case "$out" in *sk-wrong*) fail "the key is not told" "$out" ;; *) pass "the key is not told" ;; esac
equal "no attempt was burnt" "0 queued" "$(aegis jobs --json --limit 1 | jq -r '.jobs[0] | "\(.attempts) \(.state)"')"
exits "with the right key it goes on" 0 aegis serve --until-idle
equal "to success" succeeded "$(aegis show --json k/locked.txt | jq -r .state)"
exits "doctor finds the wrong key" 1 env OPENAI_API_KEY=sk-wrong-0123456789 "$AEGIS" --data "$data" doctor

# ---- a terminal ----
control '{"latency_ms":700}'
printf 'A text that takes a moment.\n' >"$work/moment.txt"
screen=$(script -qec "'$AEGIS' --data '$data' add --prefix tty '$work/moment.txt'" /dev/null)
contains "a stage is shown" "summarise" "$screen"
contains "a bar is drawn" "█" "$screen"
contains "and taken away again" $'\033[J' "$screen"
contains "before the result is printed" "tty/moment.txt" "$screen"
done_testing
