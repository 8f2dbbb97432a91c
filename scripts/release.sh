#!/usr/bin/env bash
# Makes what a release consists of, of an installed tree: release.sh BUILD OUT [TAG]
#   OUT/aegis-VERSION-linux-ARCH.tar.gz, .zip     what `make install` installs, under aegis-VERSION/
#   OUT/aegis-VERSION.spdx.json                   what is in it (sbom.sh)
#   OUT/SHA256SUMS                                of all of these
# TAG, if given, has to be "v" and the version. The same build gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: release.sh BUILD OUT [TAG]}
out=${2:?usage: release.sh BUILD OUT [TAG]}
version=$("$build/aegis" --version | awk '{ print $2; exit }')
if [ $# -gt 2 ] && [ "$3" != "v$version" ]; then
    echo "release: the tag is '$3', but this is version '$version': set project(VERSION) in CMakeLists.txt" >&2
    exit 1
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
name="aegis-$version"
archive="$name-linux-$(uname -m)"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)

cmake --install "$build" --prefix "$tree/$name" --strip >/dev/null
cp LICENSE README.md CHANGELOG.md "$tree/$name"
scripts/sbom.sh "$build/aegis" "$version" >"$out/$name.spdx.json"
cp "$out/$name.spdx.json" "$tree/$name"
find "$tree/$name" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
(
    cd "$tree"
    tar --sort=name --owner=0 --group=0 --numeric-owner --format=gnu -cf - "$name" | gzip -n -9 >"$out/$archive.tar.gz"
    find "$name" -type f | LC_ALL=C sort >"$tree/files"
    TZ=UTC cmake -E tar cf "$out/$archive.zip" --format=zip --files-from="$tree/files"
)
cd "$out"
sha256sum "$archive.tar.gz" "$archive.zip" "$name.spdx.json" >SHA256SUMS
