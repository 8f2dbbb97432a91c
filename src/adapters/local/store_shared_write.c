#include "adapters/local/store_shared_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/local/store_shared_keys.h"
#include "shared/error.h"
#include "shared/file.h"

enum {
    COPY_BYTES = 128 * 1024,
    ROOM_EVERY = 4 * 1024 * 1024 /* bytes between two looks at the free space */
};

/* ---- files in incoming/ ---- */

struct draft {
    int fd; /* -1: closed */
    char *path;
};

static int draft_begin(const struct shared_store *store, const char *id, const char *suffix,
                       struct draft *out)
{
    out->fd = -1;
    if (asprintf(&out->path, "%s/%s.%s", store->incoming, id, suffix) < 0) {
        out->path = NULL;
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an upload");
    }
    out->fd = open(out->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0400);
    if (out->fd >= 0)
        return OK;
    int rc = shared_fail(store, errno, "create", out->path);
    free(out->path);
    out->path = NULL;
    return rc;
}

/* A file server may tell that the disk is full only here. */
static int draft_finish(const struct shared_store *store, struct draft *draft)
{
    int rc = fsync(draft->fd) ? shared_fail(store, errno, "sync", draft->path) : OK;
    if (close(draft->fd) && !rc)
        rc = shared_fail(store, errno, "close", draft->path);
    draft->fd = -1;
    return rc;
}

static void draft_end(struct draft *draft)
{
    if (draft->fd >= 0)
        close(draft->fd);
    if (draft->path)
        unlink(draft->path);
    free(draft->path);
    *draft = (struct draft){.fd = -1};
}

/* ---- receiving ---- */

/* What a put has in hand. The first bytes stay in memory: a small object lives in its record. */
struct upload {
    struct draft data, line;
    struct digest_stream *digest;
    unsigned char *bytes; /* COPY_BYTES */
    size_t held;          /* bytes not yet in the draft */
    int64_t size, room_at;
    struct record record;
};

static int begin_upload(struct upload *u, const struct object_info *info)
{
    *u = (struct upload){.data = {.fd = -1}, .line = {.fd = -1}, .record.info = *info};
    u->bytes = malloc(COPY_BYTES);
    if (!u->bytes)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an upload");
    random_trace_id(u->record.id);
    u->digest = digest_begin(true);
    return u->digest ? OK : ERR_NO_MEMORY;
}

static void end_upload(struct upload *u)
{
    draft_end(&u->data);
    draft_end(&u->line);
    digest_abort(u->digest);
    free(u->bytes);
}

