/*
 * vector_kernel.h - the inner loops of the vector index, one set per kind of processor.
 *
 * All sets give identical bits: the code products are integers; the exact products of a float32 and
 * a float16 (24 and 11 significant bits) are exact in double, and every set adds them in the same
 * eight lanes and folds the lanes in the same order.
 *
 * Internal to the vector index (and its tests).
 */
#ifndef AEGIS_DATABASE_VECTOR_KERNEL_H
#define AEGIS_DATABASE_VECTOR_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    CODE_ALIGN = 64, /* codes are padded with zeros to this many bytes, and aligned to it */
    ROW_ALIGN = 8,   /* rows are padded with zeros to this many elements */
    CODE_MAX = 127,  /* codes lie in -CODE_MAX..CODE_MAX; -128 never occurs */
};

/* A query in two int8 planes: about hi * (2 * CODE_MAX) + lo, in units of some step. */
struct vector_planes {
    const int8_t *hi, *lo;  /* CODE_ALIGN-aligned, padded as codes are */
    int32_t hi_sum, lo_sum; /* of the elements */
    size_t stride;          /* bytes of one plane and of one vector's codes */
};

struct vector_kernel {
    const char *name;
    /* Integer products of `count` adjacent codes with both planes. */
    void (*products)(const struct vector_planes *query, const int8_t *codes, size_t count,
                     int32_t *hi, int32_t *lo);
    /* dot = query . row and square = row . row, over `padded` elements (a multiple of ROW_ALIGN).
     */
    void (*exact)(const float *query, const uint16_t *row, size_t padded, double *dot,
                  double *square);
};

/* The sets this processor can run, best first, the portable one last. */
const struct vector_kernel *const *vector_kernels(size_t *count);

static inline size_t code_stride(size_t dimension)
{
    return (dimension + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN;
}

static inline size_t row_stride(size_t dimension)
{
    return (dimension + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
}

#endif
