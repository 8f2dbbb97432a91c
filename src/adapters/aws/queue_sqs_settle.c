#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"

enum { MAX_VISIBILITY_MS = 12 * 60 * 60 * 1000, BURY_HIDE_S = 60, DETAIL_TEXT = 1024 };

/* ---- batches of handles ---- */

static int put_handles(struct buffer *out, const char *url, const char *const *handles,
                       size_t count, int64_t seconds)
{
    int rc = buffer_append_char(out, '{');
    if (!rc)
        rc = sqs_put(out, "QueueUrl", url);
    if (!rc)
        rc = buffer_append_string(out, ",\"Entries\":[");
    for (size_t i = 0; !rc && i < count; i++) {
        if (!handles[i])
            continue;
        rc = buffer_printf(out, "%s{\"Id\":\"%zu\"", out->data[out->length - 1] == '[' ? "" : ",",
                           i);
        if (!rc)
            rc = sqs_put(out, "ReceiptHandle", handles[i]);
        if (!rc && seconds >= 0)
            rc = sqs_put_int(out, "VisibilityTimeout", seconds);
        if (!rc)
            rc = buffer_append_char(out, '}');
    }
    return rc ? rc : buffer_append_string(out, "]}");
}

/* Takes those out that have their outcome; how many are left. */
static size_t note(const char **left, size_t count, const struct sqs_outcome *outcomes, int *rcs)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!left[i])
            continue;
        if (outcomes[i].ok || outcomes[i].sender_fault) {
            rcs[i] = outcomes[i].ok ? OK : ERR_CONFLICT;
            left[i] = NULL;
        } else {
            n++;
        }
    }
    return n;
}

static int call_once(struct sqs_queue *q, const char *action, const char *url,
                     const char *const *left, size_t count, int64_t seconds,
                     struct sqs_outcome *outcomes)
{
    struct buffer body;
    buffer_init(&body, MIB(1));
    int rc = put_handles(&body, url, left, count, seconds);
    if (!rc)
        rc = sqs_call_batch(q, action, &body, outcomes, count);
    buffer_free(&body);
    return rc;
}

static int call_handles(struct sqs_queue *q, const char *action, const char *url,
                        const char *const *handles, size_t count, int64_t seconds, int *rcs)
{
    const char *left[SQS_BATCH];
    struct sqs_outcome outcomes[SQS_BATCH];
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += (left[i] = handles[i]) != NULL;
    for (int nth = 1; n > 0; nth++) {
        int rc = call_once(q, action, url, left, count, seconds, outcomes);
        if (rc)
            return rc;
        n = note(left, count, outcomes, rcs);
        if (n > 0 && !sqs_again(nth))
            return error_set(ERR_TRANSIENT, "aws_unavailable",
                             "SQS did not answer for %zu of %zu entries of '%s'", n, count, action);
    }
    return OK;
}

int sqs_delete_handles(struct sqs_queue *q, const char *url, const char *const *handles,
                       size_t count, int *rcs)
{
    return call_handles(q, "DeleteMessageBatch", url, handles, count, -1, rcs);
}

int sqs_hide_handles(struct sqs_queue *q, const char *url, const char *const *handles, size_t count,
                     int64_t seconds, int *rcs)
{
    return call_handles(q, "ChangeMessageVisibilityBatch", url, handles, count, seconds, rcs);
}

/* ---- receipts ---- */

struct parsed {
    struct sqs_message messages[SQS_BATCH];
    char *storage[SQS_BATCH];
    const char *handles[SQS_BATCH]; /* NULL: has its outcome */
    int rcs[SQS_BATCH];
};

static void parsed_free(struct parsed *p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(p->storage[i]);
}

/* What is no receipt has its outcome at once. */
static int parse_all(struct parsed *p, const struct queue_receipt *receipts, size_t count)
{
    *p = (struct parsed){0};
    if (count > SQS_BATCH)
        return error_set(ERR_INVALID, NULL, "%zu receipts in a batch of at most %d", count,
                         SQS_BATCH);
    for (size_t i = 0; i < count; i++) {
        p->rcs[i] = sqs_receipt_parse(receipts[i].receipt, &p->storage[i], &p->messages[i]);
        if (p->rcs[i] == ERR_NO_MEMORY)
            return ERR_NO_MEMORY;
        p->handles[i] = p->rcs[i] ? NULL : p->messages[i].handle;
    }
    error_clear();
    return OK;
}

