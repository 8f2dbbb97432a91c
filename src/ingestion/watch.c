#include "ingestion/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "ingestion/files_internal.h"
#include "ingestion/watch_folders.h"
#include "ingestion/watch_pending.h"
#include "shared/random.h"
#include "shared/retry.h"

enum {
    PENDING_MAX = 4096, /* then files are taken before more are noted */
    LIST_AT_ONCE = 64,
    EVENT_BYTES = 64 * 1024,
};

static const struct retry_policy patience = {.base_ms = 500, .cap_ms = 30000};

struct watch {
    const struct ingestion_ports *ports;
    const struct watch_options *options;
    struct file_options files; /* the options' own, with our report */
    const struct cancel *cancel;
    struct file_root root;
    bool has_excluded;
    struct stat excluded;
    struct watched_folders folders;
    struct intake *in;
    struct pending_list pending; /* to be taken, or removed (mirror) */
    bool overflowed;             /* inotify lost events: look at everything */
    bool root_gone;
    int failures; /* of the storage, in a row */
    char bytes[EVENT_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
};

/* ---- names ---- */

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool is_temporary(const char *name)
{
    static const char *const ends[] = {".part",       ".partial",  ".tmp",
                                       ".crdownload", ".download", "~"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_with(name, ends[i]))
            return true;
    return false;
}

static bool is_hidden(const struct watch *w, const char *name)
{
    return name[0] == '.' && !w->files.hidden;
}

static int full_path(const struct watch *w, const char *relative, char path[PATH_MAX])
{
    return file_join(w->root.given, relative, path);
}

/* ---- taking and removing ---- */

/* The disk is full, the database does not answer: worth waiting for, whatever the file. */
static bool storage_failed(const struct error *e)
{
    return (e->code == ERR_DISK_FULL || e->code == ERR_SYSTEMIC || e->code == ERR_TRANSIENT) &&
           strcmp(e->reason, "inotify_limit") != 0;
}

/* The reports of the intake pass through here: what the storage refused is noted again, and a file
 * that has gone before it was taken is none. */
static int on_report(void *ctx, const struct file_report *report)
{
    struct watch *w = ctx;
    const struct file_options *files = &w->options->files;
    bool failed = report->result == FILE_FAILED;
    if (failed && report->error->code == ERR_NOT_FOUND)
        return OK;
    if (failed && storage_failed(report->error)) {
        size_t skip = strlen(w->root.given);
        const char *relative = report->path + skip;
        int rc = pending_note(&w->pending, relative + (*relative == '/'),
                              (struct pending){.closed = true, .writer = WRITER_UNLIKELY});
        if (rc)
            return rc;
    }
    return files->report ? files->report(files->ctx, report) : OK;
}

static int remove_object(struct watch *w, const char *path, const char *key)
{
    const struct object_store *store = &w->ports->store;
    const char *bucket = w->files.bucket ? w->files.bucket : "media";
    struct object_info info;
    struct event_outcome outcome;
    int rc = intake_flush(w->in); /* the key's older events come first */
    if (!rc)
        rc = store->ops->head(store->ctx, bucket, key, &info);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (!rc)
        rc = ingest_remove(w->ports, bucket, key, &outcome);
    if (rc)
        return rc;
    return intake_report(w->in, &(struct file_report){.result = FILE_REMOVED,
                                                      .path = path,
                                                      .key = key,
                                                      .size = info.size,
                                                      .outcome = &outcome});
}

static int look_at(struct watch *w, const struct pending *p, bool *left_alone)
{
    char path[PATH_MAX], key[CAP_KEY + 1];
    struct stat st;
    if (full_path(w, p->relative, path) || file_key(&w->root, p->relative, &w->files, key))
        return intake_refuse(w->in, FILE_FAILED, p->relative, "");
    if (stat(path, &st))
        return w->options->mirror && errno == ENOENT ? remove_object(w, path, key) : OK;
    if (S_ISDIR(st.st_mode)) /* a link to one: folders have events of their own */
        return OK;
    w->files.trust_times = p->trust_times && w->options->files.trust_times;
    return intake_file(w->in, path, key, p->writer, left_alone);
}

/* A little longer each time. inotify keeps events meanwhile, or says that it lost some. */
static void wait_for_storage(struct watch *w)
{
    uint64_t word;
    random_bytes(&word, sizeof word);
    int64_t until = clock_monotonic_ms() + retry_delay(&patience, ++w->failures, -1, word);
    while (!cancel_requested(w->cancel) && clock_monotonic_ms() < until)
        poll(NULL, 0, CANCEL_POLL_MS / 4);
}

static int flush(struct watch *w)
{
    int rc = intake_flush(w->in); /* on_report notes again what was not recorded */
    if (!rc || !storage_failed(error_last()))
        return rc;
    wait_for_storage(w);
    return OK;
}

/* The file that could not be stored is told of, and noted again by on_report. */
static int storage_failure(struct watch *w, const struct pending *p)
{
    char path[PATH_MAX];
    struct error error = *error_last();
    if (full_path(w, p->relative, path))
        return error_restore(&error);
    error_restore(&error);
    int rc = intake_refuse(w->in, FILE_FAILED, path, "");
    if (!rc)
        wait_for_storage(w);
    return rc;
}

static int take_pending(struct watch *w)
{
    int rc = OK;
    while (!rc && w->pending.first && !cancel_requested(w->cancel)) {
        struct pending *p = pending_next(&w->pending);
        bool left_alone = false;
        rc = look_at(w, p, &left_alone);
        if (!rc)
            w->failures = 0;
        else if (storage_failed(error_last()))
            rc = storage_failure(w, p);
        if (left_alone)
            pending_later(&w->pending, p);
        else
            free(p);
        if (!rc && !w->pending.first)
            rc = flush(w); /* which may note some again */
    }
    return rc;
}

/* ---- looking through a folder ---- */

static int scan(struct watch *w, const char *relative, bool trust_times);

static bool is_excluded(const struct watch *w, const char *path)
{
    struct stat st;
    return w->has_excluded && stat(path, &st) == 0 && st.st_dev == w->excluded.st_dev &&
           st.st_ino == w->excluded.st_ino;
}

static bool is_folder(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int scan_entry(struct watch *w, const char *folder, const char *name, bool is_dir,
                      bool trust_times)
{
    char *relative = NULL;
    if (!strcmp(name, ".") || !strcmp(name, "..") || is_hidden(w, name))
        return OK;
    if (!is_dir && is_temporary(name))
        return OK;
    if (asprintf(&relative, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc =
        is_dir
            ? scan(w, relative, trust_times)
            : pending_note(&w->pending, relative,
                           (struct pending){.trust_times = trust_times, .writer = WRITER_UNLIKELY});
    free(relative);
    return rc;
}

static int scan_entries(struct watch *w, const char *path, const char *relative, bool trust_times)
{
    DIR *dir = opendir(path);
    if (!dir) {
        error_set_errno(errno, "cannot read folder '%s'", path);
        return intake_refuse(w->in, FILE_FAILED, path, "");
    }
    int rc = OK;
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        rc = scan_entry(w, relative, entry->d_name, is_folder(dir, entry), trust_times);
        if (!rc && w->pending.count >= PENDING_MAX)
            rc = take_pending(w);
        if (!rc && cancel_requested(w->cancel))
            rc = error_set(ERR_CANCELLED, NULL, "stopped");
    }
    closedir(dir);
    return rc;
}

/* The watch comes before the look, so that nothing that appears between the two is missed. */
static int scan(struct watch *w, const char *relative, bool trust_times)
{
    char *path = malloc(PATH_MAX);
    int rc = path ? full_path(w, relative, path) : error_set(ERR_NO_MEMORY, NULL, "out of memory");
    if (!rc && *relative && is_excluded(w, path)) {
        free(path);
        return OK;
    }
    if (!rc)
        rc = watched_folders_add(&w->folders, path, relative);
    if (!rc)
        rc = scan_entries(w, path, relative, trust_times);
    else if (*relative && rc == ERR_NOT_FOUND)
        rc = OK; /* gone again */
    else if (*relative && (rc == ERR_IO || rc == ERR_TOO_LARGE))
        rc = intake_refuse(w->in, FILE_FAILED, path, "");
    free(path);
    return rc;
}

/* ---- mirror: objects whose files have gone ---- */

/* The path below the root that a key stands for. */
static const char *relative_of(const char *key, size_t prefix_length)
{
    return key + prefix_length;
}

static int remove_if_gone(struct watch *w, const char *key, size_t prefix_length)
{
    char path[PATH_MAX];
    struct stat st;
    if (full_path(w, relative_of(key, prefix_length), path) || stat(path, &st) == 0 ||
        errno != ENOENT)
        return OK;
    return remove_object(w, path, key);
}

/* "a/b" becomes "a/b/"; the empty key stays. There is room for one more byte. */
static void close_with_slash(char *key)
{
    size_t length = strlen(key);
    if (length > 0)
        memcpy(key + length, "/", 2);
}

/* All keys below a folder, in pages. */
static int remove_gone(struct watch *w, const char *relative)
{
    const struct object_store *store = &w->ports->store;
    const char *bucket = w->files.bucket ? w->files.bucket : "media";
    char root[CAP_KEY + 2], prefix[CAP_KEY + 2], after[CAP_KEY + 1] = "";
    struct object_info *items;
    size_t count = LIST_AT_ONCE;
    int rc = file_key(&w->root, "", &w->files, root);
    if (!rc)
        rc = file_key(&w->root, relative, &w->files, prefix);
    if (!rc)
        close_with_slash(root);
    if (!rc)
        close_with_slash(prefix);
    while (!rc && count == LIST_AT_ONCE) {
        struct arena arena;
        arena_init(&arena, MIB(4));
        rc = store->ops->list(store->ctx, bucket, prefix, after, LIST_AT_ONCE, &arena, &items,
                              &count);
        for (size_t i = 0; !rc && i < count; i++)
            rc = remove_if_gone(w, items[i].key, strlen(root));
        if (!rc && count)
            snprintf(after, sizeof after, "%s", items[count - 1].key);
        arena_free(&arena);
    }
    return rc;
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    size_t entries = 0;
    while (dir && entries < 3 && readdir(dir))
        entries++;
    if (dir)
        closedir(dir);
    return entries < 3; /* "." and ".." */
}

static int remove_all_gone(struct watch *w)
{
    if (!w->options->mirror)
        return OK;
    if (!is_empty(w->root.given))
        return remove_gone(w, "");
    error_set(ERR_INVALID, "empty_root",
              "'%s' is empty: nothing is removed for it, the disk may not be mounted",
              w->root.given);
    return intake_refuse(w->in, FILE_SKIPPED, w->root.given, "");
}

/* ---- events ---- */

static int folder_event(struct watch *w, const struct inotify_event *e, const char *relative)
{
    if (is_hidden(w, e->name))
        return OK;
    if (e->mask & IN_MOVED_FROM) {
        watched_folders_remove(&w->folders, relative);
        return w->options->mirror ? remove_gone(w, relative) : OK;
    }
    /* What is in a folder that is moved here may be older than what was here before it, so its
     * files' times say nothing. */
    if (e->mask & (IN_CREATE | IN_MOVED_TO))
        return scan(w, relative, false);
    return OK;
}

static int file_event(struct watch *w, const struct inotify_event *e, const char *relative)
{
    const uint32_t interesting =
        IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_MOVED_FROM | IN_DELETE;
    if (!(e->mask & interesting) || is_hidden(w, e->name) || is_temporary(e->name))
        return OK;
    /* a name that is created is a link made to a finished file, or a file that is about to be
     * written and closed */
    return pending_note(&w->pending, relative,
                        (struct pending){
                            .closed = e->mask & IN_CLOSE_WRITE,
                            .writer = e->mask & IN_CREATE ? WRITER_ABSENT : WRITER_UNLIKELY,
                        });
}

static int named_event(struct watch *w, const struct inotify_event *e, const char *folder)
{
    char *relative;
    if (asprintf(&relative, "%s%s%s", folder, *folder ? "/" : "", e->name) < 0)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc = e->mask & IN_ISDIR ? folder_event(w, e, relative) : file_event(w, e, relative);
    free(relative);
    return rc;
}

static int handle(struct watch *w, const struct inotify_event *e)
{
    if (e->mask & IN_Q_OVERFLOW) {
        w->overflowed = true;
        return OK;
    }
    const char *folder = watched_folders_find(&w->folders, e->wd);
    if (!folder)
        return OK;
    if (!*folder && (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)))
        w->root_gone = true;
    if (e->mask & IN_IGNORED) {
        watched_folders_forget(&w->folders, e->wd);
        return OK;
    }
    return e->len > 0 ? named_event(w, e, folder) : OK;
}

static int read_events(struct watch *w)
{
    ssize_t n = read(w->folders.fd, w->bytes, sizeof w->bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return OK;
    if (n < 0)
        return error_set_errno(errno, "cannot read the events of '%s'", w->root.given);
    int rc = OK;
    for (ssize_t at = 0; !rc && at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(w->bytes + at);
        at += (ssize_t)(sizeof *e + e->len);
        rc = handle(w, e);
    }
    return rc;
}

/* ---- watching ---- */

static int look_at_everything(struct watch *w)
{
    w->overflowed = false;
    int rc = scan(w, "", true);
    if (!rc)
        rc = take_pending(w);
    if (!rc)
        rc = remove_all_gone(w);
    if (!rc || !storage_failed(error_last()))
        return rc;
    w->overflowed = true; /* once more */
    wait_for_storage(w);
    return OK;
}

/* How long to wait for an event. */
static int patience_of(const struct watch *w)
{
    if (w->pending.first || w->overflowed)
        return 0;
    return w->pending.later ? PENDING_LATER_MS : CANCEL_POLL_MS;
}

static int watch_on(struct watch *w)
{
    struct pollfd p = {.fd = w->folders.fd, .events = POLLIN};
    int rc = OK;
    while (!rc && !cancel_requested(w->cancel) && !w->root_gone) {
        if (poll(&p, 1, patience_of(w)) > 0)
            rc = read_events(w);
        if (!rc)
            rc = pending_again(&w->pending);
        if (rc && storage_failed(error_last())) { /* while removing what a folder took with it */
            w->overflowed = true;
            wait_for_storage(w);
            rc = OK;
        }
        if (!rc && w->overflowed)
            rc = look_at_everything(w);
        if (!rc)
            rc = take_pending(w);
    }
    if (!rc && w->root_gone)
        rc = error_set(ERR_NOT_FOUND, NULL, "'%s' was removed or renamed: it is watched no more",
                       w->root.given);
    return rc;
}

static int watch_from_the_start(struct watch *w)
{
    int rc;
    do
        rc = look_at_everything(w);
    while (!rc && w->overflowed && !cancel_requested(w->cancel));
    if (!rc && w->options->ready && !cancel_requested(w->cancel))
        w->options->ready(w->options->files.ctx);
    return rc ? rc : watch_on(w);
}

static int check_root(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return error_set_errno(errno, "cannot watch '%s'", path);
    return S_ISDIR(st.st_mode) ? OK : error_set(ERR_INVALID, NULL, "'%s' is not a folder", path);
}

static int open_watch(struct watch *w, const struct ingestion_ports *ports, const char *root,
                      const struct watch_options *options)
{
    w->ports = ports;
    w->options = options;
    w->cancel = options->files.cancel;
    w->files = options->files;
    w->files.key = NULL;
    w->files.report = on_report;
    w->files.ctx = w;
    w->folders.fd = -1;
    pending_init(&w->pending);
    w->has_excluded = options->files.exclude && stat(options->files.exclude, &w->excluded) == 0;
    int rc = check_root(root);
    if (!rc)
        rc = file_root_init(&w->root, root);
    if (!rc)
        rc = intake_open(ports, &w->files, NULL, &w->in);
    return rc ? rc : watched_folders_init(&w->folders);
}

static void close_watch(struct watch *w)
{
    pending_fini(&w->pending);
    intake_close(w->in);
    watched_folders_fini(&w->folders);
    free(w);
}

int watch_folder(const struct ingestion_ports *ports, const char *root,
                 const struct watch_options *options)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc = open_watch(w, ports, root, options);
    if (!rc)
        rc = watch_from_the_start(w);
    if (w->in) {
        struct error error = *error_last();
        int flushed = intake_flush(w->in);
        if (rc)
            error_restore(&error);
        else
            rc = flushed;
    }
    close_watch(w);
    return rc == ERR_CANCELLED ? OK : rc;
}
