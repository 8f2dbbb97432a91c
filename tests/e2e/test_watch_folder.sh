#!/usr/bin/env bash
# `aegis watch`: what is there at the start, what a writer closes, what is renamed into place, what changed
# while nobody watched; not what is still being written.
. "$(dirname "$0")/lib.sh"

in="$work/in"
mkdir -p "$in/sub"
watch() {
    "$AEGIS" --data "$data" watch --prefix w "$@" "$in" >"$work/watch.log" 2>&1 &
    watcher=$!
    pids+=("$watcher")
}
stop() {
    kill -TERM "$watcher"
    wait "$watcher"
    equal "$1" 0 $?
}
is() { [ "$(aegis show --json "w/in/$1" 2>/dev/null | jq -r .state)" = succeeded ]; }
taken() { if wait_until 15 is "$2"; then pass "$1"; else fail "$1" "$(tail -5 "$work/watch.log")"; fi; }
keys() { aegis list --json --limit 0 | jq -r '[.media[].key] | sort | join(" ")'; }
versions() { aegis jobs --json --limit 0 | jq --arg key "w/in/$1" '[.jobs[] | select(.key == $key)] | length'; }

printf 'It was there at the start.\n' >"$in/start.txt"
printf 'So was this one below it.\n' >"$in/sub/below.txt"
printf 'half of a downl' >"$in/before.txt.part"
watch
taken "what is there at the start is taken" start.txt
taken "below it too" sub/below.txt

# ---- closed after a write ----
exec 7>"$in/slow.txt"
printf 'A first line, ' >&7
printf 'It is whole already.\n' >"$in/marker-1.txt"
taken "a file that is closed is taken" marker-1.txt
equal "one that is still being written is not" "w/in/marker-1.txt w/in/start.txt w/in/sub/below.txt" "$(keys)"
printf 'and a last line about a windmill.\n' >&7
exec 7>&-
taken "once its writer closes it, it is" slow.txt
contains "with all that was written" slow.txt "$(aegis search --json windmill)"
equal "and once" 1 "$(versions slow.txt)"

# ---- renamed into place ----
printf 'It was written elsewhere.\n' >"$work/elsewhere.txt"
mv "$work/elsewhere.txt" "$in/moved.txt"
taken "a file that is moved in is taken" moved.txt
printf 'A download under a temporary name.\n' >"$in/talk.txt.part"
printf 'x\n' >"$in/talk.txt.crdownload"
printf 'x\n' >"$in/.talk.txt.swp"
printf 'x\n' >"$in/notes.tmp"
printf 'x\n' >"$in/notes.txt~"
printf 'It comes after them.\n' >"$in/marker-2.txt"
taken "what comes after temporary names is taken" marker-2.txt
equal "they are not" "" "$(keys | tr ' ' '\n' | grep -E 'part$|tmp$|swp$|~$|crdownload$')"
mv "$in/talk.txt.part" "$in/talk.txt"
taken "once renamed it is" talk.txt
mkdir "$work/folder"
printf 'In a folder that moved in.\n' >"$work/folder/inside.txt"
mv "$work/folder" "$in/folder"
taken "a folder that is moved in is looked through" folder/inside.txt
mkdir -p "$in/new/deep"
printf 'In a folder that was made.\n' >"$in/new/deep/file.txt"
taken "and one that is made" new/deep/file.txt

# ---- changed, and changed back to the same ----
printf 'It was there at the start and is about a volcano now.\n' >"$in/start.txt"
wait_until 15 eval 'aegis search --json volcano | grep -q start.txt'
contains "a change is taken" start.txt "$(aegis search --json volcano)"
stop "it stops on SIGTERM"

# ---- while nobody watches ----
before=$(keys)
printf 'It came while nobody watched.\n' >"$in/absent.txt"
printf 'It moved on to penguins meanwhile.\n' >"$in/sub/below.txt"
equal "nobody takes it" "$before" "$(keys)"
rm "$in/moved.txt"
watch
taken "what came meanwhile is taken" absent.txt
wait_until 15 eval 'aegis search --json penguins | grep -q below.txt'
contains "what changed meanwhile too" below.txt "$(aegis search --json penguins)"
equal "what did not change is not taken again" 1 "$(versions slow.txt)"
contains "what went stays without --mirror" w/in/moved.txt "$(keys)"
stop "it stops again"

# ---- a mirror ----
watch --mirror
gone() { ! keys | grep -qF "$1"; }
if wait_until 15 gone w/in/moved.txt; then pass "with --mirror what went is forgotten"; else fail "with --mirror what went is forgotten" "$(keys)"; fi
rm "$in/absent.txt"
if wait_until 15 gone w/in/absent.txt; then pass "and what goes"; else fail "and what goes" "$(keys)"; fi
contains "the rest stays" w/in/start.txt "$(keys)"
stop "the mirror stops"
done_testing
