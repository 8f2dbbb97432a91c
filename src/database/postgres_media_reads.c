/* Media, their summaries, segments and chunks. */
#include <stdlib.h>
#include <string.h>

#include "database/postgres_query.h"
#include "shared/summary_json.h"

/* ---- rows ---- */

/* Of a media m. */
#define MEDIA_COLUMNS                                                                              \
    "SELECT m.media_id, m.version_id, m.result_id, m.job_id, m.bucket, m.key, m.collection, "      \
    "v.etag, v.size, m.uploaded_ms, m.published_ms, j.state, j.reason, j.message, r.kind, "        \
    "r.format, r.language, r.title, r.stages, r.outcome, r.draft, r.duration_ms, r.text_bytes, "   \
    "r.chunk_count, r.segment_count, r.summary_coverage, m.cost_nanousd, m.unpriced_calls, "       \
    "r.missing_ms "
#define MEDIA_JOINS                                                                                \
    " JOIN version v ON v.version_id = m.version_id JOIN job j ON j.job_id = m.job_id "            \
    "LEFT JOIN result r ON r.result_id = m.result_id "

static int read_media(const struct pg_rows *rows, int i, struct arena *arena, struct media_row *m)
{
    *m = (struct media_row){
        .media_id = pg_int(rows, i, 0),
        .version_id = pg_int(rows, i, 1),
        .result_id = pg_int(rows, i, 2),
        .job_id = pg_int(rows, i, 3),
        .bucket = pg_text(rows, i, 4, arena),
        .key = pg_text(rows, i, 5, arena),
        .collection = pg_text(rows, i, 6, arena),
        .etag = pg_text(rows, i, 7, arena),
        .size = pg_int(rows, i, 8),
        .uploaded_ms = pg_int(rows, i, 9),
        .published_ms = pg_int(rows, i, 10),
        .state = (enum job_state)pg_int(rows, i, 11),
        .reason = pg_text(rows, i, 12, arena),
        .message = pg_text(rows, i, 13, arena),
        .kind = pg_text(rows, i, 14, arena),
        .format = pg_text(rows, i, 15, arena),
        .language = pg_text(rows, i, 16, arena),
        .title = pg_text(rows, i, 17, arena),
        .stages_json = pg_text(rows, i, 18, arena),
        .outcome = (enum result_outcome)pg_int(rows, i, 19),
        .draft = pg_int(rows, i, 20),
        .duration_ms = pg_int(rows, i, 21),
        .text_bytes = pg_int(rows, i, 22),
        .chunk_count = pg_int(rows, i, 23),
        .segment_count = pg_int(rows, i, 24),
        .summary_coverage_permille = pg_int(rows, i, 25),
        .cost_nanousd = pg_int(rows, i, 26),
        .cost_known = pg_int(rows, i, 27) == 0,
        .missing_ms = pg_int(rows, i, 28),
    };
    bool whole = m->bucket && m->key && m->collection && m->etag && m->reason && m->message &&
                 m->kind && m->format && m->language && m->title && m->stages_json;
    return whole ? OK : ERR_NO_MEMORY;
}

