#include "database/vector_kernel.h"

#include "database/vector_half.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The one order in which lanes are added up. */
static double fold(const double lane[8])
{
    double a = lane[0] + lane[4], b = lane[1] + lane[5];
    double c = lane[2] + lane[6], d = lane[3] + lane[7];
    return (a + c) + (b + d);
}

/* ---- portable ---- */

static void products_portable(const struct vector_planes *query, const int8_t *codes, size_t count,
                              int32_t *hi, int32_t *lo)
{
    for (size_t i = 0; i < count; i++, codes += query->stride) {
        int32_t h = 0, l = 0;
        for (size_t j = 0; j < query->stride; j++) {
            h += codes[j] * query->hi[j];
            l += codes[j] * query->lo[j];
        }
        hi[i] = h;
        lo[i] = l;
    }
}

static void exact_portable(const float *query, const uint16_t *row, size_t padded, double *dot,
                           double *square)
{
    double d[8] = {0}, s[8] = {0};
    for (size_t i = 0; i < padded; i += 8) {
        float x[8];
        half_to_floats(row + i, 8, x);
        for (size_t j = 0; j < 8; j++) {
            d[j] += (double)query[i + j] * x[j];
            s[j] += (double)x[j] * x[j];
        }
    }
    *dot = fold(d);
    *square = fold(s);
}

static const struct vector_kernel portable = {
    .name = "portable", .products = products_portable, .exact = exact_portable};

#if defined(__x86_64__)

/* ---- AVX2 with F16C ---- */

__attribute__((target("avx2"))) static int32_t sum8(__m256i v)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
    return _mm_cvtsi128_si32(x);
}

/* |c| * sign(q, c) = c * q; two products of at most 127 * 127 cannot saturate an int16. */
__attribute__((target("avx2"))) static __m256i multiply32(__m256i codes, __m256i magnitude,
                                                          const int8_t *query)
{
    __m256i q = _mm256_load_si256((const __m256i *)(const void *)query);
    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, codes));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

__attribute__((target("avx2"))) static void products_avx2(const struct vector_planes *query,
                                                          const int8_t *codes, size_t count,
                                                          int32_t *hi, int32_t *lo)
{
    for (size_t i = 0; i < count; i++, codes += query->stride) {
        __m256i h = _mm256_setzero_si256(), l = h;
        for (size_t j = 0; j < query->stride; j += 32) {
            __m256i c = _mm256_load_si256((const __m256i *)(const void *)(codes + j));
            __m256i magnitude = _mm256_abs_epi8(c);
            h = _mm256_add_epi32(h, multiply32(c, magnitude, query->hi + j));
            l = _mm256_add_epi32(l, multiply32(c, magnitude, query->lo + j));
        }
        hi[i] = sum8(h);
        lo[i] = sum8(l);
    }
}

__attribute__((target("avx2,f16c,fma"))) static void
exact_avx2(const float *query, const uint16_t *row, size_t padded, double *dot, double *square)
{
    __m256d d0 = _mm256_setzero_pd(), d1 = d0, s0 = d0, s1 = d0;
    for (size_t i = 0; i < padded; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(row + i));
        __m256 x = _mm256_cvtph_ps(h), q = _mm256_loadu_ps(query + i);
        __m256d x0 = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
        __m256d x1 = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
        __m256d q0 = _mm256_cvtps_pd(_mm256_castps256_ps128(q));
        __m256d q1 = _mm256_cvtps_pd(_mm256_extractf128_ps(q, 1));
        d0 = _mm256_fmadd_pd(q0, x0, d0);
        d1 = _mm256_fmadd_pd(q1, x1, d1);
        s0 = _mm256_fmadd_pd(x0, x0, s0);
        s1 = _mm256_fmadd_pd(x1, x1, s1);
    }
    double d[8], s[8];
    _mm256_storeu_pd(d, d0);
    _mm256_storeu_pd(d + 4, d1);
    _mm256_storeu_pd(s, s0);
    _mm256_storeu_pd(s + 4, s1);
    *dot = fold(d);
    *square = fold(s);
}

static const struct vector_kernel avx2 = {
    .name = "avx2", .products = products_avx2, .exact = exact_avx2};

/* ---- AVX-512 with VNNI ---- */

#define TARGET_512 __attribute__((target("avx512f,avx512bw,avx512vnni")))

/* vpdpbusd wants its first operand unsigned: codes + 128, and 128 * sum(query) taken off again. */
TARGET_512 static void products_512(const struct vector_planes *query, const int8_t *codes,
                                    size_t count, int32_t *hi, int32_t *lo)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    for (size_t i = 0; i < count; i++, codes += query->stride) {
        __m512i h = _mm512_setzero_si512(), l = h;
        for (size_t j = 0; j < query->stride; j += 64) {
            __m512i c = _mm512_xor_si512(_mm512_load_si512(codes + j), flip);
            h = _mm512_dpbusd_epi32(h, c, _mm512_load_si512(query->hi + j));
            l = _mm512_dpbusd_epi32(l, c, _mm512_load_si512(query->lo + j));
        }
        hi[i] = _mm512_reduce_add_epi32(h) - 128 * query->hi_sum;
        lo[i] = _mm512_reduce_add_epi32(l) - 128 * query->lo_sum;
    }
}

TARGET_512 static void exact_512(const float *query, const uint16_t *row, size_t padded,
                                 double *dot, double *square)
{
    __m512d d8 = _mm512_setzero_pd(), s8 = d8;
    for (size_t i = 0; i < padded; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(row + i));
        __m256 f = _mm512_castps512_ps256(_mm512_cvtph_ps(_mm256_castsi128_si256(h)));
        __m512d x = _mm512_cvtps_pd(f), q = _mm512_cvtps_pd(_mm256_loadu_ps(query + i));
        d8 = _mm512_fmadd_pd(q, x, d8);
        s8 = _mm512_fmadd_pd(x, x, s8);
    }
    double d[8], s[8];
    _mm512_storeu_pd(d, d8);
    _mm512_storeu_pd(s, s8);
    *dot = fold(d);
    *square = fold(s);
}

static const struct vector_kernel avx512 = {
    .name = "avx512vnni", .products = products_512, .exact = exact_512};

static const struct vector_kernel *const all[] = {&avx512, &avx2, &portable};

const struct vector_kernel *const *vector_kernels(size_t *count)
{
    size_t first = 2;
    if (half_in_hardware() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        first = 1;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vnni"))
            first = 0;
    }
    *count = sizeof all / sizeof all[0] - first;
    return all + first;
}

#else

static const struct vector_kernel *const all[] = {&portable};

const struct vector_kernel *const *vector_kernels(size_t *count)
{
    *count = 1;
    return all;
}

#endif
