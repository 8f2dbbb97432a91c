#!/usr/bin/env bash
# A text of 2 GiB, through standard input: over the limit that is set by default, so a dead letter that
# names the limit and the setting, in bounded memory and with one copy on the disk, before a model was asked.
. "$(dirname "$0")/lib.sh"

size=$((2 << 30))
room_kib=$((3 << 20))
[ "$AEGIS_SANITIZED" = 0 ] || { echo "1..0 # SKIP memory and time are not judged under a sanitizer"; exit 77; }
[ "$(df --output=avail "$work" | tail -1)" -gt "$room_kib" ] || { echo "1..0 # SKIP less than 3 GiB of disk space"; exit 77; }
fake_start
limit_kib=$((64 * 1024))

mkfifo "$work/text"
yes 'The harbour was calm, and the ferry left on time with twelve crates of lemons.' 2>/dev/null | head -c "$size" >"$work/text" &
"$AEGIS" --data "$data" add --key huge.txt - <"$work/text" >"$work/out" 2>&1 &
pid=$!
pids+=("$pid")
peak_of "$pid" &
watcher=$!
wait "$pid"
equal "a text of 2 GiB fails" 4 $?
wait "$watcher"
peak=$(cat "$work/peak")
echo "# 2 GiB: $((peak / 1024)) MiB of memory at most"
if [ "$peak" -gt 0 ] && [ "$peak" -le "$limit_kib" ]; then pass "in bounded memory"; else fail "in bounded memory" "$peak KiB"; fi
equal "it is a dead letter with its reason" "dead too_large" "$(aegis show --json huge.txt | jq -r '"\(.state) \(.reason)"')"
equal "all of it was taken" "$size" "$(field huge.txt size)"
message=$(field huge.txt message)
contains "which names the limit" "limit of 1 GiB" "$message"
contains "and the setting that raises it" "media.max_text" "$message"
contains "and is printed" "media.max_text" "$(tr '\n' ' ' <"$work/out" | tr -s ' ')"
equal "nothing was asked of a model" "0 0" "$(requests /v1/chat/completions) $(requests /v1/embeddings)"
used() { du -s --block-size=1M "$data" | cut -f1; }
equal "it lies on the disk once" true "$([ "$(used)" -le 2100 ] && echo true || used)"

printf 'A short text about the lighthouse.\n' >"$work/short.txt"
exits "work goes on" 0 aegis add "$work/short.txt"
exits "it is removed" 0 aegis remove huge.txt
exits "and its bytes" 0 aegis serve --until-idle
freed() { [ "$(used)" -le 100 ]; }
wait_until 20 freed && pass "are gone" || fail "are gone" "$(used) MiB"
done_testing
