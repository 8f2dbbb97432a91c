#!/usr/bin/env bash
# The disk of the PostgreSQL server is full: that of its tables (SQLSTATE 53100), then that of its log, where the
# server panics and does not come up again. Uploads are refused in one line, what was acknowledged is all there, the
# pipeline pauses without an attempt burnt, and goes on by itself when there is room. Needs small file systems and a
# server of its own, so root.
. "$(dirname "$0")/lib.sh"
[ -z "${AEGIS_TEST_DATABASE_URL:-}" ] || { echo "1..0 # SKIP the disk of a server of others is not filled"; exit 77; }
disk="$work/disk"
mkdir -p "$disk/server" "$disk/wal"
small() { mount -t tmpfs -o "size=$1" aegis-test "$disk/$2" 2>"$work/mount.log"; }
if [ "$(id -u)" != 0 ] || ! small 100m server || ! small 80m wal; then
    umount "$disk/server" 2>/dev/null
    echo "1..0 # SKIP small file systems cannot be mounted here (needs root): $(cat "$work/mount.log" 2>/dev/null)"
    exit 77
fi
chmod 755 "$work" "$disk"
chmod 1777 "$disk/server" "$disk/wal"
script="$AEGIS_SOURCE/tests/support/postgres.sh"
end() {
    local pid
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    "$script" halt "$disk/server/pg"
    umount "$disk/server" 2>/dev/null || umount -l "$disk/server"
    umount "$disk/wal" 2>/dev/null || umount -l "$disk/wal"
    cleanup
}
trap end EXIT
client=$("$script" client) || without "PostgreSQL's client programs cannot be had"
start() { "$script" start "$disk/server/pg" -c min_wal_size=32MB -c max_wal_size=48MB; }
server=$(start) || without "PostgreSQL cannot be had"
# Its log gets a disk of its own.
"$script" halt "$disk/server/pg"
mv "$disk/server/pg/data/pg_wal" "$disk/wal/pg_wal" && ln -s "$disk/wal/pg_wal" "$disk/server/pg/data/pg_wal"
server=$(start) || without "PostgreSQL does not start again"
postgres_database full
databases=() # goes with the server
export DATABASE_URL=$database
number() { PGOPTIONS="-c search_path=aegis" sql "$database" "$1"; }
fill() { cat /dev/zero >"$disk/$1/ballast" 2>/dev/null; }

fake_start --latency-ms 1000
exits "the schema is made" 0 aegis db migrate
# documents PLACE FIRST LAST
documents() {
    local i
    mkdir -p "$work/$1"
    for i in $(seq "$2" "$3"); do
        printf 'Report %d on the river. It rose by %d centimetres in the night.\n' "$i" "$i" >"$work/$1/r-$i.txt"
    done
}
documents reports 1 12
exits "reports are queued" 0 aegis add --detach --prefix w "$work/reports"
"$AEGIS" --data "$data" --set workers=4 --set queue.visibility=4s worker >"$work/worker.log" 2>&1 &
worker=$!
pids+=("$worker")

succeeded() { number "SELECT count(*) FROM job WHERE state = 4"; }
# lines PATTERN: how many there are in the worker's log
lines() { grep -c "$1" "$work/worker.log"; }
# refused DESCRIPTION DIRECTORY: `aegis add` of it ends with 5 and one line
refused() {
    exits "$1" 5 aegis add --detach --json --prefix "$2" "$work/$2"
    equal "$1: in one line" 1 "$(printf '%s\n' "$out" | grep -c '^aegis:')"
    line=$(printf '%s\n' "$out" | grep '^aegis:')
    out=$(printf '%s\n' "$out" | sed '/^aegis:/d')
}

