/*
 * crc.h - cyclic redundancy checks that object stores keep of what they hold: CRC-32 (that of
 * zlib), CRC-32C (Castagnoli, RFC 3720) and CRC-64/NVME (NVM Express NVM Command Set, 5.2.1.3.4).
 *
 * All are reflected, begin with ones and are inverted at the end, and differ in their polynomial
 * alone. Eight bytes a step (M. E. Kounavis, F. L. Berry, "Novel Table Lookup-Based Algorithms for
 * High-Performance CRC Generation", 2008). Debian 12's libraries have the first alone.
 */
#ifndef AEGIS_SHARED_CRC_H
#define AEGIS_SHARED_CRC_H

#include <stddef.h>
#include <stdint.h>

enum crc_kind { CRC_32, CRC_32C, CRC_64_NVME, CRC_KINDS };

/* 0 for no bytes. */
uint64_t crc_of(enum crc_kind kind, const void *bytes, size_t length);

/* What bytes with this CRC contribute to the CRC of the same bytes with `behind` more after them:
 * the CRC of A and B one after the other is crc_shift(kind, CRC of A, length of B) ^ CRC of B. So
 * the parts of something may be reckoned in any order. */
uint64_t crc_shift(enum crc_kind kind, uint64_t crc, uint64_t behind);

#endif
