/*
 * Bodies that are too long for a message. The message says {"aegis_payload":{"bucket":...,
 * "key":...,"version":...}} and has the attribute aegis.payload.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"
#include "shared/random.h"

enum { REFERENCE_TEXT = 8192 };

/* ---- storing ---- */

struct reader {
    const char *text;
    size_t left;
};

static int read_text(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    struct reader *r = ctx;
    *got = r->left < capacity ? r->left : capacity;
    memcpy(bytes, r->text, *got);
    r->text += *got;
    r->left -= *got;
    return OK;
}

static int write_reference(const struct object_info *info, char **reference)
{
    struct buffer out;
    buffer_init(&out, REFERENCE_TEXT);
    int rc = buffer_append_string(&out, "{\"aegis_payload\":{");
    if (!rc)
        rc = sqs_put(&out, "bucket", info->bucket);
    if (!rc)
        rc = sqs_put(&out, "key", info->key);
    if (!rc)
        rc = sqs_put(&out, "version", info->version_id);
    if (!rc)
        rc = buffer_append_string(&out, "}}");
    *reference = rc ? NULL : buffer_take(&out);
    buffer_free(&out);
    return rc;
}

int sqs_payload_put(struct sqs_queue *q, const char *body, size_t length, char **reference)
{
    struct reader r = {.text = body, .left = length};
    struct object_source source = {.read = read_text, .ctx = &r};
    struct object_info info;
    char name[TRACE_ID_TEXT], key[TRACE_ID_TEXT + 16];
    random_trace_id(name);
    snprintf(key, sizeof key, "queue/%s", name);
    *reference = NULL;
    int rc = q->payloads->ops->put(q->payloads->ctx, q->payload_bucket, key, "text/plain", &source,
                                   &info);
    return rc ? error_prefix("while storing a long message") : write_reference(&info, reference);
}

/* ---- reading ---- */

struct reference {
    yyjson_doc *doc;
    const char *bucket, *key, *version;
};

/* Only what this adapter writes: nobody who may send messages can name other objects. */
static int parse_reference(const struct sqs_queue *q, const char *text, size_t length,
                           struct reference *out)
{
    *out = (struct reference){0};
    if (!q->payloads)
        return error_set(ERR_INVALID, "no_payload_store",
                         "a message keeps its body in a store, and none is set for this queue");
    int rc = json_parse(text, length, "a reference to a long message", &out->doc);
    if (rc)
        return rc;
    yyjson_val *v = json_at(yyjson_doc_get_root(out->doc), "aegis_payload");
    out->bucket = json_string_at(v, "bucket", "");
    out->key = json_string_at(v, "key", "");
    out->version = json_string_at(v, "version", "");
    if (!strcmp(out->bucket, q->payload_bucket) && !strncmp(out->key, "queue/", 6))
        return OK;
    return error_set(ERR_INVALID, "bad_payload",
                     "a message names '%.80s' in '%.64s', which is no long message of this queue",
                     out->key, out->bucket);
}

static int read_body(struct object *o, struct arena *arena, const char **body)
{
    size_t size = (size_t)o->info.size;
    char *text = arena_alloc(arena, size + 1);
    int rc = text ? object_descriptor(o) : ERR_NO_MEMORY;
    for (size_t at = 0; !rc && at < size;) {
        ssize_t n = pread(o->fd, text + at, size - at, (off_t)at);
        if (n <= 0)
            rc = error_set(ERR_IO, NULL, "cannot read a long message '%.80s'", o->info.key);
        else
            at += (size_t)n;
    }
    *body = text;
    return rc;
}

int sqs_payload_get(struct sqs_queue *q, const char *reference, size_t length, struct arena *arena,
                    const char **body, size_t *body_length)
{
    struct reference r;
    struct object o = {.fd = -1};
    int rc = parse_reference(q, reference, length, &r);
    if (!rc)
        rc = q->payloads->ops->open(q->payloads->ctx, r.bucket, r.key, r.version, "", NULL, &o);
    if (!rc && o.info.size > (int64_t)CAP_MESSAGE_BODY)
        rc = error_set(ERR_INVALID, "bad_payload", "'%.80s' is too long for a message", r.key);
    if (!rc)
        rc = read_body(&o, arena, body);
    if (!rc)
        *body_length = (size_t)o.info.size;
    object_close(&o);
    yyjson_doc_free(r.doc);
    return rc;
}

void sqs_payload_remove(struct sqs_queue *q, const struct sqs_message *m)
{
    struct reference r;
    struct error before = *error_last();
    if (!m->payload)
        return;
    if (!parse_reference(q, m->body, m->length, &r))
        (void)q->payloads->ops->remove(q->payloads->ctx, r.bucket, r.key, NULL);
    yyjson_doc_free(r.doc);
    error_restore(&before);
}
