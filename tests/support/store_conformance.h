/*
 * store_conformance.h - what every adapter of ports/object_store.h has to do, as one suite that
 * knows the port alone.
 */
#ifndef AEGIS_TESTS_STORE_CONFORMANCE_H
#define AEGIS_TESTS_STORE_CONFORMANCE_H

#include "ports/object_store.h"

struct store_conformance {
    const char *name;
    /* Opens a new, empty store. */
    int (*open)(void *ctx, struct object_store *out);
    /* Removes what open made, after the store was closed. May be NULL. */
    void (*discard)(void *ctx);
    void *ctx;
    /* Its listings tell key, ETag and size, not all that head() does. */
    bool lists_less;
};

/* Runs the suite; the number of failed tests. */
int store_conformance_run(const struct store_conformance *adapter);

/* A source over bytes in memory that gives at most `step` bytes a read (0: all). */
struct memory_source {
    const char *bytes;
    size_t length, step;
    int fail_with; /* an error_code returned at the end instead of the end; 0: none */
};
struct object_source memory_source_of(struct memory_source *source);

#endif
