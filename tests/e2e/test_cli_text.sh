#!/usr/bin/env bash
# Documents through the command line, from adding to removing, in text and JSON.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work/in"
printf 'The lighthouse keeper wrote down the weather every morning.\nStorms came from the west, and the lamp burned all night.\n' >"$work/in/lighthouse.txt"
printf '# Bread\n\nKnead the dough for ten minutes and let it rise near the oven.\n\nBake it until the crust is brown.\n' >"$work/in/bread.md"
printf '1\n00:00:01,000 --> 00:00:04,000\nWelcome to the harbour tour.\n\n2\n00:03:07,000 --> 00:03:12,500\nThe old crane lifted granite blocks.\n' >"$work/in/tour.srt"

# ---- before there is anything ----
exits "listing nothing says how to begin" 3 aegis list
contains "and names the directory" "$data" "$out"
equal "reading makes no data directory" no "$([ -e "$data" ] && echo yes || echo no)"

# ---- add ----
exits "three files are added" 0 aegis add --prefix docs "$work/in"
contains "each is shown" "lighthouse" "$out"
contains "the totals are told" "3 done" "$out"
contains "a real model is one variable away" "OPENAI_API_KEY" "$out"
equal "the data directory is private" 700 "$(stat -c %a "$data")"

json=$(aegis add --json --prefix docs "$work/in" 2>/dev/null)
equal "adding again stores nothing" "0 3 3" "$(jq -r '"\(.stored) \(.unchanged) \(.media | length)"' <<<"$json")"
equal "and makes no job" 3 "$(aegis jobs --json | jq '.jobs | length')"
exits "standard input has a key" 0 aegis add - --key notes/stdin.txt <<<'Sheep were counted on the hill above the village.'
exits "standard input needs a key" 2 aegis add - <<<'text'
exits "a missing file is a failure among others" 4 aegis add --prefix docs "$work/in" "$work/in/nothing.txt"
contains "and is told" "cannot read '$work/in/nothing.txt': No such file or directory" "$out"
contains "it is named" "nothing.txt" "$out"

# ---- list, show ----
equal "all are listed, newest first" "notes/stdin.txt docs/in/tour.srt docs/in/lighthouse.txt docs/in/bread.md" \
    "$(aegis list --json | jq -r '[.media[].key] | join(" ")')"
equal "keys alone" 4 "$(aegis list --keys | wc -l)"
equal "filtered by kind" docs/in/bread.md "$(aegis list --keys --kind markdown)"
equal "filtered by prefix" 3 "$(aegis list --keys --prefix docs/ | wc -l)"
equal "a page and the next" "docs/in/bread.md" \
    "$(aegis list --keys --before "$(aegis list --json --limit 3 | jq '.media[2].id')")"
contains "an empty list says so" "Nothing matches" "$(aegis list --kind audio)"
equal "the columns line up" 1 "$(aegis list | awk '{print index($0, "docs/in")} ' | sort -u | grep -cv '^0$')"
exits "shown by key" 0 aegis show docs/in/bread.md
contains "with its title" "Bread" "$out"
exits "shown by the end of its key" 0 aegis show bread.md
id=$(aegis show --json bread.md | jq .id)
equal "shown by id" docs/in/bread.md "$(aegis show --json "$id" | jq -r .key)"
equal "shown by address" docs/in/bread.md "$(aegis show --json s3://media/docs/in/bread.md | jq -r .key)"
exits "what is not there is not found" 3 aegis show no/such/key
contains "and the error says where to look" "aegis list" "$out"

# ---- summary, transcript ----
exits "a summary" 0 aegis summary lighthouse.txt
equal "its JSON has all members" \
    "abstract action_items draft entities incomplete key key_points language media title topics" \
    "$(aegis summary --json lighthouse.txt | jq -r 'keys | join(" ")')"
equal "subtitles keep their times" "187000 192500" \
    "$(aegis transcript --json tour.srt | jq -r '.segments[1] | "\(.start_ms) \(.end_ms)"')"
contains "as SubRip" "00:03:07,000 --> 00:03:12,500" "$(aegis transcript tour.srt --format srt)"
contains "as WebVTT" "00:03:07.000 --> 00:03:12.500" "$(aegis transcript tour.srt --format vtt)"
equal "VTT begins as it must" WEBVTT "$(aegis transcript tour.srt --format vtt | head -1)"
contains "as text with times" "3:07" "$(aegis transcript tour.srt)"
equal "as text without" "The old crane lifted granite blocks." "$(aegis transcript tour.srt --plain | tail -1)"
aegis transcript tour.srt --format srt >"$work/again.srt"
exits "what was written is read again" 0 aegis add --prefix again "$work/again.srt"
equal "with the same times" 187000 "$(aegis transcript --json again/again.srt | jq '.segments[1].start_ms')"
exits "a document has no transcript" 3 aegis transcript lighthouse.txt
exits "an unknown format is a usage error" 2 aegis transcript tour.srt --format doc

