/*
 * offline.h - the model provider that needs no key, no account and no network.
 *
 *   summarise   sentences, phrases and names taken from the text (summary.h)
 *   embed       hashed stems and n-grams, EMBEDDING_DIMENSION floats, L2-normalised (embedding.h)
 *   transcribe  PocketSphinx with its US English model, in a sandboxed child (speech.h): a draft
 *   answer      quotes the sentences that share most with the question (answer.h)
 *
 * It costs nothing and its results are the same on every machine. A real model is one environment
 * variable away: OPENAI_API_KEY.
 */
#ifndef AEGIS_OFFLINE_OFFLINE_H
#define AEGIS_OFFLINE_OFFLINE_H

#include "ports/model_provider.h"
#include "shared/child.h"

struct offline_options {
    const char *speech_model; /* directory of PocketSphinx's model; NULL or "": Debian's place */
};

/* `options` may be NULL. 0 or ERR_NO_MEMORY. */
int offline_provider_open(const struct offline_options *options, struct model_provider *out);

/* The children of this module, for child_dispatch's table (ends with a NULL name). */
extern const struct child_main offline_children[];

#endif
