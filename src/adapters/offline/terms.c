#include "adapters/offline/terms.h"

#include <string.h>
#include <unictype.h>
#include <unistr.h>

/* The finaliser of MurmurHash3 (A. Appleby). */
uint64_t term_mix(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
    return hash ^ hash >> 33;
}

uint64_t term_hash(unsigned char kind, const char *bytes, size_t length)
{
    uint64_t h = (14695981039346656037ull ^ kind) * 1099511628211ull;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)bytes[i]) * 1099511628211ull;
    return term_mix(h);
}

void term_scan_begin(struct term_scan *scan, const struct stopwords *stopwords,
                     const char *language)
{
    if (!*language)
        language = "en";
    int index = stopwords_index(language);
    scan->stopwords = stopwords;
    scan->stemmer = stemmer_open(language);
    scan->stop_in = index >= 0 ? (language_set)1 << index : 0;
}

void term_scan_text(struct term_scan *scan, const char *text, size_t length)
{
    word_scan_begin(&scan->words, text, length);
}

void term_scan_end(struct term_scan *scan)
{
    stemmer_close(scan->stemmer);
    scan->stemmer = NULL;
}

/* "l'ete" becomes "ete" and "pump's" "pump". */
static size_t drop_elision(char word[WORD_BYTES], size_t length)
{
    char *apostrophe = memchr(word, '\'', length);
    if (!apostrophe)
        return length;
    size_t before = (size_t)(apostrophe - word), after = length - before - 1;
    bool article = before <= 2 || (before == 4 && !memcmp(word + 2, "ll", 2));
    if (after == 1 && apostrophe[1] == 's')
        return before;
    if (!article)
        return length;
    memmove(word, apostrophe + 1, after);
    return after;
}

/* Scripts without spaces (Han, kana, Thai, ...) have letters of category Lo, which come as words of
 * one character. */
static bool is_ideographic(const char *word, size_t length)
{
    if (length < 3 || !(word[0] & 0x80))
        return false;
    ucs4_t uc;
    int n = u8_mbtouc(&uc, (const uint8_t *)word, length);
    return (size_t)n == length && uc_is_general_category_withtable(uc, UC_CATEGORY_MASK_Lo);
}

static bool is_stop(const struct term_scan *scan, const char *word, size_t length)
{
    if (length == 0 || (length == 1 && !(word[0] >= '0' && word[0] <= '9')))
        return true;
    return stopwords_find(scan->stopwords, word, length) & scan->stop_in;
}

bool term_next(struct term_scan *scan, struct term *out)
{
    char stem[WORD_BYTES];
    size_t n;
    do {
        if (!word_next(&scan->words, &out->slice))
            return false;
        n = word_fold(out->slice.text, out->slice.length, stem);
    } while (n == 0);
    memcpy(out->word, stem, n);
    out->length = word_unaccent(out->word, n);
    out->stop = is_stop(scan, out->word, out->length);
    out->length = drop_elision(out->word, out->length);
    out->stop = out->stop || is_stop(scan, out->word, out->length);
    out->ideographic = is_ideographic(out->word, out->length);
    n = stemmer_stem(scan->stemmer, stem, drop_elision(stem, n));
    out->stem = term_hash('w', stem, word_unaccent(stem, n));
    return true;
}
