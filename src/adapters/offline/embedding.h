/*
 * embedding.h - embeddings without a model: a text becomes the signed feature hashes of its stemmed
 * words and its words' character n-grams.
 *
 * Each feature adds its weight, with a sign, at a few of EMBEDDING_DIMENSION places, all told by a
 * hash (K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009).
 *   - a word's feature is its Snowball stem in the text's language, so that "pumps" meets
 * "pumping";
 *   - n-grams are the runs of four characters of the word between boundary marks: they carry
 *     misspellings, compounds and languages without a stemmer, at a fraction of the weight;
 *   - letters of scripts without spaces count in pairs;
 *   - a feature seen n times weighs 1 + ln n times its weight; function words weigh nothing (unless
 *     the text has no others);
 *   - rare words tell more than common ones. Without a collection to count in, length stands for
 *     rarity (S. Piantadosi et al., "Word lengths are optimized for efficient communication", PNAS
 *     2011).
 * The vector is L2-normalised: the dot product of two is their cosine. Sums are integers and so the
 * same on every machine, compiler and locale; two unrelated texts have an expected cosine of zero
 * with a deviation of about 1/sqrt(EMBEDDING_DIMENSION), plus what n-grams of one language share.
 */
#ifndef AEGIS_OFFLINE_EMBEDDING_H
#define AEGIS_OFFLINE_EMBEDDING_H

#include "adapters/offline/language.h"
#include "ports/model_provider.h"

enum { EMBEDDING_DIMENSION = 1024, EMBEDDING_TEXT = 65536 };

/* Changes whenever a vector would. */
#define EMBEDDING_REVISION "stem+4gram-1"

/* Only the first EMBEDDING_TEXT bytes count. A query has few words, perhaps in a language that
 * cannot be told from so few: it weighs n-grams higher, and if its language is unsure its stems in
 * other languages count by half. Writes EMBEDDING_DIMENSION floats. 0 or ERR_NO_MEMORY. */
int embedding_of(const struct stopwords *stopwords, struct language_detector *detector,
                 enum embed_purpose purpose, const char *text, size_t length, float *out);

#endif
