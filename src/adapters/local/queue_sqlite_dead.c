#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "adapters/local/queue_sqlite_statement.h"
#include "shared/error.h"

/* ---- dying -------------------------------------------------------------------------------------
 */

static int add_dead(struct store *s, int64_t id, int receives, const char *reason,
                    const char *detail, int64_t now)
{
    sqlite3_stmt *q = STORE_BIND(s, ST_DEAD_ADD, id, 0, 0, receives, now);
    sqlite3_bind_text(q, 2, reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, detail, -1, SQLITE_STATIC);
    return store_run(s, q, "cannot bury in");
}

int store_kill(struct store *s, int64_t id, int receives, const char *reason, const char *detail,
               int64_t now)
{
    int rc = add_dead(s, id, receives, reason, detail, now);
    if (!rc)
        rc = store_run(s, STORE_BIND(s, ST_LEASE_CUT, id, id), "cannot bury in");
    if (!rc)
        rc = store_run(s, STORE_BIND(s, ST_MESSAGE_CUT, id, id), "cannot bury in");
    s->ledger.dead += rc == OK;
    return rc;
}

int store_bury(struct store *s, const struct receipt_ref *ref, const char *reason,
               const char *detail, bool *valid)
{
    bool row;
    sqlite3_stmt *q = STORE_BIND(s, ST_LEASE_RANGE, ref->id, ref->id);
    int rc = store_next(s, q, "cannot bury in", &row);
    *valid = !rc && row && sqlite3_column_int(q, 1) == ref->receives;
    sqlite3_reset(q);
    if (rc || !*valid)
        return rc;
    return store_kill(s, ref->id, ref->receives, reason, detail, clock_now(s->clock));
}

/* ---- listing -----------------------------------------------------------------------------------
 */

static const char *copy_text(struct arena *arena, sqlite3_stmt *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    return arena_strndup(arena, text ? text : "", (size_t)sqlite3_column_bytes(q, column));
}

static int copy_dead(struct arena *arena, sqlite3_stmt *q, struct queue_dead_letter *out)
{
    const char *reason = (const char *)sqlite3_column_text(q, 1);
    snprintf(out->id, sizeof out->id, "%" PRId64, (int64_t)sqlite3_column_int64(q, 0));
    snprintf(out->reason, sizeof out->reason, "%s", reason ? reason : "");
    out->detail = copy_text(arena, q, 2);
    out->receive_count = sqlite3_column_int(q, 3);
    out->sent_ms = sqlite3_column_int64(q, 4);
    out->dead_ms = sqlite3_column_int64(q, 5);
    out->body = copy_text(arena, q, 6);
    out->length = (size_t)sqlite3_column_bytes(q, 6);
    return out->detail && out->body ? OK : ERR_NO_MEMORY;
}

int store_dead_list(struct store *s, int64_t after, int64_t since_ms, size_t limit,
                    struct arena *arena, struct queue_dead_letter *out, size_t *count)
{
    bool row = true;
    int rc = OK;
    sqlite3_stmt *q = STORE_BIND(s, ST_DEAD_LIST, after, (int64_t)limit, since_ms);
    for (*count = 0; *count < limit; ++*count) {
        rc = store_next(s, q, "cannot list the dead letters of", &row);
        if (rc || !row || (rc = copy_dead(arena, q, &out[*count])))
            break;
    }
    sqlite3_reset(q);
    return rc;
}

/* ---- redrive and drop --------------------------------------------------------------------------
 */

static bool parse_id(const char *text, int64_t *id)
{
    char *end;
    *id = strtoll(text, &end, 10);
    return end > text && *end == '\0';
}

static int slice_ids(struct store *s, const struct dead_slice *slice, int64_t *ids, size_t *count)
{
    *count = 0;
    for (size_t i = 0; slice->ids && i < slice->count; i++)
        *count += parse_id(slice->ids[i], &ids[*count]);
    if (slice->ids)
        return OK;
    bool row;
    int rc;
    sqlite3_stmt *q = STORE_BIND(s, ST_DEAD_NEXT, slice->last_id, QUEUE_MAX_BATCH);
    while (!(rc = store_next(s, q, "cannot read", &row)) && row)
        ids[(*count)++] = sqlite3_column_int64(q, 0);
    return rc;
}

