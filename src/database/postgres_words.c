#include "database/postgres_words.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

#include "shared/error.h"
#include "shared/words.h"

enum { CODE_BYTES = 8, TERM_WORDS = 64 };

struct language {
    char code[CODE_BYTES];
    struct stemmer *stemmer;
};

static int no_memory(void)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory for a stemmer");
}

bool words_stemmed_apart(const char *language)
{
    if (strlen(language) != 2 || strcmp(language, "en") == 0)
        return false;
    struct stemmer *stemmer = stemmer_open(language);
    stemmer_close(stemmer);
    return stemmer != NULL;
}

static bool language_open(const char *code, struct language *out)
{
    *out = (struct language){0};
    snprintf(out->code, sizeof out->code, "%s", code);
    out->stemmer = stemmer_open(code);
    return out->stemmer != NULL;
}

/* ---- words and lexemes ---- */

/* Words of a text without what joins letters: "keynote-2026.mp3" is three. */
struct pieces {
    struct word_scan scan;
    struct text_slice word; /* what is left of it */
};

static bool is_letter(const char *p, size_t left, size_t *length)
{
    unsigned char c = (unsigned char)*p;
    *length = 1;
    if (c < 0x80)
        return (unsigned char)((c | 0x20) - 'a') < 26 || (unsigned char)(c - '0') < 10;
    ucs4_t uc;
    *length = (size_t)u8_mbtouc(&uc, (const uint8_t *)p, left);
    return uc_is_general_category_withtable(uc, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N |
                                                    UC_CATEGORY_MASK_M);
}

static size_t span(struct text_slice word, bool letters)
{
    size_t n = 0, step;
    while (n < word.length && is_letter(word.text + n, word.length - n, &step) == letters)
        n += step;
    return n < word.length ? n : word.length;
}

static void skip(struct text_slice *word, size_t n)
{
    word->text += n;
    word->length -= n;
}

static bool next_piece(struct pieces *p, struct text_slice *out)
{
    for (;;) {
        skip(&p->word, span(p->word, false));
        if (p->word.length) {
            *out = (struct text_slice){p->word.text, span(p->word, true)};
            skip(&p->word, out->length);
            return true;
        }
        if (!word_next(&p->scan, &p->word))
            return false;
    }
}

/* Compatibility forms may unfold to anything, quotes too. */
static int write_quoted(struct buffer *out, const char *code, const char *text, size_t length)
{
    int rc = buffer_append_char(out, '\'');
    if (!rc && *code)
        rc = buffer_append_string(out, code);
    if (!rc && *code)
        rc = buffer_append_char(out, '/');
    for (size_t i = 0, n; !rc && i < length; i += n) {
        n = 1;
        if (text[i] == '\'' || text[i] == '\\')
            rc = buffer_append_char(out, text[i]);
        while (i + n < length && text[i + n] != '\'' && text[i + n] != '\\')
            n++;
        if (!rc)
            rc = buffer_append(out, text + i, n);
    }
    return rc ? rc : buffer_append_char(out, '\'');
}

/* The lexeme of a folded word in one language; code "": Porter's. */
static int write_lexeme(struct buffer *out, const struct language *l, const char *folded,
                        size_t length)
{
    char stem[WORD_BYTES];
    memcpy(stem, folded, length);
    return write_quoted(out, l->code, stem, stemmer_stem(l->stemmer, stem, length));
}

static size_t fold(struct text_slice word, char out[WORD_BYTES])
{
    return word_unaccent(out, word_fold(word.text, word.length, out));
}

/* ---- passages ---- */

struct passage_words {
    struct language porter, own; /* own: without a stemmer if there is none */
};

int passage_words_open(const char *language, struct passage_words **out)
{
    struct passage_words *w = calloc(1, sizeof *w);
    *out = w;
    if (!w || !language_open("porter", &w->porter)) {
        passage_words_close(w);
        *out = NULL;
        return no_memory();
    }
    w->porter.code[0] = '\0';
    if (words_stemmed_apart(language) && !language_open(language, &w->own)) {
        passage_words_close(w);
        *out = NULL;
        return no_memory();
    }
    return OK;
}

