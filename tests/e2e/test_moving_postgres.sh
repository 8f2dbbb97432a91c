#!/usr/bin/env bash
# aegis export and import: from a data directory of real runs to PostgreSQL and back, killed on the way, compared
# digest by digest; and what is refused. Commands are those of docs/moving.md.
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "# seed $seed"
postgres_start
export PGOPTIONS='-c client_min_messages=warning'
mkdir "$work/bin"
ln -s "$AEGIS" "$work/bin/aegis"
export PATH="$work/bin:$PATH"
by_the_book() {
    local name=$1
    shift
    page_block moving.md "$name" >"$work/block.sh"
    exits "docs/moving.md: $name" 0 env "$@" sh -eu "$work/block.sh"
}
# table, rows and digest, a line each, of what export or import printed as JSON
tables() { jq -r '.tables[] | "\(.table) \(.rows) \(.digest)"' "$1"; }
states() { "$AEGIS" --data "$1" jobs --json --limit 0 | jq -c '.jobs | map(.state) | group_by(.) | map({(.[0]): length}) | add'; }

# ---- a house that was lived in ----
fake_start --latency-ms 10
mkdir "$work/in"
for i in $(seq 30); do printf 'Report %d. The expedition reached camp %d and counted %d birds.\n' "$i" "$i" $((i * 7)) >"$work/in/report-$i.txt"; done
cp "$work/in/report-3.txt" "$work/in/copy-of-3.txt"
for i in $(seq 1500); do echo "Day $i. The ice was $((i % 17)) cm thick where the stream of number $((i * 37 % 1009)) reaches the sea, which nobody had expected."; done >"$work/in/diary.txt"
printf '1\n00:00:01,000 --> 00:00:04,000\nThe oven is hot.\n\n2\n00:00:04,500 --> 00:00:07,000\nGrüße aus Köln, \xf0\x9f\x8d\x9e!\n' >"$work/in/baker.srt"
espeak-ng -w "$work/in/speech.wav" "The meeting is on Monday morning."
printf '%%PDF-1.4 broken' >"$work/in/broken.pdf"
: >"$work/in/empty.txt"
exits "documents and a recording are added, one is broken" 4 aegis add "$work/in"
exits "a question is asked" 0 aegis ask "How thick was the ice?"
exits "one is removed" 0 aegis remove "$(aegis list --json --limit 0 | jq '.media[] | select(.key | endswith("report-9.txt")).id')"
exits "one gets another summary" 0 aegis --set openai.summarise_model=gpt-5.4-nano reprocess "$(aegis list --json --limit 0 | jq '.media[] | select(.key | endswith("report-8.txt")).id')"
for i in $(seq 20); do echo "A late note number $i." >"$work/late-$i.txt"; done
exits "some are queued" 0 aegis add --detach "$work"/late-*.txt
control '{"rules":[{"path":"/v1/chat/completions","times":-1,"delay_ms":600000}]}'
"$AEGIS" --data "$data" --set workers=3 serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 90 eval '[ "$(aegis jobs --json --state running | jq ".jobs | length")" = 3 ]' || fail "three jobs run" "$(states "$data")"
spent=$(aegis usage --json | jq '[.usage[].cost_usd] | add')

# ---- to PostgreSQL ----
postgres_database moved || without "the server does not let this login create databases"
moved=$database
by_the_book to-postgres DATA="$data" FILE="$work/house.aegis" NEW_URL="$moved"
contains "it says what it did" "each table was read back and is the same" "$out"
equal "the file is private" 600 "$(stat -c %a "$work/house.aegis")"
equal "nothing unfinished is left beside it" "" "$(ls "$work" | grep -E 'part|import')"
kill -9 "$serve"
wait "$serve" 2>/dev/null
exits "the database goes on" 0 aegis list
equal "running jobs are queued there" "20|0" "$(sql "$moved" "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1) FROM aegis.job")"
equal "their open attempts do not count" 0 "$(sql "$moved" "SELECT max(attempt) FROM aegis.job WHERE state = 0")"
equal "search by meaning finds itself" t "$(sql "$moved" "SET search_path = aegis, public; SELECT (SELECT chunk_id FROM embedding_1 e ORDER BY e.embedding <=> (SELECT embedding FROM embedding_1 WHERE chunk_id = 3) LIMIT 1) IN
    (SELECT chunk_id FROM embedding_1 WHERE embedding <=> (SELECT embedding FROM embedding_1 WHERE chunk_id = 3) < 0.001)")"
