#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_media_ids.h"
#include "shared/summary_json.h"

#define MEDIA_COLUMNS                                                                              \
    "SELECT m.media_id, m.version_id, m.result_id, m.job_id, m.bucket_id, m.key, m.facet_id, "     \
    "v.etag, v.size, m.uploaded_ms, m.published_ms, j.state, j.reason, j.message, r.kind_id, "     \
    "r.format, r.language_id, r.title, r.stages, r.outcome, r.draft, r.duration_ms, "              \
    "r.text_bytes, r.chunk_count, r.segment_count, r.summary_coverage, m.cost_nanousd, "           \
    "m.unpriced_calls, r.missing_ms FROM media m JOIN version v ON v.version_id = m.version_id "   \
    "JOIN job j ON j.job_id = m.job_id LEFT JOIN result r ON r.result_id = m.result_id "

static const char MEDIA_BY_ID[] = MEDIA_COLUMNS "WHERE m.media_id = ?1 AND m.removed = 0";
static const char MEDIA_BY_KEY[] =
    MEDIA_COLUMNS "WHERE m.bucket_id = ?1 AND m.key = ?2 AND m.removed = 0";

static int read_names(struct store *s, struct connection *c, sqlite3_stmt *row, struct arena *arena,
                      struct media_row *m)
{
    struct facet facet;
    int rc = facet_get(&s->names, c, sql_int(row, 6), &facet);
    if (!rc)
        rc = name_text(&s->names, c, sql_int(row, 4), arena, &m->bucket);
    if (!rc)
        rc = name_text(&s->names, c, facet.collection, arena, &m->collection);
    if (!rc)
        rc = name_text(&s->names, c, sql_int(row, 14), arena, &m->kind);
    return rc ? rc : name_text(&s->names, c, sql_int(row, 16), arena, &m->language);
}

static int read_media(struct store *s, struct connection *c, sqlite3_stmt *row, struct arena *arena,
                      struct media_row *m)
{
    *m = (struct media_row){
        .media_id = sql_int(row, 0),
        .version_id = sql_int(row, 1),
        .result_id = sql_int(row, 2),
        .job_id = sql_int(row, 3),
        .key = sql_text(row, 5, arena),
        .etag = sql_text(row, 7, arena),
        .size = sql_int(row, 8),
        .uploaded_ms = sql_int(row, 9),
        .published_ms = sql_int(row, 10),
        .state = (enum job_state)sql_int(row, 11),
        .reason = sql_text(row, 12, arena),
        .message = sql_text(row, 13, arena),
        .format = sql_text(row, 15, arena),
        .title = sql_text(row, 17, arena),
        .stages_json = sql_text(row, 18, arena),
        .outcome = (enum result_outcome)sql_int(row, 19),
        .draft = sql_int(row, 20),
        .duration_ms = sql_int(row, 21),
        .text_bytes = sql_int(row, 22),
        .chunk_count = sql_int(row, 23),
        .segment_count = sql_int(row, 24),
        .summary_coverage_permille = sql_int(row, 25),
        .cost_nanousd = sql_int(row, 26),
        .cost_known = sql_int(row, 27) == 0,
        .missing_ms = sql_int(row, 28),
    };
    if (!m->key || !m->etag || !m->reason || !m->message || !m->format || !m->title ||
        !m->stages_json)
        return ERR_NO_MEMORY;
    return read_names(s, c, row, arena, m);
}

static int read_page(struct store *s, struct connection *c, const int64_t *ids, size_t n,
                     struct arena *arena, struct media_row *out, size_t *count)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < n; i++) {
        sqlite3_stmt *row;
        rc = SQL_FIRST(c, &row, MEDIA_BY_ID, V_INT(ids[i]));
        if (!rc && row)
            rc = read_media(s, c, row, arena, &out[(*count)++]);
        sql_done(row);
    }
    return rc;
}

