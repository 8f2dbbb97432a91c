/*
 * search_snippet.h - the part of a passage worth showing, and the words in it that match a query.
 *
 * Words are compared by their stems (shared/words.h): folded, without accents, by Porter's 1980
 * algorithm, which the lexical arm uses too, and by Snowball's stemmer of the passage's language
 * (English if that is not known). "Éclairs" matches "eclair", "running" matches "runs". Function
 * words of the query ("what", "the") count only if it has no others.
 *
 * Nothing blocks. The text is UTF-8; all offsets are bytes and fall on character boundaries.
 */
#ifndef AEGIS_DATABASE_SEARCH_SNIPPET_H
#define AEGIS_DATABASE_SEARCH_SNIPPET_H

#include <stddef.h>

#include "shared/arena.h"

enum {
    SNIPPET_BYTES = 300,     /* target length of a snippet */
    SNIPPET_HIGHLIGHTS = 64, /* highlights of one snippet, further ones are left out */
};

/* Bytes start (inclusive) to end (exclusive). */
struct text_range {
    size_t start, end;
};

struct snippet {
    const char *text; /* a copy; newlines and tabs are spaces */
    size_t length;
    size_t offset;                 /* of its first byte in the passage */
    struct text_range *highlights; /* in `text`, in order, not overlapping */
    size_t highlight_count;
};

/* Cuts the window of about SNIPPET_BYTES around the densest matches, at sentence ends where they
 * are near, else between words. Without any match: the beginning. `language` is ISO 639-1 or "". 0,
 * ERR_NO_MEMORY. */
int snippet_make(const char *query, const char *language, const char *text, size_t length,
                 struct arena *arena, struct snippet *out);

#endif