# ---- no room for tables ----
wait_until 30 eval '[ "$(requests /v1/chat/completions)" -ge 4 ]'
fill server
wait_until 60 grep -q pipeline.paused "$work/worker.log"
contains "a full disk of the server pauses the pipeline" database_full "$(grep pipeline.paused "$work/worker.log")"
documents many 100 1500
refused "uploads are refused" many
contains "uploads are refused: the line says what to do" "make room on the database server" "$line"
stored=$(jq .stored <<<"$out")
equal "each that was acknowledged has its medium" "$stored" "$(number "SELECT count(*) FROM media WHERE key LIKE 'many/%'")"
equal "and its job" "$stored" "$(number "SELECT count(*) FROM job JOIN media USING (media_id) WHERE key LIKE 'many/%'")"
wait_until 3 eval '[ "$(lines failed)" -gt 50 ]' && fail "it does not fill its log with it" "$(tail -3 "$work/worker.log")"
if kill -0 "$worker" 2>/dev/null; then pass "the worker lives on"; else fail "the worker lives on" "$(tail -5 "$work/worker.log")"; fi
equal "nothing is in the dead letters" 0 "$(number "SELECT count(*) FROM queue_dead")"
exits "what is there can be read" 0 aegis list --limit 1
rm "$disk/server/ballast"
wait_until 90 eval '[ "$(succeeded)" = $((12 + stored)) ]'
equal "with room it goes on by itself" $((12 + stored)) "$(succeeded)"
equal "and says so" 1 "$(lines pipeline.resumed)"
exits "and the refused command goes through" 0 aegis add --detach --json --prefix m "$work/reports"
wait_until 60 eval '[ "$(succeeded)" = $((24 + stored)) ]'

# ---- no room for the log ----
documents next 2001 2012
calls=$(requests /v1/chat/completions)
exits "more is queued" 0 aegis add --detach --prefix n "$work/next"
wait_until 30 eval '[ "$(requests /v1/chat/completions)" -ge $((calls + 4)) ]'
fill wal
# Each switch needs the next segment. Without one the server panics, and cannot recover either.
panics() { sql "$database" "SELECT txid_current(), pg_switch_wal()"; grep -q PANIC "$disk/server/pg/log"; }
wait_until 60 panics || fail "the server panics" "$(tail -5 "$disk/server/pg/log")"
wait_until 60 eval '[ "$(lines pipeline.paused)" -ge 2 ]' || fail "the pipeline pauses" "$(tail -5 "$work/worker.log")"
contains "a server that panics pauses the pipeline" database_ "$(grep pipeline.paused "$work/worker.log" | tail -n 1)"
documents late 1 3
refused "uploads are refused" late
contains "uploads are refused: the line names the server" "PostgreSQL 'postgres@127.0.0.1" "$line"
wait_until 3 eval '[ "$(lines failed)" -gt 100 ]' && fail "it does not fill its log with it" "$(tail -3 "$work/worker.log")"
if kill -0 "$worker" 2>/dev/null; then pass "the worker lives on"; else fail "the worker lives on" "$(tail -5 "$work/worker.log")"; fi
wait_until 60 grep -q serve.events_unread "$work/worker.log" || fail "it says that it cannot read its events" "$(tail -5 "$work/worker.log")"
rm "$disk/wal/ballast"
"$script" halt "$disk/server/pg"
start >/dev/null || fail "the server starts with room" "$(tail -5 "$disk/server/pg/log")"
wait_until 90 eval '[ "$(succeeded)" = $((36 + stored)) ]'
equal "with room it goes on by itself" $((36 + stored)) "$(succeeded)"
exits "what was refused is taken" 0 aegis add --detach --json --prefix late "$work/late"
wait_until 60 eval '[ "$(succeeded)" = $((39 + stored)) ]'
kill -TERM "$worker"
wait "$worker"
equal "the worker stops cleanly" 0 $?
equal "every job succeeded" $((39 + stored)) "$(number "SELECT count(*) FROM job WHERE state = 4")"
equal "and there is no other" $((39 + stored)) "$(number "SELECT count(*) FROM job")"
equal "no attempt was burnt" "1|1" "$(number "SELECT min(attempt), max(attempt) FROM job")"
equal "and none was lost" 0 "$(number "SELECT count(*) FROM attempt WHERE outcome <> 1")"
equal "nothing became a dead letter" 0 "$(number "SELECT count(*) FROM queue_dead")"
equal "no message is left" 0 "$(number "SELECT count(*) FROM queue_message")"
equal "each summary was paid for once" "$(number "SELECT count(DISTINCT result_id) FROM media")" "$(requests /v1/chat/completions ok)"
contains "and what was written is found" r-7.txt "$(aegis search --json '"7 centimetres"')"
done_testing
