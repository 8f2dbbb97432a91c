#!/usr/bin/env bash
# Installs the Debian packages a target needs, if any is missing: dependencies.sh build|runtime|demo|lambda|test|bench|lint;
# with "list" in front it only prints their names.
set -euo pipefail

build="gcc libc6-dev make cmake ninja-build pkg-config libcurl4-openssl-dev libsqlite3-dev libpq-dev
       libssl-dev libseccomp-dev libxml2-dev libzip-dev libuchardet-dev libstemmer-dev libinih-dev
       libunistring-dev libexttextcat-dev libavformat-dev libavcodec-dev libavutil-dev libswresample-dev
       libpocketsphinx-dev libsphinxbase-dev libmicrohttpd-dev"
run="libavformat59 libavcodec59 libavutil57 libswresample4 poppler-utils libpocketsphinx3 pocketsphinx-en-us
     libexttextcat-data"
# What the installed program needs, without anything to build it: for containers and packages.
runtime="$run ca-certificates libcurl4 libexttextcat-2.0-0 libinih1 libmicrohttpd12 libpq5 libseccomp2
         libsqlite3-0 libssl3 libuchardet0 libunistring2 libxml2 libzip4"
demo="espeak-ng"
lambda="zip binutils patchelf ca-certificates"
test="$demo $lambda awscli unzip libcmocka-dev ffmpeg jq qpdf sqlite3 curl openssl python3 python3-yaml python3-seccomp systemd procps bsdutils man-db mount"
bench="redis-server postgresql-client gnuplot-nox hyperfine bsdextrautils"
# A Node.js from elsewhere brings an npm, beside which Debian's cannot be installed.
npm --version >/dev/null 2>&1 || test="$test npm"
lint="clang clang-format clang-tidy cppcheck libclang-rt-14-dev"

only_list=""
if [ "${1:-}" = list ]; then
    only_list=1
    shift
fi
case "${1:-build}" in
build) wanted="$build" ;;
runtime) wanted="$runtime" ;;
demo) wanted="$build $run $demo" ;;
lambda) wanted="$build $run $lambda" ;;
test) wanted="$build $run $test" ;;
bench) wanted="$build $run $test $bench" ;;
lint) wanted="$build $run $test $lint" ;;
*)
    echo "usage: $0 [list] build|runtime|demo|lambda|test|bench|lint" >&2
    exit 2
    ;;
esac

if [ -n "$only_list" ]; then
    # shellcheck disable=SC2086 # words
    echo $wanted
    exit
fi
if ! command -v dpkg-query >/dev/null; then
    echo "aegis: this is not Debian: install the equivalents of these packages yourself if the build stops:" >&2
    echo "  $(echo $wanted)" >&2
    exit 0
fi
missing=""
for package in $wanted; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || {
        echo "aegis: these packages are missing; install them as root: apt-get install$missing" >&2
        exit 1
    }
fi
echo "Installing what is missing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
