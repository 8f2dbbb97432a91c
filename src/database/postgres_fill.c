/*
 * Filling a space that does not serve: what it lacks, and adding to it.
 *
 * A result's own embeddings are of result.space_id; result_space counts those of further spaces.
 * Adding takes the collector's lock, so that no row moves between the two tables of a space, and
 * nobody else adds, while it is looked whether a chunk has its embedding already.
 */
#include <stdlib.h>

#include "database/postgres_internal.h"
#include "database/vector_half.h"

/* ---- what is missing ---- */

enum { RESULTS_PAGE = 64 };

struct lacking {
    struct store *s;
    int64_t space_id;
    int64_t result_id, chunk_id; /* behind these */
    size_t limit;
    struct arena *arena;
    struct missing_chunk *out;
    size_t count;
    const char *chunks; /* the statement */
};

static const char LACKING_RESULTS[] =
    "SELECT r.result_id FROM result r WHERE r.result_id >= $1 AND r.state + 0 = 1 AND "
    "r.chunk_count > 0 AND r.space_id <> $2 AND NOT EXISTS (SELECT FROM result_space x WHERE "
    "x.result_id = r.result_id AND x.space_id = $2 AND x.chunks >= r.chunk_count) "
    "ORDER BY r.result_id LIMIT $3";

/* From the ordinal behind the last one on, so that a long text is not read from its beginning for
 * each page. */
static const char LACKING_CHUNKS[] =
    "SELECT g, x.chunk_id, x.text FROM unnest($1::bigint[]) g, LATERAL (SELECT c.chunk_id, "
    "c.ordinal, c.text FROM chunk c WHERE c.result_id = g AND c.ordinal > CASE WHEN g = $2 THEN "
    "coalesce((SELECT k.ordinal FROM chunk k WHERE k.chunk_id = $3), -1) ELSE -1 END AND NOT "
    "EXISTS (SELECT FROM embedding_%lld e WHERE e.chunk_id = c.chunk_id) AND NOT EXISTS (SELECT "
    "FROM embedding_%lld_fresh f WHERE f.chunk_id = c.chunk_id) ORDER BY c.ordinal LIMIT $4) x "
    "ORDER BY g, x.ordinal LIMIT $4";

static int take_chunks(struct pg *c, struct lacking *l, const int64_t *results, size_t n)
{
    struct pg_rows rows;
    int rc = PG_QUERY(c, &rows, l->chunks, P_INTS(results, n), P_INT(l->result_id),
                      P_INT(l->chunk_id), P_INT((int64_t)(l->limit - l->count)));
    for (int i = 0; !rc && i < rows.count; i++) {
        struct missing_chunk *chunk = &l->out[l->count++];
        *chunk = (struct missing_chunk){.result_id = pg_int(&rows, i, 0),
                                        .chunk_id = pg_int(&rows, i, 1),
                                        .text = pg_text(&rows, i, 2, l->arena),
                                        .length = pg_length(&rows, i, 2)};
        rc = chunk->text ? OK : ERR_NO_MEMORY;
    }
    pg_rows_free(&rows);
    return rc;
}

/* *last: the greatest of a full page, 0: there are no more. */
static int take_results(struct pg *c, struct lacking *l, int64_t from, int64_t *last)
{
    int64_t ids[RESULTS_PAGE];
    struct pg_rows rows;
    *last = 0;
    int rc =
        PG_QUERY(c, &rows, LACKING_RESULTS, P_INT(from), P_INT(l->space_id), P_INT(RESULTS_PAGE));
    if (rc)
        return rc;
    size_t n = (size_t)rows.count;
    for (size_t i = 0; i < n; i++)
        ids[i] = pg_int(&rows, (int)i, 0);
    pg_rows_free(&rows);
    if (n == RESULTS_PAGE)
        *last = ids[n - 1];
    return n ? take_chunks(c, l, ids, n) : OK;
}

static int find_lacking(struct pg *c, void *arg)
{
    struct lacking *l = arg;
    int64_t from = l->result_id, last = 0;
    l->count = 0;
    int rc = space_usable(c, l->space_id);
    if (!rc)
        rc = pg_query(c, NULL, POSTGRES_BY_INDEX, NULL, 0);
    do {
        if (!rc)
            rc = take_results(c, l, from, &last);
        from = last + 1;
    } while (!rc && last && l->count < l->limit);
    return rc;
}

int postgres_space_missing(void *ctx, int64_t space_id, const struct missing_chunk *after,
                           size_t limit, struct arena *arena, struct missing_chunk **out,
                           size_t *count)
{
    struct store *s = ctx;
    struct lacking l = {.s = s,
                        .space_id = space_id,
                        .result_id = after ? after->result_id : 0,
                        .chunk_id = after ? after->chunk_id : 0,
                        .limit = limit,
                        .arena = arena,
                        .out = arena_array(arena, limit + 1, sizeof **out),
                        .chunks = space_sql(s, space_id, LACKING_CHUNKS)};
    *count = 0;
    *out = l.out;
    if (!l.out || !l.chunks)
        return ERR_NO_MEMORY;
    int rc = store_transaction(s, PG_SNAPSHOT, find_lacking, &l);
    *count = rc ? 0 : l.count;
    return rc;
}

