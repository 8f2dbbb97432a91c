#!/usr/bin/env bash
# Packs the program for AWS Lambda: lambda-zip.sh AEGIS FOLDER [function] writes FOLDER/aegis-lambda.zip, and (unless
# only the function is wanted) beside it FOLDER/aegis-lambda-av-layer.zip, what recordings need. docs/lambda.md, "The package", says what is in them and why.
# Equal input gives equal zips.
set -euo pipefail
program=${1:?path of the aegis binary} out=${2:?folder for the zips} only=${3:-}

# Where Lambda unpacks the zip and the layers
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-layers.html). The kernel starts a program by a loader at
# an absolute path only.
task=/var/task
layer=/opt
most=$((50 * 1000 * 1000)) # of a zip that is uploaded directly, not through S3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/zip/{bin,lib,share} "$work/layer/lib" "$out"
loader=$(patchelf --print-interpreter "$program")
system=$(dirname "$(ldconfig -p | awk '$1 == "libc.so.6" { print $NF; exit }')")

# libraries FILE...: the paths of all they need, the loader's among them
libraries() {
    local missing
    missing=$(ldd "$@" | grep 'not found' || true)
    [ -z "$missing" ] || { echo "lambda-zip: libraries are missing:" $missing >&2; exit 1; }
    ldd "$@" | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// && $1 !~ /:$/ { print $1 }' | sort -u
}

# library NAME: its path, for those that are loaded when they are needed
library() {
    local path
    path=$(ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }')
    [ -n "$path" ] || { echo "lambda-zip: '$1' is missing: run scripts/dependencies.sh lambda" >&2; exit 1; }
    echo "$path"
}

# named PATTERN: the sonames in the program's text that match it: libraries that it loads when it needs them
named() { strings "$program" | grep -xE "$1" | sort -u; }

# absent SONAME RESULT FILE...: puts a library of that name into the zip whose functions do nothing but return RESULT:
# those that the files name. Debian's libcurl and libpq are linked with libraries for protocols that Aegis does not
# speak, and with theirs: twenty, to be relocated at each start.
absent() {
    local soname=$1 result=$2 at="$work/absent" real
    shift 2
    mkdir -p "$at"
    real=$(library "$soname")
    nm -D --defined-only --with-symbol-versions "$real" | awk '{ sub(/@@/, "@", $3); print $3, $2 }' | sort >"$at/has"
    nm -D --undefined-only --with-symbol-versions "$@" | awk 'NF == 2 { print $2 }' | sort -u | join - "$at/has" >"$at/wanted"
    awk -v result="$result" '{ split($1, name, "@") }
        $2 ~ /[TWi]/ { print "long " name[1] "(void) { return " result "; }"; next }
        { print "void *" name[1] ";" }' "$at/wanted" >"$at/absent.c"
    awk '{ n = split($1, name, "@"); if (n > 1) names[name[2]] = names[name[2]] " " name[1] ";" }
        END { for (version in names) print version " {" names[version] " };" }' "$at/wanted" | sort >"$at/versions"
    [ -s "$at/versions" ] || echo "{ global: *; };" >"$at/versions"
    gcc -shared -nostdlib -w -O2 -fno-builtin -Wl,-z,noseparate-code -Wl,--build-id=none "-Wl,-soname,$soname" \
        "-Wl,--version-script,$at/versions" -s -o "$work/zip/lib/$soname" "$at/absent.c"
    chmod 755 "$work/zip/lib/$soname"
}

# start_there FILE LIBRARIES...: the kernel starts it by the zip's own loader, and libraries are looked for in these
# folders. As RPATH, not RUNPATH: that comes before LD_LIBRARY_PATH, in which Lambda names the system's libraries
# first, and holds for the libraries' own libraries.
start_there() {
    local file=$1 IFS=:
    shift
    patchelf --set-interpreter "$task/lib/${loader##*/}" --force-rpath --set-rpath "$*" "$file"
}

# pack FOLDER ZIP: sorted, without owners, all of one time
pack() {
    local absolute
    absolute=$(realpath "$2")
    find "$1" -exec touch -h -d '1980-01-01 00:00:00 UTC' {} +
    rm -f "$2"
    (cd "$1" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort | TZ=UTC zip -X -q -@ "$absolute")
    echo "$2: $(stat -c %s "$2") bytes, $(du -sb --apparent-size "$1" | cut -f1) unpacked"
    [ "$(stat -c %s "$2")" -lt "$most" ] || { echo "lambda-zip: '$2' has more than $most bytes" >&2; exit 1; }
}

# ---- the function ----

install -m 755 "$program" "$work/zip/bootstrap"
strip --strip-unneeded "$work/zip/bootstrap"
start_there "$work/zip/bootstrap" '$ORIGIN/lib' "$layer/lib"
for helper in pdftotext pdfinfo; do
    install -m 755 "$(command -v $helper)" "$work/zip/bin/$helper"
    start_there "$work/zip/bin/$helper" '$ORIGIN/../lib'
done
late=$(for name in $(named 'lib(xml2|zip|uchardet|microhttpd)\.so\.[0-9]+'); do library "$name"; done)
[ "$(wc -l <<<"$late")" = 4 ] || { echo "lambda-zip: '$program' loads other libraries: $late" >&2; exit 1; }
av=$(for name in $(named 'lib(avformat|avcodec|avutil|swresample)\.so\.[0-9]+'); do library "$name"; done)
[ "$(wc -l <<<"$av")" = 4 ] || { echo "lambda-zip: '$program' names other libraries: $av" >&2; exit 1; }

# What only comes along with libraries that are absent is what the loader does not load once they are.
all() { libraries "$program" $late "$(command -v pdftotext)" "$(command -v pdfinfo)"; }
{ all; echo "$late"; } | sort -u >"$work/all"
{ libraries $av; echo "$av"; } | sort -u >"$work/av"
with_all=$(sort -u "$work/all" "$work/av")
absent libldap-2.5.so.0 -1 $with_all
absent liblber-2.5.so.0 -1 $with_all
absent librtmp.so.1 0 $with_all
absent libssh2.so.1 0 $with_all
absent libgssapi_krb5.so.2 0x100000 $with_all # GSS_S_UNAVAILABLE
{ LD_LIBRARY_PATH="$work/zip/lib" all | grep -vF "$work/zip/lib/"; echo "$late"; } | sort -u >"$work/needed"
while read -r path; do install -m 755 "$path" "$work/zip/lib/${path##*/}"; done <"$work/needed"

cp -rL "$system/gconv" "$work/zip/lib/gconv" # for documents in other encodings; its cache has the system's paths
rm -f "$work/zip/lib/gconv/gconv-modules.cache"
install -m 644 /etc/ssl/certs/ca-certificates.crt "$work/zip/share/ca-bundle.crt"
install -m 644 "$(dirname "$0")/../third_party/rds-ca/rds-ca.pem" "$work/zip/share/rds-ca.pem"
cp -rL /usr/share/libexttextcat "$work/zip/share/libexttextcat"
chmod -R u=rwX,go=rX "$work/zip"
pack "$work/zip" "$out/aegis-lambda.zip"

[ "$only" != function ] || exit 0

# ---- the layer: FFmpeg's libraries, and what only they need ----

{ LD_LIBRARY_PATH="$work/zip/lib" libraries $av; echo "$av"; } | sort -u | grep -vF "$work/zip/lib/" |
    comm -23 - "$work/needed" |
    while read -r path; do install -m 755 "$path" "$work/layer/lib/${path##*/}"; done
pack "$work/layer" "$out/aegis-lambda-av-layer.zip"
