/*
 * ingest.h - an event becomes a job, once: recorded in the database, then sent to the queue.
 *
 * The database and the queue share no transaction. The job's row comes first; should the process
 * die before the message is sent, the processor finds the job stranded and sends it (keeper.c). A
 * message that is sent twice is harmless.
 */
#ifndef AEGIS_INGESTION_INGEST_H
#define AEGIS_INGESTION_INGEST_H

#include <stddef.h>

#include "ports/database.h"
#include "ports/job_queue.h"
#include "ports/object_store.h"
#include "shared/clock.h"

/* An event of which a job was made, and when (clock_monotonic_us). */
struct ingest_report {
    const struct media_event *event;
    const struct event_outcome *outcome;
    int64_t began_us, ended_us;
    const char *error, *message; /* the reason if its message was not sent, else "" */
};

/* Borrowed for each call. `store` is not used by ingest_events. */
struct ingestion_ports {
    struct object_store store;
    struct job_queue queue;
    struct database database;
    const struct clock *clock;
    void (*taken)(void *ctx, const struct ingest_report *report); /* told of each; may be NULL */
    void *ctx;
};

/*
 * Records the events and sends a message for each job that came of them; outcomes has room for
 * `count`. If recording fails nothing happened. If only sending fails the error says so; outcomes
 * are then valid, and the jobs wait to be rescued.
 */
int ingest_events(const struct ingestion_ports *ports, const struct media_event *events,
                  size_t count, struct event_outcome *outcomes);

/* The event that tells of an object in the store. Strings are borrowed from `info`, `collection`
 * and `trace_id` (TRACE_ID_TEXT bytes, filled in). */
struct media_event ingest_created_event(const struct object_info *info, const char *collection,
                                        char *trace_id);

struct ingest_upload {
    const char *bucket, *key;
    const char *collection;   /* NULL: the bucket's name */
    const char *content_type; /* a hint; NULL if not known */
    struct object_source source;
};

/* Stores the source and ingests the event of its creation. Errors: those of the store's put (on
 * ERR_DISK_FULL and any other error of it nothing is stored) and of ingest_events. */
int ingest_put(const struct ingestion_ports *ports, const struct ingest_upload *upload,
               struct object_info *info, struct event_outcome *outcome);

/* Removes the object with all its versions from the store, and its medium from every search. */
int ingest_remove(const struct ingestion_ports *ports, const char *bucket, const char *key,
                  struct event_outcome *outcome);

#endif
