#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_job_rows.h"
#include "database/sqlite_media_ids.h"

/* ---- rows ---- */

#define JOB_COLUMNS                                                                                \
    "SELECT j.job_id, j.media_id, j.version_id, m.bucket_id, m.key, m.facet_id, j.trace, "         \
    "j.state, j.attempt, j.queued_ms, j.started_ms, j.finished_ms, j.due_ms, j.stage, j.reason, "  \
    "j.message, j.worker, j.ordinal FROM job j JOIN media m ON m.media_id = j.media_id "

static const char JOB_BY_ID[] = JOB_COLUMNS "WHERE j.job_id = ?1";

static const char *trace_text(sqlite3_stmt *row, int column, struct arena *arena)
{
    char text[TRACE_ID_TEXT] = "";
    if (sqlite3_column_bytes(row, column) == 16)
        hex_encode(sqlite3_column_blob(row, column), 16, text);
    return arena_strdup(arena, text);
}

static int read_job(struct store *s, struct connection *c, sqlite3_stmt *row, struct arena *arena,
                    struct job_row *j)
{
    struct facet facet;
    *j = (struct job_row){
        .job_id = sql_int(row, 0),
        .media_id = sql_int(row, 1),
        .version_id = sql_int(row, 2),
        .key = sql_text(row, 4, arena),
        .trace_id = trace_text(row, 6, arena),
        .state = (enum job_state)sql_int(row, 7),
        .attempts = (int)sql_int(row, 8),
        .queued_ms = sql_int(row, 9),
        .started_ms = sql_int(row, 10),
        .finished_ms = sql_int(row, 11),
        .due_ms = sql_int(row, 12),
        .stage = sql_text(row, 13, arena),
        .reason = sql_text(row, 14, arena),
        .message = sql_text(row, 15, arena),
        .worker = sql_text(row, 16, arena),
    };
    if (!j->key || !j->trace_id || !j->stage || !j->reason || !j->message || !j->worker)
        return ERR_NO_MEMORY;
    int rc = name_text(&s->names, c, sql_int(row, 3), arena, &j->bucket);
    if (!rc)
        rc = facet_get(&s->names, c, sql_int(row, 5), &facet);
    return rc ? rc : name_text(&s->names, c, facet.collection, arena, &j->collection);
}

int job_rows(struct store *s, struct connection *c, const int64_t *ids, size_t n,
             struct arena *arena, struct job_row *out, size_t *count)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < n; i++) {
        sqlite3_stmt *row;
        rc = SQL_FIRST(c, &row, JOB_BY_ID, V_INT(ids[i]));
        if (!rc && row)
            rc = read_job(s, c, row, arena, &out[(*count)++]);
        sql_done(row);
    }
    return rc;
}

/* ---- lists ---- */

