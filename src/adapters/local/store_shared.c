#include "adapters/local/store_shared.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unistr.h>

#include "adapters/local/store_shared_internal.h"
#include "adapters/local/store_shared_write.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/object_name.h"

enum {
    SWEEP_EVERY = 1024, /* puts: each time one fan is swept, so that a put's share stays small */
    GRACE_MS = 60 * 60 * 1000,
    LAYOUT = 1
};

static const char layout_text[] = "aegis shared store, layout ";

/* ---- put, remove ---- */

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

/* A record is JSON, which has no place for what is not UTF-8. */
static void set_content_type(struct object_info *info, const char *content_type)
{
    snprintf(info->content_type, sizeof info->content_type, "%s", content_type ? content_type : "");
    if (u8_check((const uint8_t *)info->content_type, strlen(info->content_type)))
        info->content_type[0] = '\0';
}

/* A share of what shared_store_collect does; failing, it is left to the next time. */
static void sweep_now_and_then(struct shared_store *store, const char *bucket)
{
    int64_t freed = 0, now;
    unsigned n = atomic_fetch_add(&store->puts, 1) + 1;
    if (n % SWEEP_EVERY != 0 || shared_server_time(store, &now))
        return;
    shared_sweep_incoming(store, now);
    shared_sweep_fan(store, bucket, n / SWEEP_EVERY % SHARED_FANS, now, &freed);
}

static int shared_put(void *ctx, const char *bucket, const char *key, const char *content_type,
                      const struct object_source *source, struct object_info *out)
{
    struct shared_store *store = ctx;
    int rc = name_object(bucket, key, out);
    if (rc)
        return rc;
    set_content_type(out, content_type);
    rc = shared_write_object(store, source, out);
    if (!rc)
        sweep_now_and_then(store, bucket);
    else if (rc == ERR_DISK_FULL)
        rc = error_prefix("object '%s' was not stored", key);
    return rc;
}

static int shared_remove(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct object_info info;
    int rc = name_object(bucket, key, &info);
    if (!rc)
        rc = shared_write_removal(ctx, &info);
    if (!rc && out)
        *out = info;
    return rc;
}

/* ---- open, head ---- */

/* A bucket's name is a part of a path, so it is looked at before it is used. */
static int find(const struct shared_store *store, const char *bucket, const char *key,
                const char *version_id, bool open, struct object *out)
{
    if (object_bucket_check(bucket) == OK && object_key_check(key) == OK)
        return shared_find(store, bucket, key, version_id, open, out);
    return error_set(ERR_NOT_FOUND, "object_not_found", "object '%s' is not in bucket '%s'", key,
                     bucket);
}

static int shared_open(void *ctx, const char *bucket, const char *key, const char *version_id,
                       const char *etag, const struct cancel *cancel, struct object *out)
{
    (void)cancel; /* nothing ends a call that waits for a file server */
    int rc = find(ctx, bucket, key, version_id, true, out);
    if (rc || !etag[0] || strcmp(etag, out->info.etag) == 0)
        return rc;
    object_close(out);
    return error_set(ERR_CONFLICT, "etag_differs", "object '%s' has ETag %s, not %.64s", key,
                     out->info.etag, etag);
}

static int shared_head(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct object object;
    int rc = find(ctx, bucket, key, "", false, &object);
    if (!rc)
        *out = object.info;
    return rc;
}

/* ---- opening the store ---- */

static void shared_close(void *ctx)
{
    struct shared_store *store = ctx;
    if (!store)
        return;
    free(store->directory);
    free(store->format);
    free(store->objects);
    free(store->incoming);
    free(store);
}

static const struct object_store_ops shared_ops = {
    .name = "shared",
    .close = shared_close,
    .put = shared_put,
    .open = shared_open,
    .head = shared_head,
    .remove = shared_remove,
    .list = shared_list,
};

