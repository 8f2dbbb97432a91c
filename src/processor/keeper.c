/*
 * The keeper: settles finished messages with the queue in batches, keeps those in flight invisible
 * to others, and sends a message for jobs that seem to have lost theirs.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "processor/internal.h"
#include "shared/job_message.h"
#include "shared/log.h"
#include "shared/random.h"

enum {
    SETTLE_MAX = 1000,
    GATHER_MS = 15,
    RESCUE_EVERY_MS = 30000,
    RESCUE_BATCH = 500,
    DEAR_LOOK = 20,     /* one look of so many at dead letters that are dear to list */
    UNSEEN_MS = 120000, /* what died longer ago than the newest seen has been committed */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void warn(const char *event)
{
    log_write(LOG_WARN, event, LOG_STR("message", error_last()->message), LOG_END);
}

/* Deletes those marked so. A message that cannot be deleted comes back and is then found finished.
 */
static void delete_done(struct processor *p, struct delivery **items, size_t count)
{
    struct queue_receipt receipts[SETTLE_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (items[i]->disposition == DISPOSE_DELETE)
            receipts[n++] = (struct queue_receipt){.receipt = items[i]->receipt};
    for (size_t from = 0; from < n;) {
        size_t batch = smaller(n - from, (size_t)p->limits.max_batch);
        if (p->ports.queue.ops->delete (p->ports.queue.ctx, receipts + from, batch))
            warn("queue.failed");
        from += batch;
    }
}

static void settle_one(struct processor *p, struct delivery *d)
{
    struct queue_receipt r = {.receipt = d->receipt};
    int rc = OK;
    if (d->disposition == DISPOSE_DELAY) {
        int64_t delay =
            d->delay_ms < p->limits.max_visibility_ms ? d->delay_ms : p->limits.max_visibility_ms;
        rc = p->ports.queue.ops->change_visibility(p->ports.queue.ctx, &r, 1, delay);
    } else if (d->disposition == DISPOSE_BURY) {
        rc = p->ports.queue.ops->bury(p->ports.queue.ctx, d->receipt, d->reason, d->detail);
    }
    if (rc && rc != ERR_CONFLICT)
        warn("queue.failed");
}

static void settle(struct processor *p, struct delivery **items, size_t count)
{
    delete_done(p, items, count);
    for (size_t i = 0; i < count; i++)
        settle_one(p, items[i]);
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < count; i++)
        delivery_unlink_and_free(p, items[i]);
    if (!p->in_flight)
        pthread_cond_broadcast(&p->settled);
    pthread_mutex_unlock(&p->lock);
}

/* ---- heartbeats ---- */

struct beat {
    char *receipt;
    int64_t job_id;
};

static size_t copy_in_flight(struct processor *p, struct beat **out)
{
    size_t n = 0, count = 0;
    pthread_mutex_lock(&p->lock);
    for (struct delivery *d = p->in_flight; d; d = d->next)
        n++;
    struct beat *beats = n > 0 ? calloc(n, sizeof *beats) : NULL;
    for (struct delivery *d = beats ? p->in_flight : NULL; d; d = d->next)
        if ((beats[count].receipt = strdup(d->receipt)))
            beats[count++].job_id = d->job_id;
    pthread_mutex_unlock(&p->lock);
    *out = beats;
    return count;
}

/* The queue gave the message to somebody else: what is done here for it would be done twice. */
static void lose(struct processor *p, const char *receipt)
{
    pthread_mutex_lock(&p->lock);
    for (struct delivery *d = p->in_flight; d; d = d->next)
        if (strcmp(d->receipt, receipt) == 0) {
            atomic_store(&d->lost, true);
            cancel_request(&d->cancel);
        }
    pthread_mutex_unlock(&p->lock);
}

