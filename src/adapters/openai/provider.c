#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/digest.h"
#include "shared/error.h"
#include "shared/json.h"

enum { CHECK_TIMEOUT_MS = 15000, KNOWN_NAMES = 120 };

/* ---- identity ----------------------------------------------------------------------------------
 */

/* How many bytes of text surely fit one call, instructions and answer counted: half the tokens of
 * the model's context would do for any script but the rarest, so many bytes do for all. */
static size_t max_input_of(const char *model)
{
    static const struct {
        const char *prefix;
        size_t bytes;
    } table[] = {
        {"gpt-5", 240000}, {"gpt-6", 240000},  {"gpt-4.1", 240000},     {"o3", 150000},
        {"o4", 150000},    {"gpt-4o", 100000}, {"gpt-4-turbo", 100000},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strncmp(model, table[i].prefix, strlen(table[i].prefix)) == 0)
            return table[i].bytes;
    return 12000; /* a local server with a context of 8,192 tokens, or a little less */
}

/* The models that think before they answer, by OpenAI's naming. */
static bool is_reasoning(const char *model)
{
    if (strstr(model, "-chat"))
        return false;
    return strncmp(model, "gpt-5", 5) == 0 || strncmp(model, "gpt-6", 5) == 0 ||
           (model[0] == 'o' && model[1] >= '1' && model[1] <= '9');
}

/* Everything besides the model's name that changes results. */
static struct digest revision_digest(const struct openai *o, enum model_operation operation)
{
    const char *effort = o->endpoints[operation].reasoning ? o->reasoning_effort : "";
    switch (operation) {
    case MODEL_SUMMARISE:
        return digest_of_strings(
            summary_system_prompt(SUMMARY_WHOLE), summary_system_prompt(SUMMARY_MAP),
            summary_system_prompt(SUMMARY_REDUCE), summary_schema, effort, NULL);
    case MODEL_ANSWER:
        return digest_of_strings(answer_system_prompt, effort, NULL);
    default:
        return digest_of_strings("1", NULL);
    }
}

static void fill_identity(const struct openai *o, enum model_operation operation,
                          struct model_identity *out)
{
    const struct endpoint *at = &o->endpoints[operation];
    *out = (struct model_identity){.provider = "openai"};
    snprintf(out->model, sizeof out->model, "%s", at->model);
    char hex[DIGEST_TEXT];
    struct digest revision = revision_digest(o, operation);
    digest_format(&revision, hex);
    snprintf(out->revision, sizeof out->revision, "%s-%.12s", operation_name(operation), hex);
    if (operation == MODEL_EMBED) {
        out->dimension = o->dimension;
        out->max_batch = 2048;
    } else if (operation == MODEL_TRANSCRIBE) {
        out->max_bytes = OPENAI_UPLOAD_LIMIT - OPENAI_UPLOAD_FRAMING;
        out->max_ms = o->transcribe_max_ms;
    } else {
        out->max_input = o->max_input ? o->max_input : max_input_of(at->model);
    }
}

static int identify(void *ctx, enum model_operation operation, struct model_identity *out)
{
    const struct openai *o = ctx;
    *out = o->endpoints[operation].identity;
    return OK;
}

/* ---- check -------------------------------------------------------------------------------------
 */

/* Is the model in the list of GET /models? Some of the names go to `known` for people. */
static bool lists_model(const struct http_response *reply, const char *model, char *known)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&reply->body), reply->body.length, 0);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "data"), *item;
    size_t i, max, length = strlen(model), used = 0;
    bool found = false;
    known[0] = '\0';
    yyjson_arr_foreach(list, i, max, item)
    {
        const char *id = json_string_at(item, "id", "");
        /* "llama3.2" is "llama3.2:latest" to Ollama */
        found |= strncmp(id, model, length) == 0 && (!id[length] || id[length] == ':');
        if (used + strlen(id) + 3 < KNOWN_NAMES)
            used +=
                (size_t)snprintf(known + used, KNOWN_NAMES - used, "%s%s", used ? ", " : "", id);
    }
    yyjson_doc_free(doc);
    return found;
}