equal "with the index of the space" 1 "$(sql "$moved" "SELECT count(*) FROM pg_indexes WHERE indexname = 'embedding_1_hnsw'")"
equal "lexemes are those of Aegis" t "$(sql "$moved" "SELECT bool_and(words @@ '''ic''') FROM aegis.chunk WHERE text LIKE '%ice was%'")"
equal "nothing of the import is left" 0 "$(sql "$moved" "SELECT count(*) FROM pg_class WHERE relname LIKE 'import%'")"
equal "totals are right" "t" "$(sql "$moved" "SELECT (SELECT sum(media) FROM aegis.total) = (SELECT count(*) FROM aegis.media_view) AND
    (SELECT sum(chunks) FROM aegis.total) = (SELECT count(*) FROM aegis.chunk) AND (SELECT sum(jobs_queued) FROM aegis.total) = 20 AND
    (SELECT sum(chunks) FROM aegis.space_total) = (SELECT count(*) FROM aegis.embedding_1)")"
equal "costs are the same" "$spent" "$(sql "$moved" "SELECT sum(cost_usd) FROM aegis.daily_cost" | jq .)"
equal "ids go on behind the last" t "$(sql "$moved" "SELECT nextval('aegis.media_media_id_seq') > max(media_id) FROM aegis.media")"

# ---- killed in the middle, and gone on ----
postgres_database killed
killed=$database
DATABASE_URL=$killed aegis db migrate >/dev/null
"$client/psql" -qX "$killed" -c "BEGIN; LOCK TABLE aegis.segment IN EXCLUSIVE MODE; SELECT pg_sleep(600)" >/dev/null 2>&1 &
locker=$!
pids+=("$locker")
wait_until 90 eval '[ "$(sql "$killed" "SELECT count(*) FROM pg_locks WHERE relation = '"'aegis.segment'"'::regclass AND granted")" -ge 1 ]'
DATABASE_URL=$killed "$AEGIS" --data "$data" import "$work/house.aegis" >"$work/import.out" 2>&1 &
import=$!
pids+=("$import")
wait_until 90 eval '[ "$(sql "$killed" "SELECT count(*) FROM pg_locks WHERE relation = '"'aegis.segment'"'::regclass AND NOT granted")" -ge 1 ]' ||
    fail "the import waits for a lock" "$(cat "$work/import.out")"
exits "a second import at the same time is refused" 1 env DATABASE_URL="$killed" aegis import "$work/house.aegis"
contains "because of the first" "another import" "$out"
kill -9 "$import"
wait "$import" 2>/dev/null
sql "$killed" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()" >/dev/null
wait "$locker"
wait_until 90 eval '[ "$(sql "$killed" "SELECT count(*) FROM pg_locks WHERE locktype = '"'advisory'"' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")" = 0 ]'
equal "it stopped on the way" "chunk" "$(sql "$killed" "SELECT string_agg(table_name, ' ') FROM aegis.import_progress WHERE table_name IN ('chunk', 'model_call')")"
cp "$work/house.aegis" "$work/other.aegis"
exits "nobody works on a part of a house" 5 env DATABASE_URL="$killed" aegis worker --until-idle
contains "and it is said what to do" "aegis import" "$out"
exits "a copy of the file is the same import" 0 sh -c "DATABASE_URL='$killed' aegis import --json '$work/other.aegis' >'$work/resumed.json'"
equal "which went on where it was" true "$(jq '.resumed_rows > 100' "$work/resumed.json")"
exits "it can be exported" 0 sh -c "DATABASE_URL='$killed' aegis export --json '$work/killed.aegis' >'$work/killed.json'"
equal "and has every row" "$(tables "$work/resumed.json")" "$(tables "$work/killed.json")"

