/*
 * store_folder_index.h - the index of the folder store: a SQLite database with one write
 * transaction for all changes that wait at the same time (group commit), and a pool of connections
 * for reading.
 *
 * Small objects live in it whole, so that putting one costs a share of one fsync and no file.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_INDEX_H
#define AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_INDEX_H

#include "adapters/local/store_folder_blobs.h"
#include "ports/object_store.h"
#include "shared/clock.h"

enum { STORE_SMALL_BYTES = 32 * 1024 }; /* up to this size bytes live in the index */

struct store_index;

/* `blobs` and `clock` are borrowed. Errors as folder_store_open. */
int store_index_open(const char *data, struct blobs *blobs, const struct clock *clock,
                     int64_t keep_superseded_ms, struct store_index **out);
void store_index_close(struct store_index *index);

/* Durable on return. Bytes come from `draft` (synced), or from `small` if draft is NULL. `info` has
 * bucket, key, etag, content type, size, time and digest; the rest is filled in. */
int store_index_put(struct store_index *index, const struct blob_draft *draft, const void *small,
                    struct object_info *info);

/* Takes out every version of info's bucket and key, and fills in the sequencer. */
int store_index_remove(struct store_index *index, struct object_info *info);

/* Deletes versions whose grace has passed, as many as are due; *freed grows by their bytes. */
int store_index_expire(struct store_index *index, int64_t *freed);

/* Deletes blobs of this fan that no version names. */
int store_index_sweep(struct store_index *index, unsigned fan, int64_t *freed);

/* version_id "" is the newest. With `open` the bytes come too: small ones in memory, else an open
 * descriptor. ERR_NOT_FOUND. */
int store_index_find(struct store_index *index, const char *bucket, const char *key,
                     const char *version_id, bool open, struct object *out);

int store_index_list(struct store_index *index, const char *bucket, const char *prefix,
                     const char *after, size_t limit, struct arena *arena, struct object_info **out,
                     size_t *count);

#endif
