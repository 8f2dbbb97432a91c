#include <stdio.h>
#include <string.h>

#include "adapters/postgres/queue_postgres_internal.h"
#include "shared/error.h"

int queue_bury(void *ctx, const char *receipt, const char *reason, const char *detail)
{
    static const char SQL[] = "SELECT queue_bury($1, $2, $3, $4, $5)";
    struct postgres_queue *q = ctx;
    struct pg_rows rows = {0};
    char code[QUEUE_REASON_TEXT];
    int64_t id, receives;
    if (!queue_parse_receipt(receipt, &id, &receives))
        return error_set(ERR_INVALID, NULL, "'%.64s' is not a receipt of this queue",
                         receipt ? receipt : "");
    snprintf(code, sizeof code, "%s", reason);
    const struct pg_value values[] = {P_INT(id), P_INT(receives), P_TEXT(code),
                                      P_TEXT(detail ? detail : ""), notifier_clock(q->clock)};
    int rc = queue_call(q, true, NULL, &rows, SQL, values, 5);
    if (!rc && rows.count == 0)
        rc = error_set(ERR_CONFLICT, NULL,
                       "receipt '%s' is void: its message was received again or is gone", receipt);
    pg_rows_free(&rows);
    return rc;
}

static int copy_letter(const struct pg_rows *rows, int row, struct arena *arena,
                       struct queue_dead_letter *d)
{
    snprintf(d->id, sizeof d->id, "%lld", (long long)pg_int(rows, row, 0));
    pg_copy(rows, row, 1, d->reason, sizeof d->reason);
    d->detail = pg_text(rows, row, 2, arena);
    d->receive_count = (int)pg_int(rows, row, 3);
    d->sent_ms = pg_int(rows, row, 4);
    d->dead_ms = pg_int(rows, row, 5);
    d->length = pg_length(rows, row, 6);
    d->body = arena_strndup(arena, pg_peek(rows, row, 6), d->length);
    return d->detail && d->body ? OK : ERR_NO_MEMORY;
}

int queue_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                     struct arena *arena, struct queue_dead_letter **out, size_t *count)
{
    static const char SQL[] =
        "SELECT message_id, reason, detail, receives, sent_ms, dead_ms, body FROM queue_dead "
        "WHERE message_id > $1 AND dead_ms >= $3 ORDER BY message_id LIMIT $2";
    struct postgres_queue *q = ctx;
    struct pg_rows rows = {0};
    int64_t id = 0;
    if (limit > QUEUE_MAX_BATCH)
        limit = QUEUE_MAX_BATCH;
    *count = 0;
    *out = arena_array(arena, limit, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    if (!queue_parse_id(after, &id))
        id = 0;
    const struct pg_value values[] = {P_INT(id), P_INT((int64_t)limit), P_INT(since_ms)};
    int rc = queue_call(q, true, NULL, &rows, SQL, values, 3);
    for (int i = 0; !rc && i < rows.count; i++)
        rc = copy_letter(&rows, i, arena, &(*out)[i]);
    *count = rc ? 0 : (size_t)rows.count;
    pg_rows_free(&rows);
    return rc;
}

int queue_dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                    struct queue_dead_letter **out, size_t *count)
{
    return queue_dead_since(ctx, INT64_MIN, after, limit, arena, out, count);
}

/* ---- taking them -------------------------------------------------------------------------------
 */

/* Those that are dead when it begins: what is redriven, and may die again meanwhile, has a new and
 * higher id. */
struct all_dead {
    int64_t after, last;
};

static int begin_all(struct postgres_queue *q, struct all_dead *all)
{
    struct pg_rows rows = {0};
    int rc = queue_call(q, true, NULL, &rows, "SELECT max(message_id) FROM queue_dead", NULL, 0);
    *all = (struct all_dead){.last = rc ? 0 : pg_int(&rows, 0, 0)};
    pg_rows_free(&rows);
    return rc;
}

static int next_of_all(struct postgres_queue *q, struct all_dead *all, int64_t *ids, size_t *count)
{
    static const char SQL[] = "SELECT message_id FROM queue_dead WHERE message_id > $1 AND "
                              "message_id <= $2 ORDER BY message_id LIMIT $3";
    const struct pg_value values[] = {P_INT(all->after), P_INT(all->last), P_INT(QUEUE_MAX_BATCH)};
    struct pg_rows rows = {0};
    int rc = queue_call(q, true, NULL, &rows, SQL, values, 3);
    *count = rc ? 0 : (size_t)rows.count;
    for (size_t i = 0; i < *count; i++)
        all->after = ids[i] = pg_int(&rows, (int)i, 0);
    pg_rows_free(&rows);
    return rc;
}

static size_t next_of_some(const char *const *texts, size_t count, size_t *at, int64_t *ids)
{
    size_t n = 0;
    for (; *at < count && n < QUEUE_MAX_BATCH; ++*at)
        n += queue_parse_id(texts[*at], &ids[n]);
    return n;
}

/* In slices, so that a million dead letters do not make one transaction. $1 are ids; the statement
 * gives the number of those that were dead. */
static int take_dead(struct postgres_queue *q, const char *const *texts, size_t count,
                     int64_t *taken, const char *sql, const struct pg_value *more,
                     size_t more_count)
{
    struct all_dead all = {0};
    int64_t ids[QUEUE_MAX_BATCH];
    size_t at = 0, n = 0;
    *taken = 0;
    int rc = texts ? OK : begin_all(q, &all);
    while (!rc) {
        struct pg_value values[2];
        struct pg_rows rows = {0};
        if (texts)
            n = next_of_some(texts, count, &at, ids);
        else
            rc = next_of_all(q, &all, ids, &n);
        if (rc || n == 0)
            break;
        values[0] = P_INTS(ids, n);
        memcpy(&values[1], more, more_count * sizeof *more);
        rc = queue_call(q, true, NULL, &rows, sql, values, 1 + more_count);
        *taken += rc ? 0 : pg_int(&rows, 0, 0);
        pg_rows_free(&rows);
    }
    return rc;
}

int queue_dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved)
{
    struct postgres_queue *q = ctx;
    struct pg_value now = notifier_clock(q->clock);
    int rc = take_dead(q, ids, count, moved, "SELECT queue_redrive($1, $2)", &now, 1);
    notifier_announce(&q->notifier);
    return rc;
}

int queue_dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped)
{
    static const char SQL[] = "WITH gone AS (DELETE FROM queue_dead WHERE message_id = ANY ($1) "
                              "RETURNING 1) SELECT count(*) FROM gone";
    const struct pg_value none[1] = {P_INT(0)};
    return take_dead(ctx, ids, count, dropped, SQL, none, 0);
}
