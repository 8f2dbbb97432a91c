#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "adapters/openai/internal.h"
#include "shared/error.h"

enum { HEADERS = 6, URL = 1024 };

struct call call_begin(struct openai *openai, enum model_operation operation,
                       const struct cancel *cancel, struct arena *arena, struct model_calls *calls)
{
    return (struct call){.openai = openai,
                         .operation = operation,
                         .cancel = cancel,
                         .arena = arena,
                         .calls = calls,
                         .at = &openai->endpoints[operation]};
}

/* ---- the record of calls -----------------------------------------------------------------------
 */

static void begin_record(struct call *call)
{
    call->record = (struct model_call){.operation = call->operation};
    snprintf(call->record.provider, sizeof call->record.provider, "openai");
    snprintf(call->record.model, sizeof call->record.model, "%s", call->at->model);
}

static int append_record(struct call *call, int rc)
{
    if (!call->calls)
        return rc;
    int added = model_calls_add(call->calls, &call->record);
    return added ? added : rc;
}

int call_record(struct call *call, int rc)
{
    price_call(call->openai, &call->record);
    return append_record(call, rc);
}

/* A request whose reply was lost may have been billed: its cost is not known. One that found no
 * server has none. */
static bool may_have_arrived(const struct error *e)
{
    static const char *const before[] = {"connect_failed", "connect_timeout", "dns", "tls",
                                         "bad_url",        "bad_header",      NULL};
    for (const char *const *reason = before; *reason; reason++)
        if (strcmp(e->reason, *reason) == 0)
            return false;
    return e->code == ERR_TRANSIENT || e->code == ERR_TIMEOUT;
}

static int lost(struct call *call)
{
    if (may_have_arrived(error_last())) {
        call->record.cost_nanousd = -1;
        int rc = append_record(call, OK);
        if (rc)
            return rc;
    }
    return error_of_transfer(call->at);
}

static int refused(struct call *call, const struct http_response *reply)
{
    int rc = error_of_reply(call->at, call->operation, reply, clock_now(call->openai->clock));
    return append_record(call, rc); /* what is refused is not billed */
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static size_t add_headers(const struct call *call, bool json, struct http_header *h)
{
    const struct openai *o = call->openai;
    size_t n = 0;
    h[n++] = (struct http_header){"Accept", "application/json"};
    if (json)
        h[n++] = (struct http_header){"Content-Type", "application/json"};
    if (call->at->api_key[0])
        h[n++] = (struct http_header){"Authorization", call->at->authorization};
    if (o->organization[0])
        h[n++] = (struct http_header){"OpenAI-Organization", o->organization};
    if (o->project[0])
        h[n++] = (struct http_header){"OpenAI-Project", o->project};
    return n;
}

/* `request` has its method and content; the rest is the same for all. */
static int perform(struct call *call, const char *path, struct http_request *request,
                   struct http_response *out)
{
    const struct openai *o = call->openai;
    struct http_header headers[HEADERS];
    char url[URL];
    snprintf(url, sizeof url, "%s%s", call->at->base_url, path);
    request->url = url;
    request->headers = headers;
    request->header_count = add_headers(call, request->body != NULL, headers);
    request->connect_timeout_ms = o->connect_timeout_ms;
    if (!request->timeout_ms) {
        request->timeout_ms = o->timeout_ms;
        request->idle_timeout_ms = o->idle_timeout_ms;
    }
    begin_record(call);
    int rc = http_perform(o->engine, request, call->cancel, out);
    call->record.duration_ms = out->duration_ms;
    call->record.http_status = rc ? 0 : out->status;
    if (rc)
        return lost(call);
    return out->status >= 200 && out->status < 300 ? OK : refused(call, out);
}

int call_post_json(struct call *call, const char *path, const struct buffer *body,
                   struct http_response *out)
{
    struct http_request request = {
        .method = "POST", .body = buffer_string(body), .body_length = body->length};
    return perform(call, path, &request, out);
}

int call_post_parts(struct call *call, const char *path, const struct http_part *parts,
                    size_t count, struct http_response *out)
{
    struct http_request request = {.method = "POST", .parts = parts, .part_count = count};
    return perform(call, path, &request, out);
}

int call_get(struct call *call, const char *path, int64_t timeout_ms, struct http_response *out)
{
    struct http_request request = {
        .method = "GET", .timeout_ms = timeout_ms, .idle_timeout_ms = timeout_ms};
    return perform(call, path, &request, out);
}

/* ---- what a server lacks -----------------------------------------------------------------------
 */

static bool body_says(const struct http_response *reply, const char *what)
{
    return strcasestr(buffer_string(&reply->body), what) != NULL;
}

bool call_refused_parameter(const struct http_response *reply, const char *name)
{
    static const char *const complaints[] = {
        "unsupported", "not supported", "does not support", "not compatible", "unrecognized",
        "unknown",     "invalid",       "not permitted",    "not allowed",    "must be",
        NULL};
    if ((reply->status != 400 && reply->status != 422) || !body_says(reply, name))
        return false;
    for (const char *const *c = complaints; *c; c++)
        if (body_says(reply, *c))
            return true;
    return false;
}

bool call_lacks(const struct call *call, unsigned lack)
{
    return atomic_load_explicit(&call->at->lacks, memory_order_relaxed) & lack;
}

bool call_remember(struct call *call, unsigned lack)
{
    return !(atomic_fetch_or(&call->at->lacks, lack) & lack);
}

int call_malformed(const struct call *call, const char *what)
{
    return error_set(ERR_TRANSIENT, "malformed_reply", "%s with model '%s' at '%s': %s",
                     operation_name(call->operation), call->at->model, call->at->base_url, what);
}
