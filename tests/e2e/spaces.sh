# Sourced by test_spaces.sh and test_spaces_postgres.sh: the embedding model is changed while media come in and searches
# run, the filler is killed, goes on, is switched back, and the other space is dropped. What is embedded is counted by the
# provider. left_of SPACE is the caller's: what a space holds in the database.
small=text-embedding-3-small large=text-embedding-3-large
idle() { [ "$(curl -fsS "$url/__control/stats" | jq .in_flight)" = 0 ]; }
# spaces MODEL FIELD: of `aegis spaces`
spaces() { aegis spaces --json | jq --arg m "$1" --arg f "$2" '[.spaces[] | select(.model == $m) | .[$f]][0] // 0'; }
# by_meaning QUERY: the key of the best hit by meaning alone
by_meaning() { aegis search --arm meaning --json "$1" | jq -r '.hits[0].key | split("/") | last'; }
warnings() { aegis search --json "$1" | jq -r '[.warnings[].reason] | join(" ")'; }

fake_start
mkdir -p -m 700 "$data" "$work/in"
printf '[chunk]\nbytes = 200\n' >"$data/aegis.conf"
for i in $(seq 1 90); do
    for line in $(seq 1 50); do
        echo "Entry number $line of volume$i speaks of topic$i$line, of weather and of the ships that came home."
    done >"$work/in/volume$i.txt"
done
exits "media are added with one model" 0 aegis add "$work/in"
passages=$(spaces $small passages)
[ "$passages" -gt 1024 ] && pass "of many passages" || fail "of many passages" "$passages"
equal "each embedded once" "$passages" "$(embedded $small)"
equal "it serves" true "$(spaces $small serves)"
equal "without a warning" "" "$(warnings topic127)"

# ---- filling, beside a service ----
"$AEGIS" --data "$data" serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 10 grep -q serve.ready "$work/serve.log"
control '{"rules": [{"path": "/v1/embeddings", "contains": "text-embedding-3-large", "times": -1, "delay_ms": 500}]}'
"$AEGIS" --data "$data" --set workers=2 reprocess --embed-model $large >"$work/fill.log" 2>&1 &
filler=$!
pids+=("$filler")
wait_until 20 eval "[ \$(spaces $large passages) -gt 0 ]" || fail "the filling begins" "$(cat "$work/fill.log")"
equal "searches are served by the old model meanwhile" true "$(spaces $small serves)"
equal "and are complete" "" "$(warnings topic4050)"
equal "by meaning too" volume40.txt "$(by_meaning 'volume40 topic4050')"
exits "a second one is refused" 1 aegis reprocess --embed-model $large
contains "as one is under way" "another process" "$out"
echo "The albatross crossed the equator twice before the cook noticed." >"$work/late.txt"
before=$(embedded $small)
exits "a medium comes in meanwhile" 0 aegis add "$work/late.txt"
after=$(embedded $small)
equal "and is found at once" late.txt "$(by_meaning 'albatross crossed the equator')"
new=$(($(spaces $small passages) - passages))
passages=$((passages + new))
equal "it was embedded by the model that serves" "$new" $((after - before))

# ---- killed, and again ----
kill -9 "$filler"
wait "$filler" 2>/dev/null
wait_until 10 idle
paid=$(embedded $large) kept=$(spaces $large passages)
[ "$kept" -lt "$passages" ] && pass "it was killed before it was done" || fail "it was killed before it was done" "$kept of $passages"
[ $((paid - kept)) -le 256 ] && pass "only what was under way is lost" || fail "only what was under way is lost" "$paid paid, $kept kept"
equal "the old one still serves" true "$(spaces $small serves)"
exits "it goes on" 0 aegis reprocess --embed-model $large
contains "and says so" "$large serves searches now" "$out"
equal "with what was missing only" $((passages - kept)) $(($(embedded $large) - paid))
equal "the new one serves" true "$(spaces $large serves)"
equal "and has everything" "$passages 0" "$(spaces $large passages) $(spaces $large missing)"
equal "the late medium is found" late.txt "$(by_meaning 'albatross crossed the equator')"
equal "and the others" volume7.txt "$(by_meaning 'volume7 topic721')"
contains "that another model is set is told" other_model "$(warnings albatross)"
contains "doctor tells it as well" "--embed-model $small" "$(aegis doctor --offline --json)"
equal "not if it is set" "" "$(AEGIS_EMBED_MODEL=$large warnings albatross)"

