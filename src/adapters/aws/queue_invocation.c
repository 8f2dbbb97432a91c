#include "adapters/aws/queue_invocation.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/condition.h"
#include "shared/error.h"

enum { RECEIPT_TEXT = 16, SHUT_WAIT_MS = 1, GIVE_BACK_MAX = 100 };

enum state {
    WAITING, /* not handed out */
    HANDED_OUT,
    DELAYED, /* or kept alive by a heartbeat */
    LEFT,    /* keeps the queue's visibility timeout */
    DONE,
};

struct item {
    enum state state;
    int64_t due_ms; /* of DELAYED, monotonic */
};

struct invocation_queue {
    struct invocation_queue_options options;
    const struct sqs_event *event;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item *items; /* one for each record of the event; its index is the receipt */
    size_t next;        /* the first that is WAITING */
    size_t untouched;   /* WAITING or HANDED_OUT */
    bool shut;
};

static const struct job_queue *inner(void *ctx)
{
    return &((struct invocation_queue *)ctx)->options.inner;
}

/* ---- receive ---- */

/* "" if it has none. Returns `out`. */
static char *traceparent_of(const struct sqs_record *r, char out[TRACEPARENT_TEXT])
{
    struct trace_context context = {0};
    sqs_record_trace(r, &context);
    return trace_context_traceparent(&context, out);
}

static int copy_out(const struct invocation_queue *q, size_t index, struct arena *arena,
                    struct queue_message *out)
{
    const struct sqs_record *r = &q->event->records[index];
    char *receipt = arena_alloc(arena, RECEIPT_TEXT), traceparent[TRACEPARENT_TEXT];
    *out =
        (struct queue_message){.receipt = receipt,
                               .body = arena_strndup(arena, r->body, r->length),
                               .length = r->length,
                               .receive_count = r->receive_count,
                               .sent_ms = r->sent_ms,
                               .traceparent = arena_strdup(arena, traceparent_of(r, traceparent))};
    snprintf(out->id, sizeof out->id, "%s", r->message_id);
    if (!receipt || !out->body || !out->traceparent)
        return ERR_NO_MEMORY;
    snprintf(receipt, RECEIPT_TEXT, "%zu", index);
    return OK;
}

static int hand_out(struct invocation_queue *q, size_t max, struct arena *arena,
                    struct queue_message *out, size_t *count)
{
    while (*count < max && q->next < q->event->count) {
        if (q->items[q->next].state != WAITING) {
            q->next++;
            continue;
        }
        int rc = copy_out(q, q->next, arena, &out[*count]);
        if (rc)
            return *count ? OK : rc;
        q->items[q->next++].state = HANDED_OUT;
        ++*count;
    }
    return OK;
}

/* There will be no more messages, so this waits for the end alone. */
static int wait_for_end(struct invocation_queue *q, int64_t wait_ms, const struct cancel *cancel)
{
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    while (!q->shut && !cancel_requested(cancel)) {
        int64_t now = clock_monotonic_ms();
        if (now >= deadline)
            return OK;
        condition_wait_until(&q->changed, &q->lock,
                             deadline - now < CANCEL_POLL_MS ? deadline : now + CANCEL_POLL_MS);
    }
    if (q->shut && !cancel_requested(cancel)) /* a stop follows: not to be asked too often */
        condition_wait_for(&q->changed, &q->lock, SHUT_WAIT_MS);
    return cancel_requested(cancel)
               ? error_set(ERR_CANCELLED, NULL, "waiting for messages was cancelled")
               : OK;
}

static int receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                   const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                   size_t *count)
{
    struct invocation_queue *q = ctx;
    (void)visibility_ms;
    *count = 0;
    *out = NULL;
    if (max < 1)
        return error_set(ERR_INVALID, NULL, "receive of no messages");
    if (!(*out = arena_array(arena, max, sizeof **out)))
        return ERR_NO_MEMORY;
    pthread_mutex_lock(&q->lock);
    int rc = q->shut ? OK : hand_out(q, max, arena, *out, count);
    if (!rc && *count == 0 && wait_ms > 0)
        rc = wait_for_end(q, wait_ms, cancel);
    pthread_mutex_unlock(&q->lock);
    return rc;
}

/* ---- receipts ---- */

/* 0, ERR_INVALID or ERR_CONFLICT, without error text: outcomes of a batch are codes. */
static int find(struct invocation_queue *q, const char *receipt, struct item **out)
{
    char *end = "";
    unsigned long long index = receipt && *receipt ? strtoull(receipt, &end, 10) : 0;
    if (!receipt || !*receipt || *receipt == '-' || *end || index >= q->event->count)
        return ERR_INVALID;
    struct item *item = &q->items[index];
    if (item->state != HANDED_OUT && item->state != DELAYED)
        return ERR_CONFLICT;
    *out = item;
    return OK;
}

