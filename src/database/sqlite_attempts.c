#include <stdio.h>
#include <string.h>

#include "database/sqlite_internal.h"

/* ---- start_attempts ---- */

struct start {
    struct job_start *starts;
    size_t count;
    const char *worker;
    int64_t lease_ms;
};

static const char START_SELECT[] =
    "SELECT j.media_id, j.version_id, j.state, j.attempt, j.ordinal, j.receive_count, "
    "j.started_ms, j.lease_ms, j.worker, j.queued_ms, j.trace, m.key, m.bucket_id, m.facet_id, "
    "v.size, v.content, v.object_version, v.etag, v.content_type "
    "FROM job j JOIN media m ON m.media_id = j.media_id "
    "JOIN version v ON v.version_id = j.version_id WHERE j.job_id = ?1";

static void read_head(sqlite3_stmt *s, int64_t job_id, struct job_head *job)
{
    *job = (struct job_head){
        .job_id = job_id,
        .media_id = sql_int(s, 0),
        .version_id = sql_int(s, 1),
        .state = (enum job_state)sql_int(s, 2),
        .attempt = (int)sql_int(s, 3),
        .ordinal = (int)sql_int(s, 4),
        .receive_count = (int)sql_int(s, 5),
        .started_ms = sql_int(s, 6),
        .lease_ms = sql_int(s, 7),
    };
    sql_copy(s, 8, job->worker, sizeof job->worker);
}

static void read_trace(sqlite3_stmt *s, int column, char out[TRACE_ID_TEXT])
{
    unsigned char trace[16] = {0};
    if (sqlite3_column_bytes(s, column) == sizeof trace)
        memcpy(trace, sqlite3_column_blob(s, column), sizeof trace);
    hex_encode(trace, sizeof trace, out);
}

static void read_work(sqlite3_stmt *s, int64_t job_id, struct job_work *work)
{
    *work = (struct job_work){
        .job_id = job_id,
        .media_id = sql_int(s, 0),
        .version_id = sql_int(s, 1),
        .queued_ms = sql_int(s, 9),
        .size = sql_int(s, 14),
    };
    read_trace(s, 10, work->trace_id);
    sql_copy(s, 11, work->key, sizeof work->key);
    if (sqlite3_column_bytes(s, 15) == DIGEST_BYTES)
        memcpy(&work->content, sqlite3_column_blob(s, 15), DIGEST_BYTES);
    sql_copy(s, 16, work->object_version, sizeof work->object_version);
    sql_copy(s, 17, work->etag, sizeof work->etag);
    sql_copy(s, 18, work->content_type, sizeof work->content_type);
}

static int copy_name(struct transaction *tx, int64_t id, char *out, size_t size)
{
    struct arena arena;
    const char *text;
    arena_init(&arena, KIB(64));
    int rc = name_text(tx->names, tx->c, id, &arena, &text);
    if (!rc)
        snprintf(out, size, "%s", text);
    arena_free(&arena);
    return rc;
}

static int read_names(struct transaction *tx, int64_t bucket, int64_t facet, struct job_work *work)
{
    struct facet f;
    int rc = copy_name(tx, bucket, work->bucket, sizeof work->bucket);
    if (!rc)
        rc = facet_get(tx->names, tx->c, facet, &f);
    return rc ? rc : copy_name(tx, f.collection, work->collection, sizeof work->collection);
}

/* 0, or why this content must wait. */
static int content_free(struct transaction *tx, int64_t job_id, const struct digest *content)
{
    int64_t other;
    if (!digest_known(content))
        return OK;
    int rc = SQL_NUMBER(tx->c, &other, 0,
                        "SELECT j.job_id FROM job j JOIN version v ON v.version_id = j.version_id "
                        "WHERE j.content_key = ?1 AND j.job_id <> ?2 AND j.lease_ms > ?3 AND "
                        "v.content = ?4",
                        V_INT(digest_key(content)), V_INT(job_id), V_INT(tx->now_ms),
                        V_BLOB(content->bytes, DIGEST_BYTES));
    if (!rc && other)
        rc = error_set(ERR_BUSY, "same_content", "job %lld works on the same content",
                       (long long)other);
    return rc;
}

/* Holding the content keeps every other job from publishing a result of it. */
static int look_for_results(struct transaction *tx, struct job_work *work)
{
    int64_t ready = 1;
    int rc = OK;
    if (digest_known(&work->content))
        rc = SQL_NUMBER(tx->c, &ready, 0,
                        "SELECT 1 FROM result WHERE content_key = ?1 AND state = 1 LIMIT 1",
                        V_INT(digest_key(&work->content)));
    work->content_is_new = !rc && !ready;
    return rc;
}

