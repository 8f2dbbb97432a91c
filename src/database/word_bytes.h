/*
 * word_bytes.h - words as numbers: nearly all have no more than eight bytes, and one number is
 * compared, hashed and sorted faster than a text.
 */
#ifndef AEGIS_DATABASE_WORD_BYTES_H
#define AEGIS_DATABASE_WORD_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t word_bytes4(const char *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof n);
    return be32toh(n);
}

/* The first eight of `length` (at least 1) bytes, the first one highest, zeros behind a shorter
 * word: heads are in the order of memcmp, and of two words without a zero byte that have no more
 * than eight, those with the same head are the same. Reads nothing beyond the word. */
static inline uint64_t word_head(const char *word, size_t length)
{
    const unsigned char *p = (const unsigned char *)word;
    if (length >= 8)
        return word_bytes4(word) << 32 | word_bytes4(word + 4);
    if (length >= 4) /* two halves that may overlap */
        return word_bytes4(word) << 32 | word_bytes4(word + length - 4) << (64 - 8 * length);
    return (uint64_t)p[0] << 56 | (uint64_t)p[length / 2] << (56 - 8 * (length / 2)) |
           (uint64_t)p[length - 1] << (64 - 8 * length);
}

/* Both halves of the product: each bit of the result depends on each of `n`. */
static inline uint64_t word_mix(uint64_t n)
{
    unsigned __int128 product = (unsigned __int128)n * 0x9e3779b97f4a7c15u; /* 2^64, golden ratio */
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t word_hash(const char *word, size_t length)
{
    uint64_t hash = word_mix(word_head(word, length) ^ length);
    for (size_t i = 8; i < length; i += 8)
        hash = word_mix(hash ^ word_head(word + i, length - i));
    return (uint32_t)(hash ^ hash >> 32);
}

#endif
