/*
 * json.h - small helpers over jansson, for documents that come from outside.
 */
#ifndef AEGIS_SHARED_JSON_H
#define AEGIS_SHARED_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/arena.h"
#include "shared/buffer.h"

/* Parses one document of `length` bytes. ERR_INVALID names `what`, the position and the reason. NUL
 * characters in strings are refused, duplicate keys too. The caller json_decrefs *out. */
int json_parse(const char *text, size_t length, const char *what, json_t **out);
/* The same, by the library alone: json_parse hands it long strings apart (json_lift.h), because it
 * reads character by character. */
int json_parse_whole(const char *text, size_t length, const char *what, json_t **out);

/* A member reached by a dotted path ("detail.object.key"); NULL if any step is missing. Borrowed.
 */
const json_t *json_at(const json_t *object, const char *path);

/* Its value if it has that type, else the fallback. Strings are borrowed. */
const char *json_string_at(const json_t *object, const char *path, const char *fallback);
int64_t json_int_at(const json_t *object, const char *path, int64_t fallback);
double json_number_at(const json_t *object, const char *path, double fallback);

/* Appends a JSON string literal, quoted and escaped; invalid UTF-8 becomes U+FFFD. */
int json_append_string(struct buffer *out, const char *text, size_t length);

/* json_dumps into the arena, compact, keys in insertion order; NULL with ERR_NO_MEMORY set. */
char *json_text(const json_t *value, struct arena *arena);

#endif
