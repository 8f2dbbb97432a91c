/*
 * store_folder.h - the embedded object store: a folder of immutable blobs and a SQLite index.
 *
 *   <data>/objects/ab/abcd...   the bytes, named by their SHA-256, stored once however often put
 *   <data>/objects.db           bucket, key, version, ETag, size, digest, times (WAL, FULL)
 *
 * A put writes an unnamed file, fsyncs it, links it to its name, fsyncs the directory, and only
 * then commits the index; puts that come together share one commit. So a crash or a full disk
 * leaves at most bytes that no row names, and those are collected later. Names are linked and
 * unlinked under the index's write lock alone, which makes the store safe to share between
 * processes.
 *
 * A full disk: a put that would leave less than `reserve` bytes free is ERR_DISK_FULL, so that what
 * was accepted before can still be worked on.
 *
 * A superseded version stays readable for a grace period (jobs under way may still want it) and is
 * deleted by a later put or by folder_store_collect. The newest version is kept until it is
 * removed.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_H
#define AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_H

#include <stdint.h>

#include "ports/object_store.h"
#include "shared/clock.h"

struct folder_store_options {
    const char *data;           /* the data directory; made if it is not there */
    const struct clock *clock;  /* NULL: the machine's */
    int64_t keep_superseded_ms; /* grace of superseded versions; 0: one hour */
    int64_t reserve;            /* bytes of disk that puts leave free; 0: none */
};

/* Close it with out->ops->close(out->ctx). Errors: ERR_SCHEMA (the index was written by a newer
 * Aegis; it is left untouched), ERR_DISK_FULL, ERR_INVALID (not a directory, or the folder of a
 * shared store, which is left untouched), ERR_IO. */
int folder_store_open(const struct folder_store_options *options, struct object_store *out);

/*
 * Deletes superseded versions past their grace and bytes that no version names (left by a crash),
 * looking at every blob. Safe at any time, beside other processes too. Puts do a small share of
 * this on their own, so calling it is a matter of having the room back at once. *freed (may be
 * NULL) counts the bytes. ERR_CANCELLED.
 */
int folder_store_collect(const struct object_store *store, const struct cancel *cancel,
                         int64_t *freed);

#endif
