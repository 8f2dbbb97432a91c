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

/* Each generation has a file of its own, so that who still reads an old one is not disturbed. */
static void index_path(struct store *s, const struct vector_space *space, char *out, size_t size)
{
    if (space->generation)
        snprintf(out, size, "%s/vectors-%lld-%lld.index", s->directory, (long long)space->space_id,
                 (long long)space->generation);
    else
        snprintf(out, size, "%s/vectors-%lld.index", s->directory, (long long)space->space_id);
}

/* The newest generation that was opened: it stands behind the older ones. */
static struct vector_space *known_space(struct store *s, int64_t space_id)
{
    for (size_t i = s->vectors.count; i-- > 0;)
        if (s->vectors.spaces[i].space_id == space_id)
            return &s->vectors.spaces[i];
    return NULL;
}

static int open_index(struct store *s, struct vector_space *space)
{
    char path[4096], identity[128], hex[33], part[24] = "";
    index_path(s, space, path, sizeof path);
    hex_encode(s->database_id.bytes, 16, hex);
    if (space->generation)
        snprintf(part, sizeof part, "/%lld", (long long)space->generation);
    snprintf(identity, sizeof identity, "%s/%lld%s", hex, (long long)space->space_id, part);
    return vector_index_open(path, space->dimension, identity, &space->index);
}

void vectors_forget(struct store *s, int64_t space_id, int64_t generation)
{
    char path[4096];
    index_path(s, &(struct vector_space){.space_id = space_id, .generation = generation}, path,
               sizeof path);
    unlink(path);
}

static int read_space(struct connection *c, int64_t space_id, struct vector_space *out)
{
    sqlite3_stmt *row;
    *out = (struct vector_space){.space_id = space_id};
    int rc = SQL_FIRST(c, &row,
                       "SELECT dimension, generation, filled FROM embedding_space WHERE space_id = "
                       "?1",
                       V_INT(space_id));
    if (row) {
        out->dimension = (int)sql_int(row, 0);
        out->generation = sql_int(row, 1);
        out->filled = sql_int(row, 2);
    } else if (!rc) {
        rc = space_unknown(space_id);
    }
    sql_done(row);
    return rc;
}

/* As a snapshot has it; one that began before the last generation did gets that all the same: the
 * newer index holds all that the older one held. */
