#!/usr/bin/env bash
# The commands with DATABASE_URL: everything is in PostgreSQL, objects in a folder that "machines" share. Each machine
# is a data directory of its own.
. "$(dirname "$0")/lib.sh"
postgres_start
postgres_database cli
export DATABASE_URL=$database AEGIS_STORE_DIRECTORY="$work/objects"
fake_start
on() { # on MACHINE COMMAND...
    local machine=$1
    shift
    "$AEGIS" --data "$work/$machine" "$@"
}
mkdir "$work/in"
echo "The lighthouse keeper counted ships every night of the winter." >"$work/in/keeper.txt"
echo "The baker needs steam in the first ten minutes of every loaf." >"$work/in/baker.txt"
printf '1\n00:00:01,000 --> 00:00:04,000\nThe night train stopped in the snow.\n' >"$work/in/train.srt"
printf '%%PDF-1.4 broken' >"$work/in/broken.pdf"

exits "without a schema nothing starts" 5 on a list
contains "and it says what to do" "aegis db migrate" "$out"
exits "the schema is made" 0 on a db migrate
exits "it is usable" 0 on a db status

exits "machine a takes media in" 0 on a add --detach --prefix in "$work/in"
exits "machine b, which never saw the files, works on them" 4 on b worker --until-idle
equal "it logs its own jobs" 3 "$(grep -c job.succeeded <<<"$out")"
equal "no database is in a data directory" "" "$(find "$work/a" "$work/b" -name '*.db' 2>/dev/null)"

exits "machine c lists them" 0 on c list
contains "with their states" "dead" "$out"
equal "three have results" 3 "$(on c list --json | jq '[.media[] | select(.state == "succeeded")] | length')"
contains "a word is found" "keeper.txt" "$(on c search "who counted ships")"
contains "subtitles with their time" "0:01" "$(on c search '"night train"')"
exits "a question is answered" 0 on c ask "What does the baker need?"
exits "a summary is shown" 0 on c summary in/baker.txt
exits "subtitles come back" 0 on c transcript in/train.srt --format srt
contains "as they were" "The night train stopped in the snow." "$out"

cp "$work/in/keeper.txt" "$work/in/broken.pdf"
chats=$(requests /v1/chat/completions ok)
exits "a better file replaces the broken one" 0 on a add --prefix in "$work/in"
equal "identical content costs nothing, what is known already neither" "$chats" "$(requests /v1/chat/completions ok)"
exits "the dead letter of the old version is dropped" 0 on c dead drop --all
contains "no dead letter is left" "No dead letters" "$(on c dead)"
exits "a medium is removed" 0 on c remove in/baker.txt
equal "and found no more" 0 "$(on c search --json "steam in the first ten minutes" | jq '[.hits[]? | select(.key | endswith("baker.txt"))] | length')"

exits "another summary model" 0 env AEGIS_SUMMARISE_MODEL=gpt-5.4-nano "$AEGIS" --data "$work/b" reprocess --all
contains "costs are told" "gpt-5.4-nano" "$(on c usage)"
exits "doctor is content" 0 on c doctor
contains "with PostgreSQL" "PostgreSQL" "$out"

# The server is away: the pipeline waits, and nothing is lost.
echo "Written while the server was away." >"$work/in/later.txt"
exits "an unreachable server refuses an upload" 5 env DATABASE_URL=postgresql://nobody:verysecret@127.0.0.1:1/none "$AEGIS" --data "$work/a" add --detach "$work/in/later.txt"
contains "and says where it looked" "127.0.0.1:1" "$out"
case "$out" in *verysecret*) fail "without the password" "$out" ;; *) pass "without the password" ;; esac
done_testing
