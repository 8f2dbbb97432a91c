/*
 * queue_sqlite_wake.h - word of new messages for those who wait, and checkpoints in the background.
 *
 * Within the process a commit bumps `arrivals`. Other processes' commits are seen by an inotify
 * watch on the write-ahead log, which a thread reads while somebody waits; where inotify cannot be
 * had that thread looks every WAKE_POLL_MS instead, which costs waiters nothing but that delay.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_WAKE_H
#define AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_WAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/cancel.h"
#include "shared/clock.h"

struct waker {
    pthread_mutex_t lock;
    pthread_cond_t arrived; /* arrivals moved */
    pthread_cond_t wanted;  /* somebody waits, or stopping */
    uint64_t arrivals;
    int waiting;
    bool stopping;
    int watch, stop; /* inotify, eventfd; watch -1: none */
    const struct clock *clock;
    pthread_t thread;
};

/* `path` is the queue's file, open in WAL mode. */
int waker_open(struct waker *w, const char *path, const struct clock *clock);
void waker_close(struct waker *w);

/* The count of arrivals; read it before looking at the queue. */
uint64_t waker_arrivals(struct waker *w);

/* Something may be visible now, or earlier than it was. */
void waker_announce(struct waker *w);

/* Waits until arrivals is no longer `seen`, due_ms (of the queue's clock) or the deadline
 * (monotonic) has come. 0 or ERR_CANCELLED. */
int waker_wait(struct waker *w, uint64_t seen, int64_t due_ms, int64_t deadline_ms,
               const struct cancel *cancel);

/* Copies the log back into the database file in a thread with a connection of its own. */
struct checkpointer {
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool due, stopping;
    struct sqlite3 *db;
    pthread_t thread;
};

int checkpointer_open(struct checkpointer *c, const char *path, const char *vfs);
void checkpointer_close(struct checkpointer *c);
void checkpointer_want(struct checkpointer *c);

#endif
