/*
 * chat.c - Chat Completions and Responses: two wire shapes of one question.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fake.h"
#include "shared/json.h"

enum format { FORMAT_TEXT, FORMAT_OBJECT, FORMAT_SCHEMA };

/* What was asked, whichever way. */
struct ask {
    const char *model;
    enum model_kind kind;
    struct slice text; /* of the last user message: the document in it, if it is marked */
    yyjson_val *schema;
    yyjson_doc *prompted; /* holds the schema if it was found in the prompt */
    enum format format;
    size_t input_bytes;
    int64_t max_output; /* tokens; 0: no limit asked */
};

struct answer {
    struct buffer content;
    const char *refusal; /* NULL if it did not decline */
    const char *finish;
    int64_t input_tokens, output_tokens;
};

/* ---- parameters --------------------------------------------------------------------------------
 */

static const char *const chat_parameters[] = {"messages",
                                              "model",
                                              "audio",
                                              "frequency_penalty",
                                              "function_call",
                                              "functions",
                                              "logit_bias",
                                              "logprobs",
                                              "max_completion_tokens",
                                              "max_tokens",
                                              "metadata",
                                              "modalities",
                                              "n",
                                              "parallel_tool_calls",
                                              "prediction",
                                              "presence_penalty",
                                              "prompt_cache_key",
                                              "prompt_cache_retention",
                                              "reasoning_effort",
                                              "response_format",
                                              "safety_identifier",
                                              "seed",
                                              "service_tier",
                                              "stop",
                                              "store",
                                              "stream",
                                              "stream_options",
                                              "temperature",
                                              "tool_choice",
                                              "tools",
                                              "top_logprobs",
                                              "top_p",
                                              "user",
                                              "verbosity",
                                              "web_search_options",
                                              NULL};

static const char *const response_parameters[] = {"input",
                                                  "model",
                                                  "background",
                                                  "include",
                                                  "instructions",
                                                  "max_output_tokens",
                                                  "max_tool_calls",
                                                  "metadata",
                                                  "parallel_tool_calls",
                                                  "previous_response_id",
                                                  "prompt",
                                                  "prompt_cache_key",
                                                  "prompt_cache_retention",
                                                  "reasoning",
                                                  "safety_identifier",
                                                  "service_tier",
                                                  "store",
                                                  "stream",
                                                  "stream_options",
                                                  "temperature",
                                                  "text",
                                                  "tool_choice",
                                                  "tools",
                                                  "top_logprobs",
                                                  "top_p",
                                                  "truncation",
                                                  "user",
                                                  NULL};

