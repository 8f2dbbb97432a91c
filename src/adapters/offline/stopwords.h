/*
 * stopwords.h - function words ("the", "und", "pour") of the languages most often met: words that
 * say what language a text is in, but not what it is about.
 */
#ifndef AEGIS_OFFLINE_STOPWORDS_H
#define AEGIS_OFFLINE_STOPWORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bit i of a set stands for stopwords_language(i). */
typedef uint32_t language_set;
enum { STOPWORD_LANGUAGES = 12 };
const char *stopwords_language(int index); /* ISO 639-1 */
int stopwords_index(const char *language); /* -1 if there is no list for it */

struct stopwords;

/* 0 or ERR_NO_MEMORY. Read-only afterwards, so any number of threads may look up. */
int stopwords_open(struct stopwords **out);
void stopwords_close(struct stopwords *stopwords);

/* The languages in which a folded word without accents (words.h) is a function word. */
language_set stopwords_find(const struct stopwords *stopwords, const char *word, size_t length);

#endif
