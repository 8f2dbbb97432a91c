#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/store_s3_internal.h"
#include "shared/error.h"
#include "shared/sigv4.h"

enum { RANGE_TEXT = 64, CONDITION_TEXT = CAP_ETAG + 3, REPLY_SLACK = 4096, GET_HEADERS = 3 };

/* ---- one request ---- */

struct range {
    const char *bucket, *key, *version_id, *etag; /* the last two "": any */
    int64_t from, length;                         /* length 0: all of it, no range */
};

static int get(struct s3_store *s, const struct range *r, const struct cancel *cancel,
               struct http_response *out, struct aws_fault *fault)
{
    char query[S3_QUERY_TEXT] = "versionId=", bytes[RANGE_TEXT], condition[CONDITION_TEXT];
    struct http_header headers[GET_HEADERS];
    struct s3_request request = {.method = "GET",
                                 .bucket = r->bucket,
                                 .key = r->key,
                                 .headers = headers,
                                 .max_response =
                                     (size_t)(r->length ? r->length : S3_FIRST_BYTES) + REPLY_SLACK,
                                 .cut_long = true};
    *out = (struct http_response){0};
    *fault = (struct aws_fault){0};
    if (r->length) {
        snprintf(bytes, sizeof bytes, "bytes=%lld-%lld", (long long)r->from,
                 (long long)(r->from + r->length - 1));
        headers[request.header_count++] = (struct http_header){"Range", bytes};
    } else if (s->ask_checksums) {
        headers[request.header_count++] = (struct http_header){"x-amz-checksum-mode", "ENABLED"};
    }
    if (*r->etag) {
        snprintf(condition, sizeof condition, "\"%s\"", r->etag);
        headers[request.header_count++] = (struct http_header){"If-Match", condition};
    }
    if (*r->version_id) {
        if (sigv4_encode(r->version_id, false, query + 10, sizeof query - 10))
            return error_last()->code;
        request.query = query;
    }
    return s3_perform(s, &request, cancel, out, fault);
}

static int get_error(struct s3_store *s, const struct range *r, const struct aws_fault *fault)
{
    if (fault->status == 412)
        return error_set(ERR_CONFLICT, NULL, "'%s' in bucket '%s' is another version by now",
                         r->key, r->bucket);
    /* S3: "Invalid version id specified"; with 400 it also refuses an expired token. */
    if (fault->status == 400 && *r->version_id && !strcmp(fault->code, "InvalidArgument"))
        return error_set(ERR_NOT_FOUND, NULL, "there is no version '%.64s' of '%s' in bucket '%s'",
                         r->version_id, r->key, r->bucket);
    return s3_read_error(s, r->bucket, r->key, fault);
}

/* ---- in parts ---- */

struct download {
    struct s3_store *store;
    const struct object_info *info;
    const struct cancel *cancel;
    int fd;
    atomic_llong next;
    bool checked; /* by a CRC of this kind: */
    enum crc_kind kind;
    atomic_ullong crc; /* of the parts that are there, each in its place */
    atomic_bool failed;
    pthread_mutex_t lock;
    struct error error;
};

static void fail(struct download *d)
{
    pthread_mutex_lock(&d->lock);
    if (!atomic_exchange(&d->failed, true))
        d->error = *error_last();
    pthread_mutex_unlock(&d->lock);
}

static int write_at(int fd, const char *bytes, size_t length, int64_t offset)
{
    while (length) {
        ssize_t n = pwrite(fd, bytes, length, offset);
        if (n < 0 && errno != EINTR)
            return error_set_errno(errno, "cannot write a spooled object");
        if (n > 0) {
            bytes += n;
            offset += n;
            length -= (size_t)n;
        }
    }
    return OK;
}

