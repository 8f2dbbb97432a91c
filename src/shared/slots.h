/*
 * slots.h - the pool of CPU slots: at most nproc CPU-heavy stages (decoding, offline models) run at
 * a time, whatever the number of jobs in flight.
 */
#ifndef AEGIS_SHARED_SLOTS_H
#define AEGIS_SHARED_SLOTS_H

#include <pthread.h>

#include "shared/cancel.h"

struct slots {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    int available;
};

void slots_init(struct slots *s, int count);
void slots_fini(struct slots *s);

/* Blocks until a slot is free: 0, or ERR_CANCELLED. */
int slots_hold(struct slots *s, const struct cancel *cancel);
void slots_release(struct slots *s);

#endif
