#!/usr/bin/env bash
# The main job on real input: files in, summaries and answers out. demo.sh [FILE...]
# AEGIS is the binary, DEMO_DATA a directory that is emptied first.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${AEGIS:-build/aegis}
data=${DEMO_DATA:-demo-data}
rm -rf "$data"
mkdir -p "$data"

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\033[1m' plain=$'\033[0m'
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
aegis() { "$program" --data "$data/store" "$@"; }

if [ $# -gt 0 ]; then
    files=("$@")
    queries=()
else
    say "Making recordings from scripts with espeak-ng"
    samples/make-speech.sh "$data/recordings"
    files=(samples/texts "$data/recordings")
    queries=("passengers hot coffee" "how bees tell each other where food is")
fi

say "aegis add --prefix samples ${files[*]}"
status=0
aegis add --prefix samples "${files[@]}" || status=$?
# 4: some files were refused or became dead letters, and the text above says which and why
[ "$status" = 0 ] || { [ "$status" = 4 ] && [ $# -gt 0 ]; } || exit "$status"

say "aegis list"
aegis list

aegis list --json | grep -oE '^\{"id":[0-9]+' | grep -oE '[0-9]+' | sort -n | while read -r id; do
    say "aegis summary $id"
    aegis summary "$id" || [ $# -gt 0 ]
done

for query in ${queries[@]+"${queries[@]}"}; do
    say "aegis search --limit 2 \"$query\""
    aegis search --limit 2 "$query"
done

say "Everything is in $data/store. Go on with: $program --data $data/store search WORDS"
