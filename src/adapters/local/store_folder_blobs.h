/*
 * store_folder_blobs.h - the files of the folder store: bytes named by their SHA-256.
 *
 * blobs_link and blobs_unlink are called only by the holder of the index's write lock.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_BLOBS_H
#define AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_BLOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/digest.h"

enum { BLOB_FANS = 256 };

struct blobs {
    char *directory; /* "<data>/objects" */
    int fd;          /* of that directory */
    bool nameless;   /* the file system knows files without a name (O_TMPFILE) */
};

int blobs_open(const char *data, struct blobs *out);
void blobs_close(struct blobs *b);

/* A file that is being written. Without a name it vanishes by itself in a crash. */
struct blob_draft {
    int fd;
    char name[32]; /* in the directory; "" if it has none */
};
int blobs_draft(struct blobs *b, struct blob_draft *out);
/* Closes it, and deletes it if it has a name. */
void blobs_discard(struct blobs *b, struct blob_draft *draft);

/* Gives a synced draft its name. *made is false if these bytes were already there. The name is
 * durable after blobs_sync_fan. */
int blobs_link(struct blobs *b, const struct blob_draft *draft, const struct digest *digest,
               bool *made);
int blobs_sync_fan(struct blobs *b, unsigned fan);

static inline unsigned blobs_fan(const struct digest *digest)
{
    return digest->bytes[0];
}

/* Deletes the name if it is there; *freed grows by the file's size. Open descriptors stay readable.
 */
void blobs_unlink(struct blobs *b, const struct digest *digest, int64_t *freed);

/* Opens for reading. ERR_NOT_FOUND. */
int blobs_read(struct blobs *b, const struct digest *digest, int *fd);

/* Calls back for every blob of one fan. A non-zero return stops and is returned. */
int blobs_each(struct blobs *b, unsigned fan, int (*blob)(void *ctx, const struct digest *digest),
               void *ctx);

/* Deletes named drafts that have not been written for a day: their writers crashed. */
void blobs_delete_stale_drafts(struct blobs *b);

#endif
