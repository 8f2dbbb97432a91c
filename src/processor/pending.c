/*
 * Checkpoints that may wait a moment for the publication that makes them superfluous.
 */
#include <string.h>

#include "processor/internal.h"
#include "shared/condition.h"
#include "shared/log.h"

enum { PENDING_BATCH = 256, IDLE_MS = 60000 };

static void unlink_waiting(struct pending *all, struct pending_checkpoint *c)
{
    if (c->previous)
        c->previous->next = c->next;
    else
        all->first = c->next;
    if (c->next)
        c->next->previous = c->previous;
    else
        all->last = c->previous;
}

static void link_waiting(struct pending *all, struct pending_checkpoint *c)
{
    c->next = NULL;
    c->previous = all->last;
    if (all->last)
        all->last->next = c;
    else
        all->first = c;
    all->last = c;
    c->state = PENDING_WAITS;
}

void pending_add(struct job *job, const struct checkpoint *item)
{
    struct pending *all = &job->processor->pending;
    struct pending_checkpoint *c = &job->pending;
    c->item = *item;
    c->due_ms = clock_monotonic_ms() + PENDING_MS;
    pthread_mutex_lock(&all->lock);
    bool alone = !all->first;
    link_waiting(all, c);
    if (alone)
        pthread_cond_signal(&all->added);
    pthread_mutex_unlock(&all->lock);
}

/* Takes it from the thread; returns the state it had. */
static enum pending_state take_back(struct job *job, enum pending_state state)
{
    struct pending *all = &job->processor->pending;
    struct pending_checkpoint *c = &job->pending;
    pthread_mutex_lock(&all->lock);
    while (c->state == PENDING_IN_WRITING)
        pthread_cond_wait(&all->written, &all->lock);
    enum pending_state before = c->state;
    if (before == PENDING_WAITS)
        unlink_waiting(all, c);
    c->state = state;
    pthread_mutex_unlock(&all->lock);
    return before;
}

/* Its calls are in the job's hands from now on. */
static void bill(struct job *job)
{
    struct checkpoint *item = &job->pending.item;
    for (size_t i = 0; i < item->call_count; i++)
        model_calls_add(&job->calls, &item->calls[i]);
    item->call_count = 0;
}

void pending_drop(struct job *job)
{
    if (!job->pending.item.bytes)
        return;
    if (take_back(job, PENDING_DROPPED) == PENDING_WRITTEN)
        job->pending.item.bytes = NULL;
    else
        bill(job);
}

int pending_flush(struct job *job)
{
    const struct database *db = &job->processor->ports.database;
    struct checkpoint *item = &job->pending.item;
    if (!item->bytes || take_back(job, PENDING_NONE) == PENDING_WRITTEN)
        return OK;
    int rc = db->ops->checkpoints_put(db->ctx, item, 1);
    rc = rc ? rc : item->rc;
    if (rc)
        bill(job);
    item->bytes = NULL;
    return rc;
}

/* ---- the thread ---- */

/* Those due, marked as in writing. *wait_ms: until the next one is. */
static size_t take_due(struct pending *all, struct pending_checkpoint **out, int64_t *wait_ms)
{
    int64_t now = clock_monotonic_ms();
    size_t n = 0;
    while (all->first && all->first->due_ms <= now && n < PENDING_BATCH) {
        out[n] = all->first;
        unlink_waiting(all, out[n]);
        out[n++]->state = PENDING_IN_WRITING;
    }
    *wait_ms = !all->first ? IDLE_MS : all->first->due_ms > now ? all->first->due_ms - now : 0;
    return n;
}

/* Returns with the lock held. */
static void write_due(struct processor *p, struct pending_checkpoint **due, size_t count)
{
    struct pending *all = &p->pending;
    struct checkpoint items[PENDING_BATCH];
    for (size_t i = 0; i < count; i++)
        items[i] = due[i]->item;
    int rc = p->ports.database.ops->checkpoints_put(p->ports.database.ctx, items, count);
    if (rc)
        log_write(LOG_WARN, "checkpoint.failed", LOG_STR("message", error_last()->message),
                  LOG_END);
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < count; i++)
        due[i]->state = rc || items[i].rc ? PENDING_FAILED : PENDING_WRITTEN;
    pthread_cond_broadcast(&all->written);
}

static void *run(void *arg)
{
    struct processor *p = arg;
    struct pending *all = &p->pending;
    struct pending_checkpoint *due[PENDING_BATCH];
    pthread_mutex_lock(&all->lock);
    while (!all->stop) {
        int64_t wait_ms;
        size_t n = take_due(all, due, &wait_ms);
        if (n == 0) {
            condition_wait_for(&all->added, &all->lock, wait_ms);
            continue;
        }
        pthread_mutex_unlock(&all->lock);
        write_due(p, due, n);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

int pending_start(struct processor *p)
{
    struct pending *all = &p->pending;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->added, NULL);
    pthread_cond_init(&all->written, NULL);
    int rc = processor_start_thread(&all->thread, "checkpoints", run, p);
    all->running = !rc;
    return rc;
}

void pending_stop(struct processor *p)
{
    struct pending *all = &p->pending;
    if (!all->running)
        return;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_signal(&all->added);
    pthread_mutex_unlock(&all->lock);
    pthread_join(all->thread, NULL);
    pthread_cond_destroy(&all->added);
    pthread_cond_destroy(&all->written);
    pthread_mutex_destroy(&all->lock);
}
