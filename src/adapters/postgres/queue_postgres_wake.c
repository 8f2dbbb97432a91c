#include "adapters/postgres/queue_postgres_wake.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/condition.h"
#include "shared/error.h"

enum {
    LOOK_MS = 1000,     /* between looks, when no notification comes */
    LOOK_FIRST_MS = 10, /* and the first of them, as a sender may have looked before we said that
                           we wait, and committed after we looked; then twice as long each time */
    LOST_MS = 200,
    DEAF_MS = 2 * LOOK_MS,
};

struct pg_value notifier_clock(const struct clock *clock)
{
    return clock ? P_INT(clock_now(clock)) : P_NULL(PG_INT8);
}

/* ---- receivers ---- */

uint64_t notifier_arrivals(struct notifier *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t arrivals = w->arrivals;
    pthread_mutex_unlock(&w->lock);
    return arrivals;
}

/* Releases all who wait: `waiting` counts those who are not released. */
static void announce_locked(struct notifier *w)
{
    w->arrivals++;
    w->waiting = 0;
    pthread_cond_broadcast(&w->arrived);
}

void notifier_announce(struct notifier *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->waiting)
        eventfd_write(w->nudge, 1);
    announce_locked(w);
    pthread_mutex_unlock(&w->lock);
}

/* Until when a wait that began at `began` lasts if nothing comes. */
static int64_t end_of_wait(const struct notifier *w, int64_t began, int64_t deadline_ms)
{
    int64_t deaf = (w->heard_ms > began ? w->heard_ms : began) + DEAF_MS;
    return deaf < deadline_ms ? deaf : deadline_ms;
}

/* A flag for cancelling wakes nobody, so it is looked at in slices. */
int notifier_wait(struct notifier *w, uint64_t seen, int64_t deadline_ms,
                  const struct cancel *cancel)
{
    bool cancelled = false;
    int64_t began = clock_monotonic_ms();
    pthread_mutex_lock(&w->lock);
    if (w->arrivals == seen && w->waiting++ == 0)
        pthread_cond_signal(&w->wanted);
    while (w->arrivals == seen) {
        int64_t now = clock_monotonic_ms(), end = end_of_wait(w, began, deadline_ms);
        cancelled = cancel_requested(cancel);
        if (cancelled || now >= end)
            break;
        if (cancel && end > now + CANCEL_POLL_MS)
            end = now + CANCEL_POLL_MS;
        condition_wait_until(&w->arrived, &w->lock, end);
    }
    if (w->arrivals == seen)
        w->waiting--;
    pthread_mutex_unlock(&w->lock);
    return cancelled ? error_set(ERR_CANCELLED, NULL, "waiting for messages was cancelled") : OK;
}

/* ---- the thread ---- */

static void advance_on(struct pg *c, const struct clock *clock, int64_t age_ms)
{
    static const char SQL[] = "SELECT queue_advance($1, $2)";
    const struct pg_value values[] = {notifier_clock(clock), P_INT(age_ms)};
    if (!pg_begin(c, PG_NOT_DURABLE) && !pg_send(c, SQL, values, 2))
        (void)pg_commit_sync(c, NULL, 0);
}

void notifier_advance(struct pg_pool *pool, const struct clock *clock, int64_t age_ms)
{
    struct error before = *error_last();
    struct pg *c;
    if (!pg_acquire(pool, 0, NULL, &c)) {
        advance_on(c, clock, age_ms);
        pg_release(c);
    }
    error_restore(&before);
}

/* Says that this process waits and looks whether it need not. *next_ms: when to look again, at the
 * latest. */
static int look(struct notifier *w, bool *found, int64_t *next_ms)
{
    static const char SQL[] = "SELECT ready, next_ms FROM queue_look($1, $2)";
    const struct pg_value values[] = {notifier_clock(w->clock), P_INT(LOOK_MS)};
    struct pg_rows rows = {0};
    advance_on(w->listener, w->clock, atomic_exchange(&w->passed, false) ? 0 : WAKER_OLD_MS);
    int rc = pg_begin(w->listener, PG_NOT_DURABLE);
    if (!rc)
        rc = pg_send(w->listener, SQL, values, 2);
    if (!rc)
        rc = pg_commit_sync(w->listener, &rows, 1);
    *found = !rc && pg_int(&rows, 0, 0);
    *next_ms = !rc && !pg_is_null(&rows, 0, 1) ? pg_int(&rows, 0, 1) : LOOK_MS;
    pg_rows_free(&rows);
    return rc;
}

