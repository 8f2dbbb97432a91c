#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_job_rows.h"
#include "database/sqlite_media_ids.h"

struct reprocessing {
    const int64_t *media_ids;
    size_t count;
    int64_t *job_ids; /* room for count */
    size_t job_count;
};

/* The medium may have changed since it was found: it is looked at again. */
static int reprocess_one(struct transaction *tx, int64_t media_id, struct reprocessing *r)
{
    sqlite3_stmt *s;
    unsigned char trace[16];
    char hex[TRACE_ID_TEXT];
    struct job_head newest;
    int64_t job_id;
    int rc = SQL_FIRST(
        tx->c, &s,
        "SELECT m.version_id, m.job_id FROM media m JOIN job j ON j.job_id = m.job_id WHERE "
        "m.media_id = ?1 AND m.removed = 0 AND j.state >= 4",
        V_INT(media_id));
    if (rc || !s)
        return rc;
    struct new_job job = {.media_id = media_id, .version_id = sql_int(s, 0), .trace = trace};
    job_id = sql_int(s, 1);
    sql_done(s);
    rc = job_load(tx, job_id, &newest);
    if (!rc && newest.state == JOB_DEAD)
        rc = job_drop(tx, &newest, "{\"reason\":\"superseded\"}");
    if (rc)
        return rc;
    random_trace_id(hex);
    hex_decode(hex, sizeof trace, trace);
    rc = job_insert(tx, &job, &job_id);
    if (!rc)
        rc = SQL_RUN(tx->c, "UPDATE media SET job_id = ?2 WHERE media_id = ?1", V_INT(media_id),
                     V_INT(job_id));
    r->job_ids[r->job_count++] = job_id;
    return rc;
}

static int reprocess_all(struct transaction *tx, void *arg)
{
    struct reprocessing *r = arg;
    int rc = OK;
    r->job_count = 0;
    for (size_t i = 0; !rc && i < r->count; i++)
        rc = reprocess_one(tx, r->media_ids[i], r);
    return rc;
}

static int find_page(struct store *s, const struct media_filter *filter, int64_t after,
                     size_t limit, int64_t **ids, size_t *count)
{
    struct reader *r = reader_hold(s);
    int rc = media_ids(
        s, &r->main,
        &(struct media_page){
            .filter = filter, .rising = true, .from = after, .limit = limit, .idle_only = true},
        ids, count);
    reader_release(s, r);
    return rc;
}

static int add_page(struct store *s, const int64_t *ids, size_t n, int64_t *job_ids,
                    size_t *job_count)
{
    struct reprocessing r = {.media_ids = ids, .count = n, .job_ids = job_ids + *job_count};
    int rc = writer_run(&s->writer, reprocess_all, &r);
    if (!rc)
        *job_count += r.job_count;
    return rc;
}

static int make_jobs(struct store *s, const struct media_filter *filter, int64_t after,
                     size_t limit, int64_t *job_ids, size_t *job_count)
{
    bool more = true;
    int rc = OK;
    while (!rc && more && *job_count < limit) {
        int64_t *ids = NULL;
        size_t n = 0, want = limit - *job_count;
        rc = find_page(s, filter, after, want, &ids, &n);
        more = n == want;
        if (!rc && n) {
            after = ids[n - 1];
            rc = add_page(s, ids, n, job_ids, job_count);
        }
        free(ids);
    }
    return rc;
}

int sqlite_reprocess(void *ctx, const struct media_filter *filter, int64_t after_media_id,
                     size_t limit, struct arena *arena, struct job_row **out, size_t *count)
{
    struct store *s = ctx;
    size_t n = 0;
    *count = 0;
    int64_t *job_ids = calloc(limit + 1, sizeof *job_ids);
    if (!job_ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu jobs", limit);
    int rc = make_jobs(s, filter, after_media_id, limit, job_ids, &n);
    if (!rc && !(*out = arena_array(arena, n, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc) {
        struct reader *r = reader_hold(s);
        rc = job_rows(s, &r->main, job_ids, n, arena, *out, count);
        reader_release(s, r);
    }
    free(job_ids);
    return rc;
}
