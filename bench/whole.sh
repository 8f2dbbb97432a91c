# bench/whole.sh - one large file through the whole pipeline. Sourced by bench/lib.sh.

# run_whole PATH: takes it in and works it off, in a new data directory with a model that answers at once.
# What was written before, the input itself perhaps, is on the disk when the clock starts.
# $work/whole: the seconds of both together, and the larger of both peaks of all processes of Aegis.
run_whole() {
    aegis_new 0
    sync -f "$work"
    serving measured_tree "$AEGIS" add --detach "$1"
    mv "$work/measure" "$work/measure-add"
    serving measured_tree "$AEGIS" serve --until-idle
    jq -s '{seconds: map(.seconds) | add, rss_mib: map(.tree_rss_mib) | max, pss_mib: map(.tree_pss_mib) | max,
            bound_mib: map(.tree_bound_mib) | max, samples: map(.samples) | add, gap_ms: map(.longest_gap_ms) | max}' \
        "$work/measure-add" "$work/measure" >"$work/whole"
    "$AEGIS" list --json | jq '.media[0]' >"$work/medium"
}

whole() { jq -r ".$1" "$work/whole"; }
medium() { jq -r ".$1" "$work/medium"; }

# emit_memory NAME: of the run before, in both units, for what was promised only says MB.
emit_memory() {
    local mib
    mib=$(whole bound_mib)
    required "$1: peak memory, all processes" "$(jq -n "$mib * 1.048576")" MB 150 lower
    emit "$1: the same in MiB" "$mib" MiB
    setting "memory, $1" "at most $mib MiB (sum of each process's own peak); in $(whole samples) samples $(whole rss_mib) MiB resident, $(whole pss_mib) MiB with shared pages counted once; at most $(whole gap_ms) ms between two samples"
}

in_database() { sqlite3 "$work/data/aegis.db" "$1"; }

# What holds for every medium: it succeeded, and all of it was stored.
check_stored() {
    expect "the medium's state" succeeded "$(medium state)"
    expect "the number of jobs that did not succeed" 0 "$(in_database 'SELECT count(*) FROM job WHERE state <> 4')"
    expect "the number of stored chunks" "$(medium chunks)" "$(in_database 'SELECT count(*) FROM chunk')"
    expect "the number of embeddings" "$(medium chunks)" \
        "$(in_database 'SELECT sum(count) FROM chunk_run WHERE vectors IS NOT NULL')"
}

# calls PATH: how many of one endpoint the provider has answered so far.
calls() {
    local url
    url=$(fake_openai 0)
    curl -fsS "${url%/v1}/__control/stats" | jq --arg path "$1" '.endpoints[$path].ok // 0'
}

# check_transcript SECONDS CALLS: its times reach the recording's end, every piece was transcribed once (the
# stand-in says in each reply how long the piece is), and its last words are found with their time.
check_transcript() {
    local ms=$(($1 * 1000)) last
    "$AEGIS" transcript --format json "$(medium key)" >"$work/transcript"
    expect "that the last segment ends within 10 s of the end" true \
        "$(jq ".segments[-1].end_ms | . > $ms - 10000 and . <= $ms + 1000" "$work/transcript")"
    jq -r '.segments[].text' "$work/transcript" | grep -oE 'recording lasts [0-9.]*[0-9]' | cut -d' ' -f3 >"$work/pieces"
    expect "the number of calls for $(wc -l <"$work/pieces") pieces" "$(wc -l <"$work/pieces")" "$2"
    expect "that the pieces are the recording (but for silences)" true \
        "$(awk -v of="$1" '{ sum += $1 } END { print (sum > 0.9 * of && sum < 1.01 * of) ? "true" : sum }' "$work/pieces")"
    last=$(jq -r '.segments[-1].text' "$work/transcript" | grep -oE 'level is [0-9]+')
    expect "that '$last' is found in the last minute" true \
        "$("$AEGIS" search --json "\"$last\"" | jq --argjson ms "$ms" '[.hits[].end_ms] | any(. > $ms - 60000)')"
}

# check_text BYTES WORD: its chunks reach its end, and a word of its last line is found.
check_text() {
    expect "that the last chunk ends at the end" true \
        "$(in_database "SELECT max(byte_offset + length(CAST(text AS BLOB))) > $1 - 100 FROM chunk" | sed 's/1/true/')"
    expect "that '$2' is found" true "$("$AEGIS" search --json "$2" | jq --arg word "$2" '.hits[0].passage | contains($word)')"
}
