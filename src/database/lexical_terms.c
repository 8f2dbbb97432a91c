#include "database/lexical_terms.h"

#include <string.h>

#include "database/function_words.h"
#include "shared/words.h"

static void add_term(struct lexical_terms *terms, const char *text, size_t length, bool phrase)
{
    struct word_scan scan;
    struct text_slice word;
    while (length && strchr("?!.,;:()", text[length - 1]))
        length--;
    word_scan_begin(&scan, text, length);
    if (terms->count < LEXICAL_TERMS && word_next(&scan, &word))
        terms->items[terms->count++] =
            (struct lexical_term){.text = text, .length = length, .phrase = phrase};
}

/* A quote without its pair is a space. */
void lexical_terms_split(const char *query, size_t length, struct lexical_terms *terms)
{
    const char *p = query, *end = query + length;
    terms->count = 0;
    while (p < end) {
        const char *close = *p == '"' ? memchr(p + 1, '"', (size_t)(end - p - 1)) : NULL;
        if (close) {
            add_term(terms, p + 1, (size_t)(close - p - 1), true);
            p = close + 1;
            continue;
        }
        if (*p == '"') {
            p++;
            continue;
        }
        size_t n = strcspn(p, "\" \t\r\n\v\f");
        n = n > (size_t)(end - p) ? (size_t)(end - p) : n;
        if (n)
            add_term(terms, p, n, false);
        p += n ? n : 1;
    }
}

static bool tells_nothing(const struct lexical_term *t)
{
    return !t->phrase && is_function_word(t->text, t->length);
}

bool lexical_term_tells(const struct lexical_terms *terms, size_t i)
{
    if (!tells_nothing(&terms->items[i]))
        return true;
    for (size_t j = 0; j < terms->count; j++)
        if (!tells_nothing(&terms->items[j]))
            return false;
    return true;
}