void passage_words_close(struct passage_words *w)
{
    if (!w)
        return;
    stemmer_close(w->porter.stemmer);
    stemmer_close(w->own.stemmer);
    free(w);
}

static int write_position(struct buffer *out, size_t position, char weight)
{
    char text[24], *p = text + sizeof text;
    *--p = ' ';
    if (weight)
        *--p = weight;
    do
        *--p = (char)('0' + position % 10);
    while (position /= 10);
    *--p = ':';
    return buffer_append(out, p, (size_t)(text + sizeof text - p));
}

static int write_word(struct passage_words *w, struct text_slice word, size_t position, char weight,
                      struct buffer *out)
{
    char folded[WORD_BYTES];
    size_t length = fold(word, folded);
    if (!length)
        return OK;
    int rc = write_lexeme(out, &w->porter, folded, length);
    if (!rc)
        rc = write_position(out, position, weight);
    if (!rc && w->own.stemmer)
        rc = write_lexeme(out, &w->own, folded, length);
    if (!rc && w->own.stemmer)
        rc = write_position(out, position, weight);
    return rc;
}

static int write_text(struct passage_words *w, const char *text, size_t length, char weight,
                      size_t *position, struct buffer *out)
{
    struct pieces pieces = {0};
    struct text_slice word;
    int rc = OK;
    word_scan_begin(&pieces.scan, text, length);
    while (!rc && *position < PASSAGE_WORDS && next_piece(&pieces, &word))
        rc = write_word(w, word, ++*position, weight, out);
    return rc;
}

int passage_words_write(struct passage_words *w, const char *heading, const char *text,
                        size_t length, struct buffer *out)
{
    size_t position = 0;
    int rc = write_text(w, heading, strlen(heading), 'A', &position, out);
    position++; /* no phrase reaches from the heading into the text, also if it is put before later
                 */
    return rc ? rc : write_text(w, text, length, '\0', &position, out);
}

/* ---- queries ---- */

struct query_words {
    struct language languages[1 + QUERY_LANGUAGES]; /* the first is Porter's */
    size_t count;
};

int query_words_open(const char *const *languages, size_t count, struct query_words **out)
{
    struct query_words *q = calloc(1, sizeof *q);
    *out = q;
    if (!q || !language_open("porter", &q->languages[q->count++])) {
        free(q);
        *out = NULL;
        return no_memory();
    }
    q->languages[0].code[0] = '\0';
    for (size_t i = 0; i < count && q->count <= QUERY_LANGUAGES; i++)
        if (words_stemmed_apart(languages[i]) &&
            language_open(languages[i], &q->languages[q->count]))
            q->count++;
    return OK;
}

void query_words_close(struct query_words *q)
{
    for (size_t i = 0; q && i < q->count; i++)
        stemmer_close(q->languages[i].stemmer);
    free(q);
}

size_t query_words_languages(const struct query_words *q)
{
    return q->count;
}

static int write_alternatives(struct query_words *q, int language, const char *folded,
                              size_t length, struct buffer *out)
{
    size_t first = language < 0 ? 0 : (size_t)language;
    size_t end = language < 0 ? q->count : first + 1;
    int rc = buffer_append_char(out, '(');
    for (size_t i = first; !rc && i < end; i++) {
        if (i > first)
            rc = buffer_append_char(out, '|');
        if (!rc)
            rc = write_lexeme(out, &q->languages[i], folded, length);
    }
    return rc ? rc : buffer_append_char(out, ')');
}

int query_words_write(struct query_words *q, int language, const char *term, size_t length,
                      struct buffer *out, bool *empty)
{
    struct pieces pieces = {0};
    struct text_slice word;
    size_t words = 0;
    int rc = OK;
    word_scan_begin(&pieces.scan, term, length);
    while (!rc && words < TERM_WORDS && next_piece(&pieces, &word)) {
        char folded[WORD_BYTES];
        size_t n = fold(word, folded);
        if (!n)
            continue;
        rc = buffer_append_string(out, words++ ? "<->" : "(");
        if (!rc)
            rc = write_alternatives(q, language, folded, n, out);
    }
    *empty = words == 0;
    return rc || *empty ? rc : buffer_append_char(out, ')');
}
