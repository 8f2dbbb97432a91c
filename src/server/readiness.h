/*
 * readiness.h - can this process do its work now? Database and queue answer, and nothing pauses the
 * pipeline.
 */
#ifndef AEGIS_SERVER_READINESS_H
#define AEGIS_SERVER_READINESS_H

#include "ports/database.h"
#include "ports/job_queue.h"
#include "server/lookout.h"

enum { READINESS_TEXT = 400, READINESS_WAIT_MS = 2000, READINESS_MAX_AGE_MS = 1000 };

struct readiness {
    struct database database;
    struct job_queue queue;
    struct lookout lookout;
    pthread_mutex_t lock;
    bool ready, stopping;
    char reason[READINESS_TEXT];
};

/* database and queue are set, borrowed until readiness_stop. */
int readiness_start(struct readiness *r);
void readiness_stop(struct readiness *r);

/* From now on it is not ready: the process drains. */
void readiness_drain(struct readiness *r);

/* One line in `reason`: "ready", or why not. As it was at most a second ago; blocks for at most
 * READINESS_WAIT_MS. */
bool readiness_ask(struct readiness *r, char reason[READINESS_TEXT]);

#endif
