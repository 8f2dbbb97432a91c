# bench/rows/35-lambda.sh
# AWS Lambda: cold start, time and memory of both functions, against Node 20 with AWS's SDK
row() {
    local rounds=$((ROUNDS * 3)) round side
    lambda_prepare
    for round in $(seq 0 "$rounds"); do # round 0 warms the disk
        [ "$round" != 1 ] || rm -f "$work"/lambda-*
        for side in aegis bundled connected plain; do lambda_round "$side"; done
    done
    lambda_report ingestion "an S3 event"
    lambda_report processor "ten messages"
    emit "per event that needs nothing: p50" "$(lambda_median aegis nothing p50_ms)" ms "Node, bundled" \
        "$(lambda_median bundled nothing p50_ms)" lower
    emit "per event that needs nothing: processor time" "$(lambda_median aegis nothing cpu_ms)" ms "Node, bundled" \
        "$(lambda_median bundled nothing cpu_ms)" lower
    emit "zip" "$(lambda_megabytes "$lambda/aegis-lambda.zip")" MB "Node, bundled" "$(lambda_megabytes "$lambda/bundled.zip")" lower
    emit "zip" "$(lambda_megabytes "$lambda/aegis-lambda.zip")" MB "Node, node_modules" "$(lambda_megabytes "$lambda/plain.zip")" lower
    setting rounds "$rounds, interleaved; medians, p99 too"
    setting load "$(cut -d' ' -f1-3 /proc/loadavg) at the end"
    setting node "$("$lambda_node" --version), SDK $(lambda_version @aws-sdk/client-s3), openai $(lambda_version openai), pg $(lambda_version pg), esbuild $(lambda_version esbuild)"
}

# ---- what is measured ----

# Texts, each the object of an event; ten of its jobs are a batch. The first ten are not measured: with them the database
# gets what is made once for all functions. The first event of each process is not in its quantiles.
lambda_texts=220 lambda_first=10 lambda_nothings=201

# Where Lambda unpacks a function, in a mount name space of its own.
lambda_prepare() {
    lambda=$work/lambda
    mkdir -p "$lambda"/{var/task,var/tmp,task,plain,bundled}
    scripts/lambda-zip.sh "$AEGIS" "$lambda" function >&2
    unzip -q "$lambda/aegis-lambda.zip" -d "$lambda/task"
    lambda_peers
    cat >"$lambda/inside" <<SH
#!/bin/sh -e
mount --rbind /var/tmp "$lambda/var/tmp"
mount --bind "$lambda/task" "$lambda/var/task"
mount --rbind "$lambda/var" /var
exec "\$@"
SH
    chmod +x "$lambda/inside"
    lambda_spaces=(unshare --mount)
    [ "$(id -u)" = 0 ] || lambda_spaces+=(--map-root-user)
    "$BUILD/bench/bench_aws" "$(texts $lambda_texts)" >"$lambda/aws.url" &
    remember $!
    disown
    until [ -s "$lambda/aws.url" ]; do sleep 0.02; done
    lambda_environment
    lambda_events
}

