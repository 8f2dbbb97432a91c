#include <stdio.h>
#include <string.h>

#include "database/postgres_batch.h"

/* ---- start_attempts ---- */

struct start {
    struct job_start *starts;
    size_t count;
    const char *worker;
    int64_t lease_ms;
};

static int need_starts(struct batch *b, void *arg)
{
    const struct start *s = arg;
    for (size_t i = 0; i < s->count; i++) {
        need_job(b, s->starts[i].job_id);
        list_add_id(b, &b->needs.versions_of, s->starts[i].job_id);
        list_add_id(b, &b->needs.starting, s->starts[i].job_id);
    }
    return OK;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static void fill_work(struct batch *b, const struct job_image *job, const struct media_image *m,
                      const struct version_image *v, struct job_work *work)
{
    *work = (struct job_work){.job_id = job->job_id,
                              .media_id = job->media_id,
                              .version_id = job->version_id,
                              .attempt = (int)job->attempt,
                              .size = v->size,
                              .queued_ms = job->queued_ms,
                              .content = v->content};
    work->content_is_new = digest_known(&v->content) && !content_ready(b, &v->content);
    work->no_checkpoints = digest_known(&v->content) && !content_kept(b, &v->content);
    if (job->trace.length == 16)
        hex_encode(job->trace.data, 16, work->trace_id);
    copy(work->bucket, sizeof work->bucket, m->bucket);
    copy(work->key, sizeof work->key, m->key);
    copy(work->object_version, sizeof work->object_version, v->object_version);
    copy(work->etag, sizeof work->etag, v->etag);
    copy(work->collection, sizeof work->collection, m->collection);
    copy(work->content_type, sizeof work->content_type, v->content_type);
}

static int may_start(struct batch *b, const struct job_start *start, const struct job_image *job,
                     const struct digest *content)
{
    enum job_state state = (enum job_state)job->state;
    if (!job_unfinished(state))
        return error_set(ERR_CONFLICT, "job_over", "job %lld is %s already", (long long)job->job_id,
                         job_state_name(state));
    if (job_open(state) && job->lease_ms > b->now_ms && start->receive_count <= job->receive_count)
        return error_set(ERR_BUSY, "job_running", "job %lld runs in '%s'", (long long)job->job_id,
                         job->worker);
    return content_free(b, job, content);
}

static void begin_attempt(struct batch *b, const struct start *s, const struct job_start *start,
                          struct job_image *job, const struct digest *content)
{
    if (job_open((enum job_state)job->state))
        job_attempt_end(
            b, job, CLOSED_LOST,
            &(struct job_end){.reason = "lost", .message = "the worker stopped without a word"});
    job->attempt++;
    job->ordinal++;
    job->receive_count = start->receive_count;
    job->started_ms = b->now_ms;
    job->due_ms = 0;
    job->wake_ms = job->lease_ms = s->lease_ms;
    job->wake_set = job->lease_set = true;
    job->worker = s->worker;
    content_hold(b, job, content);
    job_move(b, job, JOB_RUNNING);
    event_note(b, LIFE_JOB_STARTED, job, NULL);
}

/* A refusal stands in start->rc; what is returned is a failure of the database. */
static int start_one(struct batch *b, const struct start *s, struct job_start *start)
{
    struct job_image *job;
    struct media_image *media;
    start->rc = job_find(b, start->job_id, &job, &media);
    if (start->rc)
        return start->rc == ERR_NOT_FOUND ? OK : start->rc;
    const struct version_image *version = version_image(b, job->version_id);
    if (!version)
        return start->rc = error_set(ERR_SYSTEMIC, "database_corrupt",
                                     "version %lld of job %lld is missing",
                                     (long long)job->version_id, (long long)job->job_id);
    start->rc = may_start(b, start, job, &version->content);
    if (start->rc)
        return OK;
    begin_attempt(b, s, start, job, &version->content);
    fill_work(b, job, media, version, start->work);
    return OK;
}

static int start_all(struct batch *b, void *arg)
{
    const struct start *s = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < s->count; i++)
        rc = start_one(b, s, &s->starts[i]);
    return rc;
}

int postgres_start_attempts(void *ctx, struct job_start *starts, size_t count, const char *worker,
                            int64_t lease_until_ms)
{
    static const struct change_verbs verbs = {.need = need_starts, .apply = start_all};
    struct store *s = ctx;
    struct start start = {.starts = starts,
                          .count = count,
                          .worker = worker,
                          .lease_ms = store_time(s, lease_until_ms)};
    return count ? change_run(s, &verbs, &start, count * 256, NULL) : OK;
}

/* ---- extend_leases ---- */

/* In order of their ids, as all that lock several jobs. */
static const char EXTEND[] =
    "UPDATE job SET lease_ms = $2, wake_ms = $2 WHERE job_id = ANY(ARRAY(SELECT job_id FROM job "
    "WHERE job_id = ANY($1) AND state + 0 IN (1, 3) ORDER BY job_id FOR NO KEY UPDATE))";

struct leases {
    const int64_t *job_ids;
    size_t count;
    int64_t until_ms;
};

static int extend(struct pg *c, void *arg)
{
    const struct leases *l = arg;
    pg_send(c, POSTGRES_BY_INDEX, NULL, 0);
    PG_SEND(c, EXTEND, P_INTS(l->job_ids, l->count), P_INT(l->until_ms));
    return pg_commit_sync(c, NULL, 0);
}