static int find_space(struct store *s, struct connection *c, int64_t space_id,
                      struct vector_space **out)
{
    struct vector_space space, *known = known_space(s, space_id);
    int rc = read_space(c, space_id, &space);
    *out = known;
    if (rc || (known && known->generation >= space.generation)) {
        if (known && !rc && known->filled < space.filled) {
            known->synced_to = 0;
            known->filled = space.filled;
        }
        return rc;
    }
    if (s->vectors.count == VECTOR_SPACES)
        return error_set(ERR_TOO_LARGE, NULL,
                         "more than %d embedding spaces were searched: start this process again",
                         VECTOR_SPACES);
    rc = open_index(s, &space);
    if (rc)
        return rc;
    for (int64_t old = 0; old < space.generation; old++)
        vectors_forget(s, space_id, old);
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

static const char RUNS[] =
    "SELECT first_chunk, count, vectors FROM chunk_run WHERE first_chunk > ?1 AND space_id = ?2 "
    "UNION ALL SELECT first_chunk, count, vectors FROM space_run WHERE first_chunk > ?1 AND "
    "space_id = ?2 ORDER BY first_chunk";

static int append_rows(struct connection *c, int64_t from, struct appending *a)
{
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(c, &row, RUNS, V_INT(from), V_INT(a->space->space_id));
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

/* The space that serves; where nothing was published yet, those of long texts in the making. */
static int refresh_all(struct store *s, struct connection *c, bool *whole)
{
    int64_t ids[VECTOR_SPACES];
    size_t n = 0;
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(
        c, &row,
        "SELECT e.space_id FROM embedding_space e JOIN serving_space s WHERE e.space_id = "
        "s.space_id OR (s.space_id = 0 AND e.space_id IN (SELECT space_id FROM "
        "result WHERE state = 0)) LIMIT ?1",
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

/* ---- a space that does not serve ---- */

/* Its index will hold what there is now: what is filled in below that comes too late for it. */
static int mark_tail(struct transaction *tx, void *arg)
{
    const int64_t *space_id = arg;
    return SQL_RUN(tx->c,
                   "UPDATE embedding_space SET tail = max(tail, ?2) WHERE space_id = ?1 AND "
                   "space_id <> (SELECT space_id FROM serving_space)",
                   V_INT(*space_id), V_INT(tx->ledger.value[NEXT_CHUNK] - 1));
}

static int is_marked(struct connection *c, int64_t space_id, int64_t *marked)
{
    return SQL_NUMBER(c, marked, 1,
                      "SELECT e.space_id = s.space_id OR e.tail >= l.next_chunk - 1 FROM "
                      "embedding_space e JOIN serving_space s JOIN ledger l WHERE e.space_id = ?1",
                      V_INT(space_id));
}

int sqlite_space_prepare(void *ctx, int64_t space_id, bool *more)
{
    struct store *s = ctx;
    bool whole = true;
    int rc = writer_run(&s->writer, mark_tail, &space_id);
    if (rc)
        return rc;
    struct reader *r = reader_hold(s);
    rc = snapshot_begin(&r->main);
    if (!rc)
        rc = refresh_space(s, &r->main, space_id, &whole);
    snapshot_end(&r->main);
    reader_release(s, r);
    *more = !rc && !whole;
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
    struct vector_space space;
    *out = NULL;
    int rc = read_space(c, space_id, &space);
    index_path(s, &space, path, sizeof path);
    return rc || access(path, F_OK) != 0 ? rc : find_space(s, c, space_id, out);
}

static void remove_span(struct store *s, struct connection *c, int64_t space_id,
                        const struct chunk_span *span)
{
    struct vector_space *space;
    int64_t ids[RUN_CHUNKS];
    int64_t count = span->count < RUN_CHUNKS ? span->count : RUN_CHUNKS;
    for (int64_t i = 0; i < count; i++)
        ids[i] = span->first + i;
    if (!existing_space(s, c, space_id, &space) && space)
        vector_index_remove(space->index, ids, (size_t)count);
}

/* Of whichever space a chunk may be in. */
static size_t list_spaces(struct connection *c, int64_t ids[VECTOR_SPACES])
{
    sqlite3_stmt *row;
    bool more;
    size_t n = 0;
    int rc =
        SQL_BEGIN(c, &row, "SELECT space_id FROM embedding_space LIMIT ?1", V_INT(VECTOR_SPACES));
    while (!rc && n < VECTOR_SPACES && !(rc = sql_next(c, row, &more)) && more)
        ids[n++] = sql_int(row, 0);
    sql_done(row);
    return n;
}

void vectors_remove(struct store *s, const struct chunk_span *spans, size_t count)
{
    int64_t ids[VECTOR_SPACES];
    struct reader *r = reader_hold(s); /* before the lock, as everywhere */
    size_t n = list_spaces(&r->main, ids);
    pthread_mutex_lock(&s->vectors.lock);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < n; k++)
            remove_span(s, &r->main, ids[k], &spans[i]);
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

/* Outside of tests only the serving space is searched. */
static int mark_before_search(struct store *s, int64_t space_id)
{
    int64_t marked;
    struct reader *r = reader_hold(s);
    int rc = is_marked(&r->main, space_id, &marked);
    reader_release(s, r);
    return rc || marked ? rc : writer_run(&s->writer, mark_tail, &space_id);
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
    int rc = mark_before_search(ctx, space_id);
    return rc ? rc : search_stable(ctx, search_once, &q);
}
