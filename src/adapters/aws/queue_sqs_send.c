#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"
#include "shared/random.h"
#include "shared/sigv4.h"
#include "shared/trace_context.h"

enum {
    GROUP_TEXT = 128,   /* longest MessageGroupId */
    ENTRY_EXTRA = 4096, /* of one entry in a request besides its body */
    ESCAPED = 6,        /* bytes of one escaped in JSON */
    MAX_DELAY_MS = 7 * 24 * 60 * 60 * 1000,
    FIFO_MAX_DELAY_MS = 12 * 60 * 60 * 1000, /* longest timeout */
};

/* ---- one entry ---- */

static bool is_group_char(char c)
{
    return c > ' ' && c < 0x7f;
}

/* Groups that SQS does not take are named by their digest. */
static void group_id(const char *group, char out[GROUP_TEXT + 1])
{
    char digest[SIGV4_HASH_TEXT];
    size_t n = 0;
    while (n <= GROUP_TEXT && is_group_char(group[n]))
        n++;
    if (!group[n] && n <= GROUP_TEXT) {
        snprintf(out, GROUP_TEXT + 1, "%s", group);
        return;
    }
    sigv4_hash(group, strlen(group), digest);
    snprintf(out, GROUP_TEXT + 1, "group-%s", digest);
}

static int put_attribute(struct buffer *out, const char *name, const char *value, size_t length)
{
    if (length == 0) /* SQS takes no empty ones */
        return OK;
    bool first = out->data[out->length - 1] == '{';
    int rc = buffer_printf(
        out, "%s\"%s\":{\"DataType\":\"String\",\"StringValue\":", first ? "" : ",", name);
    if (!rc)
        rc = json_append_string(out, value, length);
    return rc ? rc : buffer_append_char(out, '}');
}

static int put_number(struct buffer *out, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    return value ? put_attribute(out, name, text, strlen(text)) : OK;
}

static int put_own_attributes(struct buffer *out, const struct sqs_outgoing *e)
{
    if (!*e->id && !e->not_before_ms && !e->payload && !e->reason)
        return OK;
    int rc = put_number(out, "aegis.version", SQS_VERSION);
    if (!rc)
        rc = put_attribute(out, "aegis.id", e->id, strlen(e->id));
    if (!rc)
        rc = put_number(out, "aegis.sent_ms", e->sent_ms);
    if (!rc)
        rc = put_number(out, "aegis.not_before_ms", e->not_before_ms);
    if (!rc)
        rc = put_number(out, "aegis.payload", e->payload);
    if (!rc && e->reason)
        rc = put_attribute(out, "aegis.reason", e->reason, strlen(e->reason));
    if (!rc && e->reason)
        rc = put_attribute(out, "aegis.detail", e->detail, strlen(e->detail));
    if (!rc && e->reason)
        rc = put_number(out, "aegis.receive_count", e->dead_count);
    if (!rc && e->reason)
        rc = put_attribute(out, "aegis.group", e->group, strlen(e->group));
    return rc;
}

/* Up to ten, which is as many as SQS takes. */
static int put_attributes(struct buffer *out, const struct sqs_outgoing *e)
{
    size_t before = out->length;
    int rc = buffer_append_string(out, ",\"MessageAttributes\":{");
    size_t empty = out->length;
    if (!rc)
        rc = put_attribute(out, "traceparent", e->traceparent, strlen(e->traceparent));
    if (!rc)
        rc = put_own_attributes(out, e);
    if (!rc && out->length == empty) {
        buffer_truncate(out, before);
        return OK;
    }
    return rc ? rc : buffer_append_char(out, '}');
}

/* Dead letters of a FIFO queue have a group each: who looks at them would else see ten of a group.
 */
static int put_group(const struct sqs_queue *q, struct buffer *out, const struct sqs_outgoing *e,
                     bool fifo, const char *key)
{
    char group[GROUP_TEXT + 1];
    if (!fifo && !(q->fair && *e->group))
        return OK;
    group_id(*e->group && !e->reason ? e->group : key, group);
    int rc = sqs_put(out, "MessageGroupId", group);
    return rc || !fifo ? rc : sqs_put(out, "MessageDeduplicationId", key);
}

static int put_trace(struct buffer *out, const char *trace)
{
    if (!*trace)
        return OK;
    int rc = buffer_append_string(out, ",\"MessageSystemAttributes\":{\"AWSTraceHeader\":"
                                       "{\"DataType\":\"String\",\"StringValue\":");
    if (!rc)
        rc = json_append_string(out, trace, strlen(trace));
    return rc ? rc : buffer_append_string(out, "}}");
}

