/*
 * utf8.h - makes any bytes into the text that Aegis keeps: valid UTF-8, newlines as \n, no NUL, no
 * byte order mark.
 *
 * An invalid sequence becomes one U+FFFD for each maximal subpart, as the Unicode Standard
 * recommends (version 15, section 3.9, "U+FFFD Substitution of Maximal Subparts").
 */
#ifndef AEGIS_MEDIA_UTF8_H
#define AEGIS_MEDIA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One sequence at p[0..n). Returns its length if valid; 0 if `n` ends within a sequence that is
 * valid so far; else minus the length of the maximal invalid subpart. n > 0. */
int utf8_sequence(const unsigned char *p, size_t n);

/* True if p[0..n) is valid; a sequence cut off by the end is allowed if `open_end`. */
bool utf8_valid(const char *p, size_t n, bool open_end);

/* How many bytes of p[0..n) come before the first one beyond ASCII. */
size_t utf8_ascii_run(const char *p, size_t n);

/* The length of p[0..n) cut to at most `limit` bytes without splitting a sequence. p is valid. */
size_t utf8_cut(const char *p, size_t n, size_t limit);

enum { UTF8_OUT = 32 << 10 };

struct utf8_filter {
    int (*write)(void *ctx, const char *text, size_t length); /* gets at most UTF8_OUT bytes */
    void *ctx;
    int64_t limit;     /* bytes of output; more is ERR_PERMANENT "too_large" */
    int64_t bytes;     /* written so far */
    int64_t invalid;   /* bytes of input that became U+FFFD */
    int64_t multibyte; /* valid characters beyond ASCII */
    bool begun;        /* the first bytes have been looked at for a byte order mark */
    bool after_cr;
    size_t carried; /* the beginning of a sequence whose rest is still to come */
    unsigned char carry[4];
    size_t used;
    char out[UTF8_OUT];
};

void utf8_filter_init(struct utf8_filter *f, int (*write)(void *, const char *, size_t), void *ctx,
                      int64_t limit);

/* ERR_PERMANENT "too_large", with the setting that raises the limit. */
int utf8_too_long(int64_t limit);

/* 0, "too_large", or what write returned. */
int utf8_filter_feed(struct utf8_filter *f, const void *bytes, size_t length);

/* Writes what is held back; a sequence still open is invalid. Can be fed again afterwards. */
int utf8_filter_flush(struct utf8_filter *f);

#endif
