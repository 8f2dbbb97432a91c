/*
 * Embeddings and summaries that an earlier result already has: what a change of the other's model
 * does not pay for again.
 */
#include <stdlib.h>

#include "database/postgres_internal.h"
#include "database/vector_half.h"
#include "shared/summary_json.h"

/* What came from SQLite has the first 8 bytes of these digests (move.h). */
#define IS_DIGEST(column) column " IN ($2, substring($2::bytea FROM 1 FOR 8)) "

/* One result is enough, and all of one result, so it is one statement: a result collected meanwhile
 * is either whole or not there. */
static const char EMBEDDINGS[] =
    "SELECT e.embedding FROM chunk c JOIN (SELECT chunk_id, embedding FROM embedding_%lld UNION "
    "ALL SELECT chunk_id, embedding FROM embedding_%lld_fresh) e ON e.chunk_id = c.chunk_id "
    "WHERE c.result_id = (SELECT r.result_id FROM result r WHERE r.content = $1 AND " IS_DIGEST(
        "r.text_settings") "AND (r.space_id = $3 OR EXISTS (SELECT FROM result_space x WHERE "
                           "x.result_id = r.result_id AND x.space_id = $3 AND x.chunks >= "
                           "r.chunk_count)) AND r.state = 1 LIMIT 1) AND c.ordinal >= $4 AND "
                           "c.ordinal < $5 "
                           "ORDER BY c.ordinal";

static int read_vectors(const struct pg_rows *rows, const struct space_known *space, float *vectors)
{
    size_t d = (size_t)space->dimension;
    uint16_t *half = space->half ? malloc(d * sizeof *half) : NULL;
    bool fine = true;
    if (space->half && !half)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an embedding");
    for (int i = 0; fine && i < rows->count; i++) {
        float *out = vectors + (size_t)i * d;
        fine = space->half ? pg_halves(rows, i, 0, half, d) : pg_floats(rows, i, 0, out, d);
        if (fine && half)
            half_to_floats(half, d, out);
    }
    free(half);
    return fine ? OK
                : error_set(ERR_SYSTEMIC, "database_corrupt",
                            "an embedding of space %lld has not %d dimensions",
                            (long long)space->id, space->dimension);
}

static int find(struct store *s, struct pg *c, const struct result_key *key,
                const struct space_known *space, int first, size_t count, float *vectors)
{
    struct pg_rows rows;
    const char *sql = space_sql(s, space->id, EMBEDDINGS);
    if (!sql)
        return ERR_NO_MEMORY;
    int rc = PG_QUERY(c, &rows, sql, digest_value(&key->content), digest_value(&key->text),
                      P_INT(space->id), P_INT(first), P_INT(first + (int64_t)count));
    if (rc)
        return rc;
    if ((size_t)rows.count < count)
        rc = error_set(ERR_NOT_FOUND, NULL, "no ready result has these embeddings");
    else
        rc = read_vectors(&rows, space, vectors);
    pg_rows_free(&rows);
    return rc;
}

int postgres_embeddings_find(void *ctx, const struct result_key *key, int64_t space_id, int first,
                             size_t count, float *vectors)
{
    struct store *s = ctx;
    struct space_known space;
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = space_known(s, c, space_id, &space);
    if (rc == ERR_INVALID)
        rc = space_unknown(space_id);
    if (!rc)
        rc = find(s, c, key, &space, first, count, vectors);
    pg_release(c);
    return rc;
}

int postgres_summary_find(void *ctx, const struct result_key *key, struct arena *arena,
                          struct summary *out, int64_t *coverage_permille)
{
    struct pg_rows rows;
    struct pg *c;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = PG_QUERY(c, &rows,
                  "SELECT summary, summary_coverage FROM result WHERE content = $1 AND " IS_DIGEST(
                      "summary_settings") "AND state = 1 AND summary IS NOT NULL LIMIT 1",
                  digest_value(&key->content), digest_value(&key->summary));
    pg_release(c);
    if (!rc && rows.count) {
        *coverage_permille = pg_int(&rows, 0, 1);
        rc = summary_json_parse(pg_peek(&rows, 0, 0), pg_length(&rows, 0, 0), arena, out);
    } else if (!rc) {
        rc = error_set(ERR_NOT_FOUND, NULL, "no ready result has this summary");
    }
    pg_rows_free(&rows);
    return rc;
}
