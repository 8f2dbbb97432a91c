#include "adapters/postgres/queue_postgres.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/postgres/queue_postgres_internal.h"
#include "shared/caps.h"
#include "shared/error.h"

enum {
    DEFAULT_MAX_RECEIVES = 20,
    ACQUIRE_WAIT_MS = 5000,
    CONFLICT_TRIES = 3,
    LOST_TRIES =
        9, /* what cut one connection cut the pool's others: each is found out by its use */
    /* What a claim walks over at most that is gone, about: docs/queue.md has what it costs. */
    ADVANCE_EVERY = 2000,
};

/* ---- statements --------------------------------------------------------------------------------
 */

static int run(struct pg *c, bool durable, struct pg_rows *rows, const char *sql,
               const struct pg_value *values, size_t count)
{
    if (durable)
        return pg_query(c, rows, sql, values, count);
    int rc = pg_begin(c, PG_NOT_DURABLE);
    if (!rc)
        rc = pg_send(c, sql, values, count);
    return rc ? rc : pg_commit_sync(c, rows, rows ? 1 : 0);
}

static bool again(int rc, int tries)
{
    if (pg_worth_again())
        return tries < CONFLICT_TRIES;
    return rc == ERR_SYSTEMIC && tries < LOST_TRIES &&
           strcmp(error_last()->reason, "database_unreachable") == 0;
}

int queue_call(struct postgres_queue *q, bool durable, const struct cancel *cancel,
               struct pg_rows *rows, const char *sql, const struct pg_value *values, size_t count)
{
    int rc, tries = 0;
    do {
        struct pg *c;
        rc = pg_acquire(q->pool, ACQUIRE_WAIT_MS, cancel, &c);
        if (rc)
            return rc;
        rc = run(c, durable, rows, sql, values, count);
        pg_release(c);
    } while (rc && again(rc, ++tries));
    return rc;
}

int queue_check_count(size_t count, const char *what)
{
    if (count > QUEUE_MAX_BATCH)
        return error_set(ERR_INVALID, NULL, "%zu %s in one call; the limit is %d", count, what,
                         QUEUE_MAX_BATCH);
    return OK;
}

int queue_check_time(int64_t ms, const char *what)
{
    if (ms < 0 || ms > QUEUE_MAX_DELAY_MS)
        return error_set(ERR_INVALID, NULL, "a %s of %" PRId64 " ms; the limit is %d ms", what, ms,
                         QUEUE_MAX_DELAY_MS);
    return OK;
}

static const char *parse_decimal(const char *p, int64_t limit, int64_t *value)
{
    const char *start = p;
    for (*value = 0; *p >= '0' && *p <= '9'; p++) {
        if (*value > (limit - (*p - '0')) / 10)
            return NULL;
        *value = *value * 10 + (*p - '0');
    }
    return p > start && *value > 0 ? p : NULL;
}

bool queue_parse_id(const char *text, int64_t *out)
{
    const char *p = text ? parse_decimal(text, INT64_MAX, out) : NULL;
    return p && *p == '\0';
}

bool queue_parse_receipt(const char *text, int64_t *id, int64_t *receives)
{
    const char *p = text ? parse_decimal(text, INT64_MAX, id) : NULL;
    if (!p || *p != '.')
        return false;
    p = parse_decimal(p + 1, INT32_MAX, receives);
    return p && *p == '\0';
}

/* ---- send --------------------------------------------------------------------------------------
 */

static int check_message(const struct queue_send *m)
{
    if (m->length > CAP_MESSAGE_BODY)
        return error_set(ERR_TOO_LARGE, "too_large",
                         "a message body of %zu bytes; the limit is %zu", m->length,
                         (size_t)CAP_MESSAGE_BODY);
    if (m->group && strlen(m->group) >= QUEUE_GROUP_TEXT)
        return error_set(ERR_INVALID, NULL, "group '%.40s...' is longer than %d bytes", m->group,
                         QUEUE_GROUP_TEXT - 1);
    return queue_check_time(m->delay_ms, "delay");
}

struct columns {
    struct pg_bytes bodies[QUEUE_MAX_BATCH];
    const char *groups[QUEUE_MAX_BATCH];
    int64_t delays[QUEUE_MAX_BATCH];
};

static int to_columns(const struct queue_send *messages, size_t count, struct columns *out)
{
    for (size_t i = 0; i < count; i++) {
        int rc = check_message(&messages[i]);
        if (rc)
            return rc;
        out->bodies[i] = (struct pg_bytes){.data = messages[i].length ? messages[i].body : "",
                                           .length = messages[i].length};
        out->groups[i] = messages[i].group ? messages[i].group : "";
        out->delays[i] = messages[i].delay_ms;
    }
    return OK;
}

