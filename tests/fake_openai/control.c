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
    json_t *json; /* kept until the server ends: replies under way borrow its headers */
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
    json_t *last;
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
        json_decref(c->rules[i].json);
    c->rule_count = 0;
}

void control_free(struct control *c)
{
    drop_rules(c);
    json_decref(c->last);
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
    const char *path = json_string_at(rule->json, "path", x->path);
    const char *contains = json_string_at(rule->json, "contains", NULL);
    const struct buffer *text = x->multipart ? &x->fields : &x->body;
    if (rule->times == 0 || strcmp(path, x->path) != 0)
        return false;
    return !contains || memmem(buffer_string(text), text->length, contains, strlen(contains));
}

static const json_t *take_rule(struct control *c, const struct exchange *x)
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
        return rule->json;
    }
    return NULL;
}

static void scripted_reply(struct exchange *x, const json_t *rule)
{
    const json_t *body = json_object_get(rule, "body");
    x->status = (int)json_int_at(rule, "status", 200);
    x->extra_headers = json_object_get(rule, "headers");
    if (json_is_string(body)) {
        buffer_append_string(&x->reply, json_string_value(body));
    } else if (body) {
        char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
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
    const json_t *rule = c->rule_count ? take_rule(c, x) : NULL;
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
        if (json_object_get(rule, "status"))
            scripted_reply(x, rule);
    } else if (dice) {
        random_error(x, dice == 1);
    }
    return x->status != 0;
}

/* ---- the endpoints -----------------------------------------------------------------------------
 */

static enum MHD_Result add_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    json_object_set_new(ctx, name, json_string(value));
    return MHD_YES;
}

static void record(struct control *c, const struct exchange *x)
{
    const struct buffer *text = x->multipart ? &x->fields : &x->body;
    json_t *headers = json_object();
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, add_header, headers);
    json_decref(c->last);
    c->last = json_pack("{s:s, s:o, s:s#}", "path", x->path, "headers", headers, "body",
                        buffer_string(text), text->length);
}

static void reset(struct control *c)
{
    for (size_t i = 0; i < c->rule_count; i++)
        c->rules[i].times = 0;
    memset(c->endpoints, 0, sizeof c->endpoints);
    c->requests = c->billed_tokens = 0;
    c->max_in_flight = c->in_flight;
    c->error_rate = 0;
    c->latency_ms = 0;
}

static void add_rules(struct control *c, const json_t *rules)
{
    size_t i;
    json_t *json;
    json_array_foreach(rules, i, json)
    {
        size_t at = c->rule_count; /* a rule that is used up makes room */
        for (size_t k = 0; k < c->rule_count && at == RULES; k++)
            if (c->rules[k].times == 0)
                at = k;
        if (at == RULES)
            return;
        if (at == c->rule_count)
            c->rule_count++;
        c->rules[at] = (struct rule){.json = json_incref(json),
                                     .skip = json_int_at(json, "skip", 0),
                                     .times = json_int_at(json, "times", 1)};
    }
}

static void configure(struct control *c, struct exchange *x)
{
    json_t *json = json_loadb(buffer_string(&x->body), x->body.length, 0, NULL);
    if (!json) {
        reply_invalid(x, NULL, NULL, "not JSON");
        return;
    }
    pthread_mutex_lock(&c->lock);
    if (json_is_true(json_object_get(json, "reset")))
        reset(c);
    add_rules(c, json_object_get(json, "rules"));
    c->latency_ms = json_int_at(json, "latency_ms", c->latency_ms);
    c->error_rate = json_number_at(json, "error_rate", c->error_rate);
    if (json_object_get(json, "record"))
        c->record = json_is_true(json_object_get(json, "record"));
    pthread_mutex_unlock(&c->lock);
    json_decref(json);
    buffer_append_string(&x->reply, "{}");
    x->status = 200;
}

static json_t *stats(struct control *c)
{
    json_t *endpoints = json_object();
    for (size_t i = 0; i < ENDPOINTS && c->endpoints[i].path[0]; i++) {
        const struct endpoint *e = &c->endpoints[i];
        json_object_set_new(endpoints, e->path,
                            json_pack("{s:I, s:I, s:I}", "requests", (json_int_t)e->requests, "ok",
                                      (json_int_t)e->ok, "errors", (json_int_t)e->errors));
    }
    json_t *embedded = json_object();
    for (size_t i = 0; i < MODELS && c->embedded[i].model[0]; i++)
        json_object_set_new(embedded, c->embedded[i].model, json_integer(c->embedded[i].texts));
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "requests", (json_int_t)c->requests,
                     "in_flight", (json_int_t)c->in_flight, "max_in_flight",
                     (json_int_t)c->max_in_flight, "billed_tokens", (json_int_t)c->billed_tokens,
                     "endpoints", endpoints, "embedded", embedded);
}

void control_serve(struct control *c, struct exchange *x)
{
    if (strcmp(x->method, "POST") == 0) {
        configure(c, x);
        return;
    }
    pthread_mutex_lock(&c->lock);
    json_t *json = strcmp(x->path, "/__control/last") == 0 ? json_incref(c->last) : stats(c);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    pthread_mutex_unlock(&c->lock);
    buffer_append_string(&x->reply, text ? text : "{}");
    x->status = 200;
    free(text);
    json_decref(json);
}
