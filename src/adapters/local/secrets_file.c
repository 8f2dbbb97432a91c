#include "adapters/local/secrets_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

int secret_name_check(const char *name)
{
    size_t length = strnlen(name, SECRET_NAME + 1);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            length = 0;
    if (length > 0 && length <= SECRET_NAME)
        return OK;
    return error_set(ERR_INVALID, NULL, "'%.80s' is no name of a secret", name);
}

/* ---- reading, with care ---- */

static int unreadable(const char *path, int errnum)
{
    if (errnum == ENOENT || errnum == ENOTDIR)
        return error_set(ERR_NOT_FOUND, "no_secret", "there is no file '%s'", path);
    return error_set(ERR_SYSTEMIC, "secrets_unreadable", "cannot read '%s': %s", path,
                     strerror(errnum));
}

static bool is_private(const struct stat *st)
{
    return (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static bool folder_is_private(const char *path)
{
    char folder[PATH_MAX];
    struct stat st;
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    return stat(slash ? folder : ".", &st) == 0 && is_private(&st);
}

/* Of the file that was opened, so that it cannot be another one by the time it is read. */
static int check_private(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st))
        return unreadable(path, errno);
    if (!S_ISREG(st.st_mode))
        return error_set(ERR_SYSTEMIC, "secrets_unreadable", "'%s' is not a regular file", path);
    if (is_private(&st) || folder_is_private(path))
        return OK;
    return error_set(ERR_SYSTEMIC, "secrets_exposed",
                     "'%s' holds secrets and other users may read it: run `chmod 600 '%s'`", path,
                     path);
}

/* The whole cap at once: a buffer that grows leaves copies of secrets behind. */
static int read_private(const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return unreadable(path, errno);
    int rc = check_private(fd, path);
    if (!rc)
        rc = buffer_reserve(out, out->limit);
    if (!rc)
        rc = file_read_fd(fd, path, out);
    close(fd);
    if (rc == ERR_IO || rc == ERR_TOO_LARGE)
        return error_set(ERR_SYSTEMIC, "secrets_unreadable", "%s", error_last()->message);
    return rc;
}

static void forget(struct buffer *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    buffer_free(b);
}

/* ---- finding ---- */

static int copy_value(const char *name, const char *value, size_t length, char *out,
                      size_t capacity)
{
    if (length == 0)
        return error_set(ERR_NOT_FOUND, "no_secret", "secret '%s' is empty", name);
    if (length >= capacity || memchr(value, '\0', length))
        return error_set(ERR_TOO_LARGE, NULL, "secret '%s' is longer than %zu bytes or no text",
                         name, capacity - 1);
    memcpy(out, value, length);
    out[length] = '\0';
    return OK;
}

static void trim(const char **text, size_t *length)
{
    while (*length > 0 && isspace((unsigned char)**text)) {
        (*text)++;
        (*length)--;
    }
    while (*length > 0 && isspace((unsigned char)(*text)[*length - 1]))
        (*length)--;
}

/* One line, split at its "="; false if it is another secret's or none. */
static bool read_line(const char *line, size_t length, const char *name, const char **value,
                      size_t *value_length)
{
    const char *equals = memchr(line, '=', length), *found = line;
    if (!equals)
        return false;
    size_t name_length = (size_t)(equals - line);
    trim(&found, &name_length);
    *value = equals + 1;
    *value_length = (size_t)(line + length - *value);
    return name_length == strlen(name) && memcmp(found, name, name_length) == 0;
}

static int find_line(const struct buffer *text, const char *name, char *out, size_t capacity)
{
    const char *end = buffer_string(text) + text->length, *value;
    size_t value_length;
    for (const char *line = buffer_string(text); line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        if (read_line(line, length, name, &value, &value_length)) {
            trim(&value, &value_length);
            bool quoted = value_length >= 2 && value[0] == '"' && value[value_length - 1] == '"';
            return copy_value(name, value + quoted, value_length - 2 * quoted, out, capacity);
        }
        line += length + 1;
    }
    return error_set(ERR_NOT_FOUND, "no_secret", "there is no secret '%s'", name);
}

static int get_from_folder(const char *folder, const char *name, char *out, size_t capacity)
{
    char path[PATH_MAX];
    struct buffer text;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return error_set(ERR_INVALID, NULL, "path '%.80s...' is too long", folder);
    buffer_init(&text, SECRET_TEXT);
    int rc = read_private(path, &text);
    size_t length = text.length;
    if (length > 0 && text.data[length - 1] == '\n')
        length--;
    if (length > 0 && text.data[length - 1] == '\r')
        length--;
    if (!rc)
        rc = copy_value(name, buffer_string(&text), length, out, capacity);
    forget(&text);
    return rc;
}

static int get_from_file(const char *path, const char *name, char *out, size_t capacity)
{
    struct buffer text;
    buffer_init(&text, KIB(64));
    int rc = read_private(path, &text);
    if (!rc)
        rc = find_line(&text, name, out, capacity);
    forget(&text);
    return rc;
}

static int file_get(void *ctx, const char *name, char *out, size_t capacity)
{
    const char *path = ctx;
    struct stat st;
    int rc = secret_name_check(name);
    if (rc)
        return rc;
    if (stat(path, &st))
        return unreadable(path, errno);
    return S_ISDIR(st.st_mode) ? get_from_folder(path, name, out, capacity)
                               : get_from_file(path, name, out, capacity);
}

static void file_invalidate(void *ctx, const char *name)
{
    (void)ctx; /* nothing is kept */
    (void)name;
}

int file_secrets_open(const char *path, struct secret_source *out)
{
    static const struct secret_source_ops ops = {
        .name = "file", .close = free, .get = file_get, .invalidate = file_invalidate};
    char *copy = strdup(path);
    if (!copy)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    *out = (struct secret_source){.ops = &ops, .ctx = copy};
    return OK;
}

/* ---- several sources ---- */

struct chain {
    size_t count;
    struct secret_source sources[];
};

static int chained_get(void *ctx, const char *name, char *out, size_t capacity)
{
    const struct chain *chain = ctx;
    int rc = error_set(ERR_NOT_FOUND, "no_secret", "there is no secret '%s'", name);
    for (size_t i = 0; rc == ERR_NOT_FOUND && i < chain->count; i++)
        rc = chain->sources[i].ops->get(chain->sources[i].ctx, name, out, capacity);
    return rc;
}

static void chained_invalidate(void *ctx, const char *name)
{
    const struct chain *chain = ctx;
    for (size_t i = 0; i < chain->count; i++)
        chain->sources[i].ops->invalidate(chain->sources[i].ctx, name);
}

static void chained_close(void *ctx)
{
    struct chain *chain = ctx;
    for (size_t i = 0; i < chain->count; i++)
        chain->sources[i].ops->close(chain->sources[i].ctx);
    free(chain);
}

int chained_secrets_open(const struct secret_source *sources, size_t count,
                         struct secret_source *out)
{
    static const struct secret_source_ops ops = {.name = "chain",
                                                 .close = chained_close,
                                                 .get = chained_get,
                                                 .invalidate = chained_invalidate};
    struct chain *chain = malloc(sizeof *chain + count * sizeof *sources);
    if (!chain) {
        for (size_t i = 0; i < count; i++)
            sources[i].ops->close(sources[i].ctx);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    }
    chain->count = count;
    if (count)
        memcpy(chain->sources, sources, count * sizeof *sources);
    *out = (struct secret_source){.ops = &ops, .ctx = chain};
    return OK;
}
