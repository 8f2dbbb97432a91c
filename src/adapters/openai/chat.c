#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

/* A thousand requests may wait at a time: 8 KiB each with the byte that ends the string. */
enum { REQUEST_LIMIT = 64 << 20, USUAL_REQUEST = (8 << 10) - 1, ADAPTATIONS = 5, REFUSAL = 160 };

/* ---- asking ------------------------------------------------------------------------------------
 */

static int append_text(struct buffer *b, const char *text)
{
    return json_append_string(b, text, strlen(text));
}

/* The schema in words, for servers that take it no other way. */
static int append_system(struct call *call, const struct chat_request *r, struct buffer *b)
{
    if (!r->want_json || !call_lacks(call, LACKS_JSON_SCHEMA))
        return append_text(b, r->system);
    struct buffer words;
    buffer_init(&words, REQUEST_LIMIT);
    int rc = buffer_printf(&words, "%s The JSON schema: %s", r->system, r->schema);
    if (!rc)
        rc = json_append_string(b, buffer_string(&words), words.length);
    buffer_free(&words);
    return rc;
}

static int append_schema(const struct chat_request *r, bool responses, struct buffer *b)
{
    int rc =
        buffer_append_string(b, responses ? "{\"type\":\"json_schema\",\"name\":"
                                          : "{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
    if (!rc)
        rc = append_text(b, r->name);
    if (!rc)
        rc = buffer_append_string(b, ",\"strict\":true,\"schema\":");
    if (!rc)
        rc = buffer_append_string(b, r->schema);
    return rc ? rc : buffer_append_string(b, responses ? "}" : "}}");
}

static int append_format(struct call *call, const struct chat_request *r, struct buffer *b)
{
    bool responses = call->openai->responses;
    if (!r->want_json || call_lacks(call, LACKS_JSON_OBJECT))
        return OK;
    int rc =
        buffer_append_string(b, responses ? ",\"text\":{\"format\":" : ",\"response_format\":");
    if (!rc && call_lacks(call, LACKS_JSON_SCHEMA))
        rc = buffer_append_string(b, "{\"type\":\"json_object\"}");
    else if (!rc)
        rc = append_schema(r, responses, b);
    return rc || !responses ? rc : buffer_append_char(b, '}');
}

static int append_effort(struct call *call, struct buffer *b)
{
    const struct openai *o = call->openai;
    if (!o->reasoning_effort[0] || !call->at->reasoning || call_lacks(call, LACKS_REASONING))
        return OK;
    int rc = buffer_append_string(b, o->responses ? ",\"reasoning\":{\"effort\":"
                                                  : ",\"reasoning_effort\":");
    if (!rc)
        rc = append_text(b, o->reasoning_effort);
    return rc || !o->responses ? rc : buffer_append_char(b, '}');
}

static const char *limit_name(const struct call *call)
{
    if (call->openai->responses)
        return "max_output_tokens";
    bool reasoning = call->at->reasoning && !call_lacks(call, LACKS_MAX_COMPLETION_TOKENS);
    return reasoning || call_lacks(call, LACKS_MAX_TOKENS) ? "max_completion_tokens" : "max_tokens";
}

static int append_user(const struct chat_request *r, struct buffer *b)
{
    struct buffer text;
    buffer_init(&text, r->user_limit);
    int rc = r->write_user(r->ctx, &text);
    if (!rc)
        rc = json_append_string(b, buffer_string(&text), text.length);
    buffer_free(&text);
    return rc;
}

static int append_messages(struct call *call, const struct chat_request *r, struct buffer *b)
{
    bool responses = call->openai->responses;
    int rc =
        buffer_append_string(b, responses ? ",\"store\":false,\"instructions\":"
                                          : ",\"messages\":[{\"role\":\"system\",\"content\":");
    if (!rc)
        rc = append_system(call, r, b);
    if (!rc)
        rc = buffer_append_string(b,
                                  responses ? ",\"input\":" : "},{\"role\":\"user\",\"content\":");
    if (!rc)
        rc = append_user(r, b);
    return rc || responses ? rc : buffer_append_string(b, "}]");
}

static int write_request(struct call *call, const struct chat_request *r, int max_output,
                         struct buffer *b)
{
    int rc = buffer_append_string(b, "{\"model\":");
    if (!rc)
        rc = append_text(b, call->at->model);
    if (!rc)
        rc = append_messages(call, r, b);
    if (!rc)
        rc = append_effort(call, b);
    if (!rc)
        rc = append_format(call, r, b);
    return rc ? rc : buffer_printf(b, ",\"%s\":%d}", limit_name(call), max_output);
}

/* ---- adapting ----------------------------------------------------------------------------------
 * A server that does not know a parameter says so at once and bills nothing.
 */

static bool adapt(struct call *call, const struct chat_request *r,
                  const struct http_response *reply)
{
    bool format = call_refused_parameter(reply, "response_format") ||
                  call_refused_parameter(reply, "json_schema") ||
                  call_refused_parameter(reply, "json_object") ||
                  call_refused_parameter(reply, "text.format");
    if (r->want_json && format)
        return call_remember(call, LACKS_JSON_SCHEMA) || call_remember(call, LACKS_JSON_OBJECT);
    if (call_refused_parameter(reply, "reasoning"))
        return call_remember(call, LACKS_REASONING);
    bool long_name = call->at->reasoning;
    if (long_name && call_refused_parameter(reply, "max_completion_tokens"))
        return call_remember(call, LACKS_MAX_COMPLETION_TOKENS);
    if (!long_name && call_refused_parameter(reply, "max_tokens"))
        return call_remember(call, LACKS_MAX_TOKENS);
    return false;
}

/* One answer, over as many adaptations as there are things to lack. */
static int post(struct call *call, const struct chat_request *r, int max_output,
                struct http_response *reply)
{
    const char *path = call->openai->responses ? "/responses" : "/chat/completions";
    for (int i = 0;; i++) {
        struct buffer body;
        buffer_init(&body, REQUEST_LIMIT);
        int rc = buffer_reserve(&body, USUAL_REQUEST);
        if (!rc)
            rc = write_request(call, r, max_output, &body);
        *reply = (struct http_response){0};
        if (!rc)
            rc = call_post_json(call, path, &body, reply);
        buffer_free(&body);
        if (!rc || i == ADAPTATIONS || rc != ERR_PERMANENT || !adapt(call, r, reply))
            return rc;
        http_response_free(reply);
    }
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static int no_answer(const char *what)
{
    return error_set(ERR_INVALID, "malformed_reply", "the reply has no %s", what);
}

/* A string, or an array of parts of which those with text are joined. */
static int read_content(yyjson_val *content, struct arena *arena, const char **out)
{
    if (yyjson_is_str(content) || !yyjson_is_arr(content)) {
        const char *text = yyjson_get_str(content);
        *out = text ? text : "";
        return OK;
    }
    struct buffer joined;
    size_t i, max;
    yyjson_val *part;
    int rc = OK;
    buffer_init(&joined, CAP_HTTP_RESPONSE);
    yyjson_arr_foreach(content, i, max, part)
    {
        if (!rc)
            rc = buffer_append_string(&joined, json_string_at(part, "text", ""));
    }
    *out = rc ? NULL : arena_strdup(arena, buffer_string(&joined));
    buffer_free(&joined);
    return rc || *out ? rc : ERR_NO_MEMORY;
}

int chat_read_completion(yyjson_val *root, struct arena *arena, struct chat_reply *out)
{
    *out = (struct chat_reply){
        .text = "",
        .refusal = "",
        .input_tokens = json_int_at(root, "usage.prompt_tokens", 0),
        .cached_tokens = json_int_at(root, "usage.prompt_tokens_details.cached_tokens", 0),
        .output_tokens = json_int_at(root, "usage.completion_tokens", 0),
    };
    yyjson_val *choice = yyjson_arr_get(yyjson_obj_get(root, "choices"), 0);
    yyjson_val *message = yyjson_obj_get(choice, "message");
    if (!yyjson_is_obj(message))
        return no_answer("message");
    const char *finish = json_string_at(choice, "finish_reason", "stop");
    out->refusal = json_string_at(message, "refusal", "");
    if (strcmp(finish, "length") == 0)
        out->end = CHAT_TRUNCATED;
    else if (strcmp(finish, "content_filter") == 0)
        out->end = CHAT_FILTERED;
    return read_content(yyjson_obj_get(message, "content"), arena, &out->text);
}

/* The parts of all messages among the output items. */
static int read_output(yyjson_val *output, struct arena *arena, struct chat_reply *out)
{
    size_t i, k, max, parts;
    yyjson_val *item, *part;
    yyjson_arr_foreach(output, i, max, item)
    {
        if (strcmp(json_string_at(item, "type", ""), "message") != 0)
            continue;
        yyjson_val *content = yyjson_obj_get(item, "content");
        yyjson_arr_foreach(content, k, parts, part)
        {
            const char *refusal = json_string_at(part, "refusal", "");
            if (*refusal)
                out->refusal = refusal;
        }
        return read_content(content, arena, &out->text);
    }
    return OK;
}

int chat_read_response(yyjson_val *root, struct arena *arena, struct chat_reply *out)
{
    *out = (struct chat_reply){
        .text = "",
        .refusal = "",
        .input_tokens = json_int_at(root, "usage.input_tokens", 0),
        .cached_tokens = json_int_at(root, "usage.input_tokens_details.cached_tokens", 0),
        .output_tokens = json_int_at(root, "usage.output_tokens", 0),
    };
    const char *status = json_string_at(root, "status", "");
    const char *why = json_string_at(root, "incomplete_details.reason", "");
    if (strcmp(status, "failed") == 0)
        out->end = CHAT_FAILED;
    else if (strcmp(status, "incomplete") == 0)
        out->end = strcmp(why, "content_filter") == 0 ? CHAT_FILTERED : CHAT_TRUNCATED;
    else if (strcmp(status, "completed") != 0)
        return no_answer("finished status");
    return read_output(yyjson_obj_get(root, "output"), arena, out);
}

/* The end of the JSON object that begins at `p`: where its braces, outside of strings, are even. */
static const char *object_end(const char *p)
{
    int depth = 0;
    for (bool quoted = false; *p; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && *p == '{')
            depth++;
        else if (!quoted && *p == '}' && --depth == 0)
            return p + 1;
    }
    return NULL;
}

bool chat_find_object(const char *text, const char **begin, size_t *length)
{
    const char *open = strchr(text, '{');
    const char *end = open ? object_end(open) : NULL;
    if (!end)
        return false;
    *begin = open;
    *length = (size_t)(end - open);
    return true;
}

/* ---- judging -----------------------------------------------------------------------------------
 */

static int refused(const struct call *call, const char *why)
{
    return error_set(ERR_PERMANENT, "refused", "model '%s' declined to %s: %.*s", call->at->model,
                     operation_name(call->operation), REFUSAL, why);
}

static int judge(const struct call *call, const struct chat_reply *r)
{
    if (r->refusal[0])
        return refused(call, r->refusal);
    switch (r->end) {
    case CHAT_FILTERED:
        return refused(call, "the reply was stopped by the content filter");
    case CHAT_FAILED:
        return error_set(ERR_TRANSIENT, "server_error", "%s with model '%s' failed on the server",
                         operation_name(call->operation), call->at->model);
    case CHAT_TRUNCATED:
        return error_set(ERR_PERMANENT, "truncated_reply",
                         "%s with model '%s': the reply was cut off by its length limit twice",
                         operation_name(call->operation), call->at->model);
    default:
        /* NOLINTNEXTLINE: a reply that was read has a text */
        return r->text[0] ? OK : call_malformed(call, "the reply is empty");
    }
}

/* Some models think aloud first. */
static const char *after_thoughts(const char *text)
{
    const char *end = strstr(text, "</think>");
    text = end ? end + 8 : text;
    return text + strspn(text, " \t\r\n");
}

static int take_text(struct call *call, const struct chat_request *r,
                     const struct chat_reply *reply, const char **text, size_t *length)
{
    const char *begin = after_thoughts(reply->text);
    *length = strlen(begin);
    if (r->want_json && !chat_find_object(begin, &begin, length))
        return call_malformed(call, "the reply holds no JSON object");
    *text = arena_strndup(call->arena, begin, *length);
    return *text ? OK : ERR_NO_MEMORY;
}

/* One request and its reply; *truncated if it was cut off, which is an error only the second time.
 */
static int ask_once(struct call *call, const struct chat_request *r, int max_output,
                    const char **text, size_t *length, bool *truncated)
{
    struct http_response http;
    struct chat_reply reply = {.text = "", .refusal = ""};
    yyjson_doc *doc = NULL;
    *truncated = false;
    int rc = post(call, r, max_output, &http);
    if (rc)
        goto cleanup;
    rc = json_parse_in_place(&http.body, "the reply", &doc);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!rc)
        rc = call->openai->responses ? chat_read_response(root, call->arena, &reply)
                                     : chat_read_completion(root, call->arena, &reply);
    if (rc == ERR_INVALID)
        rc = call_malformed(call, error_last()->message);
    call->record.input_tokens = reply.input_tokens;
    call->record.cached_tokens = reply.cached_tokens;
    call->record.output_tokens = reply.output_tokens;
    rc = call_record(call, rc);
    if (!rc)
        rc = judge(call, &reply);
    if (!rc)
        rc = take_text(call, r, &reply, text, length);
    *truncated = reply.end == CHAT_TRUNCATED;
cleanup:
    yyjson_doc_free(doc);
    http_response_free(&http);
    return rc;
}

int chat_ask(struct call *call, const struct chat_request *r, const char **text, size_t *length)
{
    bool truncated;
    int rc = ask_once(call, r, r->max_output[0], text, length, &truncated);
    if (rc && truncated)
        rc = ask_once(call, r, r->max_output[1], text, length, &truncated);
    return rc;
}
