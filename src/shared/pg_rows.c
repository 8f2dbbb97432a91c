#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "shared/pg_internal.h"

/* pg_type.dat: these never change */
enum { OID_FLOAT4 = 700 };

void pg_rows_free(struct pg_rows *rows)
{
    if (rows->result)
        PQclear((PGresult *)rows->result);
    *rows = (struct pg_rows){0};
}

void pg_rows_free_all(struct pg_rows *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pg_rows_free(&rows[i]);
}

bool pg_is_null(const struct pg_rows *rows, int row, int column)
{
    assert(row >= 0 && row < rows->count && column >= 0 && column < PQnfields(pg_result(rows)));
    return PQgetisnull(pg_result(rows), row, column);
}

size_t pg_length(const struct pg_rows *rows, int row, int column)
{
    return pg_is_null(rows, row, column) ? 0 : (size_t)PQgetlength(pg_result(rows), row, column);
}

const char *pg_peek(const struct pg_rows *rows, int row, int column)
{
    return pg_is_null(rows, row, column) ? "" : PQgetvalue(pg_result(rows), row, column);
}

static uint64_t big_endian(const unsigned char *p, size_t length)
{
    uint64_t n = 0;
    for (size_t i = 0; i < length; i++)
        n = n << 8 | p[i];
    return n;
}

int64_t pg_int(const struct pg_rows *rows, int row, int column)
{
    const unsigned char *p = (const unsigned char *)pg_peek(rows, row, column);
    switch (pg_length(rows, row, column)) {
    case 1:
        return p[0];
    case 2:
        return (int16_t)big_endian(p, 2);
    case 4: /* an oid is unsigned, but below 2^31 in any database that was not made to wrap */
        return (int32_t)big_endian(p, 4);
    case 8:
        return (int64_t)big_endian(p, 8);
    default:
        return 0;
    }
}

double pg_real(const struct pg_rows *rows, int row, int column)
{
    const unsigned char *p = (const unsigned char *)pg_peek(rows, row, column);
    size_t length = pg_length(rows, row, column);
    uint64_t bits = length <= 8 ? big_endian(p, length) : 0;
    if (PQftype(pg_result(rows), column) == OID_FLOAT4 && length == 4) {
        uint32_t narrow = (uint32_t)bits;
        float x;
        memcpy(&x, &narrow, 4);
        return (double)x;
    }
    double x;
    memcpy(&x, &bits, 8);
    return length == 8 ? x : 0;
}

const char *pg_text(const struct pg_rows *rows, int row, int column, struct arena *arena)
{
    return arena_strndup(arena, pg_peek(rows, row, column), pg_length(rows, row, column));
}

void pg_copy(const struct pg_rows *rows, int row, int column, char *out, size_t size)
{
    snprintf(out, size, "%s", pg_peek(rows, row, column));
}

bool pg_bytes(const struct pg_rows *rows, int row, int column, void *out, size_t length)
{
    bool fits = !pg_is_null(rows, row, column) && pg_length(rows, row, column) == length;
    if (fits)
        memcpy(out, pg_peek(rows, row, column), length);
    else
        memset(out, 0, length);
    return fits;
}

/* The numbers behind the head of a vector of this dimension and width; NULL if it is another. */
static const unsigned char *numbers(const struct pg_rows *rows, int row, int column,
                                    size_t dimension, size_t width)
{
    const unsigned char *p = (const unsigned char *)pg_peek(rows, row, column);
    size_t length = pg_length(rows, row, column);
    return length == 4 + dimension * width && big_endian(p, 2) == dimension ? p + 4 : NULL;
}

bool pg_floats(const struct pg_rows *rows, int row, int column, float *out, size_t dimension)
{
    const unsigned char *p = numbers(rows, row, column, dimension, 4);
    for (size_t i = 0; p && i < dimension; i++) {
        uint32_t n;
        memcpy(&n, p + 4 * i, 4);
        n = be32toh(n);
        memcpy(&out[i], &n, 4);
    }
    return p != NULL;
}

bool pg_halves(const struct pg_rows *rows, int row, int column, uint16_t *out, size_t dimension)
{
    const unsigned char *p = numbers(rows, row, column, dimension, 2);
    for (size_t i = 0; p && i < dimension; i++) {
        uint16_t n;
        memcpy(&n, p + 2 * i, 2);
        out[i] = be16toh(n);
    }
    return p != NULL;
}

size_t pg_ints(const struct pg_rows *rows, int row, int column, int64_t *out, size_t max)
{
    const unsigned char *p = (const unsigned char *)pg_peek(rows, row, column);
    const unsigned char *end = p + pg_length(rows, row, column);
    if (end - p < 20 || big_endian(p, 4) != 1)
        return 0;
    size_t count = (size_t)big_endian(p + 12, 4), i = 0;
    for (p += 20; i < count && end - p >= 4; i++) {
        uint32_t length = (uint32_t)big_endian(p, 4);
        p += 4;
        bool number = length == 8 && end - p >= 8;
        if (i < max)
            out[i] = number ? (int64_t)big_endian(p, 8) : 0;
        p += number ? 8 : 0;
    }
    return i;
}
