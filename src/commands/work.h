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
    struct processor *processor;
    bool detach, reporting;
    int64_t started_ms;
};

/* Opens store, queue and database, catches signals and starts a processor unless --detach is given.
 */
int work_begin(struct work *w, struct app *app);

/* A job to wait for. */
int work_add(struct work *w, int64_t job_id, int64_t media_id, const char *key);

/* Before anything is reported; `expected` media in all. */
void work_report(struct work *w, size_t expected);

/* Waits for all jobs added, reporting each. 0, ERR_CANCELLED or ERR_SYSTEMIC (paused). */
int work_wait(struct work *w);

/* Gives back or finishes what is under way, and frees. */
void work_end(struct work *w);

/* The exit status of work_wait's return; tells the person what stays queued. */
int work_status(struct work *w, int rc);

#endif
