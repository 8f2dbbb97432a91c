#include "adapters/local/queue_sqlite_store.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/local/queue_sqlite_statement.h"
#include "shared/error.h"

enum {
    NEAR_IDS = 64, /* ids no further apart share a timer: what its scan may step over in vain */
    DECIMAL_TEXT = 24,
    RECEIPT_TEXT = 48
};

/* ---- statements --------------------------------------------------------------------------------
 */

sqlite3_stmt *store_bind(struct store *s, enum statement statement, const int64_t *values,
                         int count)
{
    sqlite3_stmt *q = s->statements[statement];
    for (int i = 0; i < count; i++)
        sqlite3_bind_int64(q, i + 1, values[i]);
    return q;
}

int store_run(struct store *s, sqlite3_stmt *q, const char *doing)
{
    int step = sqlite3_step(q);
    int rc = step == SQLITE_DONE ? OK : store_error(s, doing);
    sqlite3_reset(q);
    return rc;
}

int store_next(struct store *s, sqlite3_stmt *q, const char *doing, bool *row)
{
    int step = sqlite3_step(q);
    *row = step == SQLITE_ROW;
    if (*row)
        return OK;
    int rc = step == SQLITE_DONE ? OK : store_error(s, doing);
    sqlite3_reset(q);
    return rc;
}

/* ---- transactions ------------------------------------------------------------------------------
 */

static int set_sync(struct store *s, bool full)
{
    if (s->full_sync == full)
        return OK;
    const char *sql = full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL))
        return store_error(s, "cannot use");
    s->full_sync = full;
    return OK;
}

static int read_ledger(struct store *s)
{
    bool row;
    sqlite3_stmt *q = s->statements[ST_LEDGER_GET];
    int rc = store_next(s, q, "cannot read", &row);
    if (rc)
        return rc;
    if (!row)
        return error_set(ERR_SYSTEMIC, "queue_corrupt", "queue '%s' has lost its ledger", s->path);
    s->ledger = (struct ledger){.last_id = sqlite3_column_int64(q, 0),
                                .head_id = sqlite3_column_int64(q, 1),
                                .fresh = sqlite3_column_int64(q, 2),
                                .dead = sqlite3_column_int64(q, 3)};
    s->recorded = s->ledger;
    sqlite3_reset(q);
    return OK;
}

int store_begin(struct store *s, bool durable)
{
    int rc = set_sync(s, durable);
    if (!rc)
        rc = store_run(s, s->statements[ST_BEGIN], "cannot use");
    if (!rc)
        rc = read_ledger(s);
    return rc;
}

static int write_ledger(struct store *s)
{
    const struct ledger *l = &s->ledger;
    if (memcmp(l, &s->recorded, sizeof *l) == 0)
        return OK;
    return store_run(s, STORE_BIND(s, ST_LEDGER_PUT, l->last_id, l->head_id, l->fresh, l->dead),
                     "cannot write to");
}

int store_commit(struct store *s)
{
    int rc = write_ledger(s);
    return rc ? rc : store_run(s, s->statements[ST_COMMIT], "cannot write to");
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db)) {
        sqlite3_step(s->statements[ST_ROLLBACK]);
        sqlite3_reset(s->statements[ST_ROLLBACK]);
    }
}

/* ---- ids, receipts, timers ---------------------------------------------------------------------
 */

static char *put_decimal(char *p, int64_t value)
{
    char digits[DECIMAL_TEXT];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *p++ = digits[--n];
    *p = '\0';
    return p;
}

static const char *get_decimal(const char *p, int64_t limit, int64_t *value)
{
    const char *start = p;
    for (*value = 0; *p >= '0' && *p <= '9'; p++) {
        if (*value > (limit - (*p - '0')) / 10)
            return NULL;
        *value = *value * 10 + (*p - '0');
    }
    return p > start ? p : NULL;
}

int receipt_parse(const char *text, struct receipt_ref *out)
{
    int64_t receives;
    const char *p = text ? get_decimal(text, INT64_MAX, &out->id) : NULL;
    if (!p || *p != '.')
        return ERR_INVALID;
    p = get_decimal(p + 1, INT32_MAX, &receives);
    if (!p || *p != '\0' || receives == 0)
        return ERR_INVALID;
    out->receives = (int)receives;
    return OK;
}

