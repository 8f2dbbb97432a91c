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

enum { KNOWN_WORDS = 4096, KNOWN_BYTES = 24, LEXEME_BYTES = CODE_BYTES + WORD_BYTES };

enum { PORTER, OWN, STEMS };

/* A word as it was written, and its lexemes. */
struct known_word {
    uint8_t length, lexeme_length[STEMS]; /* length 0: a free slot */
    char word[KNOWN_BYTES], lexeme[STEMS][KNOWN_BYTES];
};

struct lexemes {
    size_t length[STEMS]; /* 0: none */
    char text[STEMS][LEXEME_BYTES];
};

struct passage_words {
    struct language languages[STEMS]; /* OWN: without a stemmer if there is none */
    char language[CODE_BYTES];
    struct tsvector *vector;
    struct known_word *known;
};

static int open_all(struct passage_words *w, const char *language)
{
    snprintf(w->language, sizeof w->language, "%s", language);
    w->known = calloc(KNOWN_WORDS, sizeof *w->known);
    if (!w->known || !language_open("porter", &w->languages[PORTER]))
        return no_memory();
    w->languages[PORTER].code[0] = '\0';
    if (words_stemmed_apart(language) && !language_open(language, &w->languages[OWN]))
        return no_memory();
    return tsvector_open(&w->vector);
}

int passage_words_open(const char *language, struct passage_words **out)
{
    struct passage_words *w = *out = calloc(1, sizeof *w);
    int rc = w ? open_all(w, language) : no_memory();
    if (rc) {
        passage_words_close(w);
        *out = NULL;
    }
    return rc;
}

void passage_words_close(struct passage_words *w)
{
    if (!w)
        return;
    for (int i = 0; i < STEMS; i++)
        stemmer_close(w->languages[i].stemmer);
    tsvector_close(w->vector);
    free(w->known);
    free(w);
}

static void make_lexemes(const struct passage_words *w, struct text_slice word, struct lexemes *out)
{
    char folded[WORD_BYTES];
    size_t length = fold(word, folded);
    out->length[PORTER] = out->length[OWN] = 0;
    for (int i = 0; length && i < STEMS; i++) {
        const struct language *l = &w->languages[i];
        char stem[WORD_BYTES], *p = out->text[i];
        if (!l->stemmer)
            continue;
        memcpy(stem, folded, length);
        size_t n = stemmer_stem(l->stemmer, stem, length), code = strlen(l->code);
        memcpy(p, l->code, code);
        if (code)
            p[code++] = '/';
        memcpy(p + code, stem, n);
        out->length[i] = code + n;
    }
}

static void learn(struct known_word *slot, struct text_slice word, const struct lexemes *l)
{
    slot->length = 0;
    if (l->length[PORTER] > KNOWN_BYTES || l->length[OWN] > KNOWN_BYTES)
        return;
    slot->length = (uint8_t)word.length;
    memcpy(slot->word, word.text, word.length);
    for (int i = 0; i < STEMS; i++) {
        slot->lexeme_length[i] = (uint8_t)l->length[i];
        memcpy(slot->lexeme[i], l->text[i], l->length[i]);
    }
}

static struct known_word *slot_of(const struct passage_words *w, struct text_slice word)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < word.length; i++)
        hash = (hash ^ (unsigned char)word.text[i]) * 16777619u;
    return &w->known[(hash ^ hash >> 16) % KNOWN_WORDS];
}

static int add_lexeme(struct passage_words *w, const char *lexeme, size_t length, size_t position,
                      enum tsvector_weight weight)
{
    return length ? tsvector_add(w->vector, lexeme, length, position, weight) : OK;
}

static int add_known(struct passage_words *w, const struct known_word *k, size_t position,
                     enum tsvector_weight weight)
{
    int rc = add_lexeme(w, k->lexeme[PORTER], k->lexeme_length[PORTER], position, weight);
    return rc ? rc : add_lexeme(w, k->lexeme[OWN], k->lexeme_length[OWN], position, weight);
}

static int add_word(struct passage_words *w, struct text_slice word, size_t position,
                    enum tsvector_weight weight)
{
    struct lexemes made;
    struct known_word *slot = word.length <= KNOWN_BYTES ? slot_of(w, word) : NULL;
    if (slot && slot->length == word.length && !memcmp(slot->word, word.text, word.length))
        return add_known(w, slot, position, weight);
    make_lexemes(w, word, &made);
    if (slot)
        learn(slot, word, &made);
    int rc = add_lexeme(w, made.text[PORTER], made.length[PORTER], position, weight);
    return rc ? rc : add_lexeme(w, made.text[OWN], made.length[OWN], position, weight);
}

static int add_text(struct passage_words *w, const char *text, size_t length,
                    enum tsvector_weight weight, size_t *position)
{
    struct pieces pieces = {0};
    struct text_slice word;
    int rc = OK;
    word_scan_begin(&pieces.scan, text, length);
    while (!rc && *position < PASSAGE_WORDS && next_piece(&pieces, &word))
        rc = add_word(w, word, ++*position, weight);
    return rc;
}

int passage_words_write(struct passage_words *w, const char *heading, const char *text,
                        size_t length, struct buffer *out)
{
    size_t position = 0;
    tsvector_clear(w->vector);
    int rc = add_text(w, heading, strlen(heading), WEIGHT_A, &position);
    position++; /* no phrase reaches from the heading into the text, also if it is put before later
                 */
    if (!rc)
        rc = add_text(w, text, length, WEIGHT_D, &position);
    return rc ? rc : tsvector_write(w->vector, out);
}

/* ---- kept for the next passage ---- */

int words_pool_take(struct words_pool *pool, const char *language, struct passage_words **out)
{
    struct passage_words *found = NULL;
    pthread_mutex_lock(&pool->lock);
    for (size_t i = pool->count; !found && i-- > 0;)
        if (!strncmp(pool->idle[i]->language, language, CODE_BYTES - 1)) {
            found = pool->idle[i];
            pool->count--;
            memmove(&pool->idle[i], &pool->idle[i + 1], (pool->count - i) * sizeof found);
        }
    pthread_mutex_unlock(&pool->lock);
    *out = found;
    return found ? OK : passage_words_open(language, out);
}

/* The one that rested longest makes room. */
void words_pool_give(struct words_pool *pool, struct passage_words *w)
{
    struct passage_words *oldest = NULL;
    if (!w)
        return;
    pthread_mutex_lock(&pool->lock);
    if (pool->count == WORDS_POOL) {
        oldest = pool->idle[0];
        pool->count--;
        memmove(&pool->idle[0], &pool->idle[1], pool->count * sizeof oldest);
    }
    pool->idle[pool->count++] = w;
    pthread_mutex_unlock(&pool->lock);
    passage_words_close(oldest);
}

void words_pool_free(struct words_pool *pool)
{
    while (pool->count)
        passage_words_close(pool->idle[--pool->count]);
    pthread_mutex_destroy(&pool->lock);
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
