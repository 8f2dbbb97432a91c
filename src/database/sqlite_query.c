/*
 * What a person types becomes an FTS5 expression that cannot be a syntax error: every word and
 * every "quoted phrase" is passed as an FTS5 string, so AND, NEAR, *, : and the like are just text.
 *
 * Words are what stands between white space; FTS5 itself splits "co-operate" into a phrase. What
 * holds no letter or digit is dropped, because FTS5 would match nothing for it.
 */
#include <string.h>

#include "database/function_words.h"
#include "database/sqlite_internal.h"
#include "shared/words.h"

enum { QUERY_TERMS = 48 };

struct term {
    const char *text;
    size_t length;
    bool phrase;
};

struct terms {
    struct term items[QUERY_TERMS];
    size_t count;
};

/* Left out where any word may match: they cost most of the time and rank nothing. */
static bool tells_nothing(const struct term *t)
{
    return !t->phrase && is_function_word(t->text, t->length);
}

static void add_term(struct terms *terms, const char *text, size_t length, bool phrase)
{
    struct word_scan scan;
    struct text_slice word;
    while (length && strchr("?!.,;:()", text[length - 1]))
        length--;
    word_scan_begin(&scan, text, length);
    if (terms->count < QUERY_TERMS && word_next(&scan, &word))
        terms->items[terms->count++] =
            (struct term){.text = text, .length = length, .phrase = phrase};
}

/* A quote without its pair is a space. */
static void split(const char *query, size_t length, struct terms *terms)
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

static int append_term(struct buffer *out, const struct term *t, const char *before)
{
    int rc = buffer_append_string(out, before);
    if (!rc)
        rc = buffer_append_char(out, '"');
    if (!rc)
        rc = buffer_append(out, t->text, t->length); /* holds no quote */
    return rc ? rc : buffer_append_char(out, '"');
}

static int write_all(struct buffer *out, const struct terms *terms)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < terms->count; i++)
        rc = append_term(out, &terms->items[i], i ? " " : "");
    return rc;
}

static int write_phrases(struct buffer *out, const struct terms *terms, size_t *count)
{
    int rc = OK;
    *count = 0;
    for (size_t i = 0; !rc && i < terms->count; i++)
        if (terms->items[i].phrase)
            rc = append_term(out, &terms->items[i], (*count)++ ? " " : "(");
    return rc || !*count ? rc : buffer_append_string(out, ") AND ");
}

static bool only_function_words(const struct terms *terms)
{
    for (size_t i = 0; i < terms->count; i++)
        if (!tells_nothing(&terms->items[i]))
            return false;
    return true;
}

/* ("a phrase") AND ("a phrase" OR word OR word): the phrase must be there, words add to the rank.
 */
static int write_any(struct buffer *out, const struct terms *terms)
{
    bool keep_all = only_function_words(terms);
    size_t phrases, n = 0;
    int rc = write_phrases(out, terms, &phrases);
    for (size_t i = 0; !rc && i < terms->count; i++)
        if (keep_all || !tells_nothing(&terms->items[i]))
            rc = append_term(out, &terms->items[i], n++ ? " OR " : "(");
    return rc || !n ? rc : buffer_append_char(out, ')');
}

int lexical_query(const char *query, enum lexical_mode mode, struct arena *arena, const char **out)
{
    struct terms terms;
    struct buffer b;
    size_t length = strnlen(query, CAP_QUERY);
    split(query, length, &terms);
    buffer_init(&b, 2 * CAP_QUERY + KIB(1));
    int rc = mode == LEXICAL_ALL ? write_all(&b, &terms) : write_any(&b, &terms);
    *out = rc ? "" : arena_strdup(arena, buffer_string(&b));
    if (!rc && !*out)
        rc = ERR_NO_MEMORY;
    buffer_free(&b);
    return rc;
}
