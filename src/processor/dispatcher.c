/*
 * The dispatcher: receives messages for as many workers as are free, starts their attempts in one
 * batch, and hands them over.
 */
#include <stdlib.h>
#include <string.h>

#include "processor/internal.h"
#include "shared/clock.h"
#include "shared/condition.h"
#include "shared/job_message.h"
#include "shared/log.h"
#include "shared/trace_context.h"

enum {
    RECEIVE_WAIT_MS = 20000, /* the long poll; SQS's maximum */
    STOP_POLL_MS = 1000,     /* how soon a dispatcher whose workers are all busy notices a stop */
    GATHER_MS = 2, /* how long a few free workers wait for more, so that batches stay large */
    BUSY_DELAY_MS = 1000,    /* identical content is being processed elsewhere: look again then */
    FAILURE_DELAY_MS = 1000, /* queue or database failed: try again then */
    HOLD_MAX_MS = 60000,     /* ... and at most so much later, while it goes on */
    BATCH_MAX = 256,
};

struct batch {
    struct arena arena;
    struct delivery *deliveries[BATCH_MAX];
    struct job_start starts[BATCH_MAX];
    size_t count;
};

/* Waits for a free worker, and briefly for more while most are busy. Returns how many are free. */
static int wait_for_workers(struct processor *p)
{
    int workers = p->settings.workers, few = workers / 4 > 64 ? 64 : workers / 4;
    pthread_mutex_lock(&p->lock);
    while (p->busy >= workers && !cancel_requested(&p->stop))
        processor_wait_busy(p, workers - 1, clock_monotonic_ms() + STOP_POLL_MS);
    int64_t deadline_ms = clock_monotonic_ms() + GATHER_MS;
    while (workers - p->busy < few && processor_wait_busy(p, workers - few, deadline_ms))
        ;
    int free_workers = workers - p->busy;
    pthread_mutex_unlock(&p->lock);
    return free_workers;
}

/* A message that was not started: settled like a finished one, by the keeper. */
static void dispose(struct processor *p, struct delivery *d, enum disposition disposition,
                    int64_t delay_ms)
{
    d->disposition = disposition;
    d->delay_ms = delay_ms;
    channel_push(&p->done, d);
}

/* Its body names no job: what it came with may still say to what it belongs. */
static void dispose_unreadable(struct processor *p, struct delivery *d, const char *traceparent)
{
    struct trace_context trace = {0};
    trace_context_parse_traceparent(traceparent, &trace);
    const struct error *e = error_last();
    snprintf(d->reason, sizeof d->reason, "%s", e->reason);
    snprintf(d->detail, sizeof d->detail, "%s", e->message);
    log_write(LOG_WARN, "message.dead", LOG_STR("reason", e->reason),
              LOG_STR("message", e->message), LOG_STR("trace_id", trace.trace_id), LOG_END);
    dispose(p, d, DISPOSE_BURY, 0);
}

/* Its job went with a removed medium, or with a database that is older than the queue. */
static void dispose_orphan(struct processor *p, struct delivery *d)
{
    log_write(LOG_WARN, "message.orphaned", LOG_INT("job", d->job_id), LOG_END);
    dispose(p, d, DISPOSE_DELETE, 0);
}

static struct delivery *delivery_new(const struct queue_message *m)
{
    struct delivery *d = calloc(1, sizeof *d);
    if (d && !(d->receipt = strdup(m->receipt))) {
        free(d);
        d = NULL;
    }
    return d;
}

/* Takes the messages into the batch; one that names no job is dead-lettered. */
static void gather(struct processor *p, struct batch *b, const struct queue_message *messages,
                   size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct job_message parsed;
        struct delivery *d = delivery_new(&messages[i]);
        if (!d)
            continue; /* out of memory: it comes back after its visibility timeout */
        int rc = job_message_parse(messages[i].body, messages[i].length, &parsed);
        d->job_id = rc ? 0 : parsed.job_id;
        pthread_mutex_lock(&p->lock);
        delivery_link(p, d);
        pthread_mutex_unlock(&p->lock);
        if (rc) {
            dispose_unreadable(p, d, messages[i].traceparent);
            continue;
        }
        d->work.job_id = parsed.job_id;
        b->starts[b->count] = (struct job_start){
            .job_id = parsed.job_id, .receive_count = messages[i].receive_count, .work = &d->work};
        b->deliveries[b->count++] = d;
    }
}

