#!/usr/bin/env bash
# The units of `make install`: as systemd reads them, how much they leave open, and whether all parsers work under
# their restrictions.
. "$(dirname "$0")/lib.sh"

exits "the units are installed" 0 env DESTDIR="$work/root" cmake --install "$AEGIS_BUILD" --prefix /usr/local
units="$work/root/usr/local/lib/systemd/system"
unit="$units/aegis.service"
equal "both of them" "aegis-worker@.service aegis.service" "$(cd "$units" && echo *)"
contains "with their user" 'u aegis ' "$(cat "$work/root/usr/local/lib/sysusers.d/aegis.conf")"
for file in "$unit" "$units/aegis-worker@.service"; do
    contains "they start what is installed" "ExecStart=/usr/local/bin/aegis " "$(cat "$file")"
done
setting() { sed -n "s/^$1=//p" "$unit"; }
drain=$(aegis config --json | jq '.settings[] | select(.key == "drain").value / 1000')
stop=$(setting TimeoutStopSec)
if [ "${stop%s}" -gt "$drain" ]; then pass "a stop waits for longer than the drain"; else
    fail "a stop waits for longer than the drain" "$stop, $drain s"
fi
equal "what does not mend itself is not restarted" "2 6" "$(setting RestartPreventExitStatus)"

if ! command -v systemd-analyze >/dev/null; then
    echo "# systemd-analyze is not here: the units were not verified"
    done_testing
fi
# ExecStart has to exist for verify: the paths are those of this test.
mkdir "$work/verify"
for name in aegis.service aegis-worker@.service; do
    sed -E "s,^ExecStart=[^ ]+,ExecStart=$work/root/usr/local/bin/aegis," "$units/$name" >"$work/verify/$name"
done
exits "systemd understands aegis.service" 0 systemd-analyze verify --man=no "$work/verify/aegis.service"
equal "without a warning" "" "$(grep "$work/verify" <<<"$out")"
exits "and aegis-worker@.service" 0 systemd-analyze verify --man=no "$work/verify/aegis-worker@1.service"
equal "without a warning" "" "$(grep "$work/verify" <<<"$out")"
for name in aegis.service aegis-worker@.service; do
    exits "$name is exposed by no more than 1.8 of 10" 0 \
        systemd-analyze security --offline=true --threshold=18 --no-pager "$units/$name"
done

# ---- the parsers under it ----
if ! /usr/bin/python3 -c 'import seccomp' 2>/dev/null; then
    echo "# python3-seccomp is not here: nothing was run under the units' restrictions"
    done_testing
fi
under() { /usr/bin/python3 "$AEGIS_SOURCE/tests/e2e/filtered.py" "$unit" "$@"; }
if [ "$AEGIS_SANITIZED" = 0 ]; then
    exits "a call that no service makes is refused there" 125 under chroot / true
    export AEGIS_PROVIDER=offline
    media="$work/media"
    mkdir "$media"
    cp -r "$AEGIS_SOURCE"/samples/texts "$media"
    printf 'A lighthouse.\n' >"$media/plain.txt"
    printf '\377\376A\0 \0m\0i\0l\0l\0.\0' >"$media/utf16.txt"
    printf '<html><title>T</title><p>A windmill.</p></html>' >"$media/page.html"
    espeak-ng -w "$media/voice.wav" "the quick brown fox jumps over the lazy dog" 2>/dev/null
    ffmpeg -v error -i "$media/voice.wav" "$media/voice.mp3" 2>/dev/null
    printf '%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n4 0 obj<</Length 44>>stream\nBT /F1 12 Tf 20 100 Td (secret words) Tj ET\nendstream endobj\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n' >"$media/page.pdf"
    exits "everything is added and worked on" 0 under "$AEGIS" --data "$data" --set workers=4 add "$media"
    equal "nothing was killed or refused" "" "$(aegis jobs --json --limit 0 |
        jq -r '.jobs[] | select(.state != "succeeded") | "\(.key) \(.state) \(.reason)"')"
    (exec /usr/bin/python3 "$AEGIS_SOURCE/tests/e2e/filtered.py" "$unit" "$AEGIS" --data "$data" \
        --set metrics.listen=127.0.0.1:0 serve >"$work/serve.log" 2>&1) &
    serve=$!
    pids+=($serve)
    wait_until 20 grep -q serve.ready "$work/serve.log"
    at=$(jq -r 'select(.event == "metrics.ready").listen' "$work/serve.log")
    equal "the service answers under it" ready "$(curl -sS "http://$at/readyz")"
    kill -TERM $serve
    wait $serve
    equal "and stops cleanly" 0 $?
fi

# ---- keys ----
mkdir -m 700 "$work/credentials"
printf 'sk-from-systemd\n' >"$work/credentials/openai_api_key"
chmod 400 "$work/credentials/openai_api_key"
fake_start --key sk-from-systemd
unset OPENAI_API_KEY
export CREDENTIALS_DIRECTORY="$work/credentials" AEGIS_PROVIDER=openai
printf 'A report.\n' >"$work/report.txt"
exits "LoadCredential's key is used" 0 aegis add "$work/report.txt"
done_testing
