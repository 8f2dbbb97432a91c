/*
 * database_conformance.h - one suite for every adapter of ports/database.h: each verb, each error
 * and each rule of the contract, over the port only.
 */
#ifndef AEGIS_TESTS_DATABASE_CONFORMANCE_H
#define AEGIS_TESTS_DATABASE_CONFORMANCE_H

#include "ports/database.h"
#include "shared/clock.h"

struct database_harness {
    const char *name;
    /* Makes an empty store and opens it; the adapter takes the time from `clock`. */
    int (*open)(void *ctx, const struct clock *clock, struct database *out);
    /* A second, independent handle on the same store, as another process would have. */
    int (*open_again)(void *ctx, const struct clock *clock, struct database *out);
    /* Lets background work (collecting, indexing) finish. */
    int (*settle)(void *ctx, struct database *database);
    /* Deletes the store; all handles are closed by then. */
    void (*destroy)(void *ctx);
    void *ctx;
};

/* Runs all tests with cmocka; returns the number that failed. */
int database_conformance_run(const struct database_harness *harness);

#endif
