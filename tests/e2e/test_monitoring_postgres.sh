#!/usr/bin/env bash
# A worker on PostgreSQL is unready while the server is stopped, and ready once it is back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/monitoring.sh"
export AEGIS_PROVIDER=offline
script="$AEGIS_SOURCE/tests/support/postgres.sh"

# A server of its own, that may be stopped.
folder=$(mktemp -d)
export AEGIS_POSTGRES_FOR=$$
url=$("$script" start "$folder" -c fsync=off) || without "PostgreSQL cannot be had"
stop_server() { "$script" halt "$folder" >/dev/null; }
export DATABASE_URL="$url"
exits "the schema is made" 0 aegis db migrate

starts worker worker
equal "ready" ready "$(page readyz)"
well_formed "metrics are well-formed"
equal "the database is up" 1 "$(value aegis_database_up)"
stop_server
if wait_until 30 ready_is 503; then pass "a stopped server makes it unready"; else fail "a stopped server makes it unready" "$(page readyz)"; fi
contains "with the reason" "the database" "$(page readyz)"
equal "it is alive all the same" 200 "$(status healthz)"
reaches "the database is down" aegis_database_up 0
equal "and has no figures" none "$(value 'aegis_jobs{state="succeeded"}')"
well_formed "metrics are well-formed meanwhile"
"$script" start "$folder" -c fsync=off >/dev/null
if wait_until 60 ready_is 200; then pass "the server's return makes it ready"; else fail "the server's return makes it ready" "$(page readyz)"; fi
reaches "the database is up again" aegis_database_up 1
printf 'About a lighthouse.\n' >"$work/a.txt"
exits "work goes on" 0 aegis add --detach "$work/a.txt"
reaches "and is counted" 'aegis_jobs_finished_total{outcome="succeeded"}' 1
stops "it stops cleanly"
"$script" stop "$folder" >/dev/null
done_testing