/* ---- adding ---- */

/* Locked against whoever lets them go, which locks them for update. */
static const char LOCK_RESULTS[] = "SELECT 1 FROM result WHERE result_id = ANY($1) AND state = 1 "
                                   "ORDER BY result_id FOR KEY SHARE";

#define ADD(type)                                                                                  \
    "WITH i AS (INSERT INTO embedding_%lld_fresh (chunk_id, result_id, embedding) SELECT u.c, "    \
    "u.r, u.e FROM unnest($1::bigint[], $2::bigint[], $3::" type "[]) u(c, r, e) JOIN result x "   \
    "ON x.result_id = u.r AND x.state + 0 = 1 AND x.space_id <> $4 JOIN chunk k ON k.chunk_id = "  \
    "u.c AND k.result_id = u.r WHERE NOT EXISTS (SELECT FROM embedding_%lld m WHERE m.chunk_id = " \
    "u.c) ON CONFLICT (chunk_id) DO NOTHING RETURNING result_id), "                                \
    "s AS (INSERT INTO result_space AS t (result_id, space_id, chunks) SELECT result_id, $4, "     \
    "count(*) FROM i GROUP BY result_id ON CONFLICT (result_id, space_id) DO UPDATE SET chunks = " \
    "t.chunks + excluded.chunks) "                                                                 \
    "INSERT INTO space_total AS t (space_id, slot, chunks) SELECT $4, $5, count(*) FROM i HAVING " \
    "count(*) > 0 ON CONFLICT (space_id, slot) DO UPDATE SET chunks = t.chunks + excluded.chunks"
static const char ADD_HALF[] = ADD("halfvec");
static const char ADD_FULL[] = ADD("vector");
static const char ONE_ADDS[] = "SELECT pg_advisory_xact_lock(hashtext('aegis.collect'))";

struct filling {
    struct store *s;
    struct space_known space;
    int64_t *chunks, *results;
    size_t count;
    const float *vectors;
    uint16_t *halves;
};

static int add(struct pg *c, void *arg)
{
    const struct filling *f = arg;
    size_t d = (size_t)f->space.dimension;
    const char *sql = space_sql(f->s, f->space.id, f->space.half ? ADD_HALF : ADD_FULL);
    if (!sql)
        return ERR_NO_MEMORY;
    pg_send(c, POSTGRES_BY_INDEX, NULL, 0);
    int rc = pg_query(c, NULL, ONE_ADDS, NULL, 0);
    if (!rc)
        rc = space_usable(c, f->space.id);
    if (rc)
        return rc;
    PG_SEND(c, LOCK_RESULTS, P_INTS(f->results, f->count));
    PG_SEND(c, sql, P_INTS(f->chunks, f->count), P_INTS(f->results, f->count),
            f->space.half ? P_HALFVECS(f->halves, f->count, d) : P_VECTORS(f->vectors, f->count, d),
            P_INT(f->space.id), P_INT(f->s->slot));
    return pg_sync(c, NULL, 0);
}

static int find_space(struct store *s, int64_t space_id, struct space_known *out)
{
    struct pg *c;
    if (space_recall(s, space_id, out))
        return OK;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = space_known(s, c, space_id, out);
    pg_release(c);
    return rc == ERR_INVALID ? space_unknown(space_id) : rc;
}

static int make_rows(struct filling *f, const struct missing_chunk *chunks)
{
    size_t values = f->count * (size_t)f->space.dimension;
    f->chunks = calloc(f->count, sizeof *f->chunks);
    f->results = calloc(f->count, sizeof *f->results);
    f->halves = calloc(values, sizeof *f->halves);
    if (!f->chunks || !f->results || !f->halves)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu embeddings", f->count);
    for (size_t i = 0; i < f->count; i++) {
        f->chunks[i] = chunks[i].chunk_id;
        f->results[i] = chunks[i].result_id;
    }
    half_from_floats(f->vectors, values, f->halves);
    return OK;
}

int postgres_space_append(void *ctx, int64_t space_id, const struct missing_chunk *chunks,
                          size_t count, const float *vectors)
{
    struct store *s = ctx;
    struct filling f = {.s = s, .count = count, .vectors = vectors};
    int rc = find_space(s, space_id, &f.space);
    if (rc || !count)
        return rc;
    rc = make_rows(&f, chunks);
    if (!rc)
        rc = store_transaction(s, PG_READ_WRITE, add, &f);
    free(f.chunks);
    free(f.results);
    free(f.halves);
    return rc;
}