static void settle(struct invocation_queue *q, struct item *item, enum state state, int64_t due_ms)
{
    q->untouched -= item->state == HANDED_OUT;
    *item = (struct item){.state = state, .due_ms = due_ms};
    if (q->untouched == 0)
        pthread_cond_broadcast(&q->changed);
}

static int settle_all(struct invocation_queue *q, struct queue_receipt *receipts, size_t count,
                      enum state state, int64_t due_ms)
{
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < count; i++) {
        struct item *item;
        receipts[i].rc = find(q, receipts[i].receipt, &item);
        if (!receipts[i].rc)
            settle(q, item, state, due_ms);
    }
    pthread_mutex_unlock(&q->lock);
    return OK;
}

static int delete (void *ctx, struct queue_receipt *receipts, size_t count)
{
    return settle_all(ctx, receipts, count, DONE, 0);
}

static int change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                             int64_t visibility_ms)
{
    return settle_all(ctx, receipts, count, DELAYED, clock_monotonic_ms() + visibility_ms);
}

static int bury_record(struct invocation_queue *q, const struct sqs_record *r, const char *reason,
                       const char *detail)
{
    const struct invocation_queue_options *o = &q->options;
    if (!o->bury)
        return o->inner.ops->bury(o->inner.ctx, r->receipt_handle, reason, detail);
    struct queue_message message = {.receipt = r->receipt_handle,
                                    .body = r->body,
                                    .length = r->length,
                                    .receive_count = r->receive_count,
                                    .sent_ms = r->sent_ms};
    snprintf(message.id, sizeof message.id, "%s", r->message_id);
    return o->bury(o->bury_ctx, &message, reason, detail);
}

/* One that cannot be buried comes again, until the queue's own redrive policy takes it. */
static int bury(void *ctx, const char *receipt, const char *reason, const char *detail)
{
    struct invocation_queue *q = ctx;
    struct item *item;
    pthread_mutex_lock(&q->lock);
    int rc = find(q, receipt, &item);
    pthread_mutex_unlock(&q->lock);
    if (rc)
        return error_set(rc, NULL, "'%.32s' is no receipt of a message that this invocation holds",
                         receipt ? receipt : "");
    rc = bury_record(q, &q->event->records[item - q->items], reason, detail);
    pthread_mutex_lock(&q->lock);
    settle(q, item, rc ? LEFT : DONE, 0);
    pthread_mutex_unlock(&q->lock);
    return rc;
}

/* ---- what the inner queue does ---- */

static void limits(void *ctx, struct queue_limits *out)
{
    inner(ctx)->ops->limits(inner(ctx)->ctx, out);
}

static int send(void *ctx, const struct queue_send *messages, size_t count,
                char (*ids)[QUEUE_ID_TEXT])
{
    return inner(ctx)->ops->send(inner(ctx)->ctx, messages, count, ids);
}

static int dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                     struct queue_dead_letter **out, size_t *count)
{
    return inner(ctx)->ops->dead_list(inner(ctx)->ctx, after, limit, arena, out, count);
}

static int dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                      struct arena *arena, struct queue_dead_letter **out, size_t *count)
{
    return inner(ctx)->ops->dead_since(inner(ctx)->ctx, since_ms, after, limit, arena, out, count);
}

static int dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved)
{
    return inner(ctx)->ops->dead_redrive(inner(ctx)->ctx, ids, count, moved);
}

static int dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped)
{
    return inner(ctx)->ops->dead_drop(inner(ctx)->ctx, ids, count, dropped);
}

static int stats(void *ctx, struct queue_stats *out)
{
    return inner(ctx)->ops->stats(inner(ctx)->ctx, out);
}

static int pending(void *ctx, bool *visible, bool *any)
{
    return inner(ctx)->ops->pending(inner(ctx)->ctx, visible, any);
}

/* ---- opening ---- */

static void close_queue(void *ctx)
{
    struct invocation_queue *q = ctx;
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q->items);
    free(q);
}

static const struct job_queue_ops ops = {
    .name = "invocation",
    .close = close_queue,
    .limits = limits,
    .send = send,
    .receive = receive,
    .delete = delete,
    .change_visibility = change_visibility,
    .bury = bury,
    .dead_list = dead_list,
    .dead_since = dead_since,
    .dead_redrive = dead_redrive,
    .dead_drop = dead_drop,
    .stats = stats,
    .pending = pending,
};

