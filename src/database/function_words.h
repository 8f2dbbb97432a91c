/*
 * function_words.h - English words that carry no meaning of their own: they are in almost every
 * passage and tell nothing about it.
 */
#ifndef AEGIS_DATABASE_FUNCTION_WORDS_H
#define AEGIS_DATABASE_FUNCTION_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* ASCII letters in either case. */
bool is_function_word(const char *word, size_t length);

#endif
