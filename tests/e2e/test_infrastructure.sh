#!/usr/bin/env bash
# The CDK app: types, the tests of the templates, and a synthesis by the command line. Needs the network only
# while npm's packages are not there yet; no AWS account and no Docker.
set -uo pipefail
source_dir=${AEGIS_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN # nothing may depend on an account

skip() {
    echo "1..0 # SKIP $1"
    exit 77
}

# step NAME COMMAND...: its output is shown when it fails; exits then, or skips if the registry was out of reach
step() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>"$work/log"; then
        echo "ok - $name"
        return
    fi
    if grep -qE "npm (ERR!|error).*(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH)" "$work/log"; then
        skip "the npm registry cannot be reached"
    fi
    echo "not ok - $name"
    cat "$work/log" "$work/out"
    exit 1
}

command -v npm >/dev/null || skip "npm is not installed"
case $(uname -m) in
x86_64 | aarch64) ;;
*) skip "npm has no Node.js for $(uname -m)" ;;
esac

infrastructure="$source_dir/scripts/infrastructure.sh"
step "types" "$infrastructure" types
step "tests of the templates" "$infrastructure" test
step "cdk synth" "$infrastructure" synth --output "$work/cdk.out"
for stack in network storage queues secrets database migration functions worker monitoring; do
    [ -s "$work/cdk.out/aegis-$stack.template.json" ] || {
        echo "not ok - there is no template of aegis-$stack"
        exit 1
    }
done
echo "ok - a template for each stack"
