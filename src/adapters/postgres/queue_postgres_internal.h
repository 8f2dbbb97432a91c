/*
 * queue_postgres_internal.h - what the files of the queue in PostgreSQL share.
 */
#ifndef AEGIS_ADAPTERS_POSTGRES_QUEUE_POSTGRES_INTERNAL_H
#define AEGIS_ADAPTERS_POSTGRES_QUEUE_POSTGRES_INTERNAL_H

#include <stdatomic.h>

#include "adapters/postgres/queue_postgres.h"
#include "adapters/postgres/queue_postgres_wake.h"
#include "ports/job_queue.h"
#include "shared/pg.h"

enum { QUEUE_MAX_BATCH = 1000, QUEUE_MAX_DELAY_MS = 7 * 24 * 60 * 60 * 1000 };

struct postgres_queue {
    struct pg_pool *pool;
    const struct clock *clock; /* NULL: the server's */
    int max_receives;
    uint64_t advance_every;
    _Atomic uint64_t turn;       /* receives so far */
    _Atomic int64_t advanced_ms; /* monotonic: when it last looked whether that was due */
    struct notifier notifier;
};

/*
 * Runs one statement on a connection of the pool, again on another if the connection was lost under
 * it, or if a deadlock was to be broken: it may so have been run more than once. A server that
 * cannot be reached is met when the next connection is made, and ends it. `durable`: its commit is
 * on disk.
 */
int queue_call(struct postgres_queue *q, bool durable, const struct cancel *cancel,
               struct pg_rows *rows, const char *sql, const struct pg_value *values, size_t count);

int queue_check_count(size_t count, const char *what);
int queue_check_time(int64_t ms, const char *what);

/* A whole decimal number from 1 to INT64_MAX; false if it is anything else. */
bool queue_parse_id(const char *text, int64_t *out);
/* "<id>.<receives>" */
bool queue_parse_receipt(const char *text, int64_t *id, int64_t *receives);

/* ---- queue_postgres_receive.c ---- */

int queue_receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                  const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                  size_t *count);
int queue_delete(void *ctx, struct queue_receipt *receipts, size_t count);
int queue_change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                            int64_t visibility_ms);

/* ---- queue_postgres_dead.c ---- */

int queue_bury(void *ctx, const char *receipt, const char *reason, const char *detail);
int queue_dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                    struct queue_dead_letter **out, size_t *count);
int queue_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                     struct arena *arena, struct queue_dead_letter **out, size_t *count);
int queue_dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved);
int queue_dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped);

#endif
