#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "adapters/local/store_shared_keys.h"
#include "adapters/local/store_shared_write.h"
#include "shared/error.h"

/* On a full disk nothing can be created, and removing is what makes room: the newest version's
 * record becomes the removal. Two that do this at once make one removal. */
static int rename_to_removal(const struct shared_store *store, const struct key_directory *d,
                             const char *name)
{
    char newest[SEQUENCER_TEXT], data[DATA_NAME_TEXT];
    struct record record;
    int rc = shared_record_read(store, d, d->newest, &record, NULL);
    if (rc)
        return rc;
    shared_sequencer_format(d->newest, newest);
    if (renameat(d->fd, newest, d->fd, name))
        return shared_fail(store, errno, "rename a version in", d->path);
    rc = shared_key_sync(store, d);
    shared_data_name(record.id, data);
    if (!rc && !record.small)
        unlinkat(d->fd, data, 0);
    return rc;
}

/* Takes the first free sequencer. A creation sent twice makes two removals, which does no harm. */
static int create_removal(const struct shared_store *store, const struct key_directory *d,
                          struct object_info *info, bool *vanished)
{
    uint64_t sequencer = shared_next_sequencer(d, clock_now(store->clock), true);
    for (int i = 0; i < SHARED_TRIES; i++, sequencer += 2) {
        shared_sequencer_format(sequencer, info->sequencer);
        int fd = openat(d->fd, info->sequencer, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0400);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0 && (errno == ENOSPC || errno == EDQUOT) && d->newest &&
            !shared_is_removal(d->newest))
            return rename_to_removal(store, d, info->sequencer);
        if (fd < 0)
            return shared_directory_failed(store, d, NULL, errno, "create a removal in", vanished);
        int rc = fsync(fd) ? shared_fail(store, errno, "sync a removal in", d->path) : OK;
        close(fd);
        return rc ? rc : shared_key_sync(store, d);
    }
    return error_set(ERR_TRANSIENT, "key_busy", "too many remove object '%s' at once: try again",
                     info->key);
}

/* All below the removal; it is in force already, so what stays is found by a later sweep. */
static void delete_removed(const struct shared_store *store, const char *path)
{
    struct key_directory d = {.fd = -1};
    int64_t freed = 0;
    bool done = false;
    for (int i = 0; !done && i < SHARED_TRIES; i++) {
        if (shared_key_open_path(store, path, &d) || d.fd < 0)
            return;
        done = shared_key_expire(store, &d, &freed);
        shared_key_close(&d);
    }
}

int shared_write_removal(const struct shared_store *store, struct object_info *info)
{
    struct key_directory d = {.fd = -1};
    bool vanished = true;
    int rc = OK;
    for (int i = 0; vanished && i < SHARED_TRIES; i++) {
        vanished = false;
        rc = shared_key_make(store, info->bucket, info->key, &d);
        if (rc)
            return rc;
        rc = create_removal(store, &d, info, &vanished);
        shared_key_close(&d);
    }
    if (!rc)
        delete_removed(store, d.path);
    return rc;
}
