/*
 * vector_code.h - int8 codes of vectors, and what they prove about the cosine.
 *
 * Let x^ be a row divided by its norm, and q^ the query divided by its norm, both in exact
 * arithmetic. A row is coded as x^ = s c + e with int8 c; s and an upper bound E >= |e| are kept. A
 * query is coded as q^ = t d + f with d = 254 hi + lo in two int8 planes; F >= |f|. Then
 *
 *     q^ . x^ = (t d + f) . x^ = t d . (s c + e) + f . x^ = t s (d . c) + t d . e + f . x^
 *
 * and by Cauchy and Schwarz, as |x^| = 1,
 *
 *     | cosine - t s (d . c) |  <=  |t d| E + F .
 *
 * d . c is an integer, so the left product is known but for the rounding of doubles. So every
 * vector whose  t s (d . c) + |t d| E + F  lies below the k-th best exact cosine seen so far cannot
 * be among the k best; all others are computed exactly from their rows. Nothing is left to chance:
 * the codes decide only what need not be read.
 *
 * Internal to the vector index (and its tests).
 */
#ifndef AEGIS_DATABASE_VECTOR_CODE_H
#define AEGIS_DATABASE_VECTOR_CODE_H

#include <stdbool.h>

#include "database/vector_kernel.h"

/* What is kept beside a row's codes. A row that cannot be found (zero, not finite, removed) has the
 * mark CODE_DEAD: with error -4 no bound of it reaches a cosine. 8 bytes, written as one. */
struct code_meta {
    float scale; /* s */
    float error; /* E */
};
#define CODE_DEAD ((struct code_meta){.scale = 0, .error = -4})

static inline bool code_is_dead(struct code_meta meta)
{
    return !(meta.error >= 0);
}

/* Codes one row. `codes` gets code_stride(dimension) bytes. */
struct code_meta code_row(const uint16_t *row, size_t dimension, int8_t *codes);

struct code_query {
    struct vector_planes planes;
    float *exact;  /* the query as given, padded to row_stride */
    double norm;   /* of it */
    double step;   /* t */
    double length; /* |t d| */
    double error;  /* F, and the rounding of doubles */
    void *memory;
};

/* Codes a query; code_query_free releases it. ERR_INVALID: zero or not finite. ERR_NO_MEMORY. */
int code_query_init(struct code_query *query, const float *vector, size_t dimension);
void code_query_free(struct code_query *query);

static inline double code_estimate(const struct code_query *query, struct code_meta meta,
                                   int32_t hi, int32_t lo)
{
    return query->step * (double)meta.scale * (2.0 * CODE_MAX * hi + lo);
}

/* The greatest distance of the cosine from the estimate. */
static inline double code_bound(const struct code_query *query, struct code_meta meta)
{
    return query->length * (double)meta.error + query->error;
}

#endif
