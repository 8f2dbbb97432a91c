/*
 * textrank.h - which sentences of a text stand for it: TextRank (R. Mihalcea and P. Tarau,
 * "TextRank: bringing order into texts", EMNLP 2004).
 *
 * Sentences are nodes; two are joined as strongly as they share content words,
 *   |Si and Sj| / (ln |Si| + ln |Sj|),
 * and a sentence matters as much as those it is joined to: PageRank with damping 0.85. Words here
 * are stems without function words.
 */
#ifndef AEGIS_OFFLINE_TEXTRANK_H
#define AEGIS_OFFLINE_TEXTRANK_H

#include "adapters/offline/terms.h"
#include "shared/arena.h"
#include "shared/cancel.h"

/* All sentences are joined with all: more than this many are cut down first to those whose words
 * are frequent in the text. */
enum { TEXTRANK_SENTENCES = 400, TEXTRANK_TERMS = 64 };

struct ranked_sentence {
    struct text_slice slice;
    size_t ordinal;  /* in the text */
    size_t terms;    /* distinct stems of content words, at most TEXTRANK_TERMS */
    uint64_t *stems; /* sorted */
    double score;
};

/* Reads the sentences of a text in order, at most TEXTRANK_SENTENCES, with scores of mean 1. The
 * slices point into `text`. 0, ERR_NO_MEMORY or ERR_CANCELLED. */
int textrank(struct term_scan *terms, const char *text, size_t length, const struct cancel *cancel,
             struct arena *arena, struct ranked_sentence **out, size_t *count);

/* How much two sentences share: the cosine of their sets of stems, 0 to 1. */
double textrank_overlap(const struct ranked_sentence *a, const struct ranked_sentence *b);

#endif