static bool listed(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

static bool check_known(struct exchange *x, yyjson_val *body, const char *const *known)
{
    size_t i, max;
    yyjson_val *name, *value;
    yyjson_obj_foreach(body, i, max, name, value)
    {
        const char *key = yyjson_get_str(name);
        if (listed(known, key))
            continue;
        reply_invalid(x, key, "unknown_parameter", "Unknown parameter: '%s'.", key);
        return false;
    }
    return true;
}

static bool check_reasoning(struct exchange *x, yyjson_val *body)
{
    static const char *const refused[] = {
        "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs",
        "logit_bias",  NULL};
    if (yyjson_obj_get(body, "max_tokens")) {
        reply_invalid(x, "max_tokens", "unsupported_parameter",
                      "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                      "'max_completion_tokens' instead.");
        return false;
    }
    for (const char *const *p = refused; *p; p++) {
        if (!yyjson_obj_get(body, *p))
            continue;
        reply_invalid(x, *p, "unsupported_parameter",
                      "Unsupported parameter: '%s' is not supported with this model.", *p);
        return false;
    }
    return true;
}

static bool check_parameters(struct exchange *x, yyjson_val *body, const struct ask *ask)
{
    if (ask->kind == MODEL_REASONING)
        return check_reasoning(x, body);
    yyjson_val *reasoning = yyjson_obj_get(body, "reasoning_effort");
    if (!reasoning || model_kind(server_options(x->server), ask->model) != MODEL_CHAT)
        return true;
    reply_invalid(x, "reasoning_effort", "unsupported_parameter",
                  "Unsupported parameter: 'reasoning_effort' is not supported with this model.");
    return false;
}

/* ---- the text ----------------------------------------------------------------------------------
 */

/* Between "<document...>" and "</document", as prompts mark untrusted text; else all of it. */
static struct slice document_in(struct slice all)
{
    const char *open = memmem(all.text, all.length, "<document", 9);
    const char *end = all.text + all.length;
    const char *begin = open ? memchr(open, '>', (size_t)(end - open)) : NULL;
    if (!begin)
        return all;
    begin++;
    const char *close = memmem(begin, (size_t)(end - begin), "</document", 10);
    all.text = begin;
    all.length = (size_t)((close ? close : end) - begin);
    return all;
}

static void add_text(struct ask *ask, const struct slice *text, bool user)
{
    ask->input_bytes += text->length;
    if (user)
        ask->text = *text;
}

/* Content is a string or an array of parts with a text each. */
static bool add_content(struct ask *ask, yyjson_val *content, bool user)
{
    struct slice text;
    if (request_text(content, &text)) {
        add_text(ask, &text, user);
        return true;
    }
    size_t i, max;
    yyjson_val *part;
    yyjson_arr_foreach(content, i, max, part)
    {
        if (!request_text(yyjson_obj_get(part, "text"), &text))
            return false;
        add_text(ask, &text, user);
    }
    return yyjson_arr_size(content) > 0;
}

static bool add_messages(struct exchange *x, struct ask *ask, yyjson_val *messages,
                         const char *param)
{
    size_t i, max;
    yyjson_val *message;
    yyjson_arr_foreach(messages, i, max, message)
    {
        const char *role = json_string_at(message, "role", "");
        bool known = strcmp(role, "user") == 0 || strcmp(role, "system") == 0 ||
                     strcmp(role, "developer") == 0 || strcmp(role, "assistant") == 0;
        if (known &&
            add_content(ask, yyjson_obj_get(message, "content"), strcmp(role, "user") == 0))
            continue;
        reply_invalid(x, param, "invalid_value", "Invalid value in '%s[%zu]'.", param, i);
        return false;
    }
    if (yyjson_arr_size(messages) > 0)
        return true;
    reply_invalid(x, param, "empty_array",
                  "Invalid '%s': empty array. Expected an array with minimum length 1.", param);
    return false;
}

/* A schema written out in a prompt is followed like one in response_format. */
static void find_schema_in_prompt(struct ask *ask, const struct request *r)
{
    yyjson_val *messages = yyjson_obj_get(r->json, "messages"), *message;
    size_t i, max;
    if (!messages)
        messages = yyjson_obj_get(r->json, "input");
    yyjson_arr_foreach(messages, i, max, message)
    {
        const char *at = strstr(json_string_at(message, "content", ""), "{\"type\":\"object\"");
        if (at && !ask->schema) {
            ask->prompted = yyjson_read(at, strlen(at), YYJSON_READ_STOP_WHEN_DONE);
            ask->schema = yyjson_doc_get_root(ask->prompted);
        }
    }
}

/* ---- the format --------------------------------------------------------------------------------
 */

/* Anywhere but in the name of the format itself. */
static bool says_json(const char *body)
{
    while ((body = strcasestr(body, "json")) && strncmp(body + 4, "_object", 7) == 0)
        body += 4;
    return body != NULL;
}

/* `format` is {"type":..., "json_schema"?: {...}}; for Responses the schema stands in it. */
static bool read_format(struct exchange *x, struct ask *ask, yyjson_val *format)
{
    const char *type = json_string_at(format, "type", "text");
    yyjson_val *holder = yyjson_obj_get(format, "json_schema");
    if (!holder)
        holder = format;
    if (strcmp(type, "text") == 0)
        return true;
    if (strcmp(type, "json_object") == 0) {
        ask->format = FORMAT_OBJECT;
        if (says_json(buffer_string(&x->body)))
            return true;
        reply_invalid(x, "messages", NULL,
                      "'messages' must contain the word 'json' in some form, to use "
                      "'response_format' of type 'json_object'.");
        return false;
    }
    const char *name = json_string_at(holder, "name", "");
    yyjson_val *schema = yyjson_obj_get(holder, "schema");
    if (strcmp(type, "json_schema") != 0 || !yyjson_is_obj(schema)) {
        reply_invalid(x, "response_format", "invalid_value",
                      "Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', "
                      "and 'text'.",
                      type);
        return false;
    }
    if (!*name || strlen(name) > 64) {
        reply_invalid(x, "response_format.json_schema.name", "missing_required_parameter",
                      "Missing required parameter: 'response_format.json_schema.name'.");
        return false;
    }
    ask->format = FORMAT_SCHEMA;
    ask->schema = schema;
    return !yyjson_is_true(yyjson_obj_get(holder, "strict")) ||
           schema_check_strict(x, schema, name);
}

static bool check_context(struct exchange *x, const struct ask *ask)
{
    if (tokens_of(ask->input_bytes) <= CONTEXT_TOKENS)
        return true;
    reply_invalid(x, "messages", "context_length_exceeded",
                  "This model's maximum context length is %d tokens. However, your messages "
                  "resulted in %lld tokens. Please reduce the length of the messages.",
                  CONTEXT_TOKENS, (long long)tokens_of(ask->input_bytes));
    return false;
}

/* ---- answering ---------------------------------------------------------------------------------
 */

static void say_text(const struct ask *ask, struct buffer *out)
{
    schema_sentence(&ask->text, out);
    if (memmem(ask->text.text, ask->text.length, "[1]", 3))
        buffer_append_string(out, " [1]");
}

static void say(struct exchange *x, struct ask *ask, struct answer *a)
{
    buffer_init(&a->content, JSON_LIMIT);
    a->finish = "stop";
    a->input_tokens = tokens_of(ask->input_bytes);
    if (x->fault == FAULT_REFUSAL)
        a->refusal = "I'm sorry, I cannot assist with that request.";
    if (!a->refusal && ask->schema && x->fault != FAULT_NOT_JSON) {
        if (x->fault == FAULT_FENCED)
            buffer_append_string(&a->content, "Here it is:\n```json\n");
        schema_instance(ask->schema, &ask->text, &a->content);
        if (x->fault == FAULT_FENCED)
            buffer_append_string(&a->content, "\n```");
    } else if (!a->refusal) {
        say_text(ask, &a->content);
    }
    a->output_tokens = tokens_of(a->refusal ? strlen(a->refusal) : a->content.length);
    bool cut = x->fault == FAULT_TRUNCATED || x->fault == FAULT_CONTENT_FILTER;
    if (ask->max_output > 0 && a->output_tokens > ask->max_output)
        cut = true;
    if (!cut)
        return;
    a->finish = x->fault == FAULT_CONTENT_FILTER ? "content_filter" : "length";
    a->content.length /= 2;
    a->output_tokens = tokens_of(a->content.length);
}

static void count_tokens(struct exchange *x, const struct answer *a)
{
    x->billed_tokens = a->input_tokens + a->output_tokens;
}

static void append_content(struct buffer *out, const struct answer *a)
{
    json_append_string(out, buffer_string(&a->content), a->content.length);
}

static void append_chat_usage(struct buffer *out, const struct answer *a)
{
    buffer_append_string(out, "\"usage\":{\"prompt_tokens\":");
    reply_number(out, a->input_tokens);
    buffer_append_string(out, ",\"completion_tokens\":");
    reply_number(out, a->output_tokens);
    buffer_append_string(out, ",\"total_tokens\":");
    reply_number(out, a->input_tokens + a->output_tokens);
    buffer_append_string(out, ",\"prompt_tokens_details\":{\"cached_tokens\":0},"
                              "\"completion_tokens_details\":{\"reasoning_tokens\":0}}");
}

static void write_chat(struct exchange *x, const struct ask *ask, const struct answer *a)
{
    struct buffer *out = &x->reply;
    buffer_reserve(out, a->content.length + a->content.length / 4 + 1024);
    buffer_append_string(out,
                         "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion\",\"created\":");
    reply_number(out, time(NULL));
    buffer_append_string(out, ",\"model\":\"");
    buffer_append_string(out, ask->model);
    buffer_append_string(
        out, "\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    if (a->refusal)
        buffer_printf(out, "null,\"refusal\":\"%s\"", a->refusal);
    else {
        append_content(out, a);
        buffer_append_string(out, ",\"refusal\":null");
    }
    buffer_append_string(out, ",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"");
    buffer_append_string(out, a->finish);
    buffer_append_string(out, "\"}],");
    append_chat_usage(out, a);
    buffer_append_string(out, ",\"system_fingerprint\":null}");
    x->status = 200;
}

static void write_response(struct exchange *x, const struct ask *ask, const struct answer *a)
{
    struct buffer *out = &x->reply;
    bool whole = strcmp(a->finish, "stop") == 0;
    buffer_printf(out,
                  "{\"id\":\"resp_fake\",\"object\":\"response\",\"created_at\":%lld,"
                  "\"status\":\"%s\",\"error\":null,\"model\":\"%s\",\"incomplete_details\":",
                  (long long)time(NULL), whole ? "completed" : "incomplete", ask->model);
    if (whole)
        buffer_append_string(out, "null");
    else
        buffer_printf(out, "{\"reason\":\"%s\"}",
                      a->finish[0] == 'c' ? "content_filter" : "max_output_tokens");
    buffer_append_string(out, ",\"output\":[{\"type\":\"reasoning\",\"id\":\"rs_fake\","
                              "\"summary\":[]},{\"type\":\"message\",\"id\":\"msg_fake\","
                              "\"status\":\"completed\",\"role\":\"assistant\",\"content\":[");
    if (a->refusal)
        buffer_printf(out, "{\"type\":\"refusal\",\"refusal\":\"%s\"}", a->refusal);
    else {
        buffer_append_string(out, "{\"type\":\"output_text\",\"annotations\":[],\"text\":");
        append_content(out, a);
        buffer_append_char(out, '}');
    }
    buffer_printf(out,
                  "]}],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],"
                  "\"usage\":{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":0},"
                  "\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":0},"
                  "\"total_tokens\":%lld}}",
                  (long long)a->input_tokens, (long long)a->output_tokens,
                  (long long)(a->input_tokens + a->output_tokens));
    x->status = 200;
}

/* ---- the endpoints -----------------------------------------------------------------------------
 */

static bool read_model(struct exchange *x, yyjson_val *body, struct ask *ask)
{
    ask->model = json_string_at(body, "model", NULL);
    if (!ask->model) {
        reply_invalid(x, NULL, NULL, "you must provide a model parameter");
        return false;
    }
    if (!model_accept(x, ask->model, MODEL_CHAT, MODEL_REASONING))
        return false;
    ask->kind = model_kind(server_options(x->server), ask->model);
    return check_parameters(x, body, ask);
}

static bool read_chat(struct exchange *x, const struct request *r, struct ask *ask)
{
    yyjson_val *body = r->json;
    ask->max_output =
        json_int_at(body, "max_completion_tokens", json_int_at(body, "max_tokens", 0));
    return read_model(x, body, ask) && check_known(x, body, chat_parameters) &&
           add_messages(x, ask, yyjson_obj_get(body, "messages"), "messages") &&
           check_context(x, ask) && read_format(x, ask, yyjson_obj_get(body, "response_format"));
}

static bool read_response(struct exchange *x, const struct request *r, struct ask *ask)
{
    yyjson_val *body = r->json, *input = yyjson_obj_get(body, "input");
    struct slice text;
    ask->max_output = json_int_at(body, "max_output_tokens", 0);
    if (!read_model(x, body, ask) || !check_known(x, body, response_parameters))
        return false;
    if (request_text(yyjson_obj_get(body, "instructions"), &text))
        add_text(ask, &text, false);
    if (request_text(input, &text))
        add_text(ask, &text, true);
    else if (!add_messages(x, ask, input, "input"))
        return false;
    return check_context(x, ask) && read_format(x, ask, json_at(body, "text.format"));
}

static void serve(struct exchange *x,
                  bool (*read)(struct exchange *, const struct request *, struct ask *),
                  void (*write)(struct exchange *, const struct ask *, const struct answer *))
{
    struct request r;
    struct ask ask = {0};
    struct answer answer = {0};
    if (!request_open(x, &r))
        return;
    if (read(x, &r, &ask)) {
        ask.text = document_in(ask.text);
        if (!ask.schema)
            find_schema_in_prompt(&ask, &r);
        say(x, &ask, &answer);
        write(x, &ask, &answer);
        count_tokens(x, &answer);
        buffer_free(&answer.content);
    }
    yyjson_doc_free(ask.prompted);
    request_close(&r);
}

void chat_completions(struct exchange *x)
{
    serve(x, read_chat, write_chat);
}

void responses_create(struct exchange *x)
{
    serve(x, read_response, write_response);
}
