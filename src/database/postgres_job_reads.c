/* Jobs, their attempts, and the outbox. */
#include <string.h>

#include "database/postgres_internal.h"

/* ---- rows ---- */

#define JOB_COLUMNS                                                                                \
    "SELECT j.job_id, j.media_id, j.version_id, m.bucket, m.key, m.collection, j.trace, j.state, " \
    "j.attempt, j.queued_ms, j.started_ms, j.finished_ms, j.due_ms, j.stage, j.reason, "           \
    "j.message, j.worker "

static const char *trace_text(const struct pg_rows *rows, int i, int column, struct arena *arena)
{
    unsigned char trace[16];
    char text[TRACE_ID_TEXT] = "";
    if (pg_bytes(rows, i, column, trace, sizeof trace))
        hex_encode(trace, sizeof trace, text);
    return arena_strdup(arena, text);
}

static int read_job(const struct pg_rows *rows, int i, struct arena *arena, struct job_row *j)
{
    *j = (struct job_row){
        .job_id = pg_int(rows, i, 0),
        .media_id = pg_int(rows, i, 1),
        .version_id = pg_int(rows, i, 2),
        .bucket = pg_text(rows, i, 3, arena),
        .key = pg_text(rows, i, 4, arena),
        .collection = pg_text(rows, i, 5, arena),
        .trace_id = trace_text(rows, i, 6, arena),
        .state = (enum job_state)pg_int(rows, i, 7),
        .attempts = (int)pg_int(rows, i, 8),
        .queued_ms = pg_int(rows, i, 9),
        .started_ms = pg_int(rows, i, 10),
        .finished_ms = pg_int(rows, i, 11),
        .due_ms = pg_int(rows, i, 12),
        .stage = pg_text(rows, i, 13, arena),
        .reason = pg_text(rows, i, 14, arena),
        .message = pg_text(rows, i, 15, arena),
        .worker = pg_text(rows, i, 16, arena),
    };
    bool whole = j->bucket && j->key && j->collection && j->trace_id && j->stage && j->reason &&
                 j->message && j->worker;
    return whole ? OK : ERR_NO_MEMORY;
}

static int read_jobs(const struct pg_rows *rows, struct arena *arena, struct job_row *out,
                     size_t *count)
{
    int rc = OK;
    for (int i = 0; !rc && i < rows->count; i++)
        rc = read_job(rows, i, arena, &out[i]);
    *count = rc ? 0 : (size_t)rows->count;
    return rc;
}

int postgres_job_rows(struct store *s, struct pg *c, const int64_t *ids, size_t n,
                      struct arena *arena, struct job_row *out, size_t *count)
{
    struct pg_rows rows;
    (void)s;
    *count = 0;
    if (!n)
        return OK;
    int rc = PG_QUERY(c, &rows,
                      JOB_COLUMNS "FROM unnest($1::bigint[]) WITH ORDINALITY AS i (job_id, n) "
                                  "JOIN job j ON j.job_id = i.job_id "
                                  "JOIN media m ON m.media_id = j.media_id ORDER BY i.n",
                      P_INTS(ids, n));
    if (!rc)
        rc = read_jobs(&rows, arena, out, count);
    pg_rows_free(&rows);
    return rc;
}

/* ---- lists ---- */

/* The state stands in the text, so that the server sees which partial index serves. */
#define LIST_JOBS(condition)                                                                       \
    JOB_COLUMNS "FROM (SELECT * FROM job j WHERE j.job_id < $1" condition                          \
                " ORDER BY j.job_id DESC LIMIT $2) j JOIN media m ON m.media_id = j.media_id "     \
                "ORDER BY j.job_id DESC"
static const char LIST_ALL[] = LIST_JOBS("");
static const char *const list_states[JOB_STATES] = {
    [JOB_QUEUED] = LIST_JOBS(" AND j.state = 0"),
    [JOB_RUNNING] = LIST_JOBS(" AND j.state = 1 AND j.state < 4"),
    [JOB_RETRYING] = LIST_JOBS(" AND j.state = 2 AND j.state IN (2, 3, 5, 6)"),
    [JOB_PAUSED] = LIST_JOBS(" AND j.state = 3 AND j.state IN (2, 3, 5, 6)"),
    [JOB_SUCCEEDED] = LIST_JOBS(" AND j.state = 4"),
    [JOB_DEAD] = LIST_JOBS(" AND j.state = 5 AND j.state IN (2, 3, 5, 6)"),
    [JOB_CANCELLED] = LIST_JOBS(" AND j.state = 6 AND j.state IN (2, 3, 5, 6)"),
};

