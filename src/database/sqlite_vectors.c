#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_results.h"
#include "database/sqlite_visible.h"

/* A filter that leaves at most so many runs is given to the index as ranges; a wider one lets
 * enough through to be asked about candidates only. */
enum { RANGE_RUNS = 20000 };

/* Rows appended in the background before searches get their turn. */
enum { REFRESH_ROWS = 8192 };

void vectors_init(struct store *s)
{
    pthread_mutex_init(&s->vectors.lock, NULL);
}

void vectors_close(struct store *s)
{
    for (size_t i = 0; i < s->vectors.count; i++)
        vector_index_close(s->vectors.spaces[i].index);
    pthread_mutex_destroy(&s->vectors.lock);
}

/* ---- opening ---- */

static void index_path(struct store *s, int64_t space_id, char *out, size_t size)
{
    snprintf(out, size, "%s/vectors-%lld.index", s->directory, (long long)space_id);
}

static struct vector_space *known_space(struct store *s, int64_t space_id)
{
    for (size_t i = 0; i < s->vectors.count; i++)
        if (s->vectors.spaces[i].space_id == space_id)
            return &s->vectors.spaces[i];
    return NULL;
}

static int open_index(struct store *s, int64_t space_id, int dimension, struct vector_index **out)
{
    char path[4096], identity[128], hex[33];
    index_path(s, space_id, path, sizeof path);
    hex_encode(s->database_id.bytes, 16, hex);
    snprintf(identity, sizeof identity, "%s/%lld", hex, (long long)space_id);
    return vector_index_open(path, dimension, identity, out);
}

static int read_dimension(struct connection *c, int64_t space_id, int *dimension)
{
    int64_t n;
    int rc = SQL_NUMBER(c, &n, 0, "SELECT dimension FROM embedding_space WHERE space_id = ?1",
                        V_INT(space_id));
    *dimension = (int)n;
    if (!rc && !n)
        rc =
            error_set(ERR_NOT_FOUND, NULL, "there is no embedding space %lld", (long long)space_id);
    return rc;
}

static int find_space(struct store *s, struct connection *c, int64_t space_id,
                      struct vector_space **out)
{
    struct vector_space space = {.space_id = space_id};
    *out = known_space(s, space_id);
    if (*out)
        return OK;
    if (s->vectors.count == VECTOR_SPACES)
        return error_set(ERR_TOO_LARGE, NULL, "more than %d embedding spaces are searched",
                         VECTOR_SPACES);
    int rc = read_dimension(c, space_id, &space.dimension);
    if (!rc)
        rc = open_index(s, space_id, space.dimension, &space.index);
    if (rc)
        return rc;
    *out = &s->vectors.spaces[s->vectors.count++];
    **out = space;
    return OK;
}

/* ---- following the database ---- */

/* Rows on their way into the index: appending many at once costs one lock and one growth. */
enum { APPEND_ROWS = 1024 };
struct appending {
    struct vector_space *space;
    int64_t ids[APPEND_ROWS];
    uint16_t *rows;
    size_t count;
    size_t left; /* rows that may still be appended in this step */
};

static int append_flush(struct appending *a)
{
    int rc = a->count ? vector_index_append(a->space->index, a->ids, a->rows, a->count) : OK;
    a->count = 0;
    return rc;
}

static int append_run(struct appending *a, sqlite3_stmt *row)
{
    int64_t first = sql_int(row, 0), count = sql_int(row, 1);
    size_t width = (size_t)a->space->dimension;
    size_t bytes = (size_t)count * width * sizeof *a->rows;
    const void *vectors = sqlite3_column_blob(row, 2);
    if (count < 1 || count > RUN_CHUNKS || (size_t)sqlite3_column_bytes(row, 2) != bytes)
        return error_set(ERR_SYSTEMIC, "database_corrupt",
                         "the embeddings of chunk %lld have a wrong length: restore a backup",
                         (long long)first);
    int rc = a->count + (size_t)count > APPEND_ROWS ? append_flush(a) : OK;
    if (rc)
        return rc;
    a->left -= a->left < (size_t)count ? a->left : (size_t)count;
    memcpy(a->rows + a->count * width, vectors, bytes);
    for (int64_t i = 0; i < count; i++)
        a->ids[a->count++] = first + i;
    return OK;
}

