#!/usr/bin/env bash
# A real PostgreSQL with pgvector for tests and benchmarks, without touching the machine's own
# packages: a relocatable folder under $XDG_CACHE_HOME/aegis-test (root: /var/cache/aegis-test),
# fetched once through apt from Debian at the mirror this machine already uses, and checked against
# Debian's keys. Root runs the server as nobody.
#
#   postgres.sh fetch               makes the folder if it is not there; prints its path
#   postgres.sh client              a folder of its own with psql, pg_dump and pg_restore of the same
#                                   release; prints the path of its programs
#   postgres.sh start DIRECTORY     makes and starts a cluster there on a free port of 127.0.0.1, or
#                                   starts the one that is there on the port it had; prints its URL
#                                   (user and database "postgres", no password)
#   postgres.sh halt DIRECTORY      stops it; it can be started again
#   postgres.sh stop DIRECTORY      stops it and removes the directory
#   postgres.sh share BUILD         starts one server for all tests of a build directory, if none runs:
#                                   BUILD/postgres/url, or BUILD/postgres/why says why there is none
#   postgres.sh unshare BUILD       stops and removes it
#
# AEGIS_TEST_POSTGRES=VERSION: 17 (the default), 13, 15 or 18, of Debian's releases. 13 and 15 come without pgvector:
# it is built of a later release's source, with gcc. A server that `share` has running is used whatever its version.
# AEGIS_TEST_PGVECTOR=0.6.2 (or another before 0.7): an extension of that version, which is the one fetched without the
# types that 0.7 brought; its library stays what it is.
# AEGIS_TEST_DATABASE_URL=URL: tests use that server, as a login that may create databases and
# extensions; `start` and `share` give this URL and `stop` does nothing. Without a server tests are
# skipped, but with AEGIS_REQUIRE_POSTGRES or CI set they fail.
# AEGIS_POSTGRES_FOR=PID: what `start` made is stopped and removed when that process is no more.
# Further arguments of `start` are passed to postgres (such as -c shared_buffers=256MB).
set -euo pipefail
. "$(dirname "$0")/apt.sh"
. "$(dirname "$0")/server.sh"

kind=postgres answer=url required_by=AEGIS_REQUIRE_POSTGRES
instead="set AEGIS_TEST_DATABASE_URL to the URL of a PostgreSQL with pgvector"
version=${AEGIS_TEST_POSTGRES:-17}
vector_suite=trixie # whose source of pgvector is built where there is no package
case $version in
13) suite=bullseye vector="" ;;
15) suite=bookworm vector="" ;;
17) suite=trixie vector=postgresql-17-pgvector ;;
18) suite=forky vector=postgresql-18-pgvector ;;
*) echo "postgres.sh: AEGIS_TEST_POSTGRES is 13, 15, 17 or 18, not '$version'" >&2 && exit 1 ;;
esac

