/*
 * file.h - files, durably: write a temporary name, fsync, rename, fsync the directory.
 */
#ifndef AEGIS_SHARED_FILE_H
#define AEGIS_SHARED_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/buffer.h"

/* Creates a directory and its parents, mode 0700 for those it makes. Existing is fine. */
int file_make_directory(const char *path);

/* Appends a whole file (or what is left of `fd`) to `out`; ERR_TOO_LARGE past the buffer's limit.
 */
int file_read(const char *path, struct buffer *out);
int file_read_fd(int fd, const char *name, struct buffer *out);

/* Writes all of it, over short writes and EINTR. `name` is for the error text. */
int file_write_all(int fd, const char *name, const void *bytes, size_t length);

/* Reads exactly `length` bytes at `offset`, fewer only at the end; the count comes in *got. */
int file_read_at(int fd, const char *name, void *bytes, size_t length, int64_t offset, size_t *got);

/* Replaces `path` atomically and durably. On any error the old content stays and no temporary is
 * left. */
int file_replace(const char *path, const void *bytes, size_t length, mode_t mode);

/* fsync(2) of a directory, so that a rename or creation in it survives a power cut. */
int file_sync_directory(const char *path);

/* An unlinked temporary file in `directory`, read-write, close-on-exec. The caller closes *fd. */
int file_temporary(const char *directory, int *fd);

/* An in-memory file with these bytes, sealed against every change, close-on-exec, at offset 0. The
 * caller closes *fd. */
int file_from_memory(const void *bytes, size_t length, int *fd);

/* Bytes free to this user on the file system of `path`. */
int file_free_space(const char *path, int64_t *bytes);

#endif
