#include "ingestion/ingest.h"

#include <stdio.h>
#include <string.h>

#include "shared/error.h"
#include "shared/job_message.h"
#include "shared/random.h"

enum {
    SEND_AT_ONCE = 128,
    SENT_GRACE_MS = 10 * 60 * 1000, /* so long a message that was sent is not thought lost */
};

/* Messages on their way out, as many as one call of the queue takes. */
struct outbox {
    const struct ingestion_ports *ports;
    size_t max, count;
    struct queue_send sends[SEND_AT_ONCE];
    char bodies[SEND_AT_ONCE][JOB_MESSAGE_TEXT];
    char traceparents[SEND_AT_ONCE][TRACEPARENT_TEXT];
    int64_t jobs[SEND_AT_ONCE];
};

static void outbox_init(struct outbox *box, const struct ingestion_ports *ports)
{
    struct queue_limits limits;
    ports->queue.ops->limits(ports->queue.ctx, &limits);
    box->ports = ports;
    box->count = 0;
    box->max = limits.max_batch < SEND_AT_ONCE ? (size_t)limits.max_batch : SEND_AT_ONCE;
}

static int outbox_flush(struct outbox *box)
{
    const struct ingestion_ports *ports = box->ports;
    if (box->count == 0)
        return OK;
    int rc = ports->queue.ops->send(ports->queue.ctx, box->sends, box->count, NULL);
    if (rc)
        return error_prefix("recorded, but not queued yet; a worker will find it");
    /* A touch that fails costs a second message, which is harmless. */
    ports->database.ops->touch(ports->database.ctx, box->jobs, box->count,
                               clock_now(ports->clock) + SENT_GRACE_MS);
    box->count = 0;
    return OK;
}

static int outbox_add(struct outbox *box, const struct media_event *event, int64_t job_id)
{
    struct job_message message = {.job_id = job_id};
    size_t i = box->count++;
    snprintf(message.trace_id, sizeof message.trace_id, "%s", event->trace_id);
    box->jobs[i] = job_id;
    box->sends[i] = (struct queue_send){
        .body = box->bodies[i],
        .length = job_message_format(&message, box->bodies[i]),
        .group = event->collection ? event->collection : event->bucket,
        .traceparent = job_message_traceparent(&message, !event->unsampled, box->traceparents[i]),
    };
    return box->count == box->max ? outbox_flush(box) : OK;
}

/* *sent: the messages of so many events, from the first on, are out, also after an error. */
static int send_messages(const struct ingestion_ports *ports, const struct media_event *events,
                         size_t count, const struct event_outcome *outcomes, size_t *sent)
{
    struct outbox box;
    int rc = OK;
    outbox_init(&box, ports);
    *sent = 0;
    for (size_t i = 0; !rc && i < count; i++) {
        if (outcomes[i].result == EVENT_JOB_QUEUED)
            rc = outbox_add(&box, &events[i], outcomes[i].job_id);
        if (!rc && box.count == 0)
            *sent = i + 1;
    }
    if (!rc)
        rc = outbox_flush(&box);
    if (!rc)
        *sent = count;
    return rc;
}

/* The error is that of the events behind `sent`. Keeps it. */
static void tell(const struct ingestion_ports *ports, const struct media_event *events,
                 size_t count, const struct event_outcome *outcomes, int64_t began_us, size_t sent)
{
    struct error e = *error_last();
    const char *reason = e.reason[0] ? e.reason : error_code_name(e.code);
    struct ingest_report report = {.began_us = began_us, .ended_us = clock_monotonic_us()};
    for (size_t i = 0; ports->taken && i < count; i++) {
        report.event = &events[i];
        report.outcome = &outcomes[i];
        report.error = i < sent ? "" : reason;
        report.message = i < sent ? "" : e.message;
        if (outcomes[i].result == EVENT_JOB_QUEUED)
            ports->taken(ports->ctx, &report);
    }
    if (sent < count)
        error_restore(&e);
}

static int ingest_since(const struct ingestion_ports *ports, const struct media_event *events,
                        size_t count, struct event_outcome *outcomes, int64_t began_us)
{
    size_t sent;
    int rc = ports->database.ops->record_events(ports->database.ctx, events, count, outcomes);
    if (rc)
        return rc;
    rc = send_messages(ports, events, count, outcomes, &sent);
    tell(ports, events, count, outcomes, began_us, sent);
    return rc;
}

int ingest_events(const struct ingestion_ports *ports, const struct media_event *events,
                  size_t count, struct event_outcome *outcomes)
{
    return count ? ingest_since(ports, events, count, outcomes, clock_monotonic_us()) : OK;
}

struct media_event ingest_created_event(const struct object_info *info, const char *collection,
                                        char *trace_id)
{
    random_trace_id(trace_id);
    return (struct media_event){
        .kind = EVENT_CREATED,
        .bucket = info->bucket,
        .key = info->key,
        .object_version = info->version_id,
        .etag = info->etag,
        .sequencer = info->sequencer,
        .collection = collection,
        .content_type = info->content_type,
        .trace_id = trace_id,
        .size = info->size,
        .event_ms = info->modified_ms,
        .content = info->content,
    };
}

int ingest_put(const struct ingestion_ports *ports, const struct ingest_upload *upload,
               struct object_info *info, struct event_outcome *outcome)
{
    const struct object_store *store = &ports->store;
    char trace_id[TRACE_ID_TEXT];
    int64_t began_us = clock_monotonic_us();
    int rc = store->ops->put(store->ctx, upload->bucket, upload->key, upload->content_type,
                             &upload->source, info);
    if (rc)
        return rc;
    struct media_event event = ingest_created_event(info, upload->collection, trace_id);
    return ingest_since(ports, &event, 1, outcome, began_us);
}

int ingest_remove(const struct ingestion_ports *ports, const char *bucket, const char *key,
                  struct event_outcome *outcome)
{
    const struct object_store *store = &ports->store;
    struct object_info info;
    char trace_id[TRACE_ID_TEXT];
    int rc = store->ops->remove(store->ctx, bucket, key, &info);
    if (rc)
        return rc;
    random_trace_id(trace_id);
    struct media_event event = {
        .kind = EVENT_REMOVED,
        .bucket = bucket,
        .key = key,
        .object_version = "",
        .etag = "",
        .sequencer = info.sequencer,
        .content_type = "",
        .trace_id = trace_id,
        .size = -1,
        .event_ms = clock_now(ports->clock),
    };
    return ingest_events(ports, &event, 1, outcome);
}
