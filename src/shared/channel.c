#include "shared/channel.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/clock.h"
#include "shared/condition.h"
#include "shared/error.h"

int channel_init(struct channel *c, size_t capacity)
{
    assert(capacity > 0);
    *c = (struct channel){.capacity = capacity, .items = calloc(capacity, sizeof(void *))};
    if (!c->items)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a channel of %zu", capacity);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->readable, NULL);
    pthread_cond_init(&c->writable, NULL);
    return OK;
}

void channel_fini(struct channel *c)
{
    if (!c->items)
        return;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->readable);
    pthread_cond_destroy(&c->writable);
    free(c->items);
    c->items = NULL;
}

bool channel_push(struct channel *c, void *item)
{
    pthread_mutex_lock(&c->lock);
    while (c->count == c->capacity && !c->closed)
        pthread_cond_wait(&c->writable, &c->lock);
    bool taken = !c->closed;
    if (taken)
        c->items[(c->head + c->count++) % c->capacity] = item;
    pthread_mutex_unlock(&c->lock);
    if (taken) /* the woken one finds the lock free */
        pthread_cond_signal(&c->readable);
    return taken;
}

static void *take(struct channel *c)
{
    void *item = c->items[c->head];
    c->head = (c->head + 1) % c->capacity;
    c->count--;
    return item;
}

bool channel_pop(struct channel *c, void **item)
{
    return channel_pop_many(c, item, 1, -1) == 1;
}

size_t channel_pop_many(struct channel *c, void **items, size_t max, int timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    pthread_mutex_lock(&c->lock);
    while (c->count == 0 && !c->closed) {
        if (timeout_ms < 0)
            pthread_cond_wait(&c->readable, &c->lock);
        else if (!condition_wait_until(&c->readable, &c->lock, deadline_ms))
            break;
    }
    size_t n = 0;
    while (n < max && c->count > 0)
        items[n++] = take(c);
    pthread_mutex_unlock(&c->lock);
    if (n == 1)
        pthread_cond_signal(&c->writable);
    else if (n > 1)
        pthread_cond_broadcast(&c->writable);
    return n;
}

void channel_close(struct channel *c)
{
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    pthread_cond_broadcast(&c->readable);
    pthread_cond_broadcast(&c->writable);
    pthread_mutex_unlock(&c->lock);
}