int postgres_extend_leases(void *ctx, const int64_t *job_ids, size_t count, int64_t lease_until_ms)
{
    struct store *s = ctx;
    struct leases l = {
        .job_ids = job_ids, .count = count, .until_ms = store_time(s, lease_until_ms)};
    return count ? store_transaction(s, PG_NOT_DURABLE, extend, &l) : OK;
}

/* ---- set_content, set_paused ---- */

struct content_change {
    int64_t job_id;
    const struct digest *content;
};

static int need_content(struct batch *b, void *arg)
{
    const struct content_change *change = arg;
    need_job(b, change->job_id);
    list_add_id(b, &b->needs.versions_of, change->job_id);
    *(struct digest *)list_add(b, &b->needs.contents, sizeof(struct digest)) = *change->content;
    return OK;
}

static int set_content(struct batch *b, void *arg)
{
    const struct content_change *change = arg;
    struct job_image *job;
    struct media_image *media;
    int rc = job_find(b, change->job_id, &job, &media);
    if (!rc && !job_open((enum job_state)job->state))
        rc = not_open(job);
    if (!rc)
        rc = content_free(b, job, change->content);
    if (rc || !digest_known(change->content))
        return rc;
    struct version_image *version = version_image(b, job->version_id);
    if (version && !digest_equal(&version->content, change->content)) {
        version->content = *change->content;
        version->dirty = true;
    }
    if (!digest_equal(&job->content, change->content))
        content_hold(b, job, change->content);
    return OK;
}

int postgres_set_content(void *ctx, int64_t job_id, const struct digest *content)
{
    static const struct change_verbs verbs = {.need = need_content, .apply = set_content};
    struct content_change change = {.job_id = job_id, .content = content};
    return change_run(ctx, &verbs, &change, 256, NULL);
}

struct pause_change {
    int64_t job_id;
    bool paused;
    const char *reason, *message, *detail;
};

static int need_paused(struct batch *b, void *arg)
{
    need_job(b, ((const struct pause_change *)arg)->job_id);
    return OK;
}

static int set_paused(struct batch *b, void *arg)
{
    const struct pause_change *change = arg;
    struct job_image *job;
    struct media_image *media;
    enum job_state state = change->paused ? JOB_PAUSED : JOB_RUNNING;
    int rc = job_find(b, change->job_id, &job, &media);
    if (!rc && !job_open((enum job_state)job->state))
        rc = not_open(job);
    if (rc || job->state == (int64_t)state)
        return rc;
    job->reason = change->reason;
    job->message = change->message;
    event_note(b, change->paused ? LIFE_JOB_PAUSED : LIFE_JOB_RESUMED, job, change->detail);
    job_move(b, job, state);
    return OK;
}

int postgres_set_paused(void *ctx, int64_t job_id, bool paused, const char *reason,
                        const char *message)
{
    static const struct change_verbs verbs = {.need = need_paused, .apply = set_paused};
    struct buffer detail;
    struct pause_change change = {.job_id = job_id,
                                  .paused = paused,
                                  .reason = paused ? text_or_empty(reason) : "",
                                  .message = paused ? text_or_empty(message) : ""};
    int rc = life_detail(&detail, "", change.reason, change.message, 0);
    change.detail = paused ? buffer_string(&detail) : NULL;
    if (!rc)
        rc = change_run(ctx, &verbs, &change, 1024, NULL);
    buffer_free(&detail);
    return rc;
}

/* ---- end_attempt ---- */

struct ending {
    const struct attempt_end *end;
    const char *detail;
    int64_t due_ms; /* the server's */
};

static struct job_end ending_of(const struct ending *ending)
{
    const struct attempt_end *end = ending->end;
    const struct outcome_rule *rule = outcome_rule(end->outcome);
    return (struct job_end){
        .state = rule->state,
        .closed = rule->closed,
        .event = rule->event,
        .stage = end->stage,
        .reason = end->reason,
        .message = end->message,
        .detail = ending->detail,
        .due_ms = ending->due_ms,
        .uncounted = rule->uncounted,
    };
}

static int need_ending(struct batch *b, void *arg)
{
    need_job(b, ((const struct ending *)arg)->end->job_id);
    return OK;
}

static int end_attempt(struct batch *b, void *arg)
{
    const struct ending *ending = arg;
    const struct attempt_end *end = ending->end;
    struct job_image *job;
    struct media_image *media;
    int rc = job_find(b, end->job_id, &job, &media);
    if (rc)
        return rc;
    calls_add(b, media, job->job_id, end->calls, end->call_count); /* made in any case */
    if (!job_open((enum job_state)job->state) || job->attempt != end->attempt)
        return not_open(job);
    struct job_end close = ending_of(ending);
    job_finish(b, job, &close);
    return OK;
}

int postgres_end_attempt(void *ctx, const struct attempt_end *end)
{
    static const struct change_verbs verbs = {.need = need_ending, .apply = end_attempt};
    struct store *s = ctx;
    struct buffer detail;
    struct ending ending = {.end = end};
    if (end->outcome == ATTEMPT_RETRY)
        ending.due_ms = store_time(s, end->due_ms);
    int rc = life_detail(&detail, end->stage, end->reason, end->message, ending.due_ms);
    ending.detail = buffer_string(&detail);
    if (!rc)
        rc = change_run(s, &verbs, &ending, 2048, NULL);
    buffer_free(&detail);
    return rc;
}