static int part_error(const struct download *d, const struct range *r,
                      const struct http_response *response)
{
    if (response->status == 200)
        return error_set(ERR_SYSTEMIC, "range_ignored",
                         "the server at '%s' sends all of '%s' when asked for a range of it: "
                         "objects of more than %d bytes cannot be read from it; look for what "
                         "stands between, such as a proxy that drops the header Range",
                         aws_client_endpoint(d->store->client), r->key, S3_PART_BYTES);
    return error_set(ERR_TRANSIENT, "incomplete_body",
                     "a part of '%s' came with %zu bytes instead of %lld (status %d)", r->key,
                     response->body.length, (long long)r->length, response->status);
}

static int keep_part(struct download *d, const struct buffer *part, int64_t offset)
{
    if (d->checked) {
        uint64_t behind = (uint64_t)d->info->size - (uint64_t)offset - part->length;
        uint64_t crc = crc_of(d->kind, part->data, part->length);
        atomic_fetch_xor(&d->crc, crc_shift(d->kind, crc, behind));
    }
    return write_at(d->fd, part->data, part->length, offset);
}

static int fetch_part(struct download *d, int64_t offset)
{
    const struct object_info *info = d->info;
    struct range r = {.bucket = info->bucket,
                      .key = info->key,
                      .version_id = info->version_id,
                      .etag = info->etag,
                      .from = offset};
    struct http_response response;
    struct aws_fault fault;
    r.length = info->size - offset < S3_PART_BYTES ? info->size - offset : S3_PART_BYTES;
    int rc = get(d->store, &r, d->cancel, &response, &fault);
    if (rc)
        rc = get_error(d->store, &r, &fault);
    else if ((int64_t)response.body.length != r.length ||
             (response.status != 206 && r.length < info->size))
        rc = part_error(d, &r, &response);
    else
        rc = keep_part(d, &response.body, offset);
    http_response_free(&response);
    return rc;
}

static void *fetch_parts(void *ctx)
{
    struct download *d = ctx;
    for (;;) {
        int64_t offset = atomic_fetch_add(&d->next, S3_PART_BYTES);
        if (offset >= d->info->size || atomic_load(&d->failed))
            return NULL;
        int rc = slots_hold(&d->store->parts, d->cancel);
        if (!rc) {
            rc = fetch_part(d, offset);
            slots_release(&d->store->parts);
        }
        if (rc)
            fail(d);
    }
}

/* This thread fetches too; where no other can be had it does it alone. */
static int fetch_all(struct download *d)
{
    pthread_t threads[S3_PARTS_AT_ONCE - 1];
    int64_t parts = (d->info->size + S3_PART_BYTES - 1) / S3_PART_BYTES;
    size_t count = 0;
    while (count < S3_PARTS_AT_ONCE - 1 && (int64_t)count + 1 < parts &&
           !pthread_create(&threads[count], NULL, fetch_parts, d))
        count++;
    fetch_parts(d);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return atomic_load(&d->failed) ? error_restore(&d->error) : OK;
}

static int make_room(const struct s3_store *s, int fd, const struct object_info *info)
{
    int64_t space;
    int rc = file_free_space(s->spool, &space);
    if (!rc && space < info->size + s->reserve)
        return error_set(ERR_DISK_FULL, "disk_full",
                         "no room for %lld bytes of '%s' in '%s': make some", (long long)info->size,
                         info->key, s->spool);
    int failed = rc ? 0 : posix_fallocate(fd, 0, info->size);
    if (failed && failed != EOPNOTSUPP && failed != EINVAL)
        rc = error_set_errno(failed, "no room for '%s' in '%s'", info->key, s->spool);
    return rc;
}

/* Nobody can write through what is handed out. */
static int read_only(int fd, int *out)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *out = open(path, O_RDONLY | O_CLOEXEC);
    return *out < 0 ? error_set_errno(errno, "cannot open a spooled object") : OK;
}

/* Who reads the object needs no digest of its own then. */
static int digest_file(int fd, struct object_info *info)
{
    char bytes[KIB(16)];
    struct digest_stream *stream = digest_begin(false);
    size_t got = 1;
    int rc = stream ? OK : error_last()->code;
    for (int64_t offset = 0; !rc && got; offset += (int64_t)got) {
        rc = file_read_at(fd, info->key, bytes, sizeof bytes, offset, &got);
        if (!rc)
            digest_update(stream, bytes, got);
    }
    if (rc && stream)
        digest_abort(stream);
    else if (stream)
        info->content = digest_end(stream, NULL);
    return rc;
}

