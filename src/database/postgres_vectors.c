#include "database/postgres_vectors.h"

#include <string.h>

#include "database/postgres_query.h"
#include "database/vector_half.h"

const struct vector_tuning vector_tuning_default = {
    .exact_rows = 10000, .ef_search = 800, .scan_rows = 100000};

enum {
    INDEX_DIMENSIONS = 2000,      /* of vector, in an HNSW index */
    INDEX_DIMENSIONS_HALF = 4000, /* of halfvec */
    EF_GREATEST = 1000,
    EXTRA = 40,            /* candidates beyond twice the hits wanted */
    MEDIA_COUNTED = 10000, /* of a filter: with more it is a wide one */
    ITERATIVE_SCANS = 800, /* pgvector 0.8 */
};

struct vector_search {
    const struct vector_tuning *tuning;
    struct space_known space;
    const float *query;
    const struct media_filter *filter;
    size_t k;
    int64_t rows;     /* of current results in the space, about */
    int64_t eligible; /* of these, what the filter leaves, at least; -1: not counted */
    bool few;         /* `eligible` is all */
    struct arena *arena;
    struct arm_hit **out;
    size_t *count;
    enum vector_way way;
};

/* ---- how much there is ---- */

static int count_rows(struct pg *c, struct vector_search *v)
{
    return PG_NUMBER(c, &v->rows, 0,
                     "SELECT sum(chunks)::bigint FROM space_total WHERE space_id = $1",
                     P_INT(v->space.id));
}

/* Counts as far as it matters: are there few enough for an exact search? */
static int count_eligible(struct pg *c, struct vector_search *v)
{
    struct query_sql q;
    struct pg_rows rows;
    v->eligible = -1;
    if (filter_is_any(v->filter))
        return OK;
    query_begin(&q, "SELECT count(*), coalesce(sum(chunk_count), 0)::bigint FROM (SELECT "
                    "r.chunk_count FROM media m JOIN result r ON r.result_id = m.result_id "
                    "WHERE NOT m.removed");
    query_add_filter(&q, v->filter);
    query_both(&q, " LIMIT ", P_INT(MEDIA_COUNTED + 1));
    query_text(&q, ") x");
    int rc = query_run(&q, c, &rows);
    if (!rc)
        v->eligible = rows.count ? pg_int(&rows, 0, 1) : 0;
    if (!rc)
        v->few = (!rows.count || pg_int(&rows, 0, 0) <= MEDIA_COUNTED) &&
                 v->eligible <= v->tuning->exact_rows;
    pg_rows_free(&rows);
    query_end(&q);
    return rc;
}

/* ---- the statements ---- */

static void add_number(struct query_sql *q, int64_t n)
{
    if (!q->rc)
        q->rc = buffer_printf(&q->sql, "%lld", (long long)n);
}

/* One of the space's tables. */
static void add_table(struct query_sql *q, const struct vector_search *v, bool fresh)
{
    query_text(q, "embedding_");
    add_number(q, v->space.id);
    query_text(q, fresh ? "_fresh" : "");
}

static void add_order(struct query_sql *q, const struct vector_search *v)
{
    query_both(q, "SELECT chunk_id, 1 - (embedding::vector <=> ",
               P_VECTOR(v->query, (size_t)v->space.dimension));
    query_text(q, ") AS score FROM (");
}

static void add_end(struct query_sql *q, const struct vector_search *v)
{
    query_both(q, ") x ORDER BY score DESC, chunk_id LIMIT ", P_INT((int64_t)v->k));
}

/* Every embedding whose medium passes. */
static void write_exact(struct query_sql *q, const struct vector_search *v)
{
    query_begin(q, "");
    add_order(q, v);
    for (int fresh = 0; fresh < 2; fresh++) {
        query_text(q, fresh ? " UNION ALL " : "");
        query_text(q, "SELECT e.chunk_id, e.embedding FROM ");
        add_table(q, v, fresh);
        query_text(q, " e WHERE EXISTS (SELECT 1 FROM media m WHERE m.result_id = e.result_id "
                      "AND NOT m.removed");
        query_add_filter(q, v->filter);
        query_text(q, ")");
    }
    add_end(q, v);
}

