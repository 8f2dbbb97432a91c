#include "support/scripted_provider.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/condition.h"

struct script {
    int skip, times;
    enum error_code code;
    char reason[40];
    bool gated;
    char model[64];
    struct scripted_counts counts;
};

struct scripted_provider {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int dimension;
    struct script scripts[MODEL_OPERATIONS];
};

static int pass_gate(struct scripted_provider *s, struct script *c, const struct cancel *cancel)
{
    c->counts.waiting++;
    pthread_cond_broadcast(&s->changed);
    while (c->gated && !cancel_requested(cancel))
        condition_wait_for(&s->changed, &s->lock, 10);
    c->counts.waiting--;
    return c->gated ? error_set(ERR_CANCELLED, NULL, "scripted call cancelled") : OK;
}

/* Whether the call that arrives now is one that fails. */
static bool is_to_fail(struct script *c)
{
    if (c->skip > 0) {
        c->skip--;
        return false;
    }
    if (c->times == 0)
        return false;
    if (c->times > 0)
        c->times--;
    return true;
}

/* Counts the call and decides, in order of arrival, whether it fails. */
static int arrive(struct scripted_provider *s, enum model_operation op, const struct cancel *cancel)
{
    struct script *c = &s->scripts[op];
    pthread_mutex_lock(&s->lock);
    c->counts.calls++;
    bool fails = is_to_fail(c);
    int rc = c->gated ? pass_gate(s, c, cancel) : OK;
    if (!rc && fails)
        rc = error_set(c->code, c->reason, "scripted failure '%s'", c->reason);
    if (!rc)
        c->counts.answered++;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int bill(struct scripted_provider *s, enum model_operation op, struct model_calls *calls)
{
    struct model_call call = {.operation = op,
                              .input_tokens = 10,
                              .output_tokens = 5,
                              .cost_nanousd = 1000,
                              .duration_ms = 1,
                              .http_status = 200};
    snprintf(call.provider, sizeof call.provider, "scripted");
    pthread_mutex_lock(&s->lock);
    snprintf(call.model, sizeof call.model, "%s", s->scripts[op].model);
    pthread_mutex_unlock(&s->lock);
    return model_calls_add(calls, &call);
}

static int identify(void *ctx, enum model_operation op, struct model_identity *out)
{
    struct scripted_provider *s = ctx;
    *out = (struct model_identity){
        .max_input = 100000, .max_batch = 64, .max_ms = 60000, .timestamps = true};
    snprintf(out->provider, sizeof out->provider, "scripted");
    snprintf(out->revision, sizeof out->revision, "1");
    pthread_mutex_lock(&s->lock);
    snprintf(out->model, sizeof out->model, "%s", s->scripts[op].model);
    pthread_mutex_unlock(&s->lock);
    if (op == MODEL_EMBED)
        out->dimension = s->dimension;
    return OK;
}

static int transcribe(void *ctx, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                      struct transcribe_result *out)
{
    struct scripted_provider *s = ctx;
    *out = (struct transcribe_result){.language = "en"};
    int rc = arrive(s, MODEL_TRANSCRIBE, cancel);
    if (rc)
        return rc;
    out->segments = arena_array(arena, 1, sizeof *out->segments);
    out->segments[0] = (struct transcript_segment){
        .end_ms = request->duration_ms,
        .speaker = "",
        .text = arena_printf(arena, "Scripted words over %lld milliseconds.",
                             (long long)request->duration_ms)};
    out->count = 1;
    return bill(s, MODEL_TRANSCRIBE, calls);
}

static int summarise(void *ctx, const struct summarise_request *request,
                     const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                     struct summary *out)
{
    struct scripted_provider *s = ctx;
    int rc = arrive(s, MODEL_SUMMARISE, cancel);
    if (rc)
        return rc;
    int head = request->length < 40 ? (int)request->length : 40;
    *out = (struct summary){.title = "Scripted title",
                            .language = "en",
                            .abstract = arena_printf(arena, "About: %.*s", head, request->text)};
    return bill(s, MODEL_SUMMARISE, calls);
}

/* A unit vector on the axis that the text's bytes choose. */
static int embed(void *ctx, const struct embed_request *request, const struct cancel *cancel,
                 struct arena *arena, struct model_calls *calls, struct embed_result *out)
{
    struct scripted_provider *s = ctx;
    int rc = arrive(s, MODEL_EMBED, cancel);
    if (rc)
        return rc;
    out->dimension = s->dimension;
    out->vectors = arena_array(arena, request->count * (size_t)s->dimension, sizeof(float));
    if (!out->vectors)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < request->count; i++) {
        unsigned sum = 0;
        for (size_t j = 0; j < request->lengths[i]; j++)
            sum = sum * 31 + (unsigned char)request->texts[i][j];
        out->vectors[i * (size_t)s->dimension + sum % (unsigned)s->dimension] = 1.0f;
    }
    pthread_mutex_lock(&s->lock);
    s->scripts[MODEL_EMBED].counts.inputs += (int)request->count;
    pthread_mutex_unlock(&s->lock);
    return bill(s, MODEL_EMBED, calls);
}

