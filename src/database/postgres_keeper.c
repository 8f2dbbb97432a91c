#include "database/postgres_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "shared/condition.h"
#include "shared/log.h"

enum {
    LOOK_MS = 10000, /* for garbage of other processes, and for what is indexed behind */
    TRIM_MS = 300000,
    CLOCK_MS = 60000,
    ERROR_MS = 2000,
};

struct keeper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool stop, garbage;
    int64_t last_chunk; /* as of the last look; the thread's own */
};

/* ---- the thread ---- */

struct schedule {
    int64_t look_ms, trim_ms, clock_ms, resume_ms;
};

struct chores {
    bool collect, index, trim, clock;
};

static int until_done(struct store *s, int (*step)(struct store *s, bool *more))
{
    struct keeper *k = s->keeper;
    bool more = true;
    int rc = OK;
    while (!rc && more) {
        rc = step(s, &more);
        pthread_mutex_lock(&k->lock);
        more &= !k->stop;
        pthread_mutex_unlock(&k->lock);
    }
    return rc;
}

static int collect_some(struct store *s, bool *more)
{
    return garbage_collect(s, false, more);
}

static int trim_some(struct store *s, bool *more)
{
    return garbage_trim(s, false, more);
}

static int index_some(struct store *s, bool *more)
{
    return index_step(s, &s->keeper->last_chunk, more);
}

static int measure(struct store *s)
{
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = store_measure_clock(s, c);
    pg_release(c);
    return rc;
}

static int do_chores(struct store *s, const struct chores *todo)
{
    int rc = todo->clock ? measure(s) : OK;
    if (!rc && todo->collect)
        rc = until_done(s, collect_some);
    if (!rc && todo->trim)
        rc = until_done(s, trim_some);
    if (!rc && todo->index)
        rc = until_done(s, index_some);
    return rc;
}

static int64_t earliest(const struct schedule *at)
{
    int64_t first = at->look_ms < at->trim_ms ? at->look_ms : at->trim_ms;
    return first < at->clock_ms ? first : at->clock_ms;
}

/* False: stop. */
static bool next_chores(struct keeper *k, struct schedule *at, struct chores *todo)
{
    pthread_mutex_lock(&k->lock);
    for (;;) {
        int64_t now = clock_monotonic_ms(), again = earliest(at);
        bool ready = now >= at->resume_ms;
        if (k->stop || (ready && (k->garbage || now >= again)))
            break;
        condition_wait_until(&k->wanted, &k->lock, ready ? again : at->resume_ms);
    }
    int64_t now = clock_monotonic_ms();
    *todo = (struct chores){.collect = k->garbage || now >= at->look_ms,
                            .index = now >= at->look_ms,
                            .trim = now >= at->trim_ms,
                            .clock = now >= at->clock_ms};
    k->garbage = false;
    bool stop = k->stop;
    pthread_mutex_unlock(&k->lock);
    return !stop;
}

static void *keeper_main(void *arg)
{
    struct store *s = arg;
    struct chores todo;
    int64_t now = clock_monotonic_ms();
    struct schedule at = {
        .look_ms = now + LOOK_MS / 2, .trim_ms = now + TRIM_MS, .clock_ms = now + CLOCK_MS};
    while (next_chores(s->keeper, &at, &todo)) {
        int rc = do_chores(s, &todo);
        now = clock_monotonic_ms();
        at.look_ms = todo.index ? now + LOOK_MS : at.look_ms;
        at.trim_ms = todo.trim ? now + TRIM_MS : at.trim_ms;
        at.clock_ms = todo.clock ? now + CLOCK_MS : at.clock_ms;
        at.resume_ms = rc ? now + ERROR_MS : 0;
        if (rc)
            log_write(LOG_WARN, "database.background_failed",
                      LOG_STR("error", error_last()->message), LOG_END);
    }
    return NULL;
}

/* ---- starting and stopping ---- */

int background_start(struct store *s)
{
    struct keeper *k = calloc(1, sizeof *k);
    if (!k)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the database's background");
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wanted, NULL);
    k->garbage = true; /* perhaps from before */
    k->last_chunk = -1;
    s->keeper = k;
    int e = pthread_create(&k->thread, NULL, keeper_main, s);
    if (!e) {
        pthread_setname_np(k->thread, "db-keeper");
        return OK;
    }
    s->keeper = NULL;
    free(k);
    return error_set_errno(e, "cannot start the database's background thread");
}

void background_stop(struct store *s)
{
    struct keeper *k = s->keeper;
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_broadcast(&k->wanted);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wanted);
    pthread_mutex_destroy(&k->lock);
    free(k);
    s->keeper = NULL;
}

void background_notify(struct store *s)
{
    struct keeper *k = s->keeper;
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->garbage = true;
    pthread_cond_signal(&k->wanted);
    pthread_mutex_unlock(&k->lock);
}

static int collect_waiting(struct store *s, bool *more)
{
    return garbage_collect(s, true, more);
}

static int trim_waiting(struct store *s, bool *more)
{
    return garbage_trim(s, true, more);
}

static int index_waiting(struct store *s, bool *more)
{
    return index_step(s, NULL, more);
}

int background_tend(struct store *s, int64_t until_ms, bool *more)
{
    static int (*const steps[])(struct store *, bool *) = {collect_waiting, trim_waiting,
                                                           index_waiting};
    int rc = OK;
    *more = true;
    for (size_t i = 0; !rc && i < sizeof steps / sizeof steps[0]; i++) {
        for (*more = true; !rc && *more && clock_monotonic_ms() < until_ms;)
            rc = steps[i](s, more);
        if (*more)
            break;
    }
    return rc;
}

/* The thread may be at it: its lock is waited for, so that nothing is left when this returns. */
int background_settle(struct store *s)
{
    bool more;
    return background_tend(s, INT64_MAX, &more);
}

/* A connection that was lost is replaced once its use has shown it. */
int background_thaw(struct store *s)
{
    enum { TRIES = 10 };
    int rc, tries = 0;
    do
        rc = measure(s);
    while (rc && !strcmp(error_last()->reason, "database_unreachable") && ++tries < TRIES);
    return rc;
}
