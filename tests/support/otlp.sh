#!/usr/bin/env bash
# OpenTelemetry's own definitions for tests, and the Python that reads them: a relocatable folder (apt.sh) with
# Debian's python3-opentelemetry-proto.
#
#   otlp.sh fetch        makes the folder if it is not there; prints its Python
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

program=usr/bin/otlp-python

make_folder() {
    unpack "$1" trixie '^(lib|zlib1g$|python3|opentelemetry-proto)' '^lib(acl1|db5|md0|ncurses|pcre2|readline|selinux)' \
        python3-opentelemetry-proto python3-protobuf
    rm -rf "$1"/root/usr/lib/python3.13/{test,pydoc_data,idlelib,ensurepip} "$1"/root/usr/lib/*/gconv \
        "$1"/root/usr/share/zoneinfo
    write_python "$1/root/$program"
    "$1/root/$program" "$here/otlp_server.py" # it keeps the bytecode
}

case ${1:-} in
fetch) echo "$(fetch_once otlp-1.5 "$program" make_folder)/$program" ;;
*) fail "usage: otlp.sh fetch" ;;
esac
