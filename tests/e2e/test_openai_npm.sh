#!/bin/sh
# The official OpenAI client from npm against the fake server, so that the fake keeps to the shapes
# that a real client expects. Skipped where npm or its registry cannot be had.
set -eu

source_dir=${AEGIS_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
build_dir=${AEGIS_BUILD:-$source_dir/build}
key=sk-npm-check

command -v npm >/dev/null || { echo "1..0 # SKIP npm is not installed"; exit 77; }

work=$(mktemp -d)
trap 'kill "${server:-0}" 2>/dev/null || true; rm -rf "$work"' EXIT
cp "$source_dir"/tests/e2e/openai_npm/* "$source_dir"/tests/e2e/openai_npm/.npmrc "$work"
cd "$work"
if ! npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1; then
    grep -qE "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH" npm.log || { cat npm.log; exit 1; }
    echo "1..0 # SKIP the npm registry cannot be reached"
    exit 77
fi

mkfifo port
"$build_dir/tests/fake_openai/fake_openai" --key "$key" >port &
server=$!
read -r _ _ port <port
FAKE_URL="http://127.0.0.1:$port" FAKE_KEY=$key FAKE_TMP=$work node --test check.mjs