# ---- search, ask ----
exits "a search" 0 aegis search granite crane
contains "lands at the second" "at 3:07" "$out"
hit=$(aegis search --json "kneading dough" | jq -c '.hits[0]')
equal "the best hit" docs/in/bread.md "$(jq -r .key <<<"$hit")"
equal "a document has no position" "null null" "$(jq -r '"\(.start_ms) \(.end_ms)"' <<<"$hit")"
equal "both arms are told" "lexical vector" "$(jq -r '.arms | keys | join(" ")' <<<"$hit")"
equal "a hit has what it should" true \
    "$(jq 'has("media") and has("score") and has("passage") and has("draft") and has("snippet")' <<<"$hit")"
hit=$(aegis search --json "granite crane" --kind srt | jq -c '.hits[0]')
equal "a recording's hit has its position" "187000 192500" "$(jq -r '"\(.start_ms) \(.end_ms)"' <<<"$hit")"
equal "a filter is kept to" 0 "$(aegis search --json granite --kind markdown | jq '[.hits[] | select(.kind != "markdown")] | length')"
equal "the words' arm alone" null "$(aegis search --json dough --arm words | jq '.hits[0].arms.vector')"
exits "nothing found is no error" 0 aegis search --arm words zyzzyva
contains "and said" "Nothing was found" "$out"
exits "an empty question is refused" 2 aegis search ""
exits "an answer" 0 aegis ask "How long is the dough kneaded?"
contains "says that it quotes" "quoted" "$out"
contains "and names its sources" "bread.md" "$out"
equal "in JSON too" "true true" "$(aegis ask --json 'How long is the dough kneaded?' | jq -r '"\(.quoted) \([.sources[] | select(.cited)] | length > 0)"')"

# ---- jobs, usage ----
equal "every job succeeded" succeeded "$(aegis jobs --json | jq -r '[.jobs[].state] | unique | join(" ")')"
job=$(aegis jobs --json --limit 1 | jq '.jobs[0].id')
equal "a job has its attempts" succeeded "$(aegis jobs --json "$job" | jq -r '.history[0].outcome')"
exits "an unknown job" 3 aegis jobs 99999
exits "not an id" 2 aegis jobs talk.mp3
equal "offline work costs nothing" 0 "$(aegis usage --json | jq '[.usage[].cost_usd] | add // 0 | floor')"
exits "usage by an unknown group" 2 aegis usage --by planet
exits "a bad date" 2 aegis usage --since yesterday

# ---- reprocess ----
exits "reprocessing needs to know what" 2 aegis reprocess
exits "all again" 0 aegis reprocess --all
contains "all are done" "5 done" "$out"
equal "queued only" 1 "$(aegis reprocess --json --detach bread.md | jq .queued)"
exits "worked off" 0 aegis serve --until-idle
exits "nothing to redrive" 3 aegis dead redrive 99999
exits "redrive needs to know what" 2 aegis dead redrive
contains "no dead letters" "No dead letters" "$(aegis dead)"

# ---- events ----
printf '{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectRemoved:Delete","eventTime":"%s","s3":{"bucket":{"name":"media"},"object":{"key":"docs/in/tour.srt","sequencer":"FFFFFFFFFFFFFFFF"}}}]}' \
    "$(date -u +%Y-%m-%dT%H:%M:%S.999Z)" >"$work/event.json"
exits "an event document" 0 aegis ingest-event "$work/event.json"
contains "a removal takes the medium away" "removed" "$out"
exits "it is gone" 3 aegis show docs/in/tour.srt
equal "the test event is known" 1 "$(aegis ingest-event --json - <<<'{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-03-01T00:00:00.000Z","Bucket":"media"}' | jq .tests)"
exits "something else is refused" 2 aegis ingest-event - <<<'{"hello":1}'

# ---- remove ----
exits "two are removed" 0 aegis remove bread.md "$(aegis show --json lighthouse.txt | jq .id)"
contains "each is named" "docs/in/bread.md" "$out"
equal "they are found no more" 0 "$(aegis search --json dough --arm words | jq '.hits | length')"
exits "removing it again" 3 aegis remove docs/in/bread.md
exits "one of two" 4 aegis remove docs/in/bread.md notes/stdin.txt

# ---- the same text under another key: one hit, which names both ----
mkdir "$work/twin"
printf 'The warden counts gannets.\n' >"$work/twin/one.txt"
cp "$work/twin/one.txt" "$work/twin/two.txt"
exits "the same text twice" 0 aegis add --prefix t "$work/twin"
hits=$(aegis search --json gannets --arm words)
equal "is one hit" 1 "$(jq '.hits | length' <<<"$hits")"
equal "with the other medium in it" "t/twin/one.txt t/twin/two.txt" \
    "$(jq -r '[.hits[0].key, .hits[0].others[].key] | sort | join(" ")' <<<"$hits")"
contains "as people see it too" "also in t/twin/" "$(aegis search gannets --arm words)"
equal "and written nowhere: it was free" 0 "$(aegis usage --json --by media | jq '[.usage[] | select(.media == 0)] | length')"
done_testing
