/*
 * object_store.h - the port to where media bytes live (a folder, S3).
 *
 * An object is immutable: putting the same key again makes a new version with a new version_id.
 * All methods are thread-safe and may block. "Allowed errors" lists what callers branch on; any
 * method may also return ERR_IO, ERR_NO_MEMORY, ERR_TRANSIENT or ERR_SYSTEMIC.
 */
#ifndef AEGIS_PORTS_OBJECT_STORE_H
#define AEGIS_PORTS_OBJECT_STORE_H

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/arena.h"
#include "shared/cancel.h"
#include "shared/caps.h"
#include "shared/digest.h"
#include "shared/file.h"

struct object_info {
    char bucket[CAP_BUCKET + 1];
    char key[CAP_KEY + 1];
    char version_id[CAP_VERSION_ID + 1]; /* "" where the store has no versions */
    char etag[CAP_ETAG + 1];             /* without quotes */
    char sequencer[CAP_SEQUENCER +
                   1]; /* order of events of one key, as S3's: hex, compared as text */
    char content_type[CAP_ETAG + 1];
    int64_t size;          /* bytes */
    int64_t modified_ms;   /* Unix time */
    struct digest content; /* SHA-256 of the bytes; all zero if the store does not know it */
};

/* Where bytes come from. read() fills at most `capacity` bytes; 0 bytes is the end. Returns 0 or an
 * error, which aborts the put. */
struct object_source {
    int (*read)(void *ctx, void *bytes, size_t capacity, size_t *got);
    void *ctx;
};

/* An object opened for reading. A small one may come in memory: then `bytes` (info.size of them,
 * from malloc) is not NULL and fd is -1. Else fd is a seekable, read-only, close-on-exec descriptor
 * at offset 0 (a remote store spools to an unlinked file first). object_close ends it. */
struct object {
    int fd;
    void *bytes;
    struct object_info info;
};

/* For who needs a descriptor: makes fd if the object is in memory. 0, or file_from_memory's error.
 */
static inline int object_descriptor(struct object *o)
{
    return o->fd >= 0 ? 0 : file_from_memory(o->bytes, (size_t)o->info.size, &o->fd);
}

static inline void object_close(struct object *o)
{
    if (o->fd >= 0)
        close(o->fd);
    free(o->bytes);
    o->fd = -1;
    o->bytes = NULL;
}

struct object_store_ops {
    const char *name; /* "local", "ram", "s3" */
    void (*close)(void *ctx);

    /* Stores all of `source` durably (fsynced when it returns) and describes it in *out.
     * `content_type` may be NULL. Allowed: ERR_INVALID (bucket or key), ERR_TOO_LARGE
     * (CAP_MEDIA_BYTES), ERR_DISK_FULL (nothing stored), and whatever source->read returned. */
    int (*put)(void *ctx, const char *bucket, const char *key, const char *content_type,
               const struct object_source *source, struct object_info *out);

    /* Opens a version; version_id "" means the newest. Allowed: ERR_NOT_FOUND (key or version is
     * gone), ERR_CONFLICT (`etag` is not "" and the object found has another), ERR_CANCELLED,
     * ERR_DISK_FULL (no room to spool). */
    int (*open)(void *ctx, const char *bucket, const char *key, const char *version_id,
                const char *etag, const struct cancel *cancel, struct object *out);

    /* Describes the newest version. Allowed: ERR_NOT_FOUND. */
    int (*head)(void *ctx, const char *bucket, const char *key, struct object_info *out);

    /* Removes the key with all its versions, durably. Removing what is not there is success.
     * *out (may be NULL) gets bucket, key and the removal's sequencer. A descriptor already open
     * stays readable. */
    int (*remove)(void *ctx, const char *bucket, const char *key, struct object_info *out);

    /* Newest versions whose key starts with `prefix` ("" for all) and sorts after `after`
     * (bytewise;
     * "" from the start), in key order, at most `limit`, with key, ETag, size and time; the rest
     * where the store has it in its listings. The array lives in `arena`. */
    int (*list)(void *ctx, const char *bucket, const char *prefix, const char *after, size_t limit,
                struct arena *arena, struct object_info **out, size_t *count);
};

struct object_store {
    const struct object_store_ops *ops;
    void *ctx;
};

#endif