# The same functions in Node: as npm installs them, and as CDK's NodejsFunction packs them with minify.
lambda_peers() {
    local at=$PWD/bench/peers/lambda name
    command -v npm >/dev/null || {
        echo "the peers need npm (apt-get install npm)" >&2
        return 1
    }
    say "installing the peers (npm)"
    (cd "$at" && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    lambda_node=$(ls "$at"/node_modules/node-linux-*/bin/node)
    (cd "$at" && PATH=${lambda_node%/node}:$PATH npm run --silent bundle -- --outdir="$lambda/bundled" >&2)
    for name in ingestion processor; do
        printf '#!%s\nimport "%s/bootstrap-%s.js";\n' "$lambda_node" "$at" "$name" >"$lambda/plain/$name.mjs"
        { printf '#!%s\n' "$lambda_node" && cat "$lambda/bundled/bootstrap-$name.cjs"; } >"$lambda/bundled/$name.cjs"
    done
    chmod +x "$lambda"/plain/* "$lambda"/bundled/*
    (cd "$lambda/bundled" && zip -qX "$lambda/bundled.zip" bootstrap-*.cjs)
    (cd "$at" && zip -qrX "$lambda/plain.zip" ./*.js package.json node_modules \
        -x 'node_modules/node-linux-*' 'node_modules/@esbuild/*' 'node_modules/esbuild/*' 'node_modules/.bin/*')
}

lambda_version() { jq -r .version "bench/peers/lambda/node_modules/$1/package.json"; }

lambda_environment() {
    export DATABASE_URL OPENAI_BASE_URL OPENAI_API_KEY=key AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=key \
        AWS_SECRET_ACCESS_KEY=secret AWS_REGION=us-east-1 AEGIS_DATA=$lambda/data AEGIS_STORE=s3 AEGIS_BUCKET=bench \
        AEGIS_QUEUE_URL AEGIS_DEAD_LETTER_URL PEER_QUEUE_URL
    DATABASE_URL="$(postgres_url)?sslmode=disable" # only libpq would ask for TLS
    OPENAI_BASE_URL=$(fake_openai 0)
    AWS_ENDPOINT_URL=$(cat "$lambda/aws.url")
    AEGIS_QUEUE_URL=$AWS_ENDPOINT_URL/123456789012/jobs
    AEGIS_DEAD_LETTER_URL=$AWS_ENDPOINT_URL/123456789012/dead
    PEER_QUEUE_URL=$AEGIS_QUEUE_URL
}

lambda_events() {
    local i
    for i in $(seq $lambda_nothings); do echo '{"Records":[]}'; done >"$lambda/nothing"
    (cd "$(texts $lambda_texts)" && ls) | jq -Rc '{Records: [{eventVersion: "2.1", eventSource: "aws:s3",
        awsRegion: "us-east-1", eventTime: "2026-01-01T00:00:00.000Z", eventName: "ObjectCreated:Put",
        s3: {s3SchemaVersion: "1.0", bucket: {name: "bench", arn: "arn:aws:s3:::bench"},
             object: {key: ., size: 4096, eTag: "0123456789abcdef0123456789abcdef",
                      sequencer: ("0055AED6DCD9" + .[5:11])}}}]}' >"$lambda/events"
    head -n $lambda_first "$lambda/events" >"$lambda/first"
    tail -n +$((lambda_first + 1)) "$lambda/events" >"$lambda/ingestion"
}

# ---- measuring ----

lambda_program() {
    case $1 in
    aegis) echo /var/task/bootstrap ;;
    bundled | connected) echo "$lambda/bundled/$2.cjs" ;;
    plain) echo "$lambda/plain/$2.mjs" ;;
    esac
}

# lambda_call SIDE HANDLER EVENTS: its figures are in $lambda/out.
lambda_call() {
    local connects=""
    [ "$1" != connected ] || connects=1
    PEER_CONNECTS=$connects "${lambda_spaces[@]}" "$lambda/inside" "$BUILD/bench/bench_lambda" "$(lambda_program "$1" "$2")" "$2" \
        "$lambda/$3" "$lambda/log-$1-$2" >"$lambda/out" || {
        tail -n 3 "$lambda/log-$1-$2" >&2
        return 1
    }
}

# lambda_run SIDE HANDLER EVENTS: its figures are noted under the name of the events' file.
lambda_run() {
    local name
    lambda_call "$@"
    for name in cold_ms cold_cpu_ms cold_mib first_ms p50_ms p99_ms cpu_ms peak_mib; do
        note "lambda-$1-$3-$name" "$(jq -r ".$name" "$lambda/out")"
    done
    note "lambda-$1-$3-answered_ms" "$(jq '.cold_ms + .first_ms' "$lambda/out")"
}

lambda_sent() { curl -fsS "$AWS_ENDPOINT_URL/sent/10" >"$lambda/$1"; }

# On a new schema: events that need nothing, one event for each text, then the messages that came of them.
lambda_round() {
    without_tables
    PGOPTIONS="-c client_min_messages=warning" psql -qX -v ON_ERROR_STOP=1 "$DATABASE_URL" -f bench/peers/lambda/schema.sql
    [ "$1" != aegis ] || serving "$AEGIS" db migrate >/dev/null
    lambda_call "$1" ingestion first
    lambda_sent first-messages
    lambda_call "$1" processor first-messages
    postgres_quiet
    lambda_run "$1" ingestion nothing
    lambda_run "$1" ingestion ingestion
    lambda_sent processor
    expect "the number of batches" $(((lambda_texts - lambda_first) / 10)) "$(wc -l <"$lambda/processor")"
    lambda_run "$1" processor processor
    expect "the number of results" "$lambda_texts" \
        "$(sql "SELECT count(*) FROM $([ "$1" = aegis ] && echo aegis.job WHERE state = 4 || echo "peer.job WHERE state = 'done'")")"
}

# ---- reporting ----

lambda_least() { sort -g "$work/lambda-$1-$2-$3" | head -n 1; }
lambda_median() { median "$work/lambda-$1-$2-$3"; }
lambda_megabytes() { jq -n "$(stat -c %s "$1") / 1000000"; }

# lambda_against SIDE PEER NAME UNIT EVENTS FIGURE
lambda_against() {
    emit "$3" "$(lambda_median aegis "$5" "$6")" "$4" "$2" "$(lambda_median "$1" "$5" "$6")" lower
}

lambda_emit() {
    lambda_against bundled "Node, bundled" "$@"
    lambda_against plain "Node, node_modules" "$@"
}

# lambda_report HANDLER EVENT
lambda_report() {
    lambda_emit "$1: cold start" ms "$1" cold_ms
    lambda_against connected "Node, bundled, connects too" "$1: cold start" ms "$1" cold_ms
    emit "$1: cold start, the quickest" "$(lambda_least aegis "$1" cold_ms)" ms "Node, bundled" \
        "$(lambda_least bundled "$1" cold_ms)" lower
    lambda_emit "$1: processor time until then" ms "$1" cold_cpu_ms
    lambda_emit "$1: memory after it" MiB "$1" cold_mib
    lambda_emit "$1: from start to the first answer" ms "$1" answered_ms
    lambda_emit "$1: $2, p50" ms "$1" p50_ms
    lambda_emit "$1: $2, p99" ms "$1" p99_ms
    lambda_emit "$1: $2, processor time" ms "$1" cpu_ms
    lambda_emit "$1: peak memory" MiB "$1" peak_mib
}
