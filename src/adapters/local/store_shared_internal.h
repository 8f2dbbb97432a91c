/* store_shared_internal.h - shared by the parts of the store in a shared folder. */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_SHARED_INTERNAL_H
#define AEGIS_ADAPTERS_LOCAL_STORE_SHARED_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ports/object_store.h"
#include "shared/clock.h"

enum { SHARED_FANS = 256, SHARED_DIRECTORY_MAX = 3000 /* bytes; paths below it fit PATH_MAX */ };

struct shared_store {
    char *directory, *format, *objects, *incoming;
    const struct clock *clock;
    int64_t keep_superseded_ms, reserve;
    atomic_uint puts;
};

/* What an errno from the store's own files means: the folder as a whole does not serve
 * (ERR_SYSTEMIC), or as error_set_errno. The text names `path`. Returns the code set. */
int shared_fail(const struct shared_store *store, int errnum, const char *doing, const char *path);

/* 0 if the folder is there: for who found that something in it is not. ERR_SYSTEMIC. */
int shared_alive(const struct shared_store *store);

/* ---- store_shared_list.c ---- */

int shared_list(void *ctx, const char *bucket, const char *prefix, const char *after, size_t limit,
                struct arena *arena, struct object_info **out, size_t *count);

/* ---- store_shared_sweep.c ---- */

/* One fan of a bucket; *freed grows by the bytes. `now` is the file server's time in seconds. */
int shared_sweep_fan(struct shared_store *store, const char *bucket, unsigned fan, int64_t now,
                     int64_t *freed);
int shared_sweep_incoming(struct shared_store *store, int64_t now);
int shared_server_time(struct shared_store *store, int64_t *now);
int shared_sweep_all(struct shared_store *store, const struct cancel *cancel, int64_t *freed);

#endif
