/*
 * service.h - a command that runs until it is stopped: it logs every life-cycle step on the data
 * directory, read from the outbox, and unless told otherwise works on jobs itself.
 */
#ifndef AEGIS_COMMANDS_SERVICE_H
#define AEGIS_COMMANDS_SERVICE_H

#include "commands/follow.h"

struct monitoring;

struct service {
    struct app *app;
    struct follower follower;
    struct monitoring *monitoring; /* NULL: nobody wanted it (monitoring.h) */
    struct processor *processor;
    bool own_jobs_only;   /* set before service_open: what others do is not logged */
    struct own_jobs *own; /* which they are */
    int64_t succeeded, dead;
    int64_t paused_ms; /* since when, monotonic; 0: it runs */
    int64_t pause_checked_ms;
    bool away; /* the events cannot be read at present */
};

/* Opens what is needed, catches signals, starts a processor if `process`. */
int service_open(struct service *s, struct app *app, bool process);

/* Logs until a signal, until *ended (may be NULL) is set, or with `until_idle` until the queue is
 * empty and nothing is under way. ERR_SYSTEMIC: until_idle, and the pipeline is paused. A database
 * that does not answer ends it only with `until_idle`; ERR_SCHEMA and a damaged one always do. */
int service_loop(struct service *s, bool until_idle, const struct cancel *ended);

/* Drains, logs what came last, keeps the last error. */
void service_close(struct service *s);

#endif
