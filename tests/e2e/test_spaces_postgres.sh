#!/usr/bin/env bash
# Changing the embedding model on PostgreSQL (spaces.sh).
. "$(dirname "$0")/lib.sh"
postgres_start
postgres_database first
first_database=$database
DATABASE_URL=$database "$AEGIS" --data "$work/first" db migrate >/dev/null
postgres_database spaces
export DATABASE_URL=$database
aegis db migrate >/dev/null
left_of() {
    sql "$database" "SELECT (SELECT count(*) FROM aegis.embedding_$1) + (SELECT count(*) FROM aegis.embedding_$1_fresh) +
        (SELECT count(*) FROM aegis.result_space WHERE space_id = $1) + (SELECT count(*) FROM aegis.result WHERE space_id = $1)"
}
. "$(dirname "$0")/spaces.sh"
done_testing
