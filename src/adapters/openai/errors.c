#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/error.h"
#include "shared/json.h"

enum { MESSAGE = 240, FIELD = 64, DAY_MS = 86400000 };

const char *operation_name(enum model_operation operation)
{
    static const char *const names[MODEL_OPERATIONS] = {
        [MODEL_TRANSCRIBE] = "transcribe",
        [MODEL_SUMMARISE] = "summarise",
        [MODEL_EMBED] = "embed",
        [MODEL_ANSWER] = "answer",
    };
    return names[operation];
}

/* ---- when to come back -------------------------------------------------------------------------
 */

static int64_t whole_ms(double ms)
{
    return isfinite(ms) && ms > 0 ? (int64_t)fmin(ceil(ms), DAY_MS) : -1;
}

static double unit_ms(const char **p)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1},    {"us", 0.001},  {"s", 1000},
                 {"m", 60000}, {"h", 3600000}, {"d", DAY_MS}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].name);
        if (strncmp(*p, units[i].name, length) == 0) {
            *p += length;
            return units[i].ms;
        }
    }
    return -1;
}

int64_t reset_duration_ms(const char *text)
{
    double total = 0;
    const char *p = text;
    while (*p) {
        char *end;
        if (!isdigit((unsigned char)*p) && *p != '.')
            return -1;
        double number = strtod(p, &end);
        if (end == p)
            return -1;
        p = end;
        double unit = unit_ms(&p);
        if (unit < 0)
            return -1;
        total += number * unit;
    }
    return whole_ms(total);
}

/* A limit that is used up says when it is filled again; of others the nearest reset is taken. */
static int64_t ratelimit_reset(const struct http_response *reply)
{
    static const char *const kinds[] = {"requests", "tokens"};
    int64_t used_up = -1, nearest = -1;
    for (size_t i = 0; i < 2; i++) {
        char name[FIELD], value[FIELD], remaining[FIELD] = "";
        snprintf(name, sizeof name, "x-ratelimit-reset-%s", kinds[i]);
        if (!http_response_header(reply, name, value, sizeof value))
            continue;
        int64_t ms = reset_duration_ms(value);
        if (ms < 0)
            continue;
        snprintf(name, sizeof name, "x-ratelimit-remaining-%s", kinds[i]);
        http_response_header(reply, name, remaining, sizeof remaining);
        if (strcmp(remaining, "0") == 0)
            used_up = ms > used_up ? ms : used_up;
        nearest = nearest < 0 || ms < nearest ? ms : nearest;
    }
    return used_up >= 0 ? used_up : nearest;
}

int64_t retry_after_of(const struct http_response *reply, int64_t now_ms)
{
    char value[FIELD], *end;
    if (http_response_header(reply, "retry-after-ms", value, sizeof value)) {
        double ms = strtod(value, &end);
        if (end != value && *end == '\0' && ms >= 0)
            return ms == 0 ? 0 : whole_ms(ms);
    }
    int64_t told = http_retry_after(reply, now_ms);
    return told >= 0 ? told : ratelimit_reset(reply);
}

/* ---- what the server says ----------------------------------------------------------------------
 */

struct complaint {
    char message[MESSAGE]; /* one line, no keys in it */
    char code[FIELD], type[FIELD], param[FIELD];
};

static void copy_field(yyjson_val *object, const char *name, char out[FIELD])
{
    snprintf(out, FIELD, "%s", json_string_at(object, name, ""));
}

/* Everything that looks like a key: the one that was sent, and words that begin with "sk-". */
static void hide_keys(char *text, const char *key)
{
    size_t length = strlen(key);
    for (char *p = text; length >= 4 && (p = strstr(p, key)); p += length)
        memset(p, '*', length);
    for (char *p = text; (p = strstr(p, "sk-"));) {
        bool word = p == text || !isalnum((unsigned char)p[-1]);
        for (p += 3; word && (isalnum((unsigned char)*p) || *p == '-' || *p == '_'); p++)
            *p = '*';
    }
}

static const char *message_in(yyjson_val *root)
{
    yyjson_val *error = yyjson_obj_get(root, "error");
    if (yyjson_is_str(error))
        return yyjson_get_str(error);
    const char *text = json_string_at(error, "message", NULL);
    if (!text)
        text = json_string_at(root, "message", NULL);
    return text ? text : json_string_at(root, "detail", "");
}

