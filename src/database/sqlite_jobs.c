#include <string.h>

#include "database/sqlite_internal.h"

int64_t digest_key(const struct digest *d)
{
    int64_t key;
    memcpy(&key, d->bytes, sizeof key);
    return key ? key : 1;
}

/* ---- parts of other changes ---- */

int job_load(struct transaction *tx, int64_t job_id, struct job_head *out)
{
    sqlite3_stmt *s;
    int rc = SQL_FIRST(tx->c, &s,
                       "SELECT media_id, version_id, state, attempt, ordinal, receive_count, "
                       "started_ms, lease_ms, content_key, worker FROM job WHERE job_id = ?1",
                       V_INT(job_id));
    if (rc)
        return rc;
    if (!s)
        return error_set(ERR_NOT_FOUND, NULL, "there is no job %lld", (long long)job_id);
    *out = (struct job_head){
        .job_id = job_id,
        .media_id = sql_int(s, 0),
        .version_id = sql_int(s, 1),
        .state = (enum job_state)sql_int(s, 2),
        .attempt = (int)sql_int(s, 3),
        .ordinal = (int)sql_int(s, 4),
        .receive_count = (int)sql_int(s, 5),
        .started_ms = sql_int(s, 6),
        .lease_ms = sql_int(s, 7),
        .content_key = sql_int(s, 8),
    };
    sql_copy(s, 9, out->worker, sizeof out->worker);
    sql_done(s);
    return OK;
}

int job_count(struct transaction *tx, enum job_state from, enum job_state to)
{
    if ((int)from < JOB_STATES)
        tx->ledger.value[TOTAL_JOBS + from]--;
    if ((int)to < JOB_STATES)
        tx->ledger.value[TOTAL_JOBS + to]++;
    return OK;
}

int life_write(struct transaction *tx, const struct life_row *row)
{
    return SQL_RUN(tx->c,
                   "INSERT INTO life_event (at_ms, type, job_id, media_id, attempt, trace, detail) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                   V_INT(tx->now_ms), V_INT(row->type), V_INT(row->job_id), V_INT(row->media_id),
                   V_INT(row->attempt), V_BLOB(row->trace, 16), V_TEXT(row->detail));
}

int job_insert(struct transaction *tx, const struct new_job *job, int64_t *job_id)
{
    *job_id = take_id(tx, NEXT_JOB);
    int rc = SQL_RUN(tx->c,
                     "INSERT INTO job VALUES (?1, ?2, ?3, 0, 0, 0, 0, ?4, 0, 0, 0, ?4, 0, NULL, "
                     "?5, '', '', '', '')",
                     V_INT(*job_id), V_INT(job->media_id), V_INT(job->version_id),
                     V_INT(tx->now_ms), V_BLOB(job->trace, 16));
    if (!rc)
        rc = life_write(tx, &(struct life_row){.type = LIFE_JOB_QUEUED,
                                               .job_id = *job_id,
                                               .media_id = job->media_id});
    return rc ? rc : job_count(tx, JOB_STATES, JOB_QUEUED);
}

int attempt_close(struct transaction *tx, const struct job_head *job, enum closed_as closed,
                  const struct job_end *end)
{
    return SQL_RUN(tx->c,
                   "INSERT INTO attempt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                   V_INT(job->job_id), V_INT(job->ordinal), V_INT(job->attempt), V_INT(closed),
                   V_INT(job->started_ms), V_INT(tx->now_ms), V_TEXT(job->worker),
                   V_TEXT(text_or_empty(end->stage)), V_TEXT(text_or_empty(end->reason)),
                   V_TEXT(text_or_empty(end->message)), V_TEXT(text_or_empty(end->stage_times)));
}

int job_close(struct transaction *tx, const struct job_head *job, const struct job_end *end)
{
    bool over = !job_unfinished(end->state);
    int attempt = job->attempt - (end->uncounted && job_open(job->state));
    int64_t wake = end->state == JOB_RETRYING ? end->due_ms : tx->now_ms;
    int rc = job_open(job->state) ? attempt_close(tx, job, end->closed, end) : OK;
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE job SET state = ?2, attempt = ?3, finished_ms = ?4, due_ms = ?5, "
                     "wake_ms = ?6, lease_ms = 0, content_key = NULL, stage = ?7, reason = ?8, "
                     "message = ?9 WHERE job_id = ?1",
                     V_INT(job->job_id), V_INT(end->state), V_INT(attempt),
                     V_INT(over ? tx->now_ms : 0), V_INT(end->due_ms), V_INT(wake),
                     V_TEXT(text_or_empty(end->stage)), V_TEXT(text_or_empty(end->reason)),
                     V_TEXT(text_or_empty(end->message)));
    if (!rc)
        rc = life_write(tx, &(struct life_row){.type = end->event,
                                               .job_id = job->job_id,
                                               .media_id = job->media_id,
                                               .attempt = job->attempt,
                                               .detail = end->detail});
    if (!rc && (end->state == JOB_SUCCEEDED || end->state == JOB_CANCELLED))
        rc = results_discard_staged(tx, job->job_id, 0);
    return rc ? rc : job_count(tx, job->state, end->state);
}

