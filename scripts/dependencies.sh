#!/usr/bin/env bash
# Installs the Debian packages a target needs, if any is missing: dependencies.sh build|demo|lambda|test|bench|lint
set -euo pipefail

build="gcc libc6-dev make cmake ninja-build pkg-config libcurl4-openssl-dev libsqlite3-dev libpq-dev
       libssl-dev libseccomp-dev libxml2-dev libzip-dev libuchardet-dev libstemmer-dev libinih-dev
       libunistring-dev libexttextcat-dev libavformat-dev libavcodec-dev libavutil-dev libswresample-dev
       libpocketsphinx-dev libsphinxbase-dev"
run="libavformat59 libavcodec59 libavutil57 libswresample4 poppler-utils libpocketsphinx3 pocketsphinx-en-us
     libexttextcat-data"
demo="espeak-ng"
lambda="zip binutils patchelf ca-certificates"
test="$demo $lambda unzip libcmocka-dev libmicrohttpd-dev ffmpeg jq qpdf sqlite3 curl openssl python3 procps bsdutils man-db mount"
bench="awscli redis-server postgresql-client gnuplot-nox hyperfine bsdextrautils"
# A Node.js from elsewhere brings an npm, beside which Debian's cannot be installed.
npm --version >/dev/null 2>&1 || test="$test npm"
lint="clang clang-format clang-tidy cppcheck libclang-rt-14-dev"

case "${1:-build}" in
build) wanted="$build" ;;
demo) wanted="$build $run $demo" ;;
lambda) wanted="$build $run $lambda" ;;
test) wanted="$build $run $test" ;;
bench) wanted="$build $run $test $bench" ;;
lint) wanted="$build $run $test $lint" ;;
*)
    echo "usage: $0 build|demo|lambda|test|bench|lint" >&2
    exit 2
    ;;
esac

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
