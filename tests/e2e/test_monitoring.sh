#!/usr/bin/env bash
# Health, readiness and metrics of serve, worker and ingest; a wrong key makes them unready until it is mended.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/monitoring.sh"

fake_start
unset OPENAI_API_KEY
good=sk-good-0123456789
wrong=sk-wrong-0123456789
key() { (umask 077 && printf 'openai_api_key = %s\n' "$1" >"$data/secrets.new" && mv "$data/secrets.new" "$data/secrets"); }
mkdir -p -m 700 "$data"
key "$good"
upload() {
    printf 'A report about %s. It was written on the island of Rhum in May.\n' "$1" >"$work/$1.txt"
    exits "$1 is uploaded" 0 aegis add --detach "$work/$1.txt"
}

# ---- off unless asked for ----
"$AEGIS" --data "$data" serve --until-idle >"$work/off.log" 2>&1
equal "without the setting nothing listens" "" "$(grep metrics.ready "$work/off.log")"
exits "health without the setting is wrong usage" 2 aegis health
contains "and says which" AEGIS_METRICS_LISTEN "$out"
exits "a wrong address is refused" 2 env AEGIS_METRICS_LISTEN=9464 "$AEGIS" --data "$data" serve
contains "with what to write" "metrics.listen: '9464'" "$out"

# ---- serve ----
starts serve serve
equal "alive" "ok" "$(page healthz)"
equal "ready" "ready 200" "$(page readyz) $(status readyz)"
equal "nothing else" 404 "$(status '')"
exits "health says so" 0 env AEGIS_METRICS_LISTEN="$at" "$AEGIS" health --ready
equal "in one word" ready "$out"
exits "a proxy is not asked" 0 env AEGIS_METRICS_LISTEN="$at" http_proxy=http://127.0.0.1:1 no_proxy=example.com \
    "$AEGIS" health
exits "a second service cannot have the port" 1 env AEGIS_METRICS_LISTEN="$at" "$AEGIS" --data "$data" serve --until-idle
contains "and is told why" "another process" "$out"
well_formed "metrics are well-formed before any work"
upload first
reaches "a job is counted" 'aegis_jobs_finished_total{outcome="succeeded"}' 1
reaches "and seen in the database" 'aegis_jobs{state="succeeded"}' 1
reaches "the queue is empty" 'aegis_queue_messages{state="visible"}' 0
model='operation="embed",provider="openai",model="text-embedding-3-small"'
equal "its calls are counted" 1 "$(value "aegis_provider_calls_total{$model,outcome=\"ok\"}")"
tokens=$(value "aegis_provider_tokens_total{$model,kind=\"input\"}")
equal "its tokens as aegis usage counts them" \
    "$(aegis usage --by model --json | jq '.usage[] | select(.operation == "embed").input_tokens')" "$tokens"
spent=$(aegis usage --by model --json | jq '[.usage[].cost_usd] | add')
equal "its cost is that of aegis usage" 1 "$(jq -n "($spent - $(value aegis_cost_usd)) | fabs < 1e-8 | if . then 1 else 0 end")"
{ printf '%%PDF-1.7\n'; head -c 3000 /dev/urandom; } >"$work/broken.pdf"
exits "what cannot be read is uploaded" 0 aegis add --detach "$work/broken.pdf"
reaches "a dead job is counted" 'aegis_jobs_finished_total{outcome="dead"}' 1
contains "with its reason" 'aegis_attempts_failed_total{class="final",reason="' "$(page metrics)"
well_formed "metrics are well-formed after it"

# ---- the key is refused, and mended ----
key "$wrong"
stops "it stops cleanly"
starts refused worker
equal "a worker is ready before it needs the key" 200 "$(status readyz)"
upload second
if wait_until 20 ready_is 503; then pass "a refused key makes it unready"; else fail "a refused key makes it unready" "$(page readyz)"; fi
equal "with the reason" "the pipeline is paused: invalid_key" "$(page readyz)"
exits "health tells it" 1 env AEGIS_METRICS_LISTEN="$at" "$AEGIS" health --ready
contains "with the same words" invalid_key "$out"
equal "it is alive all the same" 200 "$(status healthz)"
reaches "the pause is a metric" aegis_pipeline_paused 1
contains "its reason too" 'aegis_pipeline_pause_start_time_seconds{reason="invalid_key"}' "$(page metrics)"
refusals() { [ "$(value 'aegis_attempts_failed_total{class="systemic",reason="invalid_key"}')" -ge "$1" ]; }
exits "the refusal is counted" 0 wait_until 20 refusals 1
well_formed "metrics are well-formed meanwhile"
case "$(page metrics; page readyz)" in
*sk-*) fail "no key is told" ;;
*) pass "no key is told" ;;
esac
key "$good"
if wait_until 60 ready_is 200; then pass "the right key makes it ready"; else fail "the right key makes it ready" "$(page readyz)"; fi
reaches "the pause is over" aegis_pipeline_paused 0
reaches "and the job done, here" 'aegis_jobs_finished_total{outcome="succeeded"}' 1
stops "the worker stops cleanly"
exits "nobody answers then" 1 env AEGIS_METRICS_LISTEN="$at" "$AEGIS" health

# ---- ingest ----
mkdir "$work/in"
printf 'About a windmill.\n' >"$work/in/one.txt"
starts ingest ingest "$work/in"
reaches "files are counted" 'aegis_files_total{result="ingested"}' 1
equal "ingest is ready" ready "$(page readyz)"
well_formed "its metrics are well-formed"
stops "it stops cleanly"

# ---- what the documentation says of it ----
names=$(sed -n 's/^# TYPE \(aegis_[a-z_]*\) .*/\1/p' "$work/scrape")
for name in $names aegis_pipeline_pause_start_time_seconds; do
    grep -q "\`$name\`" "$AEGIS_SOURCE/docs/monitoring.md" || fail "docs/monitoring.md has $name"
done
unknown=$(grep -oE '\baegis_[a-z_]+' "$AEGIS_SOURCE/docs/monitoring.md" | sort -u |
    grep -vxFf <(printf '%s\n' $names aegis_pipeline_pause_start_time_seconds))
equal "and no metric that there is not" "" "$unknown"
if command -v promtool >/dev/null; then
    page_block monitoring.md rules >"$work/rules.yml"
    exits "its rules are valid" 0 promtool check rules "$work/rules.yml"
    page_block monitoring.md scrape >"$work/prometheus.yml"
    exits "its scrape configuration is valid" 0 promtool check config --syntax-only "$work/prometheus.yml"
fi
done_testing
