#include "adapters/local/store_folder.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/local/store_folder_blobs.h"
#include "adapters/local/store_folder_index.h"
#include "adapters/local/store_shared.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/object_name.h"
#include "shared/random.h"

enum {
    COPY_BYTES = 128 * 1024,
    SWEEP_EVERY = 1024, /* puts: each time one fan is swept, so that a put's share stays small */
    GRACE_MS = 60 * 60 * 1000
};

struct folder_store {
    const struct clock *clock;
    struct blobs blobs;
    struct store_index *index;
    int64_t reserve;
    atomic_uint puts;
};

/* ---- put ---- */

/* What a put has in hand. The first bytes stay in memory: most objects may be small ones, which
 * need no file. */
struct upload {
    struct blob_draft draft;
    struct digest_stream *digest;
    unsigned char *bytes; /* COPY_BYTES */
    size_t held;          /* bytes not yet in the draft */
    int64_t size;
};

static int begin_upload(struct upload *u)
{
    *u = (struct upload){.draft = {.fd = -1}, .bytes = malloc(COPY_BYTES)};
    if (!u->bytes)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an upload");
    u->digest = digest_begin(true);
    return u->digest ? OK : ERR_NO_MEMORY;
}

static void end_upload(struct blobs *blobs, struct upload *u)
{
    blobs_discard(blobs, &u->draft);
    digest_abort(u->digest);
    free(u->bytes);
}

static int flush(struct blobs *blobs, struct upload *u)
{
    int rc = u->draft.fd < 0 ? blobs_draft(blobs, &u->draft) : OK;
    if (!rc)
        rc = file_write_all(u->draft.fd, blobs->directory, u->bytes, u->held);
    u->held = 0;
    return rc;
}

/* Reads until the buffer is full or the source ends. */
static int fill(struct upload *u, const struct object_source *source, bool *end)
{
    while (u->held < COPY_BYTES && !*end) {
        size_t got = 0;
        int rc = source->read(source->ctx, u->bytes + u->held, COPY_BYTES - u->held, &got);
        if (rc)
            return rc;
        assert(got <= COPY_BYTES - u->held);
        digest_update(u->digest, u->bytes + u->held, got);
        u->held += got;
        u->size += (int64_t)got;
        *end = got == 0;
        if ((uint64_t)u->size > CAP_MEDIA_BYTES)
            return error_set(ERR_TOO_LARGE, "too_large",
                             "an object may have at most %zu bytes, this one has more",
                             CAP_MEDIA_BYTES);
    }
    return OK;
}

static int check_room(const struct folder_store *store, const struct upload *u)
{
    int64_t left = 0;
    if (store->reserve == 0)
        return OK;
    int rc = file_free_space(store->blobs.directory, &left);
    if (rc || left - (int64_t)u->held >= store->reserve)
        return rc;
    return error_set(ERR_DISK_FULL, "disk_full",
                     "'%s' takes no more: %" PRId64 " MiB are left on its disk and %" PRId64
                     " MiB are kept for work on what it holds; free some and add it again",
                     store->blobs.directory, left >> 20, store->reserve >> 20);
}

static int receive(struct folder_store *store, struct upload *u, const struct object_source *source)
{
    struct blobs *blobs = &store->blobs;
    bool end = false;
    int rc = OK;
    while (!rc && !end) {
        rc = fill(u, source, &end);
        if (!rc)
            rc = check_room(store, u);
        if (!rc && (!end || u->size > STORE_SMALL_BYTES))
            rc = flush(blobs, u);
    }
    if (!rc && u->draft.fd >= 0 && fsync(u->draft.fd))
        rc = error_set_errno(errno, "cannot sync a file in '%s'", blobs->directory);
    return rc;
}

static int store_upload(struct folder_store *store, struct upload *u, struct object_info *info)
{
    info->size = u->size;
    info->content = digest_end(u->digest, info->etag);
    u->digest = NULL;
    return store_index_put(store->index, u->draft.fd < 0 ? NULL : &u->draft, u->bytes, info);
}

