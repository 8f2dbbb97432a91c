#include "adapters/local/store_shared_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/error.h"
#include "shared/file.h"

enum { MAKE_AGAIN = 100 };

/* ---- errors ---- */

static int open_directory(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opening it makes a client of NFS ask the server. */
int shared_alive(const struct shared_store *store)
{
    int fd = open_directory(store->objects);
    if (fd >= 0) {
        close(fd);
        return OK;
    }
    return error_set(ERR_SYSTEMIC, "store_gone",
                     "the shared folder '%s' is not there ('%s': %s); see that it is mounted",
                     store->directory, store->objects, strerror(errno));
}

int shared_fail(const struct shared_store *store, int errnum, const char *doing, const char *path)
{
    switch (errnum) {
    case ESTALE: /* another machine took this very file, or the whole folder is gone */
        if (shared_alive(store))
            return ERR_SYSTEMIC;
        return error_set(ERR_TRANSIENT, "file_stale", "cannot %s '%s': %s", doing, path,
                         strerror(errnum));
    case ENOENT:
    case ENOTDIR:
    case ENOTCONN:
    case ENODEV:
    case ENXIO:
        return error_set(ERR_SYSTEMIC, "store_gone",
                         "cannot %s '%s': %s; see that the shared folder '%s' is mounted", doing,
                         path, strerror(errnum), store->directory);
    case EACCES:
    case EPERM:
    case EROFS:
        return error_set(ERR_SYSTEMIC, "store_not_writable",
                         "cannot %s '%s': %s; let this user read and write all of '%s'", doing,
                         path, strerror(errnum), store->directory);
    default:
        return error_set_errno(errnum, "cannot %s '%s'", doing, path);
    }
}

/* ---- listing ---- */

/* Keeps the least ones. */
static void add_version(struct key_directory *d, uint64_t sequencer)
{
    size_t at = d->count;
    if (sequencer > d->newest)
        d->newest = sequencer;
    if (shared_is_removal(sequencer) && sequencer > d->removed)
        d->removed = sequencer;
    while (at > 0 && d->oldest[at - 1] > sequencer)
        at--;
    if (at == SHARED_OLDEST)
        return;
    size_t behind = d->count - at - (d->count == SHARED_OLDEST);
    memmove(&d->oldest[at + 1], &d->oldest[at], behind * sizeof d->oldest[0]);
    d->oldest[at] = sequencer;
    d->count += d->count < SHARED_OLDEST;
}

static int list_versions(const struct shared_store *store, struct key_directory *d)
{
    int copy = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int rc = shared_fail(store, errno, "read directory", d->path);
        if (copy >= 0)
            close(copy);
        return rc;
    }
    uint64_t sequencer;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0)
        if (shared_sequencer_parse(entry->d_name, &sequencer))
            add_version(d, sequencer);
    int rc = errno ? shared_fail(store, errno, "read directory", d->path) : OK;
    closedir(dir);
    return rc;
}

/* ---- opening ---- */

/* The lengths of the paths above d->path that are the store's: objects, bucket, fan. */
static void upper_paths(const struct shared_store *store, const char *path, size_t lengths[3])
{
    lengths[0] = strlen(store->objects);
    for (int i = 1; i < 3; i++) {
        const char *slash = strchr(path + lengths[i - 1] + 1, '/');
        lengths[i] = slash ? (size_t)(slash - path) : strlen(path);
    }
}

/* A client of NFS may remember that a name was not there; opening a directory makes it look anew at
 * what it knows of the names in it. */
static void look_anew(const struct shared_store *store, const char *path)
{
    size_t lengths[3];
    char upper[PATH_MAX];
    upper_paths(store, path, lengths);
    for (int i = 0; i < 3; i++) {
        snprintf(upper, sizeof upper, "%.*s", (int)lengths[i], path);
        int fd = open_directory(upper);
        if (fd < 0)
            return;
        close(fd);
    }
}

static int open_listed(const struct shared_store *store, struct key_directory *d)
{
    d->newest = d->removed = 0;
    d->count = 0;
    d->fd = open_directory(d->path);
    if (d->fd < 0 && errno == ENOENT) {
        look_anew(store, d->path);
        d->fd = open_directory(d->path);
    }
    if (d->fd < 0 && errno == ENOENT)
        return shared_alive(store);
    if (d->fd < 0)
        return shared_fail(store, errno, "open directory", d->path);
    int rc = list_versions(store, d);
    if (rc)
        shared_key_close(d);
    return rc;
}

static void key_path(const struct shared_store *store, const char *bucket, const char *key,
                     char out[PATH_MAX])
{
    char name[NAME_MAX + 1];
    shared_key_encode(key, name);
    snprintf(out, PATH_MAX, "%s/%s/%02x/%s", store->objects, bucket, shared_key_fan(key), name);
}

int shared_key_open(const struct shared_store *store, const char *bucket, const char *key,
                    struct key_directory *out)
{
    key_path(store, bucket, key, out->path);
    return open_listed(store, out);
}

int shared_key_open_path(const struct shared_store *store, const char *path,
                         struct key_directory *out)
{
    snprintf(out->path, sizeof out->path, "%s", path);
    return open_listed(store, out);
}

void shared_key_close(struct key_directory *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

int shared_key_sync(const struct shared_store *store, const struct key_directory *d)
{
    return fsync(d->fd) ? shared_fail(store, errno, "sync directory", d->path) : OK;
}

/* ---- making ---- */

static int sync_path(const struct shared_store *store, const char *path)
{
    int fd = open_directory(path);
    int rc = OK;
    if (fd < 0 || fsync(fd))
        rc = shared_fail(store, errno, "sync directory", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int make_directory(const struct shared_store *store, const char *path)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return shared_fail(store, errno, "create directory", path);
    return OK;
}

/* The directories that lead to it, made and synced whoever made them: he may not have got so far.
 * Once there is a version, all this was done before. */
static int make_path(const struct shared_store *store, const char *path)
{
    size_t lengths[3];
    char upper[3][PATH_MAX];
    int rc = OK;
    upper_paths(store, path, lengths);
    for (int i = 0; i < 3; i++)
        snprintf(upper[i], sizeof upper[i], "%.*s", (int)lengths[i], path);
    for (int i = 1; !rc && i < 3; i++)
        rc = make_directory(store, upper[i]);
    if (!rc)
        rc = make_directory(store, path);
    for (int i = 2; !rc && i >= 0; i--)
        rc = sync_path(store, upper[i]);
    return rc;
}

/* A sweep may take the directory away again as long as it is empty. */
int shared_key_make(const struct shared_store *store, const char *bucket, const char *key,
                    struct key_directory *out)
{
    int rc = shared_key_open(store, bucket, key, out);
    if (rc || (out->fd >= 0 && out->newest))
        return rc;
    for (int i = 0; i < MAKE_AGAIN; i++) {
        shared_key_close(out);
        rc = make_path(store, out->path);
        if (!rc)
            rc = open_listed(store, out);
        if (rc || out->fd >= 0)
            return rc;
    }
    return error_set(ERR_TRANSIENT, "key_busy", "directory '%s' was taken away just now: try again",
                     out->path);
}

uint64_t shared_next_sequencer(const struct key_directory *d, int64_t now_ms, bool removal)
{
    uint64_t next = now_ms > 0 ? (uint64_t)now_ms * 1000 : 1;
    if (next <= d->newest)
        next = d->newest + 1;
    return shared_is_removal(next) == removal ? next : next + 1;
}
