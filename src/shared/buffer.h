/*
 * buffer.h - a growing byte string with a mandatory cap (after curl's dynbuf).
 *
 * `data` is NUL-terminated whenever it is not NULL. Not thread-safe.
 */
#ifndef AEGIS_SHARED_BUFFER_H
#define AEGIS_SHARED_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
    size_t limit;
};

/* Allocates nothing yet. Reaching `limit` bytes is ERR_TOO_LARGE. */
void buffer_init(struct buffer *b, size_t limit);
void buffer_free(struct buffer *b);

/* Keeps the memory, drops the content. */
void buffer_clear(struct buffer *b);

/* Drops what is behind the first `length` bytes; does nothing if there are fewer. */
void buffer_truncate(struct buffer *b, size_t length);

/* Each returns 0, ERR_TOO_LARGE or ERR_NO_MEMORY; on failure the content is unchanged. */
int buffer_append(struct buffer *b, const void *bytes, size_t length);
int buffer_append_string(struct buffer *b, const char *text);
int buffer_append_char(struct buffer *b, char c);
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `more` bytes behind the content (for reading into data + length). */
int buffer_reserve(struct buffer *b, size_t more);

/* The content as a string; "" when empty. Borrowed. */
const char *buffer_string(const struct buffer *b);

/* Hands the malloc'd content over (the caller frees it) and empties the buffer. NULL when empty. */
char *buffer_take(struct buffer *b);

#endif
