#include "adapters/ram/store_ram.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/object_name.h"
#include "shared/random.h"

enum { COPY_BYTES = 64 * 1024, VERSIONS = 2 };

struct version {
    struct object_info info;
    char *bytes;
};

/* One key; versions[0] is the newest, one without a version id is none. */
struct entry {
    struct version versions[VERSIONS];
};

struct ram_store {
    pthread_mutex_t lock;
    struct entry **entries; /* in order of bucket and key */
    size_t count, capacity;
    uint64_t sequencer;
};

/* The place of a key, whether it is there or not. */
static size_t position(const struct ram_store *store, const char *bucket, const char *key,
                       bool *found)
{
    size_t low = 0, high = store->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct object_info *info = &store->entries[middle]->versions[0].info;
        int order = strcmp(bucket, info->bucket);
        if (order == 0)
            order = strcmp(key, info->key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int insert_entry(struct ram_store *store, size_t at, struct entry **out)
{
    if (store->count == store->capacity) {
        size_t capacity = store->capacity ? store->capacity * 2 : 16;
        struct entry **entries = realloc(store->entries, capacity * sizeof(struct entry *));
        if (!entries)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for an object");
        store->entries = entries;
        store->capacity = capacity;
    }
    *out = calloc(1, sizeof **out);
    if (!*out)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an object");
    memmove(&store->entries[at + 1], &store->entries[at],
            (store->count - at) * sizeof(struct entry *));
    store->entries[at] = *out;
    store->count++;
    return OK;
}

static void free_entry(struct entry *entry)
{
    for (size_t i = 0; i < VERSIONS; i++)
        free(entry->versions[i].bytes);
    free(entry);
}

static int name_object(const char *bucket, const char *key, struct object_info *info)
{
    int rc = object_bucket_check(bucket);
    if (!rc)
        rc = object_key_check(key);
    if (rc)
        return rc;
    *info = (struct object_info){0};
    snprintf(info->bucket, sizeof info->bucket, "%s", bucket);
    snprintf(info->key, sizeof info->key, "%s", key);
    return OK;
}

static void next_sequencer(struct ram_store *store, struct object_info *info)
{
    snprintf(info->sequencer, sizeof info->sequencer, "%016" PRIX64, ++store->sequencer);
}

/* ---- put ---- */

static int read_source(const struct object_source *source, struct buffer *bytes,
                       struct digest_stream *digest)
{
    size_t got = 1;
    while (got > 0) {
        int rc = buffer_reserve(bytes, COPY_BYTES);
        if (!rc)
            rc = source->read(source->ctx, bytes->data + bytes->length, COPY_BYTES, &got);
        if (rc)
            return rc;
        digest_update(digest, bytes->data + bytes->length, got);
        bytes->length += got;
    }
    return OK;
}

static int receive(const struct object_source *source, struct buffer *bytes,
                   struct object_info *info)
{
    struct digest_stream *digest = digest_begin(true);
    if (!digest)
        return ERR_NO_MEMORY;
    int rc = read_source(source, bytes, digest);
    if (rc) {
        digest_abort(digest);
        return rc;
    }
    info->size = (int64_t)bytes->length;
    info->content = digest_end(digest, info->etag);
    return OK;
}

static int store_version(struct ram_store *store, struct object_info *info, char *bytes)
{
    bool found;
    size_t at = position(store, info->bucket, info->key, &found);
    struct entry *entry = found ? store->entries[at] : NULL;
    int rc = found ? OK : insert_entry(store, at, &entry);
    if (rc)
        return rc;
    next_sequencer(store, info);
    free(entry->versions[VERSIONS - 1].bytes);
    memmove(&entry->versions[1], &entry->versions[0], (VERSIONS - 1) * sizeof(struct version));
    entry->versions[0] = (struct version){.info = *info, .bytes = bytes};
    return OK;
}

static int ram_put(void *ctx, const char *bucket, const char *key, const char *content_type,
                   const struct object_source *source, struct object_info *out)
{
    struct ram_store *store = ctx;
    struct buffer bytes;
    int rc = name_object(bucket, key, out);
    if (rc)
        return rc;
    snprintf(out->content_type, sizeof out->content_type, "%s", content_type ? content_type : "");
    random_trace_id(out->version_id);
    out->modified_ms = clock_now(clock_system());
    buffer_init(&bytes, CAP_MEDIA_BYTES);
    rc = receive(source, &bytes, out);
    pthread_mutex_lock(&store->lock);
    if (!rc)
        rc = store_version(store, out, bytes.data);
    pthread_mutex_unlock(&store->lock);
    if (rc)
        buffer_free(&bytes);
    return rc;
}

/* ---- reading ---- */

static const struct version *find(const struct ram_store *store, const char *bucket,
                                  const char *key, const char *version_id)
{
    bool found;
    size_t at = position(store, bucket, key, &found);
    if (!found)
        return NULL;
    const struct entry *entry = store->entries[at];
    for (size_t i = 0; i < VERSIONS; i++)
        if (!version_id[0] || strcmp(entry->versions[i].info.version_id, version_id) == 0)
            return &entry->versions[i];
    return NULL;
}

static int not_found(const char *bucket, const char *key)
{
    return error_set(ERR_NOT_FOUND, "object_not_found", "object '%s' is not in bucket '%s'", key,
                     bucket);
}

static int ram_open(void *ctx, const char *bucket, const char *key, const char *version_id,
                    const char *etag, const struct cancel *cancel, struct object *out)
{
    (void)cancel;
    struct ram_store *store = ctx;
    int rc;
    out->fd = -1;
    out->bytes = NULL;
    pthread_mutex_lock(&store->lock);
    const struct version *version = find(store, bucket, key, version_id);
    if (!version) {
        rc = not_found(bucket, key);
    } else if (etag[0] && strcmp(etag, version->info.etag) != 0) {
        rc = error_set(ERR_CONFLICT, "etag_differs", "object '%s' has ETag %s, not %.64s", key,
                       version->info.etag, etag);
    } else {
        out->info = version->info;
        rc = file_from_memory(version->bytes, (size_t)version->info.size, &out->fd);
    }
    pthread_mutex_unlock(&store->lock);
    return rc;
}

static int ram_head(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct ram_store *store = ctx;
    pthread_mutex_lock(&store->lock);
    const struct version *version = find(store, bucket, key, "");
    if (version)
        *out = version->info;
    pthread_mutex_unlock(&store->lock);
    return version ? OK : not_found(bucket, key);
}

static int ram_remove(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct ram_store *store = ctx;
    struct object_info info;
    bool found;
    int rc = name_object(bucket, key, &info);
    if (rc)
        return rc;
    pthread_mutex_lock(&store->lock);
    size_t at = position(store, bucket, key, &found);
    if (found) {
        free_entry(store->entries[at]);
        store->count--;
        memmove(&store->entries[at], &store->entries[at + 1],
                (store->count - at) * sizeof(struct entry *));
    }
    next_sequencer(store, &info);
    pthread_mutex_unlock(&store->lock);
    if (out)
        *out = info;
    return OK;
}

/* How many entries from `at` on belong to the list. */
static size_t run_length(const struct ram_store *store, size_t at, const char *bucket,
                         const char *prefix, size_t limit)
{
    size_t n = 0;
    for (; n < limit && at + n < store->count; n++) {
        const struct object_info *info = &store->entries[at + n]->versions[0].info;
        if (strcmp(info->bucket, bucket) != 0 || strncmp(info->key, prefix, strlen(prefix)) != 0)
            break;
    }
    return n;
}

static int ram_list(void *ctx, const char *bucket, const char *prefix, const char *after,
                    size_t limit, struct arena *arena, struct object_info **out, size_t *count)
{
    struct ram_store *store = ctx;
    bool found, is_after = strcmp(after, prefix) >= 0;
    *out = NULL;
    pthread_mutex_lock(&store->lock);
    size_t at = position(store, bucket, is_after ? after : prefix, &found);
    at += found && is_after && after[0];
    *count = run_length(store, at, bucket, prefix, limit);
    if (*count)
        *out = arena_array(arena, *count, sizeof **out);
    for (size_t i = 0; *out && i < *count; i++)
        (*out)[i] = store->entries[at + i]->versions[0].info;
    pthread_mutex_unlock(&store->lock);
    return *count && !*out ? ERR_NO_MEMORY : OK;
}

static void ram_close(void *ctx)
{
    struct ram_store *store = ctx;
    if (!store)
        return;
    for (size_t i = 0; i < store->count; i++)
        free_entry(store->entries[i]);
    free(store->entries);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static const struct object_store_ops ram_ops = {
    .name = "ram",
    .close = ram_close,
    .put = ram_put,
    .open = ram_open,
    .head = ram_head,
    .remove = ram_remove,
    .list = ram_list,
};

int ram_store_open(struct object_store *out)
{
    struct ram_store *store = calloc(1, sizeof *store);
    if (!store)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&store->lock, NULL);
    *out = (struct object_store){.ops = &ram_ops, .ctx = store};
    return OK;
}