/* Fetches the ids a statement gives, then the rows. */
static int list_jobs(struct store *s, struct connection *c, const char *sql,
                     const struct sql_value *values, size_t value_count, size_t limit,
                     struct arena *arena, struct job_row **out, size_t *count)
{
    sqlite3_stmt *row;
    bool more = true;
    size_t n = 0;
    int64_t *ids = limit ? malloc(limit * sizeof *ids) : NULL;
    if (limit && !ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu jobs", limit);
    int rc = sql_begin(c, &row, sql, values, value_count);
    while (!rc && n < limit && !(rc = sql_next(c, row, &more)) && more)
        ids[n++] = sql_int(row, 0);
    if (!rc) {
        sql_done(row);
        *out = arena_array(arena, n, sizeof **out);
        rc = *out ? job_rows(s, c, ids, n, arena, *out, count) : ERR_NO_MEMORY;
    }
    free(ids);
    return rc;
}

static const char LIST_ALL[] =
    "SELECT job_id FROM job WHERE job_id < ?1 ORDER BY job_id DESC LIMIT ?2";
/* Most jobs have succeeded, and in a backlog the newest are the queued ones: a walk finds them. */
static const char LIST_WALK[] = "SELECT job_id FROM job NOT INDEXED WHERE job_id < ?1 AND state = "
                                "?3 ORDER BY job_id DESC LIMIT ?2";
static const char LIST_UNHAPPY[] =
    "SELECT job_id FROM job INDEXED BY job_unhappy WHERE state = ?3 AND (state = 2 OR state = 3 OR "
    "state = 5 OR state = 6) AND job_id < ?1 ORDER BY job_id DESC LIMIT ?2";
static const char LIST_FEW[] = "SELECT job_id FROM job INDEXED BY job_unfinished WHERE state = ?3 "
                               "AND state < 4 AND job_id < ?1 ORDER BY job_id DESC LIMIT ?2";

enum { FEW_JOBS = 20000 };

static int list_sql(struct connection *c, int state, const char **sql)
{
    int64_t queued = 0;
    int rc = OK;
    *sql = LIST_ALL;
    if (state == JOB_RETRYING || state == JOB_PAUSED || state == JOB_DEAD || state == JOB_CANCELLED)
        *sql = LIST_UNHAPPY;
    else if (state == JOB_RUNNING)
        *sql = LIST_FEW;
    else if (state == JOB_SUCCEEDED)
        *sql = LIST_WALK;
    else if (state == JOB_QUEUED) {
        rc = sql_number(c, &queued, 0, "SELECT jobs_queued FROM ledger", NULL, 0);
        *sql = queued > FEW_JOBS ? LIST_WALK : LIST_FEW;
    }
    return rc;
}

int sqlite_job_list(void *ctx, int state, int64_t before_job_id, size_t limit, struct arena *arena,
                    struct job_row **out, size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    const char *sql;
    int64_t before = before_job_id > 0 ? before_job_id : INT64_MAX;
    *count = 0;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = list_sql(&r->main, state, &sql);
    if (!rc) {
        const struct sql_value values[] = {V_INT(before), V_INT((int64_t)limit), V_INT(state)};
        rc = list_jobs(s, &r->main, sql, values, state < 0 ? 2 : 3, limit, arena, out, count);
    }
    snapshot_end(&r->main);
    reader_release(s, r);
    return rc;
}

/* Each state's part of the index is in order of wake_ms; the earliest of all four come first. */
#define STRANDED_IN(state)                                                                         \
    "SELECT * FROM (SELECT job_id, wake_ms FROM job INDEXED BY job_unfinished WHERE state "        \
    "= " state " AND state < 4 AND wake_ms < ?1 ORDER BY wake_ms LIMIT ?2)"
static const char STRANDED[] = "SELECT job_id FROM (" STRANDED_IN("0") " UNION ALL " STRANDED_IN(
    "1") " UNION ALL " STRANDED_IN("2") " UNION ALL " STRANDED_IN("3") ") ORDER BY wake_ms, job_id "
                                                                       "LIMIT ?2";

int sqlite_stranded(void *ctx, int64_t before_ms, size_t limit, struct arena *arena,
                    struct job_row **out, size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    const struct sql_value values[] = {V_INT(before_ms), V_INT((int64_t)limit)};
    *count = 0;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = list_jobs(s, &r->main, STRANDED, values, 2, limit, arena, out, count);
    snapshot_end(&r->main);
    reader_release(s, r);
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

static int read_attempt(sqlite3_stmt *row, struct arena *arena, struct attempt_row *a)
{
    *a = (struct attempt_row){
        .attempt = (int)sql_int(row, 0),
        .outcome = closed_name(sql_int(row, 1)),
        .started_ms = sql_int(row, 2),
        .ended_ms = sql_int(row, 3),
        .worker = sql_text(row, 4, arena),
        .stage = sql_text(row, 5, arena),
        .reason = sql_text(row, 6, arena),
        .message = sql_text(row, 7, arena),
        .stage_times_json = sql_text(row, 8, arena),
    };
    bool whole = a->worker && a->stage && a->reason && a->message && a->stage_times_json;
    return whole ? OK : ERR_NO_MEMORY;
}

static int read_attempts(struct connection *c, const struct job_row *job, struct arena *arena,
                         struct attempt_row **out, size_t *count)
{
    sqlite3_stmt *row = NULL;
    int64_t closed;
    bool more;
    int rc = SQL_NUMBER(c, &closed, 0, "SELECT count(*) FROM attempt WHERE job_id = ?1",
                        V_INT(job->job_id));
    if (!rc && !(*out = arena_array(arena, (size_t)closed + 1, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = SQL_BEGIN(c, &row,
                       "SELECT attempt, outcome, started_ms, ended_ms, worker, stage, reason, "
                       "message, stage_times FROM attempt WHERE job_id = ?1 ORDER BY ordinal",
                       V_INT(job->job_id));
    while (!rc && !(rc = sql_next(c, row, &more)) && more)
        rc = read_attempt(row, arena, &(*out)[(*count)++]);
    sql_done(row);
    if (!rc && job_open(job->state))
        (*out)[(*count)++] = (struct attempt_row){.attempt = job->attempts,
                                                  .outcome = "running",
                                                  .started_ms = job->started_ms,
                                                  .worker = job->worker,
                                                  .stage = "",
                                                  .reason = "",
                                                  .message = "",
                                                  .stage_times_json = ""};
    return rc;
}

int sqlite_job_get(void *ctx, int64_t job_id, struct arena *arena, struct job_row *out,
                   struct attempt_row **attempts, size_t *attempt_count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    size_t found = 0, n = 0;
    struct attempt_row *rows = NULL;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = job_rows(s, &r->main, &job_id, 1, arena, out, &found);
    if (!rc && !found)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no job %lld", (long long)job_id);
    if (!rc && attempts)
        rc = read_attempts(&r->main, out, arena, &rows, &n);
    snapshot_end(&r->main);
    reader_release(s, r);
    if (attempts) {
        *attempts = rows;
        *attempt_count = n;
    }
    return rc;
}

/* ---- the outbox ---- */

static const char *const life_names[LIFE_TYPES] = {
    [LIFE_MEDIA_REMOVED] = "media.removed", [LIFE_JOB_QUEUED] = "job.queued",
    [LIFE_JOB_STARTED] = "job.started",     [LIFE_JOB_RETRYING] = "job.retrying",
    [LIFE_JOB_PAUSED] = "job.paused",       [LIFE_JOB_RESUMED] = "job.resumed",
    [LIFE_JOB_SUCCEEDED] = "job.succeeded", [LIFE_JOB_DEAD] = "job.dead",
    [LIFE_JOB_CANCELLED] = "job.cancelled", [LIFE_JOB_GIVEN_BACK] = "job.given_back",
};

/* A success tells its stage times, which stand with its attempt. */
static const char LIFE_AFTER[] =
    "SELECT e.event_id, e.at_ms, e.type, e.job_id, e.media_id, e.attempt, coalesce(e.trace, "
    "j.trace), m.bucket_id, m.key, coalesce(e.detail, (SELECT '{\"times\":' || a.stage_times || "
    "'}' FROM attempt a WHERE e.type = 7 AND a.job_id = e.job_id AND a.outcome = 1 AND "
    "a.stage_times <> ''), '{}') "
    "FROM life_event e LEFT JOIN job j ON j.job_id = e.job_id LEFT JOIN media m ON m.media_id = "
    "e.media_id WHERE e.event_id > ?1 ORDER BY e.event_id LIMIT ?2";

static int read_life(struct store *s, struct connection *c, sqlite3_stmt *row, struct arena *arena,
                     struct life_event *e)
{
    int64_t type = sql_int(row, 2);
    *e = (struct life_event){
        .id = sql_int(row, 0),
        .at_ms = sql_int(row, 1),
        .type = type > 0 && type < LIFE_TYPES ? life_names[type] : "unknown",
        .job_id = sql_int(row, 3),
        .media_id = sql_int(row, 4),
        .attempt = (int)sql_int(row, 5),
        .trace_id = trace_text(row, 6, arena),
        .key = sql_text(row, 8, arena),
        .detail_json = sql_text(row, 9, arena),
    };
    if (!e->trace_id || !e->key || !e->detail_json)
        return ERR_NO_MEMORY;
    return name_text(&s->names, c, sql_int(row, 7), arena, &e->bucket);
}

int sqlite_life_events(void *ctx, int64_t after, size_t limit, struct arena *arena,
                       struct life_event **out, size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row = NULL;
    int64_t newest = 0;
    bool more;
    *count = 0;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = sql_number(&r->main, &newest, 0, "SELECT max(event_id) FROM life_event", NULL, 0);
    size_t most = newest > after ? (size_t)(newest - after) : 0;
    most = most < limit ? most : limit;
    if (!rc && !(*out = arena_array(arena, most, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = SQL_BEGIN(&r->main, &row, LIFE_AFTER, V_INT(after), V_INT((int64_t)most));
    while (!rc && *count < most && !(rc = sql_next(&r->main, row, &more)) && more)
        rc = read_life(s, &r->main, row, arena, &(*out)[(*count)++]);
    sql_done(row);
    snapshot_end(&r->main);
    reader_release(s, r);
    return rc;
}
