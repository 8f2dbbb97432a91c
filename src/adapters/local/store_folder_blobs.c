#include "adapters/local/store_folder_blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/error.h"
#include "shared/file.h"
#include "shared/random.h"

enum { NAME_TEXT = DIGEST_TEXT + 3, STALE_SECONDS = 24 * 60 * 60 };

static const char draft_prefix[] = "draft-";

/* "ab/abcd..." */
static void blob_name(const struct digest *digest, char out[NAME_TEXT])
{
    digest_format(digest, out + 3);
    memcpy(out, out + 3, 2);
    out[2] = '/';
}

static void fan_name(unsigned fan, char out[3])
{
    const unsigned char byte = (unsigned char)fan;
    hex_encode(&byte, 1, out);
}

/* Linking a nameless file goes through /proc (open(2), O_TMPFILE). */
static bool nameless_works(int directory)
{
    int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
    if (fd < 0)
        return false;
    close(fd);
    return access("/proc/self/fd", X_OK) == 0;
}

int blobs_open(const char *data, struct blobs *out)
{
    *out = (struct blobs){.fd = -1};
    if (asprintf(&out->directory, "%s/objects", data) < 0) {
        out->directory = NULL;
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    }
    int rc = file_make_directory(out->directory);
    if (rc)
        return rc;
    out->fd = open(out->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0)
        return error_set_errno(errno, "cannot open directory '%s'", out->directory);
    out->nameless = nameless_works(out->fd);
    return file_sync_directory(data);
}

void blobs_close(struct blobs *b)
{
    if (b->fd >= 0)
        close(b->fd);
    free(b->directory);
}

int blobs_draft(struct blobs *b, struct blob_draft *out)
{
    out->name[0] = '\0';
    if (b->nameless) {
        out->fd = openat(b->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
    } else {
        uint64_t word;
        random_bytes(&word, sizeof word);
        snprintf(out->name, sizeof out->name, "%s%016" PRIx64, draft_prefix, word);
        out->fd = openat(b->fd, out->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0400);
    }
    if (out->fd < 0)
        return error_set_errno(errno, "cannot create a file in '%s'", b->directory);
    return OK;
}

void blobs_discard(struct blobs *b, struct blob_draft *draft)
{
    if (draft->fd >= 0)
        close(draft->fd);
    if (draft->name[0])
        unlinkat(b->fd, draft->name, 0);
    draft->fd = -1;
}

static int link_draft(struct blobs *b, const struct blob_draft *draft, const char *name)
{
    char descriptor[40];
    if (draft->name[0])
        return linkat(b->fd, draft->name, b->fd, name, 0);
    snprintf(descriptor, sizeof descriptor, "/proc/self/fd/%d", draft->fd);
    return linkat(AT_FDCWD, descriptor, b->fd, name, AT_SYMLINK_FOLLOW);
}

/* The fan is missing: makes it, durably. */
static int make_fan(struct blobs *b, unsigned fan)
{
    char name[3];
    fan_name(fan, name);
    if (mkdirat(b->fd, name, 0700) && errno != EEXIST)
        return error_set_errno(errno, "cannot create directory '%s/%s'", b->directory, name);
    if (fsync(b->fd))
        return error_set_errno(errno, "cannot sync directory '%s'", b->directory);
    return OK;
}

int blobs_link(struct blobs *b, const struct blob_draft *draft, const struct digest *digest,
               bool *made)
{
    char name[NAME_TEXT];
    blob_name(digest, name);
    *made = false;
    int failed = link_draft(b, draft, name);
    if (failed && errno == ENOENT) {
        int rc = make_fan(b, blobs_fan(digest));
        if (rc)
            return rc;
        failed = link_draft(b, draft, name);
    }
    if (failed && errno != EEXIST)
        return error_set_errno(errno, "cannot create '%s/%s'", b->directory, name);
    *made = !failed;
    return OK;
}

static int open_fan(struct blobs *b, unsigned fan)
{
    char name[3];
    fan_name(fan, name);
    return openat(b->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int blobs_sync_fan(struct blobs *b, unsigned fan)
{
    int fd = open_fan(b, fan);
    int rc = OK;
    if (fd < 0 || fsync(fd))
        rc = error_set_errno(errno, "cannot sync directory '%s/%02x'", b->directory, fan);
    if (fd >= 0)
        close(fd);
    return rc;
}

void blobs_unlink(struct blobs *b, const struct digest *digest, int64_t *freed)
{
    char name[NAME_TEXT];
    struct stat st;
    blob_name(digest, name);
    if (fstatat(b->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(b->fd, name, 0) == 0)
        *freed += st.st_size;
}

int blobs_read(struct blobs *b, const struct digest *digest, int *fd)
{
    char name[NAME_TEXT];
    blob_name(digest, name);
    *fd = openat(b->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0)
        return error_set_errno(errno, "cannot open '%s/%s'", b->directory, name);
    return OK;
}

int blobs_each(struct blobs *b, unsigned fan, int (*blob)(void *ctx, const struct digest *digest),
               void *ctx)
{
    int fd = open_fan(b, fan);
    if (fd < 0 && errno == ENOENT)
        return OK;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int rc = error_set_errno(errno, "cannot read directory '%s/%02x'", b->directory, fan);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = OK;
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        struct digest digest;
        if (strlen(entry->d_name) == 2 * DIGEST_BYTES &&
            hex_decode(entry->d_name, DIGEST_BYTES, digest.bytes))
            rc = blob(ctx, &digest);
    }
    closedir(dir);
    return rc;
}

void blobs_delete_stale_drafts(struct blobs *b)
{
    int fd = b->nameless ? -1 : openat(b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (strncmp(entry->d_name, draft_prefix, strlen(draft_prefix)) == 0 &&
            fstatat(b->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime < time(NULL) - STALE_SECONDS)
            unlinkat(b->fd, entry->d_name, 0);
    }
    closedir(dir);
}
