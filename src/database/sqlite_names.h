/*
 * sqlite_names.h - the two dictionaries (name, facet) with a cache in memory.
 *
 * Rows are only ever added, so what is cached stays true, also when other processes add. After a
 * rollback names_forget must be called: ids handed out in that transaction may be given to others.
 * Thread-safe. Beyond NAMES_CACHED entries nothing more is cached, only looked up.
 */
#ifndef AEGIS_DATABASE_SQLITE_NAMES_H
#define AEGIS_DATABASE_SQLITE_NAMES_H

#include <pthread.h>

#include "database/sqlite_connection.h"

enum { NAMES_CACHED = 4096, FACETS_CACHED = 4096 };

struct facet {
    int64_t collection, kind, language; /* name ids */
};

struct names {
    pthread_rwlock_t lock;
    struct name_tables *tables;
};

int names_init(struct names *n);
void names_fini(struct names *n);
void names_forget(struct names *n);

/* The id of a text. `make`: inside a write transaction, adds it; else ERR_NOT_FOUND without a text
 * (not an error for most callers). */
int name_id(struct names *n, struct connection *c, const char *text, bool make, int64_t *out);
/* Its text, copied into the arena. */
int name_text(struct names *n, struct connection *c, int64_t id, struct arena *arena,
              const char **out);

/* Inside a write transaction. */
int facet_id(struct names *n, struct connection *c, const struct facet *facet, int64_t *out);
int facet_get(struct names *n, struct connection *c, int64_t id, struct facet *out);

#endif