/* Named twice, a receipt is void the second time. */
static void void_repeated(struct parsed *p, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; p->handles[i] && k < i; k++)
            if (p->handles[k] && !strcmp(p->handles[k], p->handles[i])) {
                p->handles[i] = NULL;
                p->rcs[i] = ERR_CONFLICT;
            }
}

static void put_outcomes(const struct parsed *p, struct queue_receipt *receipts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        receipts[i].rc = p->rcs[i];
}

int sqs_delete(void *ctx, struct queue_receipt *receipts, size_t count)
{
    struct sqs_queue *q = ctx;
    struct parsed p;
    int rc = parse_all(&p, receipts, count);
    if (!rc) {
        void_repeated(&p, count);
        rc = sqs_delete_handles(q, q->url, p.handles, count, p.rcs);
    }
    for (size_t i = 0; !rc && i < count; i++)
        if (p.handles[i] && !p.rcs[i])
            sqs_payload_remove(q, &p.messages[i]);
    if (!rc)
        put_outcomes(&p, receipts, count);
    parsed_free(&p, count < SQS_BATCH ? count : SQS_BATCH);
    return rc;
}

int sqs_check_visibility(int64_t ms)
{
    if (ms < 0 || ms > MAX_VISIBILITY_MS)
        return error_set(ERR_INVALID, NULL,
                         "a visibility timeout of %" PRId64 " ms is not from 0 to %d", ms,
                         MAX_VISIBILITY_MS);
    return OK;
}

int sqs_change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                          int64_t visibility_ms)
{
    struct sqs_queue *q = ctx;
    struct parsed p = {0};
    int rc = sqs_check_visibility(visibility_ms);
    if (!rc)
        rc = parse_all(&p, receipts, count);
    if (!rc)
        rc = sqs_hide_handles(q, q->url, p.handles, count, sqs_seconds(visibility_ms), p.rcs);
    if (!rc)
        put_outcomes(&p, receipts, count);
    parsed_free(&p, count < SQS_BATCH ? count : SQS_BATCH);
    return rc;
}

/* ---- burying ---- */

/* SQS refuses control characters, and counts attributes as part of the message. */
static void clean(const char *text, char *out, size_t capacity)
{
    size_t n = strnlen(text, capacity - 1);
    while (n > 0 && (text[n] & 0xc0) == 0x80) /* not within a character */
        n--;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    out[n] = '\0';
}

int sqs_bury_message(struct sqs_queue *q, const struct sqs_message *m, const char *reason,
                     const char *detail, int receive_count)
{
    struct sqs_outgoing e = sqs_again_entry(m);
    char why[QUEUE_REASON_TEXT], line[DETAIL_TEXT];
    size_t sent;
    int outcome;
    clean(reason, why, sizeof why);
    clean(detail ? detail : "", line, sizeof line);
    e.not_before_ms = 0;
    e.reason = why;
    e.detail = line;
    e.dead_count = receive_count;
    int rc = sqs_send_entries(q, q->dead_url, q->dead_fifo, &e, 1, NULL, &sent);
    return rc ? rc : sqs_delete_handles(q, q->url, &m->handle, 1, &outcome);
}

/* Hiding it first tells whether the receipt holds, and keeps it away from others meanwhile. */
int sqs_bury(void *ctx, const char *receipt, const char *reason, const char *detail)
{
    struct sqs_queue *q = ctx;
    struct sqs_message m;
    char *storage;
    int outcome = OK, rc = sqs_receipt_parse(receipt, &storage, &m);
    if (!rc)
        rc = sqs_hide_handles(q, q->url, &m.handle, 1, BURY_HIDE_S, &outcome);
    if (!rc && outcome)
        rc = error_set(ERR_CONFLICT, NULL, "the receipt of message '%s' is void", m.id);
    if (!rc)
        rc = sqs_bury_message(q, &m, reason, detail, m.receive_count);
    free(storage);
    return rc;
}
