/*
 * tsvector.h - a tsvector in PostgreSQL's binary form (tsvectorrecv, src/backend/utils/adt/
 * tsvector.c): int32 number of lexemes; of each its text and a NUL, uint16 number of positions, the
 * positions as uint16 with the weight in the top two bits, all big endian. Lexemes come in the
 * order of tsCompareString (memcmp, the shorter first), so that the server need not sort them, and
 * no byte of text is parsed there.
 */
#ifndef AEGIS_DATABASE_TSVECTOR_H
#define AEGIS_DATABASE_TSVECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "shared/buffer.h"

enum tsvector_weight { WEIGHT_D = 0, WEIGHT_A = 3 };

/* The server's limits: further positions of a lexeme are left out; positions stay at the last. */
enum { TSVECTOR_POSITIONS = 255, TSVECTOR_LAST_POSITION = (1 << 14) - 1 };
/* Of lexemes and positions; the server takes 1 MiB. Lexemes beyond are left out. */
enum { TSVECTOR_BYTES = (1 << 20) - 4096 };

/* One in the making, to be used over and over; one thread at a time. */
struct tsvector;
int tsvector_open(struct tsvector **out); /* ERR_NO_MEMORY */
void tsvector_close(struct tsvector *v);  /* NULL is fine */

void tsvector_clear(struct tsvector *v);
/* Positions must not fall; a position given twice counts once. The lexeme holds no NUL byte.
 * ERR_NO_MEMORY. */
int tsvector_add(struct tsvector *v, const char *lexeme, size_t length, size_t position,
                 enum tsvector_weight weight);
/* Appends the binary form. ERR_NO_MEMORY, ERR_TOO_LARGE (the buffer's cap). */
int tsvector_write(struct tsvector *v, struct buffer *out);

#endif
