#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingestion/files_internal.h"
#include "shared/object_name.h"

enum {
    BATCH = 64,            /* events recorded together */
    BATCH_MS = 100,        /* and no later than this after the first */
    LARGE = 1024 * 1024,   /* a file that makes others wait: they are recorded first */
    PROGRESS_MS = 100,     /* between two reports of one upload */
    READ_TRIES = 3,        /* of a file that changes while it is read */
    TRUSTED_AGE_MS = 2000, /* the coarsest file times (FAT's) */
    HASH_BYTES = 256 * 1024,
};

struct waiting {
    enum file_result result;
    char *path;
    struct object_info info;
    char trace_id[TRACE_ID_TEXT];
};

struct intake {
    const struct ingestion_ports *ports;
    const struct file_options *options;
    const char *bucket;
    struct file_totals *totals, unwanted_totals;
    int stop;         /* what the report returned when it wanted no more */
    int64_t first_ms; /* when the oldest waiting began to wait */
    size_t count;
    struct waiting waiting[BATCH];
};

/* ---- opening, reporting ---- */

int intake_open(const struct ingestion_ports *ports, const struct file_options *options,
                struct file_totals *totals, struct intake **out)
{
    const char *bucket = options->bucket ? options->bucket : "media";
    int rc = object_bucket_check(bucket);
    if (rc)
        return rc;
    if (options->collection && strlen(options->collection) > CAP_COLLECTION)
        return error_set(ERR_INVALID, NULL, "the name of collection '%.40s...' is longer than %d",
                         options->collection, CAP_COLLECTION);
    struct intake *in = calloc(1, sizeof *in);
    if (!in)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    in->ports = ports;
    in->options = options;
    in->bucket = bucket;
    in->totals = totals ? totals : &in->unwanted_totals;
    *in->totals = (struct file_totals){0};
    *out = in;
    return OK;
}

static void drop_waiting(struct intake *in)
{
    for (size_t i = 0; i < in->count; i++)
        free(in->waiting[i].path);
    in->count = 0;
}

void intake_close(struct intake *in)
{
    if (!in)
        return;
    drop_waiting(in);
    free(in);
}

int intake_report(struct intake *in, const struct file_report *report)
{
    if (!in->stop && in->options->report)
        in->stop = in->options->report(in->options->ctx, report);
    return in->stop;
}

int intake_refuse(struct intake *in, enum file_result result, const char *path, const char *key)
{
    struct error error = *error_last();
    *(result == FILE_SKIPPED ? &in->totals->skipped : &in->totals->failed) += 1;
    return intake_report(
        in, &(struct file_report){.result = result, .path = path, .key = key, .error = &error});
}

/* ---- recording what waits ---- */

static int report_waiting(struct intake *in, const struct event_outcome *outcomes,
                          const struct error *error)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < in->count; i++) {
        const struct waiting *w = &in->waiting[i];
        rc = intake_report(in, &(struct file_report){
                                   .result = error ? FILE_FAILED : w->result,
                                   .path = w->path,
                                   .key = w->info.key,
                                   .size = w->info.size,
                                   .done = w->info.size,
                                   .outcome = error ? NULL : &outcomes[i],
                                   .error = error,
                               });
    }
    return rc;
}

static void count_waiting(struct intake *in, bool failed)
{
    for (size_t i = 0; i < in->count; i++) {
        if (failed)
            in->totals->failed++;
        else if (in->waiting[i].result == FILE_UNCHANGED)
            in->totals->unchanged++;
        else
            in->totals->ingested++;
    }
}

int intake_flush(struct intake *in)
{
    struct media_event events[BATCH];
    struct event_outcome outcomes[BATCH];
    for (size_t i = 0; i < in->count; i++)
        events[i] = ingest_created_event(&in->waiting[i].info, in->options->collection,
                                         in->waiting[i].trace_id);
    int rc = ingest_events(in->ports, events, in->count, outcomes);
    struct error error = *error_last();
    count_waiting(in, rc != OK);
    int stop = report_waiting(in, outcomes, rc ? &error : NULL);
    drop_waiting(in);
    return rc ? error_restore(&error) : stop;
}

