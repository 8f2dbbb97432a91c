#include <stdio.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"
#include "shared/log.h"
#include "shared/trace_context.h"

enum { NEWER_HIDE_S = 60, PAUSE_MS = 1000, LONGEST_HIDE_S = 12 * 60 * 60 };

struct claim {
    struct sqs_queue *queue;
    size_t max, count;
    int64_t visibility_ms;
    const struct cancel *cancel;
    struct arena *arena;
    struct queue_message *out;
};

/* ---- what is not handed out ---- */

/* Not due yet. Sent first, deleted then: it may come twice, but not be lost. */
static int put_off(struct sqs_queue *q, const struct sqs_message *m, int64_t left_ms)
{
    int outcome;
    size_t sent;
    int64_t hide_s = sqs_seconds(left_ms);
    if (q->fifo)
        return sqs_hide_handles(q, q->url, &m->handle, 1,
                                hide_s < LONGEST_HIDE_S ? hide_s : LONGEST_HIDE_S, &outcome);
    struct sqs_outgoing e = sqs_again_entry(m);
    e.delay_ms = left_ms < SQS_LONGEST_DELAY_MS ? left_ms : SQS_LONGEST_DELAY_MS;
    int rc = sqs_send_entries(q, q->url, false, &e, 1, NULL, &sent);
    return rc ? rc : sqs_delete_handles(q, q->url, &m->handle, 1, &outcome);
}

static int leave_to_newer(struct sqs_queue *q, const struct sqs_message *m)
{
    int outcome;
    log_write(LOG_WARN, "queue.newer_message", LOG_STR("id", m->id), LOG_END);
    return sqs_hide_handles(q, q->url, &m->handle, 1, NEWER_HIDE_S, &outcome);
}

/* True: it is not for the caller, and *rc says how putting it elsewhere went. */
static bool put_aside(struct sqs_queue *q, const struct sqs_message *m, int *rc)
{
    int64_t left_ms = m->not_before_ms ? m->not_before_ms - clock_now(q->clock) : 0;
    if (m->newer)
        *rc = leave_to_newer(q, m);
    else if (left_ms > 0)
        *rc = put_off(q, m, left_ms);
    else if (!q->redrives && m->receive_count > q->max_receives)
        *rc = sqs_bury_message(q, m, "max_receives", "", q->max_receives);
    else
        return false;
    return true;
}

/* ---- what is ---- */

static const char *copy_trace(struct arena *arena, const struct sqs_message *m)
{
    struct trace_context context;
    char text[TRACEPARENT_TEXT];
    if (!trace_context_parse_either(m->traceparent, m->trace, &context))
        return "";
    return arena_strdup(arena, trace_context_traceparent(&context, text));
}

static int copy_out(struct claim *c, const struct sqs_message *m, struct queue_message *out)
{
    int rc = OK;
    out->length = m->length;
    out->receive_count = m->receive_count;
    out->sent_ms = m->sent_ms;
    memcpy(out->id, m->id, sizeof out->id);
    out->receipt = sqs_receipt_format(c->arena, m, &out->body);
    out->traceparent = copy_trace(c->arena, m);
    if (!out->receipt || !out->traceparent)
        return ERR_NO_MEMORY;
    if (m->payload)
        rc = sqs_payload_get(c->queue, m->body, m->length, c->arena, &out->body, &out->length);
    return rc;
}

/* A body that is gone or was never there will not come back. */
static int take(struct claim *c, const struct sqs_message *m)
{
    int rc;
    if (put_aside(c->queue, m, &rc))
        return rc;
    rc = copy_out(c, m, &c->out[c->count]);
    if (m->payload && (rc == ERR_NOT_FOUND || rc == ERR_INVALID)) {
        struct error why = *error_last();
        return sqs_bury_message(c->queue, m, "payload_missing", why.message, m->receive_count);
    }
    c->count += rc == OK;
    return rc;
}

/* A newer version's message has to come again. */
static int adopt(struct claim *c, struct sqs_record *record)
{
    struct sqs_message m;
    struct queue_message out;
    int rc;
    if (!sqs_message_of_record(record, &m))
        return error_set(ERR_INVALID, NULL, "message '%s' has no receipt", record->message_id);
    if (put_aside(c->queue, &m, &rc)) {
        record->standing = rc || m.newer ? SQS_LEFT : SQS_SETTLED;
        return rc;
    }
    rc = copy_out(c, &m, &out);
    if (m.payload && (rc == ERR_NOT_FOUND || rc == ERR_INVALID)) {
        struct error why = *error_last();
        rc = sqs_bury_message(c->queue, &m, "payload_missing", why.message, m.receive_count);
        record->standing = rc ? SQS_LEFT : SQS_SETTLED;
        return rc;
    }
    record->receipt_handle = out.receipt;
    record->body = out.body;
    record->length = out.length;
    record->sent_ms = out.sent_ms;
    return rc;
}