# pgvector's own makefile wants the server's; this is what it comes to.
build_vector() {
    local work=$1 root=$2 source lib="$2/usr/lib/postgresql/$version/lib" share="$2/usr/share/postgresql/$version/extension"
    private_apt "$work/source" "$vector_suite"
    mkdir "$work/vector" "$work/headers"
    (cd "$work/vector" && APT_CONFIG="$work/source/apt.conf" apt-get -qq source --download-only pgvector &&
        tar -xf pgvector_*.orig.tar.*)
    source=$(echo "$work"/vector/*/)
    (cd "$work/headers" && APT_CONFIG="$work/apt/apt.conf" apt-get -qq download "postgresql-server-dev-$version" &&
        dpkg-deb -x ./*.deb .)
    gcc -O2 -fPIC -shared -ftree-vectorize -fassociative-math -fno-signed-zeros -fno-trapping-math -w \
        -I "$work/headers/usr/include/postgresql/$version/server" -o "$lib/vector.so" "$source"src/*.c
    cp "$source"vector.control "$source"sql/vector--*--*.sql "$share/"
    cp "$source"sql/vector.sql "$share/vector--$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$source"vector.control).sql"
}

# The folder's own loader runs X.real with the folder's own libraries; initdb and pg_ctl spawn
# postgres by its name, so the wrapper takes the program's place.
wrap() {
    local program=$1 name='--argv0 "$0"'
    [ "$suite" != bullseye ] || name="" # its loader cannot do that; the server does not need it
    mv "$program" "$program.real"
    sed "s/@NAME@/$name/" >"$program" <<'WRAPPER'
#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=${here%/usr/lib/postgresql/*}
lib="$root/usr/lib"
for d in "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*; do [ -d "$d" ] && lib="$d:$lib"; done
for loader in "$root"/lib/*-linux-gnu*/ld-linux-*.so.* "$root"/usr/lib/*-linux-gnu*/ld-linux-*.so.* "$root"/usr/lib64/ld-linux-*.so.*; do
    [ -x "$loader" ] && exec "$loader" --library-path "$lib" @NAME@ "$0.real" "$@"
done
echo "$0: no loader in $root" >&2
exit 127
WRAPPER
    chmod 755 "$program"
}

# fetch_folder NAME "PACKAGE..." PROGRAM...: $cache/NAME with these packages in it
fetch_folder() {
    fetch_once "$1" "usr/lib/postgresql/$version/bin/$3" make_folder "${@:2}"
}

# make_folder "PACKAGE..." PROGRAM... WORK
make_folder() {
    local packages=$1 work=${*: -1} p
    unpack "$work" "$suite" '^(lib|zlib1g$|postgresql-)' '^lib(perl|llvm|z3|gdbm|pam-modules)|-common$' $packages
    rm -rf "$work"/root/usr/lib/postgresql/"$version"/lib/{bitcode,llvmjit*}
    [ "$2" != postgres ] || [ -n "$vector" ] || build_vector "$work" "$work/root"
    for p in "${@:2:$#-2}"; do wrap "$work/root/usr/lib/postgresql/$version/bin/$p"; done
}

fetch() {
    local root
    root=$(fetch_folder "postgresql-$version" "postgresql-$version $vector" postgres initdb)
    [ -z "${AEGIS_TEST_PGVECTOR:-}" ] || root=$(older_vector "$root" "$AEGIS_TEST_PGVECTOR")
    echo "$root"
}

# older_vector ROOT VERSION: a copy of the folder, of links, with the older extension
older_vector() {
    local copy="$1-vector-$2" extension have
    if [ ! -d "$copy" ]; then
        rm -rf "$copy.new"
        cp -al "$1" "$copy.new"
        extension="$copy.new/usr/share/postgresql/$version/extension"
        have=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$extension/vector.control")
        sed "s/^default_version = .*/default_version = '$2'/" "$1/usr/share/postgresql/$version/extension/vector.control" \
            >"$extension/vector.new" # not into the file: it is the other folder's too
        mv "$extension/vector.new" "$extension/vector.control"
        { cat "$extension/vector--$have.sql" && echo "DROP TYPE halfvec CASCADE; DROP TYPE sparsevec CASCADE;"; } \
            >"$extension/vector--$2.sql"
        mv "$copy.new" "$copy"
    fi
    echo "$copy"
}

client() {
    echo "$(fetch_folder "postgresql-client-$version" "postgresql-client-$version" psql pg_dump pg_restore)/usr/lib/postgresql/$version/bin"
}

start() {
    if [ -n "${AEGIS_TEST_DATABASE_URL:-}" ]; then
        echo "$AEGIS_TEST_DATABASE_URL"
        return
    fi
    local directory=$1 root bin port
    shift
    root=$(fetch)
    bin="$root/usr/lib/postgresql/$version/bin"
    own_directory "$directory"
    cd "$directory"
    export LC_ALL=C.UTF-8 TZ=UTC
    if [ ! -f "$directory/data/PG_VERSION" ]; then
        unprivileged "$bin/initdb" -D "$directory/data" -U postgres -A trust --locale=C.UTF-8 -E UTF8 \
            -L "$root/usr/share/postgresql/$version" --no-sync >"$directory/initdb.log" 2>&1 ||
            fail "initdb failed: $(tail -n 3 "$directory/initdb.log")"
    fi
    for _ in $(seq 20); do # a port may be taken meanwhile, a killed server's backends take a moment to end
        port=$(cat "$directory/port" 2>/dev/null || free_port)
        : >"$directory/log"
        unprivileged "$bin/postgres" -D "$directory/data" -p "$port" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories= -c jit=off -c "dynamic_library_path=$root/usr/lib/postgresql/$version/lib" "$@" \
            >>"$directory/log" 2>&1 9>&- &
        local child=$!
        disown
        for _ in $(seq 300); do
            if grep -q "ready to accept connections" "$directory/log"; then
                echo "$port" >"$directory/port"
                [ -z "${AEGIS_POSTGRES_FOR:-}" ] || watch "$directory" "$AEGIS_POSTGRES_FOR" "$child"
                echo "postgresql://postgres@127.0.0.1:$port/postgres"
                return
            fi
            kill -0 $child 2>/dev/null || break
            sleep 0.1
        done
    done
    fail "PostgreSQL did not start: $(tail -n 3 "$directory/log")"
}

# The file outlives one that was killed.
server_pid() {
    local pid
    pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null || true)
    [ -z "$pid" ] || ! grep -qaF "$1/data" "/proc/$pid/cmdline" 2>/dev/null || echo "$pid"
}

halt() {
    local pid
    pid=$(server_pid "$1")
    [ -z "$pid" ] || end "$pid" INT
}

stop() {
    [ -z "${AEGIS_TEST_DATABASE_URL:-}" ] || return 0
    halt "$1"
    rm -rf "$1"
}

# No test needs what survives a power cut: without fsync a database is made in a tenth of the time.
share_start() {
    start "$1" -c fsync=off -c full_page_writes=off -c max_connections=300 -c log_min_messages=log
}

case "${1:-}" in
fetch | client) "$1" ;;
start | halt | stop | share | share_start | unshare)
    [ $# -ge 2 ] || fail "usage: postgres.sh $1 DIRECTORY"
    "$@"
    ;;
*) fail "usage: postgres.sh fetch | client | start DIRECTORY [ARGUMENT...] | halt DIRECTORY | stop DIRECTORY | share BUILD | unshare BUILD" ;;
esac
