#include "database/vector_half.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static uint16_t half_from_bits(uint32_t bits)
{
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN: quiet, keeps the top of its payload */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return sign | 0x7c00;
    if (magnitude < 0x33000000) /* below half of the least subnormal */
        return sign;
    uint32_t value, dropped, half;
    if (magnitude < 0x38800000) { /* subnormal: the leading one becomes explicit */
        int shift = 126 - (int)(magnitude >> 23);
        uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
        value = mantissa >> shift;
        dropped = mantissa & ((1u << shift) - 1);
        half = 1u << (shift - 1);
    } else {
        value = (magnitude - 0x38000000) >> 13;
        dropped = magnitude & 0x1fff;
        half = 0x1000;
    }
    if (dropped > half || (dropped == half && (value & 1)))
        value++; /* a carry into the exponent is the next power of two, as it should be */
    return (uint16_t)(sign | value);
}

static uint32_t half_to_bits(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
    if (exponent == 0x1f)
        return sign | 0x7f800000 | (mantissa ? 0x400000 : 0) | mantissa << 13;
    if (exponent)
        return sign | (exponent + 112) << 23 | mantissa << 13;
    if (!mantissa)
        return sign;
    int shift = __builtin_clz(mantissa) - 21; /* brings the leading one to bit 10 */
    return sign | (uint32_t)(113 - shift) << 23 | (mantissa << shift & 0x3ff) << 13;
}

static void from_floats_portable(const float *in, size_t count, uint16_t *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &in[i], sizeof bits);
        out[i] = half_from_bits(bits);
    }
}

static void to_floats_portable(const uint16_t *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = half_to_bits(in[i]);
        memcpy(&out[i], &bits, sizeof bits);
    }
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) static size_t from_floats_f16c(const float *in, size_t count,
                                                                   uint16_t *out)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 x = _mm256_loadu_ps(in + i);
        __m128i h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(out + i), h);
    }
    return i;
}

__attribute__((target("avx,f16c"))) static size_t to_floats_f16c(const uint16_t *in, size_t count,
                                                                 float *out)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(in + i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
    }
    return i;
}

static bool ask_processor(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* A constant of the machine, asked for once: cpuid traps in virtual machines. */
bool half_in_hardware(void)
{
    static atomic_int known; /* 0: not yet, 1: no, 2: yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (!answer) {
        answer = ask_processor() ? 2 : 1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}
#else
bool half_in_hardware(void)
{
    return false;
}
#endif

void half_from_floats(const float *in, size_t count, uint16_t *out)
{
    size_t done = 0;
#if defined(__x86_64__)
    if (half_in_hardware())
        done = from_floats_f16c(in, count, out);
#endif
    from_floats_portable(in + done, count - done, out + done);
}

void half_to_floats(const uint16_t *in, size_t count, float *out)
{
    size_t done = 0;
#if defined(__x86_64__)
    if (half_in_hardware())
        done = to_floats_f16c(in, count, out);
#endif
    to_floats_portable(in + done, count - done, out + done);
}
