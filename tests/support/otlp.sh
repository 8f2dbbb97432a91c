#!/usr/bin/env bash
# OpenTelemetry's own definitions for tests, and the Python that reads them: a relocatable folder (apt.sh) with
# Debian's python3-opentelemetry-proto.
#
#   otlp.sh fetch        makes the folder if it is not there; prints its Python
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

program=usr/bin/otlp-python

# The folder's own loader runs its Python with its own libraries.
write_python() {
    cat >"$1" <<'WRAPPER'
#!/bin/sh
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
export PYTHONHOME="$root/usr" PYTHONPATH="$root/usr/lib/python3/dist-packages"
for lib in "$root"/usr/lib/*-linux-gnu*; do
    for loader in "$lib"/ld-linux-*.so.*; do
        [ -x "$loader" ] && exec "$loader" --library-path "$lib" "$root/usr/bin/python3.13" "$@"
    done
done
echo "$0: no loader in $root" >&2
exit 127
WRAPPER
    chmod 755 "$1"
}

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
