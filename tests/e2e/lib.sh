# Sourced by the e2e tests: a data directory of its own, TAP-like output, cleanup.
set -uo pipefail
: "${AEGIS:?path of the aegis binary}" "${AEGIS_SOURCE:?source directory}" "${AEGIS_BUILD:?build directory}"
unset OPENAI_API_KEY OPENAI_BASE_URL DATABASE_URL
export NO_COLOR=1
work=$(mktemp -d)
data="$work/data"
count=0
failed=0
pids=()
databases=()

cleanup() {
    local pid name
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    for name in ${databases[@]+"${databases[@]}"}; do
        "$client/psql" -qX "$server" -c "DROP DATABASE $name WITH (FORCE)"
    done
    chmod -R u+rwX "$work" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

aegis() { "$AEGIS" --data "$data" "$@"; }

pass() { count=$((count + 1)); echo "ok $count - $1"; }
fail() {
    count=$((count + 1))
    failed=$((failed + 1))
    echo "not ok $count - $1"
    [ $# -lt 2 ] || printf '%s\n' "$2" | sed 's/^/#   /' | head -40
}

# equal DESCRIPTION EXPECTED ACTUAL
equal() {
    if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "expected: $2
actual:   $3"; fi
}
# contains DESCRIPTION NEEDLE HAYSTACK
contains() {
    case "$3" in
    *"$2"*) pass "$1" ;;
    *) fail "$1" "not found: $2
in: $3" ;;
    esac
}
# exits DESCRIPTION STATUS COMMAND...: runs it, keeps its output in $out (both streams)
exits() {
    local description=$1 expected=$2 status
    shift 2
    out=$("$@" 2>&1)
    status=$?
    if [ "$status" = "$expected" ]; then pass "$description"; else fail "$description" "exit $status, not $expected: $*
$out"; fi
}

# wait_until SECONDS COMMAND...: polls a condition; false if it never came true
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# fake_start OPTION...: the fake OpenAI server of the tests at $url, and an environment that points to it
fake_start() {
    local fake="$AEGIS_BUILD/tests/fake_openai/fake_openai"
    [ -x "$fake" ] || { echo "1..0 # SKIP the fake server is not built"; exit 77; }
    "$fake" --key sk-good-0123456789 --die-with-parent "$@" >"$work/fake.out" 2>&1 &
    pids+=($!)
    wait_until 10 grep -q listening "$work/fake.out"
    url="http://127.0.0.1:$(grep -oE '[0-9]+' "$work/fake.out" | head -1)"
    export OPENAI_BASE_URL="$url/v1" OPENAI_API_KEY=sk-good-0123456789
}
control() { curl -fsS "$url/__control" -d "$1" >/dev/null; }
# requests PATH [requests|ok|errors]: how many there were of one endpoint; ok ones are billed
requests() {
    curl -fsS "$url/__control/stats" | jq --arg path "$1" --arg what "${2:-requests}" '.endpoints[$path][$what] // 0'
}

# embedded [MODEL]: how many texts; several may have shared a request
embedded() {
    curl -fsS "$url/__control/stats" | jq --arg model "${1:-}" '.embedded | if $model == "" then add else .[$model] end // 0'
}

# without WHY [VARIABLE]: the test cannot run here (CTest reads 77 as skipped); that is a failure where what is missing
# is required: by AEGIS_REQUIRE_POSTGRES, or another variable, or CI
without() {
    local required_by=${2:-AEGIS_REQUIRE_POSTGRES}
    [ "${!required_by:-0}" = 0 ] && case "${CI:-0}" in 0 | false) true ;; *) false ;; esac && {
        echo "1..0 # SKIP $1"
        exit 77
    }
    echo "not ok 1 - $1"
    exit 1
}

# postgres_start: a PostgreSQL at $server (that of all tests, else one of our own) and the folder of its psql,
# pg_dump and pg_restore in $client
postgres_start() {
    local script="$AEGIS_SOURCE/tests/support/postgres.sh"
    client=$("$script" client) || without "PostgreSQL's client programs cannot be had"
    server=${AEGIS_TEST_DATABASE_URL:-$(cat "$AEGIS_BUILD/postgres/url" 2>/dev/null)}
    [ -n "$server" ] || server=$(AEGIS_POSTGRES_FOR=$$ "$script" start "$(mktemp -d)" -c fsync=off) ||
        without "PostgreSQL cannot be had"
}
# postgres_database NAME: an empty database of this test's own, dropped at the end; its URL is in $database
postgres_database() {
    local name="aegis_e2e_$$_$1"
    "$client/psql" -qX "$server" -c "CREATE DATABASE $name" || return 1
    databases+=("$name")
    database=$(printf '%s' "$server" | sed -E "s,^([a-z]+://[^/]*/)[^?]*,\1$name,")
}
# sql URL STATEMENT: what it gives, fields separated by |
sql() { "$client/psql" -qXAt -v ON_ERROR_STOP=1 "$1" -c "$2"; }

# aws_start moto|radosgw: exports the endpoint and the key of that server (of all tests, else one of our own)
aws_start() {
    local env="$AEGIS_BUILD/$1/env"
    [ -s "$env" ] || [ ! -s "$AEGIS_BUILD/$1/why" ] || without "$(cat "$AEGIS_BUILD/$1/why")" AEGIS_REQUIRE_AWS
    [ -s "$env" ] || env=$(AEGIS_AWS_FOR=$$ "$AEGIS_SOURCE/tests/support/$1.sh" start "$(mktemp -d)") ||
        without "$1 cannot be had" AEGIS_REQUIRE_AWS
    unset AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_REGION
    set -a
    . "$env"
    set +a
}

# page_block PAGE NAME: the block of commands behind "<!-- test: NAME -->" in docs/PAGE
page_block() {
    awk -v mark="<!-- test: $2 -->" '$0 == mark { on = 1; next } on && /^```/ { if (++fences == 2) exit; next } on && fences' \
        "$AEGIS_SOURCE/docs/$1"
}

# field KEY NAME: one member of `aegis show --json`
field() { aegis show --json "$1" | jq -r ".$2"; }

# peak_of PID: watches it and its descendants until it ends; leaves the sum of their highest VmHWM in KiB in
# $work/peak, children that run one after the other counted by the largest
peak_of() {
    python3 - "$1" >"$work/peak" <<'PY'
import os, sys, time
root, most, own = int(sys.argv[1]), 0, {}
def high(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            return next((int(l.split()[1]) for l in f if l.startswith("VmHWM")), 0)
    except OSError:
        return 0
def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += [int(c) for c in f.read().split()]
    except OSError:
        pass
    return found
while os.path.exists(f"/proc/{root}"):
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += high(pid)
        waiting += children(pid)
    if total == 0:
        break  # a zombie: it waits for the shell
    most = max(most, total)
    time.sleep(0.02)
print(most)
PY
}

done_testing() {
    echo "1..$count"
    [ "$failed" = 0 ]
    exit
}
