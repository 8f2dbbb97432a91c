#include "shared/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

void buffer_init(struct buffer *b, size_t limit)
{
    /* half of the address space: doubling and adding cannot overflow below it */
    *b = (struct buffer){.limit = limit < SIZE_MAX / 2 ? limit : SIZE_MAX / 2};
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    b->data = NULL;
    b->length = b->capacity = 0;
}

void buffer_clear(struct buffer *b)
{
    b->length = 0;
    if (b->data)
        b->data[0] = '\0';
}

void buffer_truncate(struct buffer *b, size_t length)
{
    if (length >= b->length)
        return;
    b->length = length;
    b->data[length] = '\0';
}

int buffer_reserve(struct buffer *b, size_t more)
{
    if (more > b->limit || b->length > b->limit - more)
        return error_set(ERR_TOO_LARGE, "too_large",
                         "%zu bytes behind %zu pass the cap of %zu bytes", more, b->length,
                         b->limit);
    size_t need = b->length + more + 1;
    if (need <= b->capacity)
        return OK;
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    if (capacity > b->limit + 1)
        capacity = b->limit + 1;
    char *data = realloc(b->data, capacity);
    if (!data)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu bytes", capacity);
    data[b->length] = '\0';
    b->data = data;
    b->capacity = capacity;
    return OK;
}

int buffer_append(struct buffer *b, const void *bytes, size_t length)
{
    int rc = buffer_reserve(b, length);
    if (rc)
        return rc;
    if (length)
        memcpy(b->data + b->length, bytes, length);
    b->length += length;
    b->data[b->length] = '\0';
    return OK;
}

int buffer_append_string(struct buffer *b, const char *text)
{
    return buffer_append(b, text, strlen(text));
}

int buffer_append_char(struct buffer *b, char c)
{
    return buffer_append(b, &c, 1);
}

/* Into the room there is; what does not fit is formatted again once there is room for it. */
int buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    size_t room = b->data ? b->capacity - b->length : 0;
    int n = vsnprintf(room ? b->data + b->length : NULL, room, format, ap);
    va_end(ap);
    int rc = n < 0 ? error_set(ERR_INVALID, NULL, "unprintable format") : OK;
    if (!rc && ((size_t)n >= room || b->length + (size_t)n > b->limit)) {
        rc = buffer_reserve(b, (size_t)n);
        if (!rc)
            vsnprintf(b->data + b->length, (size_t)n + 1, format, again);
    }
    if (!rc)
        b->length += (size_t)n;
    else if (room)
        b->data[b->length] = '\0';
    va_end(again);
    return rc;
}

const char *buffer_string(const struct buffer *b)
{
    return b->data ? b->data : "";
}

char *buffer_take(struct buffer *b)
{
    char *data = b->data;
    if (b->length == 0) {
        free(data);
        data = NULL;
    }
    b->data = NULL;
    b->length = b->capacity = 0;
    return data;
}
