/*
 * terms.h - what a text is made of, for counting: its words folded, freed of accents and elided
 * articles, stemmed, and told apart from function words.
 */
#ifndef AEGIS_OFFLINE_TERMS_H
#define AEGIS_OFFLINE_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include "adapters/offline/stopwords.h"
#include "shared/words.h"

struct term {
    struct text_slice slice; /* where it stands in the text */
    char word[WORD_BYTES];   /* folded, without accents; not NUL-terminated */
    size_t length;
    uint64_t stem;    /* hash of its stem: equal for "pump" and "pumping" in an English text */
    bool stop;        /* a function word or a single Latin letter */
    bool ideographic; /* one letter of a script without spaces: meaning comes in pairs of them */
};

struct term_scan {
    struct word_scan words;
    const struct stopwords *stopwords;
    struct stemmer *stemmer;
    language_set stop_in;
};

/* `language` is ISO 639-1; "" means unsure: stems and function words are then English's, which
 * leave most other languages' words alone. Ends with term_scan_end. */
void term_scan_begin(struct term_scan *scan, const struct stopwords *stopwords,
                     const char *language);
void term_scan_text(struct term_scan *scan, const char *text, size_t length);
bool term_next(struct term_scan *scan, struct term *out);
void term_scan_end(struct term_scan *scan);

/* FNV-1a with a finaliser, of `kind` and the bytes: the same on every machine. */
uint64_t term_hash(unsigned char kind, const char *bytes, size_t length);
uint64_t term_mix(uint64_t hash);

#endif