static int append_rows(struct connection *c, int64_t from, struct appending *a)
{
    sqlite3_stmt *row;
    bool more;
    int rc =
        SQL_BEGIN(c, &row,
                  "SELECT first_chunk, count, vectors FROM chunk_run WHERE first_chunk > ?1 AND "
                  "space_id = ?2 ORDER BY first_chunk",
                  V_INT(from), V_INT(a->space->space_id));
    while (!rc && a->left && !(rc = sql_next(c, row, &more)) && more)
        rc = append_run(a, row);
    sql_done(row);
    return rc ? rc : append_flush(a);
}

/* A run may be in the index in part only (after a power cut): start one run before its last id. */
static int append_new(struct connection *c, struct vector_space *space, size_t limit, bool *whole)
{
    int64_t last = vector_index_last_id(space->index);
    int64_t from = last > RUN_CHUNKS ? last - RUN_CHUNKS : 0;
    if (space->synced_to > from)
        from = space->synced_to - 1;
    struct appending *a = malloc(sizeof *a);
    uint16_t *rows = malloc((size_t)space->dimension * APPEND_ROWS * sizeof *rows);
    int rc = OK;
    if (a && rows) {
        *a = (struct appending){.space = space, .rows = rows, .left = limit};
        rc = append_rows(c, from, a);
        *whole = a->left > 0;
    } else {
        rc = error_set(ERR_NO_MEMORY, NULL, "out of memory for a vector index");
    }
    free(rows);
    free(a);
    return rc;
}

/* Inside a snapshot, whose chunks the index holds afterwards if *whole; at most about `limit` rows
 * are appended. */
static int follow(struct connection *c, struct vector_space *space, size_t limit, bool *whole)
{
    int64_t next_chunk;
    *whole = true;
    int rc = sql_number(c, &next_chunk, 1, "SELECT next_chunk FROM ledger", NULL, 0);
    if (rc || space->synced_to >= next_chunk) /* NOLINT: it was found, so it is not NULL */
        return rc;
    if (vector_index_last_id(space->index) >= next_chunk)
        rc = vector_index_reset(space->index); /* the database was restored from a backup */
    if (!rc)
        rc = append_new(c, space, limit, whole);
    if (!rc && *whole)
        space->synced_to = next_chunk;
    return rc;
}

static int refresh_space(struct store *s, struct connection *c, int64_t space_id, bool *whole)
{
    struct vector_space *space;
    pthread_mutex_lock(&s->vectors.lock);
    int rc = find_space(s, c, space_id, &space);
    if (!rc)
        rc = follow(c, space, REFRESH_ROWS, whole);
    pthread_mutex_unlock(&s->vectors.lock);
    return rc;
}

static int refresh_all(struct store *s, struct connection *c, bool *whole)
{
    int64_t ids[VECTOR_SPACES];
    size_t n = 0;
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(c, &row,
                       /* that of a long text in the making has none yet */
                       "SELECT space_id FROM embedding_space WHERE chunks > 0 OR space_id IN "
                       "(SELECT space_id FROM result WHERE state = 0) ORDER BY chunks DESC "
                       "LIMIT ?1",
                       V_INT(VECTOR_SPACES));
    while (!rc && n < VECTOR_SPACES && !(rc = sql_next(c, row, &more)) && more)
        ids[n++] = sql_int(row, 0);
    if (!rc)
        sql_done(row);
    *whole = true;
    for (size_t i = 0; !rc && *whole && i < n; i++)
        rc = refresh_space(s, c, ids[i], whole);
    return rc;
}

int vectors_refresh(struct store *s, bool *more)
{
    struct reader *r = reader_hold(s);
    bool whole = true;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = refresh_all(s, &r->main, &whole);
    snapshot_end(&r->main);
    reader_release(s, r);
    *more = !rc && !whole;
    return rc;
}

/* An index nobody has made yet needs nothing taken out. */
static int existing_space(struct store *s, struct connection *c, int64_t space_id,
                          struct vector_space **out)
{
    char path[4096];
    index_path(s, space_id, path, sizeof path);
    *out = known_space(s, space_id);
    if (*out || access(path, F_OK) != 0)
        return OK;
    return find_space(s, c, space_id, out);
}

