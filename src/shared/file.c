#include "shared/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shared/caps.h"
#include "shared/error.h"

int file_make_directory(const char *path)
{
    char part[PATH_MAX];
    if (!path[0])
        return error_set(ERR_INVALID, NULL, "the path of a directory is empty");
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return error_set(ERR_INVALID, NULL, "path '%.64s...' is too long", path);
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return error_set_errno(errno, "cannot create directory '%s'", part);
        *p = saved;
        if (saved == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st))
        return error_set_errno(errno, "cannot use directory '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return error_set(ERR_INVALID, NULL, "'%s' exists and is not a directory", path);
    return OK;
}

int file_read_fd(int fd, const char *name, struct buffer *out)
{
    for (;;) {
        size_t room = out->limit - out->length;
        size_t want = room < KIB(64) ? room : KIB(64);
        if (room == 0) { /* only the end of the file is acceptable now */
            char probe;
            ssize_t n = read(fd, &probe, 1);
            if (n == 0)
                return OK;
            if (n > 0)
                return error_set(ERR_TOO_LARGE, "too_large",
                                 "'%s' is larger than the cap of %zu bytes", name, out->limit);
            if (errno != EINTR)
                return error_set_errno(errno, "cannot read '%s'", name);
            continue;
        }
        int rc = buffer_reserve(out, want);
        if (rc)
            return error_prefix("while reading '%s'", name);
        ssize_t n = read(fd, out->data + out->length, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(errno, "cannot read '%s'", name);
        if (n == 0)
            return OK;
        out->length += (size_t)n;
        out->data[out->length] = '\0';
    }
}

int file_read(const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(errno, "cannot open '%s'", path);
    int rc = file_read_fd(fd, path, out);
    close(fd);
    return rc;
}

int file_write_all(int fd, const char *name, const void *bytes, size_t length)
{
    const char *p = bytes;
    while (length > 0) {
        ssize_t n = write(fd, p, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(errno, "cannot write '%s'", name);
        p += n;
        length -= (size_t)n;
    }
    return OK;
}

int file_read_at(int fd, const char *name, void *bytes, size_t length, int64_t offset, size_t *got)
{
    char *p = bytes;
    *got = 0;
    while (*got < length) {
        ssize_t n = pread(fd, p + *got, length - *got, offset + (int64_t)*got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(errno, "cannot read '%s'", name);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return OK;
}

int file_sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(errno, "cannot open directory '%s'", path);
    int rc = fsync(fd) ? error_set_errno(errno, "cannot sync directory '%s'", path) : OK;
    close(fd);
    return rc;
}

static int write_and_rename(int fd, const char *temporary, const char *path, const void *bytes,
                            size_t length)
{
    int rc = file_write_all(fd, temporary, bytes, length);
    if (!rc && fsync(fd))
        rc = error_set_errno(errno, "cannot sync '%s'", temporary);
    if (close(fd) && !rc)
        rc = error_set_errno(errno, "cannot close '%s'", temporary);
    if (!rc && rename(temporary, path))
        rc = error_set_errno(errno, "cannot rename '%s' to '%s'", temporary, path);
    return rc;
}

int file_replace(const char *path, const void *bytes, size_t length, mode_t mode)
{
    char temporary[PATH_MAX], directory[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return error_set(ERR_INVALID, NULL, "path '%.64s...' is too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(errno, "cannot create '%s'", temporary);
    fchmod(fd, mode);
    int rc = write_and_rename(fd, temporary, path, bytes, length);
    if (rc) {
        unlink(temporary);
        return rc;
    }
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        return file_sync_directory(".");
    slash[slash == directory] = '\0';
    return file_sync_directory(directory);
}

int file_temporary(const char *directory, int *fd)
{
    *fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return OK;
    char path[PATH_MAX]; /* a file system without O_TMPFILE */
    snprintf(path, sizeof path, "%s/spool.XXXXXX", directory);
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0)
        return error_set_errno(errno, "cannot create a temporary file in '%s'", directory);
    unlink(path);
    return OK;
}

int file_from_memory(const void *bytes, size_t length, int *fd)
{
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    *fd = memfd_create("aegis", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return error_set_errno(errno, "cannot create an in-memory file");
    int rc = file_write_all(*fd, "in-memory file", bytes, length);
    if (!rc && (fcntl(*fd, F_ADD_SEALS, seals) || lseek(*fd, 0, SEEK_SET)))
        rc = error_set_errno(errno, "cannot seal an in-memory file");
    if (rc) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int file_free_space(const char *path, int64_t *bytes)
{
    struct statvfs v;
    if (statvfs(path, &v))
        return error_set_errno(errno, "cannot read the free space of '%s'", path);
    *bytes = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
    return OK;
}
