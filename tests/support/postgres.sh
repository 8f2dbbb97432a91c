#!/usr/bin/env bash
# A real PostgreSQL 17 with pgvector for tests and benchmarks, without touching the machine's own
# packages: a relocatable folder under $XDG_CACHE_HOME/aegis-test (root: /var/cache/aegis-test),
# fetched once through apt from Debian trixie at the mirror this machine already uses, and checked
# against Debian's keys. Root runs the server as nobody.
#
#   postgres.sh fetch               makes the folder if it is not there; prints its path
#   postgres.sh start DIRECTORY     makes and starts a cluster there on a free port of 127.0.0.1;
#                                   prints its URL (user and database "postgres", no password)
#   postgres.sh stop DIRECTORY      stops it and removes the directory
#
# AEGIS_TEST_POSTGRES=URL: `start` prints this instead and `stop` does nothing.
# Further arguments of `start` are passed to postgres (such as -c shared_buffers=256MB).
set -euo pipefail

packages="postgresql-17 postgresql-17-pgvector libaudit1 libc6 libcap-ng0 libcap2 libcom-err2 libgcc-s1
    libgssapi-krb5-2 libicu76 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap2 liblz4-1
    liblzma5 libpam0g libpq5 libsasl2-2 libssl3t64 libstdc++6 libsystemd0 libxml2 libxxhash0 libzstd1
    zlib1g"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/aegis-test"
nobody=65534
# Root runs it as nobody, who does not get into root's home.
[ "$(id -u)" != 0 ] || cache=/var/cache/aegis-test

fail() {
    echo "postgres.sh: $*" >&2
    exit 1
}

mirror() {
    local list=/etc/apt/sources.list.d/debian.sources uri=""
    [ -f "$list" ] && uri=$(awk '$1 == "URIs:" { print $2; exit }' "$list")
    [ -z "$uri" ] && [ -f /etc/apt/sources.list ] &&
        uri=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }' /etc/apt/sources.list)
    [ -n "$uri" ] || fail "no Debian mirror is named in /etc/apt: set AEGIS_TEST_POSTGRES to the URL of a PostgreSQL with pgvector"
    echo "$uri"
}

# An apt of its own: other lists, other state, an empty status file, the same mirror, proxies and keys.
private_apt() {
    local state=$1
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie main" >"$state/sources.list"
    cat >"$state/apt.conf" <<CONF
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$state";
Dir::State::lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
APT::Sandbox::User "root";
CONF
    APT_CONFIG="$state/apt.conf" apt-get -qq update
}

# The folder's own loader runs X.real with the folder's own libraries; initdb and pg_ctl spawn
# postgres by its name, so the wrapper takes the program's place.
wrap() {
    local root=$1 program=$2
    mv "$program" "$program.real"
    cat >"$program" <<'WRAPPER'
#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=${here%/usr/lib/postgresql/17/bin}
lib="$root/usr/lib"
for d in "$root"/usr/lib/*-linux-gnu*; do [ -d "$d" ] && lib="$d:$lib"; done
for loader in "$root"/usr/lib/*-linux-gnu*/ld-linux-*.so.* "$root"/usr/lib64/ld-linux-*.so.*; do
    [ -x "$loader" ] && exec "$loader" --library-path "$lib" --argv0 "$0" "$0.real" "$@"
done
echo "$0: no loader in $root" >&2
exit 127
WRAPPER
    chmod 755 "$program"
}

fetch() {
    local root="$cache/postgresql-17"
    if [ ! -x "$root/usr/lib/postgresql/17/bin/postgres" ]; then
        mkdir -p "$cache"
        exec 9>"$cache/lock"
        flock 9
    fi
    if [ ! -x "$root/usr/lib/postgresql/17/bin/postgres" ]; then
        echo "fetching PostgreSQL 17 with pgvector (once)" >&2
        local work
        work=$(mktemp -d "$cache/fetch-XXXXXX")
        private_apt "$work/apt" >&2
        mkdir "$work/debs" "$work/root"
        (cd "$work/debs" && APT_CONFIG="$work/apt/apt.conf" apt-get -qq download $packages) >&2
        for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
        rm -rf "$work"/root/usr/lib/postgresql/17/lib/bitcode "$work"/root/usr/lib/postgresql/17/lib/llvmjit* \
            "$work"/root/usr/share/doc "$work"/root/usr/share/man "$work"/root/usr/share/locale
        for p in postgres initdb; do wrap "$work/root" "$work/root/usr/lib/postgresql/17/bin/$p"; done
        chmod -R a+rX "$work/root"
        rm -rf "$root"
        mv "$work/root" "$root"
        rm -rf "$work"
    fi
    echo "$root"
}

unprivileged() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=$nobody --regid=$nobody --clear-groups "$@"
    else
        "$@"
    fi
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

start() {
    if [ -n "${AEGIS_TEST_POSTGRES:-}" ]; then
        echo "$AEGIS_TEST_POSTGRES"
        return
    fi
    local directory=$1 root bin port
    shift
    root=$(fetch)
    bin="$root/usr/lib/postgresql/17/bin"
    mkdir -p "$directory"
    [ "$(id -u)" != 0 ] || chown $nobody:$nobody "$directory"
    unprivileged test -w "$directory" || fail "nobody cannot reach '$directory': put it where others may enter"
    cd "$directory"
    export LC_ALL=C.UTF-8 TZ=UTC
    unprivileged "$bin/initdb" -D "$directory/data" -U postgres -A trust --locale=C.UTF-8 -E UTF8 \
        -L "$root/usr/share/postgresql/17" --no-sync >"$directory/initdb.log" 2>&1 ||
        fail "initdb failed: $(tail -n 3 "$directory/initdb.log")"
    for _ in 1 2 3 4 5; do
        port=$(free_port)
        unprivileged "$bin/postgres" -D "$directory/data" -p "$port" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories= -c jit=off -c "dynamic_library_path=$root/usr/lib/postgresql/17/lib" "$@" \
            >"$directory/log" 2>&1 9>&- &
        local child=$!
        disown
        for _ in $(seq 300); do
            if grep -q "ready to accept connections" "$directory/log"; then
                echo "postgresql://postgres@127.0.0.1:$port/postgres"
                return
            fi
            kill -0 $child 2>/dev/null || break
            sleep 0.1
        done
    done
    fail "PostgreSQL did not start: $(tail -n 3 "$directory/log")"
}

stop() {
    [ -z "${AEGIS_TEST_POSTGRES:-}" ] || return 0
    local directory=$1 pid
    pid=$(head -n 1 "$directory/data/postmaster.pid" 2>/dev/null || true)
    if [ -n "$pid" ]; then
        kill -INT "$pid" 2>/dev/null || true
        for _ in $(seq 300); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    rm -rf "$directory"
}

case "${1:-}" in
fetch) fetch ;;
start | stop)
    [ $# -ge 2 ] || fail "usage: postgres.sh $1 DIRECTORY"
    "$@"
    ;;
*) fail "usage: postgres.sh fetch | start DIRECTORY [ARGUMENT...] | stop DIRECTORY" ;;
esac
