#!/usr/bin/env bash
# The commands of docs/backup.md on the data directory, word for word: a backup while everything is at work, the
# restore, and that nothing is missing in it.
. "$(dirname "$0")/lib.sh"
jobs=60
[ "$AEGIS_SANITIZED" = 0 ] || jobs=20
mkdir "$work/bin"
ln -s "$AEGIS" "$work/bin/aegis"
export PATH="$work/bin:$PATH"

# by_the_book NAME VARIABLE=VALUE...: runs a block of the page in a shell of its own
by_the_book() {
    local name=$1
    shift
    page_block backup.md "$name" >"$work/block.sh"
    exits "docs/backup.md: $name" 0 env "$@" sh -eu "$work/block.sh"
}
states() { "$AEGIS" --data "$1" jobs --json --limit 0 | jq -c '.jobs | map(.state) | group_by(.) | map({(.[0]): length}) | add'; }
done_in() { "$AEGIS" --data "$1" jobs --json --limit 0 --state succeeded | jq '.jobs | length'; }
# everything of value, in an order of its own
contents() {
    sqlite3 "$1/aegis.db" "SELECT media_id, key, version_id, job_id, cost_nanousd FROM media ORDER BY 1;
        SELECT result_id, hex(content), title, summary, chunk_count FROM result ORDER BY 1;
        SELECT * FROM chunk ORDER BY 1; SELECT first_chunk, hex(vectors) FROM chunk_run ORDER BY 1;
        SELECT * FROM usage_day ORDER BY 1, 2, 3, 4, 5" | sha256sum
}

fake_start --latency-ms 60
mkdir "$work/in"
# small objects are in objects.db, this one is a file
big() { yes "The $1 of the ice reaches down to the rock." | head -n 3000; }
big weight >"$work/in/report-big.txt"
for i in $(seq "$jobs"); do
    printf 'Report %d. The expedition reached camp %d and counted %d birds.\n' "$i" "$i" $((i * 7)) >"$work/in/report-$i.txt"
done
printf '%%PDF-1.4 broken' >"$work/in/broken.pdf"
exits "jobs are queued" 0 aegis add --detach "$work/in"
printf 'log.level = info\n' >"$data/aegis.conf"
"$AEGIS" --data "$data" --set queue.visibility=2s --set workers=4 serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")

# ---- in the middle of it ----
wait_until 60 eval '[ "$(done_in "$data")" -ge 10 ]' || fail "jobs are done" "$(tail -n 3 "$work/serve.log")"
by_the_book backup DATA="$data" BACKUP="$work/backup"
contains "its database is whole" "ok" "$out"
before=$(states "$work/backup")
case "$before" in *queued* | *running*) pass "it was made while jobs were under way: $before" ;; *) fail "it was made while jobs were under way" "$before" ;; esac
wait_until 120 eval '[ "$(done_in "$data")" = "$((jobs + 1))" ]' || fail "the service goes on" "$(states "$data")"
kill -TERM "$serve"
wait "$serve"
equal "the service ends well" 0 $?

# serve --until-idle exits with 4: there is a dead letter
page_block backup.md restore | sed 's/^aegis .* serve .*/& || [ $? = 4 ]/' >"$work/block.sh"
export AEGIS_CONFIG="$work/conf" # the test's own: a short visibility
printf '[queue]\nvisibility = 2s\n' >"$AEGIS_CONFIG"
exits "docs/backup.md: restore" 0 env BACKUP="$work/backup" NEW="$work/restored" sh -eu "$work/block.sh"
equal "every job is done in what was restored" "$(states "$data")" "$(states "$work/restored")"
equal "the dead letter is there" 1 "$("$AEGIS" --data "$work/restored" dead --json | jq '.dead | length')"
equal "no message is left" 0 "$(sqlite3 "$work/restored/queue.db" 'SELECT count(*) FROM message')"
for i in 1 "$jobs"; do
    equal "search finds report $i" "report-$i.txt" \
        "$("$AEGIS" --data "$work/restored" search --json "camp $i birds $((i * 7))" | jq -r '.hits[0].key | sub(".*/"; "")')"
done
exits "objects can be read: all is made anew" 0 "$AEGIS" --data "$work/restored" --set chunk.bytes=700 reprocess --kind text
unset AEGIS_CONFIG

# ---- objects that came later, and a stopped service ----
big shadow >"$work/late.txt"
exits "one more" 0 aegis add "$work/late.txt"
equal "the backup lacks it" 1 "$(diff -rq "$data/objects" "$work/backup/objects" | grep -c Only)"
by_the_book objects DATA="$data" BACKUP="$work/backup"
equal "now it does not" "" "$(diff -rq "$data/objects" "$work/backup/objects")"
by_the_book stopped DATA="$data" BACKUP="$work/stopped"
equal "the copy of a stopped one is the same" "$(contents "$data")" "$(contents "$work/stopped")"
exits "and can be searched" 0 "$AEGIS" --data "$work/stopped" search "shadow of the ice"
contains "with what came last" "late.txt" "$out"

# A backup made with nothing under way is the same to the byte of what matters.
by_the_book backup DATA="$data" BACKUP="$work/second"
equal "a copy by SQLite is the same" "$(contents "$data")" "$(contents "$work/second")"
done_testing
