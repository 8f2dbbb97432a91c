/*
 * work.h - a command that makes jobs and, unless it only enqueues, works on them until they end.
 */
#ifndef AEGIS_COMMANDS_WORK_H
#define AEGIS_COMMANDS_WORK_H

#include "commands/report.h"
#include "commands/wait.h"

#define WORK_OPTIONS                                                                               \
    {.name = "detach", .letter = 'd', .help = "only enqueue; `aegis serve` does the work"},        \
    {                                                                                              \
        .name = "workers", .argument = "N", .help = "jobs in flight at a time",                    \
        .setting = "workers"                                                                       \
    }

struct work {
    struct app *app;
    struct tracker tracker;
    struct follower follower;
    struct progress progress;
    struct report report;
    struct wait wait;
    struct processor *processor;
    bool detach;
    int64_t started_ms;
};

/* Opens store, queue and database and catches signals; unless --detach is given starts a processor
 * and the report. */
int work_begin(struct work *w, struct app *app);

/* A job to wait for. Reports what has ended meanwhile. */
int work_add(struct work *w, int64_t job_id, int64_t media_id, const char *key);

/* Shows `storing` ("" for nothing) beside the jobs, and reports what has ended meanwhile. */
int work_show(struct work *w, const char *storing);

/* Waits for all jobs added, reporting each. 0, ERR_CANCELLED or ERR_SYSTEMIC (paused). */
int work_wait(struct work *w);

/* Gives back or finishes what is under way, and frees. */
void work_end(struct work *w);

/* The exit status of work_wait's return; tells the person what stays queued. */
int work_status(struct work *w, int rc);

#endif
