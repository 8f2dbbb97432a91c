/*
 * wait.h - running and awaiting the jobs a command has made.
 */
#ifndef AEGIS_COMMANDS_WAIT_H
#define AEGIS_COMMANDS_WAIT_H

#include "commands/follow.h"
#include "commands/progress.h"

struct wait {
    struct app *app;
    struct tracker *tracker;
    struct follower *follower;
    struct progress *progress;
    /* Called once for each job that ended, with the screen cleared. `item` is a copy that lives for
     * the call. */
    void (*ended)(void *ctx, const struct tracked *item);
    void *ctx;
    int64_t pumped_ms;
};

/* Reads the outbox, reports what ended, draws: to be called now and then by whoever is busy with
 * something else. Costs nothing when called often. */
int wait_pump(struct wait *wait);

/* Until every tracked job has ended: 0. ERR_CANCELLED after a signal. ERR_SYSTEMIC with the reason
 * once the pipeline has been paused for longer than a hiccup takes. */
int wait_for_jobs(struct wait *wait);

#endif
