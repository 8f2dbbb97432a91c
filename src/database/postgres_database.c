#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/migrations.h"
#include "database/postgres_internal.h"
#include "database/postgres_migrate.h"
#include "shared/random.h"

enum { DEFAULT_CONNECTIONS = 8, DEFAULT_WAIT_MS = 5000, DEFAULT_OUTBOX_ROWS = 1000000 };
static const int64_t DEFAULT_OUTBOX_MS = 7LL * 24 * 3600 * 1000;

/* ---- clocks ---- */

int64_t store_now(struct store *s)
{
    if (s->clock_rules)
        return clock_now(s->clock);
    return clock_monotonic_ms() + atomic_load(&s->server_offset);
}

int64_t store_time(struct store *s, int64_t caller_ms)
{
    return caller_ms - clock_now(s->clock) + store_now(s);
}

/* The answer is taken to be as old as half of what the question took. */
int store_measure_clock(struct store *s, struct pg *c)
{
    int64_t server_ms, asked = clock_monotonic_ms();
    int rc = pg_number(c, &server_ms, 0,
                       "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", NULL, 0);
    int64_t answered = clock_monotonic_ms();
    if (!rc)
        atomic_store(&s->server_offset, server_ms - (asked + (answered - asked) / 2));
    return rc;
}

/* ---- connections ---- */

int store_hold(struct store *s, struct pg **out)
{
    return pg_acquire(s->pool, s->wait_ms, NULL, out);
}

int store_run(struct store *s, unsigned flags, int (*body)(struct pg *c, void *arg), void *arg)
{
    return pg_transaction(s->pool, flags, s->wait_ms, NULL, body, arg);
}

/* ---- opening ---- */

static void store_close(void *ctx)
{
    struct store *s = ctx;
    spaces_free(s);
    pg_pool_close(s->pool);
    free(s);
}

static const struct database_ops ops = {
    .name = "postgres", .close = store_close,

    /* writing */

    /* reading */

};

static int check(struct store *s)
{
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = postgres_schema_check(c, migrations_postgres, migrations_postgres_count);
    if (!rc)
        rc = store_measure_clock(s, c);
    pg_release(c);
    return rc;
}

static int open_parts(struct store *s, const struct postgres_database_options *o)
{
    struct pg_settings settings = {.connections =
                                       o->connections > 0 ? o->connections : DEFAULT_CONNECTIONS};
    int rc = pg_pool_open(o->url, &settings, &s->pool);
    return rc ? rc : check(s);
}

int postgres_database_open(const struct postgres_database_options *options, struct database *out)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the database");
    s->clock = options->clock ? options->clock : clock_system();
    s->clock_rules = options->clock && options->clock_rules;
    s->wait_ms = options->wait_ms > 0 ? options->wait_ms : DEFAULT_WAIT_MS;
    s->outbox_rows = options->outbox_rows > 0 ? options->outbox_rows : DEFAULT_OUTBOX_ROWS;
    s->outbox_ms = options->outbox_ms > 0 ? options->outbox_ms : DEFAULT_OUTBOX_MS;
    s->slot = (int)random_below(TOTAL_SLOTS);
    pthread_mutex_init(&s->spaces.lock, NULL);
    int rc = open_parts(s, options);
    if (rc) {
        struct error e = *error_last();
        store_close(s);
        return error_restore(&e);
    }
    *out = (struct database){.ops = &ops, .ctx = s};
    return OK;
}

int postgres_database_settle(struct database *database)
{
    (void)database;
    return OK;
}