/* *found: whether it was dead. */
static int drop_one(struct store *s, int64_t id, bool *found)
{
    int rc = store_run(s, STORE_BIND(s, ST_DEAD_DROP, id), "cannot drop a dead letter of");
    *found = !rc && sqlite3_changes(s->db) == 1;
    s->ledger.dead -= *found;
    return rc;
}

static int redrive_one(struct store *s, int64_t id, bool *found)
{
    int64_t as = s->ledger.last_id + 1;
    int rc = store_run(s, STORE_BIND(s, ST_DEAD_REVIVE, id, as, clock_now(s->clock)),
                       "cannot redrive in");
    if (rc)
        return rc;
    *found = sqlite3_changes(s->db) == 1;
    if (!*found)
        return OK;
    s->ledger.last_id = as;
    s->ledger.fresh++;
    return drop_one(s, id, found);
}

static int take_slice(struct store *s, struct dead_slice *slice,
                      int (*take)(struct store *, int64_t, bool *))
{
    int64_t ids[QUEUE_MAX_BATCH];
    size_t count;
    slice->taken = 0;
    int rc = slice_ids(s, slice, ids, &count);
    for (size_t i = 0; !rc && i < count; i++) {
        bool found;
        rc = take(s, ids[i], &found);
        slice->taken += !rc && found;
    }
    return rc;
}

int store_dead_redrive(struct store *s, struct dead_slice *slice)
{
    return take_slice(s, slice, redrive_one);
}

int store_dead_drop(struct store *s, struct dead_slice *slice)
{
    return take_slice(s, slice, drop_one);
}

/* ---- stats -------------------------------------------------------------------------------------
 */

static int count_leases(struct store *s, int64_t now, struct queue_stats *out)
{
    bool row;
    sqlite3_stmt *q = STORE_BIND(s, ST_LEASE_COUNT, now);
    int rc = store_next(s, q, "cannot count", &row);
    if (!rc && row) {
        out->visible = sqlite3_column_int64(q, 0);
        out->in_flight = sqlite3_column_int64(q, 1);
        out->delayed = sqlite3_column_int64(q, 2);
    }
    sqlite3_reset(q);
    return rc;
}

/* The row's time, if there is a row and it is earlier. */
static int earlier(struct store *s, sqlite3_stmt *q, int64_t *oldest)
{
    bool row;
    int rc = store_next(s, q, "cannot count", &row);
    if (!rc && row && sqlite3_column_int64(q, 0) < *oldest)
        *oldest = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return rc;
}

int store_free_bytes(struct store *s, int64_t *bytes)
{
    bool row;
    sqlite3_stmt *q = s->statements[ST_FREE_PAGES];
    int rc = store_next(s, q, "cannot count", &row);
    *bytes = !rc && row ? sqlite3_column_int64(q, 0) * STORE_PAGE_BYTES : 0;
    sqlite3_reset(q);
    return rc;
}

int store_pending(struct store *s, bool *visible, bool *any)
{
    bool row;
    sqlite3_stmt *q = STORE_BIND(s, ST_LEASE_ANY, clock_now(s->clock));
    int rc = store_next(s, q, "cannot look at", &row);
    *visible = s->ledger.fresh > 0 || (!rc && row && sqlite3_column_int(q, 0));
    *any = s->ledger.fresh > 0 || (!rc && row && sqlite3_column_int(q, 1));
    sqlite3_reset(q);
    return rc;
}

int store_stats(struct store *s, struct queue_stats *out)
{
    int64_t now = clock_now(s->clock), oldest = now;
    *out = (struct queue_stats){0};
    int rc = count_leases(s, now, out);
    if (!rc && out->visible > 0)
        rc = earlier(s, STORE_BIND(s, ST_LEASE_OLDEST, now), &oldest);
    if (!rc && s->ledger.fresh > 0)
        rc = earlier(s, STORE_BIND(s, ST_MESSAGE_OLDEST, s->ledger.head_id), &oldest);
    out->visible += s->ledger.fresh;
    out->dead = s->ledger.dead;
    out->oldest_age_ms = now - oldest;
    return rc;
}
