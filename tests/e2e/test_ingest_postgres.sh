#!/usr/bin/env bash
# `aegis ingest` twice and `aegis worker` on one PostgreSQL, each with a login that has no more than the role it is to have
# (docs/postgres.md).
. "$(dirname "$0")/lib.sh"
postgres_start
postgres_database ingest || without "the server does not let this login create databases"
admin=$database
exits "the schema is made" 0 env DATABASE_URL="$admin" "$AEGIS" --data "$data" db migrate
exits "with roles" 0 env DATABASE_URL="$admin" "$AEGIS" --data "$data" db roles
login() {
    sql "$admin" "CREATE ROLE aegis_e2e_$$_$1 LOGIN IN ROLE $2" >/dev/null
    printf '%s' "$admin" | sed -E "s,^([a-z]+://)([^@/]*@)?,\1aegis_e2e_$$_$1@,"
}
uploader=$(login uploader aegis_ingest)
worker=$(login worker aegis_ingest,aegis_process)

mkdir -p "$work/one" "$work/two" "$work/objects"
export AEGIS_STORE_DIRECTORY="$work/objects"
ingest() {
    DATABASE_URL="$uploader" "$AEGIS" --data "$work/data-$1" ingest --prefix "$1" "$work/$1" >"$work/$1.log" 2>&1 &
    pids+=($!)
    eval "pid_$1=$!"
}
jobs_are() { [ "$(DATABASE_URL="$admin" aegis jobs --json --limit 0 | jq '.jobs | length')" = "$1" ]; }
states() { DATABASE_URL="$admin" aegis jobs --json --limit 0 | jq -r '[.jobs[].state] | unique | join(" ")'; }

printf 'It was there at the start, about a windmill.\n' >"$work/one/start.txt"
ingest one
ingest two
wait_until 15 grep -q watch.ready "$work/two.log"
printf 'It came later, about a lighthouse.\n' >"$work/two/later.txt"
if wait_until 15 jobs_are 2; then pass "each makes jobs of what appears in its folder"; else
    fail "each makes jobs of what appears in its folder" "$(tail -3 "$work/one.log" "$work/two.log")"
fi
equal "and leaves them to others" queued "$(states)"
contains "it logs what it takes" '"event":"watch.ingested"' "$(cat "$work/one.log")"

DATABASE_URL="$worker" "$AEGIS" --data "$work/data-worker" worker >"$work/worker.log" 2>&1 &
worker_pid=$!
pids+=($worker_pid)
are_succeeded() { [ "$(states)" = succeeded ]; }
if wait_until 30 are_succeeded; then pass "a worker does them"; else fail "a worker does them" "$(tail -5 "$work/worker.log")"; fi
contains "and they are found" two/later.txt "$(DATABASE_URL="$admin" aegis search --json lighthouse)"
equal "the uploaders log nothing of the work" "" "$(grep -h '"event":"job' "$work/one.log" "$work/two.log")"

kill -TERM "$pid_one" "$pid_two" "$worker_pid"
for pid in $pid_one $pid_two $worker_pid; do
    wait "$pid"
    equal "it stops on SIGTERM" 0 $?
done
for name in uploader worker; do
    sql "$admin" "DROP OWNED BY aegis_e2e_$$_$name; DROP ROLE aegis_e2e_$$_$name" >/dev/null
done
done_testing
