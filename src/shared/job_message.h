/*
 * job_message.h - what travels on the queue: a small versioned JSON object that names a job.
 *
 *   {"version":1,"job_id":12,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}
 *
 * A message of a newer version is ERR_PERMANENT "unknown_message_version": it is dead-lettered and
 * can be redriven once the workers are upgraded.
 */
#ifndef AEGIS_SHARED_JOB_MESSAGE_H
#define AEGIS_SHARED_JOB_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "shared/random.h"
#include "shared/trace_context.h"

enum { JOB_MESSAGE_TEXT = 160 };

struct job_message {
    int64_t job_id;
    char trace_id[TRACE_ID_TEXT];
};

/* Returns the length written (without NUL). */
size_t job_message_format(const struct job_message *message, char out[JOB_MESSAGE_TEXT]);

/* What goes with it: the span that took the job in, as trace_context_of_job. Returns `out`. */
char *job_message_traceparent(const struct job_message *message, bool sampled,
                              char out[TRACEPARENT_TEXT]);

/* ERR_PERMANENT "malformed_message" or "unknown_message_version". */
int job_message_parse(const char *body, size_t length, struct job_message *out);

#endif