static int put_entry(const struct sqs_queue *q, struct buffer *out, size_t index, bool fifo,
                     const struct sqs_outgoing *e)
{
    char key[TRACE_ID_TEXT];
    random_trace_id(key);
    int rc = buffer_printf(out, "%s{\"Id\":\"%zu\"", out->data[out->length - 1] == '[' ? "" : ",",
                           index);
    if (!rc)
        rc = sqs_put_text(out, "MessageBody", e->body, e->length);
    if (!rc && e->delay_ms > 0 && !fifo)
        rc = sqs_put_int(out, "DelaySeconds", sqs_seconds(e->delay_ms));
    if (!rc)
        rc = put_group(q, out, e, fifo, key);
    if (!rc)
        rc = put_attributes(out, e);
    if (!rc)
        rc = put_trace(out, e->trace);
    return rc ? rc : buffer_append_char(out, '}');
}

/* ---- batches ---- */

/* Which entries of one request are still to be sent. */
struct batch {
    const struct sqs_outgoing *entries;
    size_t count, left;
    bool sent[SQS_BATCH];
    char ids[SQS_BATCH][QUEUE_ID_TEXT];
};

static int put_batch(const struct sqs_queue *q, const char *url, bool fifo, const struct batch *b,
                     struct buffer *out)
{
    size_t limit = KIB(4);
    for (size_t i = 0; i < b->count; i++)
        limit += b->entries[i].length * ESCAPED + ENTRY_EXTRA * ESCAPED;
    buffer_init(out, limit);
    int rc = buffer_append_char(out, '{');
    if (!rc)
        rc = sqs_put(out, "QueueUrl", url);
    if (!rc)
        rc = buffer_append_string(out, ",\"Entries\":[");
    for (size_t i = 0; !rc && i < b->count; i++)
        if (!b->sent[i])
            rc = put_entry(q, out, i, fifo, &b->entries[i]);
    return rc ? rc : buffer_append_string(out, "]}");
}

static const struct sqs_outcome *note_outcomes(struct batch *b, const struct sqs_outcome *outcomes)
{
    const struct sqs_outcome *worst = NULL;
    for (size_t i = 0; i < b->count; i++) {
        if (b->sent[i])
            continue;
        if (outcomes[i].ok) {
            b->sent[i] = true;
            b->left--;
            memcpy(b->ids[i], outcomes[i].id, sizeof b->ids[i]);
        } else if (!worst || outcomes[i].sender_fault) {
            worst = &outcomes[i];
        }
    }
    return worst;
}

static int entry_error(const struct sqs_outcome *o)
{
    const char *code = o->code[0] ? o->code : "no reason given";
    if (o->sender_fault)
        return error_set(ERR_INVALID, "aws_refused", "SQS refused a message (%s)", code);
    return error_set(ERR_TRANSIENT, "aws_unavailable", "SQS did not take a message (%s)", code);
}

static int send_batch(struct sqs_queue *q, const char *url, bool fifo, struct batch *b)
{
    struct sqs_outcome outcomes[SQS_BATCH];
    for (int nth = 1;; nth++) {
        struct buffer body;
        int rc = put_batch(q, url, fifo, b, &body);
        if (!rc)
            rc = sqs_call_batch(q, "SendMessageBatch", &body, outcomes, b->count);
        buffer_free(&body);
        if (rc)
            return rc;
        const struct sqs_outcome *worst = note_outcomes(b, outcomes);
        if (!worst)
            return OK;
        if (worst->sender_fault || !sqs_again(nth))
            return entry_error(worst);
    }
}

/* As many as one request takes. */
static size_t fitting(const struct sqs_queue *q, const struct sqs_outgoing *entries, size_t count)
{
    size_t n = 0, bytes = 0;
    while (n < count && n < SQS_BATCH &&
           (n == 0 || bytes + entries[n].length + ENTRY_EXTRA / 2 <= q->max_request))
        bytes += entries[n++].length + ENTRY_EXTRA / 2;
    return n;
}

int sqs_send_entries(struct sqs_queue *q, const char *url, bool fifo,
                     const struct sqs_outgoing *entries, size_t count, char (*ids)[QUEUE_ID_TEXT],
                     size_t *sent)
{
    int rc = OK;
    *sent = 0;
    for (size_t at = 0; !rc && at < count;) {
        struct batch b = {.entries = entries + at};
        b.count = b.left = fitting(q, entries + at, count - at);
        rc = send_batch(q, url, fifo, &b);
        *sent += b.count - b.left;
        if (ids)
            memcpy(ids + at, b.ids, b.count * sizeof *ids);
        at += b.count;
    }
    if (rc && count > 1)
        rc = error_prefix("%zu of %zu messages were sent", *sent, count);
    return rc;
}

struct sqs_outgoing sqs_again_entry(const struct sqs_message *m)
{
    return (struct sqs_outgoing){.body = m->body,
                                 .length = m->length,
                                 .not_before_ms = m->not_before_ms,
                                 .id = m->id,
                                 .group = m->group,
                                 .trace = m->trace,
                                 .traceparent = m->traceparent,
                                 .sent_ms = m->sent_ms,
                                 .payload = m->payload,
                                 .detail = ""};
}