static int queue_send(void *ctx, const struct queue_send *messages, size_t count,
                      char (*ids)[QUEUE_ID_TEXT])
{
    static const char SQL[] = "SELECT queue_send($1, $2, $3, $4)";
    struct postgres_queue *q = ctx;
    struct pg_rows rows = {0};
    int rc = queue_check_count(count, "messages");
    if (rc || count == 0)
        return rc;
    struct columns *columns = malloc(sizeof *columns);
    if (!columns)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu messages", count);
    rc = to_columns(messages, count, columns);
    if (rc)
        goto cleanup;
    const struct pg_value values[] = {P_TEXTNS(columns->bodies, count),
                                      P_TEXTS(columns->groups, count),
                                      P_INTS(columns->delays, count), notifier_clock(q->clock)};
    rc = queue_call(q, true, NULL, &rows, SQL, values, 4);
    for (size_t i = 0; !rc && ids && i < count; i++)
        snprintf(ids[i], QUEUE_ID_TEXT, "%" PRId64, pg_int(&rows, (int)i, 0));
    if (!rc)
        notifier_announce(&q->notifier);
cleanup:
    pg_rows_free(&rows);
    free(columns);
    return rc;
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

static int queue_stats(void *ctx, struct queue_stats *out)
{
    static const char SQL[] =
        "SELECT visible, in_flight, delayed, dead, oldest_age_ms FROM queue_stats($1)";
    struct postgres_queue *q = ctx;
    struct pg_value now = notifier_clock(q->clock);
    struct pg_rows rows = {0};
    int rc = queue_call(q, true, NULL, &rows, SQL, &now, 1);
    if (!rc)
        *out = (struct queue_stats){.visible = pg_int(&rows, 0, 0),
                                    .in_flight = pg_int(&rows, 0, 1),
                                    .delayed = pg_int(&rows, 0, 2),
                                    .dead = pg_int(&rows, 0, 3),
                                    .oldest_age_ms = pg_int(&rows, 0, 4)};
    pg_rows_free(&rows);
    return rc;
}

/* A look that waits for nothing announces nobody. */
static int queue_pending(void *ctx, bool *visible, bool *any)
{
    static const char SQL[] =
        "WITH clock AS MATERIALIZED (SELECT coalesce($1, queue_now()) AS now_ms) "
        "SELECT look.ready, look.ready OR EXISTS (SELECT FROM queue_message m "
        "WHERE m.visible_ms > 0 AND m.visible_ms > clock.now_ms) "
        "FROM clock, queue_look(clock.now_ms, 0) look";
    struct postgres_queue *q = ctx;
    struct pg_value now = notifier_clock(q->clock);
    struct pg_rows rows = {0};
    int rc = queue_call(q, true, NULL, &rows, SQL, &now, 1);
    *visible = !rc && pg_int(&rows, 0, 0);
    *any = !rc && pg_int(&rows, 0, 1);
    pg_rows_free(&rows);
    return rc;
}

static void queue_limits(void *ctx, struct queue_limits *out)
{
    struct postgres_queue *q = ctx;
    *out = (struct queue_limits){.max_batch = QUEUE_MAX_BATCH,
                                 .max_body = CAP_MESSAGE_BODY,
                                 .max_delay_ms = QUEUE_MAX_DELAY_MS,
                                 .max_visibility_ms = QUEUE_MAX_DELAY_MS,
                                 .max_receives = q->max_receives};
}

static void queue_close(void *ctx)
{
    struct postgres_queue *q = ctx;
    notifier_close(&q->notifier);
    free(q);
}

static const struct job_queue_ops queue_ops = {
    .name = "postgres",
    .close = queue_close,
    .limits = queue_limits,
    .send = queue_send,
    .receive = queue_receive,
    .delete = queue_delete,
    .change_visibility = queue_change_visibility,
    .bury = queue_bury,
    .dead_list = queue_dead_list,
    .dead_since = queue_dead_since,
    .dead_redrive = queue_dead_redrive,
    .dead_drop = queue_dead_drop,
    .stats = queue_stats,
    .pending = queue_pending,
};

int postgres_queue_open(const struct postgres_queue_options *options, struct job_queue *out)
{
    struct postgres_queue *q = calloc(1, sizeof *q);
    if (!q)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the queue in '%s'",
                         pg_pool_name(options->pool));
    q->pool = options->pool;
    q->clock = options->clock;
    q->max_receives = options->max_receives > 0 ? options->max_receives : DEFAULT_MAX_RECEIVES;
    q->advance_every =
        options->advance_every > 0 ? (uint64_t)options->advance_every : ADVANCE_EVERY;
    int rc = notifier_open(&q->notifier, q->pool, q->clock);
    if (rc) {
        free(q);
        return rc;
    }
    *out = (struct job_queue){.ops = &queue_ops, .ctx = q};
    return OK;
}
