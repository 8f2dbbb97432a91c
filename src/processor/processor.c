#include "processor/processor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "processor/internal.h"
#include "shared/condition.h"
#include "shared/log.h"

/* Deep enough for SQLite and JSON on a worker; only touched pages count as memory. */
enum { WORKER_STACK = 512 * 1024 };

enum {
    DONE_ROOM = 128, /* finished messages that wait for the keeper without holding a worker up */
    NOBODY_WAITS = -1,
};

const char *stage_name(enum stage stage)
{
    static const char *const names[STAGES] = {
        [STAGE_FETCH] = "fetch",     [STAGE_IDENTIFY] = "identify",
        [STAGE_EXTRACT] = "extract", [STAGE_TRANSCRIBE] = "transcribe",
        [STAGE_CHUNK] = "chunk",     [STAGE_SUMMARISE] = "summarise",
        [STAGE_EMBED] = "embed",     [STAGE_PUBLISH] = "publish",
    };
    return (unsigned)stage < STAGES ? names[stage] : "";
}

void delivery_link(struct processor *p, struct delivery *d)
{
    d->previous = NULL;
    d->next = p->in_flight;
    if (d->next)
        d->next->previous = d;
    p->in_flight = d;
}

void delivery_unlink_and_free(struct processor *p, struct delivery *d)
{
    if (d->previous)
        d->previous->next = d->next;
    else
        p->in_flight = d->next;
    if (d->next)
        d->next->previous = d->previous;
    free(d->receipt);
    free(d);
}

static int load_cost(struct processor *p)
{
    struct totals totals;
    int rc = p->ports.database.ops->totals(p->ports.database.ctx, &totals);
    if (!rc)
        atomic_store(&p->cost_nanousd, totals.cost_nanousd);
    return rc;
}

static int init(struct processor *p, const struct processor_ports *ports,
                const struct processor_settings *settings,
                const struct processor_observer *observer)
{
    p->ports = *ports;
    p->settings = *settings;
    if (observer)
        p->observer = *observer;
    if (ports->queue.ops) /* none for filling an embedding space */
        ports->queue.ops->limits(ports->queue.ctx, &p->limits);
    p->busy_wanted = NOBODY_WAITS;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->workers_freed, NULL);
    pthread_cond_init(&p->settled, NULL);
    pause_init(&p->pause);
    pthread_mutex_init(&p->serving.lock, NULL);
    pthread_mutex_init(&p->embedding.lock, NULL);
    p->embedding.gather_ms = EMBED_GATHER_MS;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    slots_init(&p->cpu, settings->cpu_slots > 0 ? settings->cpu_slots
                                                : (int)(processors > 0 ? processors : 1));
    p->workers = calloc((size_t)settings->workers, sizeof *p->workers);
    if (!p->workers)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %d workers", settings->workers);
    int rc = channel_init(&p->ready, (size_t)settings->workers);
    if (!rc)
        rc = channel_init(&p->done, (size_t)settings->workers + DONE_ROOM);
    if (!rc && settings->budget_nanousd > 0)
        rc = load_cost(p);
    return rc;
}

