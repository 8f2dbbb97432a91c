/*
 * Parameters to PostgreSQL's binary formats: array_send (src/backend/utils/adt/arrayfuncs.c),
 * vector_send and halfvec_send (pgvector): int16 dimension, int16 zero, the numbers big endian.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/pg_internal.h"

#define TEXT_ARRAY_AS_BYTES 1 /* number of a PG_TEXT_ARRAY: struct pg_bytes[], not char *[] */

static const struct {
    bool array;
    enum pg_type element;
} shapes[PG_TYPES] = {
    [PG_INT8_ARRAY] = {true, PG_INT8},         [PG_FLOAT8_ARRAY] = {true, PG_FLOAT8},
    [PG_TEXT_ARRAY] = {true, PG_TEXT},         [PG_BYTEA_ARRAY] = {true, PG_BYTEA},
    [PG_VECTOR_ARRAY] = {true, PG_VECTOR},     [PG_HALFVEC_ARRAY] = {true, PG_HALFVEC},
    [PG_TSVECTOR_ARRAY] = {true, PG_TSVECTOR},
};

static bool is_null(const struct pg_value *v)
{
    switch (v->type) {
    case PG_INT8:
    case PG_BOOL:
    case PG_FLOAT8:
        return v->null;
    default: /* an array of nothing needs no pointer; of vectors, NULL makes NULL elements */
        return v->null || (!shapes[v->type].array && !v->data);
    }
}

/* ---- sizes ---- */

/* Of element `i` of an array; NULL: its length is 0. */
static const void *element(const struct pg_value *v, size_t i, size_t *length)
{
    const struct pg_bytes *bytes = v->data;
    const char *const *texts = v->data;
    *length = 0;
    if (v->type == PG_TEXT_ARRAY && v->number != TEXT_ARRAY_AS_BYTES) {
        *length = texts[i] ? strlen(texts[i]) : 0;
        return texts[i];
    }
    *length = bytes[i].data ? bytes[i].length : 0;
    return bytes[i].data;
}

static size_t vector_size(const struct pg_value *v)
{
    bool half = v->type == PG_HALFVEC || v->type == PG_HALFVEC_ARRAY;
    return 4 + v->dimension * (half ? 2 : 4);
}

enum { ARRAY_HEAD = 20 };

/* Room in the scratch; 0 for what is passed as it is. */
static size_t encoded_size(const struct pg_value *v)
{
    size_t size = ARRAY_HEAD, length;
    switch (v->type) {
    case PG_INT8:
    case PG_FLOAT8:
        return 8;
    case PG_BOOL:
        return 1;
    case PG_VECTOR:
    case PG_HALFVEC:
        return vector_size(v);
    case PG_INT8_ARRAY:
    case PG_FLOAT8_ARRAY:
        return ARRAY_HEAD + v->count * 12;
    case PG_VECTOR_ARRAY:
    case PG_HALFVEC_ARRAY:
        return ARRAY_HEAD + v->count * (4 + (v->data ? vector_size(v) : 0));
    case PG_TEXT_ARRAY:
    case PG_BYTEA_ARRAY:
    case PG_TSVECTOR_ARRAY:
        for (size_t i = 0; i < v->count; i++) {
            element(v, i, &length);
            size += 4 + length;
        }
        return size;
    default:
        return 0;
    }
}

/* ---- writing ---- */

static unsigned char *put32(unsigned char *p, uint32_t n)
{
    n = htobe32(n);
    memcpy(p, &n, 4);
    return p + 4;
}

static unsigned char *put64(unsigned char *p, uint64_t n)
{
    n = htobe64(n);
    memcpy(p, &n, 8);
    return p + 8;
}

static unsigned char *put_real(unsigned char *p, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return put64(p, bits);
}

static unsigned char *put_vector(unsigned char *p, const struct pg_value *v, const void *numbers)
{
    p = put32(p, (uint32_t)v->dimension << 16);
    if (v->type == PG_HALFVEC || v->type == PG_HALFVEC_ARRAY) {
        const uint16_t *in = numbers;
        for (size_t i = 0; i < v->dimension; i++, p += 2) {
            uint16_t n = htobe16(in[i]);
            memcpy(p, &n, 2);
        }
        return p;
    }
    const uint32_t *in = numbers;
    for (size_t i = 0; i < v->dimension; i++)
        p = put32(p, in[i]);
    return p;
}

static const uint32_t NULL_LENGTH = UINT32_MAX; /* -1 */

