#!/usr/bin/env bash
# The commands of docs/backup.md on PostgreSQL, word for word: a dump while rows are written, restored into a new
# database, compared table by table.
. "$(dirname "$0")/lib.sh"
postgres_start
export PATH="$client:$PATH"
export PGOPTIONS='-c client_min_messages=warning'
mkdir "$work/bin" "$work/backup"
ln -s "$AEGIS" "$work/bin/aegis"
export PATH="$work/bin:$PATH"
by_the_book() {
    local name=$1
    shift
    page_block backup.md "$name" >"$work/block.sh"
    exits "docs/backup.md: $name" 0 env "$@" sh -eu "$work/block.sh"
}
# rows and a digest of each table of the schema, and what else there is
contents() {
    local table
    for table in $(sql "$1" "SELECT relname FROM pg_class WHERE relnamespace = 'aegis'::regnamespace AND relkind = 'r' ORDER BY 1"); do
        sql "$1" "SELECT '$table', count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text)), '')) FROM aegis.$table t"
    done
    sql "$1" "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'aegis' ORDER BY 1"
    sql "$1" "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'aegis' ORDER BY 1"
    sql "$1" "SELECT viewname, definition FROM pg_views WHERE schemaname = 'aegis' ORDER BY 1"
    sql "$1" "SELECT objoid::regclass, objsubid, description FROM pg_description WHERE classoid = 'pg_class'::regclass
              AND objoid::regclass::text LIKE 'aegis.%' ORDER BY objoid::regclass::text, 2"
    sql "$1" "SELECT relname, unnest(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner)))::text FROM pg_class WHERE relnamespace = 'aegis'::regnamespace AND relkind IN ('r', 'v', 'S') ORDER BY 1, 2"
}

postgres_database old || without "the server does not let this login create databases"
old=$database
postgres_database new
new=$database
exits "the schema is made" 0 env DATABASE_URL="$old" aegis db migrate
exits "with roles" 0 env DATABASE_URL="$old" aegis db roles
exits "rows" 0 "$client/psql" -qX -v ON_ERROR_STOP=1 "$old" -f "$AEGIS_SOURCE/tests/e2e/prisma/fill.sql"
half=$(sql "$old" "SELECT coalesce(to_regtype('halfvec')::text, 'vector')") # pgvector 0.7 and later
exits "and more of them" 0 "$client/psql" -qX -v ON_ERROR_STOP=1 "$old" -c "SET search_path = aegis, public;
    INSERT INTO chunk (chunk_id, result_id, ordinal, start_ms, end_ms, byte_offset, text, words)
        SELECT i, 9, i, -1, -1, i, 'Text ' || i, to_tsvector('simple', 'text ' || i) FROM generate_series(100, 5000) i;
    INSERT INTO embedding_4 SELECT i, 9, ARRAY[sin(i), cos(i), 0]::real[]::vector::$half FROM generate_series(100, 5000) i;
    SELECT setval('chunk_chunk_id_seq', 5000)"

# ---- while somebody writes: what is seen is one moment, where both tables have the same rows ----
(
    while sql "$old" "INSERT INTO aegis.life_event (at_ms, type) VALUES (1, 1);
        INSERT INTO aegis.garbage (id, arg, kind) VALUES (1, 1, 1)" 2>/dev/null; do :; done
) &
writer=$!
pids+=("$writer")
wait_until 90 eval '[ "$(sql "$old" "SELECT count(*) FROM aegis.garbage")" -ge 5 ]' || fail "somebody writes"
by_the_book dump DATABASE_URL="$old" BACKUP="$work/backup"
kill "$writer"
wait "$writer" 2>/dev/null
by_the_book restore-postgres NEW_URL="$new" BACKUP="$work/backup"
contains "aegis db status finds it usable" "0001_initial" "$out"
equal "it is usable" true "$(DATABASE_URL=$new aegis db status --json | jq .usable)"
equal "what two tables have was one moment" "" "$(sql "$new" "SELECT 'torn' WHERE (SELECT count(*) FROM aegis.life_event) <> (SELECT count(*) FROM aegis.garbage)")"

# ---- with nobody writing: nothing is missing ----
sql "$new" "DROP SCHEMA aegis CASCADE; DROP EXTENSION vector"
by_the_book dump DATABASE_URL="$old" BACKUP="$work/backup"
by_the_book restore-postgres NEW_URL="$new" BACKUP="$work/backup"
contents "$old" >"$work/old"
contents "$new" >"$work/new"
equal "tables, sequences, indexes, views, comments and rights are the same" "" "$(diff "$work/old" "$work/new")"
contains "embeddings among them" "embedding_4|4904|" "$(cat "$work/new")"
equal "search by meaning works" "t" "$(sql "$new" "SET enable_seqscan = off; SET search_path = aegis, public;
    SELECT embedding <=> (SELECT embedding FROM embedding_4 WHERE chunk_id = 3000) < 0.01 AS near FROM embedding_4
    ORDER BY embedding <=> (SELECT embedding FROM embedding_4 WHERE chunk_id = 3000) LIMIT 1")"
equal "ids go on behind the last one" 5001 "$(sql "$new" "INSERT INTO aegis.chunk (result_id, ordinal, start_ms, end_ms, byte_offset, text, words)
    VALUES (1, 9, -1, -1, 0, '', '') RETURNING chunk_id")"
exits "a member of aegis_read may read it" 0 sql "$new" "SET ROLE aegis_read; SELECT count(*) FROM aegis.media_view"
exits "but not write" 1 sql "$new" "SET ROLE aegis_read; DELETE FROM aegis.media"
exits "the schema can be migrated on" 0 env DATABASE_URL="$new" aegis db migrate
done_testing
