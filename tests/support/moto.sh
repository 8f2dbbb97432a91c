#!/usr/bin/env bash
# moto, a pretended AWS with S3, SQS and Secrets Manager, for tests: a relocatable folder with a Python of its own
# (apt.sh). It checks signatures in headers; presigned URLs are refused, for them there is radosgw.sh.
#
#   moto.sh fetch               makes the folder if it is not there; prints its path
#   moto.sh start DIRECTORY     starts one on a free port of 127.0.0.1; prints DIRECTORY/env, a file for its owner's
#                               eyes with AWS_ENDPOINT_URL=, AWS_ACCESS_KEY_ID=, AWS_SECRET_ACCESS_KEY= and AWS_REGION=
#                               of a user who may do everything, in account 123456789012
#   moto.sh stop DIRECTORY      stops it and removes the directory; nothing is kept
#   moto.sh share BUILD         starts one for all tests of a build directory, if none runs: BUILD/moto/env, or
#                               BUILD/moto/why says why there is none
#   moto.sh unshare BUILD       stops and removes it
#
# Without one tests are skipped, but with AEGIS_REQUIRE_AWS or CI set they fail.
# AEGIS_AWS_FOR=PID: what `start` made is stopped and removed when that process is no more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/server.sh"

kind=moto answer=env required_by=AEGIS_REQUIRE_AWS
program=usr/bin/moto-python
# Each service is several MB of descriptions, and there are 400.
services="s3 sqs secretsmanager iam sts kms events"

trim() {
    local service
    mkdir "$1/keep"
    for service in $services; do mv "$1/usr/lib/python3/dist-packages/botocore/data/$service" "$1/keep/"; done
    rm -rf "$1"/usr/lib/python3/dist-packages/{botocore/data/*/,boto3/data,moto/stepfunctions/parser} \
        "$1"/usr/lib/python3.13/{test,pydoc_data,idlelib,ensurepip} "$1"/usr/lib/*/gconv "$1"/usr/share/zoneinfo
    mv "$1"/keep/* "$1/usr/lib/python3/dist-packages/botocore/data/"
    rmdir "$1/keep"
}

make_folder() {
    unpack "$1" trixie '^(lib|zlib1g$|python3)' '^lib(acl1|db5|md0|ncurses|pcre2|readline|selinux)' \
        python3-moto python3-flask python3-flask-cors
    trim "$1/root"
    write_python "$1/root/$program"
    "$1/root/$program" "$here/moto_server.py" # it keeps the bytecode: a start takes a third of the time
}

fetch() {
    fetch_once moto-5 "$program" make_folder
}

# The pid file outlives a server that was killed.
server_pid() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null || true)
    [ -z "$pid" ] || ! grep -qaF "$1" "/proc/$pid/cmdline" 2>/dev/null || echo "$pid"
}

start() {
    local directory=$1 root child
    root=$(fetch)
    [ -z "$(server_pid "$directory")" ] || fail "a server runs in '$directory': stop it first"
    own_directory "$directory"
    rm -f "$directory/env"
    install -m 644 "$here/moto_server.py" "$directory/" # nobody may not get to it where it is
    cd "$directory"
    env TZ=UTC PYTHONDONTWRITEBYTECODE=1 "${as_nobody[@]}" "$root/$program" moto_server.py "$directory" \
        >"$directory/log" 2>&1 9>&- </dev/null &
    child=$!
    disown
    echo "$child" >"$directory/pid"
    for _ in $(seq 600); do
        if [ -s "$directory/env" ]; then
            [ -z "${AEGIS_AWS_FOR:-}" ] || watch "$directory" "$AEGIS_AWS_FOR" "$child"
            echo "$directory/env"
            return
        fi
        kill -0 $child 2>/dev/null || break
        sleep 0.1
    done
    kill $child 2>/dev/null || true
    fail "moto did not start: $(tail -n 3 "$directory/log")"
}

share_start() {
    start "$1" >/dev/null
    cat "$1/env"
}

stop() {
    local pid
    pid=$(server_pid "$1")
    [ -z "$pid" ] || end "$pid" TERM
    rm -rf "$1"
}

case "${1:-}" in
fetch) fetch ;;
start | stop | share | share_start | unshare)
    [ $# = 2 ] || fail "usage: moto.sh $1 DIRECTORY"
    "$@"
    ;;
*) fail "usage: moto.sh fetch | start DIRECTORY | stop DIRECTORY | share BUILD | unshare BUILD" ;;
esac