void processor_free(struct processor *p)
{
    if (!p)
        return;
    channel_fini(&p->ready);
    channel_fini(&p->done);
    slots_fini(&p->cpu);
    pause_fini(&p->pause);
    pthread_mutex_destroy(&p->serving.lock);
    pthread_mutex_destroy(&p->embedding.lock);
    pthread_cond_destroy(&p->workers_freed);
    pthread_cond_destroy(&p->settled);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

/* The name is what `top -H` and debuggers show. */
int processor_start_thread(pthread_t *thread, const char *name, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    int e = pthread_create(thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (e)
        return error_set_errno(e, "cannot start a thread");
    pthread_setname_np(*thread, name);
    return OK;
}

static void *worker_run(void *arg)
{
    struct processor *p = arg;
    void *item;
    while (channel_pop(&p->ready, &item)) {
        job_run(p, item);
        channel_push(&p->done, item);
        pthread_mutex_lock(&p->lock);
        bool wanted = --p->busy == p->busy_wanted;
        pthread_mutex_unlock(&p->lock);
        if (wanted)
            pthread_cond_signal(&p->workers_freed);
    }
    return NULL;
}

bool processor_wait_busy(struct processor *p, int wanted, int64_t deadline_ms)
{
    p->busy_wanted = wanted;
    bool in_time = condition_wait_until(&p->workers_freed, &p->lock, deadline_ms);
    p->busy_wanted = NOBODY_WAITS;
    return in_time;
}

/* Workers start as they are needed, so that start-up costs nothing for those that are not. */
int processor_spawn_workers(struct processor *p)
{
    pthread_mutex_lock(&p->lock);
    int wanted = p->busy;
    pthread_mutex_unlock(&p->lock);
    while (p->spawned < wanted) {
        int rc = processor_start_thread(&p->workers[p->spawned], "worker", worker_run, p);
        if (rc)
            return p->spawned > 0 ? OK : rc; /* fewer workers still do the work */
        p->spawned++;
    }
    return OK;
}

int processor_make(const struct processor_ports *ports, const struct processor_settings *settings,
                   const struct processor_observer *observer, struct processor **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the processor");
    return init(*out, ports, settings, observer);
}

int processor_start(const struct processor_ports *ports, const struct processor_settings *settings,
                    const struct processor_observer *observer, struct processor **out)
{
    struct processor *p;
    int rc = processor_make(ports, settings, observer, &p);
    if (!rc)
        rc = pending_start(p);
    if (!rc)
        rc = processor_start_thread(&p->keeper, "keeper", keeper_run, p);
    if (!rc)
        rc = processor_start_thread(&p->dispatcher, "dispatcher", dispatcher_run, p);
    if (!rc) {
        *out = p;
        return OK;
    }
    struct error e = *error_last();
    if (p && p->keeper) {
        channel_close(&p->done);
        pthread_join(p->keeper, NULL);
    }
    if (p)
        pending_stop(p);
    processor_free(p);
    return error_restore(&e);
}

/* Waits until no worker is busy or the deadline has passed; true if none is. */
static bool wait_for_workers(struct processor *p, int64_t deadline_ms)
{
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0 && processor_wait_busy(p, 0, deadline_ms))
        ;
    bool idle = p->busy == 0;
    pthread_mutex_unlock(&p->lock);
    return idle;
}

static void cancel_in_flight(struct processor *p)
{
    pthread_mutex_lock(&p->lock);
    for (struct delivery *d = p->in_flight; d; d = d->next)
        cancel_request(&d->cancel);
    pthread_mutex_unlock(&p->lock);
}

void processor_stop(struct processor *p)
{
    if (!p)
        return;
    cancel_request(&p->stop);
    pthread_join(p->dispatcher, NULL);
    if (!wait_for_workers(p, clock_monotonic_ms() + p->settings.drain_ms))
        cancel_in_flight(p);
    channel_close(&p->ready);
    for (int i = 0; i < p->spawned; i++)
        pthread_join(p->workers[i], NULL);
    channel_close(&p->done);
    pthread_join(p->keeper, NULL);
    pending_stop(p);
    processor_free(p);
}

bool processor_wait_settled(struct processor *p, int64_t ms)
{
    int64_t deadline = clock_monotonic_ms() + ms;
    pthread_mutex_lock(&p->lock);
    while (p->in_flight && condition_wait_until(&p->settled, &p->lock, deadline))
        ;
    bool settled = !p->in_flight;
    pthread_mutex_unlock(&p->lock);
    return settled;
}

int processor_rescue(const struct processor_ports *ports, const struct processor_settings *settings)
{
    struct processor *p;
    int rc = processor_make(ports, settings, NULL, &p);
    if (!rc)
        keeper_rescue(p);
    processor_free(p);
    return rc;
}
