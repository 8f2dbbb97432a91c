# Sourced: relocatable folders of Debian's packages under $XDG_CACHE_HOME/aegis-test (root: /var/cache/aegis-test),
# fetched once through an apt of their own from the mirror this machine already uses and checked against
# Debian's keys. The machine's own packages stay untouched.

cache="${XDG_CACHE_HOME:-$HOME/.cache}/aegis-test"
nobody=65534
# Root runs servers as nobody, who does not get into root's home.
[ "$(id -u)" != 0 ] || cache=/var/cache/aegis-test
instead="" # what to do where there is no mirror, for the error

shopt -s inherit_errexit # root=$(fetch) ends where the fetching failed

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

mirror() {
    local list=/etc/apt/sources.list.d/debian.sources uri=""
    [ -f "$list" ] && uri=$(awk '$1 == "URIs:" { print $2; exit }' "$list")
    [ -z "$uri" ] && [ -f /etc/apt/sources.list ] &&
        uri=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }' /etc/apt/sources.list)
    [ -n "$uri" ] || fail "no Debian mirror is named in /etc/apt: ${instead:-name one there}"
    echo "$uri"
}

# An apt of its own: other lists, other state, an empty status file, the same mirror, proxies and keys.
# private_apt STATE SUITE
private_apt() {
    local state=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"
    printf "%s [signed-by=$key] $(mirror) $2 main\n" deb deb-src >"$state/sources.list"
    cat >"$state/apt.conf" <<CONF
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$state";
Dir::State::lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
CONF
    APT_CONFIG="$state/apt.conf" apt-get -qq update
}

# closure WANTED UNWANTED PACKAGE...: the packages and what they need, of names that match WANTED, not UNWANTED
closure() {
    local wanted=$1 unwanted=$2
    shift 2
    apt-get -s install --no-install-recommends "$@" |
        awk -v wanted="$wanted" -v unwanted="$unwanted" '$1 == "Inst" && $2 ~ wanted && $2 !~ unwanted { print $2 }'
}

# unpack WORK SUITE WANTED UNWANTED PACKAGE...: those packages in WORK/root
unpack() {
    local work=$1 suite=$2 deb
    shift 2
    private_apt "$work/apt" "$suite"
    mkdir "$work/debs" "$work/root"
    (
        cd "$work/debs"
        export APT_CONFIG="$work/apt/apt.conf"
        names=$(closure "$@") # not inside the next line, which would go on without
        apt-get -qq download $names
    )
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
    rm -rf "$work"/root/usr/share/{doc,man,locale}
}

# write_python PATH: a program at usr/bin of a folder that unpack filled from trixie; the folder's own loader runs its
# Python with its own libraries.
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

# fetch_once NAME PROGRAM MAKER...: prints $cache/NAME. Where it has no PROGRAM, `MAKER... WORK` makes WORK/root,
# which takes its place; of several who ask at once one makes it.
fetch_once() {
    local root="$cache/$1" program=$2
    shift 2
    if [ ! -x "$root/$program" ]; then
        mkdir -p "$cache"
        exec 9>"$root.lock"
        flock 9
    fi
    [ -x "$root/$program" ] || (make_once "$root" "$@") >&2
    exec 9>&-
    echo "$root"
}

make_once() {
    local root=$1
    shift
    echo "fetching ${root##*/} (once)"
    work=$(mktemp -d "$cache/fetch-XXXXXX")
    trap 'rm -rf "$work"; fail "${root##*/} could not be fetched from $(mirror): is it reachable? ${instead:+Or $instead}"' EXIT
    "$@" "$work"
    chmod -R a+rX "$work/root"
    rm -rf "$root"
    mv "$work/root" "$root"
    trap - EXIT
    rm -rf "$work"
}
