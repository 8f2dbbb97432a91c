/*
 * answer.h - an answer without a model: the sentences of the found passages that share the most
 * stems with the question, quoted, each with the number of its passage.
 */
#ifndef AEGIS_OFFLINE_ANSWER_H
#define AEGIS_OFFLINE_ANSWER_H

#include "adapters/offline/language.h"
#include "ports/model_provider.h"

#define ANSWER_REVISION "quote-1"

/* At most ANSWER_QUOTES lines of the form: “quotation” [n]. If no sentence shares a word with the
 * question, the best passage's beginning is quoted; without passages the text is "". 0 or
 * ERR_NO_MEMORY. */
enum { ANSWER_QUOTES = 3 };
int answer_from(const struct stopwords *stopwords, struct language_detector *detector,
                const struct answer_request *request, struct arena *arena,
                struct answer_result *out);

#endif
