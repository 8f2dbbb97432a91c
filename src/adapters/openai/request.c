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

static int lost(struct call *call, const char *key)
{
    if (may_have_arrived(error_last())) {
        call->record.cost_nanousd = -1;
        int rc = append_record(call, OK);
        if (rc)
            return rc;
    }
    return error_of_transfer(key);
}

static int refused(struct call *call, const char *key, const struct http_response *reply)
{
    const struct openai *o = call->openai;
    int rc = error_of_reply(call->at, key, call->operation, reply, clock_now(o->clock));
    if (o->keys.refused && strcmp(error_last()->reason, "invalid_key") == 0)
        o->keys.refused(o->keys.ctx, call->operation);
    return append_record(call, rc); /* what is refused is not billed */
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static int usable(const char *key, enum model_operation operation)
{
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p < 0x21 || *p == 0x7f)
            return error_set(ERR_SYSTEMIC, "invalid_key",
                             "the API key for %s holds blanks or control characters; copy it anew",
                             operation_name(operation));
    return OK;
}

int openai_key(const struct openai *openai, enum model_operation operation, char out[SECRET_TEXT])
{
    out[0] = '\0';
    if (!openai->keys.get) {
        snprintf(out, SECRET_TEXT, "%s", openai->endpoints[operation].api_key);
        return OK;
    }
    int rc = openai->keys.get(openai->keys.ctx, operation, out, SECRET_TEXT);
    if (rc)
        return rc;
    static const char blanks[] = " \t\r\n";
    size_t before = strspn(out, blanks), length = strlen(out + before);
    while (length && strchr(blanks, out[before + length - 1]))
        length--;
    memmove(out, out + before, length);
    out[length] = '\0';
    rc = usable(out, operation);
    if (rc && openai->keys.refused)
        openai->keys.refused(openai->keys.ctx, operation);
    return rc;
}

static size_t add_headers(const struct call *call, bool json, const char *authorization,
                          struct http_header *h)
{
    const struct openai *o = call->openai;
    size_t n = 0;
    h[n++] = (struct http_header){"Accept", "application/json"};
    if (json)
        h[n++] = (struct http_header){"Content-Type", "application/json"};
    if (authorization[0])
        h[n++] = (struct http_header){"Authorization", authorization};
    if (o->organization[0])
        h[n++] = (struct http_header){"OpenAI-Organization", o->organization};
    if (o->project[0])
        h[n++] = (struct http_header){"OpenAI-Project", o->project};
    return n;
}

static int send_request(struct call *call, const char *path, const char *key,
                        struct http_request *request, struct http_response *out)
{
    const struct openai *o = call->openai;
    struct http_header headers[HEADERS];
    char url[URL], authorization[SECRET_TEXT + sizeof "Bearer "] = "";
    snprintf(url, sizeof url, "%s%s", call->at->base_url, path);
    if (key[0])
        snprintf(authorization, sizeof authorization, "Bearer %s", key);
    request->url = url;
    request->headers = headers;
    request->header_count = add_headers(call, request->body != NULL, authorization, headers);
    int rc = http_perform(o->engine, request, call->cancel, out);
    request->url = NULL; /* ours, and so are the headers */
    request->headers = NULL;
    explicit_bzero(authorization, sizeof authorization);
    return rc;
}

/* `request` has its method and content; the rest is the same for all. */
static int perform(struct call *call, const char *path, struct http_request *request,
                   struct http_response *out)
{
    const struct openai *o = call->openai;
    char key[SECRET_TEXT];
    *out = (struct http_response){0};
    int rc = openai_key(o, call->operation, key);
    if (rc)
        return rc;
    request->connect_timeout_ms = o->connect_timeout_ms;
    if (!request->timeout_ms) {
        request->timeout_ms = o->timeout_ms;
        request->idle_timeout_ms = o->idle_timeout_ms;
    }
    begin_record(call);
    rc = send_request(call, path, key, request, out);
    call->record.duration_ms = out->duration_ms;
    call->record.http_status = rc ? 0 : out->status;
    if (rc)
        rc = lost(call, key);
    else if (out->status < 200 || out->status >= 300)
        rc = refused(call, key, out);
    explicit_bzero(key, sizeof key);
    return rc;
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
