#include "ingestion/watch_folders.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "shared/error.h"

int watched_folders_init(struct watched_folders *f)
{
    *f = (struct watched_folders){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    if (f->fd >= 0)
        return OK;
    if (errno == EMFILE)
        return error_set(ERR_SYSTEMIC, "inotify_limit",
                         "too many programs watch folders: raise the limit, such as with `sysctl "
                         "fs.inotify.max_user_instances=1024`");
    return error_set_errno(errno, "cannot watch folders");
}

void watched_folders_fini(struct watched_folders *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].relative);
    free(f->items);
    if (f->fd >= 0)
        close(f->fd);
}

static size_t position(const struct watched_folders *f, int number)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct watched_folders *f, size_t at, int number)
{
    return at < f->count && f->items[at].number == number;
}

static int remember(struct watched_folders *f, int number, char *relative)
{
    size_t at = position(f, number);
    if (is_at(f, at, number)) {
        free(f->items[at].relative);
        f->items[at].relative = relative;
        return OK;
    }
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 16;
        struct watched_folder *items = realloc(f->items, capacity * sizeof *items);
        if (!items)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory");
        f->items = items;
        f->capacity = capacity;
    }
    memmove(&f->items[at + 1], &f->items[at], (f->count - at) * sizeof *f->items);
    f->items[at] = (struct watched_folder){.number = number, .relative = relative};
    f->count++;
    return OK;
}

static int cannot_watch(const char *path, int errnum)
{
    if (errnum == ENOSPC)
        return error_set(ERR_SYSTEMIC, "inotify_limit",
                         "cannot watch '%s', too many folders are watched: raise the limit, such "
                         "as with `sysctl fs.inotify.max_user_watches=1048576`",
                         path);
    if (errnum == ENOTDIR || errnum == ELOOP)
        return error_set(ERR_NOT_FOUND, NULL, "'%s' is no folder", path);
    return error_set_errno(errnum, "cannot watch folder '%s'", path);
}

int watched_folders_add(struct watched_folders *f, const char *path, const char *relative)
{
    const uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |
                            IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    char *copy = strdup(relative);
    if (!copy)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int number = inotify_add_watch(f->fd, path, events | (*relative ? IN_DONT_FOLLOW : 0));
    int rc = number < 0 ? cannot_watch(path, errno) : remember(f, number, copy);
    if (rc)
        free(copy);
    return rc;
}

const char *watched_folders_find(const struct watched_folders *f, int number)
{
    size_t at = position(f, number);
    return is_at(f, at, number) ? f->items[at].relative : NULL;
}

static void delete_at(struct watched_folders *f, size_t at)
{
    free(f->items[at].relative);
    f->count--;
    memmove(&f->items[at], &f->items[at + 1], (f->count - at) * sizeof *f->items);
}

void watched_folders_forget(struct watched_folders *f, int number)
{
    size_t at = position(f, number);
    if (is_at(f, at, number))
        delete_at(f, at);
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return n == 0 || (strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

void watched_folders_remove(struct watched_folders *f, const char *relative)
{
    for (size_t i = f->count; i-- > 0;)
        if (is_below(f->items[i].relative, relative)) {
            inotify_rm_watch(f->fd, f->items[i].number);
            delete_at(f, i);
        }
}
