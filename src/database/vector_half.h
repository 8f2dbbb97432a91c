/*
 * vector_half.h - float32 to IEEE 754 binary16 and back: embeddings rest in half precision.
 *
 * Rounds to nearest, ties to even; beyond 65504 becomes infinity; subnormals are kept; a NaN stays
 * a NaN. The same bits on every machine, whether the processor converts (F16C) or this code does.
 */
#ifndef AEGIS_DATABASE_VECTOR_HALF_H
#define AEGIS_DATABASE_VECTOR_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void half_from_floats(const float *in, size_t count, uint16_t *out);
void half_to_floats(const uint16_t *in, size_t count, float *out);

/* Does this processor convert by itself (F16C)? */
bool half_in_hardware(void);

#endif
