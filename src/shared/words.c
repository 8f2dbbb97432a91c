#include "shared/words.h"

#include <libstemmer.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>
#include <uniwbrk.h>

static bool is_ascii_letter(unsigned char c)
{
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

static bool is_ascii_digit(unsigned char c)
{
    return (unsigned char)(c - '0') < 10;
}

static bool is_ascii_word(unsigned char c)
{
    return is_ascii_letter(c) || is_ascii_digit(c) || c == '_';
}

size_t space_at(const char *p, const char *end)
{
    unsigned char c = (unsigned char)*p;
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    ucs4_t uc;
    int n = u8_mbtouc(&uc, (const uint8_t *)p, (size_t)(end - p));
    return uc_is_property_white_space(uc) ? (size_t)n : 0;
}

/* ---- words ---- */

void word_scan_begin(struct word_scan *scan, const char *text, size_t length)
{
    scan->at = text;
    scan->end = text + length;
    scan->window = scan->taken = 0;
}

/* Rules WB6, WB7, WB11 and WB12 for ASCII. The colon joins nothing here: in prose it never does. */
static bool joins(unsigned char before, unsigned char mid, unsigned char after)
{
    if (is_ascii_letter(before) && is_ascii_letter(after))
        return mid == '\'' || mid == '.';
    if (is_ascii_digit(before) && is_ascii_digit(after))
        return mid == '\'' || mid == '.' || mid == ',' || mid == ';';
    return false;
}

/* Length of the word that starts at p as far as it is ASCII; *whole is false if more than ASCII
 * may belong to it. */
static size_t ascii_word(const char *p, const char *end, bool *whole)
{
    const char *q = p;
    while (q < end && (is_ascii_word((unsigned char)*q) ||
                       (q > p && q + 1 < end &&
                        joins((unsigned char)q[-1], (unsigned char)*q, (unsigned char)q[1]))))
        q++;
    *whole = (q == end || !(*q & 0x80)) && (q + 1 >= end || *q != '\'' || !(q[1] & 0x80));
    return (size_t)(q - p);
}

static bool holds_alnum(const char *p, size_t length)
{
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x80) {
            if (c != '_' && is_ascii_word(c))
                return true;
            i++;
            continue;
        }
        ucs4_t uc;
        i += (size_t)u8_mbtouc(&uc, (const uint8_t *)p + i, length - i);
        if (uc_is_general_category_withtable(uc, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N))
            return true;
    }
    return false;
}

/* Opens a window up to the next ASCII white space, cut between characters if it is long. */
static void open_window(struct word_scan *scan)
{
    size_t left = (size_t)(scan->end - scan->at), n = 0;
    while (n < left && n < WORD_WINDOW && !(scan->at[n] >= 0 && scan->at[n] <= ' '))
        n++;
    if (n == WORD_WINDOW && n < left)
        for (int i = 0; i < 3 && n > 1 && (scan->at[n] & 0xc0) == 0x80; i++)
            n--;
    u8_wordbreaks((const uint8_t *)scan->at, n, scan->breaks);
    scan->window = n;
    scan->taken = 0;
}

static struct text_slice take_from_window(struct word_scan *scan)
{
    size_t from = scan->taken, to = from + 1;
    while (to < scan->window && !scan->breaks[to])
        to++;
    struct text_slice slice = {.text = scan->at + from, .length = to - from};
    scan->taken = to;
    if (to == scan->window) {
        scan->at += to;
        scan->window = 0;
    }
    return slice;
}

bool word_next(struct word_scan *scan, struct text_slice *out)
{
    for (;;) {
        if (scan->window) {
            *out = take_from_window(scan);
        } else {
            while (scan->at < scan->end && !(*scan->at & 0x80) &&
                   !is_ascii_word((unsigned char)*scan->at))
                scan->at++;
            if (scan->at == scan->end)
                return false;
            bool whole;
            size_t n = ascii_word(scan->at, scan->end, &whole);
            if (!whole) {
                open_window(scan);
                continue;
            }
            *out = (struct text_slice){.text = scan->at, .length = n};
            scan->at += n;
        }
        if (holds_alnum(out->text, out->length))
            return true;
    }
}