/* From the few media that pass to their embeddings, by the chunks' ids. */
static void write_filtered(struct query_sql *q, const struct vector_search *v)
{
    query_begin(q, "WITH shown AS MATERIALIZED (SELECT c.chunk_id FROM chunk c WHERE c.result_id "
                   "IN (SELECT m.result_id FROM media m WHERE m.result_id IS NOT NULL AND NOT "
                   "m.removed");
    query_add_filter(q, v->filter);
    query_text(q, ")) ");
    add_order(q, v);
    for (int fresh = 0; fresh < 2; fresh++) {
        query_text(q, fresh ? " UNION ALL " : "");
        query_text(q, "SELECT e.chunk_id, e.embedding FROM shown s JOIN ");
        add_table(q, v, fresh);
        query_text(q, " e ON e.chunk_id = s.chunk_id");
    }
    add_end(q, v);
}

/* The condition is a scalar subquery because it is then never made into a join, for which the
 * order of the index would be lost. */
static void write_index(struct query_sql *q, const struct vector_search *v, const uint16_t *half)
{
    size_t d = (size_t)v->space.dimension;
    int64_t candidates = 2 * (int64_t)v->k + EXTRA;
    query_begin(q, "");
    add_order(q, v);
    for (int fresh = 0; fresh < 2; fresh++) {
        query_text(q, fresh ? " UNION ALL " : "");
        query_text(q, "(SELECT e.chunk_id, e.embedding FROM ");
        add_table(q, v, fresh);
        query_text(q, " e WHERE (SELECT true FROM media m WHERE m.result_id = e.result_id AND NOT "
                      "m.removed");
        query_add_filter(q, v->filter);
        query_both(q, " LIMIT 1) ORDER BY e.embedding <=> ",
                   v->space.half ? P_HALFVEC(half, d) : P_VECTOR(v->query, d));
        query_both(q, " LIMIT ", P_INT(candidates));
        query_text(q, ")");
    }
    add_end(q, v);
}

/* ---- running them ---- */

static int take_hits(const struct pg_rows *rows, struct vector_search *v)
{
    *v->out = arena_array(v->arena, (size_t)rows->count, sizeof **v->out);
    if (!*v->out)
        return ERR_NO_MEMORY;
    for (int i = 0; i < rows->count; i++)
        (*v->out)[i] =
            (struct arm_hit){.chunk_id = pg_int(rows, i, 0), .score = pg_real(rows, i, 1)};
    *v->count = (size_t)rows->count;
    return OK;
}

static int run(struct pg *c, struct query_sql *q, struct vector_search *v)
{
    struct pg_rows rows;
    int rc = query_run(q, c, &rows);
    if (!rc)
        rc = take_hits(&rows, v);
    pg_rows_free(&rows);
    query_end(q);
    return rc;
}

static int search_exact(struct pg *c, struct vector_search *v)
{
    struct query_sql q;
    if (v->few)
        write_filtered(&q, v);
    else
        write_exact(&q, v);
    return run(c, &q, v);
}

static int set_number(struct pg *c, const char *sql, int64_t value)
{
    return pg_send(c, sql, PG_VALUES(P_INT(value)));
}