int invocation_queue_open(const struct invocation_queue_options *options,
                          const struct sqs_event *event, struct job_queue *out)
{
    struct invocation_queue *q = calloc(1, sizeof *q);
    struct item *items = calloc(event->count + 1, sizeof *items);
    if (!q || !items) {
        free(q);
        free(items);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu messages", event->count);
    }
    *q = (struct invocation_queue){.options = *options, .event = event, .items = items};
    for (size_t i = 0; i < event->count; i++) {
        enum sqs_standing standing = event->records[i].standing;
        items[i].state = standing == SQS_SETTLED ? DONE : standing == SQS_LEFT ? LEFT : WAITING;
        q->untouched += items[i].state == WAITING;
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    *out = (struct job_queue){.ops = &ops, .ctx = q};
    return OK;
}

/* ---- the end of an invocation ---- */

bool invocation_queue_wait_touched(const struct job_queue *queue, int64_t ms)
{
    struct invocation_queue *q = queue->ctx;
    int64_t deadline = clock_monotonic_ms() + ms;
    pthread_mutex_lock(&q->lock);
    while (q->untouched > 0 && condition_wait_until(&q->changed, &q->lock, deadline))
        ;
    bool touched = q->untouched == 0;
    pthread_mutex_unlock(&q->lock);
    return touched;
}

void invocation_queue_shut(const struct job_queue *queue)
{
    struct invocation_queue *q = queue->ctx;
    pthread_mutex_lock(&q->lock);
    q->shut = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

/* -1: the visibility timeout that the queue gave it stays. */
static int64_t delay_of(const struct item *item, int64_t now)
{
    if (item->state == WAITING)
        return 0;
    if (item->state != DELAYED)
        return -1;
    return item->due_ms > now ? item->due_ms - now : 0;
}

static bool was_cut_short(const struct item *item, int64_t now)
{
    return item->state == DELAYED && item->due_ms <= now;
}

int invocation_queue_pass_on(const struct job_queue *queue, const struct job_queue *to,
                             int receives, size_t *passed)
{
    struct invocation_queue *q = queue->ctx;
    int64_t now = clock_monotonic_ms();
    int rc = OK;
    *passed = 0;
    for (size_t i = 0; !rc && i < q->event->count; i++) {
        const struct sqs_record *r = &q->event->records[i];
        char traceparent[TRACEPARENT_TEXT];
        struct queue_send message = {.body = r->body,
                                     .length = r->length,
                                     .group = r->group,
                                     .traceparent = traceparent_of(r, traceparent)};
        if (r->receive_count < receives || !was_cut_short(&q->items[i], now))
            continue;
        rc = to->ops->send(to->ctx, &message, 1, NULL);
        if (rc)
            break;
        q->items[i].state = DONE;
        ++*passed;
    }
    return rc;
}

/* As many as follow each other with the same delay and fit into one call. Returns how far it got.
 */
static size_t give_back_some(struct invocation_queue *q, const struct queue_limits *l, size_t at,
                             int64_t now, int *rc)
{
    struct queue_receipt receipts[GIVE_BACK_MAX];
    size_t n = 0, max = l->max_batch < GIVE_BACK_MAX ? (size_t)l->max_batch : GIVE_BACK_MAX;
    int64_t delay = delay_of(&q->items[at], now);
    if (delay < 0)
        return at + 1;
    while (n < max && at < q->event->count && delay_of(&q->items[at], now) == delay)
        receipts[n++].receipt = q->event->records[at++].receipt_handle;
    if (delay > l->max_visibility_ms)
        delay = l->max_visibility_ms;
    *rc = q->options.inner.ops->change_visibility(q->options.inner.ctx, receipts, n, delay);
    return at;
}

int invocation_queue_give_back(const struct job_queue *queue)
{
    struct invocation_queue *q = queue->ctx;
    struct queue_limits l;
    struct error first = {0};
    limits(q, &l);
    int64_t now = clock_monotonic_ms();
    for (size_t at = 0; at < q->event->count;) {
        int rc = OK;
        at = give_back_some(q, &l, at, now, &rc);
        if (rc && !first.code)
            first = *error_last();
    }
    return first.code ? error_restore(&first) : OK;
}

int invocation_queue_answer(const struct job_queue *queue, struct buffer *out, size_t *again)
{
    struct invocation_queue *q = queue->ctx;
    const char **ids = calloc(q->event->count + 1, sizeof *ids);
    *again = 0;
    if (!ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an answer");
    for (size_t i = 0; i < q->event->count; i++)
        if (q->items[i].state != DONE)
            ids[(*again)++] = q->event->records[i].message_id;
    int rc = sqs_event_answer(ids, *again, out);
    free(ids);
    return rc;
}
