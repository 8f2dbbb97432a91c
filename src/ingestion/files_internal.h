/* files_internal.h - taking one file, shared by adding paths and watching a folder. */
#ifndef AEGIS_INGESTION_FILES_INTERNAL_H
#define AEGIS_INGESTION_FILES_INTERNAL_H

#include <limits.h>
#include <sys/stat.h>

#include "ingestion/files.h"

/* Uploads and finds whose events wait to be recorded together. */
struct intake;

/* `totals` is borrowed and may be NULL. ERR_INVALID (bucket or collection), ERR_NO_MEMORY. */
int intake_open(const struct ingestion_ports *ports, const struct file_options *options,
                struct file_totals *totals, struct intake **out);
/* Drops what was not flushed. NULL is fine. */
void intake_close(struct intake *in);

/* A file that some process has open for writing: */
enum file_writer {
    WRITER_FINE,     /* is taken; should it change meanwhile, it is read again */
    WRITER_UNLIKELY, /* is left alone, unreported; taken if that cannot be found out */
    WRITER_ABSENT,   /* is left alone, also if that cannot be found out */
};

/* Takes one file. 0 also when that file alone failed or is no regular file: it was reported then.
 * Non-zero: the error concerns every file. *left_alone (may be NULL) is set if a writer has it. */
int intake_file(struct intake *in, const char *path, const char *key, enum file_writer writer,
                bool *left_alone);

/* Takes what can be read from `fd` to its end. */
int intake_stream(struct intake *in, int fd, const char *name, const char *key);

/* Reports a file that is not taken; the last error says why. FILE_SKIPPED or FILE_FAILED. */
int intake_refuse(struct intake *in, enum file_result result, const char *path, const char *key);

/* Records what waits. */
int intake_flush(struct intake *in);

/* Calls the options' report, if there is one, until it returns an error; that is returned. */
int intake_report(struct intake *in, const struct file_report *report);

/* ---- names ---- */

/* Where a tree begins. */
struct file_root {
    char given[PATH_MAX];    /* as the caller named it, without slashes at the end */
    char absolute[PATH_MAX]; /* "" is the root directory */
};

/* ERR_INVALID (too long), ERR_NOT_FOUND (the folder it is in). */
int file_root_init(struct file_root *root, const char *path);

/* The key of `relative` ("" for the root itself) below the root. ERR_TOO_LARGE. */
int file_key(const struct file_root *root, const char *relative, const struct file_options *options,
             char key[CAP_KEY + 1]);

/* Joins with a slash; `relative` may be "". ERR_TOO_LARGE. */
int file_join(const char *folder, const char *relative, char out[PATH_MAX]);

#endif
