#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/local/store_shared_keys.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/json.h"

enum {
    RECORD_FORMAT = 1,
    LINE_MAX_BYTES = 16 * 1024, /* a key of control characters alone takes 6 KiB of JSON */
    FIND_AGAIN = 16
};

int shared_record_format(const struct record *r, char **out)
{
    char digest[DIGEST_TEXT];
    const struct object_info *i = &r->info;
    digest_format(&i->content, digest);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *line = yyjson_mut_obj(doc);
    bool made = yyjson_mut_obj_add_int(doc, line, "format", RECORD_FORMAT) &&
                yyjson_mut_obj_add_str(doc, line, "bucket", i->bucket) &&
                yyjson_mut_obj_add_str(doc, line, "key", i->key) &&
                yyjson_mut_obj_add_str(doc, line, "id", r->id) &&
                yyjson_mut_obj_add_str(doc, line, "etag", i->etag) &&
                yyjson_mut_obj_add_str(doc, line, "content_type", i->content_type) &&
                yyjson_mut_obj_add_sint(doc, line, "size", i->size) &&
                yyjson_mut_obj_add_sint(doc, line, "modified_ms", i->modified_ms) &&
                yyjson_mut_obj_add_str(doc, line, "sha256", digest) &&
                yyjson_mut_obj_add_bool(doc, line, "small", r->small);
    *out = made ? yyjson_mut_val_write(line, YYJSON_WRITE_NOFLAG, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    return *out ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory for object '%s'", i->key);
}

/* ---- reading ---- */

static int damaged(const struct key_directory *d, const char *name, const char *why)
{
    return error_set(ERR_IO, "record_damaged",
                     "'%s/%s' is damaged (%s): restore it, or upload the object again", d->path,
                     name, why);
}

static bool copy_member(yyjson_val *line, const char *name, char *out, size_t capacity)
{
    const char *text = json_string_at(line, name, NULL);
    return text && snprintf(out, capacity, "%s", text) < (int)capacity;
}

static bool take_members(yyjson_val *line, struct record *r)
{
    struct object_info *i = &r->info;
    const char *digest = json_string_at(line, "sha256", "");
    i->size = json_int_at(line, "size", -1);
    i->modified_ms = json_int_at(line, "modified_ms", 0);
    r->small = yyjson_is_true(json_at(line, "small"));
    return i->size >= 0 && (!r->small || i->size <= SHARED_SMALL_BYTES) &&
           copy_member(line, "bucket", i->bucket, sizeof i->bucket) &&
           copy_member(line, "key", i->key, sizeof i->key) &&
           copy_member(line, "id", r->id, sizeof r->id) &&
           copy_member(line, "etag", i->etag, sizeof i->etag) &&
           copy_member(line, "content_type", i->content_type, sizeof i->content_type) &&
           digest_parse(digest, &i->content) == OK;
}

static int parse_line(const struct key_directory *d, const char *name, const char *text,
                      size_t length, struct record *out)
{
    yyjson_doc *doc;
    if (json_parse(text, length, name, &doc))
        return damaged(d, name, "not JSON");
    yyjson_val *line = yyjson_doc_get_root(doc);
    int64_t format = json_int_at(line, "format", 0);
    int rc = OK;
    if (format > RECORD_FORMAT)
        rc = error_set(ERR_SCHEMA, "newer_schema",
                       "'%s/%s' was written by a newer Aegis: upgrade this one", d->path, name);
    else if (!take_members(line, out))
        rc = damaged(d, name, "not a version");
    yyjson_doc_free(doc);
    return rc;
}

static int take_bytes(const struct key_directory *d, const char *name, const struct record *r,
                      const char *behind, size_t length, void **bytes)
{
    if (length != (size_t)r->info.size)
        return damaged(d, name, "cut short");
    *bytes = malloc(length + 1);
    if (!*bytes)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for object '%s'", r->info.key);
    memcpy(*bytes, behind, length);
    return OK;
}

static int parse_record(const struct key_directory *d, const char *name, const char *text,
                        size_t length, struct record *out, void **bytes)
{
    const char *end = memchr(text, '\n', length);
    if (!end)
        return damaged(d, name, "cut short");
    size_t line = (size_t)(end - text);
    int rc = parse_line(d, name, text, line, out);
    if (!rc && bytes && out->small)
        rc = take_bytes(d, name, out, end + 1, length - line - 1, bytes);
    return rc;
}

static int open_file(const struct shared_store *store, const struct key_directory *d,
                     const char *name, int *fd)
{
    *fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd >= 0)
        return OK;
    if (errno == ENOENT || errno == ESTALE) {
        int rc = shared_alive(store);
        return rc ? rc : error_set_errno(ENOENT, "cannot open '%s/%s'", d->path, name);
    }
    int errnum = errno;
    char path[PATH_MAX + NAME_MAX];
    snprintf(path, sizeof path, "%s/%s", d->path, name);
    return shared_fail(store, errnum, "open", path);
}

int shared_record_read(const struct shared_store *store, const struct key_directory *d,
                       uint64_t sequencer, struct record *out, void **bytes)
{
    char name[SEQUENCER_TEXT];
    int fd;
    size_t got = 0, room = LINE_MAX_BYTES + (bytes ? SHARED_SMALL_BYTES : 0);
    shared_sequencer_format(sequencer, name);
    *out = (struct record){0};
    int rc = open_file(store, d, name, &fd);
    if (rc)
        return rc;
    char *text = malloc(room);
    if (!text)
        rc = error_set(ERR_NO_MEMORY, NULL, "out of memory");
    if (!rc)
        rc = file_read_at(fd, d->path, text, room, 0, &got);
    close(fd);
    if (!rc)
        rc = parse_record(d, name, text, got, out, bytes);
    free(text);
    snprintf(out->info.sequencer, sizeof out->info.sequencer, "%s", name);
    snprintf(out->info.version_id, sizeof out->info.version_id, "%s-%s", name, out->id);
    return rc;
}

