/*
 * queue_postgres_wake.h - waiting for messages: one thread and one connection for all receivers of
 * a process that wait.
 */
#ifndef AEGIS_ADAPTERS_POSTGRES_QUEUE_POSTGRES_WAKE_H
#define AEGIS_ADAPTERS_POSTGRES_QUEUE_POSTGRES_WAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "shared/cancel.h"
#include "shared/clock.h"
#include "shared/pg.h"

struct notifier {
    struct pg_pool *pool;
    const struct clock *clock; /* NULL: the server's */
    pthread_mutex_t lock;
    pthread_cond_t arrived; /* arrivals has grown */
    pthread_cond_t wanted;  /* somebody waits, or it is closing */
    pthread_t thread;
    uint64_t arrivals;
    int waiting; /* who have not heard of the last arrival */
    bool stopping;
    int64_t heard_ms;   /* monotonic: when the thread last had an answer from the server */
    atomic_bool passed; /* messages were received since the positions were last moved */
    int nudge;          /* eventfd: look now, or see that it is closing */
    /* Of the thread alone. */
    struct pg *listener;
    int64_t pause_ms;
};

/* Both borrowed. */
int notifier_open(struct notifier *w, struct pg_pool *pool, const struct clock *clock);
void notifier_close(struct notifier *w);

/* To be read before the claim that decides on waiting. */
uint64_t notifier_arrivals(struct notifier *w);

/* Something may be visible, or will be sooner than was known. */
void notifier_announce(struct notifier *w);

/* Waits until there is more than `seen`, or the deadline (monotonic), or the thread has had no
 * answer for two seconds: its connection may be dead without saying so. ERR_CANCELLED. */
int notifier_wait(struct notifier *w, uint64_t seen, int64_t deadline_ms,
                  const struct cancel *cancel);

/* $n for the time: NULL unless a test keeps it. */
struct pg_value notifier_clock(const struct clock *clock);

/* Moves the positions where claims begin, unless that was done age_ms ago; a favour, which may
 * fail. Keeps the last error. */
void notifier_advance(struct pg_pool *pool, const struct clock *clock, int64_t age_ms);

/* Time makes them old too: messages that are gone have timeouts still to pass. */
enum { WAKER_OLD_MS = 5000 };

#endif