static int check(struct download *d, const struct s3_checksum *expected, struct object_info *info)
{
    char found[S3_CHECKSUM_TEXT];
    if (expected->kind == S3_CHECKSUM_NONE)
        return OK;
    int rc = d->checked ? OK : digest_file(d->fd, info);
    if (rc)
        return rc;
    if (d->checked)
        s3_checksum_crc(d->kind, atomic_load(&d->crc), found);
    else
        s3_checksum_digest(&info->content, found);
    return s3_checksum_compare(expected, found, info->key);
}

int s3_spool(struct s3_store *s, struct object_info *info, const struct s3_checksum *expected,
             const struct cancel *cancel, int *fd)
{
    struct download d = {.store = s, .info = info, .cancel = cancel, .fd = -1};
    d.checked = s3_checksum_crc_kind(expected, &d.kind);
    pthread_mutex_init(&d.lock, NULL);
    int rc = info->size > (int64_t)CAP_MEDIA_BYTES
                 ? error_set(ERR_TOO_LARGE, "too_large", "'%s' has %lld bytes; the cap is %lld",
                             info->key, (long long)info->size, (long long)CAP_MEDIA_BYTES)
                 : file_temporary(s->spool, &d.fd);
    if (!rc)
        rc = make_room(s, d.fd, info);
    if (!rc)
        rc = fetch_all(&d);
    if (!rc)
        rc = check(&d, expected, info);
    if (!rc)
        rc = read_only(d.fd, fd);
    if (d.fd >= 0)
        close(d.fd);
    pthread_mutex_destroy(&d.lock);
    return rc;
}

/* ---- opening ---- */

/* What was put by others may carry a digest that was copied from another object: what is here is
 * reckoned anew, what is spooled by who reads it. */
static int take_bytes(struct http_response *response, const struct s3_checksum *expected,
                      struct object *out)
{
    const char *bytes = buffer_string(&response->body);
    size_t length = response->body.length;
    out->info.content = digest_of(bytes, length);
    int rc = s3_checksum_check(expected, bytes, length, &out->info.content, out->info.key);
    if (rc)
        return rc;
    out->bytes = buffer_take(&response->body);
    if (!out->bytes)
        out->bytes = calloc(1, 1);
    return out->bytes ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory for an object");
}

static int take(struct s3_store *s, struct http_response *response, const struct cancel *cancel,
                struct object *out)
{
    struct s3_checksum expected = {.kind = S3_CHECKSUM_NONE};
    if (s->ask_checksums)
        s3_checksum_read(response, &expected);
    out->info.content = (struct digest){0};
    if (response->cut)
        return s3_spool(s, &out->info, &expected, cancel, &out->fd);
    if (out->info.size == (int64_t)response->body.length)
        return take_bytes(response, &expected, out);
    return error_set(ERR_TRANSIENT, "incomplete_body", "'%s' came with %zu bytes instead of %lld",
                     out->info.key, response->body.length, (long long)out->info.size);
}

int s3_open(void *ctx, const char *bucket, const char *key, const char *version_id,
            const char *etag, const struct cancel *cancel, struct object *out)
{
    struct http_response response;
    struct aws_fault fault;
    struct range whole = {.bucket = bucket, .key = key, .version_id = version_id, .etag = etag};
    *out = (struct object){.fd = -1};
    int rc = get(ctx, &whole, cancel, &response, &fault);
    if (rc)
        rc = get_error(ctx, &whole, &fault);
    else
        rc = s3_describe(&response, bucket, key, &out->info);
    if (!rc)
        s3_was_read(ctx, bucket, key);
    if (!rc)
        rc = take(ctx, &response, cancel, out);
    http_response_free(&response);
    if (rc)
        object_close(out);
    return rc;
}
