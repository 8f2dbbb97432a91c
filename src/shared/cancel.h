/*
 * cancel.h - one flag that asks blocking calls to return ERR_CANCELLED soon.
 *
 * Set from any thread or a signal handler; never cleared. Blocking functions take it as a pointer
 * that may be NULL (never cancelled) and look at it at least every 100 ms.
 */
#ifndef AEGIS_SHARED_CANCEL_H
#define AEGIS_SHARED_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cancel {
    atomic_bool requested;
};

static inline void cancel_request(struct cancel *c)
{
    atomic_store(&c->requested, true);
}

static inline bool cancel_requested(const struct cancel *c)
{
    return c && atomic_load_explicit(&((struct cancel *)c)->requested, memory_order_relaxed);
}

enum { CANCEL_POLL_MS = 100 };

#endif
