#include "adapters/local/queue_sqlite_wake.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "adapters/local/queue_sqlite_store.h"
#include "shared/condition.h"
#include "shared/error.h"

enum {
    WAKE_POLL_MS = 25,  /* without inotify */
    WAKE_GATHER_MS = 1, /* a commit writes many times; word of it goes out once */
};

/* ---- waiting -----------------------------------------------------------------------------------
 */

uint64_t waker_arrivals(struct waker *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t arrivals = w->arrivals;
    pthread_mutex_unlock(&w->lock);
    return arrivals;
}

void waker_announce(struct waker *w)
{
    pthread_mutex_lock(&w->lock);
    w->arrivals++;
    if (w->waiting)
        pthread_cond_broadcast(&w->arrived);
    pthread_mutex_unlock(&w->lock);
}

/* The clock may be a test's, so it is looked at in slices; a flag for cancelling wakes nobody. */
static void wait_slice(struct waker *w, int64_t now, int64_t due_ms, int64_t deadline_ms)
{
    int64_t until = now + CANCEL_POLL_MS;
    if (due_ms < INT64_MAX && due_ms - clock_now(w->clock) < CANCEL_POLL_MS)
        until = now + due_ms - clock_now(w->clock);
    if (until > deadline_ms)
        until = deadline_ms;
    condition_wait_until(&w->arrived, &w->lock, until);
}

int waker_wait(struct waker *w, uint64_t seen, int64_t due_ms, int64_t deadline_ms,
               const struct cancel *cancel)
{
    bool cancelled;
    pthread_mutex_lock(&w->lock);
    if (w->waiting++ == 0)
        pthread_cond_signal(&w->wanted);
    while (!(cancelled = cancel_requested(cancel)) && w->arrivals == seen &&
           clock_now(w->clock) < due_ms) {
        int64_t now = clock_monotonic_ms();
        if (now >= deadline_ms)
            break;
        wait_slice(w, now, due_ms, deadline_ms);
    }
    w->waiting--;
    pthread_mutex_unlock(&w->lock);
    return cancelled ? error_set(ERR_CANCELLED, NULL, "waiting for messages was cancelled") : OK;
}

/* ---- other processes ---------------------------------------------------------------------------
 */

/* Blocks until the log was written or the waker is closing. */
static void wait_for_write(struct waker *w)
{
    char events[4096];
    struct pollfd fds[] = {{.fd = w->stop, .events = POLLIN}, {.fd = w->watch, .events = POLLIN}};
    poll(fds, 2, w->watch < 0 ? WAKE_POLL_MS : -1);
    if (fds[0].revents || w->watch < 0)
        return;
    poll(fds, 1, WAKE_GATHER_MS);
    while (read(w->watch, events, sizeof events) > 0)
        ;
}

static void *watch_writes(void *arg)
{
    struct waker *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->waiting && !w->stopping)
            pthread_cond_wait(&w->wanted, &w->lock);
        if (w->stopping)
            break;
        pthread_mutex_unlock(&w->lock);
        wait_for_write(w);
        pthread_mutex_lock(&w->lock);
        w->arrivals++;
        pthread_cond_broadcast(&w->arrived);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static int watch_open(const char *path)
{
    char log[PATH_MAX];
    if (snprintf(log, sizeof log, "%s-wal", path) >= (int)sizeof log)
        return -1;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, log, IN_MODIFY) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void waker_free(struct waker *w)
{
    if (w->stop >= 0)
        close(w->stop);
    if (w->watch >= 0)
        close(w->watch);
    pthread_cond_destroy(&w->arrived);
    pthread_cond_destroy(&w->wanted);
    pthread_mutex_destroy(&w->lock);
}

int waker_open(struct waker *w, const char *path, const struct clock *clock)
{
    *w = (struct waker){.clock = clock, .watch = watch_open(path), .stop = eventfd(0, EFD_CLOEXEC)};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->arrived, NULL);
    pthread_cond_init(&w->wanted, NULL);
    int failed = w->stop < 0 ? errno : pthread_create(&w->thread, NULL, watch_writes, w);
    if (!failed)
        return OK;
    waker_free(w);
    return error_set_errno(failed, "cannot watch queue '%s' for other processes", path);
}

void waker_close(struct waker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    eventfd_write(w->stop, 1);
    pthread_join(w->thread, NULL);
    waker_free(w);
}

/* ---- checkpoints -------------------------------------------------------------------------------
 */

/* What a checkpoint could not do for want of room or because of a reader, the next one does. */
static void *run_checkpoints(void *arg)
{
    struct checkpointer *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->due && !c->stopping)
            pthread_cond_wait(&c->wanted, &c->lock);
        if (c->stopping)
            break;
        pthread_mutex_unlock(&c->lock);
        sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        pthread_mutex_lock(&c->lock);
        c->due = false;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int checkpointer_open(struct checkpointer *c, const char *path, const char *vfs)
{
    *c = (struct checkpointer){0};
    int rc = store_connect(path, vfs, &c->db);
    if (rc)
        return rc;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wanted, NULL);
    int failed = pthread_create(&c->thread, NULL, run_checkpoints, c);
    if (!failed)
        return OK;
    sqlite3_close(c->db);
    pthread_cond_destroy(&c->wanted);
    pthread_mutex_destroy(&c->lock);
    return error_set_errno(failed, "cannot start the checkpoints of queue '%s'", path);
}

void checkpointer_close(struct checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->wanted);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    sqlite3_close(c->db);
    pthread_cond_destroy(&c->wanted);
    pthread_mutex_destroy(&c->lock);
}

void checkpointer_want(struct checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    c->due = true;
    pthread_cond_signal(&c->wanted);
    pthread_mutex_unlock(&c->lock);
}
