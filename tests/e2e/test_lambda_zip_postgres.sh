#!/usr/bin/env bash
# The package for AWS Lambda in a root file system that holds nothing else: what it needs of the system it runs on is
# the kernel, /proc and a place to write to. Needs root, or user name spaces.
. "$(dirname "$0")/lib.sh"

skip() {
    echo "1..0 # SKIP $1"
    exit 77
}
[ "$AEGIS_SANITIZED" = 0 ] || skip "what is packed is a release, and this one has a sanitizer"
for tool in zip unzip patchelf strip unshare chroot; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
spaces=(unshare --mount)
[ "$(id -u)" = 0 ] || spaces+=(--map-root-user)
"${spaces[@]}" true 2>"$work/log" || skip "no mount name space can be had: $(cat "$work/log")"

# ---- packing ----
exits "it is packed" 0 "$AEGIS_SOURCE/scripts/lambda-zip.sh" "$AEGIS" "$work/dist"
printf '# %s\n' "$out"
exits "and once more" 0 env TZ=Asia/Tokyo "$AEGIS_SOURCE/scripts/lambda-zip.sh" "$AEGIS" "$work/again" function
equal "the zip is the same" "$(sha256sum <"$work/dist/aegis-lambda.zip")" "$(sha256sum <"$work/again/aegis-lambda.zip")"

# ---- a root with nothing in it ----
# but for traps: Amazon Linux has libraries of the same names, in folders that Lambda puts first.
root="$work/root" shared="$work/shared"
lambda_path=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib
mkdir -p "$root"/{var/task,opt,proc,dev,tmp,lib64,etc} "$root$shared" "$shared/tmp"
unzip -q "$work/dist/aegis-lambda.zip" -d "$root/var/task"
for name in libc.so.6 libm.so.6 libcrypto.so.3 libcurl.so.4 libz.so.1 libstdc++.so.6; do echo trap >"$root/lib64/$name"; done
touch "$root/dev/null" "$root/dev/urandom"

# A program that runs the bootstrap in there, under this name and in this process, with the environment that Lambda gives.
cat >"$work/bootstrap" <<SH
#!/bin/sh
exec env -u SSL_CERT_FILE -u GCONV_PATH PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin LD_LIBRARY_PATH=$lambda_path LANG=en_US.UTF-8 TZ=:UTC \
    LAMBDA_TASK_ROOT=/var/task "$(command -v chroot)" "$root" /var/task/bootstrap "\$@"
SH
# inside COMMAND...: with the file systems that a process in there needs
cat >"$work/inside" <<SH
#!/bin/sh -e
mount --rbind /proc "$root/proc"
mount --bind /dev/null "$root/dev/null"
mount --bind /dev/urandom "$root/dev/urandom"
mount --bind "$shared" "$root$shared"
exec "\$@"
SH
chmod +x "$work/bootstrap" "$work/inside"
inside() { "${spaces[@]}" "$work/inside" "$@"; }
packed() { inside "$work/bootstrap" --data "$shared/data" "$@"; }

exits "the program starts" 0 packed version
contains "and tells of its libraries" OpenSSL "$out"
loaded=$(inside "$(command -v chroot)" "$root" "/var/task/lib/$(cd "$root/var/task/lib" && ls ld-linux-*)" --list /var/task/bootstrap)
contains "it loads what it needs from the start" libcurl "$loaded"
equal "and nothing that it does not" "" \
    "$(grep -oE 'lib(gnutls|krb5|sasl2|xml2|icuuc|stdc\+\+|uchardet|zip|microhttpd)\.so' <<<"$loaded" | sort -u)"
out=$(packed doctor 2>&1)
contains "its parsers are sandboxed" "parsers run in a locked-down child" "$out"
contains "it finds its own pdftotext" /var/task/bin/pdftotext "$out"
equal "it has the authorities of RDS" 86 "$(grep -c BEGIN "$root/var/task/share/rds-ca.pem")"

# ---- documents ----
in="$shared/in"
mkdir "$in"
printf '%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n4 0 obj<</Length 44>>stream\nBT /F1 12 Tf 20 100 Td (a pelican in it) Tj ET\nendstream endobj\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n' >"$work/plain.pdf"
qpdf --warning-exit-0 "$work/plain.pdf" "$in/pelican.pdf" 2>/dev/null
python3 - "$in/heron.docx" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>')
    z.writestr("word/document.xml", '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>a heron in it</w:t></w:r></w:p></w:body></w:document>')
