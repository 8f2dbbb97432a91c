/*
 * event.h - event documents: what an object store says about its objects becomes media events.
 *
 * Understood are the S3 notification (User Guide, "Event message structure"), s3:TestEvent, and the
 * EventBridge form ("Amazon S3 event message structure for EventBridge"), each alone, in an array,
 * or wrapped by SNS (its HTTP body and its Lambda form) and SQS (its Lambda form and what
 * ReceiveMessage prints), wrapped in each other in any order. docs/event-formats.md shows them all.
 */
#ifndef AEGIS_INGESTION_EVENT_H
#define AEGIS_INGESTION_EVENT_H

#include <stddef.h>

#include "ports/database.h"
#include "shared/arena.h"
#include "shared/trace_context.h"

/* A record that could not be read; the others are not affected. */
struct event_problem {
    size_t record;      /* counted from 1 over the whole document, wrappings left out */
    const char *reason; /* one line */
};

struct event_document {
    struct media_event *events; /* in the order of the document */
    size_t count;
    size_t ignored; /* records that ask for nothing: other event names, folder placeholders */
    size_t tests;   /* s3:TestEvent, which S3 sends when notifications are set up */
    struct event_problem *problems;
    size_t problem_count;
};

/*
 * Everything lives in the arena. `now_ms` stands in for a missing event time. An event belongs to
 * the trace of the SQS message that carried it (its attribute traceparent, else AWSTraceHeader),
 * else to `around` (NULL: nothing), else to a new one. Errors: ERR_INVALID
 * ("invalid_event": not JSON, or no form of event document, nested too deeply included),
 * ERR_TOO_LARGE (CAP_EVENT_DOCUMENT or CAP_EVENT_RECORDS passed), ERR_NO_MEMORY.
 *
 * A removal has an object_version only if that one version was deleted for good; a medium whose
 * newest version is another one is not affected by it.
 */
int event_parse(const char *text, size_t length, int64_t now_ms, const struct trace_context *around,
                struct arena *arena, struct event_document *out);

#endif
