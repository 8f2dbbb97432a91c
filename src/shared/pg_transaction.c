#include <string.h>
#include <unistd.h>

#include "shared/pg_internal.h"
#include "shared/random.h"

int pg_begin(struct pg *c, unsigned flags)
{
    if (c->in_transaction)
        return error_set(ERR_SYSTEMIC, "database_error", "a transaction is under way already");
    c->flags = flags;
    c->in_transaction = c->begin_waits = true;
    return OK;
}

bool pg_in_transaction(const struct pg *c)
{
    return c->in_transaction;
}

void pg_rollback(struct pg *c)
{
    struct error kept = *error_last();
    bool told = c->in_transaction && !c->begin_waits && !c->lost;
    c->pending = OK;
    if (told) {
        if (c->queue_count) /* sent already: what becomes of them does not matter */
            pg_collect(c, NULL, 0, 0);
        if (!c->lost && (pg_send_once(c, "ROLLBACK", NULL, 0) || pg_collect(c, NULL, 0, 0)))
            c->lost = true;
    }
    c->in_transaction = c->begin_waits = false;
    error_restore(&kept);
}

int pg_commit_sync(struct pg *c, struct pg_rows *rows, size_t count)
{
    int rc = OK;
    if (c->begin_waits && !c->pending) { /* nothing was said yet */
        if (count)
            memset(rows, 0, count * sizeof *rows);
        c->in_transaction = c->begin_waits = false;
        return c->lost ? pg_collect(c, NULL, 0, 0) : OK;
    }
    if (!c->pending && !c->lost)
        rc = pg_send_commit(c);
    if (!rc)
        rc = pg_collect(c, rows, 0, count);
    if (rc)
        pg_rollback(c);
    c->in_transaction = false;
    return rc;
}

int pg_commit(struct pg *c)
{
    return pg_commit_sync(c, NULL, 0);
}

/* ---- with retries ---- */

static void pause_before(int try)
{
    unsigned ceiling = 2000u << (try < 6 ? try : 6); /* microseconds */
    usleep((useconds_t)(500 + random_below(ceiling)));
}

static int attempt(struct pg *c, unsigned flags, int (*body)(struct pg *c, void *arg), void *arg)
{
    int rc = pg_begin(c, flags);
    if (!rc)
        rc = body(c, arg);
    if (!rc && c->in_transaction)
        rc = pg_commit(c);
    if (rc)
        pg_rollback(c);
    return rc;
}

int pg_transaction_on(struct pg *c, unsigned flags, int (*body)(struct pg *c, void *arg), void *arg)
{
    int rc = attempt(c, flags, body, arg);
    for (int try = 1; rc && !c->lost && pg_worth_again() && try < PG_TRANSACTION_TRIES; try++) {
        pause_before(try);
        rc = attempt(c, flags, body, arg);
    }
    return rc;
}

int pg_transaction(struct pg_pool *pool, unsigned flags, int64_t wait_ms,
                   const struct cancel *cancel, int (*body)(struct pg *c, void *arg), void *arg)
{
    struct pg *c;
    int rc = pg_acquire(pool, wait_ms, cancel, &c);
    if (rc)
        return rc;
    rc = pg_transaction_on(c, flags, body, arg);
    pg_release(c);
    return rc;
}