/* ---- deleting ---- */

static void delete_data(const struct key_directory *d, const char *id, int64_t *freed)
{
    char name[DATA_NAME_TEXT];
    struct stat st;
    shared_data_name(id, name);
    if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(d->fd, name, 0) == 0)
        *freed += st.st_size;
}

/* The record goes first: a crash in between leaves bytes too many, never too few. */
void shared_version_delete(const struct shared_store *store, const struct key_directory *d,
                           uint64_t sequencer, int64_t *freed)
{
    struct record record;
    char name[SEQUENCER_TEXT];
    bool read = !shared_is_removal(sequencer) &&
                shared_record_read(store, d, sequencer, &record, NULL) == OK;
    shared_sequencer_format(sequencer, name);
    if (unlinkat(d->fd, name, 0) || !read)
        return;
    if (record.small)
        *freed += record.info.size;
    else
        delete_data(d, record.id, freed);
}

/* Whether what came before `next` may go. */
static bool grace_is_over(const struct shared_store *store, const struct key_directory *d,
                          uint64_t next)
{
    struct record record;
    if (shared_is_removal(next))
        return true;
    return shared_record_read(store, d, next, &record, NULL) == OK &&
           clock_now(store->clock) - record.info.modified_ms >= store->keep_superseded_ms;
}

bool shared_key_expire(const struct shared_store *store, const struct key_directory *d,
                       int64_t *freed)
{
    for (size_t i = 0; i < d->count && d->oldest[i] != d->newest; i++) {
        uint64_t next = i + 1 < d->count ? d->oldest[i + 1] : d->newest;
        if (d->oldest[i] >= d->removed && !grace_is_over(store, d, next))
            return true;
        shared_version_delete(store, d, d->oldest[i], freed);
    }
    return d->count < SHARED_OLDEST;
}

/* ---- finding ---- */

static int not_found(const char *bucket, const char *key, const char *version_id)
{
    if (version_id[0])
        return error_set(ERR_NOT_FOUND, "object_not_found",
                         "version '%s' of object '%s' is not in bucket '%s'", version_id, key,
                         bucket);
    return error_set(ERR_NOT_FOUND, "object_not_found", "object '%s' is not in bucket '%s'", key,
                     bucket);
}

static int open_data(const struct shared_store *store, const struct key_directory *d,
                     const struct record *r, int *fd)
{
    char name[DATA_NAME_TEXT];
    struct stat st;
    shared_data_name(r->id, name);
    int rc = open_file(store, d, name, fd);
    if (!rc && (fstat(*fd, &st) || st.st_size != r->info.size)) {
        close(*fd);
        *fd = -1;
        rc = damaged(d, name, "not of its size");
    }
    return rc;
}

/* The sequencer to read; 0: there is no such version. */
static uint64_t choose(const struct key_directory *d, const char *version_id)
{
    uint64_t sequencer = d->newest;
    char id[TRACE_ID_TEXT];
    if (d->fd < 0 || (version_id[0] && !shared_version_parse(version_id, &sequencer, id)))
        return 0;
    return shared_is_removal(sequencer) || sequencer < d->removed ? 0 : sequencer;
}

/* `lost` tells that what the directory told of was not there. */
static int find_once(const struct shared_store *store, const struct key_directory *d,
                     const char *bucket, const char *key, const char *version_id, bool open,
                     struct object *out, bool *lost)
{
    struct record record;
    uint64_t sequencer = choose(d, version_id);
    *lost = false;
    if (!sequencer)
        return ERR_NOT_FOUND;
    int rc = shared_record_read(store, d, sequencer, &record, open ? &out->bytes : NULL);
    if (rc) {
        *lost = rc == ERR_NOT_FOUND && !version_id[0];
        return rc;
    }
    if (strcmp(record.info.bucket, bucket) != 0 || strcmp(record.info.key, key) != 0)
        return damaged(d, record.info.sequencer, "it tells of another object");
    out->info = record.info;
    if (version_id[0] && strcmp(version_id, record.info.version_id) != 0)
        rc = ERR_NOT_FOUND;
    else if (open && !record.small) {
        rc = open_data(store, d, &record, &out->fd);
        *lost = rc == ERR_NOT_FOUND;
    }
    return rc;
}

int shared_find(const struct shared_store *store, const char *bucket, const char *key,
                const char *version_id, bool open, struct object *out)
{
    struct key_directory d = {.fd = -1};
    bool lost = true;
    int rc = OK;
    *out = (struct object){.fd = -1};
    for (int again = 0; lost && again < FIND_AGAIN; again++) {
        rc = shared_key_open(store, bucket, key, &d);
        if (rc)
            return rc;
        rc = find_once(store, &d, bucket, key, version_id, open, out, &lost);
        shared_key_close(&d);
    }
    if (rc)
        object_close(out);
    if (rc == ERR_NOT_FOUND && lost)
        return error_prefix("the bytes of object '%s' are lost, upload it again", key);
    return rc == ERR_NOT_FOUND ? not_found(bucket, key, version_id) : rc;
}