# ---- life goes on there ----
exits "PostgreSQL answers" 0 env DATABASE_URL="$moved" aegis --data "$data" search "Grüße aus Köln"
contains "with what was moved" "baker.srt" "$out"
first=$(sql "$moved" "SELECT media_id FROM aegis.media WHERE key LIKE '%report-1.txt'")
control '{"reset":true}'
exits "another model for summaries" 0 env DATABASE_URL="$moved" "$AEGIS" --data "$data" --set openai.summarise_model=gpt-5.4-nano reprocess "$first"
equal "embeds nothing again" 0 "$(requests /v1/embeddings ok)"
control '{"reset":true}'
exits "another model for embeddings" 0 env DATABASE_URL="$moved" "$AEGIS" --data "$data" --set openai.embed_model=text-embedding-3-large reprocess "$(sql "$moved" "SELECT media_id FROM aegis.media WHERE key LIKE '%report-2.txt'")"
equal "summarises nothing again" 0 "$(requests /v1/chat/completions ok)"

# ---- and back, with random kills ----
exits "PostgreSQL is exported" 0 sh -c "DATABASE_URL='$killed' aegis export '$work/back.aegis'"
# The import is stopped every few milliseconds and a copy of what it has is looked at, until it is in the middle:
# it has committed media, but no model calls yet. There it is killed.
copied() { sqlite3 "$work/look/aegis.db.import" "SELECT coalesce(sum(rows), 0) FROM import_progress WHERE $1" 2>/dev/null || echo 0; }
look() {
    kill -STOP "$1" && wait_until 10 grep -q '^State:.[TZ]' "/proc/$1/status" || return 1
    rm -rf "$work/look" && mkdir "$work/look" && cp "$work"/home/aegis.db.import* "$work/look/" 2>/dev/null
    [ "$(copied "table_name = 'media'")" -gt 0 ]
}
total=$(jq '[.tables[].rows] | add' "$work/killed.json")
begin() {
    "$AEGIS" --data "$1" import --json "$work/back.aegis" >"$work/import.out" 2>&1 &
    import=$!
    pids+=("$import")
}
killed_at=0
for round in $(seq 20); do
    rm -rf "$work/home"
    begin "$work/home"
    until look "$import" || [ -e "$work/home/aegis.db" ]; do
        kill -CONT "$import" 2>/dev/null || break
        sleep 0.002
    done
    kill -9 "$import" 2>/dev/null
    wait "$import" 2>/dev/null
    [ ! -e "$work/home/aegis.db" ] || continue # it was quicker than the steps
    killed_at=$(copied true)
    [ "$(copied "table_name = 'model_call'")" != 0 ] || break
done
echo "# killed when $killed_at of $total rows were there, in round $round"
if [ "$killed_at" -gt 0 ] && [ "$killed_at" -lt "$total" ]; then pass "an import into a data directory was killed in the middle"; else
    fail "an import into a data directory was killed in the middle" "$(cat "$work/import.out")"; fi
exits "half a house is no database" 3 "$AEGIS" --data "$work/home" export "$work/half-a-house.aegis"
begin "$work/home"
wait "$import"
equal "the same command again goes through" 0 $?
if [ "$(jq .resumed_rows "$work/import.out")" -ge "$killed_at" ]; then pass "and goes on where it was killed"; else
    fail "and goes on where it was killed" "$(cat "$work/import.out")"; fi
kills=0
for round in $(seq 30); do # anywhere
    begin "$work/anywhere"
    sleep "0.$(printf %03d $((RANDOM % (10 * round))))"
    kill -9 "$import" 2>/dev/null
    wait "$import" 2>/dev/null
    [ ! -e "$work/anywhere/aegis.db" ] || break
    kills=$((kills + 1))
done
[ -e "$work/anywhere/aegis.db" ] || exits "the last goes through" 0 "$AEGIS" --data "$work/anywhere" import "$work/back.aegis"
exits "what was killed anywhere is exported" 0 sh -c "aegis --data '$work/anywhere' export --json '$work/anywhere.aegis' >'$work/anywhere.json'"
equal "after $kills kills anywhere it is the same" "$(tables "$work/killed.json")" "$(tables "$work/anywhere.json")"
by_the_book objects DATA="$data" NEW="$work/home"
exits "what came home is exported" 0 sh -c "aegis --data '$work/home' export --json '$work/home.aegis' >'$work/home.json'"
equal "the round changed nothing" "$(tables "$work/killed.json")" "$(tables "$work/home.json")"
by_the_book to-directory OLD_URL="$moved" FILE="$work/second.aegis" NEW="$work/plain"