static void remove_span(struct store *s, struct connection *c, const struct chunk_span *span)
{
    struct vector_space *space;
    int64_t ids[RUN_CHUNKS];
    int64_t count = span->count < RUN_CHUNKS ? span->count : RUN_CHUNKS;
    for (int64_t i = 0; i < count; i++)
        ids[i] = span->first + i;
    if (!existing_space(s, c, span->space_id, &space) && space)
        vector_index_remove(space->index, ids, (size_t)count);
}

void vectors_remove(struct store *s, const struct chunk_span *spans, size_t count)
{
    struct reader *r = reader_hold(s); /* before the lock, as everywhere */
    pthread_mutex_lock(&s->vectors.lock);
    for (size_t i = 0; i < count; i++)
        if (spans[i].space_id)
            remove_span(s, &r->main, &spans[i]);
    pthread_mutex_unlock(&s->vectors.lock);
    reader_release(s, r);
}

/* ---- searching ---- */

struct vector_search {
    struct store *s;
    struct connection *c;
    int64_t space_id;
    const float *query;
    const struct media_filter *filter;
    size_t k;
    struct arena *arena;
    struct arm_hit **out;
    size_t *count;
};

static int accept_visible(void *ctx, const int64_t *ids, size_t count, bool *accepted)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < count; i++)
        rc = visible_check(ctx, ids[i], &accepted[i]);
    return rc;
}

static int prepare_space(struct vector_search *q, struct vector_space **space)
{
    pthread_mutex_lock(&q->s->vectors.lock);
    bool whole;
    int rc = find_space(q->s, q->c, q->space_id, space);
    if (!rc)
        rc = follow(q->c, *space, SIZE_MAX, &whole);
    pthread_mutex_unlock(&q->s->vectors.lock);
    return rc;
}

static int reset_space(struct vector_search *q, struct vector_space *space)
{
    pthread_mutex_lock(&q->s->vectors.lock);
    int rc = vector_index_reset(space->index);
    bool whole;
    space->synced_to = 0;
    if (!rc)
        rc = follow(q->c, space, SIZE_MAX, &whole);
    pthread_mutex_unlock(&q->s->vectors.lock);
    return rc;
}

static int search_filtered(struct vector_search *q, const struct vector_filter *filter)
{
    struct vector_space *space;
    int rc = prepare_space(q, &space);
    if (rc)
        return rc;
    rc = vector_index_search(space->index, q->query, q->k, filter, q->arena, q->out, q->count);
    if (rc == ERR_CONFLICT) { /* the file is damaged, but only a cache: made anew */
        rc = reset_space(q, space);
        if (!rc)
            rc = vector_index_search(space->index, q->query, q->k, filter, q->arena, q->out,
                                     q->count);
    }
    return rc;
}

static int search_in(struct vector_search *q, struct visible *visible)
{
    struct vector_range *ranges = NULL;
    size_t count = 0;
    bool too_many = true;
    int rc = visible_begin(visible, q->s, q->c, q->filter);
    if (!rc && !filter_any(q->filter))
        rc = visible_ranges(q->s, q->c, q->filter, RANGE_RUNS, &ranges, &count, &too_many);
    bool nothing = visible->nothing || (!too_many && !count);
    struct vector_filter filter = {.accept = accept_visible, .ctx = visible};
    if (!too_many) {
        filter.ranges = ranges;
        filter.range_count = count;
    }
    if (!rc && !nothing)
        rc = search_filtered(q, &filter);
    free(ranges);
    return rc;
}

static int search_once(struct store *s, struct reader *r, void *arg)
{
    struct vector_search *q = arg;
    struct visible visible = {0};
    q->s = s;
    q->c = &r->main;
    *q->count = 0;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = search_in(q, &visible);
    visible_end(&visible);
    snapshot_end(&r->main);
    return rc;
}

int sqlite_search_vector(void *ctx, int64_t space_id, const float *query,
                         const struct media_filter *filter, size_t k, struct arena *arena,
                         struct arm_hit **out, size_t *count)
{
    struct vector_search q = {.space_id = space_id,
                              .query = query,
                              .filter = filter,
                              .k = k < CAP_RESULTS ? k : CAP_RESULTS,
                              .arena = arena,
                              .out = out,
                              .count = count};
    *out = NULL;
    return search_stable(ctx, search_once, &q);
}