/* The key is hidden before the text is cut, so that no half of it is left. */
static void copy_message(const char *text, const char *key, char out[MESSAGE])
{
    char *copy = strndup(text, 4096);
    if (!copy)
        return;
    hide_keys(copy, key);
    size_t length = strlen(copy);
    if (length >= MESSAGE) {
        length = MESSAGE - 1;
        while (length && (copy[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(out, copy, length);
    out[length] = '\0';
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    free(copy);
}

static void read_complaint(const struct http_response *reply, const char *key,
                           struct complaint *out)
{
    *out = (struct complaint){0};
    yyjson_doc *doc = yyjson_read(buffer_string(&reply->body), reply->body.length, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *error = yyjson_obj_get(root, "error");
    copy_field(error, "code", out->code);
    copy_field(error, "type", out->type);
    copy_field(error, "param", out->param);
    copy_message(message_in(root), key, out->message);
    bool spoken = yyjson_is_ctn(root); /* a string or a number alone is text as well */
    if (!spoken && reply->body.length && !memchr(reply->body.data, '<', reply->body.length))
        copy_message(buffer_string(&reply->body), key, out->message); /* plain text, not a page */
    yyjson_doc_free(doc);
}

/* ---- what it means -----------------------------------------------------------------------------
 */

struct meaning {
    enum error_code code;
    const char *reason;
    const char *advice;
};

static bool says(const struct complaint *c, const char *what)
{
    return strcasestr(c->message, what) || strcasestr(c->code, what) || strcasestr(c->type, what);
}

static bool about_context(const struct complaint *c)
{
    return says(c, "context_length_exceeded") || says(c, "maximum context length") ||
           says(c, "max_tokens_per_request") || says(c, "context window") ||
           says(c, "maximum input length");
}

static bool about_audio(const struct complaint *c)
{
    return strcmp(c->param, "file") == 0 || says(c, "audio") || says(c, "file format");
}

static struct meaning meaning_of_request(const struct complaint *c, enum model_operation operation,
                                         int status)
{
    if (says(c, "invalid_api_key"))
        return (struct meaning){ERR_SYSTEMIC, "invalid_key", "check the API key"};
    if (says(c, "model_not_found"))
        return (struct meaning){ERR_SYSTEMIC, "model_not_found", "check the model's name"};
    if (says(c, "content_policy") || says(c, "content_filter"))
        return (struct meaning){ERR_PERMANENT, "refused", "the content was refused"};
    if (about_context(c))
        return (struct meaning){ERR_PERMANENT, "context_length_exceeded",
                                "use a model with a larger context, or shorter texts"};
    if (status == 413)
        return (struct meaning){ERR_PERMANENT, "too_large", "the request is too large"};
    if (operation == MODEL_TRANSCRIBE && (status == 415 || about_audio(c)))
        return (struct meaning){ERR_PERMANENT, "unsupported_audio", "the audio was refused"};
    return (struct meaning){ERR_PERMANENT, "bad_request", "the request was refused"};
}

static struct meaning meaning_of_404(const struct complaint *c)
{
    if (says(c, "model"))
        return (struct meaning){ERR_SYSTEMIC, "model_not_found",
                                "check the model's name, and that this key may use it"};
    return (struct meaning){ERR_SYSTEMIC, "endpoint_not_found",
                            "check the base URL; it usually ends in /v1"};
}

static struct meaning meaning_of(int status, const struct complaint *c,
                                 enum model_operation operation)
{
    bool quota = says(c, "insufficient_quota") || says(c, "billing_hard_limit_reached");
    if (status == 401 || status == 403)
        return (struct meaning){ERR_SYSTEMIC, "invalid_key", "set a key that may do this"};
    if (status == 402 || (status == 429 && quota))
        return (struct meaning){ERR_SYSTEMIC, "quota_exhausted",
                                "add credit or raise the limit of the account"};
    if (status == 429)
        return (struct meaning){ERR_TRANSIENT, "rate_limited", "it will be tried again"};
    if (status == 408 || status == 409 || status == 425 || status >= 500)
        return (struct meaning){ERR_TRANSIENT, "server_error", "it will be tried again"};
    if (status == 404)
        return meaning_of_404(c);
    if (status == 405 || status < 400)
        return (struct meaning){ERR_SYSTEMIC, "endpoint_not_found",
                                "check the base URL; it usually ends in /v1"};
    return meaning_of_request(c, operation, status);
}

static void overrule(struct meaning *m, const struct http_response *reply)
{
    char value[8];
    if (!http_response_header(reply, "x-should-retry", value, sizeof value))
        return;
    if (strcmp(value, "true") == 0 && m->code == ERR_PERMANENT) {
        m->code = ERR_TRANSIENT;
        m->reason = "server_error";
    } else if (strcmp(value, "false") == 0 && m->code == ERR_TRANSIENT) {
        m->code = reply->status == 429 ? ERR_SYSTEMIC : ERR_PERMANENT;
        m->advice = "the server asks not to try again";
    }
}

int error_of_reply(const struct endpoint *at, const char *key, enum model_operation operation,
                   const struct http_response *reply, int64_t now_ms)
{
    struct complaint c;
    read_complaint(reply, key, &c);
    struct meaning m = meaning_of(reply->status, &c, operation);
    overrule(&m, reply);
    error_set(m.code, m.reason, "%s with model '%s' at '%s': status %d%s%s; %s%s",
              operation_name(operation), at->model, at->base_url, reply->status,
              c.message[0] ? ": " : "", c.message,
              reply->status == 401 && !key[0] ? "no key is set: " : "", m.advice);
    if (m.code != ERR_PERMANENT)
        error_retry_after(retry_after_of(reply, now_ms));
    return m.code;
}

/* No connection came about: every job would meet that, so it is no job's attempt. */
static bool found_no_server(const struct error *e)
{
    return strcmp(e->reason, "connect_failed") == 0 || strcmp(e->reason, "dns") == 0 ||
           strcmp(e->reason, "connect_timeout") == 0;
}

int error_of_transfer(const char *key)
{
    struct error e = *error_last();
    hide_keys(e.message, key);
    if (found_no_server(&e)) {
        e.code = ERR_SYSTEMIC;
        snprintf(e.reason, sizeof e.reason, "provider_unreachable");
        return error_restore(&e);
    }
    switch (e.code) {
    case ERR_TIMEOUT:
        e.code = ERR_TRANSIENT;
        break;
    case ERR_TOO_LARGE:
        e.code = ERR_TRANSIENT;
        snprintf(e.reason, sizeof e.reason, "malformed_reply");
        break;
    case ERR_INVALID: /* options were checked when the provider was opened */
        e.code = ERR_SYSTEMIC;
        break;
    default:
        break;
    }
    return error_restore(&e);
}
