/*
 * embedder.h - who embeds for an embedding space, and which space a model's embeddings are of.
 */
#ifndef AEGIS_SHARED_EMBEDDER_H
#define AEGIS_SHARED_EMBEDDER_H

#include "ports/database.h"
#include "ports/model_provider.h"

/* A provider that makes embeddings, as it identifies itself. */
struct embedder {
    struct model_provider provider;
    struct model_identity model;
};

/* id 0. */
struct embedding_space embedder_space(const struct model_identity *model);
/* The same model, revision and dimension, whatever its id. */
bool embedder_fits(const struct embedding_space *space, const struct model_identity *model);

/* That of the settings. ERR_SYSTEMIC "no_provider". */
int embedder_configured(const struct model_providers *providers, struct embedder *out);
/* One whose embeddings are of this space. ERR_SYSTEMIC "no_embedder". Does not call it. */
int embedder_of(const struct model_providers *providers, const struct embedding_space *space,
                struct embedder *out);

/* One line for a person: this space serves, another model is set, and how to change over. In the
 * arena; NULL without memory. */
const char *embedder_difference(const struct embedding_space *serving,
                                const struct model_identity *set, struct arena *arena);

#endif