int sqs_queue_adopt(const struct job_queue *queue, struct sqs_event *event, struct arena *arena)
{
    struct claim c = {.queue = queue->ctx, .arena = arena};
    for (size_t i = 0; i < event->count; i++) {
        int rc = adopt(&c, &event->records[i]);
        if (rc == ERR_NO_MEMORY)
            return rc;
        if (!rc)
            continue;
        event->records[i].standing = SQS_LEFT;
        log_write(LOG_WARN, "queue.failed", LOG_STR("id", event->records[i].message_id),
                  LOG_STR("message", error_last()->message), LOG_END);
    }
    return OK;
}

/* Those that did not fit into the arena. Keeps the last error. */
static void give_back(struct sqs_queue *q, const struct sqs_message *m, size_t count)
{
    struct error before = *error_last();
    const char *handles[SQS_BATCH];
    int rcs[SQS_BATCH];
    for (size_t i = 0; i < count; i++)
        handles[i] = m[i].handle;
    (void)sqs_hide_handles(q, q->url, handles, count, 0, rcs); /* else they come by timeout */
    error_restore(&before);
}

/* What fails stays on the queue, hidden; it is an error only if nothing else came. */
static int take_all(struct claim *c, const struct sqs_message *m, size_t count)
{
    int rc = OK;
    struct error first = {0};
    for (size_t i = 0; i < count; i++) {
        rc = take(c, &m[i]);
        if (rc && !first.code)
            first = *error_last();
        if (rc == ERR_NO_MEMORY) {
            give_back(c->queue, &m[i], count - i);
            break;
        }
    }
    if (first.code && c->count == 0)
        return error_restore(&first);
    error_clear();
    return OK;
}

static int claim_once(struct claim *c, int64_t wait_s, size_t *received)
{
    struct sqs_message m[SQS_BATCH];
    yyjson_doc *doc;
    int rc = sqs_receive(c->queue, c->queue->url, c->max, sqs_seconds(c->visibility_ms), wait_s,
                         c->cancel, &doc, m, received);
    if (!rc)
        rc = take_all(c, m, *received);
    yyjson_doc_free(doc);
    return rc;
}

/* ---- waiting ---- */

static int64_t poll_seconds(int64_t left_ms)
{
    int64_t seconds = left_ms / 1000;
    return seconds < SQS_LONGEST_POLL_S ? seconds : SQS_LONGEST_POLL_S;
}

/* What is left of a second is slept, since SQS cannot wait for it, and so is some of a long poll
 * that came back early and empty: a server that does not wait is not asked without end. */
static int pause_after(struct claim *c, int64_t wait_s, int64_t took_ms, int64_t left_ms)
{
    if (wait_s > 0 && took_ms >= wait_s * 500)
        return OK;
    return clock_sleep(left_ms < PAUSE_MS ? left_ms : PAUSE_MS, c->cancel);
}

static int claim_or_wait(struct claim *c, int64_t wait_ms)
{
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    for (;;) {
        int64_t start = clock_monotonic_ms(), left = deadline - start;
        int64_t wait_s = left > 0 ? poll_seconds(left) : 0;
        size_t received;
        if (cancel_requested(c->cancel))
            return error_set(ERR_CANCELLED, NULL, "cancelled while waiting for a message");
        int rc = claim_once(c, wait_s, &received);
        if (rc || c->count || left <= 0)
            return rc;
        int64_t now = clock_monotonic_ms();
        if (received == 0 && now < deadline)
            rc = pause_after(c, wait_s, now - start, deadline - now);
        if (rc)
            return error_set(rc, NULL, "cancelled while waiting for a message");
    }
}

int sqs_queue_receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                      const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                      size_t *count)
{
    *out = NULL;
    *count = 0;
    if (max == 0 || max > SQS_BATCH)
        return error_set(ERR_INVALID, NULL, "a receive of %zu messages is not from 1 to %d", max,
                         SQS_BATCH);
    int rc = sqs_check_visibility(visibility_ms);
    if (rc)
        return rc;
    struct claim c = {.queue = ctx,
                      .max = max,
                      .visibility_ms = visibility_ms,
                      .cancel = cancel,
                      .arena = arena,
                      .out = arena_array(arena, max, sizeof **out)};
    if (!c.out)
        return ERR_NO_MEMORY;
    rc = claim_or_wait(&c, wait_ms);
    *out = c.out;
    *count = rc ? 0 : c.count;
    return rc;
}
