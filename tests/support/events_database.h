/*
 * events_database.h - a database that knows record_events and touch alone, by the port's rules, in
 * memory: what ingestion needs. Thread-safe.
 */
#ifndef AEGIS_TESTS_EVENTS_DATABASE_H
#define AEGIS_TESTS_EVENTS_DATABASE_H

#include <pthread.h>

#include "ports/database.h"

enum { EVENTS_DATABASE_MEDIA = 512 };

struct known_media {
    char bucket[CAP_BUCKET + 1], key[CAP_KEY + 1];
    char version[CAP_VERSION_ID + 1], etag[CAP_ETAG + 1], sequencer[CAP_SEQUENCER + 1];
    char collection[CAP_COLLECTION + 1];
    int64_t job_id, size;
    struct digest content;
    bool removed;
};

struct events_database {
    pthread_mutex_t lock;
    struct known_media media[EVENTS_DATABASE_MEDIA];
    size_t count;
    int64_t jobs;    /* made so far; ids are 1, 2, ... */
    int64_t touched; /* jobs */
    int calls;       /* of record_events */
    int fail_with;   /* record_events fails with this error_code; 0: it works */
};

void events_database_init(struct events_database *db, struct database *out);
void events_database_fini(struct events_database *db);

/* NULL if the key was never heard of. */
const struct known_media *events_database_find(struct events_database *db, const char *key);

#endif
