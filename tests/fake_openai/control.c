/*
 * control.c - scripted faults, and counts of what happened.
 *
 *   POST /__control        {"rules":[RULE...], "latency_ms":N, "error_rate":R, "record":true,
 *                           "reset":true}   every member optional; rules are added to those there
 *   GET  /__control/stats  {"requests":N,"in_flight":N,"max_in_flight":N,"billed_tokens":N,
 *                           "endpoints":{"/v1/embeddings":{"requests":N,"ok":N,"errors":N}},
 *                           "embedded":{"text-embedding-3-small":N}}   texts, by model
 *                          (requests to /__control itself are not counted)
 *   GET  /__control/last   {"path":...,"headers":{...},"body":"..."} of the newest recorded request
 *
 * RULE: {"path":"/v1/embeddings"   requests to this path; absent: all paths
 *        "contains":"text"         ... whose body holds this text
 *        "skip":0                  lets so many matching requests pass first
 *        "times":1                 applies so often; -1: for ever
 *        "delay_ms":N              waits besides the latency
 *        "status":429, "headers":{...}, "body":any    this reply instead of the endpoint's
 *        "fault":"reset"}          or a fault (fake.h), by its name in lower case
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "shared/json.h"

enum { RULES = 64, ENDPOINTS = 16, MODELS = 8 };

struct rule {
    yyjson_doc *doc; /* kept until the server ends: replies under way borrow its headers */
    int64_t skip, times;
};

struct endpoint {
    char path[64];
    int64_t requests, ok, errors;
};

struct embedded {
    char model[64];
    int64_t texts;
};

struct control {
    pthread_mutex_t lock;
    struct embedded embedded[MODELS];
    struct rule rules[RULES];
    size_t rule_count;
    struct endpoint endpoints[ENDPOINTS];
    int64_t requests, in_flight, max_in_flight, billed_tokens;
    int64_t latency_ms;
    double error_rate;
    uint64_t random;
    bool record;
    char *last; /* JSON text */
};

struct control *control_new(const struct options *options)
{
    struct control *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->latency_ms = options->latency_ms;
    c->error_rate = options->error_rate;
    c->random = options->seed ? options->seed : 1;
    return c;
}

static void drop_rules(struct control *c)
{
    for (size_t i = 0; i < c->rule_count; i++)
        yyjson_doc_free(c->rules[i].doc);
    c->rule_count = 0;
}