static void hand_over(struct processor *p, struct delivery *d)
{
    pthread_mutex_lock(&p->lock);
    p->busy++;
    pthread_mutex_unlock(&p->lock);
    if (processor_spawn_workers(p)) {
        log_write(LOG_ERROR, "worker.failed", LOG_STR("message", error_last()->message), LOG_END);
        pthread_mutex_lock(&p->lock);
        p->busy--;
        pthread_mutex_unlock(&p->lock);
        dispose(p, d, DISPOSE_DELAY, FAILURE_DELAY_MS);
        return;
    }
    channel_push(&p->ready, d);
}

/* While the database takes nothing (a full disk) the batch is held and no more is received: to give
 * it back would use up its receives, and in the end bury it. */
static int start_attempts(struct processor *p, struct batch *b)
{
    const struct database *db = &p->ports.database;
    for (int64_t wait = FAILURE_DELAY_MS;; wait = wait * 2 < HOLD_MAX_MS ? wait * 2 : HOLD_MAX_MS) {
        int64_t lease = clock_now(p->ports.clock) + p->settings.visibility_ms;
        int rc =
            db->ops->start_attempts(db->ctx, b->starts, b->count, p->settings.worker_name, lease);
        if (!rc)
            return OK;
        log_write(LOG_ERROR, "database.failed", LOG_STR("message", error_last()->message), LOG_END);
        if (error_class(error_last()) != ERR_SYSTEMIC || clock_sleep(wait, &p->stop))
            return rc;
    }
}

static void start(struct processor *p, struct batch *b)
{
    if (b->count == 0)
        return;
    int rc = start_attempts(p, b);
    for (size_t i = 0; i < b->count; i++) {
        int outcome = rc ? rc : b->starts[i].rc;
        if (outcome == OK)
            hand_over(p, b->deliveries[i]);
        else if (outcome == ERR_NOT_FOUND)
            dispose_orphan(p, b->deliveries[i]);
        else if (outcome == ERR_CONFLICT)
            dispose(p, b->deliveries[i], DISPOSE_DELETE, 0);
        else
            dispose(p, b->deliveries[i], DISPOSE_DELAY, rc ? FAILURE_DELAY_MS : BUSY_DELAY_MS);
    }
    if (rc)
        clock_sleep(FAILURE_DELAY_MS, &p->stop);
}

static void receive(struct processor *p, struct batch *b, int free_workers)
{
    struct queue_message *messages;
    size_t count = 0;
    int max = free_workers < p->limits.max_batch ? free_workers : p->limits.max_batch;
    int rc = p->ports.queue.ops->receive(
        p->ports.queue.ctx, (size_t)(max < BATCH_MAX ? max : BATCH_MAX), p->settings.visibility_ms,
        RECEIVE_WAIT_MS, &p->stop, &b->arena, &messages, &count);
    if (rc == ERR_CANCELLED)
        return;
    if (rc) {
        log_write(LOG_ERROR, "queue.failed", LOG_STR("message", error_last()->message), LOG_END);
        clock_sleep(FAILURE_DELAY_MS, &p->stop);
        return;
    }
    gather(p, b, messages, count);
    start(p, b);
}

void *dispatcher_run(void *processor)
{
    struct processor *p = processor;
    struct batch b;
    arena_init(&b.arena, CAP_JOB_ARENA);
    while (!cancel_requested(&p->stop)) {
        if (!pause_wait_clear(p))
            break;
        int free_workers = wait_for_workers(p);
        if (cancel_requested(&p->stop) || free_workers <= 0)
            continue;
        b.count = 0;
        receive(p, &b, free_workers);
        arena_free(&b.arena);
    }
    return NULL;
}
