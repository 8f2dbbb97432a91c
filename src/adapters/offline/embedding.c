#include "adapters/offline/embedding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/offline/terms.h"
#include "shared/error.h"

enum {
    UNIT = 1024,     /* fixed point: the weight of an ordinary word seen once */
    WORD_PLACES = 4, /* several places for one word: a single collision looks like no match */
    GRAM_PLACES = 2,
    GRAM_LENGTH = 4,
    GRAMS_OF_DOCUMENT = 18, /* n-grams' weight in percent of their word's */
    GRAMS_OF_QUERY = 30,
    GUESS = 50, /* percent of the weight of a stem in a language that is only a guess */
};

/* Distinct features of one text with their counts: open addressing, cleared after each text. */
struct feature {
    uint64_t hash;
    uint32_t weight; /* of one occurrence; 0: free */
    uint32_t count;
    unsigned places;
};

struct features {
    struct feature *slots;
    size_t mask, used;
};

static int features_init(struct features *f, size_t text_length)
{
    size_t slots = 256;
    while (slots < text_length + text_length / 2) /* a byte of text gives at most one feature */
        slots *= 2;
    f->slots = calloc(slots, sizeof *f->slots);
    f->mask = slots - 1;
    f->used = 0;
    if (!f->slots)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the features of a text");
    return OK;
}

static struct feature *find_feature(const struct features *f, uint64_t hash)
{
    size_t at = hash & f->mask;
    while (f->slots[at].weight && f->slots[at].hash != hash)
        at = (at + 1) & f->mask;
    return &f->slots[at];
}

static void add_feature(struct features *f, uint64_t hash, uint32_t weight, unsigned places)
{
    if (weight == 0 || f->used == f->mask)
        return;
    struct feature *slot = find_feature(f, hash);
    if (slot->weight == 0) {
        *slot = (struct feature){.hash = hash, .weight = weight, .places = places};
        f->used++;
    }
    slot->count++;
}

/* Length in characters as a stand-in for rarity. */
static uint32_t weight_of(const struct term *term)
{
    static const uint16_t by_length[] = {0, 400, 500, 700, 850, 1000, 1100, 1200, 1280};
    enum { LONGEST = sizeof by_length / sizeof by_length[0] - 1 };
    size_t characters = 0;
    bool digits = true;
    for (size_t i = 0; i < term->length; i++) {
        characters += (term->word[i] & 0xc0) != 0x80;
        digits &= term->word[i] >= '0' && term->word[i] <= '9';
    }
    if (digits)
        return 700;
    return by_length[characters < LONGEST ? characters : LONGEST];
}

static size_t next_character(const char *text, size_t length, size_t at)
{
    for (at++; at < length && (text[at] & 0xc0) == 0x80;)
        at++;
    return at;
}

/* All runs of GRAM_LENGTH characters of "^word$". */
static void add_grams(struct features *f, const struct term *term, uint32_t weight)
{
    char marked[WORD_BYTES + 2];
    size_t length = term->length + 2, starts[GRAM_LENGTH] = {0}, seen = 0;
    marked[0] = '^';
    memcpy(marked + 1, term->word, term->length);
    marked[length - 1] = '$';
    for (size_t at = 0; at < length; seen++) {
        size_t next = next_character(marked, length, at);
        starts[seen % GRAM_LENGTH] = at;
        if (seen + 1 >= GRAM_LENGTH) {
            size_t from = starts[(seen + 1) % GRAM_LENGTH];
            add_feature(f, term_hash('g', marked + from, next - from), weight, GRAM_PLACES);
        }
        at = next;
    }
}

static void add_term(struct features *f, const struct term *term, const struct term *before,
                     uint32_t grams_percent)
{
    if (term->ideographic) {
        add_feature(f, term->stem, UNIT / 4, WORD_PLACES);
        if (before->ideographic && before->slice.text + before->slice.length == term->slice.text)
            add_feature(f, term_mix(before->stem * 31 + term->stem), UNIT, WORD_PLACES);
        return;
    }
    uint32_t weight = weight_of(term);
    add_feature(f, term->stem, weight, WORD_PLACES);
    add_grams(f, term, weight * grams_percent / 100);
}

