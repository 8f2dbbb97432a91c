/*
 * trace_context.h - where in a trace something happens, as programs tell each other: in the header
 * traceparent of W3C (https://www.w3.org/TR/trace-context/#traceparent-header), and in that of AWS
 * X-Ray
 * (https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader),
 * which SQS calls AWSTraceHeader.
 *
 *   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *   Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1
 *
 * Both name the same trace: X-Ray takes the ids of W3C, whatever their first eight digits are.
 */
#ifndef AEGIS_SHARED_TRACE_CONTEXT_H
#define AEGIS_SHARED_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/random.h"

enum { SPAN_ID_TEXT = 17, TRACEPARENT_TEXT = 56, XRAY_TEXT = 75 };

struct trace_context {
    char trace_id[TRACE_ID_TEXT]; /* 32 lower-case hex digits, not all zero */
    char span_id[SPAN_ID_TEXT];   /* of the sender, 16 such digits; "" if not told (X-Ray only) */
    bool sampled;                 /* the sender records it */
};

/* False, and *out is not changed: it is not as the standard says, or longer than CAP_TRACE_HEADER.
 * A version of traceparent that is not known yet is read as the standard wants it; fields of
 * X-Ray's header that are not known are passed over. */
bool trace_context_parse_traceparent(const char *text, struct trace_context *out);
bool trace_context_parse_xray(const char *text, struct trace_context *out);

/* Of something that may have either, "" or NULL where it has not: traceparent if it can be read. */
bool trace_context_parse_either(const char *traceparent, const char *xray,
                                struct trace_context *out);

/* Each returns `out`. A context without a span id has no traceparent: "". */
char *trace_context_traceparent(const struct trace_context *context, char out[TRACEPARENT_TEXT]);
char *trace_context_xray(const struct trace_context *context, char out[XRAY_TEXT]);

/*
 * The span in which a job was taken in. Its id is made of trace and job, so that whoever works on
 * the job knows it without having been told. `trace_id` has 32 hex digits.
 */
void trace_context_of_job(const char *trace_id, int64_t job_id, bool sampled,
                          struct trace_context *out);

#endif
