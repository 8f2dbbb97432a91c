#!/usr/bin/env bash
# A decoder that crashes, hangs or is killed under a running service: one failed attempt, and everything
# else goes on. The decoder is the sandboxed child of the service itself, which gets a signal from outside
# while it works on a long recording.
. "$(dirname "$0")/lib.sh"

# Hours of silence as MPEG frames without a header, so that one file can follow the other: seconds of work
# for the decoder, and nothing to transcribe.
ffmpeg -v error -f lavfi -i anullsrc=r=8000:cl=mono -t 60 -b:a 8k -write_xing 0 -id3v2_version 0 "$work/minute.mp3"
hours() { for _ in $(seq $(($1 * 60))); do cat "$work/minute.mp3"; done; }
long=$((AEGIS_SANITIZED ? 1 : 2))
hours $long >"$work/killed.mp3"
for name in crash hang; do # other bytes: identical content would be decoded once
    { cat "$work/killed.mp3"; hours 1; [ $name = hang ] || cat "$work/minute.mp3"; } >"$work/$name.mp3"
done

patience=$((AEGIS_SANITIZED ? 6 : 3)) # seconds: no decoder is silent for so long but one that hangs
"$AEGIS" --data "$data" --set media.parser_timeout=${patience}s --set retry.base=1ms --set queue.visibility=10m serve --log-format json 2>"$work/serve.log" &
serve=$!
pids+=("$serve")
wait_until 20 grep -q serve.ready "$work/serve.log" && pass "the service is ready" || fail "the service is ready" "$(cat "$work/serve.log")"

# decoder: the pid of the decoding child of our service, in $child
decoder() {
    local pid
    for pid in $(cat /proc/"$serve"/task/*/children 2>/dev/null); do
        case "$(tr '\0' ' ' </proc/"$pid"/cmdline 2>/dev/null)" in
        *" child audio "*)
            child=$pid
            return 0
            ;;
        esac
    done
    return 1
}
# decoding FILE: queues it and waits until its decoder is at work (has used CPU time on the file)
busy() { [ "$(awk '{ print $14 }' /proc/"$child"/stat 2>/dev/null || echo 0)" -ge 10 ]; }
decoding() {
    aegis add --detach --prefix in "$work/$1" >/dev/null 2>&1
    wait_until 30 decoder && wait_until 30 busy && pass "the decoder of $1 is at work" || fail "the decoder of $1 is at work" "$(tail -5 "$work/serve.log")"
}
state_is() { [ "$(field "in/$1" state)" = "$2" ]; }
becomes() {
    wait_until "$3" state_is "$1" "$2" && pass "$1 becomes $2" || fail "$1 becomes $2" "$(aegis show "in/$1")"
}
summary() { aegis show --json "in/$1" | jq -r '"\(.state) \(.reason) at \(.attempts[-1].stage) after \(.attempts | length)"'; }
gone() { ! kill -0 "$1" 2>/dev/null; }
other=0
other_work() { # other files go through meanwhile
    other=$((other + 1))
    printf 'Text number %d about the lighthouse.\n' "$other" >"$work/other-$other.txt"
    exits "other work goes on ($1)" 0 aegis add --prefix in "$work/other-$other.txt"
}

# ---- a crash ----
decoding crash.mp3
kill -SEGV "$child"
becomes crash.mp3 dead 30
equal "a crash is a dead letter at once" "dead parser_crashed at transcribe after 1" "$(summary crash.mp3)"
[ "$AEGIS_SANITIZED" = 1 ] || contains "which names the signal" "SIGSEGV" "$(field in/crash.mp3 message)"
other_work "after a crash"

# ---- a hang ----
decoding hang.mp3
kill -STOP "$child"
other_work "during a hang"
becomes hang.mp3 dead 30
equal "a hang is a dead letter" "dead parser_timeout at transcribe after 1" "$(summary hang.mp3)"
contains "which says for how long" "$patience seconds" "$(field in/hang.mp3 message)"
wait_until 10 gone "$child" && pass "and its decoder is gone" || fail "and its decoder is gone" "$(ps -o pid,stat,args -p "$child")"
other_work "after a hang"

# ---- killed by somebody else, as the kernel does when memory is short: not the file's fault ----
decoding killed.mp3
kill -KILL "$child"
becomes killed.mp3 succeeded 120
equal "that is tried again" "retry parser_killed, succeeded" \
    "$(aegis show --json in/killed.mp3 | jq -r '"\(.attempts[0].outcome) \(.attempts[0].reason), \(.attempts[1].outcome)"')"

# ---- and the service ----
kill -0 "$serve" 2>/dev/null && pass "the service lives" || fail "the service lives" "$(tail -5 "$work/serve.log")"
equal "two dead letters, and no more" "in/crash.mp3 in/hang.mp3" "$(aegis dead list --json | jq -r '[.dead[].key] | sort | join(" ")')"
exits "they are sent round again" 0 aegis dead redrive --all
becomes crash.mp3 succeeded 120
becomes hang.mp3 succeeded 120
kill -TERM "$serve"
wait "$serve"
equal "it ends well" 0 $?
pids=()
done_testing
