#include "shared/embedder.h"

#include <stdio.h>
#include <string.h>

#include "shared/error.h"

struct embedding_space embedder_space(const struct model_identity *model)
{
    struct embedding_space space = {.dimension = model->dimension};
    snprintf(space.provider, sizeof space.provider, "%s", model->provider);
    snprintf(space.model, sizeof space.model, "%s", model->model);
    snprintf(space.revision, sizeof space.revision, "%s", model->revision);
    return space;
}

bool embedder_fits(const struct embedding_space *space, const struct model_identity *model)
{
    return !strcmp(space->provider, model->provider) && !strcmp(space->model, model->model) &&
           !strcmp(space->revision, model->revision) && space->dimension == model->dimension;
}

static int identify(struct embedder *e)
{
    return e->provider.ops->identify(e->provider.ctx, MODEL_EMBED, &e->model);
}

int embedder_configured(const struct model_providers *providers, struct embedder *out)
{
    *out = (struct embedder){.provider = providers->by_operation[MODEL_EMBED]};
    if (!out->provider.ops)
        return error_set(ERR_SYSTEMIC, "no_provider",
                         "no provider is configured for this operation");
    return identify(out);
}

int embedder_of(const struct model_providers *providers, const struct embedding_space *space,
                struct embedder *out)
{
    if (!embedder_configured(providers, out) && embedder_fits(space, &out->model))
        return OK;
    int rc = providers->embedder
                 ? providers->embedder(providers->ctx, space->provider, space->model,
                                       space->dimension, &out->provider)
                 : ERR_NOT_FOUND;
    if (!rc)
        rc = identify(out);
    if (!rc && embedder_fits(space, &out->model))
        return OK;
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    return error_set(
        ERR_SYSTEMIC, "no_embedder",
        "embeddings are those of %s %s (revision '%s', %d dimensions), which this "
        "program does not make: change over with `aegis reprocess --embed-model MODEL`",
        space->provider, space->model, space->revision, space->dimension);
}

const char *embedder_difference(const struct embedding_space *serving,
                                const struct model_identity *set, struct arena *arena)
{
    const char *change = "`aegis reprocess --embed-model";
    bool same_name =
        !strcmp(serving->provider, set->provider) && !strcmp(serving->model, set->model);
    if (!same_name)
        return arena_printf(arena,
                            "embeddings are those of %s %s, and %s %s is set: %s %s` changes "
                            "over",
                            serving->provider, serving->model, set->provider, set->model, change,
                            set->model);
    if (serving->dimension == set->dimension)
        return arena_printf(
            arena,
            "embeddings are those of another revision of %s %s than this program's: "
            "%s %s` changes over",
            serving->provider, serving->model, change, set->model);
    return arena_printf(arena,
                        "embeddings are those of %s %s with %d dimensions, and %d are set: %s %s "
                        "--embed-dimensions %d` changes over",
                        serving->provider, serving->model, serving->dimension, set->dimension,
                        change, set->model, set->dimension);
}
