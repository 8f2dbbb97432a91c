/*
 * lookout.h - a look at something that may take long or hang, made by a thread of its own, at most
 * once in a while, however many ask.
 */
#ifndef AEGIS_SERVER_LOOKOUT_H
#define AEGIS_SERVER_LOOKOUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lookout {
    void (*look)(void *ctx); /* keeps what it saw itself, under a lock of its own */
    void *ctx;
    int64_t max_age_ms; /* how long what it saw is good for */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool wanted, stopping, seen;
    int64_t begun_ms; /* monotonic: when the newest look that ended was begun */
};

/* look, ctx and max_age_ms are set. Starts the thread; it looks when it is asked only. */
int lookout_start(struct lookout *l);

/* Joins the thread, after the look that it is at. */
void lookout_stop(struct lookout *l);

/* True once there is a look no older than max_age_ms; waits for it up to wait_ms. */
bool lookout_ask(struct lookout *l, int64_t wait_ms);

#endif