static int flush(const struct shared_store *store, struct upload *u)
{
    int rc = u->data.path ? OK : draft_begin(store, u->record.id, "data", &u->data);
    if (!rc)
        rc = file_write_all(u->data.fd, u->data.path, u->bytes, u->held);
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

/* Asks the file server at the first bytes and every few MiB. */
static int check_room(const struct shared_store *store, struct upload *u)
{
    int64_t left = 0;
    if (store->reserve == 0 || u->size < u->room_at)
        return OK;
    u->room_at = u->size + ROOM_EVERY;
    int rc = file_free_space(store->incoming, &left);
    if (rc == ERR_NOT_FOUND)
        return shared_fail(store, ENOENT, "read the free space of", store->incoming);
    if (rc || left - (int64_t)u->held >= store->reserve)
        return rc;
    return error_set(ERR_DISK_FULL, "disk_full",
                     "'%s' takes no more: %" PRId64 " MiB are left on its disk and %" PRId64
                     " MiB are kept for work on what it holds; free some and add it again",
                     store->directory, left >> 20, store->reserve >> 20);
}

static int receive(const struct shared_store *store, struct upload *u,
                   const struct object_source *source)
{
    bool end = false;
    int rc = OK;
    while (!rc && !end) {
        rc = fill(u, source, &end);
        if (!rc)
            rc = check_room(store, u);
        if (!rc && (!end || u->size > SHARED_SMALL_BYTES))
            rc = flush(store, u);
    }
    if (!rc && u->data.path)
        rc = draft_finish(store, &u->data);
    return rc;
}

/* ---- publishing ---- */

static int write_line(const struct shared_store *store, struct upload *u)
{
    char *text;
    int rc = shared_record_format(&u->record, &text);
    if (rc)
        return rc;
    rc = draft_begin(store, u->record.id, "record", &u->line);
    if (!rc)
        rc = file_write_all(u->line.fd, u->line.path, text, strlen(text));
    if (!rc)
        rc = file_write_all(u->line.fd, u->line.path, "\n", 1);
    if (!rc && u->record.small)
        rc = file_write_all(u->line.fd, u->line.path, u->bytes, (size_t)u->record.info.size);
    if (!rc)
        rc = draft_finish(store, &u->line);
    free(text);
    return rc;
}

int shared_directory_failed(const struct shared_store *store, const struct key_directory *d,
                            const char *draft, int errnum, const char *doing, bool *vanished)
{
    if (errnum != ENOENT && errnum != ESTALE)
        return shared_fail(store, errnum, doing, d->path);
    int rc = shared_alive(store);
    if (!rc && draft && access(draft, F_OK))
        return error_set(ERR_TRANSIENT, "upload_stale",
                         "'%s' was taken for one that a crash left, nothing was written to it for "
                         "a day: put the object again",
                         draft);
    *vanished = rc == OK;
    return shared_fail(store, errnum, doing, d->path);
}

/* A rename whose answer was lost and that the client sent again (NFS) fails though it was done. */
static int move_data(const struct shared_store *store, const struct key_directory *d,
                     struct upload *u, bool *vanished)
{
    char name[DATA_NAME_TEXT];
    if (u->record.small)
        return OK;
    shared_data_name(u->record.id, name);
    if (renameat(AT_FDCWD, u->data.path, d->fd, name)) {
        int errnum = errno;
        if (errnum != ENOENT || faccessat(d->fd, name, F_OK, 0))
            return shared_directory_failed(store, d, u->data.path, errnum, "move bytes into",
                                           vanished);
    }
    return shared_key_sync(store, d);
}

static bool same_file(int fd, const char *name, const char *path)
{
    struct stat a, b;
    return path && fstatat(fd, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && stat(path, &b) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Takes the first free sequencer. A link that was sent twice finds its own name there. */
static int link_line(const struct shared_store *store, const struct key_directory *d,
                     struct upload *u, bool *vanished)
{
    struct object_info *info = &u->record.info;
    uint64_t sequencer = shared_next_sequencer(d, clock_now(store->clock), false);
    for (int i = 0; i < SHARED_TRIES; i++, sequencer += 2) {
        shared_sequencer_format(sequencer, info->sequencer);
        if (linkat(AT_FDCWD, u->line.path, d->fd, info->sequencer, 0) == 0)
            return OK;
        int errnum = errno;
        if (errnum != EEXIST)
            return shared_directory_failed(store, d, u->line.path, errnum, "link a version into",
                                           vanished);
        if (same_file(d->fd, info->sequencer, u->line.path))
            return OK;
    }
    return error_set(ERR_TRANSIENT, "key_busy", "too many put object '%s' at once: try again",
                     info->key);
}

/* Nothing of it may stay; the record goes first. A link that failed may have been made all the
 * same, if the file server did not answer: then the bytes stay unless it is certain that no record
 * names them, and a sweep finds them. */
static void take_back(const struct key_directory *d, const struct upload *u)
{
    const char *record = u->record.info.sequencer;
    char name[DATA_NAME_TEXT];
    struct stat st;
    if (record[0] && same_file(d->fd, record, u->line.path))
        unlinkat(d->fd, record, 0);
    bool named = record[0] && (fstatat(d->fd, record, &st, AT_SYMLINK_NOFOLLOW)
                                   ? errno != ENOENT
                                   : same_file(d->fd, record, u->line.path));
    shared_data_name(u->record.id, name);
    if (!u->record.small && !named)
        unlinkat(d->fd, name, 0);
}

static int publish_in(const struct shared_store *store, struct key_directory *d, struct upload *u,
                      bool *vanished)
{
    int rc = move_data(store, d, u, vanished);
    if (!rc)
        rc = link_line(store, d, u, vanished);
    if (!rc)
        rc = shared_key_sync(store, d);
    if (rc && !*vanished) {
        struct error error = *error_last();
        take_back(d, u);
        error_restore(&error);
    }
    return rc;
}

static int publish(const struct shared_store *store, struct upload *u)
{
    const struct object_info *info = &u->record.info;
    struct key_directory d = {.fd = -1};
    bool vanished = true;
    int64_t freed = 0;
    int rc = OK;
    for (int i = 0; vanished && i < SHARED_TRIES; i++) {
        vanished = false;
        rc = shared_key_make(store, info->bucket, info->key, &d);
        if (rc)
            return rc;
        rc = publish_in(store, &d, u, &vanished);
        if (!rc)
            shared_key_expire(store, &d, &freed); /* as it was before this version */
        shared_key_close(&d);
    }
    return rc;
}

int shared_write_object(const struct shared_store *store, const struct object_source *source,
                        struct object_info *info)
{
    struct upload u;
    int rc = begin_upload(&u, info);
    if (!rc)
        rc = receive(store, &u, source);
    if (!rc) {
        struct object_info *made = &u.record.info;
        made->size = u.size;
        made->modified_ms = clock_now(store->clock);
        made->content = digest_end(u.digest, made->etag);
        u.digest = NULL;
        u.record.small = !u.data.path;
        rc = write_line(store, &u);
    }
    if (!rc)
        rc = publish(store, &u);
    if (!rc) {
        *info = u.record.info;
        snprintf(info->version_id, sizeof info->version_id, "%s-%s", info->sequencer, u.record.id);
    }
    end_upload(&u);
    return rc;
}
