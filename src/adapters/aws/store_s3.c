#include "adapters/aws/store_s3.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/store_s3_internal.h"
#include "shared/error.h"
#include "shared/object_name.h"
#include "shared/sigv4.h"

enum { MICROSECONDS = 1000000, DOCUMENT_BYTES = 8 << 20, REQUEST_HEADERS = 8 };

/* ---- buckets ---- */

/* With the lock held. A new one takes the place of the one that is known longest. */
static struct s3_bucket *bucket_of(struct s3_store *s, const char *name)
{
    for (size_t i = 0; i < s->bucket_count; i++)
        if (!strcmp(s->buckets[i].name, name))
            return &s->buckets[i];
    struct s3_bucket *bucket = &s->buckets[s->next_bucket++ % S3_BUCKETS];
    if (s->bucket_count < S3_BUCKETS)
        s->bucket_count++;
    *bucket = (struct s3_bucket){.readable = !strcmp(name, s->home)};
    snprintf(bucket->name, sizeof bucket->name, "%s", name);
    return bucket;
}

static void region_of(struct s3_store *s, const char *name, char out[AWS_REGION_TEXT])
{
    pthread_mutex_lock(&s->lock);
    snprintf(out, AWS_REGION_TEXT, "%s", bucket_of(s, name)->region);
    pthread_mutex_unlock(&s->lock);
}

/* S3 says with a refusal in which region the bucket is. True: somewhere else than was asked, which
 * another request may have learned meanwhile. */
static bool learn_region(struct s3_store *s, const char *name, const char *asked,
                         const struct http_response *response)
{
    char region[AWS_REGION_TEXT];
    if ((response->status != 301 && response->status != 307 && response->status != 400) ||
        !http_response_header(response, "x-amz-bucket-region", region, sizeof region) ||
        !aws_is_region(region))
        return false;
    pthread_mutex_lock(&s->lock);
    struct s3_bucket *bucket = bucket_of(s, name);
    snprintf(bucket->region, sizeof bucket->region, "%s", region);
    pthread_mutex_unlock(&s->lock);
    return strcmp(asked, region) != 0;
}

void s3_was_read(struct s3_store *s, const char *bucket, const char *key)
{
    pthread_mutex_lock(&s->lock);
    struct s3_bucket *b = bucket_of(s, bucket);
    b->readable = true;
    snprintf(b->witness, sizeof b->witness, "%s", key);
    pthread_mutex_unlock(&s->lock);
}

static bool was_read_before(struct s3_store *s, const char *bucket)
{
    pthread_mutex_lock(&s->lock);
    bool readable = bucket_of(s, bucket)->readable;
    pthread_mutex_unlock(&s->lock);
    return readable;
}

/* Whether an object that was read before still can be: then another is denied for its own sake, as
 * one that belongs to another account, or has a key of its own. */
static bool others_are_readable(struct s3_store *s, const char *bucket, const char *key)
{
    static const struct http_header first = {"Range", "bytes=0-0"}; /* HEAD does not decrypt */
    struct error kept = *error_last();
    struct http_response response;
    struct aws_fault fault;
    char witness[CAP_KEY + 1];
    pthread_mutex_lock(&s->lock);
    memcpy(witness, bucket_of(s, bucket)->witness, sizeof witness);
    pthread_mutex_unlock(&s->lock);
    if (!*witness || !strcmp(witness, key))
        return false;
    struct s3_request request = {
        .method = "GET", .bucket = bucket, .key = witness, .headers = &first, .header_count = 1};
    int rc = s3_perform(s, &request, NULL, &response, &fault);
    http_response_free(&response);
    error_restore(&kept);
    return rc == OK;
}

static int read_denied(struct s3_store *s, const char *bucket, const char *key)
{
    if (!was_read_before(s, bucket))
        return error_set(ERR_PERMANENT, "bucket_denied",
                         "bucket '%s' may not be read: allow s3:GetObject, s3:GetObjectVersion and "
                         "s3:ListBucket on it, then redrive",
                         bucket);
    if (others_are_readable(s, bucket, key))
        return error_set(ERR_PERMANENT, "object_denied",
                         "'%s' in bucket '%s' may not be read, though others may: look at its "
                         "owner and at the key that encrypts it, then redrive",
                         key, bucket);
    return error_last()->code;
}

/* Other refusals are of who asks. */
static bool is_about_what_was_read(const struct aws_fault *fault)
{
    return fault->status == 403 &&
           (!strcmp(fault->code, "AccessDenied") || !strcmp(fault->code, "AllAccessDisabled") ||
            !strcmp(fault->code, "InvalidPayer"));
}

/* No connection came about: every job would meet that, so it is no job's attempt. But what an event
 * names may have a host of its own, or be in a region to which nothing leads from here. */
static bool found_no_server(struct s3_store *s, const char *bucket, const struct error *e)
{
    bool none = !strcmp(e->reason, "connect_failed") || !strcmp(e->reason, "connect_timeout") ||
                !strcmp(e->reason, "dns");
    return none && was_read_before(s, bucket);
}

