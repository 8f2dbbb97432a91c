/*
 * What a person types becomes an FTS5 expression that cannot be a syntax error: every term is
 * passed as an FTS5 string, which FTS5 itself splits ("co-operate" is a phrase).
 */
#include <string.h>

#include "database/lexical_terms.h"
#include "database/sqlite_internal.h"

static int append_term(struct buffer *out, const struct lexical_term *t, const char *before)
{
    int rc = buffer_append_string(out, before);
    if (!rc)
        rc = buffer_append_char(out, '"');
    if (!rc)
        rc = buffer_append(out, t->text, t->length); /* holds no quote */
    return rc ? rc : buffer_append_char(out, '"');
}

static int write_all(struct buffer *out, const struct lexical_terms *terms)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < terms->count; i++)
        rc = append_term(out, &terms->items[i], i ? " " : "");
    return rc;
}

static int write_phrases(struct buffer *out, const struct lexical_terms *terms, size_t *count)
{
    int rc = OK;
    *count = 0;
    for (size_t i = 0; !rc && i < terms->count; i++)
        if (terms->items[i].phrase)
            rc = append_term(out, &terms->items[i], (*count)++ ? " " : "(");
    return rc || !*count ? rc : buffer_append_string(out, ") AND ");
}

/* ("a phrase") AND ("a phrase" OR word OR word): the phrase must be there, words add to the rank.
 */
static int write_any(struct buffer *out, const struct lexical_terms *terms)
{
    size_t phrases, n = 0;
    int rc = write_phrases(out, terms, &phrases);
    for (size_t i = 0; !rc && i < terms->count; i++)
        if (lexical_term_tells(terms, i))
            rc = append_term(out, &terms->items[i], n++ ? " OR " : "(");
    return rc || !n ? rc : buffer_append_char(out, ')');
}

int lexical_query(const char *query, enum lexical_mode mode, struct arena *arena, const char **out)
{
    struct lexical_terms terms;
    struct buffer b;
    lexical_terms_split(query, strnlen(query, CAP_QUERY), &terms);
    buffer_init(&b, 2 * CAP_QUERY + KIB(1));
    int rc = mode == LEXICAL_ALL ? write_all(&b, &terms) : write_any(&b, &terms);
    *out = rc ? "" : arena_strdup(arena, buffer_string(&b));
    if (!rc && !*out)
        rc = ERR_NO_MEMORY;
    buffer_free(&b);
    return rc;
}
