#!/usr/bin/env bash
# Bad input gets an outcome or a dead letter with its reason code; the service and other jobs go on.
. "$(dirname "$0")/lib.sh"

in="$work/in"
mkdir -p "$in"
speak() { espeak-ng -w "$1" "$2"; }
quiet() { "$@" >/dev/null 2>&1; }

# ---- what is made ----
printf 'The harbour was calm and the ferry left on time.\n' >"$in/good.txt"
: >"$in/empty.txt"
# RIFF header, fmt chunk (PCM, mono, 16 kHz), a data chunk of 0 bytes
printf 'RIFF\044\0\0\0WAVEfmt \020\0\0\0\001\0\001\0\200\076\0\0\0\175\0\0\002\0\020\0data\0\0\0\0' >"$in/header-only.wav"
quiet ffmpeg -f lavfi -i anullsrc=r=16000:cl=mono -t 5 "$in/silence.wav"
quiet ffmpeg -f lavfi -i testsrc=size=64x64:rate=5 -t 2 -an "$in/no-audio.mp4"
printf 'caf\xc3\xa9 \xff\xfe broken \xc3( bytes about a bicycle\n' >"$in/invalid-utf8.txt"
head -c 20000 /dev/urandom >"$in/random.mp3"
printf '#EXTM3U\n#EXTINF:1,x\n/etc/passwd\n' >"$in/list.m3u8"
printf "ffconcat version 1.0\nfile '/etc/passwd'\n" >"$in/concat.mp3"
{ printf '<html><body>'; for _ in $(seq 5000); do printf '<div>'; done; printf 'deep'; } >"$in/deep.html"
speak "$work/words.wav" "the quick brown fox"
quiet ffmpeg -i "$work/words.wav" "$work/words.m4a"
head -c $(($(stat -c %s "$work/words.m4a") / 2)) "$work/words.m4a" >"$in/truncated.m4a"
quiet ffmpeg -i "$work/words.wav" "$work/words.mp3"
head -c $(($(stat -c %s "$work/words.mp3") / 2)) "$work/words.mp3" >"$in/truncated.mp3"
head -c 60 "$work/words.mp3" >"$in/stump.mp3"
python3 - "$in/bomb.docx" 2>/dev/null <<'PY' || true
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED)
z.writestr("[Content_Types].xml", "<Types/>")
with z.open("word/document.xml", "w", force_zip64=True) as f:
    f.write(b"<w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'><w:body>")
    block = b"<w:p><w:r><w:t>" + b"a" * 1000000 + b"</w:t></w:r></w:p>"
    for _ in range(600):
        f.write(block)
    f.write(b"</w:body></w:document>")
PY
printf '%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n4 0 obj<</Length 44>>stream\nBT /F1 12 Tf 20 100 Td (secret words) Tj ET\nendstream endobj\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n' >"$work/plain.pdf"
quiet qpdf --encrypt user owner 256 -- "$work/plain.pdf" "$in/locked.pdf"
printf 'not a pdf at all but it says so' >"$work/body"
{ printf '%%PDF-1.7\n'; head -c 3000 /dev/urandom; } >"$in/broken.pdf"

# ---- the run ----
exits "adding good and bad together says that some failed" 4 aegis add --prefix in "$in"

state() { aegis show --json "in/in/$1" 2>/dev/null | jq -r '.state'; }
reason() { aegis show --json "in/in/$1" 2>/dev/null | jq -r '.reason'; }
outcome() { aegis show --json "in/in/$1" 2>/dev/null | jq -r '.outcome'; }

equal "a good file among them is published" succeeded "$(state good.txt)"
equal "an empty file is an outcome" empty "$(outcome empty.txt)"
equal "a recording without samples is an outcome" empty "$(outcome header-only.wav)"
equal "a silent recording is an outcome" no_speech "$(outcome silence.wav)"
equal "a video without audio is an outcome" no_audio "$(outcome no-audio.mp4)"
equal "invalid UTF-8 is mended and published" succeeded "$(state invalid-utf8.txt)"
for row in random.mp3:unsupported_type list.m3u8:playlist concat.mp3:playlist deep.html:too_deep \
    truncated.mp3:truncated truncated.m4a:truncated stump.mp3:unreadable locked.pdf:password_protected broken.pdf:unreadable \
    bomb.docx:archive_bomb; do
    file=${row%%:*}
    [ -e "$in/$file" ] || continue
    equal "$file is dead with its reason" "dead ${row##*:}" "$(state "$file") $(reason "$file")"
done

out=$(aegis search --json bicycle)
contains "the mended text is found" "invalid-utf8.txt" "$out"
out=$(aegis dead list)
contains "dead letters are listed with their reason" "password_protected" "$out"
equal "no file of the machine was read" "" "$(aegis search --json root:x:0:0 | jq -r '.hits[]?.key' | grep -v good | grep passwd)"

# A text over the limit: what to raise is told, and once it is, the text goes through.
exits "a text over the limit" 4 aegis --set media.max_text=1KiB add --prefix in "$AEGIS_SOURCE/LICENSE"
equal "is a dead letter with its reason" "dead too_large" "$(aegis show --json in/LICENSE | jq -r '"\(.state) \(.reason)"')"
contains "that names the setting" "limit of 1024 bytes; split it, or raise the setting media.max_text" "$(aegis show --json in/LICENSE | jq -r .message)"
exits "it is redriven" 0 aegis dead redrive "$(aegis show --json in/LICENSE | jq .job)"
exits "with a higher limit" 0 aegis serve --until-idle
equal "it succeeds" succeeded "$(field in/LICENSE state)"

# Deleted between the event and the fetch: its bytes, or the object of an event document.
head -c 300000 /dev/urandom | base64 >"$work/gone.txt"
exits "a file is queued" 0 aegis add --detach --prefix gone "$work/gone.txt"
find "$data/objects" -type f -size +300k -newer "$work/gone.txt" -delete
printf '{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventTime":"2026-01-02T03:04:05.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"media"},"object":{"key":"never.txt","size":10,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0055AED6DCD90281E5"}}}]}' >"$work/event.json"
exits "an event comes for an object that is gone" 0 aegis ingest-event "$work/event.json"
exits "both are worked on" 4 aegis serve --until-idle
equal "deleted bytes are told" object_missing "$(field gone/gone.txt reason)"
equal "and a deleted object" object_missing "$(field never.txt reason)"

# A service that goes on: the same directory takes more work.
printf 'A second text about a lighthouse.\n' >"$work/later.txt"
exits "work goes on after bad input" 0 aegis add --prefix later "$work/later.txt"
done_testing