/* The longest prefix of at most WORD_BYTES that ends between characters. */
static size_t fitting(const uint8_t *text, size_t length)
{
    if (length <= WORD_BYTES)
        return length;
    size_t n = WORD_BYTES;
    while (n > 0 && (text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static size_t fold_unicode(const uint8_t *word, size_t length, char out[WORD_BYTES])
{
    uint8_t room[4 * WORD_BYTES];
    size_t n = sizeof room;
    if (length > WORD_BYTES)
        length = fitting(word, length);
    uint8_t *folded = u8_casefold(word, length, "", UNINORM_NFKC, room, &n);
    if (!folded)
        return 0;
    size_t written = 0;
    for (size_t i = 0; i < n;) {
        int step = u8_mblen(folded + i, n - i);
        if (step <= 0)
            step = 1;
        bool apostrophe = step == 3 && !memcmp(folded + i, "\xe2\x80\x99", 3);
        size_t need = apostrophe ? 1 : (size_t)step;
        if (written + need > WORD_BYTES)
            break;
        if (apostrophe)
            out[written] = '\'';
        else
            memcpy(out + written, folded + i, need);
        written += need;
        i += (size_t)step;
    }
    if (folded != room)
        free(folded);
    return written;
}

size_t word_fold(const char *word, size_t length, char out[WORD_BYTES])
{
    size_t n = length < WORD_BYTES ? length : WORD_BYTES;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)word[i];
        if (c & 0x80)
            return fold_unicode((const uint8_t *)word, length, out);
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return n;
}

/* Marks above and below letters; those of Indic scripts, which are letters in effect, stay. */
static bool is_accent(ucs4_t uc)
{
    int class = uc_combining_class(uc);
    return class == UC_CCC_A || class == UC_CCC_B || class == UC_CCC_ATB;
}

size_t word_unaccent(char word[WORD_BYTES], size_t length)
{
    size_t i = 0;
    while (i < length && !(word[i] & 0x80))
        i++;
    if (i == length)
        return length;
    uint8_t room[4 * WORD_BYTES];
    size_t n = sizeof room, written = 0;
    uint8_t *apart = u8_normalize(UNINORM_NFD, (const uint8_t *)word, length, room, &n);
    if (!apart)
        return length;
    for (size_t at = 0; at < n;) {
        ucs4_t uc;
        size_t step = (size_t)u8_mbtouc(&uc, apart + at, n - at);
        if (!is_accent(uc)) {
            if (written + step > WORD_BYTES)
                break;
            memcpy(word + written, apart + at, step);
            written += step;
        }
        at += step;
    }
    if (apart != room)
        free(apart);
    return written;
}

/* ---- stems ---- */

struct stemmer *stemmer_open(const char *language)
{
    bool norwegian = !strcmp(language, "nb") || !strcmp(language, "nn");
    return (struct stemmer *)sb_stemmer_new(norwegian ? "no" : language, "UTF_8");
}

void stemmer_close(struct stemmer *stemmer)
{
    sb_stemmer_delete((struct sb_stemmer *)stemmer);
}

size_t stemmer_stem(struct stemmer *stemmer, char word[WORD_BYTES], size_t length)
{
    if (!stemmer)
        return length;
    struct sb_stemmer *snowball = (struct sb_stemmer *)stemmer;
    const sb_symbol *stem = sb_stemmer_stem(snowball, (const sb_symbol *)word, (int)length);
    int n = stem ? sb_stemmer_length(snowball) : 0;
    if (n <= 0 || n > WORD_BYTES)
        return length;
    memcpy(word, stem, (size_t)n);
    return (size_t)n;
}