static int answer(void *ctx, const struct answer_request *request, const struct cancel *cancel,
                  struct arena *arena, struct model_calls *calls, struct answer_result *out)
{
    (void)arena;
    int rc = arrive(ctx, MODEL_ANSWER, cancel);
    *out = (struct answer_result){.text = request->count > 0 ? "See [1]." : "Nothing was found."};
    return rc ? rc : bill(ctx, MODEL_ANSWER, calls);
}

static int check(void *ctx, enum model_operation op, const struct cancel *cancel)
{
    (void)ctx, (void)op, (void)cancel;
    return OK;
}

static void close_nothing(void *ctx)
{
    (void)ctx;
}

struct scripted_provider *scripted_provider_open(int dimension, struct model_providers *out)
{
    static const struct model_provider_ops ops = {.name = "scripted",
                                                  .close = close_nothing,
                                                  .identify = identify,
                                                  .transcribe = transcribe,
                                                  .summarise = summarise,
                                                  .embed = embed,
                                                  .answer = answer,
                                                  .check = check};
    struct scripted_provider *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->dimension = dimension;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (int op = 0; op < MODEL_OPERATIONS; op++) {
        snprintf(s->scripts[op].model, sizeof s->scripts[op].model, "model-%d", op);
        out->by_operation[op] = (struct model_provider){.ops = &ops, .ctx = s};
    }
    return s;
}

void scripted_provider_close(struct scripted_provider *s)
{
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void scripted_fail(struct scripted_provider *s, enum model_operation operation, int skip, int times,
                   enum error_code code, const char *reason)
{
    pthread_mutex_lock(&s->lock);
    struct script *c = &s->scripts[operation];
    c->skip = skip;
    c->times = times;
    c->code = code;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    pthread_mutex_unlock(&s->lock);
}

void scripted_heal(struct scripted_provider *s, enum model_operation operation)
{
    scripted_fail(s, operation, 0, 0, OK, "");
}

static void set_gate(struct scripted_provider *s, enum model_operation operation, bool gated)
{
    pthread_mutex_lock(&s->lock);
    s->scripts[operation].gated = gated;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void scripted_close_gate(struct scripted_provider *s, enum model_operation operation)
{
    set_gate(s, operation, true);
}

void scripted_open_gate(struct scripted_provider *s, enum model_operation operation)
{
    set_gate(s, operation, false);
}

void scripted_set_model(struct scripted_provider *s, enum model_operation operation,
                        const char *model)
{
    pthread_mutex_lock(&s->lock);
    snprintf(s->scripts[operation].model, sizeof s->scripts[operation].model, "%s", model);
    pthread_mutex_unlock(&s->lock);
}

struct scripted_counts scripted_counts(struct scripted_provider *s, enum model_operation operation)
{
    pthread_mutex_lock(&s->lock);
    struct scripted_counts counts = s->scripts[operation].counts;
    pthread_mutex_unlock(&s->lock);
    return counts;
}
