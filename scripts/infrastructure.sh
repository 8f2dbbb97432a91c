#!/usr/bin/env bash
# The CDK app in infrastructure/: infrastructure.sh types|test|synth|deploy|cdk [OPTION...]
# Options go to the CDK command line: `infrastructure.sh synth -c natGateways=2`. npm's packages are
# installed when they are missing or out of date.
set -euo pipefail
cd "$(dirname "$0")/../infrastructure"

fail() {
    echo "aegis: $1" >&2
    exit 1
}

install() {
    local installed=node_modules/.package-lock.json
    exec 9<package-lock.json
    flock 9 # tests of several build directories share the packages
    [ package-lock.json -nt $installed ] || return 0
    command -v npm >/dev/null || fail "the infrastructure needs npm: apt-get install npm"
    echo "Installing the infrastructure's packages (npm)" >&2
    # Not "npm ci": it refuses a lock file that leaves out other platforms' optional packages.
    npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    touch $installed
}

# The Node.js that the packages bring: CDK needs 20 or later, Debian 12 has 18.
own_node() {
    local bin
    bin=$(ls -d "$PWD"/node_modules/node-linux-*/bin 2>/dev/null) || fail "there is no Node.js for this machine in infrastructure/package.json"
    PATH=$bin:$PWD/node_modules/.bin:$PATH
    export NODE_COMPILE_CACHE=$PWD/node_modules/.cache/node # starts in half the time
    export CDK_DISABLE_CLI_TELEMETRY=true CDK_DISABLE_VERSION_CHECK=true
}

# Without --output the templates are printed.
synth() {
    cdk synth --quiet --no-notices "$@" >&2
    case " $* " in
    *" --output "*) ;;
    *) cat cdk.out/*.template.json ;;
    esac
}

deploy() {
    [ -e ../dist/aegis-lambda.zip ] || fail "dist/aegis-lambda.zip is missing; build it first: make lambda"
    cdk deploy --all --no-notices "$@"
}

what=${1:-}
[ $# = 0 ] || shift
install
own_node
case $what in
types) tsc -p . ;;
test) node --import tsx --test --test-isolation=none "$@" test/*.test.ts ;;
synth) synth "$@" ;;
deploy) deploy "$@" ;;
cdk) cdk "$@" ;;
*) fail "usage: scripts/infrastructure.sh types|test|synth|deploy|cdk [OPTION...]" ;;
esac