/* For this transaction. The names are kept as given until pgvector is loaded, then looked at. */
static int tune(struct pg *c, const struct vector_search *v)
{
    const struct vector_tuning *t = v->tuning;
    bool iterative = pg_server(c)->vector_version >= ITERATIVE_SCANS && !t->one_scan;
    int64_t ef = 2 * (int64_t)v->k + EXTRA;
    ef = ef > t->ef_search ? ef : t->ef_search;
    if (!iterative && !filter_is_any(v->filter))
        ef = EF_GREATEST;
    int rc = set_number(c, "SELECT set_config('hnsw.ef_search', $1::text, true)",
                        ef < EF_GREATEST ? ef : EF_GREATEST);
    if (!rc && iterative)
        rc = pg_send(c, "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true)", NULL, 0);
    if (!rc && iterative)
        rc = set_number(c, "SELECT set_config('hnsw.max_scan_tuples', $1::text, true)",
                        t->scan_rows);
    if (!rc && iterative) /* times work_mem, for what a scan has seen */
        rc = set_number(c, "SELECT set_config('hnsw.scan_mem_multiplier', $1::text, true)", 4);
    return rc;
}

/* The least number of hits a whole answer has. */
static size_t expected(const struct vector_search *v)
{
    int64_t most = v->eligible >= 0 ? v->eligible : v->rows;
    return most < (int64_t)v->k ? (size_t)(most > 0 ? most : 0) : v->k;
}

static int search_index(struct pg *c, struct vector_search *v)
{
    struct query_sql q;
    size_t d = (size_t)v->space.dimension;
    uint16_t *half = arena_array(v->arena, d, sizeof *half);
    if (!half)
        return ERR_NO_MEMORY;
    half_from_floats(v->query, d, half);
    int rc = tune(c, v);
    if (rc)
        return rc;
    write_index(&q, v, half);
    rc = run(c, &q, v);
    if (rc || *v->count >= expected(v))
        return rc;
    v->way = VECTOR_INDEX_THEN_EXACT;
    return search_exact(c, v);
}

static bool has_index(const struct space_known *space)
{
    return space->dimension <= (space->half ? INDEX_DIMENSIONS_HALF : INDEX_DIMENSIONS);
}

static enum vector_way choose_way(const struct vector_search *v)
{
    if (v->few)
        return VECTOR_EXACT_FILTERED;
    if (v->rows <= v->tuning->exact_rows || !has_index(&v->space))
        return VECTOR_EXACT;
    return VECTOR_INDEX;
}

static int search(struct pg *c, struct vector_search *v)
{
    int rc = count_rows(c, v);
    if (!rc && v->rows > v->tuning->exact_rows)
        rc = count_eligible(c, v);
    if (rc)
        return rc;
    v->way = choose_way(v);
    return v->way == VECTOR_INDEX ? search_index(c, v) : search_exact(c, v);
}

static int find_space(struct store *s, struct pg *c, int64_t space_id, struct space_known *out)
{
    int rc = space_known(s, c, space_id, out);
    if (rc == ERR_INVALID)
        rc = space_unknown(space_id);
    return rc;
}

int postgres_search_vector_tuned(void *ctx, const struct vector_tuning *tuning, int64_t space_id,
                                 const float *query, const struct media_filter *filter, size_t k,
                                 struct arena *arena, struct arm_hit **out, size_t *count,
                                 enum vector_way *way)
{
    struct pg *c;
    struct vector_search v = {.tuning = tuning,
                              .query = query,
                              .filter = filter,
                              .k = k < CAP_RESULTS ? k : CAP_RESULTS,
                              .eligible = -1,
                              .arena = arena,
                              .out = out,
                              .count = count};
    *out = NULL;
    *count = 0;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = find_space(ctx, c, space_id, &v.space);
    if (!rc)
        rc = pg_begin(c, PG_SNAPSHOT);
    if (!rc)
        rc = search(c, &v);
    if (!rc)
        rc = pg_commit(c);
    pg_release(c);
    if (way)
        *way = v.way;
    return rc;
}

int postgres_search_vector(void *ctx, int64_t space_id, const float *query,
                           const struct media_filter *filter, size_t k, struct arena *arena,
                           struct arm_hit **out, size_t *count)
{
    return postgres_search_vector_tuned(ctx, &vector_tuning_default, space_id, query, filter, k,
                                        arena, out, count, NULL);
}
