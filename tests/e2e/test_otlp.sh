#!/usr/bin/env bash
# Traces and metrics to a collector that takes only what OpenTelemetry's own definitions have (support/otlp_server.py).
. "$(dirname "$0")/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
for name in $(env | sed -n 's/^\(OTEL_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

if ! python=$("$here/../support/otlp.sh" fetch 2>"$work/why"); then
    why="OpenTelemetry's own definitions (Debian's python3-opentelemetry-proto) cannot be had: $(tail -n 1 "$work/why")"
    [ -z "${CI:-}${AEGIS_REQUIRE_OTLP:-}" ] || { echo "not ok - $why"; exit 1; }
    echo "1..0 # SKIP $why"
    exit 77
fi

received="$work/received"
mkdir "$received"
"$python" "$here/../support/otlp_server.py" "$received" >"$work/receiver.log" 2>&1 &
pids+=($!)
wait_until 20 test -s "$received/url" || { fail "the receiver starts" "$(cat "$work/receiver.log")"; exit 1; }
collector=$(cat "$received/url")
told() { "$python" "$here/otlp_check.py" "$@"; }
# The receiver appends: what was told before is put away.
forget() { rm -f "$received/traces" "$received/metrics"; }
trace_of() { aegis jobs --json | jq -r ".jobs[] | select(.key | endswith(\"$1\")).trace_id"; }

# begins NAME COMMAND...: a service, its log in $log
begins() {
    log="$work/$1.log"
    shift
    "$AEGIS" --data "$data" "$@" >"$log" 2>&1 &
    service=$!
    pids+=("$service")
}
ends() {
    kill -TERM "$service"
    wait "$service"
    equal "$1" 0 $?
}

export OTEL_EXPORTER_OTLP_ENDPOINT="$collector/" OTEL_METRIC_EXPORT_INTERVAL=300 AEGIS_RETRY_BASE=1ms AEGIS_RETRY_CAP=1ms

# ---- watch: from a file to its search, and to its grave ----
fake_start
mkdir "$work/in"
printf 'A report about lighthouses. It was written on the island of Rhum in May.\n' >"$work/in/good.txt"
printf '%%PDF-1.7\nthis is none' >"$work/in/broken.pdf"
printf 'A windmill turns in the west wind.\n' >"$work/in/again.txt"
control '{"rules":[{"path":"/v1/embeddings","contains":"windmill","fault":"reset","times":5}]}'
OTEL_EXPORTER_OTLP_HEADERS="x-key=two%20words,other=1" OTEL_SERVICE_NAME=aegis-test \
    OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.name=not-this,host.name=h%C3%A4fen" \
    AEGIS_METRICS_LISTEN=127.0.0.1:0 begins watch watch "$work/in"
ended() { [ "$(grep -cE '"event":"job\.(succeeded|dead)"' "$log")" = "$1" ]; }
if wait_until 60 ended 3; then pass "three jobs end"; else fail "three jobs end" "$(tail -n 5 "$log")"; fi
counted() { [ "$(told point "$received/metrics" aegis_jobs_finished_total)" = 3.0 ]; }
if wait_until 20 counted; then pass "three ends are counted at the collector"; else fail "three ends are counted at the collector"; fi
port=$(sed -n 's/.*"event":"metrics.ready".*127.0.0.1:\([0-9]*\).*/\1/p' "$log")
curl -fsS "http://127.0.0.1:$port/metrics" >"$work/scrape"
equal "the metrics are those of /metrics" \
    "$(sed -n 's/^\([a-z_]*\)[ {].*/\1/p' "$work/scrape" | sed -E 's/^(aegis_provider_call_duration_seconds)_.*/\1/' | sort -u)" \
    "$(told metrics "$received/metrics")"
ends "it stops cleanly"
equal "nothing was refused" "" "$(cat "$received/refused" 2>/dev/null)"
equal "nothing failed" "" "$(grep -E 'otlp\.(failed|rejected)' "$log")"
stages="fetch/internal identify/internal extract/internal transcribe/internal chunk/internal summarise/internal embed/internal"
equal "a job's trace: ingestion, attempt, stages" \
    "job.ingest/producer/good.txt job.attempt/consumer/good.txt/1/succeeded $stages publish/internal" \
    "$(told traces "$received/traces" "$(trace_of good.txt)")"
dead=$(told traces "$received/traces" "$(trace_of broken.pdf)")
contains "one that died" "job.attempt/consumer/broken.pdf/1/dead/error:" "$dead"
contains "and in which stage" "extract/internal/error:" "$dead"
retried=$(told traces "$received/traces" "$(trace_of again.txt)")
contains "one that was retried" "again.txt/1/retrying/error:connection_reset" "$retried"
contains "its stage" "embed/internal/error:connection_reset" "$retried"
contains "and the attempt after it" "again.txt/2/" "$retried"
equal "headers are sent" "two words" "$(told headers "$received/traces" x-key)"
resource=$(told resource "$received/traces")
contains "the service's name" "service.name=aegis-test" "$resource"
contains "attributes of the environment" "deployment.environment.name=test" "$resource"
contains "decoded, before the program's own" "host.name=häfen" "$resource"
equal "the same of metrics" "$resource" "$(told resource "$received/metrics")"

# ---- ingest and worker: two processes, one trace ----
forget
control '{"reset":true}'
mkdir "$work/folder"
begins ingest ingest "$work/folder"
printf 'Whales pass the coast in April.\n' >"$work/folder/whales.txt"
if wait_until 20 grep -q watch.ingested "$log"; then pass "it is taken"; else fail "it is taken" "$(cat "$log")"; fi
ends "ingest stops cleanly"
exits "a worker does it" 0 aegis worker --until-idle
equal "one trace through both" \
    "job.ingest/producer/whales.txt job.attempt/consumer/whales.txt/1/succeeded $stages publish/internal" \
    "$(told traces "$received/traces" "$(trace_of whales.txt)")"
contains "aegis is the name unless another is set" "service.name=aegis" "$(told resource "$received/traces")"
equal "still nothing was refused" "" "$(cat "$received/refused" 2>/dev/null)"

# ---- ingest-event: the trace of who sent the event ----
forget
cat >"$work/event.json" <<'EVENT'
{"Messages": [{"Body": "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"media\"},\"object\":{\"key\":\"from-afar.txt\"}}}]}",
 "MessageAttributes": {"traceparent": {"StringValue": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}}]}
EVENT
exits "an event is taken" 0 aegis ingest-event "$work/event.json"
equal "its span continues the sender's" "job.ingest 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7" \
    "$(jq -r '.body.resourceSpans[].scopeSpans[].spans[] | "\(.name) \(.traceId) \(.parentSpanId)"' "$received/traces")"

exits "its job finds no object" 4 aegis worker --until-idle
contains "in the same trace" "4bf92f3577b34da6a3ce929d0e0e4736 object_missing" \
    "$(jq -r '.body.resourceSpans[].scopeSpans[].spans[] | "\(.traceId) \(.status.message)"' "$received/traces")"

# ---- off, and not to be had ----
forget
add() { printf 'About number %s.\n' "$1" >"$work/$1.txt" && aegis add --detach "$work/$1.txt" >/dev/null; }
add one
exits "disabled" 0 env OTEL_SDK_DISABLED=true "$AEGIS" --data "$data" serve --until-idle
add two
exits "gRPC is asked for" 0 env OTEL_EXPORTER_OTLP_PROTOCOL=grpc "$AEGIS" --data "$data" serve --until-idle
contains "it says that it cannot" "OTEL_EXPORTER_OTLP_PROTOCOL=http/json" "$out"
equal "nothing is exported either way" "" "$(ls "$received" | grep -E '^(traces|metrics)$')"
add three
exits "http/protobuf is asked for" 0 env OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf "$AEGIS" --data "$data" serve --until-idle
equal "it says once what it does instead" 1 "$(printf '%s\n' "$out" | grep -c '"event":"otlp.protocol"')"
contains "and exports" aegis_jobs "$(told metrics "$received/metrics")"
exits "headers that are none" 2 env OTEL_EXPORTER_OTLP_HEADERS="secret-token" "$AEGIS" --data "$data" serve --until-idle
contains "are named" otlp.headers "$out"
case "$out" in *secret-token*) fail "but not told" "$out" ;; *) pass "but not told" ;; esac
exits "an address of gRPC" 2 env OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317 "$AEGIS" --data "$data" serve --until-idle
contains "is refused with what to write" "http://HOST:4318" "$out"

exits "a password in the address" 2 env OTEL_EXPORTER_OTLP_ENDPOINT=http://me:pass-word@localhost:4318 "$AEGIS" --data "$data" serve --until-idle
case "$out" in *pass-word*) fail "is refused and not told" "$out" ;; *) pass "is refused and not told" ;; esac

# ---- a collector that is away ----
for name in a b c d; do add "$name"; done
began=$SECONDS
exits "without its collector it works" 0 env OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9 OTEL_METRIC_EXPORT_INTERVAL=100 \
    "$AEGIS" --data "$data" serve --until-idle
equal "one warning for traces" 1 "$(printf '%s\n' "$out" | grep -c '"event":"otlp.failed","signal":"traces"')"
equal "at most one for metrics" true "$([ "$(printf '%s\n' "$out" | grep -c '"event":"otlp.failed","signal":"metrics"')" -le 1 ] && echo true)"
equal "it is not waited for" true "$([ $((SECONDS - began)) -lt 20 ] && echo true)"
equal "all jobs are done" 0 "$(aegis jobs --json | jq '[.jobs[] | select(.state != "succeeded" and .state != "dead")] | length')"

done_testing
