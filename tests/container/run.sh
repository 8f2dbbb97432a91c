#!/usr/bin/env bash
# What can be had of Docker without it: run.sh [DIRECTORY]. Builds what the Dockerfile says (build.py), and runs the last
# stage as a container would be: its user, its environment, a read-only root, no capabilities. As root; takes minutes.
# An image that is in DIRECTORY already (image.json) is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=${1:-$(mktemp -d)}
[ -s "$directory/image.json" ] || {
    python3 "$here/build.py" "$here/../.." "$directory" >"$directory.json"
    mv "$directory.json" "$directory/image.json"
}
root=$(jq -r .root "$directory/image.json")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/data" "$work/in"
chmod 755 "$work" "$work/in"
printf 'The miller counts sails.\n' >"$work/in/text.txt"
espeak-ng -w "$work/in/voice.wav" "the quick brown fox" 2>/dev/null
printf '<html><title>T</title><p>A windmill.</p></html>' >"$work/in/page.html"
sed -n 's/^printf \(.*PDF-1.4.*\) >.*/\1/p' "$here/../e2e/test_bad_input.sh" >"$work/pdf.sh"
eval "printf $(cat "$work/pdf.sh")" >"$work/in/page.pdf"
IFS=: read -r user group <<<"$(jq -r .user "$directory/image.json")"
chown "$user:$group" "$work/data"
chmod 700 "$work/data"

# The root is mounted read-only in a mount namespace, with what Docker adds: /proc, /dev, a tmpfs, the volume.
cat >"$work/inside.sh" <<'INSIDE'
set -euo pipefail
root=$1 work=$2 user=$3 group=$4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$work/data" "$root/var/lib/aegis"
mkdir -p "$root/tmp/in" && cp "$work"/in/* "$root/tmp/in"
mount -o remount,bind,ro "$root"
# shellcheck disable=SC2046 # words
as_user() {
    exec env -i $(cat "$work/env") PATH=/usr/bin:/bin /usr/sbin/chroot "$root" /usr/bin/setpriv --reuid="$user" \
        --regid="$group" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
}
health() { (as_user $(jq -r '.healthcheck | join(" ")' "$work/image.json")) >/dev/null 2>&1; }
(as_user /bin/sh -c '! touch /usr/x 2>/dev/null && ! touch /x 2>/dev/null') && echo "ok - the root cannot be written to"
(as_user aegis add /tmp/in) && echo "ok - a text, a page, a PDF and a recording are worked on"
(as_user aegis doctor --offline) | sed 's/^/# /'
(as_user aegis serve) >"$work/log" 2>&1 &
serve=$!
for _ in $(seq 200); do grep -q serve.ready "$work/log" && break || sleep 0.05; done
health && echo "ok - the health check passes"
kill -TERM "$serve"
wait "$serve" && echo "ok - SIGTERM drains it"
health || echo "ok - and the health check fails then"
INSIDE
cp "$directory/image.json" "$work/image.json"
jq -r '.env | to_entries[] | "\(.key)=\(.value)"' "$work/image.json" >"$work/env"
unshare --mount -- bash "$work/inside.sh" "$root" "$work" "$user" "$group" | tee "$work/out"
[ "$(grep -c '^ok - ' "$work/out")" = 5 ]
