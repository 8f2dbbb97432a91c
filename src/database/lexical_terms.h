/*
 * lexical_terms.h - what a person typed, taken apart into words and "quoted phrases", for every
 * engine's lexical arm alike: AND, NEAR, *, :, - and the like are just text.
 *
 * The arm looks for passages that hold all terms, and if these are fewer than wanted, for those
 * that hold all phrases and any term. Words are what stands between white space: an engine may find
 * several in one ("co-operate") and takes them for a phrase. What holds no letter or digit is
 * dropped.
 */
#ifndef AEGIS_DATABASE_LEXICAL_TERMS_H
#define AEGIS_DATABASE_LEXICAL_TERMS_H

#include <stdbool.h>
#include <stddef.h>

enum { LEXICAL_TERMS = 48 }; /* further ones are left out */

struct lexical_term {
    const char *text; /* borrowed from the query; holds no quote */
    size_t length;
    bool phrase;
};

struct lexical_terms {
    struct lexical_term items[LEXICAL_TERMS];
    size_t count;
};

void lexical_terms_split(const char *query, size_t length, struct lexical_terms *out);

/* Does this term count where any term may match? Function words cost most of the time there and
 * rank nothing: they do only if there is nothing else. */
bool lexical_term_tells(const struct lexical_terms *terms, size_t i);

#endif
