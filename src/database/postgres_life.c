/*
 * Reading the outbox. Ids are drawn before COMMIT, so a lower id can come into sight after a higher
 * one. Who reads on from the highest id seen would miss it: therefore a gap between two ids is
 * passed only if whoever drew the missing one is gone for sure, that is, if
 *   - the row behind it is old, or
 *   - all transactions that ran when the gap was first seen have ended by a second look.
 * Else the rows end before the gap, and the caller comes again as it does when there is no news.
 */
#include <string.h>

#include "database/postgres_internal.h"

enum { OLD_MS = 60000 };

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
    "j.trace), m.bucket, m.key, coalesce(e.detail, (SELECT '{\"times\":' || a.stage_times || '}' "
    "FROM attempt a WHERE e.type = 7 AND a.job_id = e.job_id AND a.outcome = 1 AND a.stage_times "
    "<> '' LIMIT 1), '{}') "
    "FROM (SELECT * FROM life_event WHERE event_id > $1 ORDER BY event_id LIMIT $2) e "
    "LEFT JOIN job j ON j.job_id = e.job_id LEFT JOIN media m ON m.media_id = e.media_id "
    "ORDER BY e.event_id";
/* Transactions numbered below the first have ended; the second is above all that have begun. */
static const char HORIZONS[] =
    "SELECT pg_snapshot_xmin(h)::text::bigint, pg_snapshot_xmax(h)::text::bigint "
    "FROM pg_current_snapshot() h";

enum { PLANNER, EVENTS, HORIZON, LOOK };

struct look {
    struct pg_rows rows[LOOK];
    int64_t ended, begun;
};

static int look(struct pg *c, int64_t after, size_t limit, struct look *out)
{
    memset(out, 0, sizeof *out);
    int rc = pg_begin(c, PG_SNAPSHOT);
    if (!rc)
        rc = pg_send(c, POSTGRES_BY_INDEX, NULL, 0);
    if (!rc)
        rc = PG_SEND(c, LIFE_AFTER, P_INT(after), P_INT((int64_t)limit));
    if (!rc)
        rc = pg_send(c, HORIZONS, NULL, 0);
    if (!rc)
        rc = pg_commit_sync(c, out->rows, LOOK);
    if (!rc && out->rows[HORIZON].count) {
        out->ended = pg_int(&out->rows[HORIZON], 0, 0);
        out->begun = pg_int(&out->rows[HORIZON], 0, 1);
    }
    return rc;
}

/* How many of the rows come before the first gap that lies before a young one. */
static int before_gap(const struct pg_rows *rows, int64_t after, int64_t old_ms)
{
    int i = 0;
    for (int64_t last = after; i < rows->count; i++) {
        int64_t id = pg_int(rows, i, 0);
        if (id != last + 1 && pg_int(rows, i, 1) > old_ms)
            break;
        last = id;
    }
    return i;
}

/* Gaps that the first look saw too are passed if those have ended who were there then. */
static int trusted_rows(struct pg *c, int64_t after, size_t limit, int64_t old_ms,
                        struct look *seen, int *trusted)
{
    *trusted = before_gap(&seen->rows[EVENTS], after, old_ms);
    if (*trusted == seen->rows[EVENTS].count)
        return OK;
    struct look again;
    int rc = look(c, after, limit, &again);
    if (rc) {
        pg_rows_free_all(again.rows, LOOK);
        return rc;
    }
    int64_t last = seen->rows[EVENTS].count
                       ? pg_int(&seen->rows[EVENTS], seen->rows[EVENTS].count - 1, 0)
                       : after;
    bool all_ended = again.ended >= seen->begun;
    pg_rows_free_all(seen->rows, LOOK);
    *seen = again;
    *trusted = before_gap(&again.rows[EVENTS], after, old_ms);
    if (all_ended) /* whatever is missing up to the last id of the first look never comes */
        while (*trusted < again.rows[EVENTS].count &&
               pg_int(&again.rows[EVENTS], *trusted, 0) <= last)
            ++*trusted;
    return OK;
}

static int read_life(const struct pg_rows *rows, int i, struct arena *arena, struct life_event *e)
{
    int64_t type = pg_int(rows, i, 2);
    unsigned char trace[16];
    char hex[TRACE_ID_TEXT] = "";
    if (pg_bytes(rows, i, 6, trace, sizeof trace))
        hex_encode(trace, sizeof trace, hex);
    *e = (struct life_event){
        .id = pg_int(rows, i, 0),
        .at_ms = pg_int(rows, i, 1),
        .type = type > 0 && type < LIFE_TYPES ? life_names[type] : "unknown",
        .job_id = pg_int(rows, i, 3),
        .media_id = pg_int(rows, i, 4),
        .attempt = (int)pg_int(rows, i, 5),
        .trace_id = arena_strdup(arena, hex),
        .bucket = pg_text(rows, i, 7, arena),
        .key = pg_text(rows, i, 8, arena),
        .detail_json = pg_text(rows, i, 9, arena),
    };
    return e->trace_id && e->bucket && e->key && e->detail_json ? OK : ERR_NO_MEMORY;
}

static int read_lives(const struct pg_rows *rows, int n, struct arena *arena,
                      struct life_event **out, size_t *count)
{
    int rc = OK;
    *out = arena_array(arena, (size_t)n, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (int i = 0; !rc && i < n; i++)
        rc = read_life(rows, i, arena, &(*out)[i]);
    *count = rc ? 0 : (size_t)n;
    return rc;
}

int postgres_life_events(void *ctx, int64_t after, size_t limit, struct arena *arena,
                         struct life_event **out, size_t *count)
{
    struct store *s = ctx;
    struct look seen;
    struct pg *c;
    int trusted = 0;
    *out = NULL;
    *count = 0;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = look(c, after, limit, &seen);
    if (!rc)
        rc = trusted_rows(c, after, limit, store_now(s) - OLD_MS, &seen, &trusted);
    pg_release(c);
    if (!rc)
        rc = read_lives(&seen.rows[EVENTS], trusted, arena, out, count);
    pg_rows_free_all(seen.rows, LOOK);
    return rc;
}
