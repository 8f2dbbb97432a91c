# Sourced after apt.sh: servers for tests, one started by hand in a directory or one shared by all tests of a
# build directory. A script that sources this sets
#   kind=NAME         of BUILD/NAME, the shared server's place
#   answer=FILE       of that place: what tests need to know of a server that runs
#   required_by=VAR   without a server tests are skipped, but fail where this variable or CI is set
# and has the functions
#   share_start DIRECTORY   starts the shared server there and prints what goes into the answer
#   server_pid DIRECTORY    prints the pid of the directory's server, if it runs
#   stop DIRECTORY          stops it and removes the directory

# Before a command of its own in the background, whose pid is then the server's: a function's is a shell's.
as_nobody=()
[ "$(id -u)" != 0 ] || as_nobody=(setpriv --reuid=$nobody --regid=$nobody --clear-groups)

unprivileged() {
    "${as_nobody[@]}" "$@"
}

# Makes it a directory of the server's.
own_directory() {
    mkdir -p "$1"
    [ "$(id -u)" != 0 ] || chown $nobody:$nobody "$1"
    unprivileged test -w "$1" || fail "nobody cannot reach '$1': put it where others may enter"
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# watch DIRECTORY OWNER CHILD: in the background, until CHILD, the server itself, has ended; stops it when OWNER has.
watch() {
    (
        while kill -0 "$3" && kill -0 "$2"; do sleep 1; done
        kill -0 "$2" || stop "$1"
    ) >/dev/null 2>&1 9>&- </dev/null &
    disown
}

# Not one that has ended and waits for its parent, which may be a slow init: that has no arguments.
alive() {
    grep -qa . "/proc/$1/cmdline" 2>/dev/null
}

# end PID SIGNAL: returns when it has ended
end() {
    kill "-$2" "$1" 2>/dev/null || return 0
    for _ in $(seq 600); do
        alive "$1" || return 0
        sleep 0.05
    done
}

required() {
    [ "${!required_by:-0}" != 0 ] || { [ -n "${CI:-}" ] && [ "$CI" != 0 ] && [ "$CI" != false ]; }
}

# share BUILD: starts the one server of a build directory, if none runs: BUILD/KIND/ANSWER, or BUILD/KIND/why says why
# there is none
share() {
    local place="$1/$kind" directory
    mkdir -p "$place"
    directory=$(cat "$place/directory" 2>/dev/null || true)
    if [ -s "$place/$answer" ] && [ -n "$directory" ] && [ -n "$(server_pid "$directory")" ]; then return; fi
    rm -f "$place/$answer" "$place/why"
    directory=$(mktemp -d "${TMPDIR:-/tmp}/aegis-$kind-XXXXXX")
    echo "$directory" >"$place/directory"
    (umask 077 && : >"$place/$answer.new") # it may hold a key
    # A process of its own: `set -e` does not hold in a condition.
    if ! "$0" share_start "$directory" >"$place/$answer.new" 2>"$place/log"; then
        rm -rf "$directory" "$place/$answer.new" "$place/directory"
        cat "$place/log" >&2
        tail -n 1 "$place/log" >"$place/why"
        required && exit 1
        return 0
    fi
    mv "$place/$answer.new" "$place/$answer"
}

# unshare BUILD: stops and removes it
unshare() {
    local directory
    directory=$(cat "$1/$kind/directory" 2>/dev/null || true)
    [ -z "$directory" ] || stop "$directory"
    rmdir "$directory" 2>/dev/null || true # of a server that is not ours
    rm -rf "$1/$kind"
}
