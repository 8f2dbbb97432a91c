#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/store_s3_internal.h"
#include "shared/error.h"
#include "shared/object_name.h"
#include "shared/sigv4.h"

enum { PARTS = 10000, UPLOAD_ID_TEXT = 1024, ETAG_TEXT = CAP_ETAG + 3 };

/* An upload under way. */
struct upload {
    struct s3_store *store;
    const char *bucket, *key, *content_type;
    const struct object_source *source;
    struct buffer part; /* what was read and not yet sent */
    struct digest_stream *digest;
    struct digest content; /* once all was read */
    int64_t size, us;
    char sequencer[CAP_SEQUENCER + 1];
    /* of several parts */
    char id[UPLOAD_ID_TEXT];
    struct buffer done; /* the document that completes it */
    int parts;
    uint64_t crc; /* of what was sent */
};

/* ---- reading ---- */

/* Fills the part; fewer bytes than it holds are the last ones. */
static int read_part(struct upload *u)
{
    size_t got = 1;
    int rc = OK;
    buffer_clear(&u->part);
    while (!rc && got && u->part.length < S3_PART_BYTES) {
        size_t room = S3_PART_BYTES - u->part.length;
        size_t want = room < KIB(64) ? room : KIB(64);
        rc = buffer_reserve(&u->part, want);
        if (!rc)
            rc = u->source->read(u->source->ctx, u->part.data + u->part.length, want, &got);
        if (!rc)
            u->part.length += got;
    }
    if (rc)
        return rc;
    digest_update(u->digest, buffer_string(&u->part), u->part.length);
    u->size += (int64_t)u->part.length;
    if (u->size > (int64_t)CAP_MEDIA_BYTES)
        return error_set(ERR_TOO_LARGE, "too_large", "'%s' is larger than the cap of %lld bytes",
                         u->key, (long long)CAP_MEDIA_BYTES);
    return OK;
}

/* ---- what is stored ---- */

static void stamp(struct upload *u)
{
    u->us = s3_next_us(u->store);
    s3_sequencer(u->us, u->sequencer);
}

static struct s3_request request_of(const struct upload *u, const char *method)
{
    return (struct s3_request){.method = method, .bucket = u->bucket, .key = u->key};
}

static const char *type_of(const struct upload *u)
{
    return u->content_type && *u->content_type ? u->content_type : "application/octet-stream";
}

/* To put into a bucket that is not there is nothing that another try could mend. */
static int put_error(const struct upload *u, const struct aws_fault *fault)
{
    if (fault->status == 404 && !u->id[0])
        return error_set(ERR_SYSTEMIC, "aws_no_such_resource",
                         "there is no bucket '%s': make it, or set `bucket`", u->bucket);
    return error_last()->code;
}

static void copy(const struct http_response *response, const char *name, char *out, size_t capacity)
{
    if (!http_response_header(response, name, out, capacity))
        out[0] = '\0';
}

static void set_etag(const char *quoted, char out[CAP_ETAG + 1])
{
    const char *from = quoted + (*quoted == '"');
    snprintf(out, CAP_ETAG + 1, "%.*s", (int)strcspn(from, "\""), from);
}

static void describe(struct upload *u, const char *etag, const struct http_response *response,
                     struct object_info *out)
{
    *out = (struct object_info){.size = u->size, .modified_ms = u->us / 1000};
    snprintf(out->bucket, sizeof out->bucket, "%s", u->bucket);
    snprintf(out->key, sizeof out->key, "%s", u->key);
    snprintf(out->content_type, sizeof out->content_type, "%s", type_of(u));
    snprintf(out->sequencer, sizeof out->sequencer, "%s", u->sequencer);
    copy(response, "x-amz-version-id", out->version_id, sizeof out->version_id);
    set_etag(etag, out->etag);
    out->content = u->content;
}

static void end_digest(struct upload *u)
{
    u->content = digest_end(u->digest, NULL);
    u->digest = NULL;
}

/* ---- in one request ---- */

static int send_whole(struct upload *u, struct object_info *out)
{
    char hash[DIGEST_TEXT], checksum[S3_CHECKSUM_TEXT], etag[ETAG_TEXT];
    struct http_response response;
    struct aws_fault fault;
    struct s3_request request = request_of(u, "PUT");
    stamp(u);
    end_digest(u);
    digest_format(&u->content, hash);
    s3_checksum_digest(&u->content, checksum);
    struct http_header headers[] = {{"Content-Type", type_of(u)},
                                    {"X-Amz-Meta-Aegis-Sequencer", u->sequencer},
                                    {"X-Amz-Meta-Aegis-Sha256", hash},
                                    {S3_HEADER_SHA256, checksum}};
    request.headers = headers;
    request.header_count = u->store->send_checksums ? 4 : 3;
    request.hash = hash;
    request.body = buffer_string(&u->part);
    request.length = u->part.length;
    int rc = s3_perform(u->store, &request, NULL, &response, &fault);
    if (rc) {
        rc = put_error(u, &fault);
    } else {
        copy(&response, "etag", etag, sizeof etag);
        describe(u, etag, &response, out);
    }
    http_response_free(&response);
    return rc;
}