void control_free(struct control *c)
{
    drop_rules(c);
    free(c->last);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- counting ----------------------------------------------------------------------------------
 */

void control_begin(struct control *c)
{
    pthread_mutex_lock(&c->lock);
    c->requests++;
    if (++c->in_flight > c->max_in_flight)
        c->max_in_flight = c->in_flight;
    pthread_mutex_unlock(&c->lock);
}

static struct endpoint *endpoint_of(struct control *c, const char *path)
{
    for (size_t i = 0; i < ENDPOINTS; i++) {
        struct endpoint *e = &c->endpoints[i];
        if (!e->path[0])
            snprintf(e->path, sizeof e->path, "%s", i + 1 < ENDPOINTS ? path : "other");
        if (strcmp(e->path, path) == 0 || i + 1 == ENDPOINTS)
            return e;
    }
    return NULL;
}

static void count_embedded(struct control *c, const struct exchange *x)
{
    for (size_t i = 0; i < MODELS; i++) {
        struct embedded *e = &c->embedded[i];
        if (!e->model[0])
            snprintf(e->model, sizeof e->model, "%s", x->embed_model);
        if (strcmp(e->model, x->embed_model) != 0)
            continue;
        e->texts += x->embedded;
        return;
    }
}

void control_end(struct control *c, const struct exchange *x)
{
    pthread_mutex_lock(&c->lock);
    struct endpoint *e = endpoint_of(c, x->path);
    c->in_flight--;
    c->billed_tokens += x->billed_tokens;
    if (x->embedded)
        count_embedded(c, x);
    e->requests++;
    if (x->status == 200)
        e->ok++;
    else
        e->errors++;
    pthread_mutex_unlock(&c->lock);
}

/* ---- faults ------------------------------------------------------------------------------------
 */

static enum fault fault_named(const char *name)
{
    static const char *const names[] = {
        [FAULT_NONE] = "",
        [FAULT_RESET] = "reset",
        [FAULT_HANG] = "hang",
        [FAULT_HALF_BODY] = "half_body",
        [FAULT_INVALID_JSON] = "invalid_json",
        [FAULT_WRONG_DIMENSION] = "wrong_dimension",
        [FAULT_MISSING_ITEM] = "missing_item",
        [FAULT_REVERSED] = "reversed",
        [FAULT_NOT_FINITE] = "not_finite",
        [FAULT_REFUSAL] = "refusal",
        [FAULT_TRUNCATED] = "truncated",
        [FAULT_CONTENT_FILTER] = "content_filter",
        [FAULT_NOT_JSON] = "not_json",
        [FAULT_FENCED] = "fenced",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return (enum fault)i;
    return FAULT_NONE;
}

static bool matches(const struct rule *rule, const struct exchange *x)
{
    yyjson_val *json = yyjson_doc_get_root(rule->doc);
    const char *path = json_string_at(json, "path", x->path);
    const char *contains = json_string_at(json, "contains", NULL);
    const struct buffer *text = x->multipart ? &x->fields : &x->body;
    if (rule->times == 0 || strcmp(path, x->path) != 0)
        return false;
    return !contains || memmem(buffer_string(text), text->length, contains, strlen(contains));
}

static yyjson_val *take_rule(struct control *c, const struct exchange *x)
{
    for (size_t i = 0; i < c->rule_count; i++) {
        struct rule *rule = &c->rules[i];
        if (!matches(rule, x))
            continue;
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        if (rule->times > 0)
            rule->times--;
        return yyjson_doc_get_root(rule->doc);
    }
    return NULL;
}

static void scripted_reply(struct exchange *x, yyjson_val *rule)
{
    yyjson_val *body = yyjson_obj_get(rule, "body");
    x->status = (int)json_int_at(rule, "status", 200);
    x->extra_headers = yyjson_obj_get(rule, "headers");
    if (yyjson_is_str(body)) {
        buffer_append_string(&x->reply, yyjson_get_str(body));
    } else if (body) {
        char *text = yyjson_val_write(body, YYJSON_WRITE_NOFLAG, NULL);
        buffer_append_string(&x->reply, text ? text : "");
        free(text);
    }
}

static double next_random(struct control *c)
{
    c->random ^= c->random << 13; /* xorshift64, Marsaglia 2003 */
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (double)(c->random >> 11) / 9007199254740992.0;
}

/* Half of the errors are rate limits, half are the server's. */
static void random_error(struct exchange *x, bool limit)
{
    if (limit)
        reply_error(x, 429, "requests", NULL, "rate_limit_exceeded",
                    "Rate limit reached for requests. Please try again in 1ms.");
    else
        reply_error(x, 500, "server_error", NULL, NULL,
                    "The server had an error while processing your request. Sorry about that!");
}

static void record(struct control *c, const struct exchange *x);

bool control_intercept(struct control *c, struct exchange *x)
{
    pthread_mutex_lock(&c->lock);
    yyjson_val *rule = c->rule_count ? take_rule(c, x) : NULL;
    x->delay_ms = c->latency_ms;
    int dice = 0;
    if (c->error_rate > 0 && next_random(c) < c->error_rate)
        dice = next_random(c) < 0.5 ? 1 : 2;
    if (c->record)
        record(c, x);
    pthread_mutex_unlock(&c->lock);
    if (rule) {
        x->fault = fault_named(json_string_at(rule, "fault", ""));
        x->delay_ms += json_int_at(rule, "delay_ms", 0);
        if (yyjson_obj_get(rule, "status"))
            scripted_reply(x, rule);
    } else if (dice) {
        random_error(x, dice == 1);
    }
    return x->status != 0;
}

/* ---- the endpoints -----------------------------------------------------------------------------
 */

struct headers {
    yyjson_mut_doc *doc;
    yyjson_mut_val *all;
};

static enum MHD_Result add_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    struct headers *h = ctx;
    yyjson_mut_obj_put(h->all, yyjson_mut_strcpy(h->doc, name), yyjson_mut_strcpy(h->doc, value));
    return MHD_YES;
}

static void record(struct control *c, const struct exchange *x)
{
    const struct buffer *text = x->multipart ? &x->fields : &x->body;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *last = yyjson_mut_obj(doc);
    struct headers headers = {doc, yyjson_mut_obj(doc)};
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, add_header, &headers);
    yyjson_mut_obj_add_str(doc, last, "path", x->path);
    yyjson_mut_obj_add_val(doc, last, "headers", headers.all);
    yyjson_mut_obj_add_strn(doc, last, "body", buffer_string(text), text->length);
    free(c->last);
    c->last = yyjson_mut_val_write(last, YYJSON_WRITE_NOFLAG, NULL);
    yyjson_mut_doc_free(doc);
}

