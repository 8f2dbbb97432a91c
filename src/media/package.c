/*
 * package.c - see package.h. libzip's own file source calls stat and more; this one needs read and
 * lseek only, so that the archive is opened inside the sandbox.
 */
#include "media/package.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media/libzip.h"
#include "shared/caps.h"
#include "shared/error.h"

/* XML of a document packs to between a fifth and a fiftieth; deflate can do no more than 1:1032. */
enum { SUSPICIOUS_BYTES = 8 << 20, SUSPICIOUS_RATIO = 200 };

struct package {
    int fd;
    zip_int64_t size, at;
    zip_error_t error;
    zip_t *archive;
};

struct member {
    zip_file_t *file;
    uint64_t packed, unpacked;
};

static int unreadable(const char *what)
{
    return error_set(ERR_PERMANENT, "unreadable", "the DOCX is damaged: %s", what);
}

/* ---- a libzip source over a descriptor ---- */

static zip_int64_t source_read(struct package *p, void *bytes, zip_uint64_t length)
{
    if (lseek(p->fd, p->at, SEEK_SET) < 0)
        return -1;
    zip_uint64_t got = 0;
    while (got < length) {
        ssize_t n = read(p->fd, (char *)bytes + got, length - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (zip_uint64_t)n;
    }
    p->at += (zip_int64_t)got;
    return (zip_int64_t)got;
}

static zip_int64_t source_seek(struct package *p, void *data, zip_uint64_t length)
{
    zip_int64_t at = libzip.zip_source_seek_compute_offset(
        (zip_uint64_t)p->at, (zip_uint64_t)p->size, data, length, &p->error);
    if (at < 0)
        return -1;
    p->at = at;
    return 0;
}

static zip_int64_t source_stat(struct package *p, void *data)
{
    zip_stat_t *st = data;
    libzip.zip_stat_init(st);
    st->size = (zip_uint64_t)p->size;
    st->valid |= ZIP_STAT_SIZE;
    return sizeof *st;
}

static zip_int64_t source(void *ctx, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct package *p = ctx;
    zip_int64_t n;
    switch (command) {
    case ZIP_SOURCE_OPEN:
        p->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        n = source_read(p, data, length);
        if (n < 0)
            libzip.zip_error_set(&p->error, ZIP_ER_READ, errno);
        return n;
    case ZIP_SOURCE_SEEK:
        return source_seek(p, data, length);
    case ZIP_SOURCE_TELL:
        return p->at;
    case ZIP_SOURCE_STAT:
        return source_stat(p, data);
    case ZIP_SOURCE_ERROR:
        return libzip.zip_error_to_data(&p->error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_SEEKABLE;
    default:
        libzip.zip_error_set(&p->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* ---- */

int package_open(int fd, struct package **out)
{
    zip_error_t error;
    *out = NULL;
    int rc = libzip_load();
    if (rc)
        return rc;
    struct package *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to open a DOCX");
    p->fd = fd;
    p->size = lseek(fd, 0, SEEK_END);
    libzip.zip_error_init(&p->error);
    libzip.zip_error_init(&error);
    zip_source_t *from = p->size < 0 ? NULL : libzip.zip_source_function_create(source, p, &error);
    p->archive = from ? libzip.zip_open_from_source(from, ZIP_RDONLY, &error) : NULL;
    if (p->archive) {
        libzip.zip_error_fini(&error);
        *out = p;
        return OK;
    }
    rc = libzip.zip_error_code_zip(&error) == ZIP_ER_MEMORY
             ? error_set(ERR_PERMANENT, "parser_memory", "the DOCX's directory is too large")
             : unreadable(libzip.zip_error_strerror(&error));
    libzip.zip_source_free(from);
    libzip.zip_error_fini(&error);
    libzip.zip_error_fini(&p->error);
    free(p);
    return rc;
}

void package_close(struct package *p)
{
    if (!p)
        return;
    libzip.zip_discard(p->archive);
    libzip.zip_error_fini(&p->error);
    free(p);
}

static int cannot_open(struct package *p)
{
    zip_error_t *error = libzip.zip_get_error(p->archive);
    switch (libzip.zip_error_code_zip(error)) {
    case ZIP_ER_NOPASSWD:
    case ZIP_ER_WRONGPASSWD:
        return error_set(ERR_PERMANENT, "password_protected",
                         "the DOCX is protected by a password; save it without one");
    case ZIP_ER_MEMORY:
        return error_set(ERR_PERMANENT, "parser_memory", "the DOCX needs too much memory");
    default:
        return unreadable(libzip.zip_error_strerror(error));
    }
}

static int bomb(void)
{
    return error_set(ERR_PERMANENT, "archive_bomb",
                     "the DOCX unpacks to far more than a document is (an archive bomb?)");
}

int member_open(struct package *p, const char *name, struct member **out)
{
    zip_stat_t st;
    *out = NULL;
    zip_int64_t index = libzip.zip_name_locate(p->archive, name, 0);
    if (index < 0)
        return ERR_NOT_FOUND;
    if (libzip.zip_stat_index(p->archive, (zip_uint64_t)index, 0, &st) ||
        !(st.valid & ZIP_STAT_SIZE) || !(st.valid & ZIP_STAT_COMP_SIZE))
        return cannot_open(p);
    if (st.size > CAP_ARCHIVE_MEMBER)
        return bomb();
    struct member *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to read a DOCX");
    m->packed = st.comp_size;
    m->file = libzip.zip_fopen_index(p->archive, (zip_uint64_t)index, 0);
    if (!m->file) {
        free(m);
        return cannot_open(p);
    }
    *out = m;
    return OK;
}

void member_close(struct member *m)
{
    if (!m)
        return;
    libzip.zip_fclose(m->file);
    free(m);
}

int member_read(struct member *m, char *bytes, int capacity)
{
    zip_int64_t n = libzip.zip_fread(m->file, bytes, (zip_uint64_t)capacity);
    if (n < 0) {
        unreadable(libzip.zip_file_strerror(m->file));
        return -1;
    }
    m->unpacked += (uint64_t)n;
    if (m->unpacked > CAP_ARCHIVE_MEMBER ||
        (m->unpacked > SUSPICIOUS_BYTES && m->unpacked / SUSPICIOUS_RATIO > m->packed)) {
        bomb();
        return -1;
    }
    return (int)n;
}
