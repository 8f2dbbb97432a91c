/*
 * postgres.h - the database port on PostgreSQL with pgvector: many machines share one database.
 *
 * The schema is made by `aegis db migrate` (postgres_migrate.h); opening only checks it.
 *
 * Clocks. Workers' clocks may be minutes apart, so whatever orders anything (leases, due times,
 * what is stranded) is in the server's time: its distance from this process's monotonic clock is
 * measured at opening and every minute. Times that a caller passes in (lease_until_ms, due_ms,
 * before_ms) are taken as distances from the caller's own clock and carried over to the server's.
 * Times that are returned are the server's; those of uploads are the events' own.
 */
#ifndef AEGIS_DATABASE_POSTGRES_H
#define AEGIS_DATABASE_POSTGRES_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/database.h"
#include "shared/clock.h"
#include "shared/pg.h"

struct postgres_database_options {
    const char *url;             /* pg.h; not kept */
    struct pg_url_source source; /* of another one, once it is refused */
    const struct clock *clock;   /* that callers take their times from; NULL: the system's */
    bool clock_rules;            /* for tests: `clock` is taken for the server's as well */
    int connections;             /* at a time; 0: 8 */
    int64_t wait_ms;             /* for a connection, or for the server to come back; 0: 5 s */
    int64_t outbox_rows;         /* 0: 1,000,000 */
    int64_t outbox_ms;           /* 0: 7 days */
    bool no_background;          /* starts no collector: for readers and short commands */
};

/* Connects once and checks the schema. ERR_SYSTEMIC (pg.h, "database_schema" among them, and
 * "import_unfinished") or
 * ERR_SCHEMA (a newer Aegis made it). Close with out->ops->close(out->ctx), which waits for changes
 * under way; threads must not call it any more by then. */
int postgres_database_open(const struct postgres_database_options *options, struct database *out);

/* Does the background work that is pending now and returns when none is left: for tests,
 * benchmarks and before a backup. */
int postgres_database_settle(struct database *database);

/* The same until `until_ms` (clock_monotonic_ms), for a process without a background thread. *more:
 * some is left. */
int postgres_database_tend(struct database *database, int64_t until_ms, bool *more);

/* For a process without a background thread that may have stood still: measures the server's clock
 * anew, and replaces connections that were lost meanwhile as it meets them. Errors of pg.h. */
int postgres_database_thaw(struct database *database);

#endif
