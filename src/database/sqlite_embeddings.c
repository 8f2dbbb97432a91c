/*
 * Embeddings and summaries that an earlier result already has: what a change of the other's model
 * does not pay for again.
 */
#include "database/sqlite_internal.h"
#include "database/sqlite_results.h"
#include "database/vector_half.h"
#include "shared/summary_json.h"

struct wanted {
    int64_t first, end; /* ordinals */
    size_t dimension;
    float *vectors;
    int64_t found;
};

/* Copies what one run holds of the wanted ordinals. */
static int take_run(struct wanted *w, sqlite3_stmt *run)
{
    int64_t first = sql_int(run, 0), end = first + sql_int(run, 1);
    int64_t from = first > w->first ? first : w->first, to = end < w->end ? end : w->end;
    const uint16_t *vectors = sqlite3_column_blob(run, 2);
    size_t bytes = (size_t)sqlite3_column_bytes(run, 2), row = w->dimension * sizeof *vectors;
    if (from >= to || bytes != (size_t)(end - first) * row)
        return OK; /* of another dimension, or not embedded: as if it were not there */
    half_to_floats(vectors + (size_t)(from - first) * w->dimension,
                   (size_t)(to - from) * w->dimension,
                   w->vectors + (size_t)(from - w->first) * w->dimension);
    w->found += to - from;
    return OK;
}

static int find(struct connection *c, const struct result_key *key, int64_t space_id,
                struct wanted *w)
{
    sqlite3_stmt *run;
    bool more;
    int64_t dimension = 0;
    int rc =
        SQL_NUMBER(c, &dimension, 0, "SELECT dimension FROM embedding_space WHERE space_id = ?1",
                   V_INT(space_id));
    if (rc || dimension <= 0)
        return rc;
    w->dimension = (size_t)dimension;
    /* One result is enough, and all of one result: its runs are read in one statement, so that a
     * result collected meanwhile is either whole or not there. */
    rc = SQL_BEGIN(
        c, &run,
        "WITH had AS (SELECT r.result_id, r.space_id = ?3 AS own FROM result r WHERE r.content_key "
        "= ?1 AND r.state = 1 AND r.text_key = ?2 AND r.content = ?4 AND (r.space_id = ?3 OR "
        "EXISTS "
        "(SELECT 1 FROM result_space x WHERE x.result_id = r.result_id AND x.space_id = ?3 AND "
        "x.chunks >= r.chunk_count)) LIMIT 1) "
        "SELECT u.first_ordinal, u.count, u.vectors FROM had h JOIN chunk_run u ON u.result_id = "
        "h.result_id WHERE h.own AND u.first_ordinal < ?5 AND u.first_ordinal + u.count > ?6 "
        "UNION ALL SELECT u.first_ordinal + x.first_chunk - u.first_chunk, x.count, x.vectors FROM "
        "had h JOIN chunk_run u ON u.result_id = h.result_id JOIN space_run x ON x.first_chunk "
        "BETWEEN u.first_chunk AND u.first_chunk + u.count - 1 AND x.space_id = ?3 WHERE NOT h.own "
        "AND u.first_ordinal < ?5 AND u.first_ordinal + u.count > ?6",
        V_INT(digest_key(&key->content)), V_INT(digest_key(&key->text)), V_INT(space_id),
        V_BLOB(key->content.bytes, DIGEST_BYTES), V_INT(w->end), V_INT(w->first));
    while (!rc && !(rc = sql_next(c, run, &more)) && more)
        rc = take_run(w, run);
    sql_done(run);
    return rc;
}

int sqlite_embeddings_find(void *ctx, const struct result_key *key, int64_t space_id, int first,
                           size_t count, float *vectors)
{
    struct store *s = ctx;
    struct wanted w = {.first = first, .end = first + (int64_t)count, .vectors = vectors};
    struct reader *r = reader_hold(s);
    int rc = find(&r->main, key, space_id, &w);
    reader_release(s, r);
    if (!rc && w.found < (int64_t)count)
        rc = error_set(ERR_NOT_FOUND, NULL, "no ready result has these embeddings");
    return rc;
}

int sqlite_summary_find(void *ctx, const struct result_key *key, struct arena *arena,
                        struct summary *out, int64_t *coverage_permille)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    int rc = SQL_FIRST(&r->main, &row,
                       "SELECT summary, summary_coverage FROM result WHERE content_key = ?1 AND "
                       "state = 1 AND summary_key = ?2 AND content = ?3 AND summary IS NOT NULL "
                       "LIMIT 1",
                       V_INT(digest_key(&key->content)), V_INT(digest_key(&key->summary)),
                       V_BLOB(key->content.bytes, DIGEST_BYTES));
    if (row) {
        *coverage_permille = sql_int(row, 1);
        rc = summary_json_parse(sql_peek(row, 0), (size_t)sqlite3_column_bytes(row, 0), arena, out);
    } else if (!rc) {
        rc = error_set(ERR_NOT_FOUND, NULL, "no ready result has this summary");
    }
    sql_done(row);
    reader_release(s, r);
    return rc;
}