# ---- life goes on ----
control '{"reset":true}'
"$AEGIS" --data "$work/home" --set queue.visibility=2s serve >"$work/home.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 90 eval '[ "$(aegis --data "$work/home" jobs --json --limit 0 | jq "[.jobs[] | select(.state == \"queued\" or .state == \"running\")] | length")" = 0 ]' ||
    fail "queued jobs are done" "$(states "$work/home") $(tail -n 3 "$work/home.log")"
kill "$serve"
wait "$serve"
data="$work/home"
equal "each medium is there" 55 "$(aegis list --json --limit 0 | jq '.media | length')"
equal "only the late ones were embedded" 20 "$(embedded)"
exits "a search" 0 aegis search "late note number 7"
contains "finds what was queued" "late-7.txt" "$out"
exits "a search for old words" 0 aegis search "Grüße aus Köln"
contains "finds them" "baker.srt" "$out"
contains "a transcript is there" "-->" "$(aegis transcript --format srt "$(aegis list --json --limit 0 | jq '.media[] | select(.key | endswith("speech.wav")).id')")"
equal "the dead letter can be redriven" '{"redriven":1,"failed":0}' "$(aegis dead redrive --json "$(aegis dead --json | jq '.dead[0].id')")"
exits "unchanged settings cost nothing" 0 aegis reprocess "$(aegis list --json --limit 0 | jq '.media[] | select(.key | endswith("report-1.txt")).id')"
exits "doctor is content" 0 aegis doctor

# ---- what is refused ----
exits "a target with rows" 1 env DATABASE_URL="$moved" aegis import "$work/house.aegis"
contains "is told by its table" "is not empty (its table" "$out"
exits "a data directory with a database" 1 aegis import "$work/house.aegis"
contains "is told" "exists already" "$out"
exits "a file that exists is not replaced" 1 aegis export "$work/house.aegis"
postgres_database empty
DATABASE_URL=$database aegis db migrate >/dev/null
refused() {
    exits "$1" "$2" env DATABASE_URL="$database" aegis import "$3"
    contains "$1: says so" "$4" "$out"
    equal "$1: nothing was made" 0 "$(sql "$database" "SELECT count(*) FROM pg_class WHERE relname LIKE 'import%'")"
}
head -c $(($(stat -c %s "$work/house.aegis") / 2)) "$work/house.aegis" >"$work/half.aegis"
refused "half a file" 2 "$work/half.aegis" "half.aegis' is"
echo "Dear diary" >"$work/text.aegis"
refused "a text" 2 "$work/text.aegis" "is no file of \`aegis export\`"
refused "a database that is no export" 2 "$data/aegis.db" "is no file of \`aegis export\`"
refused "no file" 3 "$work/none.aegis" "none.aegis"
cp "$work/house.aegis" "$work/changed.aegis"
sqlite3 "$work/changed.aegis" "UPDATE chunk SET text = replace(text, 'ice', 'ICE') WHERE chunk_id = (SELECT max(chunk_id) FROM chunk WHERE text LIKE '%ice%')"
refused "a changed word" 2 "$work/changed.aegis" '"chunk" is not what was exported'
cp "$work/house.aegis" "$work/older.aegis"
sqlite3 "$work/older.aegis" "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)"
refused "a file of another schema" 6 "$work/older.aegis" "schema version"
exits "an export of nothing" 3 "$AEGIS" --data "$work/nowhere" export "$work/nothing.aegis"
exits "a place that is not there" 3 aegis export "$work/no/such/file.aegis"
postgres_database bare
exits "a database that was not migrated" 5 env DATABASE_URL="$database" aegis import "$work/house.aegis"
contains "says how" "aegis db migrate" "$out"
done_testing
