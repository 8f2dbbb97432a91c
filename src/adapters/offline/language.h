/*
 * language.h - in what language is a text?
 *
 * First by script, where a script is used by one language (Japanese, Korean, Greek, ...). Then by
 * small words: the share of function words of each language among the words (G. Grefenstette,
 * "Comparing two language identification schemes", JADT 1995), which also works for the broken
 * grammar of draft transcripts. What that leaves open is decided by the order of character n-grams
 * (W. Cavnar and J. Trenkle, "N-gram-based text categorization", SDAIR 1994) with libexttextcat,
 * whose fingerprints of some 60 languages are loaded at first need.
 */
#ifndef AEGIS_OFFLINE_LANGUAGE_H
#define AEGIS_OFFLINE_LANGUAGE_H

#include <stddef.h>

#include "adapters/offline/stopwords.h"

enum { LANGUAGE_TEXT = 16 };

struct language_detector;

/* `stopwords` is borrowed and outlives it. 0 or ERR_NO_MEMORY. */
int language_open(const struct stopwords *stopwords, struct language_detector **out);
void language_close(struct language_detector *detector);

/* ISO 639-1, or "" when unsure (as for most texts of a few words). Looks at a few kilobytes from
 * the beginning. Thread-safe. */
void language_detect(struct language_detector *detector, const char *text, size_t length,
                     char out[LANGUAGE_TEXT]);

#endif