static int listen(struct notifier *w)
{
    if (w->listener)
        return OK;
    int rc = pg_acquire(w->pool, 0, NULL, &w->listener);
    if (!rc)
        rc = pg_script(w->listener, "LISTEN aegis_queue");
    w->pause_ms = LOOK_FIRST_MS;
    return rc;
}

static void stop_listening(struct notifier *w)
{
    pg_release(w->listener);
    w->listener = NULL;
}

static void clear_nudge(struct notifier *w)
{
    eventfd_t n;
    eventfd_read(w->nudge, &n);
}

static void rest(struct notifier *w, int64_t ms)
{
    struct pollfd fd = {.fd = w->nudge, .events = POLLIN};
    poll(&fd, 1, (int)ms);
    clear_nudge(w);
}

enum word {
    WORD_NONE,
    WORD_CAME,  /* a notification */
    WORD_FOUND, /* something is visible */
    WORD_LOST,  /* there is no way to know: receivers look themselves, and meet the error */
};

static enum word wait_for_word(struct notifier *w)
{
    bool found = false;
    int came = 0;
    int64_t next_ms;
    int rc = listen(w);
    if (!rc)
        rc = look(w, &found, &next_ms);
    if (!rc && !found) {
        int64_t ms = next_ms < w->pause_ms ? next_ms : w->pause_ms;
        rc = pg_wait_notify(w->listener, ms, w->nudge, NULL, &came);
        clear_nudge(w);
    }
    w->pause_ms = came ? LOOK_FIRST_MS : 2 * w->pause_ms;
    if (w->pause_ms > LOOK_MS)
        w->pause_ms = LOOK_MS;
    if (rc)
        stop_listening(w);
    return rc ? WORD_LOST : found ? WORD_FOUND : came ? WORD_CAME : WORD_NONE;
}

static void *keep_listening(void *arg)
{
    struct notifier *w = arg;
    enum word word = WORD_NONE, last;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->waiting && !w->stopping)
            pthread_cond_wait(&w->wanted, &w->lock);
        if (w->stopping)
            break;
        pthread_mutex_unlock(&w->lock);
        last = word;
        word = wait_for_word(w);
        pthread_mutex_lock(&w->lock);
        w->heard_ms = clock_monotonic_ms();
        if (word == WORD_NONE)
            continue;
        announce_locked(w);
        pthread_mutex_unlock(&w->lock);
        if (word == WORD_LOST)
            rest(w, LOST_MS);
        else if (word == WORD_FOUND && last == WORD_FOUND)
            rest(w, LOOK_FIRST_MS); /* it is in another's hands */
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    stop_listening(w);
    return NULL;
}

/* ---- life ---- */

static void notifier_free(struct notifier *w)
{
    if (w->nudge >= 0)
        close(w->nudge);
    pthread_cond_destroy(&w->arrived);
    pthread_cond_destroy(&w->wanted);
    pthread_mutex_destroy(&w->lock);
}

int notifier_open(struct notifier *w, struct pg_pool *pool, const struct clock *clock)
{
    *w = (struct notifier){.pool = pool,
                           .clock = clock,
                           .nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                           .pause_ms = LOOK_FIRST_MS};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->arrived, NULL);
    pthread_cond_init(&w->wanted, NULL);
    int failed = w->nudge < 0 ? errno : pthread_create(&w->thread, NULL, keep_listening, w);
    if (!failed)
        return OK;
    notifier_free(w);
    return error_set_errno(failed, "cannot start a thread for the queue in '%s'",
                           pg_pool_name(pool));
}

void notifier_close(struct notifier *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    eventfd_write(w->nudge, 1);
    pthread_join(w->thread, NULL);
    notifier_free(w);
}
