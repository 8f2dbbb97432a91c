/*
 * otlp_json.h - the bodies of OTLP/HTTP requests in JSON: ExportTraceServiceRequest and
 * ExportMetricsServiceRequest of opentelemetry-proto 1.x, in the JSON encoding of OTLP
 * (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hex, 64-bit numbers as
 * text, enums as numbers.
 */
#ifndef AEGIS_SERVER_OTLP_JSON_H
#define AEGIS_SERVER_OTLP_JSON_H

#include "server/exposition.h"
#include "shared/http.h"
#include "shared/trace_context.h"

/* A step within a span, which becomes a span of its own below it. */
struct span_part {
    const char *name;           /* a constant */
    int64_t began_us, ended_us; /* Unix time */
};

enum span_kind { SPAN_PRODUCER = 4, SPAN_CONSUMER = 5 }; /* as the protocol numbers them */
enum { SPAN_PARTS = 16 };

/* Something that was done for a job. NULL, "" and 0 are not told. */
struct span {
    const char *name; /* a constant, as is outcome */
    enum span_kind kind;
    const char *trace_id, *span_id, *parent_id; /* span_id "": a new one */
    int64_t began_us, ended_us;                 /* Unix time */
    int64_t job_id, media_id;
    int attempt;
    const char *bucket, *key;
    const char *outcome;
    const char *error;             /* the reason's code if it failed; then so did the last part */
    const char *message;           /* one line about it */
    const struct span_part *parts; /* at most SPAN_PARTS */
    size_t part_count;
};

/* Who tells: attributes of the resource. Borrowed. */
struct otlp_resource {
    const struct http_header *attributes;
    size_t count;
};

/* Each appends a whole document. ERR_NO_MEMORY, ERR_TOO_LARGE. */
int otlp_json_spans(const struct otlp_resource *resource, const struct span *const *spans,
                    size_t count, struct buffer *out);

/* What `write` tells to the exposition it is given. Counters count since began_us. */
int otlp_json_metrics(const struct otlp_resource *resource,
                      void (*write)(void *ctx, struct exposition *x), void *ctx, int64_t began_us,
                      int64_t now_us, struct buffer *out);

/* What a collector refused though it took the request (partialSuccess of a reply): how many, and
 * why. False: nothing. */
bool otlp_json_rejected(const char *reply, size_t length, int64_t *count, char *why, size_t size);

#endif