/* The server answers, but not for this model by its name. Servers that keep one model loaded
 * (llama.cpp) take any name and list none of it: then being there is enough. */
static int check_list(struct call *call, const struct error *about_model)
{
    struct http_response reply;
    char known[KNOWN_NAMES];
    int rc = call_get(call, "/models", CHECK_TIMEOUT_MS, &reply);
    bool listed = !rc && lists_model(&reply, call->at->model, known);
    http_response_free(&reply);
    if (rc || listed)
        return rc;
    bool sure = call->at->is_openai || strcmp(about_model->reason, "model_not_found") == 0;
    if (!sure || !known[0])
        return sure ? error_restore(about_model) : OK;
    return error_set(ERR_SYSTEMIC, "model_not_found",
                     "'%s' has no model '%s' for %s; it has %s: set the model to one of them, or "
                     "install it there",
                     call->at->base_url, call->at->model, operation_name(call->operation), known);
}

int openai_check(void *ctx, enum model_operation operation, const struct cancel *cancel)
{
    struct call call = call_begin(ctx, operation, cancel, NULL, NULL);
    struct http_response reply;
    char path[256];
    char key[SECRET_TEXT];
    int rc = openai_key(call.openai, operation, key);
    if (rc)
        return rc;
    bool has_key = key[0] != '\0';
    explicit_bzero(key, sizeof key);
    if (call.at->is_openai && !has_key)
        return error_set(ERR_SYSTEMIC, "invalid_key",
                         "%s by OpenAI needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL to "
                         "another server",
                         operation_name(operation));
    bool as_path = !strpbrk(call.at->model, "?#%");
    snprintf(path, sizeof path, "/models%s%s", as_path ? "/" : "", as_path ? call.at->model : "");
    rc = call_get(&call, path, CHECK_TIMEOUT_MS, &reply);
    http_response_free(&reply);
    struct error e = *error_last();
    if (rc && (reply.status == 404 || reply.status == 405))
        return check_list(&call, &e);
    if (rc && reply.status == 0)
        error_prefix("cannot reach the server of '%s' (is it running, and is the base URL right?)",
                     operation_name(operation));
    return rc;
}

/* ---- opening -----------------------------------------------------------------------------------
 */

static void close_openai(void *ctx)
{
    struct openai *o = ctx;
    for (int i = 0; i < MODEL_OPERATIONS; i++) {
        struct endpoint *at = &o->endpoints[i];
        free(at->base_url);
        if (at->api_key) /* keys do not outlive their use in freed memory */
            explicit_bzero(at->api_key, strlen(at->api_key));
        free(at->api_key);
        free(at->model);
    }
    free(o->organization);
    free(o->project);
    free(o->reasoning_effort);
    free(o);
}

static const struct model_provider_ops ops = {
    .name = "openai",
    .close = close_openai,
    .identify = identify,
    .transcribe = openai_transcribe,
    .summarise = openai_summarise,
    .embed = openai_embed,
    .answer = openai_answer,
    .check = openai_check,
};

static const char *or_default(const char *text, const char *fallback)
{
    return text && *text ? text : fallback;
}

/* A copy without white space around, as files and shells leave it. */
static char *copy_trimmed(const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n", text[length - 1]))
        length--;
    return strndup(text, length);
}

static bool printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x21 || *text == 0x7f)
            return false;
    return true;
}

static int check_base_url(struct endpoint *at, enum model_operation operation)
{
    size_t length = strlen(at->base_url);
    while (length && at->base_url[length - 1] == '/')
        at->base_url[--length] = '\0';
    bool http = strncmp(at->base_url, "http://", 7) == 0 && length > 7;
    bool https = strncmp(at->base_url, "https://", 8) == 0 && length > 8;
    bool clean = printable(at->base_url) && !strpbrk(at->base_url, "?#@") && length < 512;
    if ((http || https) && clean)
        return OK;
    return error_set(ERR_INVALID, "bad_url",
                     "the base URL '%.100s' for %s is not of the form http://host:port/v1 or "
                     "https://host/v1",
                     strchr(at->base_url, '@') ? "(with a password)" : at->base_url,
                     operation_name(operation));
}

