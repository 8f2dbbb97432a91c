/*
 * queue_conformance.h - what every adapter of ports/job_queue.h has to do, as one suite that knows
 * the port alone.
 */
#ifndef AEGIS_TESTS_QUEUE_CONFORMANCE_H
#define AEGIS_TESTS_QUEUE_CONFORMANCE_H

#include <stdbool.h>

#include "ports/job_queue.h"
#include "shared/clock.h"

struct queue_conformance {
    const char *name;
    /* Opens a new, empty queue. `clock` is the suite's; an adapter whose server keeps the time
     * ignores it and says so. */
    int (*open)(void *ctx, const struct clock *clock, int max_receives, struct job_queue *out);
    /* Removes what open made, after the queue was closed. May be NULL. */
    void (*discard)(void *ctx);
    void *ctx;
    bool own_clock; /* time passes by waiting, not by the suite's clock */
    bool unfair;    /* queue_send.group does not change the order */
    /* What a queue behind somebody else's service cannot do, as its header says. */
    bool void_looks_valid; /* the outcome of a void receipt may be OK */
    bool no_age;           /* stats do not know the oldest message's age */
    bool counts_untaken;   /* what did not fit into the arena counts as received */
    bool delivers_twice;   /* now and then one message goes to two receivers at a time */
};

/* Runs the suite; the number of failed tests. */
int queue_conformance_run(const struct queue_conformance *adapter);

#endif
