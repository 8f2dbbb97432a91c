/*
 * follow.h - reading the outbox as it grows, and knowing when jobs have come to their end,
 * whichever process ran them.
 */
#ifndef AEGIS_COMMANDS_FOLLOW_H
#define AEGIS_COMMANDS_FOLLOW_H

#include <pthread.h>

#include "commands/app.h"

/* ---- the outbox ---- */

struct follower {
    const struct database *database;
    int64_t after; /* the newest life_event seen */
};

/* From what is newest now. */
int follower_start(struct follower *f, const struct database *database);

/* Hands every newer event to `each`, oldest first; *seen counts them. Events are borrowed for the
 * call. */
int follower_read(struct follower *f, void (*each)(void *ctx, const struct life_event *event),
                  void *ctx, size_t *seen);

/* ---- jobs of one command ---- */

struct tracked {
    int64_t job_id, media_id;
    char *key;
    enum job_state state;
    enum stage stage; /* what this process last told; meaningful while running */
    int permille;     /* within the stage, -1 unknown */
    int64_t due_ms;   /* JOB_RETRYING */
    int attempt;
    char reason[40];
    char *message; /* of the last failure, NULL if none */
    bool here;     /* runs in this process: stage and permille are known */
    bool reported; /* the caller's: it has been told about */
};

enum { TRACKER_EARLY = 64 };

/* Thread-safe: the processor's observer writes to it. */
struct tracker {
    pthread_mutex_t lock;
    struct tracked *items;
    size_t count, capacity;
    size_t *slots; /* hash of job_id to index + 1 */
    size_t slot_count;
    size_t ended[JOB_STATES]; /* counts of succeeded, dead, cancelled */
    /* The newest word of jobs not (yet) tracked: a worker may be faster than tracker_add. */
    struct {
        int64_t job_id;
        enum stage stage;
        int permille;
    } early[TRACKER_EARLY];
};

int tracker_init(struct tracker *t); /* 0 or ERR_NO_MEMORY */
void tracker_fini(struct tracker *t);

/* A job to wait for; the same one again is fine. */
int tracker_add(struct tracker *t, int64_t job_id, int64_t media_id, const char *key);

/* For follower_read. */
void tracker_event(void *tracker, const struct life_event *event);
/* For the processor's observer. */
void tracker_progress(void *tracker, const struct job_progress *progress);

/* Reads the present state of every job that has not ended from the database: for jobs that existed
 * before the follower started. */
int tracker_refresh(struct tracker *t, struct app *app);

size_t tracker_ended(struct tracker *t); /* succeeded, dead or cancelled */

#endif
