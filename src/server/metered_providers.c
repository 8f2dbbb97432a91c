#include "server/metered_providers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/clock.h"
#include "shared/error.h"

struct metered {
    struct model_provider real;
    struct metrics *metrics;
};

/* An embedder beyond these is handed out as it is, uncounted. */
enum { EMBEDDERS = 64 };

struct metered_providers {
    struct model_providers real;
    struct metrics *metrics;
    struct metered by_operation[MODEL_OPERATIONS];
    pthread_mutex_t lock;
    size_t embedder_count;
    struct metered embedders[EMBEDDERS];
};

/* ---- counting ---- */

/* A request of which no call is on record failed before anything was billed. */
static void count_unrecorded(const struct metered *m, enum model_operation operation,
                             const char *outcome)
{
    struct model_identity model = {0};
    struct model_call call = {.operation = operation};
    if (m->real.ops->identify(m->real.ctx, operation, &model))
        return;
    snprintf(call.provider, sizeof call.provider, "%s", model.provider);
    snprintf(call.model, sizeof call.model, "%s", model.model);
    metrics_call(m->metrics, &call, outcome);
}

/* Of the calls of a request that failed only the last one did. Leaves the last error as it is. */
static int note(const struct metered *m, enum model_operation operation, int64_t started_us,
                const struct model_calls *calls, size_t before, int rc)
{
    struct error e = *error_last();
    const char *outcome = !rc ? "ok" : e.reason[0] ? e.reason : error_code_name(rc);
    metrics_duration(m->metrics, operation, clock_monotonic_us() - started_us);
    for (size_t i = before; i < calls->count; i++)
        metrics_call(m->metrics, &calls->items[i], i + 1 < calls->count ? "ok" : outcome);
    if (rc && calls->count == before)
        count_unrecorded(m, operation, outcome);
    return rc ? error_restore(&e) : rc;
}

/* ---- the provider's methods ---- */

static void leave_open(void *ctx)
{
    (void)ctx;
}

static int identify(void *ctx, enum model_operation operation, struct model_identity *out)
{
    const struct metered *m = ctx;
    return m->real.ops->identify(m->real.ctx, operation, out);
}

static int transcribe(void *ctx, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                      struct transcribe_result *out)
{
    const struct metered *m = ctx;
    size_t before = calls->count;
    int64_t started = clock_monotonic_us();
    int rc = m->real.ops->transcribe(m->real.ctx, request, cancel, arena, calls, out);
    return note(m, MODEL_TRANSCRIBE, started, calls, before, rc);
}

static int summarise(void *ctx, const struct summarise_request *request,
                     const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                     struct summary *out)
{
    const struct metered *m = ctx;
    size_t before = calls->count;
    int64_t started = clock_monotonic_us();
    int rc = m->real.ops->summarise(m->real.ctx, request, cancel, arena, calls, out);
    return note(m, MODEL_SUMMARISE, started, calls, before, rc);
}

static int embed(void *ctx, const struct embed_request *request, const struct cancel *cancel,
                 struct arena *arena, struct model_calls *calls, struct embed_result *out)
{
    const struct metered *m = ctx;
    size_t before = calls->count;
    int64_t started = clock_monotonic_us();
    int rc = m->real.ops->embed(m->real.ctx, request, cancel, arena, calls, out);
    return note(m, MODEL_EMBED, started, calls, before, rc);
}

static int answer(void *ctx, const struct answer_request *request, const struct cancel *cancel,
                  struct arena *arena, struct model_calls *calls, struct answer_result *out)
{
    const struct metered *m = ctx;
    size_t before = calls->count;
    int64_t started = clock_monotonic_us();
    int rc = m->real.ops->answer(m->real.ctx, request, cancel, arena, calls, out);
    return note(m, MODEL_ANSWER, started, calls, before, rc);
}

static int check(void *ctx, enum model_operation operation, const struct cancel *cancel)
{
    const struct metered *m = ctx;
    return m->real.ops->check(m->real.ctx, operation, cancel);
}

static const struct model_provider_ops ops = {
    .name = "metered",
    .close = leave_open,
    .identify = identify,
    .transcribe = transcribe,
    .summarise = summarise,
    .embed = embed,
    .answer = answer,
    .check = check,
};

/* ---- which are metered ---- */

static struct metered *embedder_of(struct metered_providers *p, const struct model_provider *real)
{
    struct metered *found = NULL;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->embedder_count && !found; i++)
        if (p->embedders[i].real.ops == real->ops && p->embedders[i].real.ctx == real->ctx)
            found = &p->embedders[i];
    if (!found && p->embedder_count < EMBEDDERS) {
        found = &p->embedders[p->embedder_count++];
        *found = (struct metered){.real = *real, .metrics = p->metrics};
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static int embedder(void *ctx, const char *provider, const char *model, int dimension,
                    struct model_provider *out)
{
    struct metered_providers *p = ctx;
    int rc = p->real.embedder(p->real.ctx, provider, model, dimension, out);
    struct metered *metered = rc ? NULL : embedder_of(p, out);
    if (metered)
        *out = (struct model_provider){.ops = &ops, .ctx = metered};
    return rc;
}

int metered_providers_open(const struct model_providers *providers, struct metrics *metrics,
                           struct metered_providers **handle, struct model_providers *out)
{
    struct metered_providers *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    p->real = *providers;
    p->metrics = metrics;
    pthread_mutex_init(&p->lock, NULL);
    *out = (struct model_providers){.embedder = providers->embedder ? embedder : NULL, .ctx = p};
    for (int o = 0; o < MODEL_OPERATIONS; o++) {
        p->by_operation[o] =
            (struct metered){.real = providers->by_operation[o], .metrics = metrics};
        if (providers->by_operation[o].ops)
            out->by_operation[o] = (struct model_provider){.ops = &ops, .ctx = &p->by_operation[o]};
    }
    *handle = p;
    return OK;
}

void metered_providers_close(struct metered_providers *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    free(p);
}