/* A share of what folder_store_collect does; failing, it is left to the next time. */
static void sweep_now_and_then(struct folder_store *store)
{
    int64_t freed = 0;
    unsigned n = atomic_fetch_add(&store->puts, 1) + 1;
    if (n % SWEEP_EVERY == 0)
        store_index_sweep(store->index, n / SWEEP_EVERY % BLOB_FANS, &freed);
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

static int folder_put(void *ctx, const char *bucket, const char *key, const char *content_type,
                      const struct object_source *source, struct object_info *out)
{
    struct folder_store *store = ctx;
    struct upload upload;
    int rc = name_object(bucket, key, out);
    if (rc)
        return rc;
    snprintf(out->content_type, sizeof out->content_type, "%s", content_type ? content_type : "");
    out->modified_ms = clock_now(store->clock);
    rc = begin_upload(&upload);
    if (!rc)
        rc = receive(store, &upload, source);
    if (!rc)
        rc = store_upload(store, &upload, out);
    end_upload(&store->blobs, &upload);
    if (!rc)
        sweep_now_and_then(store);
    else if (rc == ERR_DISK_FULL)
        rc = error_prefix("object '%s' was not stored", key);
    return rc;
}

/* ---- the rest ---- */

static int folder_open(void *ctx, const char *bucket, const char *key, const char *version_id,
                       const char *etag, const struct cancel *cancel, struct object *out)
{
    (void)cancel; /* a local open does not block for long */
    struct folder_store *store = ctx;
    int rc = store_index_find(store->index, bucket, key, version_id, true, out);
    if (rc || !etag[0] || strcmp(etag, out->info.etag) == 0)
        return rc;
    object_close(out);
    return error_set(ERR_CONFLICT, "etag_differs", "object '%s' has ETag %s, not %.64s", key,
                     out->info.etag, etag);
}

static int folder_head(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct folder_store *store = ctx;
    struct object object;
    int rc = store_index_find(store->index, bucket, key, "", false, &object);
    if (!rc)
        *out = object.info;
    return rc;
}

static int folder_remove(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct folder_store *store = ctx;
    struct object_info info;
    int rc = name_object(bucket, key, &info);
    if (!rc)
        rc = store_index_remove(store->index, &info);
    if (!rc && out)
        *out = info;
    return rc;
}

static int folder_list(void *ctx, const char *bucket, const char *prefix, const char *after,
                       size_t limit, struct arena *arena, struct object_info **out, size_t *count)
{
    struct folder_store *store = ctx;
    return store_index_list(store->index, bucket, prefix, after, limit, arena, out, count);
}

static void folder_close(void *ctx)
{
    struct folder_store *store = ctx;
    if (!store)
        return;
    store_index_close(store->index);
    blobs_close(&store->blobs);
    free(store);
}

static const struct object_store_ops folder_ops = {
    .name = "local",
    .close = folder_close,
    .put = folder_put,
    .open = folder_open,
    .head = folder_head,
    .remove = folder_remove,
    .list = folder_list,
};

static int refuse_shared_store(const char *data)
{
    if (!shared_store_is_in(data))
        return OK;
    return error_set(ERR_INVALID, "other_store",
                     "'%s' is the folder of a shared store: name it in the setting "
                     "store.directory, and give each machine a data directory of its own",
                     data);
}

int folder_store_open(const struct folder_store_options *options, struct object_store *out)
{
    int refused = refuse_shared_store(options->data);
    if (refused)
        return refused;
    struct folder_store *store = calloc(1, sizeof *store);
    if (!store)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int64_t grace_ms = options->keep_superseded_ms ? options->keep_superseded_ms : GRACE_MS;
    store->reserve = options->reserve;
    store->clock = options->clock ? options->clock : clock_system();
    atomic_init(&store->puts, (unsigned)random_below(BLOB_FANS) * SWEEP_EVERY);
    int rc = blobs_open(options->data, &store->blobs);
    if (!rc)
        rc = store_index_open(options->data, &store->blobs, store->clock, grace_ms, &store->index);
    if (rc) {
        folder_close(store);
        return rc;
    }
    blobs_delete_stale_drafts(&store->blobs);
    *out = (struct object_store){.ops = &folder_ops, .ctx = store};
    return OK;
}

int folder_store_collect(const struct object_store *store, const struct cancel *cancel,
                         int64_t *freed)
{
    assert(store->ops == &folder_ops);
    struct folder_store *folder = store->ctx;
    int64_t bytes = 0;
    int rc = store_index_expire(folder->index, &bytes);
    for (unsigned fan = 0; !rc && fan < BLOB_FANS; fan++) {
        if (cancel_requested(cancel))
            rc = error_set(ERR_CANCELLED, NULL, "stopped while collecting unused bytes");
        else
            rc = store_index_sweep(folder->index, fan, &bytes);
    }
    if (freed)
        *freed = bytes;
    return rc;
}
