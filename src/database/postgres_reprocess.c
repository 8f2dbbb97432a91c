#include <stdlib.h>

#include "database/postgres_batch.h"
#include "shared/random.h"

struct reprocessing {
    const int64_t *media_ids;
    size_t count;
    int64_t *job_ids; /* room for count */
    size_t job_count;
};

static int need_page(struct batch *b, void *arg)
{
    const struct reprocessing *r = arg;
    for (size_t i = 0; i < r->count; i++)
        need_media(b, r->media_ids[i]);
    b->needs.ids[ID_JOB] += (int64_t)r->count;
    return OK;
}

static struct pg_bytes new_trace(struct batch *b)
{
    char hex[TRACE_ID_TEXT];
    unsigned char *trace = batch_alloc(b, 16);
    random_trace_id(hex);
    hex_decode(hex, 16, trace);
    return (struct pg_bytes){.data = trace, .length = 16};
}

/* The medium may have changed since it was found: it is looked at again. */
static int reprocess_page(struct batch *b, void *arg)
{
    struct reprocessing *r = arg;
    r->job_count = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct media_image *m = media_image(b, r->media_ids[i]);
        struct job_image *newest = m ? job_image(b, m->job_id) : NULL;
        if (!m || m->removed || !newest || job_unfinished((enum job_state)newest->state))
            continue;
        if (newest->state == JOB_DEAD)
            job_give_up(b, newest, "{\"reason\":\"superseded\"}");
        r->job_ids[r->job_count++] = job_make(b, m, m->version_id, new_trace(b))->job_id;
    }
    return OK;
}

static int find_page(struct store *s, const struct media_filter *filter, int64_t after,
                     size_t limit, int64_t **ids, size_t *count)
{
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = postgres_media_ids(
        s, c,
        &(struct media_page){
            .filter = filter, .rising = true, .from = after, .limit = limit, .idle_only = true},
        ids, count);
    pg_release(c);
    return rc;
}

static int make_jobs(struct store *s, const struct media_filter *filter, int64_t after,
                     size_t limit, int64_t *job_ids, size_t *job_count)
{
    static const struct change_verbs verbs = {.need = need_page, .apply = reprocess_page};
    bool more = true;
    int rc = OK;
    while (!rc && more && *job_count < limit) {
        int64_t *ids = NULL;
        size_t n = 0, want = limit - *job_count;
        rc = find_page(s, filter, after, want, &ids, &n);
        more = n == want;
        if (!rc && n) {
            struct reprocessing r = {.media_ids = ids, .count = n, .job_ids = job_ids + *job_count};
            after = ids[n - 1];
            rc = change_run(s, &verbs, &r, n * 256, NULL);
            *job_count += rc ? 0 : r.job_count;
        }
        free(ids);
    }
    return rc;
}

int postgres_reprocess(void *ctx, const struct media_filter *filter, int64_t after_media_id,
                       size_t limit, struct arena *arena, struct job_row **out, size_t *count)
{
    struct store *s = ctx;
    struct pg *c;
    size_t n = 0;
    *count = 0;
    int64_t *job_ids = calloc(limit + 1, sizeof *job_ids);
    if (!job_ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu jobs", limit);
    int rc = make_jobs(s, filter, after_media_id, limit, job_ids, &n);
    if (!rc && !(*out = arena_array(arena, n, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = store_hold(s, &c);
    if (!rc) {
        rc = postgres_job_rows(s, c, job_ids, n, arena, *out, count);
        pg_release(c);
    }
    free(job_ids);
    return rc;
}
