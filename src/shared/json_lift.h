/*
 * json_lift.h - parsing JSON documents whose bulk is a few long strings (embeddings in base64,
 * whole texts) without copying those strings: they are lifted out first, and the parser sees the
 * small rest.
 *
 * A lifted string is replaced by a short stand-in and stays where it was in the document; what is
 * inside it is not looked at, so the reader of a lifted string judges its content (a base64 decoder
 * does; json_lifted_valid does for text). Everything else is judged by the parser as usual.
 */
#ifndef AEGIS_SHARED_JSON_LIFT_H
#define AEGIS_SHARED_JSON_LIFT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "shared/buffer.h"

/* A string as it stands in the document: between its quotes, escapes not undone. */
struct json_slice {
    const char *text;
    size_t length;
    bool escaped; /* holds backslashes */
};

struct json_lifted {
    struct json_slice *strings;
    size_t count, capacity;
    struct buffer rest; /* the document with the stand-ins */
};

/* Strings of at least `threshold` bytes (at least 16) are lifted. Fills *out, which the caller
 * frees with json_lifted_free in any case; out->strings point into `text`. 0, ERR_TOO_LARGE (`rest`
 * would pass `limit`) or ERR_NO_MEMORY. */
int json_lift(const char *text, size_t length, size_t threshold, size_t limit,
              struct json_lifted *out);

/* Parses `rest`: errors as json_parse. The caller json_decrefs *out. */
int json_lifted_parse(const struct json_lifted *lifted, const char *what, json_t **out);

/* The string that a parsed value stands for: the lifted one, or the value's own text (borrowed from
 * it, escapes undone). False if the value is not a string. A document that itself holds a stand-in
 * gets one of its own long strings, or is read literally. */
bool json_lifted_string(const struct json_lifted *lifted, const json_t *value,
                        struct json_slice *out);

/* Is the content of a lifted string what JSON allows: UTF-8, no control characters, escapes of
 * RFC 8259? */
bool json_lifted_valid(const struct json_slice *slice);

/* Parses a whole document with its strings of `threshold` bytes or more lifted and put back, so
 * that the result is json_parse_whole's, only sooner. False if that one has to be asked: the
 * document is not valid, or has a key that long, or something that looks like a stand-in. */
bool json_parse_lifted(const char *text, size_t length, size_t threshold, json_t **out);

void json_lifted_free(struct json_lifted *lifted);

#endif