static char *below(const char *directory, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int name_paths(struct shared_store *store, const char *directory)
{
    if (strlen(directory) > SHARED_DIRECTORY_MAX)
        return error_set(ERR_INVALID, NULL, "path '%.64s...' is too long", directory);
    store->directory = strdup(directory);
    store->format = below(directory, "format");
    store->objects = below(directory, "objects");
    store->incoming = below(directory, "incoming");
    if (store->directory && store->format && store->objects && store->incoming)
        return OK;
    return error_set(ERR_NO_MEMORY, NULL, "out of memory");
}

static int refuse_one_machine_store(const struct shared_store *store)
{
    char *index = below(store->directory, "objects.db");
    if (!index)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    bool there = access(index, F_OK) == 0;
    free(index);
    if (!there)
        return OK;
    return error_set(ERR_INVALID, "other_store",
                     "'%s' is the folder of a store for one machine (it has 'objects.db'): give "
                     "the shared store a folder of its own",
                     store->directory);
}

/* Looks at the layout; *found is false in a folder that has none yet. */
static int check_layout(const struct shared_store *store, bool *found)
{
    struct buffer text;
    long layout = 0;
    buffer_init(&text, 256);
    int rc = file_read(store->format, &text);
    *found = rc == OK;
    if (rc == ERR_NOT_FOUND)
        rc = OK;
    else if (!rc && (strncmp(buffer_string(&text), layout_text, sizeof layout_text - 1) != 0 ||
                     (layout = strtol(text.data + sizeof layout_text - 1, NULL, 10)) < 1))
        rc = error_set(ERR_INVALID, "other_store", "'%s' is not that of a shared store",
                       store->format);
    else if (!rc && layout > LAYOUT)
        rc = error_set(ERR_SCHEMA, "newer_schema",
                       "'%s' has layout %ld, written by a newer Aegis; this one knows layout %d: "
                       "upgrade Aegis",
                       store->directory, layout, LAYOUT);
    buffer_free(&text);
    return rc;
}

bool shared_store_is_in(const char *directory)
{
    struct buffer text;
    char *path = below(directory, "format");
    buffer_init(&text, 256);
    bool is = path && file_read(path, &text) == OK &&
              strncmp(buffer_string(&text), layout_text, sizeof layout_text - 1) == 0;
    buffer_free(&text);
    free(path);
    return is;
}

/* The layout is written last: with it all the rest is there. */
static int make_layout(const struct shared_store *store)
{
    char text[64];
    int rc = file_make_directory(store->objects);
    if (!rc)
        rc = file_make_directory(store->incoming);
    if (!rc)
        rc = file_sync_directory(store->directory);
    if (rc)
        return rc;
    int length = snprintf(text, sizeof text, "%s%d\n", layout_text, LAYOUT);
    return file_replace(store->format, text, (size_t)length, 0400);
}

static int prepare_folder(const struct shared_store *store)
{
    bool found = false;
    int rc = file_make_directory(store->directory);
    if (!rc)
        rc = refuse_one_machine_store(store);
    if (!rc)
        rc = check_layout(store, &found);
    if (!rc && !found)
        rc = make_layout(store);
    if (!rc && found)
        rc = shared_alive(store);
    return rc;
}

static int try_link(const struct shared_store *store, const char *path)
{
    char second[PATH_MAX];
    snprintf(second, sizeof second, "%s2", path);
    if (link(path, second) == 0) {
        unlink(second);
        return OK;
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return shared_fail(store, errno, "link", path);
    return error_set(ERR_INVALID, "no_hard_links",
                     "the file system of '%s' has no hard links, which a shared store needs: use "
                     "NFS, CephFS or a Linux file system",
                     store->directory);
}

static int check_links(const struct shared_store *store)
{
    char id[TRACE_ID_TEXT], path[PATH_MAX];
    random_trace_id(id);
    snprintf(path, sizeof path, "%s/%s.link", store->incoming, id);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0400);
    if (fd < 0)
        return shared_fail(store, errno, "create", path);
    close(fd);
    int rc = try_link(store, path);
    unlink(path);
    return rc;
}

int shared_store_open(const struct shared_store_options *options, struct object_store *out)
{
    struct shared_store *store = calloc(1, sizeof *store);
    int64_t now = 0;
    if (!store)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    store->keep_superseded_ms =
        options->keep_superseded_ms ? options->keep_superseded_ms : GRACE_MS;
    store->reserve = options->reserve;
    store->clock = options->clock ? options->clock : clock_system();
    atomic_init(&store->puts, (unsigned)random_below(SHARED_FANS) * SWEEP_EVERY);
    int rc = name_paths(store, options->directory);
    if (!rc)
        rc = prepare_folder(store);
    if (!rc)
        rc = check_links(store);
    if (!rc)
        rc = shared_server_time(store, &now);
    if (rc) {
        shared_close(store);
        return rc;
    }
    shared_sweep_incoming(store, now);
    *out = (struct object_store){.ops = &shared_ops, .ctx = store};
    return OK;
}

int shared_store_collect(const struct object_store *store, const struct cancel *cancel,
                         int64_t *freed)
{
    assert(store->ops == &shared_ops);
    int64_t bytes = 0;
    int rc = shared_sweep_all(store->ctx, cancel, &bytes);
    if (freed)
        *freed = bytes;
    return rc;
}