# ---- the service follows, though nobody told it ----
before_small=$(embedded $small) before_large=$(embedded $large)
echo "A pelican was seen over the harbour by the pilot of the ferry." >"$work/pelican.txt"
exits "the service takes another medium" 0 aegis add --detach "$work/pelican.txt"
wait_until 20 eval '[ "$(field pelican.txt state)" = succeeded ]'
after_small=$(embedded $small) after_large=$(embedded $large)
equal "which is found" pelican.txt "$(by_meaning 'pelican over the harbour')"
equal "in one attempt" 1 "$(aegis jobs --json "$(aegis jobs --json --limit 1 | jq '.jobs[0].id')" | jq .attempts)"
added=$(($(spaces $large passages) - passages))
passages=$((passages + added))
equal "embedded by the model that serves now" "$added" $((after_large - before_large))
fresh=$((after_small - before_small)) # at most once by the old one: the service had not looked yet

# ---- back ----
before=$(embedded $small)
exits "it is switched back" 0 aegis reprocess --embed-model $small
equal "which costs what came since" "$added" $(($(embedded $small) - before))
[ "$fresh" -le "$added" ] && pass "the service embedded nothing twice" || fail "the service embedded nothing twice" "$fresh"
equal "the old one serves again" true "$(spaces $small serves)"
equal "nothing is missing" 0 "$(spaces $small missing)"
equal "what came since is found" pelican.txt "$(by_meaning 'pelican over the harbour')"
equal "as is the rest" volume33.txt "$(by_meaning 'volume33 topic3342')"
equal "without a warning" "" "$(warnings pelican)"

# ---- dropped ----
id=$(spaces $large space)
exits "the serving one is not dropped" 1 aegis spaces drop $small
contains "as it serves" "serves searches" "$out"
equal "the other one holds something" yes "$([ "$(left_of "$id")" -gt 0 ] && echo yes)"
exits "it is dropped" 0 aegis spaces drop $large
equal "nothing of it is left" 0 "$(left_of "$id")"
equal "nor is it listed" 0 "$(spaces $large passages)"
equal "searches go on" volume12.txt "$(by_meaning 'volume12 topic1217')"
kill -TERM "$serve"
wait "$serve"
equal "the service stops cleanly" 0 $?

# ---- a model that is set is followed by --all ----
control '{"reset": true}'
AEGIS_EMBED_MODEL=$large exits "reprocess --all changes over to the set model" 0 aegis reprocess --all
equal "once" "$passages" "$(spaces $large passages)"
equal "it serves" true "$(spaces $large serves)"
exits "what a model is not there for" 5 aegis reprocess --embed-model no-such-model
equal "changes nothing" true "$(spaces $large serves)"

# ---- the first day: offline, then with a key ----
(
    unset OPENAI_API_KEY OPENAI_BASE_URL
    "$AEGIS" --data "$work/first" ${first_database:+--set database.url="$first_database"} add "$work/late.txt" >/dev/null 2>&1
)
first() { "$AEGIS" --data "$work/first" ${first_database:+--set database.url="$first_database"} "$@"; }
equal "tried offline" offline "$(first spaces --json | jq -r '.spaces[0].provider')"
out=$(first search --json albatross)
contains "with a key what there is is still found" late.txt "$(jq -r '.hits[0].key' <<<"$out")"
equal "by both arms" "1 1" "$(jq -r '.hits[0] | "\(.arms.lexical.rank) \(.arms.vector.rank)"' <<<"$out")"
exits "reprocess --all brings everything over" 0 first reprocess --all
equal "to the provider with the key" "openai true" "$(first spaces --json | jq -r '.spaces[] | select(.serves) | "\(.provider) \(.serves)"')"
equal "nothing is to be told any more" 0 "$(first search --json albatross | jq '.warnings | length')"
