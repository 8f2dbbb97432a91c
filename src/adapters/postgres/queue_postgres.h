/*
 * queue_postgres.h - the durable queue in a PostgreSQL database (schema "aegis", migration 0007),
 * shared by any number of processes and machines. docs/queue.md tells how it works.
 *
 * Time is the server's: a visibility timeout holds however wrong a worker's clock is.
 *
 * Durability: what send, delete, change_visibility, bury, dead_redrive and dead_drop acknowledge is
 * committed as the server's synchronous_commit has it. A claim alone does not wait for the disk: a
 * crash of the server may undo it, which is one more delivery under the same receive count, so for
 * that one message two receivers may hold the same receipt.
 *
 * Losing the connection: a call that met it is made again on another, without knowing whether the
 * first was committed. So a send may send twice, a delete may report ERR_CONFLICT for
 * what it deleted itself, and messages claimed by the first try come back after their timeout. If
 * the server cannot be reached the error passes to the caller as pg.h sets it; a receive that waits
 * returns it as soon as that is noticed.
 *
 * Order: messages of one group are received in the order they were sent, groups in turn, one
 * message each; messages that were received or delayed, in the order they are due, have half of a
 * batch.
 *
 * Waking: receivers that wait share one connection of the pool, which LISTENs; a sender notifies
 * only when a process has said that it waits. What is missed (a connection cut, a pooler that
 * passes no notifications on) is found by looking, once a second; two if that connection hangs.
 */
#ifndef AEGIS_ADAPTERS_POSTGRES_QUEUE_POSTGRES_H
#define AEGIS_ADAPTERS_POSTGRES_QUEUE_POSTGRES_H

#include "ports/job_queue.h"
#include "shared/clock.h"
#include "shared/pg.h"

struct postgres_queue_options {
    struct pg_pool *pool; /* borrowed; one connection more than there are callers at a time */
    int max_receives;     /* 0: 20 */
    /* For tests. */
    const struct clock *clock; /* instead of the server's; borrowed */
    int64_t advance_every;     /* messages received from one advance to the next; 0: 2000 */
};

/*
 * Does not connect: whether the schema fits is for its caller to ask (database/postgres_migrate.h).
 * Starts a thread, which rests until somebody waits. ERR_NO_MEMORY, ERR_IO. Give it back with
 * out->ops->close(out->ctx), when no method is running and before the pool is closed.
 */
int postgres_queue_open(const struct postgres_queue_options *options, struct job_queue *out);

#endif