/* ---- in several ---- */

static int take_upload_id(void *ctx, const char *parent, const char *name, const char *text)
{
    struct upload *u = ctx;
    if (!strcmp(parent, "InitiateMultipartUploadResult") && !strcmp(name, "UploadId"))
        snprintf(u->id, sizeof u->id, "%s", text);
    return OK;
}

static int begin_parts(struct upload *u)
{
    struct http_response response;
    struct aws_fault fault;
    struct s3_request request = request_of(u, "POST");
    struct s3_document document = {.at = take_upload_id, .ctx = u};
    stamp(u);
    struct http_header headers[] = {{"Content-Type", type_of(u)},
                                    {"X-Amz-Meta-Aegis-Sequencer", u->sequencer},
                                    {"x-amz-checksum-algorithm", "CRC64NVME"},
                                    {"x-amz-checksum-type", "FULL_OBJECT"}};
    request.query = "uploads=";
    request.headers = headers;
    request.header_count = u->store->send_checksums ? 4 : 2;
    int rc = s3_perform(u->store, &request, NULL, &response, &fault);
    if (rc)
        rc = put_error(u, &fault);
    else
        rc = s3_document_read(&response, &document);
    if (!rc && !u->id[0])
        rc = error_set(ERR_TRANSIENT, "malformed_reply", "S3 began an upload without an id");
    http_response_free(&response);
    return rc ? rc : buffer_append_string(&u->done, "<CompleteMultipartUpload>");
}

static int query_of(const struct upload *u, char query[S3_QUERY_TEXT])
{
    int n = u->parts ? snprintf(query, S3_QUERY_TEXT, "partNumber=%d&uploadId=", u->parts)
                     : snprintf(query, S3_QUERY_TEXT, "uploadId=");
    return sigv4_encode(u->id, false, query + n, S3_QUERY_TEXT - (size_t)n);
}

/* The checksum of the part, "" if none is wanted; that of the whole goes on with it. */
static void add_checksum(struct upload *u, char out[S3_CHECKSUM_TEXT])
{
    *out = '\0';
    if (!u->store->send_checksums)
        return;
    uint64_t crc = crc_of(CRC_64_NVME, buffer_string(&u->part), u->part.length);
    u->crc = crc_shift(CRC_64_NVME, u->crc, u->part.length) ^ crc;
    s3_checksum_crc(CRC_64_NVME, crc, out);
}

/* S3 has the parts' checksums already; some servers want to hear them once more, as from the SDKs.
 */