int store_add_timers(struct store *s, int64_t due_ms, const int64_t *ids, size_t count)
{
    size_t first = 0;
    for (size_t i = 1; i <= count; i++) {
        if (i < count && ids[i] - ids[i - 1] <= NEAR_IDS)
            continue;
        int rc = store_run(s, STORE_BIND(s, ST_TIMER_ADD, due_ms, ids[first], ids[i - 1]),
                           "cannot write to");
        if (rc)
            return rc;
        first = i;
    }
    return OK;
}

/* ---- send --------------------------------------------------------------------------------------
 */

static int add_message(struct store *s, int64_t id, int64_t now, const struct queue_send *m)
{
    sqlite3_stmt *q = STORE_BIND(s, ST_MESSAGE_ADD, id, now, m->delay_ms > 0);
    if (m->group && *m->group)
        sqlite3_bind_text(q, 4, m->group, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(q, 4);
    sqlite3_bind_text(q, 5, m->length ? m->body : "", (int)m->length, SQLITE_STATIC);
    return store_run(s, q, "cannot send to");
}

static int add_delay(struct store *s, int64_t id, int64_t visible_ms)
{
    int rc = store_run(s, STORE_BIND(s, ST_LEASE_ADD, id, visible_ms, 0), "cannot send to");
    return rc ? rc : store_add_timers(s, visible_ms, &id, 1);
}

int store_send(struct store *s, const struct queue_send *messages, size_t count,
               char (*ids)[QUEUE_ID_TEXT])
{
    int64_t now = clock_now(s->clock);
    for (size_t i = 0; i < count; i++) {
        int64_t id = ++s->ledger.last_id;
        int rc = add_message(s, id, now, &messages[i]);
        if (!rc && messages[i].delay_ms > 0)
            rc = add_delay(s, id, now + messages[i].delay_ms);
        if (rc)
            return rc;
        s->ledger.fresh += messages[i].delay_ms == 0;
        if (ids)
            put_decimal(ids[i], id);
    }
    return OK;
}

/* ---- receive -----------------------------------------------------------------------------------
 */

/* One call's progress. */
struct claim {
    size_t max, count, killed;
    int64_t now, visible_ms;
    struct arena *arena;
    struct queue_message *out;
    bool arena_full; /* after the first message this only ends the batch */
    int64_t ids[QUEUE_MAX_BATCH];
};

/* Copies a message out of a row whose columns `sent` and `sent` + 1 are sent_ms and body. */
static int copy_out(struct claim *c, sqlite3_stmt *row, int sent, int64_t id, int receives)
{
    struct queue_message *m = &c->out[c->count];
    const char *body = (const char *)sqlite3_column_text(row, sent + 1);
    m->length = (size_t)sqlite3_column_bytes(row, sent + 1);
    if (!body && m->length)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a message");
    m->body = arena_strndup(c->arena, body ? body : "", m->length);
    char *receipt = m->body ? arena_alloc(c->arena, RECEIPT_TEXT) : NULL;
    if (!receipt) {
        c->arena_full = true;
        return ERR_NO_MEMORY;
    }
    char *p = put_decimal(receipt, id);
    *p++ = '.';
    put_decimal(p, receives);
    put_decimal(m->id, id);
    m->receipt = receipt;
    m->receive_count = receives;
    m->sent_ms = sqlite3_column_int64(row, sent);
    c->ids[c->count++] = id;
    return OK;
}

/* Receives a message again, or lets it die of having been received too often. */
static int claim_again(struct store *s, struct claim *c, int64_t id, int receives)
{
    if (receives >= s->max_receives && ++c->killed)
        return store_kill(s, id, receives, "max_receives", "", c->now);
    bool row;
    sqlite3_stmt *q = STORE_BIND(s, ST_MESSAGE_GET, id);
    int rc = store_next(s, q, "cannot receive from", &row);
    if (rc)
        return rc;
    if (!row)
        return error_set(ERR_SYSTEMIC, "queue_corrupt", "queue '%s' has lost message %lld", s->path,
                         (long long)id);
    rc = copy_out(c, q, 0, id, receives + 1);
    sqlite3_reset(q);
    if (!rc)
        rc = store_run(s, STORE_BIND(s, ST_LEASE_CLAIM, id, c->visible_ms, receives + 1),
                       "cannot receive from");
    return rc;
}

/* Receives what is due under one timer; drops the timer, or moves it on to what is left. */
static int claim_timer(struct store *s, struct claim *c, int64_t due, int64_t first, int64_t last)
{
    struct receipt_ref due_now[QUEUE_MAX_BATCH];
    size_t n = 0, room = c->max - c->count;
    bool row;
    sqlite3_stmt *q = STORE_BIND(s, ST_LEASE_DUE, first, last, c->now, (int64_t)room);
    int rc;
    while (!(rc = store_next(s, q, "cannot receive from", &row)) && row)
        due_now[n++] = (struct receipt_ref){.id = sqlite3_column_int64(q, 0),
                                            .receives = sqlite3_column_int(q, 1)};
    for (size_t i = 0; !rc && i < n; i++)
        rc = claim_again(s, c, due_now[i].id, due_now[i].receives);
    if (!rc)
        rc = store_run(s, STORE_BIND(s, ST_TIMER_DROP, due, first, last), "cannot receive from");
    if (!rc && n == room && due_now[n - 1].id < last)
        rc = store_run(s, STORE_BIND(s, ST_TIMER_ADD, due, due_now[n - 1].id + 1, last),
                       "cannot receive from");
    return rc;
}

/* However many have been received too often, one call buries a batch of them. */
static int claim_due(struct store *s, struct claim *c)
{
    while (c->count < c->max && c->killed < QUEUE_MAX_BATCH) {
        bool row;
        sqlite3_stmt *q = s->statements[ST_TIMER_FIRST];
        int rc = store_next(s, q, "cannot receive from", &row);
        if (rc || !row)
            return rc;
        int64_t due = sqlite3_column_int64(q, 0), first = sqlite3_column_int64(q, 1),
                last = sqlite3_column_int64(q, 2);
        sqlite3_reset(q);
        if (due > c->now)
            return OK;
        rc = claim_timer(s, c, due, first, last);
        if (rc)
            return rc;
    }
    return OK;
}

/* Those after head_id without a delay were never received. */
static int claim_fresh(struct store *s, struct claim *c)
{
    bool row = true;
    int rc = OK;
    sqlite3_stmt *q = STORE_BIND(s, ST_MESSAGE_NEXT, s->ledger.head_id);
    while (!rc && c->count < c->max && s->ledger.fresh > 0) {
        rc = store_next(s, q, "cannot receive from", &row);
        if (rc || !row)
            break;
        int64_t id = sqlite3_column_int64(q, 0);
        if (!sqlite3_column_int(q, 1)) {
            rc = copy_out(c, q, 2, id, 1);
            if (!rc)
                rc = store_run(s, STORE_BIND(s, ST_LEASE_ADD, id, c->visible_ms, 1),
                               "cannot receive from");
            s->ledger.fresh -= rc == OK;
        }
        if (!rc)
            s->ledger.head_id = id;
    }
    sqlite3_reset(q);
    return rc;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Timers of what was claimed: again claimed ones may be in any order, fresh ones are sorted. */
static int add_claim_timers(struct store *s, struct claim *c, size_t again)
{
    if (again)
        qsort(c->ids, c->count, sizeof *c->ids, compare_ids);
    return store_add_timers(s, c->visible_ms, c->ids, c->count);
}

static int next_due(struct store *s, int64_t *out)
{
    bool row;
    sqlite3_stmt *q = s->statements[ST_TIMER_FIRST];
    int rc = store_next(s, q, "cannot receive from", &row);
    *out = !rc && row ? sqlite3_column_int64(q, 0) : INT64_MAX;
    sqlite3_reset(q);
    return rc;
}

int store_receive(struct store *s, size_t max, int64_t visibility_ms, struct arena *arena,
                  struct queue_message *out, size_t *count, int64_t *next_due_ms)
{
    struct claim c = {.max = max, .arena = arena, .out = out, .now = clock_now(s->clock)};
    c.visible_ms = c.now + (visibility_ms > 0 ? visibility_ms : 1); /* not twice in one call */
    int rc = claim_due(s, &c);
    size_t again = c.count;
    if (!rc)
        rc = claim_fresh(s, &c);
    if (rc && c.arena_full && c.count > 0) {
        error_clear();
        rc = OK;
    }
    if (!rc)
        rc = add_claim_timers(s, &c, again);
    *next_due_ms = INT64_MAX;
    if (!rc && c.count == 0)
        rc = next_due(s, next_due_ms);
    *count = rc ? 0 : c.count;
    return rc;
}

/* ---- receipts ----------------------------------------------------------------------------------
 */

/* Valid messages with successive ids and the same due time, to be cut with one statement each. */
struct span {
    int64_t first, last, due_ms; /* empty while last < first */
};

static int cut(struct store *s, const struct span *span)
{
    if (span->last < span->first)
        return OK;
    int rc =
        store_run(s, STORE_BIND(s, ST_LEASE_CUT, span->first, span->last), "cannot delete from");
    if (!rc)
        rc = store_run(s, STORE_BIND(s, ST_MESSAGE_CUT, span->first, span->last),
                       "cannot delete from");
    if (!rc)
        rc = store_run(s, STORE_BIND(s, ST_TIMER_CUT, span->due_ms, span->first, span->last),
                       "cannot delete from");
    return rc;
}

static int extend_or_cut(struct store *s, struct span *span, int64_t id, int64_t due_ms)
{
    if (span->last >= span->first && id == span->last + 1 && due_ms == span->due_ms) {
        span->last = id;
        return OK;
    }
    int rc = cut(s, span);
    *span = (struct span){.first = id, .last = id, .due_ms = due_ms};
    return rc;
}

/* The receipts refs[0..count) name successive ids: one scan of their leases tells which are valid.
 */
static int check_stretch(struct store *s, const struct receipt_ref *refs, size_t count,
                         int64_t *due_ms)
{
    bool row;
    int rc;
    size_t i = 0;
    sqlite3_stmt *q = STORE_BIND(s, ST_LEASE_RANGE, refs[0].id, refs[count - 1].id);
    for (size_t k = 0; k < count; k++)
        due_ms[k] = -1;
    while (!(rc = store_next(s, q, "cannot delete from", &row)) && row) {
        int64_t id = sqlite3_column_int64(q, 0);
        while (i < count && refs[i].id < id)
            i++;
        for (; i < count && refs[i].id == id && due_ms[i] < 0; i++)
            if (refs[i].receives == sqlite3_column_int(q, 1)) {
                due_ms[i] = sqlite3_column_int64(q, 2);
                break; /* a receipt named twice is void the second time */
            }
    }
    return rc;
}

static size_t stretch_length(const struct receipt_ref *refs, size_t count)
{
    size_t n = 1;
    while (n < count && refs[n].id - refs[n - 1].id <= 1)
        n++;
    return n;
}

int store_delete(struct store *s, const struct receipt_ref *refs, size_t count,
                 struct queue_receipt *receipts)
{
    int64_t due_ms[QUEUE_MAX_BATCH];
    for (size_t at = 0, n; at < count; at += n) {
        n = stretch_length(refs + at, count - at);
        struct span span = {.first = 0, .last = -1};
        int rc = check_stretch(s, refs + at, n, due_ms);
        for (size_t i = 0; !rc && i < n; i++) {
            receipts[refs[at + i].index].rc = due_ms[i] < 0 ? ERR_CONFLICT : OK;
            if (due_ms[i] >= 0)
                rc = extend_or_cut(s, &span, refs[at + i].id, due_ms[i]);
        }
        if (!rc)
            rc = cut(s, &span);
        if (rc)
            return rc;
    }
    return OK;
}

int store_change_visibility(struct store *s, const struct receipt_ref *refs, size_t count,
                            int64_t visibility_ms, struct queue_receipt *receipts)
{
    int64_t visible_ms = clock_now(s->clock) + visibility_ms, ids[QUEUE_MAX_BATCH];
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        int rc = store_run(s, STORE_BIND(s, ST_LEASE_SET, refs[i].id, refs[i].receives, visible_ms),
                           "cannot change visibility in");
        if (rc)
            return rc;
        bool valid = sqlite3_changes(s->db) == 1;
        receipts[refs[i].index].rc = valid ? OK : ERR_CONFLICT;
        if (valid)
            ids[changed++] = refs[i].id;
    }
    return store_add_timers(s, visible_ms, ids, changed);
}