static void reset(struct control *c)
{
    for (size_t i = 0; i < c->rule_count; i++)
        c->rules[i].times = 0;
    memset(c->endpoints, 0, sizeof c->endpoints);
    memset(c->embedded, 0, sizeof c->embedded);
    c->requests = c->billed_tokens = 0;
    c->max_in_flight = c->in_flight;
    c->error_rate = 0;
    c->latency_ms = 0;
}

static yyjson_doc *copy_of(yyjson_val *value)
{
    size_t length;
    char *text = yyjson_val_write(value, YYJSON_WRITE_NOFLAG, &length);
    yyjson_doc *doc = text ? yyjson_read(text, length, YYJSON_READ_NOFLAG) : NULL;
    free(text);
    return doc;
}

static void add_rules(struct control *c, yyjson_val *rules)
{
    size_t i, max;
    yyjson_val *json;
    yyjson_arr_foreach(rules, i, max, json)
    {
        size_t at = c->rule_count; /* a rule that is used up makes room */
        for (size_t k = 0; k < c->rule_count && at == RULES; k++)
            if (c->rules[k].times == 0)
                at = k;
        if (at == RULES)
            return;
        if (at == c->rule_count)
            c->rule_count++;
        c->rules[at] = (struct rule){.doc = copy_of(json),
                                     .skip = json_int_at(json, "skip", 0),
                                     .times = json_int_at(json, "times", 1)};
    }
}

static void configure(struct control *c, struct exchange *x)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&x->body), x->body.length, YYJSON_READ_NOFLAG);
    yyjson_val *json = yyjson_doc_get_root(doc);
    if (!doc) {
        reply_invalid(x, NULL, NULL, "not JSON");
        return;
    }
    pthread_mutex_lock(&c->lock);
    if (yyjson_is_true(yyjson_obj_get(json, "reset")))
        reset(c);
    add_rules(c, yyjson_obj_get(json, "rules"));
    c->latency_ms = json_int_at(json, "latency_ms", c->latency_ms);
    c->error_rate = json_number_at(json, "error_rate", c->error_rate);
    if (yyjson_obj_get(json, "record"))
        c->record = yyjson_is_true(yyjson_obj_get(json, "record"));
    pthread_mutex_unlock(&c->lock);
    yyjson_doc_free(doc);
    buffer_append_string(&x->reply, "{}");
    x->status = 200;
}

static char *stats(struct control *c)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *all = yyjson_mut_obj(doc), *endpoints = yyjson_mut_obj(doc);
    yyjson_mut_val *embedded = yyjson_mut_obj(doc);
    for (size_t i = 0; i < ENDPOINTS && c->endpoints[i].path[0]; i++) {
        const struct endpoint *e = &c->endpoints[i];
        yyjson_mut_val *one = yyjson_mut_obj_add_obj(doc, endpoints, e->path);
        yyjson_mut_obj_add_sint(doc, one, "requests", e->requests);
        yyjson_mut_obj_add_sint(doc, one, "ok", e->ok);
        yyjson_mut_obj_add_sint(doc, one, "errors", e->errors);
    }
    for (size_t i = 0; i < MODELS && c->embedded[i].model[0]; i++)
        yyjson_mut_obj_add_sint(doc, embedded, c->embedded[i].model, c->embedded[i].texts);
    yyjson_mut_obj_add_sint(doc, all, "requests", c->requests);
    yyjson_mut_obj_add_sint(doc, all, "in_flight", c->in_flight);
    yyjson_mut_obj_add_sint(doc, all, "max_in_flight", c->max_in_flight);
    yyjson_mut_obj_add_sint(doc, all, "billed_tokens", c->billed_tokens);
    yyjson_mut_obj_add_val(doc, all, "endpoints", endpoints);
    yyjson_mut_obj_add_val(doc, all, "embedded", embedded);
    char *text = yyjson_mut_val_write(all, YYJSON_WRITE_NOFLAG, NULL);
    yyjson_mut_doc_free(doc);
    return text;
}

void control_serve(struct control *c, struct exchange *x)
{
    if (strcmp(x->method, "POST") == 0) {
        configure(c, x);
        return;
    }
    pthread_mutex_lock(&c->lock);
    bool last = strcmp(x->path, "/__control/last") == 0;
    char *text = !last ? stats(c) : c->last ? strdup(c->last) : NULL;
    pthread_mutex_unlock(&c->lock);
    buffer_append_string(&x->reply, text ? text : "{}");
    x->status = 200;
    free(text);
}
