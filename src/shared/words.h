/*
 * words.h - words, sentences and stems of UTF-8 text.
 *
 * Words follow UAX #29 (https://www.unicode.org/reports/tr29/) by libunistring; stems are
 * Snowball's (https://snowballstem.org) by libstemmer. Nothing here depends on the locale or keeps
 * state between calls. Text should be valid UTF-8; anything else is scanned without harm, its bytes
 * just are no words.
 */
#ifndef AEGIS_SHARED_WORDS_H
#define AEGIS_SHARED_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* A stretch of the text scanned; borrowed, not NUL-terminated. */
struct text_slice {
    const char *text;
    size_t length;
};

/* ---- words ---- */

enum { WORD_WINDOW = 256 };

/* Opaque; a local variable of the caller's. */
struct word_scan {
    const char *at, *end;
    size_t window, taken; /* bytes at `at` whose breaks are known, and how many are used up */
    char breaks[WORD_WINDOW];
};

void word_scan_begin(struct word_scan *scan, const char *text, size_t length);

/* The next word: a stretch between two word boundaries that holds a letter or digit. Ideographs
 * come one by one. A stretch of more than WORD_WINDOW bytes without ASCII white space may be cut
 * once a window. False at the end. */
bool word_next(struct word_scan *scan, struct text_slice *out);

/* Longest folded word or stem in bytes; longer words are cut at a character. */
enum { WORD_BYTES = 64 };

/* Case-folded and in Unicode's NFKC form, typographic apostrophes as '. Returns the length written
 * (0 if nothing is left); `out` is not NUL-terminated. */
size_t word_fold(const char *word, size_t length, char out[WORD_BYTES]);

/* Takes accents off a folded word ("café" gives "cafe"). In place; returns the new length. */
size_t word_unaccent(char word[WORD_BYTES], size_t length);

/* ---- stems ---- */

/* One thread at a time. */
struct stemmer;

/* For an ISO 639-1 code; NULL if Snowball has none for it (or memory is short): words then stay as
 * they are. */
struct stemmer *stemmer_open(const char *language);
void stemmer_close(struct stemmer *stemmer);

/* Stems a folded word in place; returns the new length. A NULL stemmer changes nothing. */
size_t stemmer_stem(struct stemmer *stemmer, char word[WORD_BYTES], size_t length);

/* ---- sentences ---- */

/* Opaque; a local variable of the caller's. */
struct sentence_scan {
    const char *at, *end;
    bool lines; /* every line ends a sentence */
};

/* Sees first whether the text is prose, wrapped into lines, or lines without sentence ends (as the
 * draft transcripts are), where each line is taken for a sentence. */
void sentence_scan_begin(struct sentence_scan *scan, const char *text, size_t length);

/* The next sentence, trimmed, never empty. Sentences end after . ! ? and their kin of other scripts
 * (rules SB6 to SB11 of UAX #29, plus a few abbreviations and initials), at blank lines, at
 * Markdown headings and list items, and at the latest after SENTENCE_BYTES, between words. False at
 * the end. */
enum { SENTENCE_BYTES = 800 };
bool sentence_next(struct sentence_scan *scan, struct text_slice *out);

/* ---- characters ---- */

/* Length of the white space character at p (property White_Space), 0 if it is none. */
size_t space_at(const char *p, const char *end);

#endif
