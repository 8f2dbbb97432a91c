#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "adapters/postgres/queue_postgres_internal.h"
#include "shared/error.h"
#include "shared/random.h"

enum { RECEIPT_TEXT = 32 };

/* ---- receive -----------------------------------------------------------------------------------
 */

struct claim {
    size_t max, count;
    int64_t visibility_ms;
    struct arena *arena;
    struct queue_message *out;
};

static int copy_out(const struct pg_rows *rows, int row, struct arena *arena,
                    struct queue_message *m)
{
    int64_t id = pg_int(rows, row, 0);
    m->receive_count = (int)pg_int(rows, row, 1);
    m->sent_ms = pg_int(rows, row, 2);
    m->length = pg_length(rows, row, 3);
    m->body = arena_strndup(arena, pg_peek(rows, row, 3), m->length);
    char *receipt = m->body ? arena_alloc(arena, RECEIPT_TEXT) : NULL;
    if (!receipt)
        return ERR_NO_MEMORY;
    snprintf(m->id, sizeof m->id, "%" PRId64, id);
    snprintf(receipt, RECEIPT_TEXT, "%" PRId64 ".%d", id, m->receive_count);
    m->receipt = receipt;
    return OK;
}

/* Those that did not fit into the arena. Keeps the last error. */
static void give_back(struct postgres_queue *q, const struct pg_rows *rows, int from)
{
    static const char SQL[] = "SELECT queue_untake($1, $2)";
    struct error before = *error_last();
    int64_t ids[QUEUE_MAX_BATCH];
    size_t n = 0;
    for (int i = from; i < rows->count; i++)
        ids[n++] = pg_int(rows, i, 0);
    const struct pg_value values[] = {P_INTS(ids, n), notifier_clock(q->clock)};
    (void)queue_call(q, false, NULL, NULL, SQL, values, 2); /* else they come when it times out */
    error_restore(&before);
}

/* What no longer fits into the arena stays on the queue, if at least one message did. */
static int take_rows(struct postgres_queue *q, struct claim *c, const struct pg_rows *rows)
{
    int rc = OK;
    for (int i = 0; !rc && i < rows->count; i++) {
        rc = copy_out(rows, i, c->arena, &c->out[c->count]);
        if (rc)
            give_back(q, rows, i);
        else
            c->count++;
    }
    if (rc && c->count > 0) {
        error_clear();
        return OK;
    }
    return rc;
}

static int claim_once(struct postgres_queue *q, struct claim *c, const struct cancel *cancel)
{
    static const char SQL[] =
        "SELECT message_id, receives, sent_ms, body FROM queue_receive($1, $2, $3, $4, $5)";
    struct pg_rows rows = {0};
    bool busy;
    int rc;
    do {
        const struct pg_value values[] = {
            P_INT((int64_t)c->max), P_INT((int64_t)(atomic_fetch_add(&q->turn, 1) & 1)),
            P_INT(c->visibility_ms), P_INT(q->max_receives), notifier_clock(q->clock)};
        rc = queue_call(q, false, cancel, &rows, SQL, values, 5);
        busy = !rc && rows.count == 1 && pg_int(&rows, 0, 0) == 0;
        if (!rc && !busy)
            rc = take_rows(q, c, &rows);
        pg_rows_free(&rows);
    } while (busy);
    return rc;
}

/* Claims and changes of visibility leave entries behind that later claims walk over. */
static void count_passed(struct postgres_queue *q, size_t count)
{
    int64_t now = clock_monotonic_ms(), last = atomic_load(&q->advanced_ms);
    if (count && random_below(q->advance_every) < count) {
        notifier_advance(q->pool, q->clock, 0);
    } else if (now - last > WAKER_OLD_MS &&
               atomic_compare_exchange_strong(&q->advanced_ms, &last, now)) {
        notifier_advance(q->pool, q->clock, WAKER_OLD_MS);
    } else if (count) {
        atomic_store(&q->notifier.passed, true);
    }
}

static int claim_or_wait(struct postgres_queue *q, struct claim *c, int64_t wait_ms,
                         const struct cancel *cancel)
{
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    for (;;) {
        uint64_t seen = notifier_arrivals(&q->notifier);
        int rc = claim_once(q, c, cancel);
        if (rc || c->count || wait_ms <= 0 || clock_monotonic_ms() >= deadline)
            return rc;
        rc = notifier_wait(&q->notifier, seen, deadline, cancel);
        if (rc)
            return rc;
    }
}

