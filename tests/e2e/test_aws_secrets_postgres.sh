#!/usr/bin/env bash
# Key and database URL come from Secrets Manager (moto). A wrong key is mended there, and a password is rotated there
# and in PostgreSQL, while `aegis serve` runs: no restart, no failed attempt.
. "$(dirname "$0")/lib.sh"

fake_start
unset OPENAI_API_KEY
aws_start moto
good=sk-good-0123456789
wrong=sk-wrong-0123456789
old='old/@pass?word'
new='new/@pass?word'
key="aegis-$$-key"
database="aegis-$$-database"
export AEGIS_SECRETS=secrets_manager AEGIS_OPENAI_SECRET=$key AEGIS_DATABASE_SECRET=$database

# secrets ACTION JSON: a signed call; what signs is not on the command line
secrets() {
    curl -fsS -K - "$AWS_ENDPOINT_URL/" --aws-sigv4 "aws:amz:$AWS_REGION:secretsmanager" \
        -H "Content-Type: application/x-amz-json-1.1" -H "X-Amz-Target: secretsmanager.$1" -d "$2" \
        >/dev/null <<<"user = \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\""
}
token=0
# writes ACTION NAMED NAME STRING
writes() {
    token=$((token + 1))
    secrets "$1" "$(jq -n --arg named "$2" --arg name "$3" --arg string "$4" --arg token "$(printf '%08d-0000-4000-8000-%012d' "$token" $$)" \
        '{($named): $name, ClientRequestToken: $token, SecretString: $string}')"
}
creates() { writes CreateSecret Name "$@"; }
puts() { writes PutSecretValue SecretId "$@"; }

# ---- a PostgreSQL that checks passwords ----
"$AEGIS_SOURCE/tests/support/postgres.sh" fetch >/dev/null || without "PostgreSQL cannot be had"
client=$("$AEGIS_SOURCE/tests/support/postgres.sh" client) || without "PostgreSQL's client programs cannot be had"
place=$(mktemp -d "${TMPDIR:-/tmp}/aegis-secrets-XXXXXX")
own=$(unset AEGIS_TEST_DATABASE_URL && AEGIS_POSTGRES_FOR=$$ "$AEGIS_SOURCE/tests/support/postgres.sh" start "$place" -c fsync=off) ||
    without "PostgreSQL cannot be had"
port=$(cat "$place/port")
printf '%s\n' 'host all postgres 127.0.0.1/32 trust' 'host all all 127.0.0.1/32 scram-sha-256' >"$place/data/pg_hba.conf"
sql "$own" "CREATE ROLE app LOGIN SUPERUSER PASSWORD '$old'" >/dev/null
sql "$own" "SELECT pg_reload_conf()" >/dev/null
checks() { ! PGPASSWORD=no "$client/psql" -qX "postgresql://app@127.0.0.1:$port/postgres" -c "SELECT 1"; }
wait_until 10 checks
rds() { jq -nc --arg password "$1" --argjson port "$port" '{engine: "postgres", host: "127.0.0.1", username: "app", password: $password, dbname: "postgres", port: $port}'; }

creates "$key" "$wrong"
exits "a database secret that is missing is no SQLite" 5 aegis list
contains "and is named" "$database" "$out"
creates "$database" "$(rds "$old")"
exits "the schema is made with the secret's login" 0 aegis db migrate

# ---- serving ----
job() { aegis jobs --json "$(aegis jobs --json --limit 1 2>/dev/null | jq '.jobs[0].id')" 2>/dev/null; }
is() { [ "$(job | jq -r .state)" = "$1" ]; }
upload() {
    printf 'A report about %s. It was written on the island of Rhum in May.\n' "$1" >"$work/$1.txt"
    OPENAI_API_KEY=$good aegis add --detach --prefix k "$work/$1.txt" >/dev/null 2>&1
}
"$AEGIS" --data "$data" serve >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
wait_until 20 grep -q serve.ready "$work/serve.log" || fail "the service starts" "$(cat "$work/serve.log")"
upload first
wait_until 20 is paused
equal "a wrong key pauses" "paused invalid_key" "$(job | jq -r '"\(.state) \(.reason)"')"
puts "$key" "{\"openai_api_key\": \"$good\"}"
wait_until 60 is succeeded
equal "the right one in Secrets Manager resumes it" "succeeded after 1" "$(job | jq -r '"\(.state) after \(.attempts)"')"

# ---- the password is rotated ----
sql "$own" "ALTER ROLE app PASSWORD '$new'" >/dev/null
puts "$database" "$(rds "$new")"
sql "$own" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'" >/dev/null
upload second
wait_until 60 is succeeded
equal "work goes on with the new password" "succeeded after 1" "$(job | jq -r '"\(.state) after \(.attempts)"')"
equal "no failed attempt is on record" "" "$(job | jq -r '.history[] | select(.outcome != "succeeded") | .reason')"
contains "the log tells of the change" secret.changed "$(cat "$work/serve.log")"
kill -0 "$serve" && pass "the service was not restarted" || fail "the service was not restarted"

exits "doctor" 0 aegis doctor
contains "says where the key comes from" "from the secret '$key' in AWS Secrets Manager" "$(echo "$out" | tr -s ' \n' ' ')"
out=$(OPENAI_API_KEY=$good aegis doctor --offline 2>&1)
contains "the environment goes first" "from OPENAI_API_KEY" "$out"
kill -TERM "$serve"
wait "$serve"
equal "the service stops cleanly" 0 $?
for secret in "$good" "$wrong" "$old" "$new" 'old%2F' 'new%2F' "$AWS_SECRET_ACCESS_KEY"; do
    case "$(cat "$work/serve.log")" in
    *"$secret"*) fail "no secret is in the log" "$(grep -nF "$secret" "$work/serve.log")" ;;
    esac
done
"$AEGIS_SOURCE/tests/support/postgres.sh" stop "$place"
done_testing