static int may_start(struct transaction *tx, const struct job_start *start,
                     const struct job_head *job)
{
    if (!job_unfinished(job->state))
        return error_set(ERR_CONFLICT, "job_over", "job %lld is %s already", (long long)job->job_id,
                         job_state_name(job->state));
    if (job_open(job->state) && job->lease_ms > tx->now_ms &&
        start->receive_count <= job->receive_count)
        return error_set(ERR_BUSY, "job_running", "job %lld runs in '%s'", (long long)job->job_id,
                         job->worker);
    return content_free(tx, job->job_id, &start->work->content);
}

static int begin_attempt(struct transaction *tx, const struct start *s, struct job_start *start,
                         const struct job_head *job)
{
    const struct digest *content = &start->work->content;
    int rc = OK;
    if (job_open(job->state))
        rc = attempt_close(
            tx, job, CLOSED_LOST,
            &(struct job_end){.reason = "lost", .message = "the worker stopped without a word"});
    start->work->attempt = job->attempt + 1;
    if (!rc)
        rc =
            SQL_RUN(tx->c,
                    "UPDATE job SET state = 1, attempt = ?2, ordinal = ?3, receive_count = ?4, "
                    "started_ms = ?5, due_ms = 0, wake_ms = ?6, lease_ms = ?6, content_key = ?7, "
                    "worker = ?8 WHERE job_id = ?1",
                    V_INT(job->job_id), V_INT(job->attempt + 1), V_INT(job->ordinal + 1),
                    V_INT(start->receive_count), V_INT(tx->now_ms), V_INT(s->lease_ms),
                    digest_known(content) ? V_INT(digest_key(content)) : V_NULL, V_TEXT(s->worker));
    if (!rc)
        rc = life_write(tx, &(struct life_row){.type = LIFE_JOB_STARTED,
                                               .job_id = job->job_id,
                                               .media_id = job->media_id,
                                               .attempt = job->attempt + 1});
    return rc ? rc : job_count(tx, job->state, JOB_RUNNING);
}

/* A refusal stands in start->rc; what is returned is a failure of the database. */
static int start_one(struct transaction *tx, const struct start *s, struct job_start *start)
{
    struct job_head job;
    sqlite3_stmt *row;
    int rc = SQL_FIRST(tx->c, &row, START_SELECT, V_INT(start->job_id));
    if (rc || !row) {
        start->rc = ERR_NOT_FOUND;
        return rc;
    }
    int64_t bucket = sql_int(row, 12), facet = sql_int(row, 13);
    read_head(row, start->job_id, &job);
    read_work(row, start->job_id, start->work);
    sql_done(row);
    rc = may_start(tx, start, &job);
    if (rc == ERR_CONFLICT || rc == ERR_BUSY) {
        start->rc = rc;
        return OK;
    }
    if (!rc)
        rc = read_names(tx, bucket, facet, start->work);
    if (!rc)
        rc = look_for_results(tx, start->work);
    if (!rc)
        rc = begin_attempt(tx, s, start, &job);
    start->rc = rc;
    return rc;
}

static int start_all(struct transaction *tx, void *arg)
{
    const struct start *s = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < s->count; i++)
        rc = start_one(tx, s, &s->starts[i]);
    return rc;
}

int sqlite_start_attempts(void *ctx, struct job_start *starts, size_t count, const char *worker,
                          int64_t lease_until_ms)
{
    struct store *s = ctx;
    struct start start = {
        .starts = starts, .count = count, .worker = worker, .lease_ms = lease_until_ms};
    return count ? writer_run(&s->writer, start_all, &start) : OK;
}

/* ---- extend_leases ---- */

struct leases {
    const int64_t *job_ids;
    size_t count;
    int64_t until_ms;
};

static int extend(struct transaction *tx, void *arg)
{
    const struct leases *l = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < l->count; i++)
        rc = SQL_RUN(tx->c,
                     "UPDATE job SET lease_ms = ?2, wake_ms = ?2 WHERE job_id = ?1 AND "
                     "state IN (1, 3)",
                     V_INT(l->job_ids[i]), V_INT(l->until_ms));
    return rc;
}

int sqlite_extend_leases(void *ctx, const int64_t *job_ids, size_t count, int64_t lease_until_ms)
{
    struct store *s = ctx;
    struct leases l = {.job_ids = job_ids, .count = count, .until_ms = lease_until_ms};
    return count ? writer_run(&s->writer, extend, &l) : OK;
}

