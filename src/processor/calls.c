/*
 * What stands around every model call: the budget, the CPU slots, the provider's pace.
 */
#include <string.h>

#include "processor/internal.h"
#include "shared/random.h"

enum { PACE_LIMIT_MS = 60000 };

int provider_identify(struct processor *p, enum model_operation operation,
                      struct model_identity *out)
{
    const struct model_provider *provider = &p->ports.providers.by_operation[operation];
    if (!provider->ops)
        return error_set(ERR_SYSTEMIC, "no_provider",
                         "no provider is configured for this operation");
    return provider->ops->identify(provider->ctx, operation, out);
}

static int check_budget(struct processor *p)
{
    int64_t budget = p->settings.budget_nanousd, spent = atomic_load(&p->cost_nanousd);
    if (budget <= 0 || spent < budget)
        return OK;
    return error_set(
        ERR_SYSTEMIC, "budget_reached",
        "the budget of $%.2f is spent ($%.2f so far): raise the setting 'budget' to go on",
        (double)budget / 1e9, (double)spent / 1e9);
}

int provider_begin(struct processor *p, const struct model_identity *model,
                   const struct cancel *cancel)
{
    if (model->cpu_heavy)
        return slots_hold(&p->cpu, cancel);
    return check_budget(p);
}

void provider_end(struct processor *p, const struct model_identity *model,
                  const struct model_calls *calls, size_t before)
{
    if (model->cpu_heavy)
        slots_release(&p->cpu);
    for (size_t i = before; i < calls->count; i++)
        if (calls->items[i].cost_nanousd > 0)
            atomic_fetch_add(&p->cost_nanousd, calls->items[i].cost_nanousd);
}

void job_bill(struct job *job, const struct model_calls *calls)
{
    struct error e = *error_last();
    for (size_t i = 0; i < calls->count; i++)
        model_calls_add(&job->calls, &calls->items[i]);
    if (e.code)
        error_restore(&e);
}

int provider_wait_out(struct processor *p, const struct cancel *cancel, int64_t *waited_ms,
                      int *tries)
{
    struct error e = *error_last();
    if (e.code != ERR_TRANSIENT || strcmp(e.reason, "rate_limited") != 0)
        return e.code;
    uint64_t word;
    random_bytes(&word, sizeof word);
    int64_t delay = retry_delay(&p->settings.retry, ++*tries, e.retry_after_ms, word);
    if (*waited_ms + delay > PACE_LIMIT_MS)
        return error_restore(&e);
    *waited_ms += delay;
    return clock_sleep(delay, cancel);
}

int provider_embed(struct processor *p, const struct embedder *embedder,
                   const struct embed_request *request, const struct cancel *cancel,
                   struct arena *arena, struct model_calls *calls, struct embed_result *out)
{
    const struct model_identity *model = &embedder->model;
    const struct model_provider *provider = &embedder->provider;
    int64_t waited_ms = 0;
    int tries = 0;
    for (;;) {
        size_t before = calls->count;
        int rc = provider_begin(p, model, cancel);
        if (rc)
            return rc;
        rc = provider->ops->embed(provider->ctx, request, cancel, arena, calls, out);
        provider_end(p, model, calls, before);
        if (rc == OK && out->dimension != model->dimension)
            return error_set(ERR_SYSTEMIC, "wrong_dimension",
                             "model '%s' gave vectors of %d dimensions where %d were expected: set "
                             "its dimensions",
                             model->model, out->dimension, model->dimension);
        if (rc == OK)
            return OK;
        rc = provider_wait_out(p, cancel, &waited_ms, &tries);
        if (rc)
            return rc;
    }
}
