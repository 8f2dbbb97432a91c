#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/local/store_shared_internal.h"
#include "adapters/local/store_shared_keys.h"
#include "shared/cancel.h"
#include "shared/error.h"
#include "shared/object_name.h"

enum { STALE_SECONDS = 24 * 60 * 60 };

static const int64_t forget_ms = INT64_C(7) * 24 * 60 * 60 * 1000;

int shared_server_time(struct shared_store *store, int64_t *now)
{
    char id[TRACE_ID_TEXT], path[PATH_MAX];
    struct stat st;
    random_trace_id(id);
    snprintf(path, sizeof path, "%s/%s.time", store->incoming, id);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0400);
    if (fd < 0)
        return shared_fail(store, errno, "create", path);
    int rc = fstat(fd, &st) ? shared_fail(store, errno, "look at", path) : OK;
    close(fd);
    unlink(path);
    if (!rc)
        *now = st.st_mtime;
    return rc;
}

static bool is_stale(int directory, const char *name, int64_t now)
{
    struct stat st;
    return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_mtime < now - STALE_SECONDS;
}

int shared_sweep_incoming(struct shared_store *store, int64_t now)
{
    DIR *dir = opendir(store->incoming);
    if (!dir)
        return shared_fail(store, errno, "read directory", store->incoming);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && is_stale(dirfd(dir), entry->d_name, now))
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    return OK;
}

/* ---- one key ---- */

/* Whether one of the versions that `d` tells of has these bytes; all of them are in d->oldest. What
 * cannot be read may have them. */
static bool is_named(const struct shared_store *store, const struct key_directory *d,
                     const char *id)
{
    struct record record;
    for (size_t i = 0; i < d->count; i++) {
        if (shared_is_removal(d->oldest[i]))
            continue;
        int rc = shared_record_read(store, d, d->oldest[i], &record, NULL);
        if (rc ? rc != ERR_NOT_FOUND : strcmp(record.id, id) == 0)
            return true;
    }
    return false;
}

static void delete_orphan(const struct shared_store *store, const struct key_directory *d,
                          const char *name, int64_t *freed)
{
    char id[TRACE_ID_TEXT];
    struct stat st;
    if (shared_data_parse(name, id) && !is_named(store, d, id) &&
        fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(d->fd, name, 0) == 0)
        *freed += st.st_size;
}

/* A crash between moving bytes in and linking their record leaves them here. */
static void delete_orphans(const struct shared_store *store, const char *path, int64_t now,
                           int64_t *freed)
{
    struct key_directory d = {.fd = -1};
    DIR *dir = opendir(path);
    if (!dir)
        return;
    if (shared_key_open_path(store, path, &d) == OK && d.fd >= 0) {
        for (struct dirent *entry; d.count < SHARED_OLDEST && (entry = readdir(dir));)
            if (entry->d_name[0] != '.' && is_stale(d.fd, entry->d_name, now))
                delete_orphan(store, &d, entry->d_name, freed);
        shared_key_close(&d);
    }
    closedir(dir);
}

/* A removal that is the last thing known of its key is forgotten once the clock alone gives greater
 * sequencers. The directory goes only if it is empty. */
static void forget(const struct shared_store *store, const struct key_directory *d, int64_t now)
{
    char name[SEQUENCER_TEXT];
    bool empty = d->newest == 0 && is_stale(d->fd, ".", now);
    if (shared_is_removal(d->newest) && d->count == 1 &&
        clock_now(store->clock) - (int64_t)(d->newest / 1000) >= forget_ms) {
        shared_sequencer_format(d->newest, name);
        empty = unlinkat(d->fd, name, 0) == 0;
    }
    if (empty)
        rmdir(d->path);
}

static int sweep_key(const struct shared_store *store, const char *path, int64_t now,
                     int64_t *freed)
{
    struct key_directory d = {.fd = -1};
    bool done = false;
    while (!done) {
        int rc = shared_key_open_path(store, path, &d);
        if (rc || d.fd < 0)
            return rc;
        uint64_t least = d.count ? d.oldest[0] : 0;
        done = shared_key_expire(store, &d, freed);
        shared_key_close(&d);
        rc = shared_key_open_path(store, path, &d);
        if (rc || d.fd < 0)
            return rc;
        done = done || (d.count && d.oldest[0] == least); /* nothing can be deleted */
        if (done)
            forget(store, &d, now);
        shared_key_close(&d);
    }
    delete_orphans(store, path, now, freed);
    return OK;
}

/* ---- all ---- */

int shared_sweep_fan(struct shared_store *store, const char *bucket, unsigned fan, int64_t now,
                     int64_t *freed)
{
    char path[PATH_MAX], key[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/%02x", store->objects, bucket, fan);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? OK : shared_fail(store, errno, "read directory", path);
    int rc = OK;
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(key, sizeof key, "%s/%s", path, entry->d_name) < (int)sizeof key)
            rc = sweep_key(store, key, now, freed);
    }
    closedir(dir);
    return rc;
}

static int sweep_bucket(struct shared_store *store, const char *bucket, int64_t now,
                        const struct cancel *cancel, int64_t *freed)
{
    int rc = OK;
    for (unsigned fan = 0; !rc && fan < SHARED_FANS; fan++) {
        if (cancel_requested(cancel))
            rc = error_set(ERR_CANCELLED, NULL, "stopped while collecting unused bytes");
        else
            rc = shared_sweep_fan(store, bucket, fan, now, freed);
    }
    return rc;
}

int shared_sweep_all(struct shared_store *store, const struct cancel *cancel, int64_t *freed)
{
    int64_t now = 0;
    int rc = shared_server_time(store, &now);
    if (!rc)
        rc = shared_sweep_incoming(store, now);
    if (rc)
        return rc;
    DIR *dir = opendir(store->objects);
    if (!dir)
        return shared_fail(store, errno, "read directory", store->objects);
    if (cancel_requested(cancel))
        rc = error_set(ERR_CANCELLED, NULL, "stopped while collecting unused bytes");
    for (struct dirent *entry; !rc && (entry = readdir(dir));)
        if (object_bucket_check(entry->d_name) == OK)
            rc = sweep_bucket(store, entry->d_name, now, cancel, freed);
    closedir(dir);
    return rc;
}