static void beat_batch(struct processor *p, const struct beat *beats, size_t count)
{
    struct queue_receipt receipts[SETTLE_MAX];
    int64_t ids[SETTLE_MAX];
    for (size_t i = 0; i < count; i++) {
        receipts[i] = (struct queue_receipt){.receipt = beats[i].receipt};
        ids[i] = beats[i].job_id;
    }
    int64_t visibility = p->settings.visibility_ms;
    if (p->ports.queue.ops->change_visibility(p->ports.queue.ctx, receipts, count, visibility)) {
        warn("queue.failed");
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (receipts[i].rc == ERR_CONFLICT)
            lose(p, receipts[i].receipt);
    if (p->ports.database.ops->extend_leases(p->ports.database.ctx, ids, count,
                                             clock_now(p->ports.clock) + visibility))
        warn("database.failed");
}

static void heartbeat(struct processor *p)
{
    struct beat *beats;
    size_t count = copy_in_flight(p, &beats);
    size_t max = smaller(SETTLE_MAX, (size_t)p->limits.max_batch);
    for (size_t from = 0; from < count; from += max)
        beat_batch(p, beats + from, smaller(count - from, max));
    for (size_t i = 0; i < count; i++)
        free(beats[i].receipt);
    free(beats);
}

/* ---- rescue ---- */

/* A message and what goes with it. */
struct message_text {
    char body[JOB_MESSAGE_TEXT], traceparent[TRACEPARENT_TEXT];
};

static int send_again(struct processor *p, const struct job_row *jobs, size_t count,
                      struct arena *arena)
{
    struct queue_send *sends = arena_array(arena, count, sizeof *sends);
    struct message_text *texts = arena_array(arena, count, sizeof *texts);
    int64_t *ids = arena_array(arena, count, sizeof *ids);
    if (!sends || !texts || !ids)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct job_message m = {.job_id = jobs[i].job_id};
        snprintf(m.trace_id, sizeof m.trace_id, "%s", jobs[i].trace_id);
        ids[i] = m.job_id;
        sends[i] = (struct queue_send){.body = texts[i].body,
                                       .length = job_message_format(&m, texts[i].body),
                                       .group = jobs[i].collection,
                                       .traceparent =
                                           job_message_traceparent(&m, true, texts[i].traceparent)};
    }
    size_t max = (size_t)p->limits.max_batch;
    for (size_t from = 0; from < count; from += max) {
        int rc = p->ports.queue.ops->send(p->ports.queue.ctx, sends + from,
                                          smaller(count - from, max), NULL);
        if (rc)
            return rc;
    }
    int64_t due = clock_now(p->ports.clock) + 2 * p->settings.visibility_ms;
    return p->ports.database.ops->touch(p->ports.database.ctx, ids, count, due);
}

/* A crash between recording a job and sending its message, or a queue that lost one. A job that
 * gets a second message all the same is unharmed, because an attempt starts only once. */
static void rescue_stranded(struct processor *p, struct arena *arena)
{
    bool visible, any;
    if (p->ports.queue.ops->pending(p->ports.queue.ctx, &visible, &any) || visible)
        return; /* while there is a backlog, waiting explains it */
    struct job_row *jobs;
    size_t count;
    int64_t before = clock_now(p->ports.clock) - p->settings.visibility_ms;
    int rc = p->ports.database.ops->stranded(p->ports.database.ctx, before, RESCUE_BATCH, arena,
                                             &jobs, &count);
    if (!rc && count > 0) {
        log_write(LOG_WARN, "jobs.rescued", LOG_INT("count", (int64_t)count), LOG_END);
        rc = send_again(p, jobs, count, arena);
    }
    if (rc)
        warn("rescue.failed");
}

/* What the queue gave up on by itself is dead in the database too. Of those that were looked at
 * before, only the last minutes' are looked at again. */
struct given_up {
    int64_t since_ms, newest_ms;
    unsigned looks;
    char after[QUEUE_ID_TEXT];
};

static int mark_given_up(struct processor *p, const struct queue_dead_letter *letter)
{
    struct job_message m;
    if (strcmp(letter->reason, "max_receives") != 0 ||
        job_message_parse(letter->body, letter->length, &m))
        return OK;
    int rc = p->ports.database.ops->mark_dead(p->ports.database.ctx, m.job_id, "max_receives",
                                              "the job was taken up again and again without an "
                                              "end; a worker may have crashed on it");
    return rc == ERR_NOT_FOUND ? OK : rc;
}