PY
printf '<!doctype html><title>t</title><p>a bittern in it' >"$in/bittern.html"
printf '<!doctype html><meta charset=shift_jis><title>t</title><p>\x93\xfa\x96\x7b\x8c\xea stork' >"$in/stork.html"
printf '1\n00:00:01,000 --> 00:00:02,000\na curlew in it\n' >"$in/curlew.srt"
printf 'Der Reiher steht am Ufer und wartet auf die Fische, die mit der Flut kommen.\n' >"$in/reiher.txt"
exits "documents are read" 0 packed add "$in"
for bird in pelican:pelican.pdf heron:heron.docx bittern:bittern.html curlew:curlew.srt 日本語:stork.html; do
    contains "${bird#*:} is found by what is in it" "${bird#*:}" "$(packed search --json "${bird%:*}")"
done
contains "languages are told apart" '"language":"de"' "$(packed show --json in/reiher.txt | jq -c .)"

# ---- recordings ----
recording="$shared/tone.mp3"
ffmpeg -loglevel error -f lavfi -i "sine=frequency=300:duration=3" "$recording"
fake_start
exits "without the layer a recording is a dead letter" 4 packed add "$recording"
contains "and what to do in a function is told" "add the layer with FFmpeg's libraries" "$(tr -s ' \n' ' ' <<<"$out")"
unzip -q "$work/dist/aegis-lambda-av-layer.zip" -d "$root/opt"
exits "that goes round again once there is the layer" 0 packed dead redrive --all
packed serve --until-idle >/dev/null 2>&1
equal "to its end" succeeded "$(packed jobs --json --limit 0 | jq -r '[.jobs[] | select(.key | endswith("tone.mp3"))][0].state')"
equal "which asked the model" true "$([ "$(requests /v1/audio/transcriptions)" -gt 0 ] && echo true)"

# ---- TLS, names ----
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/own.pem" -days 2 -subj /CN=own \
    -addext subjectAltName=IP:127.0.0.1 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
openssl s_server -quiet -www -accept "127.0.0.1:$port" -key "$work/key.pem" -cert "$work/own.pem" >"$work/tls.log" 2>&1 &
pids+=($!)
wait_until 10 curl -sk "https://127.0.0.1:$port/" -o /dev/null
export OPENAI_BASE_URL="https://127.0.0.1:$port/v1"
contains "an authority that nobody knows is not trusted" "self-signed certificate" "$(packed doctor 2>&1 | tr -s ' \n' ' ')"
cat "$work/own.pem" >>"$root/var/task/share/ca-bundle.crt"
case "$(packed doctor 2>&1)" in
*certificate*) fail "those of the package are" "$(packed doctor 2>&1)" ;;
*) pass "those of the package are" ;;
esac

cat >"$work/names.py" <<'PY'
# In a network of its own, a name server that knows one name; then the command that is given.
import fcntl, socket, struct, subprocess, sys, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41)) # SIOCSIFFLAGS: up and running
s.bind(("127.0.0.1", 53))
def serve():
    while True:
        q, peer = s.recvfrom(512)
        end = q.index(b"\0", 12) + 5
        known = q[12:end - 4] == b"\6models\4test\0" and q[end - 4:end - 2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\x09" if known else b""
        s.sendto(q[:2] + b"\x81\x80" + q[4:6] + struct.pack("!HHH", bool(known), 0, 0) + q[12:end] + answer, peer)
threading.Thread(target=serve, daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
PY
echo "nameserver 127.0.0.1" >"$root/etc/resolv.conf"
names() {
    OPENAI_BASE_URL=http://$1:9/v1 "${spaces[@]}" --net python3 "$work/names.py" "$work/inside" "$work/bootstrap" \
        --data "$shared/data" doctor 2>&1 | tr -s ' \n' ' '
}
contains "names are looked up" "Failed to connect to models.test port 9" "$(names models.test)"
contains "and not made up" "Could not resolve host" "$(names nothing.test)"
unset OPENAI_BASE_URL OPENAI_API_KEY

# ---- as functions ----
postgres_start
export AEGIS_TEST_DATABASE_URL=$server AEGIS_TEST_BOOTSTRAP="$work/bootstrap" TMPDIR="$shared/tmp"
exits "all tests of the functions pass with it" 0 inside "$AEGIS_BUILD/tests/test_lambda_postgres"
exits "and those of their time" 0 inside "$AEGIS_BUILD/tests/test_lambda_time_postgres"
[ "$failed" = 0 ] || printf '%s\n' "$out" | grep -A5 "ERROR\|FAILED" | head -40

done_testing