static int check_texts(const struct endpoint *at, enum model_operation operation)
{
    if (!printable(at->api_key) || strlen(at->api_key) >= SECRET_TEXT)
        return error_set(ERR_INVALID, "invalid_key",
                         "the API key for %s holds blanks or control characters, or is too long; "
                         "copy it anew",
                         operation_name(operation));
    if (!printable(at->model) || strlen(at->model) > 95)
        return error_set(ERR_INVALID, "model_not_found",
                         "the model's name for %s holds blanks or is too long",
                         operation_name(operation));
    return OK;
}

static int open_endpoint(struct endpoint *at, const struct openai_operation *options,
                         enum model_operation operation)
{
    static const char *const models[MODEL_OPERATIONS] = {
        [MODEL_TRANSCRIBE] = "gpt-transcribe",
        [MODEL_SUMMARISE] = "gpt-5.4-mini",
        [MODEL_EMBED] = "text-embedding-3-small",
        [MODEL_ANSWER] = "gpt-5.4-mini",
    };
    at->base_url = copy_trimmed(or_default(options->base_url, OPENAI_BASE_URL));
    at->api_key = copy_trimmed(or_default(options->api_key, ""));
    at->model = copy_trimmed(or_default(options->model, models[operation]));
    if (!at->base_url || !at->api_key || !at->model)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the openai provider");
    int rc = check_base_url(at, operation);
    at->is_openai = strcmp(at->base_url, OPENAI_BASE_URL) == 0;
    at->reasoning = is_reasoning(at->model);
    return rc ? rc : check_texts(at, operation);
}

static int copy_options(struct openai *o, const struct openai_options *options)
{
    const char *api = or_default(options->summary_api, "chat");
    o->responses = strcmp(api, "responses") == 0;
    if (!o->responses && strcmp(api, "chat") != 0)
        return error_set(ERR_INVALID, NULL, "the summary API is 'chat' or 'responses', not '%s'",
                         api);
    o->organization = copy_trimmed(or_default(options->organization, ""));
    o->project = copy_trimmed(or_default(options->project, ""));
    o->reasoning_effort = copy_trimmed(or_default(options->reasoning_effort, ""));
    o->dimension = options->embed_dimensions ? options->embed_dimensions : 1536;
    o->timeout_ms = options->timeout_ms ? options->timeout_ms : 600000;
    o->idle_timeout_ms = options->idle_timeout_ms ? options->idle_timeout_ms : o->timeout_ms;
    o->connect_timeout_ms = options->connect_timeout_ms;
    o->transcribe_max_ms =
        options->transcribe_max_ms ? options->transcribe_max_ms : OPENAI_TRANSCRIBE_MAX_MS;
    o->max_input = options->max_input;
    o->keys = options->keys;
    o->price = options->price;
    o->price_ctx = options->price_ctx;
    o->clock = options->clock ? options->clock : clock_system();
    if (!o->organization || !o->project || !o->reasoning_effort)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the openai provider");
    return OK;
}

int openai_provider_open(const struct openai_options *options, struct http_engine *engine,
                         struct model_provider *out)
{
    struct openai *o = calloc(1, sizeof *o);
    if (!o)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the openai provider");
    o->engine = engine;
    int rc = copy_options(o, options);
    for (int i = 0; i < MODEL_OPERATIONS && !rc; i++)
        rc = open_endpoint(&o->endpoints[i], &options->operations[i], i);
    for (int i = 0; i < MODEL_OPERATIONS && !rc; i++)
        fill_identity(o, i, &o->endpoints[i].identity);
    if (rc) {
        close_openai(o);
        return rc;
    }
    *out = (struct model_provider){.ops = &ops, .ctx = o};
    return OK;
}
