#include "database/postgres_words.h"

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

#include "database/word_bytes.h"
#include "shared/error.h"
#include "shared/words.h"

enum { CODE_BYTES = STEM_CODE_BYTES, TERM_WORDS = 64 };

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

/* How many of the eight bytes from p on are ASCII letters and digits before the first that is none;
 * all eight are looked at at once. */
static unsigned letters_at(const char *p)
{
    static const uint64_t each = 0x0101010101010101u, high = 0x80 * each;
    uint64_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    bytes = le64toh(bytes);
    uint64_t low = bytes & ~high, lower = low | 0x20 * each; /* of no sum below there is a carry */
    uint64_t from_a = lower + (0x80 - 'a') * each, above_z = lower + (0x7f - 'z') * each;
    uint64_t from_0 = low + (0x80 - '0') * each, above_9 = low + (0x7f - '9') * each;
    uint64_t others = ~((from_a & ~above_z) | (from_0 & ~above_9)) | bytes;
    others &= high;
    return others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

static const char *letters_end(const char *p, const char *end)
{
    unsigned n = 8;
    while (n == 8 && end - p >= 8)
        p += n = letters_at(p);
    while (n == 8 && p < end && is_ascii_letter((unsigned char)*p))
        p++;
    return p;
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
        p->at = letters_end(from, p->end);
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

enum { LEXEME_BYTES = CODE_BYTES + WORD_BYTES };

enum { PORTER, OWN, STEMS };

struct passage_words {
    struct language languages[STEMS]; /* OWN: without a stemmer if there is none */
    char language[CODE_BYTES];
    struct tsvector *vector;
    struct stem_caches *caches;
    struct stem_cache *known[STEMS]; /* while a passage is written; NULL: nothing is known */
};

static int open_all(struct passage_words *w, const char *language)
{
    snprintf(w->language, sizeof w->language, "%s", language);
    if (!language_open("porter", &w->languages[PORTER]))
        return no_memory();
    w->languages[PORTER].code[0] = '\0';
    if (words_stemmed_apart(language) && !language_open(language, &w->languages[OWN]))
        return no_memory();
    return tsvector_open(&w->vector);
}

static void words_close(struct passage_words *w)
{
    if (!w)
        return;
    for (int i = 0; i < STEMS; i++)
        stemmer_close(w->languages[i].stemmer);
    tsvector_close(w->vector);
    free(w);
}

static int words_open(const char *language, struct stem_caches *caches, struct passage_words **out)
{
    struct passage_words *w = *out = calloc(1, sizeof *w);
    int rc = w ? open_all(w, language) : no_memory();
    if (rc) {
        words_close(w);
        *out = NULL;
        return rc;
    }
    w->caches = caches;
    return OK;
}

/* Its length; 0 if nothing is left of the word. */
static size_t make_lexeme(const struct language *l, struct text_slice word, char out[LEXEME_BYTES])
{
    char stem[WORD_BYTES];
    size_t length = fold(word, stem), code = strlen(l->code);
    if (!length)
        return 0;
    length = stemmer_stem(l->stemmer, stem, length);
    memcpy(out, l->code, code);
    if (code)
        out[code++] = '/';
    memcpy(out + code, stem, length);
    return code + length;
}

static int add_lexeme(struct passage_words *w, const char *lexeme, size_t length, size_t position,
                      enum tsvector_weight weight)
{
    return length ? tsvector_add(w->vector, lexeme, length, position, weight) : OK;
}

static int add_word(struct passage_words *w, int stem, struct text_slice word, uint32_t hash,
                    size_t position, enum tsvector_weight weight)
{
    char lexeme[LEXEME_BYTES];
    const struct known_word *known =
        w->known[stem] ? stem_cache_find(w->known[stem], word.text, word.length, hash) : NULL;
    if (known)
        return add_lexeme(w, known->stem, known->stem_length, position, weight);
    size_t length = make_lexeme(&w->languages[stem], word, lexeme);
    if (w->known[stem])
        stem_cache_add(w->known[stem], word.text, word.length, hash, lexeme, length);
    return add_lexeme(w, lexeme, length, position, weight);
}

static int add_stems(struct passage_words *w, struct text_slice word, uint32_t hash,
                     size_t position, enum tsvector_weight weight)
{
    int rc = OK;
    for (int i = 0; !rc && i < STEMS; i++)
        if (w->languages[i].stemmer)
            rc = add_word(w, i, word, hash, position, weight);
    return rc;
}

/* The words ahead, whose places among those known are on their way from memory meanwhile: waiting
 * for each took half the time. */
enum { AHEAD = 16 };

struct ahead {
    struct text_slice words[AHEAD];
    uint32_t hashes[AHEAD];
    size_t count;
};

static void look_ahead(const struct passage_words *w, struct pieces *pieces, struct ahead *out)
{
    struct text_slice word;
    for (out->count = 0; out->count < AHEAD && next_piece(pieces, &word); out->count++) {
        uint32_t hash = word_hash(word.text, word.length);
        for (int i = 0; i < STEMS; i++)
            if (w->known[i])
                stem_cache_prefetch(w->known[i], hash);
        out->words[out->count] = word;
        out->hashes[out->count] = hash;
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
            rc = add_stems(w, ahead.words[i], ahead.hashes[i], ++*position, weight);
    } while (!rc && ahead.count == AHEAD && *position < PASSAGE_WORDS);
    return rc;
}

static void take_known(struct passage_words *w)
{
    for (int i = 0; i < STEMS; i++)
        if (w->languages[i].stemmer)
            w->known[i] = stem_caches_take(w->caches, w->languages[i].code);
}

static void give_known(struct passage_words *w)
{
    for (int i = 0; i < STEMS; i++)
        stem_caches_give(w->caches, w->known[i]);
}

int passage_words_write(struct passage_words *w, const char *heading, const char *text,
                        size_t length, struct buffer *out)
{
    size_t position = 0;
    tsvector_clear(w->vector);
    take_known(w);
    int rc = add_text(w, heading, strlen(heading), WEIGHT_A, &position);
    position++; /* no phrase reaches from the heading into the text */
    if (!rc)
        rc = add_text(w, text, length, WEIGHT_D, &position);
    give_known(w);
    return rc ? rc : tsvector_write(w->vector, out);
}

/* ---- kept for the next passage ---- */

void words_pool_init(struct words_pool *pool)
{
    *pool = (struct words_pool){0};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_mutex_init(&pool->caches.lock, NULL);
}

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
    return found ? OK : words_open(language, &pool->caches, out);
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
    words_close(oldest);
}

void words_pool_free(struct words_pool *pool)
{
    while (pool->count)
        words_close(pool->idle[--pool->count]);
    stem_caches_free(&pool->caches);
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