/* ---- redrive, drop, mark_dead ---- */

struct job_change {
    int64_t job_id;
    const char *reason, *message, *detail;
};

static int load_dead(struct transaction *tx, int64_t job_id, struct job_head *job)
{
    int rc = job_load(tx, job_id, job);
    if (!rc && job->state != JOB_DEAD)
        rc = error_set(ERR_CONFLICT, "not_dead", "job %lld is %s, not dead", (long long)job_id,
                       job_state_name(job->state));
    return rc;
}

static int redrive(struct transaction *tx, void *arg)
{
    int64_t job_id = *(int64_t *)arg, current;
    struct job_head job;
    int rc = load_dead(tx, job_id, &job);
    if (!rc)
        rc = SQL_NUMBER(tx->c, &current, 0,
                        "SELECT count(*) FROM media WHERE media_id = ?1 AND job_id = ?2 AND "
                        "removed = 0",
                        V_INT(job.media_id), V_INT(job_id));
    if (!rc && !current)
        rc = error_set(ERR_CONFLICT, "superseded",
                       "job %lld is not its medium's newest any more: drop it", (long long)job_id);
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE job SET state = 0, attempt = 0, receive_count = 0, queued_ms = ?2, "
                     "finished_ms = 0, due_ms = 0, wake_ms = ?2 WHERE job_id = ?1",
                     V_INT(job_id), V_INT(tx->now_ms));
    if (!rc)
        rc = life_write(tx, &(struct life_row){.type = LIFE_JOB_QUEUED,
                                               .job_id = job_id,
                                               .media_id = job.media_id,
                                               .detail = "{\"reason\":\"redriven\"}"});
    return rc ? rc : job_count(tx, JOB_DEAD, JOB_QUEUED);
}

int sqlite_redrive(void *ctx, int64_t job_id)
{
    struct store *s = ctx;
    return writer_run(&s->writer, redrive, &job_id);
}

int job_drop(struct transaction *tx, const struct job_head *job, const char *detail)
{
    int rc = SQL_RUN(tx->c, "UPDATE job SET state = 6 WHERE job_id = ?1", V_INT(job->job_id));
    if (!rc)
        rc = results_discard_staged(tx, job->job_id, 0);
    if (!rc)
        rc = life_write(tx, &(struct life_row){.type = LIFE_JOB_CANCELLED,
                                               .job_id = job->job_id,
                                               .media_id = job->media_id,
                                               .attempt = job->attempt,
                                               .detail = detail});
    return rc ? rc : job_count(tx, JOB_DEAD, JOB_CANCELLED);
}

static int drop(struct transaction *tx, void *arg)
{
    struct job_head job;
    int rc = load_dead(tx, *(int64_t *)arg, &job);
    return rc ? rc : job_drop(tx, &job, "{\"reason\":\"dropped\"}");
}

int sqlite_drop(void *ctx, int64_t job_id)
{
    struct store *s = ctx;
    return writer_run(&s->writer, drop, &job_id);
}

static int mark_dead(struct transaction *tx, void *arg)
{
    const struct job_change *change = arg;
    struct job_head job;
    int rc = job_load(tx, change->job_id, &job);
    if (rc || !job_unfinished(job.state))
        return rc;
    return job_close(tx, &job,
                     &(struct job_end){.state = JOB_DEAD,
                                       .closed = CLOSED_DEAD,
                                       .event = LIFE_JOB_DEAD,
                                       .reason = change->reason,
                                       .message = change->message,
                                       .detail = change->detail});
}

int sqlite_mark_dead(void *ctx, int64_t job_id, const char *reason, const char *message)
{
    struct store *s = ctx;
    struct buffer detail;
    int rc = life_detail(&detail, "", reason, message, 0);
    if (!rc)
        rc = writer_run(&s->writer, mark_dead,
                        &(struct job_change){.job_id = job_id,
                                             .reason = reason,
                                             .message = message,
                                             .detail = buffer_string(&detail)});
    buffer_free(&detail);
    return rc;
}

/* ---- touch ---- */

struct touch {
    const int64_t *job_ids;
    size_t count;
    int64_t due_ms;
};

static int touch(struct transaction *tx, void *arg)
{
    const struct touch *t = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < t->count; i++)
        rc = SQL_RUN(tx->c, "UPDATE job SET wake_ms = ?2 WHERE job_id = ?1 AND state < 4",
                     V_INT(t->job_ids[i]), V_INT(t->due_ms));
    return rc;
}

int sqlite_touch(void *ctx, const int64_t *job_ids, size_t count, int64_t due_ms)
{
    struct store *s = ctx;
    if (count == 0)
        return OK;
    struct touch t = {.job_ids = job_ids, .count = count, .due_ms = due_ms};
    return writer_run(&s->writer, touch, &t);
}