static int note_part(struct upload *u, const char *etag, const char *checksum)
{
    int rc =
        buffer_printf(&u->done, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag>", u->parts, etag);
    if (!rc && *checksum)
        rc = buffer_printf(&u->done, "<ChecksumCRC64NVME>%s</ChecksumCRC64NVME>", checksum);
    return rc ? rc : buffer_append_string(&u->done, "</Part>");
}

static int send_part(struct upload *u)
{
    char query[S3_QUERY_TEXT], checksum[S3_CHECKSUM_TEXT], etag[ETAG_TEXT];
    struct http_response response = {0};
    struct aws_fault fault;
    struct s3_request request = request_of(u, "PUT");
    struct http_header headers[] = {{"Content-Type", "application/octet-stream"},
                                    {S3_HEADER_CRC64NVME, checksum}};
    if (++u->parts > PARTS)
        return error_set(ERR_TOO_LARGE, "too_large", "'%s' needs more than %d parts", u->key,
                         PARTS);
    int rc = query_of(u, query);
    add_checksum(u, checksum);
    request.query = query;
    request.headers = headers;
    request.header_count = u->store->send_checksums ? 2 : 1;
    request.body = buffer_string(&u->part);
    request.length = u->part.length;
    if (!rc)
        rc = s3_perform(u->store, &request, NULL, &response, &fault);
    if (!rc) {
        copy(&response, "etag", etag, sizeof etag);
        rc = note_part(u, etag, checksum);
    }
    http_response_free(&response);
    return rc;
}

struct completion {
    bool done;
    char etag[ETAG_TEXT], code[AWS_CODE_TEXT];
};

static int take_completion(void *ctx, const char *parent, const char *name, const char *text)
{
    struct completion *c = ctx;
    if (!strcmp(parent, "CompleteMultipartUploadResult") && !strcmp(name, "ETag")) {
        c->done = true;
        snprintf(c->etag, sizeof c->etag, "%s", text);
    }
    if (!strcmp(parent, "Error") && !strcmp(name, "Code"))
        snprintf(c->code, sizeof c->code, "%s", text);
    return OK;
}

/* Some servers (radosgw 16) leave it out of the answer that completes an upload. */
static int ask_etag(const struct upload *u, struct object_info *out)
{
    struct object_info head;
    int rc = s3_head(u->store, u->bucket, u->key, &head);
    if (!rc)
        snprintf(out->etag, sizeof out->etag, "%s", head.etag);
    return rc;
}

/* The answer to the first request was lost, and this was the second. */
static bool was_completed(struct upload *u, const struct aws_fault *fault, struct object_info *out)
{
    struct error kept = *error_last();
    if (fault->status == 404 && !s3_head(u->store, u->bucket, u->key, out) &&
        !strcmp(out->sequencer, u->sequencer)) {
        out->content = u->content;
        return true;
    }
    error_restore(&kept);
    return false;
}

/* S3 may answer 200 and then say in the body that it failed. */
static int end_parts(struct upload *u, struct object_info *out)
{
    char query[S3_QUERY_TEXT], checksum[S3_CHECKSUM_TEXT];
    struct http_response response = {0};
    struct aws_fault fault = {0};
    struct completion completion = {0};
    struct s3_document document = {.at = take_completion, .ctx = &completion};
    struct s3_request request = request_of(u, "POST");
    struct http_header headers[] = {{"Content-Type", "application/xml"},
                                    {S3_HEADER_CRC64NVME, checksum},
                                    {"x-amz-checksum-type", "FULL_OBJECT"}};
    u->parts = 0;
    end_digest(u);
    s3_checksum_crc(CRC_64_NVME, u->crc, checksum);
    int rc = query_of(u, query);
    if (!rc)
        rc = buffer_append_string(&u->done, "</CompleteMultipartUpload>");
    request.query = query;
    request.headers = headers;
    request.header_count = u->store->send_checksums ? 3 : 1;
    request.body = buffer_string(&u->done);
    request.length = u->done.length;
    if (!rc)
        rc = s3_perform(u->store, &request, NULL, &response, &fault);
    if (rc && was_completed(u, &fault, out)) {
        http_response_free(&response);
        return OK;
    }
    if (!rc)
        rc = s3_document_read(&response, &document);
    if (!rc && !completion.done)
        rc = error_set(ERR_TRANSIENT, "aws_unavailable", "S3 did not put '%s' together (%s)",
                       u->key, completion.code);
    if (!rc)
        describe(u, completion.etag, &response, out);
    http_response_free(&response);
    return rc || out->etag[0] ? rc : ask_etag(u, out);
}

/* What cannot be aborted now is left to the bucket's lifecycle rule. */
static void abort_parts(struct upload *u)
{
    char query[S3_QUERY_TEXT];
    struct http_response response;
    struct aws_fault fault;
    struct s3_request request = request_of(u, "DELETE");
    struct error kept = *error_last();
    u->parts = 0;
    request.query = query;
    if (!query_of(u, query)) {
        s3_perform(u->store, &request, NULL, &response, &fault);
        http_response_free(&response);
    }
    error_restore(&kept);
}

static int send_parts(struct upload *u, struct object_info *out)
{
    int rc = begin_parts(u);
    while (!rc && u->part.length) {
        rc = send_part(u);
        if (!rc && u->part.length < S3_PART_BYTES)
            break;
        if (!rc)
            rc = read_part(u);
    }
    if (!rc)
        rc = end_parts(u, out);
    if (rc && u->id[0])
        abort_parts(u);
    return rc;
}

/* ---- putting ---- */

static pthread_mutex_t *stripe_of(struct s3_store *s, const char *key)
{
    struct digest digest = digest_of(key, strlen(key));
    return &s->stripes[digest.bytes[0] % S3_STRIPES];
}

/* Of two puts of one key the later one has the greater sequencer. */
static int send(struct upload *u, struct object_info *out)
{
    int rc = read_part(u);
    if (rc)
        return rc;
    if (u->part.length == S3_PART_BYTES)
        return send_parts(u, out);
    pthread_mutex_t *stripe = stripe_of(u->store, u->key);
    pthread_mutex_lock(stripe);
    rc = send_whole(u, out);
    pthread_mutex_unlock(stripe);
    return rc;
}

int s3_put(void *ctx, const char *bucket, const char *key, const char *content_type,
           const struct object_source *source, struct object_info *out)
{
    struct upload u = {
        .store = ctx, .bucket = bucket, .key = key, .content_type = content_type, .source = source};
    int rc = object_bucket_check(bucket);
    if (!rc)
        rc = object_key_check(key);
    if (rc)
        return rc;
    u.digest = digest_begin(false);
    if (!u.digest)
        return error_last()->code;
    buffer_init(&u.part, S3_PART_BYTES + 1);
    buffer_init(&u.done, MIB(4));
    rc = send(&u, out);
    buffer_free(&u.part);
    buffer_free(&u.done);
    if (u.digest)
        digest_abort(u.digest);
    return rc;
}