static void add_text(struct features *f, struct term_scan *scan, const char *text, size_t length,
                     uint32_t grams_percent, bool stop_words)
{
    struct term term = {.length = 0}, before = {.length = 0};
    term_scan_text(scan, text, length);
    while (term_next(scan, &term)) {
        if (!term.stop || stop_words)
            add_term(f, &term, &before, grams_percent);
        before = term;
    }
}

/* A query of a few words may be in any language: the stems it would have in others are added,
 * unless they are those it has already. */
static void add_guesses(struct features *f, const struct stopwords *stopwords, const char *text,
                        size_t length)
{
    for (int i = 0; i < STOPWORD_LANGUAGES; i++) {
        struct term_scan scan;
        struct term term;
        term_scan_begin(&scan, stopwords, stopwords_language(i));
        term_scan_text(&scan, text, length);
        while (term_next(&scan, &term))
            if (!term.stop && !term.ideographic && find_feature(f, term.stem)->weight == 0)
                add_feature(f, term.stem, weight_of(&term) * GUESS / 100, WORD_PLACES);
        term_scan_end(&scan);
    }
}

/* UNIT * (1 + ln n), from a table so that no library's logarithm enters. */
static int64_t damped(uint32_t count)
{
    static const int16_t table[] = {0,    1024, 1734, 2149, 2444, 2672, 2859, 3017, 3153,
                                    3274, 3382, 3479, 3569, 3651, 3726, 3797, 3863};
    enum { LAST = sizeof table / sizeof table[0] - 1 };
    int64_t halvings = 0;
    while (count > LAST) {
        count = (count + 1) / 2;
        halvings++;
    }
    return table[count] + halvings * 710; /* ln 2 */
}

/* Places share a feature's energy: each gets weight / sqrt(places), 1/2 or about 0.7. */
static void scatter(const struct features *f, int64_t sums[EMBEDDING_DIMENSION])
{
    for (size_t i = 0; i <= f->mask; i++) {
        const struct feature *slot = &f->slots[i];
        if (slot->weight == 0)
            continue;
        int64_t value = slot->weight * damped(slot->count) * (slot->places == 4 ? 5 : 7) / 10;
        uint64_t hash = slot->hash;
        for (unsigned place = 0; place < slot->places; place++) {
            hash = term_mix(hash + 0x9e3779b97f4a7c15ull);
            size_t at = (size_t)((hash >> 32) * EMBEDDING_DIMENSION >> 32);
            sums[at] += hash & 1 ? value : -value;
        }
    }
}

static void normalise(const int64_t sums[EMBEDDING_DIMENSION], float *out)
{
    unsigned __int128 squares = 0; /* exact, in whatever order a compiler adds */
    for (int i = 0; i < EMBEDDING_DIMENSION; i++)
        squares += (unsigned __int128)((__int128)sums[i] * sums[i]);
    double norm = sqrt((double)squares);
    if (squares == 0) { /* everything cancelled out: still a unit vector */
        memset(out, 0, EMBEDDING_DIMENSION * sizeof *out);
        out[0] = 1;
        return;
    }
    for (int i = 0; i < EMBEDDING_DIMENSION; i++)
        out[i] = (float)((double)sums[i] / norm);
}

int embedding_of(const struct stopwords *stopwords, struct language_detector *detector,
                 enum embed_purpose purpose, const char *text, size_t length, float *out)
{
    struct features features;
    struct term_scan scan;
    int64_t sums[EMBEDDING_DIMENSION] = {0};
    char language[LANGUAGE_TEXT];
    uint32_t percent = purpose == EMBED_QUERY ? GRAMS_OF_QUERY : GRAMS_OF_DOCUMENT;
    if (length > EMBEDDING_TEXT)
        length = EMBEDDING_TEXT;
    int rc = features_init(&features, length);
    if (rc)
        return rc;
    language_detect(detector, text, length, language);
    term_scan_begin(&scan, stopwords, language);
    add_text(&features, &scan, text, length, percent, false);
    if (purpose == EMBED_QUERY && !*language)
        add_guesses(&features, stopwords, text, length);
    if (features.used == 0)
        add_text(&features, &scan, text, length, percent, true);
    if (features.used == 0) /* no words at all: the text as it is */
        add_feature(&features, term_hash('t', text, length), UNIT, WORD_PLACES);
    scatter(&features, sums);
    normalise(sums, out);
    term_scan_end(&scan);
    free(features.slots);
    return OK;
}