/* One page, so that heartbeats are not held up. True: there are more. */
static bool bury_given_up(struct processor *p, struct given_up *g, struct arena *arena)
{
    struct queue_dead_letter *letters;
    size_t count;
    if (p->ports.queue.ops->dead_since(p->ports.queue.ctx, g->since_ms, g->after, RESCUE_BATCH,
                                       arena, &letters, &count)) {
        warn("queue.failed");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (mark_given_up(p, &letters[i])) {
            warn("database.failed");
            return false; /* this page again next time */
        }
        if (letters[i].dead_ms > g->newest_ms)
            g->newest_ms = letters[i].dead_ms;
    }
    if (count == RESCUE_BATCH) {
        snprintf(g->after, sizeof g->after, "%s", letters[count - 1].id);
        return true;
    }
    g->after[0] = '\0';
    g->since_ms = g->newest_ms - UNSEEN_MS;
    return false;
}

/* Where that is dear, only now and then. */
static bool is_time_to_look(struct processor *p, struct given_up *g)
{
    struct queue_limits limits;
    p->ports.queue.ops->limits(p->ports.queue.ctx, &limits);
    return g->after[0] || !limits.dear_letters || g->looks++ % DEAR_LOOK == 0;
}

/* True: there is more to do at once. */
static bool rescue(struct processor *p, struct given_up *g)
{
    struct arena arena;
    arena_init(&arena, CAP_JOB_ARENA);
    if (!g->after[0])
        rescue_stranded(p, &arena);
    bool more = is_time_to_look(p, g) && bury_given_up(p, g, &arena);
    arena_free(&arena);
    return more;
}

void keeper_rescue(struct processor *p)
{
    struct given_up given_up = {0};
    while (rescue(p, &given_up))
        ;
}

/* ---- the thread ---- */

/* Nobody waits for a message to be deleted: while they come fast, a moment's patience makes one
 * commit of many. The channel has room for what comes meanwhile. */
static void gather(void)
{
    nanosleep(&(struct timespec){.tv_nsec = GATHER_MS * 1000000}, NULL);
}

static int wait_ms(int64_t now, int64_t a, int64_t b)
{
    int64_t next = a < b ? a : b;
    return next <= now ? 0 : (int)smaller((size_t)(next - now), 1000);
}

static bool closed_and_drained(struct channel *c)
{
    pthread_mutex_lock(&c->lock);
    bool over = c->closed && c->count == 0;
    pthread_mutex_unlock(&c->lock);
    return over;
}

void *keeper_run(void *processor)
{
    struct processor *p = processor;
    void *items[SETTLE_MAX];
    struct given_up given_up = {0};
    int64_t beat_every = p->settings.visibility_ms / 3, now = clock_monotonic_ms();
    int64_t rescue_every = p->settings.rescue_ms > 0 ? p->settings.rescue_ms : RESCUE_EVERY_MS;
    int64_t next_beat = now + beat_every;
    int64_t next_rescue = now + rescue_every / 15 + (int64_t)random_below(rescue_every / 10 + 1);
    while (!closed_and_drained(&p->done)) {
        size_t n =
            channel_pop_many(&p->done, items, SETTLE_MAX, wait_ms(now, next_beat, next_rescue));
        if (n > 0)
            settle(p, (struct delivery **)items, n);
        if (n > 1 && !cancel_requested(&p->stop))
            gather();
        now = clock_monotonic_ms();
        if (now >= next_beat) {
            heartbeat(p);
            next_beat = now + beat_every;
        }
        if (now >= next_rescue && !cancel_requested(&p->stop)) {
            bool more = rescue(p, &given_up);
            next_rescue =
                more ? now : now + rescue_every + (int64_t)random_below(rescue_every / 10 + 1);
        }
    }
    return NULL;
}