int s3_read_error(struct s3_store *s, const char *bucket, const char *key,
                  const struct aws_fault *fault)
{
    const struct error *e = error_last();
    if (found_no_server(s, bucket, e))
        return error_set(ERR_SYSTEMIC, "store_unreachable", "%s", e->message);
    if (fault->status == 404 || fault->status == 405) /* 405: the version is a removal */
        return error_set(ERR_NOT_FOUND, NULL, "there is no '%s' in bucket '%s'", key, bucket);
    if (!strcmp(fault->code, "InvalidObjectState")) /* of a 403, which is no matter of rights */
        return error_set(ERR_PERMANENT, "object_archived",
                         "'%s' in bucket '%s' is archived: restore it from S3 Glacier, then "
                         "redrive",
                         key, bucket);
    if (is_about_what_was_read(fault))
        return read_denied(s, bucket, key);
    return e->code;
}

/* ---- requests ---- */

/* A name with dots does not fit the service's certificate as a host. */
static bool by_path(const struct s3_store *s, const char *bucket)
{
    return s->path_style || strchr(bucket, '.');
}

static int put_address(const struct s3_store *s, const struct s3_request *r,
                       char path[S3_QUERY_TEXT], char prefix[CAP_BUCKET + 2])
{
    bool in_path = by_path(s, r->bucket);
    const char *slash = r->key || !in_path ? "/" : "";
    size_t at = (size_t)snprintf(path, S3_QUERY_TEXT, "%s%s%s", in_path ? "/" : "",
                                 in_path ? r->bucket : "", slash);
    snprintf(prefix, CAP_BUCKET + 2, "%s%s", in_path ? "" : r->bucket, in_path ? "" : ".");
    return sigv4_encode(r->key ? r->key : "", true, path + at, S3_QUERY_TEXT - at);
}

static int perform(struct s3_store *s, const struct s3_request *r, const char *region,
                   const struct cancel *cancel, struct http_response *out, struct aws_fault *fault)
{
    char path[S3_QUERY_TEXT], prefix[CAP_BUCKET + 2];
    struct http_header headers[REQUEST_HEADERS];
    size_t count = 0;
    for (; count < r->header_count; count++)
        headers[count] = r->headers[count];
    if (s->owner[0])
        headers[count++] = (struct http_header){"X-Amz-Expected-Bucket-Owner", s->owner};
    struct aws_request request = {.method = r->method,
                                  .host_prefix = prefix,
                                  .path = path,
                                  .query = r->query,
                                  .headers = headers,
                                  .header_count = count,
                                  .body = r->body,
                                  .length = r->length,
                                  .hash = r->hash,
                                  .cut_long = r->cut_long,
                                  .region = *region ? region : NULL,
                                  .max_response =
                                      r->max_response ? r->max_response : (size_t)DOCUMENT_BYTES};
    int rc = put_address(s, r, path, prefix);
    return rc ? rc : aws_perform(s->client, &request, cancel, out, fault);
}

int s3_perform(struct s3_store *s, const struct s3_request *request, const struct cancel *cancel,
               struct http_response *out, struct aws_fault *fault)
{
    char region[AWS_REGION_TEXT];
    *out = (struct http_response){0};
    *fault = (struct aws_fault){0};
    int rc = object_bucket_check(request->bucket);
    if (!rc && request->key)
        rc = object_key_check(request->key);
    if (rc)
        return rc;
    region_of(s, request->bucket, region);
    rc = perform(s, request, region, cancel, out, fault);
    if (!rc || !learn_region(s, request->bucket, region, out))
        return rc;
    http_response_free(out);
    region_of(s, request->bucket, region);
    return perform(s, request, region, cancel, out, fault);
}

/* ---- sequencers ---- */

int64_t s3_next_us(struct s3_store *s)
{
    int64_t now = clock_now(s->clock) * 1000;
    pthread_mutex_lock(&s->lock);
    if (now <= s->last_us)
        now = s->last_us + 1;
    s->last_us = now;
    pthread_mutex_unlock(&s->lock);
    return now;
}

/* The fraction in 1/2^32 s, rounded up, so that it can be read back. */
void s3_sequencer(int64_t us, char out[CAP_SEQUENCER + 1])
{
    uint64_t fraction = (((uint64_t)(us % MICROSECONDS) << 32) + MICROSECONDS - 1) / MICROSECONDS;
    snprintf(out, CAP_SEQUENCER + 1, "00%08llX%08llX", (unsigned long long)(us / MICROSECONDS),
             (unsigned long long)fraction);
}

static bool sequencer_us(const char *text, int64_t *us)
{
    unsigned long long seconds, fraction;
    if (strlen(text) != 18 || strspn(text, "0123456789ABCDEF") != 18 ||
        sscanf(text, "00%8llX%8llX", &seconds, &fraction) != 2)
        return false;
    *us = (int64_t)(seconds * MICROSECONDS + (fraction * MICROSECONDS >> 32));
    return true;
}

/* ---- describing ---- */

static void copy_header(const struct http_response *r, const char *name, char *out, size_t capacity)
{
    if (!http_response_header(r, name, out, capacity))
        out[0] = '\0';
}

