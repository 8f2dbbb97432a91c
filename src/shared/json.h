/*
 * json.h - small helpers over yyjson, for documents that come from outside.
 */
#ifndef AEGIS_SHARED_JSON_H
#define AEGIS_SHARED_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "yyjson.h"

/* Parses one document of `length` bytes, an object or an array (RFC 8259). ERR_INVALID names
 * `what`, the reason and, where there is one, the position. NUL characters in strings are refused,
 * so that every string is a C string too; so are duplicate keys, and what is nested deeper than
 * CAP_JSON_DEPTH. The caller yyjson_doc_frees *out, which is NULL after an error. */
int json_parse(const char *text, size_t length, const char *what, yyjson_doc **out);
/* The same without a copy: strings of *out are what the buffer holds, their escapes undone in
 * place. The buffer's content is used up and has to outlive *out. Positions are bytes, not lines.
 */
int json_parse_in_place(struct buffer *text, const char *what, yyjson_doc **out);

/* A member reached by a dotted path ("detail.object.key"); NULL if any step is missing. Borrowed.
 */
yyjson_val *json_at(yyjson_val *object, const char *path);

/* Its value if it has that type, else the fallback. Strings are borrowed. */
const char *json_string_at(yyjson_val *object, const char *path, const char *fallback);
int64_t json_int_at(yyjson_val *object, const char *path, int64_t fallback);
double json_number_at(yyjson_val *object, const char *path, double fallback);

/* Appends a JSON string literal, quoted and escaped; invalid UTF-8 becomes U+FFFD. */
int json_append_string(struct buffer *out, const char *text, size_t length);

#endif
