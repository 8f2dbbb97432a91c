#!/usr/bin/env bash
# The main job on real input: files in, summaries and answers out. demo.sh [FILE...]
set -euo pipefail
aegis=${AEGIS:-build/aegis}
data=${DEMO_DATA:-demo-data}
rm -rf "$data"
mkdir -p "$data"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }

if [ $# -gt 0 ]; then
    files=("$@")
    queries=()
else
    say "Making speech from the samples' scripts (espeak-ng)"
    samples/make-speech.sh "$data/speech"
    files=(samples/texts "$data/speech")
    queries=(samples/queries)
fi

say "Adding files to an empty data directory ($data)"
"$aegis" --data "$data/store" add --prefix samples "${files[@]}"

say "What came out"
"$aegis" --data "$data/store" list
"$aegis" --data "$data/store" list --json | jq -r '.[].media_id? // .media[].media_id' 2>/dev/null | sort -n | while read -r id; do
    "$aegis" --data "$data/store" summary "$id"
    echo
done

if [ ${#queries[@]} -gt 0 ]; then
    while IFS= read -r query; do
        say "aegis search \"$query\""
        "$aegis" --data "$data/store" search --limit 3 "$query"
    done <"${queries[0]}"
fi