static int read_list(const struct pg_rows *rows, struct arena *arena, struct media_row **out,
                     size_t *count)
{
    int rc = OK;
    *out = arena_array(arena, (size_t)rows->count, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (int i = 0; !rc && i < rows->count; i++)
        rc = read_media(rows, i, arena, &(*out)[i]);
    *count = rc ? 0 : (size_t)rows->count;
    return rc;
}

/* ---- which media ---- */

/* SELECT ... FROM media m of a page. */
static void add_page(struct query_sql *q, const struct media_page *page)
{
    query_text(q, " FROM media m WHERE NOT m.removed");
    query_add_filter(q, page->filter);
    if (page->idle_only)
        query_text(q, " AND (SELECT j.state FROM job j WHERE j.job_id = m.job_id) >= 4");
    if (page->from || page->rising)
        query_both(q, page->rising ? " AND m.media_id > " : " AND m.media_id < ",
                   P_INT(page->from));
    query_both(q, page->rising ? " ORDER BY m.media_id LIMIT " : " ORDER BY m.media_id DESC LIMIT ",
               P_INT((int64_t)page->limit));
}

static int copy_ids(const struct pg_rows *rows, int64_t **ids, size_t *count)
{
    *ids = calloc((size_t)rows->count + 1, sizeof **ids);
    if (!*ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %d media", rows->count);
    for (int i = 0; i < rows->count; i++)
        (*ids)[i] = pg_int(rows, i, 0);
    *count = (size_t)rows->count;
    return OK;
}

int postgres_media_ids(struct store *s, struct pg *c, const struct media_page *page, int64_t **ids,
                       size_t *count)
{
    (void)s;
    struct query_sql q;
    struct pg_rows rows;
    *ids = NULL;
    *count = 0;
    query_begin(&q, "SELECT m.media_id");
    add_page(&q, page);
    int rc = query_run(&q, c, &rows);
    if (!rc)
        rc = copy_ids(&rows, ids, count);
    pg_rows_free(&rows);
    query_end(&q);
    return rc;
}

int postgres_media_list(void *ctx, const struct media_filter *filter, int64_t before_media_id,
                        size_t limit, struct arena *arena, struct media_row **out, size_t *count)
{
    struct store *s = ctx;
    struct pg *c;
    struct pg_rows rows = {0};
    struct query_sql q;
    *out = NULL;
    *count = 0;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    query_begin(&q, MEDIA_COLUMNS "FROM (SELECT m.*");
    add_page(&q, &(struct media_page){.filter = filter, .from = before_media_id, .limit = limit});
    query_text(&q, ") m" MEDIA_JOINS "ORDER BY m.media_id DESC");
    rc = query_run(&q, c, &rows);
    if (!rc)
        rc = read_list(&rows, arena, out, count);
    pg_rows_free(&rows);
    query_end(&q);
    pg_release(c);
    return rc;
}

/* ---- one medium ---- */

/* One statement's rows; the caller frees them. */
static int read_once(struct store *s, const char *sql, const struct pg_value *values, size_t count,
                     struct pg_rows *rows)
{
    struct pg *c;
    *rows = (struct pg_rows){0};
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = pg_query(c, rows, sql, values, count);
    pg_release(c);
    return rc;
}
#define READ_ONCE(s, rows, sql, ...) read_once((s), (sql), PG_VALUES(__VA_ARGS__), (rows))

int postgres_media_get(void *ctx, int64_t media_id, struct arena *arena, struct media_row *out)
{
    struct pg_rows rows;
    int rc = READ_ONCE(ctx, &rows,
                       MEDIA_COLUMNS "FROM media m" MEDIA_JOINS
                                     "WHERE m.media_id = $1 AND NOT m.removed",
                       P_INT(media_id));
    if (!rc && rows.count)
        rc = read_media(&rows, 0, arena, out);
    else if (!rc)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no medium %lld", (long long)media_id);
    pg_rows_free(&rows);
    return rc;
}

int postgres_media_find(void *ctx, const char *bucket, const char *key, struct arena *arena,
                        struct media_row *out)
{
    struct pg_rows rows = {0};
    int rc = OK;
    if (text_valid(bucket) && text_valid(key))
        rc = READ_ONCE(ctx, &rows,
                       MEDIA_COLUMNS "FROM media m" MEDIA_JOINS
                                     "WHERE m.bucket = $1 AND m.key = $2 AND NOT m.removed",
                       P_TEXT(bucket), P_TEXT(key));
    if (!rc && rows.count)
        rc = read_media(&rows, 0, arena, out);
    else if (!rc)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no medium '%.200s' in bucket '%s'", key,
                       bucket);
    pg_rows_free(&rows);
    return rc;
}

int postgres_summary_get(void *ctx, int64_t media_id, struct arena *arena, struct summary *out)
{
    struct pg_rows rows;
    int rc = READ_ONCE(ctx, &rows,
                       "SELECT r.summary FROM media m JOIN result r ON r.result_id = m.result_id "
                       "WHERE m.media_id = $1 AND NOT m.removed AND r.summary IS NOT NULL",
                       P_INT(media_id));
    if (!rc && rows.count)
        rc = summary_json_parse(pg_peek(&rows, 0, 0), pg_length(&rows, 0, 0), arena, out);
    else if (!rc)
        rc = error_set(ERR_NOT_FOUND, NULL, "medium %lld has no summary", (long long)media_id);
    pg_rows_free(&rows);
    return rc;
}

/* ---- rows of a result ---- */

enum { PAGE_ROWS = 500 };

/* A walk through the rows of one result, page by page under one snapshot. */
struct walk {
    int64_t media_id, result_id;
    const char *sql; /* $1 result, $2 the ordinal before, $3 rows; column 0 is the ordinal */
    int (*give)(const struct walk *w, const struct pg_rows *rows, int i);
    int (*segment)(void *arg, const struct segment_row *row);
    int (*chunk)(void *arg, const struct chunk_row *row);
    void *arg;
    int stopped; /* what the caller's function returned */
};

static int give_segment(const struct walk *w, const struct pg_rows *rows, int i)
{
    return w->segment(w->arg, &(struct segment_row){.ordinal = (int)pg_int(rows, i, 0),
                                                    .start_ms = pg_int(rows, i, 1),
                                                    .end_ms = pg_int(rows, i, 2),
                                                    .speaker = pg_peek(rows, i, 3),
                                                    .text = pg_peek(rows, i, 4)});
}

static int give_chunk(const struct walk *w, const struct pg_rows *rows, int i)
{
    return w->chunk(w->arg, &(struct chunk_row){.ordinal = (int)pg_int(rows, i, 0),
                                                .start_ms = pg_int(rows, i, 1),
                                                .end_ms = pg_int(rows, i, 2),
                                                .offset = pg_int(rows, i, 3),
                                                .text = pg_peek(rows, i, 4),
                                                .length = pg_length(rows, i, 4)});
}

static int walk_page(struct pg *c, struct walk *w, int64_t *after, bool *more)
{
    struct pg_rows rows;
    int rc =
        PG_QUERY(c, &rows, w->sql, P_INT(w->result_id), P_INT(*after), P_INT((int64_t)PAGE_ROWS));
    *more = !rc && rows.count == PAGE_ROWS;
    for (int i = 0; !rc && !w->stopped && i < rows.count; i++) {
        *after = pg_int(&rows, i, 0);
        w->stopped = w->give(w, &rows, i);
    }
    pg_rows_free(&rows);
    return rc;
}

static int walk_rows(struct pg *c, struct walk *w)
{
    int64_t after = -1;
    bool more = true;
    int rc = OK;
    while (!rc && !w->stopped && more)
        rc = walk_page(c, w, &after, &more);
    return rc;
}

/* The snapshot ends before the caller's code is passed on: it is no failure of the transaction. */
static int walk_result(struct store *s, int (*body)(struct pg *c, void *arg), struct walk *w)
{
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = pg_begin(c, PG_SNAPSHOT);
    if (!rc)
        rc = body(c, w);
    pg_rollback(c); /* nothing was written */
    pg_release(c);
    return rc ? rc : w->stopped;
}

static int walk_segments(struct pg *c, void *arg)
{
    struct walk *w = arg;
    int rc = PG_NUMBER(c, &w->result_id, 0,
                       "SELECT result_id FROM media WHERE media_id = $1 AND NOT removed",
                       P_INT(w->media_id));
    if (!rc && !w->result_id)
        rc = error_set(ERR_NOT_FOUND, NULL, "medium %lld has no results yet",
                       (long long)w->media_id);
    return rc ? rc : walk_rows(c, w);
}

int postgres_segments_each(void *ctx, int64_t media_id,
                           int (*row)(void *arg, const struct segment_row *), void *arg)
{
    struct walk w = {.media_id = media_id,
                     .sql = "SELECT ordinal, start_ms, end_ms, speaker, text FROM segment WHERE "
                            "result_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3",
                     .give = give_segment,
                     .segment = row,
                     .arg = arg};
    return walk_result(ctx, walk_segments, &w);
}

static int walk_chunks(struct pg *c, void *arg)
{
    struct walk *w = arg;
    int64_t found;
    int rc = PG_NUMBER(c, &found, 0, "SELECT 1 FROM result WHERE result_id = $1 AND state < 2",
                       P_INT(w->result_id));
    if (!rc && !found)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no result %lld", (long long)w->result_id);
    return rc ? rc : walk_rows(c, w);
}

int postgres_chunks_each(void *ctx, int64_t result_id,
                         int (*row)(void *arg, const struct chunk_row *), void *arg)
{
    struct walk w = {.result_id = result_id,
                     .sql = "SELECT ordinal, start_ms, end_ms, byte_offset, text FROM chunk WHERE "
                            "result_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3",
                     .give = give_chunk,
                     .chunk = row,
                     .arg = arg};
    return walk_result(ctx, walk_chunks, &w);
}
