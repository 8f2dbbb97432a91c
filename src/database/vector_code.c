#include "database/vector_code.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "database/vector_half.h"
#include "shared/error.h"

/* Far above what some 10^4 roundings of doubles near 1 add up to (10^4 * 2^-53 = 1.1e-12). */
static const double ROUNDING = 1e-9;

enum { PART = 512 }; /* elements unpacked at a time */

struct row_size {
    double square; /* sum of squares; not finite if an element is not */
    float greatest;
};

static struct row_size measure(const uint16_t *row, size_t dimension)
{
    struct row_size size = {0};
    float x[PART];
    for (size_t i = 0; i < dimension; i += PART) {
        size_t n = dimension - i < PART ? dimension - i : PART;
        half_to_floats(row + i, n, x);
        for (size_t j = 0; j < n; j++) {
            size.square += (double)x[j] * x[j];
            size.greatest = fmaxf(size.greatest, fabsf(x[j]));
        }
    }
    return size;
}

/* Rounds, ties away from zero; |x| <= CODE_MAX but for rounding. */
static int8_t to_code(float x)
{
    int value = (int)(x < 0 ? x - 0.5F : x + 0.5F);
    return (int8_t)(value > CODE_MAX ? CODE_MAX : value < -CODE_MAX ? -CODE_MAX : value);
}

struct code_meta code_row(const uint16_t *row, size_t dimension, int8_t *codes)
{
    memset(codes, 0, code_stride(dimension));
    struct row_size size = measure(row, dimension);
    if (!isfinite(size.square) || size.square <= 0)
        return CODE_DEAD;
    double inverse = 1 / sqrt(size.square), error = 0;
    struct code_meta meta = {.scale = (float)(size.greatest * inverse / CODE_MAX)};
    float factor = CODE_MAX / size.greatest, x[PART];
    for (size_t i = 0; i < dimension; i += PART) {
        size_t n = dimension - i < PART ? dimension - i : PART;
        half_to_floats(row + i, n, x);
        for (size_t j = 0; j < n; j++) {
            codes[i + j] = to_code(x[j] * factor);
            double e = x[j] * inverse - (double)meta.scale * codes[i + j];
            error += e * e;
        }
    }
    meta.error = nextafterf((float)(sqrt(error) + ROUNDING), INFINITY);
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
