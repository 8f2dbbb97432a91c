/*
 * vector_file.h - the file under a vector index: layout, mapping, locking, publishing.
 *
 *     page 0            header
 *     then blocks of    ids     BLOCK_SLOTS x int64
 *                       metas   BLOCK_SLOTS x struct code_meta
 *                       codes   BLOCK_SLOTS x code_stride bytes
 *                       rows    BLOCK_SLOTS x row_stride float16
 *
 * The file grows by whole blocks, sparsely. Slots are written with pwrite (a full disk is an error
 * there, not a signal), then `count` is stored with release semantics in the shared header page:
 * whoever loads it with acquire sees whole slots below it. A file is never shortened; to start
 * again a new one is renamed over it and the old header is marked superseded, so that others
 * reopen.
 *
 * Power cuts: `synced` slots are known to be on the disk. The header remembers the boot during
 * which it was written; under another boot everything after `synced` is forgotten.
 *
 * Internal to the vector index. Nothing here locks threads out; vector_index.c does.
 */
#ifndef AEGIS_DATABASE_VECTOR_FILE_H
#define AEGIS_DATABASE_VECTOR_FILE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "database/vector_code.h"

enum { BLOCK_SLOTS = 1024, VECTOR_IDENTITY = 128, BOOT_ID = 40 };

struct vector_layout { /* never changes in a file's life; covered by the header's check */
    char magic[8];
    uint32_t byte_order; /* 0x01020304 as its writer sees it */
    uint32_t version;
    uint32_t dimension;
    uint32_t block_slots;
    char identity[VECTOR_IDENTITY];
};

struct vector_header {
    struct vector_layout layout;
    uint64_t check; /* of layout */
    /* what follows changes under the lock only, but is read without it */
    _Atomic uint64_t count;      /* slots published */
    _Atomic uint64_t dead;       /* of them, those that cannot be found */
    _Atomic int64_t last_id;     /* greatest id ever appended */
    uint64_t synced;             /* slots that survive a power cut */
    _Atomic uint32_t superseded; /* another file stands under this name now */
    char boot[BOOT_ID];
};

struct vector_file {
    int fd;
    char *path;
    size_t dimension, stride, padded; /* code_stride, row_stride */
    size_t block_bytes;
    struct vector_header *header; /* mapped, shared, writable */
    const char **blocks;          /* mapped, shared, read-only */
    size_t block_count;           /* mapped so far */
};

/* Opens, makes or replaces the file and maps what is published. */
int vector_file_open(struct vector_file *file, const char *path, size_t dimension,
                     const char *identity);
void vector_file_close(struct vector_file *file); /* a zeroed one is fine */

/* The lock between processes. ERR_CONFLICT from lock: superseded, not locked; reopen. */
int vector_file_lock(struct vector_file *file);
void vector_file_unlock(struct vector_file *file);

static inline uint64_t vector_file_count(const struct vector_file *file)
{
    return atomic_load_explicit(&file->header->count, memory_order_acquire);
}

/* Maps the blocks of the first `count` slots. */
int vector_file_map(struct vector_file *file, uint64_t count);

/* Slots below a loaded count, in mapped blocks. */
static inline const char *vector_file_block(const struct vector_file *file, uint64_t slot)
{
    return file->blocks[slot / BLOCK_SLOTS];
}
static inline int64_t vector_file_id(const struct vector_file *file, uint64_t slot)
{
    const void *ids = vector_file_block(file, slot);
    return ((const int64_t *)ids)[slot % BLOCK_SLOTS];
}
struct code_meta vector_file_meta(const struct vector_file *file, uint64_t slot);
const int8_t *vector_file_codes(const struct vector_file *file, uint64_t slot);
const uint16_t *vector_file_row(const struct vector_file *file, uint64_t slot);

/* The first slot below `count`, from `from` on, whose id is at least `id`; `count` if there is
 * none.
 */
uint64_t vector_file_find(const struct vector_file *file, int64_t id, uint64_t from,
                          uint64_t count);

/* Under the lock: codes and appends rows behind the published ones and publishes them. */
int vector_file_append(struct vector_file *file, const int64_t *ids, const uint16_t *rows,
                       size_t count);

/* Under the lock: marks a slot dead. */
int vector_file_kill(struct vector_file *file, uint64_t slot);

/* Under the lock, the slots mapped: puts a new file in place of this one, with the living slots
 * (keep) or none, and marks this one superseded. It stays open and locked. */
int vector_file_replace(struct vector_file *file, bool keep);

/* Under the lock: writes out what is published. */
int vector_file_sync(struct vector_file *file);

#endif
