#include "shared/job_message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/digest.h"
#include "shared/error.h"
#include "shared/json.h"

enum { MESSAGE_VERSION = 1 };

size_t job_message_format(const struct job_message *message, char out[JOB_MESSAGE_TEXT])
{
    int n = snprintf(out, JOB_MESSAGE_TEXT,
                     "{\"version\":%d,\"job_id\":%" PRId64 ",\"trace_id\":\"%s\"}", MESSAGE_VERSION,
                     message->job_id, message->trace_id);
    return (size_t)n;
}

char *job_message_traceparent(const struct job_message *message, bool sampled,
                              char out[TRACEPARENT_TEXT])
{
    struct trace_context context;
    trace_context_of_job(message->trace_id, message->job_id, sampled, &context);
    return trace_context_traceparent(&context, out);
}

static int read_fields(yyjson_val *root, struct job_message *out)
{
    int64_t version = json_int_at(root, "version", 0);
    if (version > MESSAGE_VERSION)
        return error_set(ERR_PERMANENT, "unknown_message_version",
                         "message version %" PRId64
                         " is newer than this Aegis understands (%d); upgrade and redrive",
                         version, MESSAGE_VERSION);
    const char *trace = json_string_at(root, "trace_id", "");
    unsigned char bytes[16];
    out->job_id = json_int_at(root, "job_id", 0);
    if (version != MESSAGE_VERSION || out->job_id <= 0 || strlen(trace) != 32 ||
        !hex_decode(trace, 16, bytes))
        return error_set(ERR_PERMANENT, "malformed_message", "a queue message names no job");
    memcpy(out->trace_id, trace, TRACE_ID_TEXT);
    return OK;
}

int job_message_parse(const char *body, size_t length, struct job_message *out)
{
    yyjson_doc *doc;
    if (json_parse(body, length, "queue message", &doc))
        return error_set(ERR_PERMANENT, "malformed_message", "%s", error_last()->message);
    int rc = read_fields(yyjson_doc_get_root(doc), out);
    yyjson_doc_free(doc);
    return rc;
}
