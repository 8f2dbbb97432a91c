/*
 * queue_sqlite_commit.h - group commit: any number of threads hand in operations; one of them at a
 * time, the leader, runs all that are waiting in one transaction, and each returns once the commit
 * that holds it has returned.
 *
 * The leader is whichever caller came first, so that a lone caller pays for no hand-over; when its
 * group is done it passes the lead to the first that waits. While a commit waits for the disk the
 * next group gathers, so throughput rises with the number of callers (group commit as in DeWitt et
 * al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984).
 */
#ifndef AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_COMMIT_H
#define AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_COMMIT_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "adapters/local/queue_sqlite_store.h"
#include "adapters/local/queue_sqlite_wake.h"
#include "shared/error.h"

struct operation {
    /* Set by the caller. run may be called more than once (when a group failed, its operations are
     * run one by one), each time on the state before the first. */
    int (*run)(struct store *s, void *args);
    void *args;
    size_t bytes; /* about how much it writes; bounds a group */
    bool durable; /* must be on disk when submit returns */

    /* Of the group. */
    struct operation *next;
    sem_t turn; /* posted when it is done or has the lead */
    bool done;
    int rc;
    struct error error;
};

struct committer {
    struct store *store;
    struct checkpointer *checkpointer; /* called when the log has grown */
    pthread_mutex_t lock;
    struct operation *head, **tail; /* waiting */
    bool led;                       /* some thread is the leader */
};

/* Both borrowed. */
void committer_init(struct committer *c, struct store *store, struct checkpointer *checkpointer);
void committer_fini(struct committer *c);

/* Returns once the operation is committed (0), or undone (its error). */
int committer_submit(struct committer *c, struct operation *op);

#endif