static int flush_if_due(struct intake *in)
{
    if (in->count == BATCH || (in->count > 0 && clock_monotonic_ms() - in->first_ms >= BATCH_MS))
        return intake_flush(in);
    return OK;
}

static int add_waiting(struct intake *in, enum file_result result, const char *path,
                       const struct object_info *info)
{
    struct waiting *w = &in->waiting[in->count];
    *w = (struct waiting){.result = result, .path = strdup(path), .info = *info};
    if (!w->path)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    if (in->count++ == 0)
        in->first_ms = clock_monotonic_ms();
    return info->size >= LARGE ? intake_flush(in) : flush_if_due(in);
}

/* ---- reading a file ---- */

struct reading {
    struct intake *in;
    int fd;
    const char *path, *key;
    struct stat before; /* of a regular file */
    bool stream;        /* not a regular file: nothing is known before */
    int64_t done, told_ms;
};

static bool same_moment(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* At its end a file must still be what it was at its beginning. */
static int check_unchanged(const struct reading *r)
{
    struct stat now;
    if (fstat(r->fd, &now))
        return error_set_errno(errno, "cannot look at '%s'", r->path);
    if (now.st_size == r->before.st_size && r->done == now.st_size &&
        same_moment(&now.st_mtim, &r->before.st_mtim))
        return OK;
    return error_set(ERR_BUSY, "file_changes",
                     "'%s' changes while it is read; add it again when its writer is done",
                     r->path);
}

static int tell_progress(struct reading *r)
{
    int64_t now = clock_monotonic_ms();
    if (now - r->told_ms < PROGRESS_MS)
        return OK;
    r->told_ms = now;
    return intake_report(r->in, &(struct file_report){.result = FILE_UPLOADING,
                                                      .path = r->path,
                                                      .key = r->key,
                                                      .size = r->stream ? -1 : r->before.st_size,
                                                      .done = r->done});
}

/* A pipe that gives nothing does not keep a stop from being noticed. */
static int wait_readable(const struct reading *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    for (;;) {
        if (cancel_requested(r->in->options->cancel))
            return error_set(ERR_CANCELLED, NULL, "stopped while reading '%s'", r->path);
        int n = r->stream ? poll(&p, 1, CANCEL_POLL_MS) : 1;
        if (n > 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return error_set_errno(errno, "cannot wait for '%s'", r->path);
    }
}

static int read_file(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    struct reading *r = ctx;
    int rc = wait_readable(r);
    if (rc)
        return rc;
    ssize_t n;
    do
        n = read(r->fd, bytes, capacity);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set_errno(errno, "cannot read '%s'", r->path);
    *got = (size_t)n;
    r->done += n;
    if (n == 0)
        return r->stream ? OK : check_unchanged(r);
    return tell_progress(r);
}

/* ---- is it there already? ---- */

static int64_t milliseconds(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* Neither written nor moved here since before the stored version's upload began. */
static bool untouched_since(const struct stat *st, const struct object_info *info)
{
    int64_t changed = milliseconds(&st->st_ctim), written = milliseconds(&st->st_mtim);
    return (changed > written ? changed : written) + TRUSTED_AGE_MS < info->modified_ms;
}

static int hash_file(struct reading *r, struct digest *out)
{
    unsigned char *bytes = malloc(HASH_BYTES);
    struct digest_stream *digest = bytes ? digest_begin(false) : NULL;
    size_t got = 1;
    int rc = digest ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory");
    while (!rc && got > 0) {
        rc = read_file(r, bytes, HASH_BYTES, &got);
        if (!rc)
            digest_update(digest, bytes, got);
    }
    if (!rc)
        *out = digest_end(digest, NULL);
    else
        digest_abort(digest);
    free(bytes);
    return rc;
}

static int rewind_file(struct reading *r)
{
    r->done = 0;
    if (lseek(r->fd, 0, SEEK_SET) != 0 || fstat(r->fd, &r->before))
        return error_set_errno(errno, "cannot read '%s' again", r->path);
    return OK;
}

/* *info is the newest version if it has the file's bytes. */
static int find_stored(struct reading *r, struct object_info *info, bool *stored)
{
    const struct object_store *store = &r->in->ports->store;
    struct digest digest;
    *stored = false;
    int rc = store->ops->head(store->ctx, r->in->bucket, r->key, info);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (rc || info->size != r->before.st_size)
        return rc;
    if (r->in->options->trust_times && untouched_since(&r->before, info)) {
        *stored = true;
        return OK;
    }
    if (!digest_known(&info->content))
        return OK;
    rc = hash_file(r, &digest);
    *stored = !rc && digest_equal(&digest, &info->content);
    return rc ? rc : rewind_file(r);
}

/* ---- taking ---- */

static int upload(struct reading *r, struct object_info *info)
{
    const struct object_store *store = &r->in->ports->store;
    struct object_source source = {.read = read_file, .ctx = r};
    return store->ops->put(store->ctx, r->in->bucket, r->key, file_content_type(r->key), &source,
                           info);
}

static int take_once(struct reading *r)
{
    struct object_info info;
    bool stored = false;
    int rc = r->stream ? OK : find_stored(r, &info, &stored);
    if (!rc && !stored)
        rc = upload(r, &info);
    if (rc)
        return rc;
    r->in->totals->bytes += stored ? 0 : info.size;
    return add_waiting(r->in, stored ? FILE_UNCHANGED : FILE_INGESTED, r->path, &info);
}

/* Errors of the place that all files go to, or a wish to stop. */
static bool concerns_all(const struct reading *r, int rc)
{
    switch (rc) {
    case ERR_DISK_FULL:
    case ERR_SYSTEMIC:
    case ERR_TRANSIENT:
    case ERR_NO_MEMORY:
    case ERR_SCHEMA:
    case ERR_CANCELLED:
        return true;
    default:
        return r->in->stop != OK;
    }
}

static int take(struct reading *r)
{
    int rc = object_key_check(r->key);
    if (!rc && !r->stream && r->before.st_size >= LARGE) {
        rc = intake_flush(r->in); /* the small ones before it do not wait for it */
        if (rc)
            return rc;
    }
    if (!rc)
        rc = take_once(r);
    for (int i = 1; rc == ERR_BUSY && !r->stream && i < READ_TRIES; i++) {
        rc = rewind_file(r);
        if (!rc)
            rc = take_once(r);
    }
    if (rc && !concerns_all(r, rc))
        rc = intake_refuse(r->in, FILE_FAILED, r->path, r->key);
    return rc;
}

/* fcntl(2): a read lease is refused while any process has the file open for writing. The signal of
 * a lease that is broken meanwhile is one that is ignored by default. */
static bool has_writer(int fd, enum file_writer writer)
{
    if (writer == WRITER_FINE)
        return false;
    if (fcntl(fd, F_SETSIG, SIGURG) || fcntl(fd, F_SETLEASE, F_RDLCK))
        return errno == EAGAIN || writer == WRITER_ABSENT; /* else: a file of somebody else's */
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

static int take_open(struct intake *in, int fd, const char *path, const char *key,
                     enum file_writer writer, bool *left_alone)
{
    struct reading r = {
        .in = in, .fd = fd, .path = path, .key = key, .told_ms = clock_monotonic_ms()};
    if (fstat(fd, &r.before)) {
        error_set_errno(errno, "cannot look at '%s'", path);
        return intake_refuse(in, FILE_FAILED, path, key);
    }
    if (!S_ISREG(r.before.st_mode)) {
        error_set(ERR_INVALID, "not_a_file", "'%s' is not a regular file", path);
        return intake_refuse(in, FILE_SKIPPED, path, key);
    }
    if (left_alone)
        *left_alone = has_writer(fd, writer);
    return left_alone && *left_alone ? OK : take(&r);
}

int intake_file(struct intake *in, const char *path, const char *key, enum file_writer writer,
                bool *left_alone)
{
    /* without blocking: it may be a pipe */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        bool special = errno == ENXIO; /* a socket */
        error_set_errno(errno, "cannot open '%s'", path);
        return intake_refuse(in, special ? FILE_SKIPPED : FILE_FAILED, path, key);
    }
    int rc = take_open(in, fd, path, key, writer, left_alone);
    close(fd);
    return rc;
}

int intake_stream(struct intake *in, int fd, const char *name, const char *key)
{
    struct reading r = {.in = in,
                        .fd = fd,
                        .path = name,
                        .key = key,
                        .stream = true,
                        .told_ms = clock_monotonic_ms()};
    return take(&r);
}