/* ---- set_content, set_paused ---- */

struct content_change {
    int64_t job_id;
    const struct digest *content;
};

static int not_open(const struct job_head *job)
{
    return error_set(ERR_CONFLICT, "attempt_over", "job %lld is %s: this attempt is over",
                     (long long)job->job_id, job_state_name(job->state));
}

static int set_content(struct transaction *tx, void *arg)
{
    const struct content_change *change = arg;
    struct job_head job;
    int rc = job_load(tx, change->job_id, &job);
    if (!rc && !job_open(job.state))
        rc = not_open(&job);
    if (!rc)
        rc = content_free(tx, change->job_id, change->content);
    if (rc || !digest_known(change->content))
        return rc;
    rc = SQL_RUN(tx->c,
                 "UPDATE version SET content = ?2 WHERE version_id = ?1 AND content IS NOT "
                 "?2",
                 V_INT(job.version_id), V_BLOB(change->content->bytes, DIGEST_BYTES));
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE job SET content_key = ?2 WHERE job_id = ?1 AND content_key IS NOT ?2",
                     V_INT(change->job_id), V_INT(digest_key(change->content)));
    return rc;
}

int sqlite_set_content(void *ctx, int64_t job_id, const struct digest *content)
{
    struct store *s = ctx;
    struct content_change change = {.job_id = job_id, .content = content};
    return writer_run(&s->writer, set_content, &change);
}

struct pause_change {
    int64_t job_id;
    bool paused;
    const char *reason, *message, *detail;
};

static int set_paused(struct transaction *tx, void *arg)
{
    const struct pause_change *change = arg;
    struct job_head job;
    enum job_state state = change->paused ? JOB_PAUSED : JOB_RUNNING;
    int rc = job_load(tx, change->job_id, &job);
    if (!rc && !job_open(job.state))
        rc = not_open(&job);
    if (rc || job.state == state)
        return rc;
    rc = SQL_RUN(tx->c, "UPDATE job SET state = ?2, reason = ?3, message = ?4 WHERE job_id = ?1",
                 V_INT(change->job_id), V_INT(state), V_TEXT(change->reason),
                 V_TEXT(change->message));
    if (!rc)
        rc = life_write(
            tx, &(struct life_row){.type = change->paused ? LIFE_JOB_PAUSED : LIFE_JOB_RESUMED,
                                   .job_id = change->job_id,
                                   .media_id = job.media_id,
                                   .attempt = job.attempt,
                                   .detail = change->detail});
    return rc ? rc : job_count(tx, job.state, state);
}

int sqlite_set_paused(void *ctx, int64_t job_id, bool paused, const char *reason,
                      const char *message)
{
    struct store *s = ctx;
    struct buffer detail;
    struct pause_change change = {.job_id = job_id,
                                  .paused = paused,
                                  .reason = paused ? text_or_empty(reason) : "",
                                  .message = paused ? text_or_empty(message) : ""};
    int rc = life_detail(&detail, "", change.reason, change.message, 0);
    change.detail = paused ? buffer_string(&detail) : NULL;
    if (!rc)
        rc = writer_run(&s->writer, set_paused, &change);
    buffer_free(&detail);
    return rc;
}

/* ---- end_attempt ---- */

struct ending {
    const struct attempt_end *end;
    const char *detail;
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
        .due_ms = end->outcome == ATTEMPT_RETRY ? end->due_ms : 0,
        .uncounted = rule->uncounted,
    };
}

static int end_attempt(struct transaction *tx, void *arg)
{
    const struct ending *ending = arg;
    const struct attempt_end *end = ending->end;
    struct job_head job;
    int rc = job_load(tx, end->job_id, &job);
    if (!rc)
        rc = calls_record(tx, job.media_id, job.job_id, end->calls, end->call_count);
    if (rc)
        return rc;
    if (!job_open(job.state) || job.attempt != end->attempt) {
        tx->keep = true; /* the calls were made all the same */
        return not_open(&job);
    }
    struct job_end close = ending_of(ending);
    return job_close(tx, &job, &close);
}

int sqlite_end_attempt(void *ctx, const struct attempt_end *end)
{
    struct store *s = ctx;
    struct buffer detail;
    int rc = life_detail(&detail, end->stage, end->reason, end->message,
                         end->outcome == ATTEMPT_RETRY ? end->due_ms : 0);
    if (!rc)
        rc = writer_run(&s->writer, end_attempt,
                        &(struct ending){.end = end, .detail = buffer_string(&detail)});
    buffer_free(&detail);
    return rc;
}