int queue_receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                  const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                  size_t *count)
{
    struct postgres_queue *q = ctx;
    *out = NULL;
    *count = 0;
    int rc = max == 0 ? error_set(ERR_INVALID, NULL, "a receive of no messages")
                      : queue_check_count(max, "messages");
    if (!rc)
        rc = queue_check_time(visibility_ms, "visibility timeout");
    if (rc)
        return rc;
    struct claim c = {.max = max,
                      .visibility_ms = visibility_ms,
                      .arena = arena,
                      .out = arena_array(arena, max, sizeof **out)};
    if (!c.out)
        return ERR_NO_MEMORY;
    rc = claim_or_wait(q, &c, wait_ms, cancel);
    *out = c.out;
    *count = rc ? 0 : c.count;
    if (!rc)
        count_passed(q, *count);
    return rc;
}

/* ---- receipts ----------------------------------------------------------------------------------
 */

struct ref {
    int64_t id, receives;
    struct queue_receipt *receipt;
};

struct refs {
    struct ref items[QUEUE_MAX_BATCH];
    int64_t ids[QUEUE_MAX_BATCH], receives[QUEUE_MAX_BATCH];
    size_t count;
};

static int compare_refs(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id)
                          : (x->receives > y->receives) - (x->receives < y->receives);
}

/* What cannot be parsed has its outcome at once; the rest is void until the server says other. */
static void parse_receipts(struct refs *r, struct queue_receipt *receipts, size_t count)
{
    r->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct ref *ref = &r->items[r->count];
        bool good = queue_parse_receipt(receipts[i].receipt, &ref->id, &ref->receives);
        receipts[i].rc = good ? ERR_CONFLICT : ERR_INVALID;
        ref->receipt = &receipts[i];
        r->count += good;
    }
    qsort(r->items, r->count, sizeof *r->items, compare_refs);
    for (size_t i = 0; i < r->count; i++) {
        r->ids[i] = r->items[i].id;
        r->receives[i] = r->items[i].receives;
    }
}

static bool same_receipt(const struct ref *a, const struct ref *b)
{
    return a->id == b->id && a->receives == b->receives;
}

/* The server names the valid ones. Named twice, a receipt is void the second time if `once`. */
static void mark_valid(struct refs *r, const struct pg_rows *rows, bool once)
{
    for (int row = 0; row < rows->count; row++) {
        struct ref key = {.id = pg_int(rows, row, 0), .receives = pg_int(rows, row, 1)};
        struct ref *end = r->items + r->count;
        struct ref *found = bsearch(&key, r->items, r->count, sizeof key, compare_refs);
        if (!found)
            continue;
        while (found > r->items && same_receipt(found - 1, &key))
            found--;
        do
            found->receipt->rc = OK;
        while (!once && ++found < end && same_receipt(found, &key));
    }
}

/* $1 and $2 are the receipts; `more` are $3 and $4. */
static int call_with_receipts(struct postgres_queue *q, struct queue_receipt *receipts,
                              size_t count, const char *sql, const struct pg_value *more,
                              size_t more_count)
{
    struct pg_value values[4];
    struct pg_rows rows = {0};
    int rc = queue_check_count(count, "receipts");
    if (rc)
        return rc;
    struct refs *r = malloc(sizeof *r);
    if (!r)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu receipts", count);
    parse_receipts(r, receipts, count);
    values[0] = P_INTS(r->ids, r->count);
    values[1] = P_INTS(r->receives, r->count);
    for (size_t i = 0; i < more_count; i++)
        values[2 + i] = more[i];
    if (r->count)
        rc = queue_call(q, true, NULL, &rows, sql, values, 2 + more_count);
    if (!rc)
        mark_valid(r, &rows, more_count == 0);
    pg_rows_free(&rows);
    free(r);
    return rc;
}

int queue_delete(void *ctx, struct queue_receipt *receipts, size_t count)
{
    return call_with_receipts(ctx, receipts, count,
                              "SELECT message_id, receives FROM queue_delete($1, $2)", NULL, 0);
}

int queue_change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                            int64_t visibility_ms)
{
    struct postgres_queue *q = ctx;
    int rc = queue_check_time(visibility_ms, "visibility timeout");
    const struct pg_value more[] = {P_INT(visibility_ms), notifier_clock(q->clock)};
    if (!rc)
        rc = call_with_receipts(q, receipts, count,
                                "SELECT message_id, receives FROM queue_hide($1, $2, $3, $4)", more,
                                2);
    if (!rc) {
        count_passed(q, count);
        notifier_announce(&q->notifier);
    }
    return rc;
}
