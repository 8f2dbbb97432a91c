#include "database/postgres_words.h"

#include <assert.h>
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

/* Words of a text without what joins letters: "keynote-2026.mp3" is three. In ASCII they are its
 * runs of letters and digits. Where there is more than that, up to the next white space, the rules
 * of words.h say where a word ends. */
struct pieces {
    const char *at, *end;
    bool scanning; /* up to `at` */
    struct word_scan scan;
    struct text_slice word; /* what is left of it */
};

static void pieces_begin(struct pieces *p, const char *text, size_t length)
{
    p->at = text;
    p->end = text + length;
    p->scanning = false;
}

static bool is_ascii_letter(unsigned char c)
{
    return (unsigned char)((c | 0x20) - 'a') < 26 || (unsigned char)(c - '0') < 10;
}

static bool is_letter(const char *p, size_t left, size_t *length)
{
    ucs4_t uc;
    *length = 1;
    if (!(*p & 0x80))
        return is_ascii_letter((unsigned char)*p);
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

static void scan_begin(struct pieces *p, const char *from)
{
    while (p->at < p->end && (unsigned char)*p->at > ' ')
        p->at++;
    word_scan_begin(&p->scan, from, (size_t)(p->at - from));
    p->word.length = 0;
    p->scanning = true;
}

static bool next_scanned(struct pieces *p, struct text_slice *out)
{
    do {
        skip(&p->word, span(p->word, false));
        if (p->word.length) {
            *out = (struct text_slice){p->word.text, span(p->word, true)};
            skip(&p->word, out->length);
            return true;
        }
    } while (word_next(&p->scan, &p->word));
    p->scanning = false;
    return false;
}

static bool next_piece(struct pieces *p, struct text_slice *out)
{
    for (;;) {
        if (p->scanning && next_scanned(p, out))
            return true;
        const char *from = p->at;
        while (from < p->end && !(*from & 0x80) && !is_ascii_letter((unsigned char)*from))
            from++;
        p->at = from;
        while (p->at < p->end && is_ascii_letter((unsigned char)*p->at))
            p->at++;
        if (p->at < p->end && (*p->at & 0x80)) {
            scan_begin(p, from);
            continue;
        }
        *out = (struct text_slice){from, (size_t)(p->at - from)};
        return out->length;
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

enum { KNOWN_WORDS = 16384, KNOWN_BYTES = 24, LEXEME_BYTES = CODE_BYTES + WORD_BYTES };

enum { PORTER, OWN, STEMS };

/* A word as it was written, and its lexemes; that of its own language is kept apart, as most have
 * none. A line of the cache. */
struct known_word {
    uint32_t passage;                     /* number of the last one it was in */
    uint32_t place[STEMS];                /* there, as tsvector_add gave it */
    uint8_t length, lexeme_length[STEMS]; /* length 0: a free slot */
    char word[KNOWN_BYTES], porter[KNOWN_BYTES];
};
static_assert(sizeof(struct known_word) == 64, "as wide as a line of the cache");

struct lexemes {
    size_t length[STEMS]; /* 0: none */
    char text[STEMS][LEXEME_BYTES];
};

struct passage_words {
    struct language languages[STEMS]; /* OWN: without a stemmer if there is none */
    char language[CODE_BYTES];
    struct tsvector *vector;
    struct known_word *known;
    char (*own)[KNOWN_BYTES]; /* of known, by its index; NULL: there are none */
    uint32_t passage;         /* counts them */
};

static int open_known(struct passage_words *w)
{
    size_t size = KNOWN_WORDS * sizeof *w->known;
    w->known = aligned_alloc(sizeof *w->known, size);
    if (w->known)
        memset(w->known, 0, size);
    if (w->languages[OWN].stemmer)
        w->own = calloc(KNOWN_WORDS, sizeof *w->own);
    return w->known && (w->own || !w->languages[OWN].stemmer) ? OK : no_memory();
}

static int open_all(struct passage_words *w, const char *language)
{
    snprintf(w->language, sizeof w->language, "%s", language);
    if (!language_open("porter", &w->languages[PORTER]))
        return no_memory();
    w->languages[PORTER].code[0] = '\0';
    if (words_stemmed_apart(language) && !language_open(language, &w->languages[OWN]))
        return no_memory();
    int rc = open_known(w);
    return rc ? rc : tsvector_open(&w->vector);
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
    free(w->own);
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

/* False: it is too long to be kept. */
static bool learn(const struct passage_words *w, struct known_word *slot, struct text_slice word,
                  const struct lexemes *l)
{
    slot->length = 0;
    slot->passage = 0;
    if (l->length[PORTER] > KNOWN_BYTES || l->length[OWN] > KNOWN_BYTES)
        return false;
    slot->length = (uint8_t)word.length;
    memcpy(slot->word, word.text, word.length);
    for (int i = 0; i < STEMS; i++)
        slot->lexeme_length[i] = (uint8_t)l->length[i];
    memcpy(slot->porter, l->text[PORTER], l->length[PORTER]);
    if (w->own)
        memcpy(w->own[slot - w->known], l->text[OWN], l->length[OWN]);
    return true;
}

static bool is_word(const struct known_word *slot, struct text_slice word)
{
    return slot->length == word.length && !memcmp(slot->word, word.text, word.length);
}

static size_t place_of(struct text_slice word)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < word.length; i++)
        hash = (hash ^ (unsigned char)word.text[i]) * 16777619u;
    return (hash ^ hash >> 16) % KNOWN_WORDS;
}

/* Where it is, or where it may be put: of two places that which was not used for longer. */
static struct known_word *slot_of(const struct passage_words *w, struct text_slice word,
                                  size_t place)
{
    struct known_word *first = &w->known[place], *second = &w->known[place ^ 1];
    if (is_word(first, word))
        return first;
    return is_word(second, word) || second->passage < first->passage ? second : first;
}

static int add_lexeme(struct passage_words *w, const char *lexeme, size_t length, size_t position,
                      enum tsvector_weight weight, uint32_t *place)
{
    *place = TSVECTOR_UNKNOWN;
    return length ? tsvector_add(w->vector, lexeme, length, position, weight, place) : OK;
}

static int add_known(struct passage_words *w, struct known_word *k, size_t position,
                     enum tsvector_weight weight)
{
    bool again = k->passage == w->passage;
    int rc = OK;
    k->passage = w->passage;
    for (int i = 0; !rc && i < STEMS && k->lexeme_length[i]; i++)
        rc = again ? tsvector_add_known(w->vector, k->place[i], position, weight)
                   : add_lexeme(w, i == PORTER ? k->porter : w->own[k - w->known],
                                k->lexeme_length[i], position, weight, &k->place[i]);
    return rc;
}

static int add_word(struct passage_words *w, struct text_slice word, size_t known_place,
                    size_t position, enum tsvector_weight weight)
{
    struct lexemes made;
    uint32_t place;
    int rc = OK;
    struct known_word *slot = word.length <= KNOWN_BYTES ? slot_of(w, word, known_place) : NULL;
    if (slot && is_word(slot, word))
        return add_known(w, slot, position, weight);
    make_lexemes(w, word, &made);
    if (slot && learn(w, slot, word, &made))
        return add_known(w, slot, position, weight);
    for (int i = 0; !rc && i < STEMS; i++)
        rc = add_lexeme(w, made.text[i], made.length[i], position, weight, &place);
    return rc;
}

/* The words ahead, whose places among those known are on their way from memory meanwhile: waiting
 * for each took half the time. */
enum { AHEAD = 16 };

struct ahead {
    struct text_slice words[AHEAD];
    size_t places[AHEAD], count;
};

static void look_ahead(const struct passage_words *w, struct pieces *pieces, struct ahead *out)
{
    struct text_slice word;
    for (out->count = 0; out->count < AHEAD && next_piece(pieces, &word); out->count++) {
        size_t place = place_of(word);
        __builtin_prefetch(&w->known[place]);
        __builtin_prefetch(&w->known[place ^ 1]);
        out->words[out->count] = word;
        out->places[out->count] = place;
    }
}

static int add_text(struct passage_words *w, const char *text, size_t length,
                    enum tsvector_weight weight, size_t *position)
{
    struct pieces pieces;
    struct ahead ahead;
    int rc = OK;
    pieces_begin(&pieces, text, length);
    do {
        look_ahead(w, &pieces, &ahead);
        for (size_t i = 0; !rc && i < ahead.count && *position < PASSAGE_WORDS; i++)
            rc = add_word(w, ahead.words[i], ahead.places[i], ++*position, weight);
    } while (!rc && ahead.count == AHEAD && *position < PASSAGE_WORDS);
    return rc;
}

int passage_words_write(struct passage_words *w, const char *heading, const char *text,
                        size_t length, struct buffer *out)
{
    size_t position = 0;
    tsvector_clear(w->vector);
    w->passage += w->passage == UINT32_MAX ? 2 : 1; /* 0 is no passage */
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
    struct pieces pieces;
    struct text_slice word;
    size_t words = 0;
    int rc = OK;
    pieces_begin(&pieces, term, length);
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
