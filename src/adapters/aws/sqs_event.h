/*
 * sqs_event.h - the event by which AWS Lambda hands messages of an SQS queue to a function, and the
 * answer that tells which of them are to come again.
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html and, for the answer,
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (the mapping must
 * have ReportBatchItemFailures).
 */
#ifndef AEGIS_ADAPTERS_AWS_SQS_EVENT_H
#define AEGIS_ADAPTERS_AWS_SQS_EVENT_H

#include <stdint.h>

#include "shared/arena.h"
#include "shared/buffer.h"
#include "shared/trace_context.h"

/* What the function has to do about a message. */
enum sqs_standing {
    SQS_TO_DO,
    SQS_SETTLED, /* nothing: it is not reported */
    SQS_LEFT,    /* nothing: it is reported, and stays hidden as long as it is */
};

/* A message attribute that is text. */
struct sqs_attribute {
    const char *name, *value;
};

struct sqs_record {
    const char *message_id;
    const char *receipt_handle;
    const char *body;
    size_t length;
    int receive_count;         /* 1 if it is not told */
    int64_t sent_ms;           /* Unix time; 0 if it is not told */
    const char *group, *trace; /* MessageGroupId and AWSTraceHeader; "" if none */
    struct sqs_attribute *attributes;
    size_t attribute_count;
    enum sqs_standing standing; /* SQS_TO_DO, until somebody says otherwise */
};

struct sqs_event {
    struct sqs_record *records;
    size_t count;
};

/* Everything lives in the arena. ERR_INVALID "invalid_event" (not JSON, no messages of SQS, one
 * without an id or receipt handle), ERR_TOO_LARGE (CAP_EVENT_RECORDS), ERR_NO_MEMORY. */
int sqs_event_parse(const char *text, size_t length, struct arena *arena, struct sqs_event *out);

/* Where in a trace it was sent, by its attributes. False: they do not tell. */
bool sqs_record_trace(const struct sqs_record *record, struct trace_context *out);

/* {"batchItemFailures":[{"itemIdentifier":"..."}]}. ERR_TOO_LARGE or ERR_NO_MEMORY. */
int sqs_event_answer(const char *const *failed_ids, size_t count, struct buffer *out);

#endif
