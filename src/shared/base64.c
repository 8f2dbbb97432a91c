#include "shared/base64.h"

#include <pthread.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- portable: one table look-up a digit ---- */

/* The four digits of a group, each shifted to its place; BAD in what is no digit. */
enum { BAD = 1 << 24 };
static uint32_t digits[4][256];
static pthread_once_t digits_once = PTHREAD_ONCE_INIT;

static void make_digits(void)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int place = 0; place < 4; place++) {
        for (int c = 0; c < 256; c++)
            digits[place][c] = BAD;
        for (uint32_t i = 0; i < 64; i++)
            digits[place][(unsigned char)alphabet[i]] = i << (18 - 6 * place);
    }
}

static bool groups_portable(const unsigned char *p, size_t groups, unsigned char *out)
{
    uint32_t all = 0;
    pthread_once(&digits_once, make_digits);
    for (size_t i = 0; i < groups; i++, p += 4, out += 3) {
        uint32_t x = digits[0][p[0]] | digits[1][p[1]] | digits[2][p[2]] | digits[3][p[3]];
        all |= x;
        out[0] = (unsigned char)(x >> 16);
        out[1] = (unsigned char)(x >> 8);
        out[2] = (unsigned char)x;
    }
    return !(all & BAD);
}

/* ---- AVX2: eight groups at a time ---- */

#if defined(__x86_64__)

#define TWICE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

/*
 * W. Mula, D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2 Instructions", ACM
 * Transactions on the Web 12 (2018), section 6: two look-ups by the nibbles of a character tell
 * whether it is a digit, a third what to add to it to have its value; then the values are packed.
 * Returns how many groups were decoded, SIZE_MAX if there is another character.
 */
__attribute__((target("avx2"))) static size_t groups_avx2(const unsigned char *p, size_t groups,
                                                          unsigned char *out)
{
    const __m256i low_table = TWICE(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                    0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    const __m256i high_table = TWICE(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10,
                                     0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    const __m256i roll_table = TWICE(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i pack = TWICE(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7), slash = _mm256_set1_epi8('/');
    size_t done = 0;
    /* 32 bytes are stored for 24: the last of them have to be within `out` too */
    for (; (groups - done) * 3 >= 32; done += 8, p += 32, out += 24) {
        __m256i x = _mm256_loadu_si256((const __m256i *)p);
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(x, 4), slash);
        __m256i low = _mm256_and_si256(x, slash);
        if (!_mm256_testz_si256(_mm256_shuffle_epi8(low_table, low),
                                _mm256_shuffle_epi8(high_table, high)))
            return SIZE_MAX;
        __m256i roll = _mm256_add_epi8(_mm256_cmpeq_epi8(x, slash), high);
        x = _mm256_add_epi8(x, _mm256_shuffle_epi8(roll_table, roll));
        x = _mm256_maddubs_epi16(x, _mm256_set1_epi32(0x01400140));
        x = _mm256_madd_epi16(x, _mm256_set1_epi32(0x00011000));
        x = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(x, pack), join);
        _mm256_storeu_si256((__m256i *)out, x);
    }
    return done;
}

#endif

bool base64_groups(const char *text, size_t groups, void *out)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char *bytes = out;
    size_t done = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        done = groups_avx2(p, groups, bytes);
    if (done == SIZE_MAX)
        return false;
#endif
    return groups_portable(p + 4 * done, groups - done, bytes + 3 * done);
}