int sqlite_media_list(void *ctx, const struct media_filter *filter, int64_t before_media_id,
                      size_t limit, struct arena *arena, struct media_row **out, size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    int64_t *ids = NULL;
    size_t n = 0;
    *count = 0;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = media_ids(
            s, &r->main,
            &(struct media_page){.filter = filter, .from = before_media_id, .limit = limit}, &ids,
            &n);
    if (!rc && !(*out = arena_array(arena, n, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = read_page(s, &r->main, ids, n, arena, *out, count);
    snapshot_end(&r->main);
    reader_release(s, r);
    free(ids);
    return rc;
}

int sqlite_media_get(void *ctx, int64_t media_id, struct arena *arena, struct media_row *out)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    int rc = SQL_FIRST(&r->main, &row, MEDIA_BY_ID, V_INT(media_id));
    if (!rc && row)
        rc = read_media(s, &r->main, row, arena, out);
    else if (!rc)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no medium %lld", (long long)media_id);
    sql_done(row);
    reader_release(s, r);
    return rc;
}

int sqlite_media_find(void *ctx, const char *bucket, const char *key, struct arena *arena,
                      struct media_row *out)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row = NULL;
    int64_t bucket_id;
    int rc = name_id(&s->names, &r->main, bucket, false, &bucket_id);
    if (!rc)
        rc = SQL_FIRST(&r->main, &row, MEDIA_BY_KEY, V_INT(bucket_id), V_TEXT(key));
    if (!rc && row)
        rc = read_media(s, &r->main, row, arena, out);
    else if (!rc || rc == ERR_NOT_FOUND)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no medium '%.200s' in bucket '%s'", key,
                       bucket);
    sql_done(row);
    reader_release(s, r);
    return rc;
}

int sqlite_summary_get(void *ctx, int64_t media_id, struct arena *arena, struct summary *out)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    int rc = SQL_FIRST(&r->main, &row,
                       "SELECT r.summary FROM media m JOIN result r ON r.result_id = m.result_id "
                       "WHERE m.media_id = ?1 AND m.removed = 0 AND r.summary IS NOT NULL",
                       V_INT(media_id));
    if (!rc && row)
        rc = summary_json_parse(sql_peek(row, 0), (size_t)sqlite3_column_bytes(row, 0), arena, out);
    else if (!rc)
        rc = error_set(ERR_NOT_FOUND, NULL, "medium %lld has no summary", (long long)media_id);
    sql_done(row);
    reader_release(s, r);
    return rc;
}

static int current_result(struct connection *c, int64_t media_id, int64_t *result_id)
{
    int rc = SQL_NUMBER(c, result_id, 0,
                        "SELECT result_id FROM media WHERE media_id = ?1 AND removed = 0",
                        V_INT(media_id));
    if (!rc && !*result_id)
        rc = error_set(ERR_NOT_FOUND, NULL, "medium %lld has no results yet", (long long)media_id);
    return rc;
}

int sqlite_segments_each(void *ctx, int64_t media_id,
                         int (*row)(void *arg, const struct segment_row *), void *arg)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *t = NULL;
    int64_t result_id;
    bool more;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = current_result(&r->main, media_id, &result_id);
    if (!rc)
        rc = SQL_BEGIN(&r->main, &t,
                       "SELECT ordinal, start_ms, end_ms, speaker, text FROM segment WHERE "
                       "result_id = ?1 ORDER BY ordinal",
                       V_INT(result_id));
    while (!rc && !(rc = sql_next(&r->main, t, &more)) && more)
        rc = row(arg, &(struct segment_row){.ordinal = (int)sql_int(t, 0),
                                            .start_ms = sql_int(t, 1),
                                            .end_ms = sql_int(t, 2),
                                            .speaker = sql_peek(t, 3),
                                            .text = sql_peek(t, 4)});
    sql_done(t);
    snapshot_end(&r->main);
    reader_release(s, r);
    return rc;
}

static const char CHUNKS_OF[] =
    "SELECT u.first_ordinal + c.chunk_id - u.first_chunk, c.start_ms, c.end_ms, c.byte_offset, "
    "c.text FROM chunk_run u CROSS JOIN chunk c ON c.chunk_id >= u.first_chunk AND c.chunk_id < "
    "u.first_chunk + u.count WHERE u.result_id = ?1 ORDER BY u.first_ordinal, c.chunk_id";

int sqlite_chunks_each(void *ctx, int64_t result_id,
                       int (*row)(void *arg, const struct chunk_row *), void *arg)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *t = NULL;
    int64_t found;
    bool more;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc =
            SQL_NUMBER(&r->main, &found, 0,
                       "SELECT 1 FROM result WHERE result_id = ?1 AND state < 2", V_INT(result_id));
    if (!rc && !found)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no result %lld", (long long)result_id);
    if (!rc)
        rc = SQL_BEGIN(&r->main, &t, CHUNKS_OF, V_INT(result_id));
    while (!rc && !(rc = sql_next(&r->main, t, &more)) && more)
        rc = row(arg, &(struct chunk_row){.ordinal = (int)sql_int(t, 0),
                                          .start_ms = sql_int(t, 1),
                                          .end_ms = sql_int(t, 2),
                                          .offset = sql_int(t, 3),
                                          .text = sql_peek(t, 4),
                                          .length = (size_t)sqlite3_column_bytes(t, 4)});
    sql_done(t);
    snapshot_end(&r->main);
    reader_release(s, r);
    return rc;
}
