/*
 * figures.h - how the pipeline as a whole is doing: queue, jobs, pause, money. All processes on one
 * database tell the same.
 */
#ifndef AEGIS_SERVER_FIGURES_H
#define AEGIS_SERVER_FIGURES_H

#include "ports/database.h"
#include "ports/job_queue.h"
#include "server/exposition.h"
#include "server/lookout.h"

enum { FIGURES_WAIT_MS = 2000, FIGURES_REASON_TEXT = 40 };

struct figures_seen {
    bool database, queue; /* it answered: what is below is so */
    struct totals totals;
    struct queue_stats stats;
    char pause_reason[FIGURES_REASON_TEXT]; /* "" : it runs */
    int64_t paused_since_ms;
};

struct figures {
    struct database database;
    struct job_queue queue;
    int64_t max_age_ms;
    struct lookout lookout;
    pthread_mutex_t lock;
    struct figures_seen seen;
};

/* database, queue (borrowed until figures_stop) and max_age_ms are set. */
int figures_start(struct figures *f);
void figures_stop(struct figures *f);

/* As they were at most max_age_ms ago: counting may be dear. Blocks for at most FIGURES_WAIT_MS;
 * what did not answer by then is told to be down, and has no figures. */
void figures_write(struct figures *f, struct exposition *x);

#endif