static void read_etag(const struct http_response *r, char out[CAP_ETAG + 1])
{
    char text[CAP_ETAG + 3];
    copy_header(r, "etag", text, sizeof text);
    const char *from = text + (text[0] == '"');
    snprintf(out, CAP_ETAG + 1, "%.*s", (int)strcspn(from, "\""), from);
}

/* "bytes 0-262143/1048576" */
static int read_size(const struct http_response *r, int64_t *out)
{
    char text[96];
    const char *slash = NULL;
    if (http_response_header(r, "content-range", text, sizeof text))
        slash = strchr(text, '/');
    const char *digits = slash ? slash + 1 : text;
    if (!slash && !http_response_header(r, "content-length", text, sizeof text))
        return error_set(ERR_TRANSIENT, "malformed_reply",
                         "an answer of S3 does not say how large the object is");
    char *end;
    *out = strtoll(digits, &end, 10);
    if (end == digits || *end || *out < 0)
        return error_set(ERR_TRANSIENT, "malformed_reply",
                         "an answer of S3 says that an object has the size '%.40s'", digits);
    return OK;
}

static void read_times(const struct http_response *r, struct object_info *out)
{
    char text[64];
    int64_t us = 0;
    copy_header(r, "x-amz-meta-aegis-sequencer", text, sizeof text);
    if (!sequencer_us(text, &us)) {
        copy_header(r, "last-modified", text, sizeof text);
        time_t seconds = curl_getdate(text, NULL);
        us = seconds > 0 ? (int64_t)seconds * MICROSECONDS : 0;
    }
    out->modified_ms = us / 1000;
    s3_sequencer(us, out->sequencer);
}

int s3_describe(const struct http_response *response, const char *bucket, const char *key,
                struct object_info *out)
{
    char hex[DIGEST_TEXT];
    *out = (struct object_info){0};
    snprintf(out->bucket, sizeof out->bucket, "%s", bucket);
    snprintf(out->key, sizeof out->key, "%s", key);
    read_etag(response, out->etag);
    copy_header(response, "x-amz-version-id", out->version_id, sizeof out->version_id);
    copy_header(response, "content-type", out->content_type, sizeof out->content_type);
    if (http_response_header(response, "x-amz-meta-aegis-sha256", hex, sizeof hex) &&
        digest_parse(hex, &out->content))
        out->content = (struct digest){0};
    read_times(response, out);
    return read_size(response, &out->size);
}

int s3_head(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct http_response response;
    struct aws_fault fault;
    struct s3_request request = {.method = "HEAD", .bucket = bucket, .key = key};
    int rc = s3_perform(ctx, &request, NULL, &response, &fault);
    if (rc)
        rc = s3_read_error(ctx, bucket, key, &fault);
    else
        rc = s3_describe(&response, bucket, key, out);
    http_response_free(&response);
    return rc;
}

int s3_store_check(const struct object_store *store, const char *bucket)
{
    struct http_response response;
    struct aws_fault fault;
    struct s3_request request = {.method = "HEAD", .bucket = bucket};
    int rc = s3_perform(store->ctx, &request, NULL, &response, &fault);
    http_response_free(&response);
    if (rc == ERR_NOT_FOUND)
        rc = error_set(ERR_SYSTEMIC, "aws_no_such_resource",
                       "there is no bucket '%s': make it, or set `bucket`", bucket);
    return rc;
}

/* ---- opening ---- */

static void s3_close(void *ctx)
{
    struct s3_store *s = ctx;
    slots_fini(&s->parts);
    for (int i = 0; i < S3_STRIPES; i++)
        pthread_mutex_destroy(&s->stripes[i]);
    pthread_mutex_destroy(&s->lock);
    free(s->spool);
    free(s);
}

static const struct object_store_ops ops = {.name = "s3",
                                            .close = s3_close,
                                            .put = s3_put,
                                            .open = s3_open,
                                            .head = s3_head,
                                            .remove = s3_remove,
                                            .list = s3_list};

int s3_store_open(const struct s3_store_options *options, struct object_store *out)
{
    struct s3_store *s = calloc(1, sizeof *s);
    char *spool = strdup(options->spool_directory);
    if (!s || !spool) {
        free(s);
        free(spool);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the object store");
    }
    s->client = options->client;
    s->clock = options->clock;
    s->path_style = options->path_style;
    s->send_checksums = options->send_checksums;
    s->ask_checksums = options->ask_checksums;
    s->spool = spool;
    s->reserve = options->reserve;
    snprintf(s->home, sizeof s->home, "%s", options->home ? options->home : "");
    snprintf(s->owner, sizeof s->owner, "%s", options->bucket_owner ? options->bucket_owner : "");
    slots_init(&s->parts, S3_PARTS_IN_MEMORY);
    for (int i = 0; i < S3_STRIPES; i++)
        pthread_mutex_init(&s->stripes[i], NULL);
    pthread_mutex_init(&s->lock, NULL);
    *out = (struct object_store){.ops = &ops, .ctx = s};
    return OK;
}
