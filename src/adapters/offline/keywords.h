/*
 * keywords.h - what a text is about and whom it names.
 *
 * Topics: RAKE (S. Rose, D. Engel, N. Cramer, W. Cowley, "Automatic keyword extraction from
 * individual documents", 2010). Candidates are the runs of words between function words and
 * punctuation; a word scores degree / frequency, a phrase the sum of its words. Changed in one
 * point: runs have at most three words, their parts are candidates too, and a phrase's score is
 * multiplied by how often it occurs; what occurs once comes last. RAKE alone prefers long accidents
 * ("tool shed attracts"), above all in speech without punctuation.
 *
 * Entities: runs of capitalised words that do not just begin a sentence. A heuristic: it knows
 * nothing of what is named, takes only runs of several words in German (where all nouns are
 * capitalised), and finds nothing in scripts without capitals or in draft transcripts.
 */
#ifndef AEGIS_OFFLINE_KEYWORDS_H
#define AEGIS_OFFLINE_KEYWORDS_H

#include "adapters/offline/terms.h"
#include "shared/arena.h"

/* At most `most` phrases, best first, folded to lower case unless they are written otherwise
 * throughout. 0 or ERR_NO_MEMORY. */
int keywords_topics(struct term_scan *terms, const char *text, size_t length, size_t most,
                    struct arena *arena, const char ***out, size_t *count);

/* At most `most` names, the most frequent first. 0 or ERR_NO_MEMORY. */
int keywords_entities(struct term_scan *terms, const char *language, const char *text,
                      size_t length, size_t most, struct arena *arena, const char ***out,
                      size_t *count);

#endif
