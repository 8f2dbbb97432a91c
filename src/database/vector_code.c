#include "database/vector_code.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "database/vector_half.h"
#include "shared/error.h"

/* Far above what some 10^4 roundings of doubles near 1 add up to (10^4 * 2^-53 = 1.1e-12). */
static const double ROUNDING = 1e-9;

enum {
    PART = 512, /* elements unpacked at a time */
    LANES = 8,  /* sums side by side: no addition waits for the one before */
};

/* What is gathered over a row, a lane each; `square` is not finite if an element is not. */
struct row_sums {
    double square[LANES], error[LANES];
    float greatest[LANES];
};

struct row_scale {
    double inverse, step; /* of the row's length; between two codes of the normalised row */
    float factor;         /* from an element to its code */
};

/* Rounds, ties away from zero; |x| <= CODE_MAX but for rounding. */
static inline int to_code(float x)
{
    int value = (int)(x < 0 ? x - 0.5F : x + 0.5F);
    return value > CODE_MAX ? CODE_MAX : value < -CODE_MAX ? -CODE_MAX : value;
}

/* The two loops over a part of a row. Its `count` is a multiple of LANES. */
static inline __attribute__((always_inline)) void measure_lanes(const float *x, size_t count,
                                                                struct row_sums *sums)
{
    for (size_t i = 0; i < count; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            float size = x[i + j] < 0 ? -x[i + j] : x[i + j];
            sums->square[j] += (double)x[i + j] * x[i + j];
            sums->greatest[j] = size > sums->greatest[j] ? size : sums->greatest[j];
        }
}

static inline __attribute__((always_inline)) void
code_lanes(const float *x, size_t count, struct row_scale by, int8_t *codes, struct row_sums *sums)
{
    for (size_t i = 0; i < count; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            int code = to_code(x[i + j] * by.factor);
            double e = x[i + j] * by.inverse - by.step * code;
            codes[i + j] = (int8_t)code;
            sums->error[j] += e * e;
        }
}

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2,fma"), optimize("O3")))
WIDE static void measure_avx2(const float *x, size_t count, struct row_sums *sums)
{
    struct row_sums own = *sums;
    measure_lanes(x, count, &own);
    *sums = own;
}

WIDE static void code_avx2(const float *x, size_t count, struct row_scale by, int8_t *codes,
                           struct row_sums *sums)
{
    struct row_sums own = *sums;
    code_lanes(x, count, by, codes, &own);
    *sums = own;
}

static bool is_wide(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
#define measure_avx2 measure_lanes
#define code_avx2    code_lanes
static bool is_wide(void)
{
    return false;
}
#endif

/* Unpacks a part, zeros behind it, and returns its length in whole lanes. */
static size_t unpack(const uint16_t *row, size_t count, float x[PART])
{
    size_t padded = (count + LANES - 1) / LANES * LANES;
    half_to_floats(row, count, x);
    memset(x + count, 0, (padded - count) * sizeof *x);
    return padded;
}

static size_t part_length(size_t dimension, size_t from)
{
    return dimension - from < PART ? dimension - from : PART;
}

static double total(const double lanes[LANES])
{
    double sum = 0;
    for (size_t i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

static float greatest_of(const float lanes[LANES])
{
    float greatest = 0;
    for (size_t i = 0; i < LANES; i++)
        greatest = lanes[i] > greatest ? lanes[i] : greatest;
    return greatest;
}

struct code_meta code_row(const uint16_t *row, size_t dimension, int8_t *codes)
{
    bool wide = is_wide();
    struct row_sums sums = {0};
    float x[PART];
    int8_t part[PART];
    memset(codes, 0, code_stride(dimension));
    for (size_t i = 0; i < dimension; i += PART) {
        size_t n = unpack(row + i, part_length(dimension, i), x);
        (wide ? measure_avx2 : measure_lanes)(x, n, &sums);
    }
    double square = total(sums.square);
    float greatest = greatest_of(sums.greatest);
    if (!isfinite(square) || square <= 0)
        return CODE_DEAD;
    double inverse = 1 / sqrt(square);
    struct code_meta meta = {.scale = (float)(greatest * inverse / CODE_MAX)};
    struct row_scale by = {inverse, meta.scale, CODE_MAX / greatest};
    for (size_t i = 0; i < dimension; i += PART) {
        size_t length = part_length(dimension, i), n = unpack(row + i, length, x);
        if (wide)
            code_avx2(x, n, by, part, &sums);
        else
            code_lanes(x, n, by, part, &sums);
        memcpy(codes + i, part, length);
    }
    meta.error = nextafterf((float)(sqrt(total(sums.error)) + ROUNDING), INFINITY);
    return meta;
}

static int query_norm(const float *vector, size_t dimension, double *norm)
{
    double square = 0;
    for (size_t i = 0; i < dimension; i++)
        square += (double)vector[i] * vector[i];
    if (!isfinite(square) || square <= 0)
        return error_set(ERR_INVALID, "bad_vector",
                         "the query vector is zero or not finite: nothing can be near it");
    *norm = sqrt(square);
    return 0;
}

/* d = 254 hi + lo with |d| <= 127 * 254, so that both planes stay within CODE_MAX. */
static void split(struct code_query *query, const float *vector, size_t dimension, int8_t *hi,
                  int8_t *lo)
{
    const int span = 2 * CODE_MAX;
    double greatest = 0, length = 0, error = 0;
    for (size_t i = 0; i < dimension; i++)
        greatest = fmax(greatest, fabs(vector[i] / query->norm));
    query->step = greatest / (CODE_MAX * span);
    for (size_t i = 0; i < dimension; i++) {
        double x = vector[i] / query->norm;
        int d = (int)lrint(x / query->step);
        int h = (int)lrint((double)d / span);
        hi[i] = (int8_t)h;
        lo[i] = (int8_t)(d - h * span);
        query->planes.hi_sum += hi[i];
        query->planes.lo_sum += lo[i];
        double coded = query->step * d;
        length += coded * coded;
        error += (x - coded) * (x - coded);
    }
    query->length = sqrt(length) + ROUNDING;
    query->error = sqrt(error) + ROUNDING;
}

int code_query_init(struct code_query *query, const float *vector, size_t dimension)
{
    *query = (struct code_query){.planes.stride = code_stride(dimension)};
    int rc = query_norm(vector, dimension, &query->norm);
    if (rc)
        return rc;
    size_t stride = query->planes.stride, floats = row_stride(dimension) * sizeof(float);
    size_t total = 2 * stride + (floats + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN;
    char *memory = aligned_alloc(CODE_ALIGN, total);
    if (!memory)
        return error_set(ERR_NO_MEMORY, NULL, "no memory for a query of %zu dimensions", dimension);
    memset(memory, 0, total);
    query->memory = memory;
    query->exact = (float *)(void *)(memory + 2 * stride);
    memcpy(query->exact, vector, dimension * sizeof *vector);
    query->planes.hi = (int8_t *)memory;
    query->planes.lo = (int8_t *)memory + stride;
    split(query, vector, dimension, (int8_t *)memory, (int8_t *)memory + stride);
    return 0;
}

void code_query_free(struct code_query *query)
{
    free(query->memory);
    query->memory = NULL;
}