static unsigned char *put_element(unsigned char *p, const struct pg_value *v, size_t i)
{
    size_t length, width;
    const void *bytes;
    switch (v->type) {
    case PG_INT8_ARRAY:
        return put64(put32(p, 8), (uint64_t)((const int64_t *)v->data)[i]);
    case PG_FLOAT8_ARRAY:
        return put_real(put32(p, 8), ((const double *)v->data)[i]);
    case PG_VECTOR_ARRAY:
    case PG_HALFVEC_ARRAY:
        if (!v->data)
            return put32(p, NULL_LENGTH);
        width = vector_size(v) - 4;
        return put_vector(put32(p, (uint32_t)width + 4), v,
                          (const unsigned char *)v->data + i * width);
    default:
        bytes = element(v, i, &length);
        p = put32(p, bytes ? (uint32_t)length : NULL_LENGTH);
        if (length)
            memcpy(p, bytes, length);
        return p + length;
    }
}

static bool has_nulls(const struct pg_value *v)
{
    size_t length;
    if (v->type == PG_VECTOR_ARRAY || v->type == PG_HALFVEC_ARRAY)
        return !v->data;
    if (v->type == PG_INT8_ARRAY || v->type == PG_FLOAT8_ARRAY)
        return false;
    for (size_t i = 0; i < v->count; i++)
        if (!element(v, i, &length))
            return true;
    return false;
}

static unsigned char *put_array(unsigned char *p, const struct pg *c, const struct pg_value *v)
{
    p = put32(p, v->count > 0); /* dimensions of the array: one, or none */
    p = put32(p, has_nulls(v));
    p = put32(p, c->types[shapes[v->type].element]);
    if (!v->count)
        return p;
    p = put32(p, (uint32_t)v->count);
    p = put32(p, 1); /* the first index */
    for (size_t i = 0; i < v->count; i++)
        p = put_element(p, v, i);
    return p;
}

static unsigned char *put_value(unsigned char *p, const struct pg *c, const struct pg_value *v)
{
    switch (v->type) {
    case PG_INT8:
        return put64(p, (uint64_t)v->number);
    case PG_FLOAT8:
        return put_real(p, v->real);
    case PG_BOOL:
        *p = v->number != 0;
        return p + 1;
    case PG_VECTOR:
    case PG_HALFVEC:
        return put_vector(p, v, v->data);
    default:
        return put_array(p, c, v);
    }
}

/* ---- all of a statement ---- */

static int reserve(struct pg *c, size_t size)
{
    if (size <= c->scratch_size)
        return OK;
    size = (size + KIB(16)) & ~(KIB(16) - 1);
    unsigned char *scratch = realloc(c->scratch, size);
    if (!scratch)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a statement of %zu bytes", size);
    c->scratch = scratch;
    c->scratch_size = size;
    return OK;
}

/* PostgreSQL takes less than 1 GiB for one value. */
static int check(const struct pg *c, const struct pg_value *values, size_t count, size_t *total)
{
    if (count > PG_PARAMETERS)
        return error_set(ERR_SYSTEMIC, "database_error", "a statement with %zu parameters", count);
    for (size_t i = 0; i < count; i++) {
        const struct pg_value *v = &values[i];
        size_t size = is_null(v) ? 0 : encoded_size(v);
        if (!c->types[v->type])
            return error_set(ERR_SYSTEMIC, "database_schema",
                             "the database '%s' has no type %s: it needs pgvector%s; run `aegis db "
                             "migrate`",
                             pg_pool_name(c->pool),
                             v->type == PG_HALFVEC || v->type == PG_HALFVEC_ARRAY ? "halfvec"
                                                                                  : "vector",
                             c->server.vector_version ? " 0.7 or later" : "");
        if (size > GIB(1) - KIB(1) || v->dimension > 16000)
            return error_set(ERR_TOO_LARGE, "database_limit",
                             "a value of %zu bytes is more than PostgreSQL takes", size);
        *total += size;
    }
    return OK;
}

static void pass_through(const struct pg_value *v, struct pg_encoded *out, size_t i)
{
    size_t length = v->type == PG_TEXT && v->number < 0 ? strlen(v->data) : (size_t)v->number;
    out->values[i] = v->data;
    out->lengths[i] = (int)length;
}

int pg_encode(struct pg *c, const struct pg_value *values, size_t count, struct pg_encoded *out)
{
    size_t total = 0;
    int rc = check(c, values, count, &total);
    if (!rc)
        rc = reserve(c, total);
    if (rc)
        return rc;
    unsigned char *p = c->scratch;
    for (size_t i = 0; i < count; i++) {
        const struct pg_value *v = &values[i];
        out->types[i] = c->types[v->type];
        out->formats[i] = 1;
        out->values[i] = NULL;
        out->lengths[i] = 0;
        if (is_null(v))
            continue;
        if (v->type == PG_TEXT || v->type == PG_BYTEA || v->type == PG_TSVECTOR) {
            pass_through(v, out, i);
            continue;
        }
        unsigned char *end = put_value(p, c, v);
        out->values[i] = (const char *)p;
        out->lengths[i] = (int)(end - p);
        p = end;
    }
    return OK;
}