static int list_jobs(struct pg *c, const char *sql, int64_t before, size_t limit,
                     struct arena *arena, struct job_row **out, size_t *count)
{
    struct pg_rows rows;
    int rc = PG_QUERY(c, &rows, sql, P_INT(before), P_INT((int64_t)limit));
    if (!rc && !(*out = arena_array(arena, (size_t)rows.count, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = read_jobs(&rows, arena, *out, count);
    pg_rows_free(&rows);
    return rc;
}

int postgres_job_list(void *ctx, int state, int64_t before_job_id, size_t limit,
                      struct arena *arena, struct job_row **out, size_t *count)
{
    struct pg *c;
    *out = NULL;
    *count = 0;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = list_jobs(c, state >= 0 && state < JOB_STATES ? list_states[state] : LIST_ALL,
                   before_job_id > 0 ? before_job_id : INT64_MAX, limit, arena, out, count);
    pg_release(c);
    return rc;
}

/* ---- one job with its attempts ---- */

static const char *const closed_names[CLOSED_KINDS] = {
    [CLOSED_SUCCEEDED] = "succeeded",   [CLOSED_RETRY] = "retry",         [CLOSED_DEAD] = "dead",
    [CLOSED_GIVEN_BACK] = "given_back", [CLOSED_CANCELLED] = "cancelled", [CLOSED_LOST] = "lost",
};

static const char *closed_name(int64_t closed)
{
    return closed > 0 && closed < CLOSED_KINDS ? closed_names[closed] : "unknown";
}

static int read_attempt(const struct pg_rows *rows, int i, struct arena *arena,
                        struct attempt_row *a)
{
    *a = (struct attempt_row){
        .attempt = (int)pg_int(rows, i, 0),
        .outcome = closed_name(pg_int(rows, i, 1)),
        .started_ms = pg_int(rows, i, 2),
        .ended_ms = pg_int(rows, i, 3),
        .worker = pg_text(rows, i, 4, arena),
        .stage = pg_text(rows, i, 5, arena),
        .reason = pg_text(rows, i, 6, arena),
        .message = pg_text(rows, i, 7, arena),
        .stage_times_json = pg_text(rows, i, 8, arena),
    };
    bool whole = a->worker && a->stage && a->reason && a->message && a->stage_times_json;
    return whole ? OK : ERR_NO_MEMORY;
}

/* The open attempt is in the job's own row. */
static struct attempt_row open_attempt(const struct job_row *job)
{
    return (struct attempt_row){.attempt = job->attempts,
                                .outcome = "running",
                                .started_ms = job->started_ms,
                                .worker = job->worker,
                                .stage = "",
                                .reason = "",
                                .message = "",
                                .stage_times_json = ""};
}

static int read_attempts(const struct pg_rows *rows, const struct job_row *job, struct arena *arena,
                         struct attempt_row **out, size_t *count)
{
    int rc = OK;
    *out = arena_array(arena, (size_t)rows->count + 1, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (int i = 0; !rc && i < rows->count; i++)
        rc = read_attempt(rows, i, arena, &(*out)[i]);
    *count = (size_t)rows->count;
    if (job_open(job->state))
        (*out)[(*count)++] = open_attempt(job);
    return rc;
}

static const char JOB_BY_ID[] =
    JOB_COLUMNS "FROM job j JOIN media m ON m.media_id = j.media_id WHERE j.job_id = $1";
static const char ATTEMPTS_OF[] =
    "SELECT attempt, outcome, started_ms, ended_ms, worker, stage, reason, message, stage_times "
    "FROM attempt WHERE job_id = $1 ORDER BY ordinal";

/* Both from one moment, in one round trip. */
static int fetch_job(struct store *s, int64_t job_id, struct pg_rows rows[2])
{
    struct pg *c;
    memset(rows, 0, 2 * sizeof *rows);
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = pg_begin(c, PG_SNAPSHOT);
    if (!rc)
        rc = PG_SEND(c, JOB_BY_ID, P_INT(job_id));
    if (!rc)
        rc = PG_SEND(c, ATTEMPTS_OF, P_INT(job_id));
    if (!rc)
        rc = pg_commit_sync(c, rows, 2);
    pg_release(c);
    return rc;
}

int postgres_job_get(void *ctx, int64_t job_id, struct arena *arena, struct job_row *out,
                     struct attempt_row **attempts, size_t *attempt_count)
{
    struct pg_rows rows[2];
    size_t found = 0, n = 0;
    struct attempt_row *list = NULL;
    int rc = fetch_job(ctx, job_id, rows);
    if (!rc)
        rc = read_jobs(&rows[0], arena, out, &found);
    if (!rc && !found)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no job %lld", (long long)job_id);
    if (!rc && attempts)
        rc = read_attempts(&rows[1], out, arena, &list, &n);
    pg_rows_free_all(rows, 2);
    if (attempts) {
        *attempts = list;
        *attempt_count = n;
    }
    return rc;
}
