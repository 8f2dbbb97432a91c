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
    /* Called once for each job that ended, with the screen cleared; NULL for none. `item` is a copy
     * that lives for the call. */
    void (*ended)(void *ctx, const struct tracked *item);
    void *ctx;
};

/* Until every tracked job has ended: 0. ERR_CANCELLED after a signal. ERR_SYSTEMIC with the reason
 * once the pipeline has been paused for longer than a hiccup takes. */
int wait_for_jobs(const struct wait *wait);

#endif
