#include "shared/crc.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

enum { STEP = 8 };

static const struct {
    uint64_t polynomial; /* reflected: the lowest power is the highest bit */
    unsigned bits;
} kinds[CRC_KINDS] = {
    [CRC_32] = {0xedb88320, 32},
    [CRC_32C] = {0x82f63b78, 32},
    [CRC_64_NVME] = {0x9a6c9329ac4bc9b5, 64},
};

/* [i][b]: what the byte b becomes that has i bytes behind it in a step */
static uint64_t tables[CRC_KINDS][STEP][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t times_x(uint64_t value, uint64_t polynomial)
{
    return value & 1 ? value >> 1 ^ polynomial : value >> 1;
}

static void make_tables(void)
{
    for (int kind = 0; kind < CRC_KINDS; kind++)
        for (uint64_t byte = 0; byte < 256; byte++) {
            uint64_t value = byte;
            for (int bit = 0; bit < 8; bit++)
                value = times_x(value, kinds[kind].polynomial);
            tables[kind][0][byte] = value;
        }
    for (int kind = 0; kind < CRC_KINDS; kind++)
        for (int i = 1; i < STEP; i++)
            for (int byte = 0; byte < 256; byte++) {
                uint64_t value = tables[kind][i - 1][byte];
                tables[kind][i][byte] = value >> 8 ^ tables[kind][0][value & 0xff];
            }
}

static uint64_t ones(enum crc_kind kind)
{
    return ~UINT64_C(0) >> (64 - kinds[kind].bits);
}

uint64_t crc_of(enum crc_kind kind, const void *bytes, size_t length)
{
    const unsigned char *at = bytes, *end = at + length;
    pthread_once(&once, make_tables);
    uint64_t(*table)[256] = tables[kind], crc = ones(kind);
    for (; end - at >= STEP; at += STEP) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word) ^ crc;
        crc = table[7][word & 0xff] ^ table[6][word >> 8 & 0xff] ^ table[5][word >> 16 & 0xff] ^
              table[4][word >> 24 & 0xff] ^ table[3][word >> 32 & 0xff] ^
              table[2][word >> 40 & 0xff] ^ table[1][word >> 48 & 0xff] ^ table[0][word >> 56];
    }
    for (; at < end; at++)
        crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
    return crc ^ ones(kind);
}

/* ---- polynomials modulo the kind's own ---- */

static uint64_t multiply(enum crc_kind kind, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = UINT64_C(1) << (kinds[kind].bits - 1); bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = times_x(b, kinds[kind].polynomial);
    }
    return product;
}

uint64_t crc_shift(enum crc_kind kind, uint64_t crc, uint64_t behind)
{
    uint64_t power = UINT64_C(1) << (kinds[kind].bits - 1 - 8); /* x^8: one byte */
    for (; behind; behind >>= 1) {
        if (behind & 1)
            crc = multiply(kind, crc, power);
        power = multiply(kind, power, power);
    }
    return crc;
}