/* ---- the port ---- */

/* Characters that SQS does not take, besides what is not UTF-8. */
static bool is_text(const char *body, size_t length)
{
    const uint8_t *p = (const uint8_t *)body;
    if (u8_check(p, length))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r')
            return false;
        if (p[i] == 0xef && p[i + 1] == 0xbf && p[i + 2] >= 0xbe) /* U+FFFE, U+FFFF */
            return false;
    }
    return true;
}

static int check_message(const struct sqs_queue *q, const struct queue_send *m)
{
    if (m->length > q->max_body)
        return error_set(ERR_TOO_LARGE, "too_large",
                         "a message body of %zu bytes; the limit is %zu", m->length, q->max_body);
    if (m->length == 0 || !is_text(m->body, m->length))
        return error_set(ERR_INVALID, NULL,
                         "SQS takes no message body that is empty, not UTF-8, or has control "
                         "characters other than tab and line end");
    if (m->group && strlen(m->group) >= QUEUE_GROUP_TEXT)
        return error_set(ERR_INVALID, NULL, "group '%.40s...' is longer than %d bytes", m->group,
                         QUEUE_GROUP_TEXT - 1);
    int64_t longest = q->fifo ? FIFO_MAX_DELAY_MS : MAX_DELAY_MS;
    if (m->delay_ms < 0 || m->delay_ms > longest)
        return error_set(ERR_INVALID, NULL, "a delay of %" PRId64 " ms is not from 0 to %" PRId64,
                         m->delay_ms, longest);
    return OK;
}

/* What tells of the trace in the two ways that others look for; nothing of one that cannot be read.
 */
static void set_trace(struct sqs_outgoing *e, const char *traceparent, char xray[XRAY_TEXT])
{
    struct trace_context context;
    if (!trace_context_parse_traceparent(traceparent, &context))
        return;
    e->traceparent = traceparent;
    e->trace = trace_context_xray(&context, xray);
}

static struct sqs_outgoing new_entry(const struct sqs_queue *q, const struct queue_send *m,
                                     char xray[XRAY_TEXT])
{
    struct sqs_outgoing e = {.body = m->body,
                             .length = m->length,
                             .delay_ms = m->delay_ms,
                             .id = "",
                             .group = m->group ? m->group : "",
                             .trace = "",
                             .traceparent = "",
                             .detail = ""};
    set_trace(&e, m->traceparent, xray);
    if (m->delay_ms > (q->fifo ? 0 : SQS_LONGEST_DELAY_MS)) {
        e.not_before_ms = clock_now(q->clock) + m->delay_ms;
        e.delay_ms = q->fifo ? 0 : SQS_LONGEST_DELAY_MS;
    }
    return e;
}

/* What is too long for the queue goes to the payloads first; references[i] says where. */
static int put_payloads(struct sqs_queue *q, struct sqs_outgoing *entries, size_t count,
                        char **references)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < count; i++) {
        if (entries[i].length <= q->max_inline)
            continue;
        rc = sqs_payload_put(q, entries[i].body, entries[i].length, &references[i]);
        if (rc)
            break;
        entries[i].payload = true;
        entries[i].body = references[i];
        entries[i].length = strlen(references[i]);
    }
    return rc;
}

/* Those of messages that may have been sent stay: somebody may read them. */
static void free_references(struct sqs_queue *q, const struct sqs_outgoing *entries, size_t count,
                            char **references, bool unsent)
{
    for (size_t i = 0; i < count; i++) {
        if (references[i] && unsent)
            sqs_payload_remove(q, &(struct sqs_message){.payload = true,
                                                        .body = references[i],
                                                        .length = entries[i].length});
        free(references[i]);
    }
}

int sqs_send(void *ctx, const struct queue_send *messages, size_t count, char (*ids)[QUEUE_ID_TEXT])
{
    struct sqs_queue *q = ctx;
    struct sqs_outgoing entries[SQS_BATCH];
    char *references[SQS_BATCH] = {0}, traces[SQS_BATCH][XRAY_TEXT];
    size_t sent = 0;
    int rc = count > SQS_BATCH
                 ? error_set(ERR_INVALID, NULL, "%zu messages in a batch of at most %d", count,
                             SQS_BATCH)
                 : OK;
    for (size_t i = 0; !rc && i < count; i++) {
        rc = check_message(q, &messages[i]);
        if (!rc)
            entries[i] = new_entry(q, &messages[i], traces[i]);
    }
    if (rc || count == 0)
        return rc;
    rc = put_payloads(q, entries, count, references);
    bool unsent = rc != OK;
    if (!rc)
        rc = sqs_send_entries(q, q->url, q->fifo, entries, count, ids, &sent);
    free_references(q, entries, count, references, unsent);
    return rc;
}
