/*
 * channel.h - a bounded first-in first-out queue of pointers between threads; a full one pushes
 * back.
 */
#ifndef AEGIS_SHARED_CHANNEL_H
#define AEGIS_SHARED_CHANNEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct channel {
    pthread_mutex_t lock;
    pthread_cond_t readable;
    pthread_cond_t writable;
    void **items;
    size_t capacity;
    size_t head;
    size_t count;
    bool closed;
};

int channel_init(struct channel *c, size_t capacity); /* 0 or ERR_NO_MEMORY */
void channel_fini(struct channel *c);

/* Blocks while full. False (item not taken) once the channel is closed. */
bool channel_push(struct channel *c, void *item);

/* Blocks while empty. False when the channel is closed and drained. */
bool channel_pop(struct channel *c, void **item);

/* Takes up to `max` items, waiting at most timeout_ms for the first (-1: forever). Returns how
 * many. */
size_t channel_pop_many(struct channel *c, void **items, size_t max, int timeout_ms);

/* Wakes everybody; what is inside can still be popped. */
void channel_close(struct channel *c);

#endif
