#include <stdlib.h>

#include "database/postgres_batch.h"

struct job_change {
    int64_t job_id;
    const char *reason, *message, *detail;
};

static int need_changed(struct batch *b, void *arg)
{
    need_job(b, ((const struct job_change *)arg)->job_id);
    return OK;
}

static int find_dead(struct batch *b, int64_t job_id, struct job_image **job,
                     struct media_image **media)
{
    int rc = job_find(b, job_id, job, media);
    if (!rc && (*job)->state != JOB_DEAD)
        rc = error_set(ERR_CONFLICT, "not_dead", "job %lld is %s, not dead", (long long)job_id,
                       job_state_name((enum job_state)(*job)->state));
    return rc;
}

/* ---- redrive, drop, mark_dead ---- */

static int redrive(struct batch *b, void *arg)
{
    const struct job_change *change = arg;
    struct job_image *job;
    struct media_image *media;
    int rc = find_dead(b, change->job_id, &job, &media);
    if (!rc && (media->removed || media->job_id != job->job_id))
        rc = error_set(ERR_CONFLICT, "superseded",
                       "job %lld is not its medium's newest any more: drop it",
                       (long long)change->job_id);
    if (rc)
        return rc;
    job->attempt = job->receive_count = 0;
    job->queued_ms = job->wake_ms = b->now_ms;
    job->wake_set = true;
    job->finished_ms = job->due_ms = 0;
    event_note(b, LIFE_JOB_QUEUED, job, "{\"reason\":\"redriven\"}");
    job_move(b, job, JOB_QUEUED);
    return OK;
}

int postgres_redrive(void *ctx, int64_t job_id)
{
    static const struct change_verbs verbs = {.need = need_changed, .apply = redrive};
    return change_run(ctx, &verbs, &(struct job_change){.job_id = job_id}, 256, NULL);
}

void job_give_up(struct batch *b, struct job_image *job, const char *detail)
{
    event_note(b, LIFE_JOB_CANCELLED, job, detail);
    job_move(b, job, JOB_CANCELLED);
    list_add_id(b, &b->closed, job->job_id);
}

static int drop(struct batch *b, void *arg)
{
    const struct job_change *change = arg;
    struct job_image *job;
    struct media_image *media;
    int rc = find_dead(b, change->job_id, &job, &media);
    if (!rc)
        job_give_up(b, job, "{\"reason\":\"dropped\"}");
    return rc;
}

int postgres_drop(void *ctx, int64_t job_id)
{
    static const struct change_verbs verbs = {.need = need_changed, .apply = drop};
    return change_run(ctx, &verbs, &(struct job_change){.job_id = job_id}, 256, NULL);
}

static int mark_dead(struct batch *b, void *arg)
{
    const struct job_change *change = arg;
    struct job_image *job;
    struct media_image *media;
    int rc = job_find(b, change->job_id, &job, &media);
    if (rc || !job_unfinished((enum job_state)job->state))
        return rc;
    job_finish(b, job,
               &(struct job_end){.state = JOB_DEAD,
                                 .closed = CLOSED_DEAD,
                                 .event = LIFE_JOB_DEAD,
                                 .reason = change->reason,
                                 .message = change->message,
                                 .detail = change->detail});
    return OK;
}

int postgres_mark_dead(void *ctx, int64_t job_id, const char *reason, const char *message)
{
    static const struct change_verbs verbs = {.need = need_changed, .apply = mark_dead};
    struct buffer detail;
    struct job_change change = {.job_id = job_id, .reason = reason, .message = message};
    int rc = life_detail(&detail, "", reason, message, 0);
    change.detail = buffer_string(&detail);
    if (!rc)
        rc = change_run(ctx, &verbs, &change, 1024, NULL);
    buffer_free(&detail);
    return rc;
}

/* ---- stranded, touch ---- */

/* Each state's part of the index is in order of wake_ms; the earliest of all four come first. */
#define STRANDED_IN(state)                                                                         \
    "(SELECT job_id, wake_ms FROM job WHERE state = " state " AND wake_ms < $1 "                   \
    "ORDER BY wake_ms LIMIT $2)"
static const char STRANDED[] = "SELECT job_id FROM (" STRANDED_IN("0") " UNION ALL " STRANDED_IN(
    "1") " UNION ALL " STRANDED_IN("2") " UNION ALL " STRANDED_IN("3") ") s ORDER BY wake_ms, "
                                                                       "job_id LIMIT $2";

static int stranded(struct store *s, struct pg *c, int64_t before_ms, size_t limit,
                    struct arena *arena, struct job_row **out, size_t *count)
{
    struct pg_rows rows;
    int rc = PG_QUERY(c, &rows, STRANDED, P_INT(store_time(s, before_ms)), P_INT((int64_t)limit));
    if (rc)
        return rc;
    size_t n = (size_t)rows.count;
    int64_t *ids = arena_array(arena, n, sizeof *ids);
    *out = arena_array(arena, n, sizeof **out);
    for (size_t i = 0; ids && i < n; i++)
        ids[i] = pg_int(&rows, (int)i, 0);
    pg_rows_free(&rows);
    return ids && *out ? postgres_job_rows(s, c, ids, n, arena, *out, count) : ERR_NO_MEMORY;
}

int postgres_stranded(void *ctx, int64_t before_ms, size_t limit, struct arena *arena,
                      struct job_row **out, size_t *count)
{
    struct store *s = ctx;
    struct pg *c;
    *count = 0;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = stranded(s, c, before_ms, limit, arena, out, count);
    pg_release(c);
    return rc;
}

/* In order of their ids, as all that lock several jobs. */
static const char TOUCH[] =
    "UPDATE job SET wake_ms = $2 WHERE job_id = ANY(ARRAY(SELECT job_id FROM job WHERE "
    "job_id = ANY($1) AND state + 0 < 4 ORDER BY job_id FOR NO KEY UPDATE))";

struct touch {
    const int64_t *job_ids;
    size_t count;
    int64_t due_ms;
};

static int touch(struct pg *c, void *arg)
{
    const struct touch *t = arg;
    pg_send(c, POSTGRES_BY_INDEX, NULL, 0);
    PG_SEND(c, TOUCH, P_INTS(t->job_ids, t->count), P_INT(t->due_ms));
    return pg_commit_sync(c, NULL, 0);
}

int postgres_touch(void *ctx, const int64_t *job_ids, size_t count, int64_t due_ms)
{
    struct store *s = ctx;
    struct touch t = {.job_ids = job_ids, .count = count, .due_ms = store_time(s, due_ms)};
    return count ? store_transaction(s, PG_NOT_DURABLE, touch, &t) : OK;
}
