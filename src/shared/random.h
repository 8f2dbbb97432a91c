/* random.h - randomness from the kernel (getrandom(2)). */
#ifndef AEGIS_SHARED_RANDOM_H
#define AEGIS_SHARED_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Cryptographically secure. Cannot fail once the kernel's pool is initialised. */
void random_bytes(void *out, size_t length);

/* Uniform in [0, bound); 0 when bound is 0. For jitter, not for secrets: a per-thread xorshift
 * generator seeded from the kernel. */
uint64_t random_below(uint64_t bound);

enum { TRACE_ID_TEXT = 33 };

/* A W3C trace-id: 32 lower-case hex digits, not all zero (https://www.w3.org/TR/trace-context/). */
void random_trace_id(char out[TRACE_ID_TEXT]);

#endif
