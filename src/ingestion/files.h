/*
 * files.h - files and folders of this machine become media.
 *
 * The key of a file is its absolute path without the leading slash (symbolic links in the folder
 * part resolved), or PREFIX/ and its path relative to the parent of the argument it was found by. A
 * file whose bytes are already the newest version is not uploaded again; its event is ingested all
 * the same, so that an upload cut short between the two steps is mended.
 */
#ifndef AEGIS_INGESTION_FILES_H
#define AEGIS_INGESTION_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "ingestion/ingest.h"
#include "shared/cancel.h"
#include "shared/error.h"

enum file_result {
    FILE_UPLOADING, /* now and then while a large file is read: `done` of `size` bytes are (-1: the
                       size is not known) */
    FILE_INGESTED,  /* uploaded, `outcome` says what came of it */
    FILE_UNCHANGED, /* already there; `outcome` all the same */
    FILE_SKIPPED,   /* not taken on purpose, `error` says why */
    FILE_FAILED,    /* `error` says why; the other files go on */
    FILE_REMOVED,   /* watching with mirror: the file has gone, and its medium */
};

struct file_report {
    enum file_result result;
    const char *path;
    const char *key; /* "" if there is none */
    int64_t size, done;
    const struct event_outcome *outcome; /* NULL for uploading, skipped and failed */
    const struct error *error;           /* NULL unless skipped or failed */
};

struct file_options {
    const char *bucket;     /* NULL: "media" */
    const char *collection; /* NULL: the bucket's name */
    const char *prefix;     /* NULL: none */
    const char *key;        /* the key itself, for a single file or standard input; else NULL */
    bool hidden;            /* take hidden files and folders too */
    bool trust_times;       /* a file of the same size, untouched since its upload, is unchanged
                               without reading it */
    const char *exclude;    /* a folder not to enter, such as the data directory; NULL: none */
    const struct cancel *cancel;
    /* Called once for each file, and while uploading. A non-zero return (an error that was set)
     * stops everything. May be NULL. */
    int (*report)(void *ctx, const struct file_report *report);
    void *ctx;
};

struct file_totals {
    size_t ingested, unchanged, skipped, failed;
    int64_t bytes; /* uploaded */
};

/*
 * Takes files, folders (recursively, in order of names) and "-" (standard input; needs a key).
 * Hidden files are left out unless asked for or named; symbolic links to files are followed, those
 * to folders only if named. Sockets, pipes and devices are skipped. A path that does not exist or
 * cannot be read is a failed file. Returns 0 though files failed (totals count them); errors that
 * would fail every file alike (ERR_DISK_FULL, systemic ones) and ERR_CANCELLED end it, ERR_INVALID
 * is a wrong option.
 */
int ingest_paths(const struct ingestion_ports *ports, const char *const *paths, size_t count,
                 const struct file_options *options, struct file_totals *totals);

/* A content type by the name's extension, "application/octet-stream" if unknown: a hint, never
 * relied on. */
const char *file_content_type(const char *path);

#endif
