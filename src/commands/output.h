/*
 * output.h - what people see: terminals, colours, text made safe to show, humane numbers, JSON.
 */
#ifndef AEGIS_COMMANDS_OUTPUT_H
#define AEGIS_COMMANDS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/arena.h"
#include "yyjson.h"

struct terminal {
    bool out_tty, err_tty;
    bool out_color, err_color;
    int width; /* columns of standard output's terminal; 80 if it is none */
};

/* `color` is "auto", "always" or "never"; auto honours NO_COLOR (https://no-color.org) and
 * TERM=dumb. */
void terminal_look(struct terminal *t, const char *color);
/* The present width of the terminal on `fd`; 80 if it is none. */
int terminal_width(int fd);

enum style { STYLE_NONE, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

/* The escape sequence that starts a style, or "" without colours; STYLE_NONE ends it. */
const char *style_text(bool color, enum style style);

/* `text` (UTF-8 from anywhere) made safe for a terminal: control characters, bidirectional
 * overrides and bytes that are not UTF-8 become U+FFFD, newlines and tabs a blank. In the arena;
 * never NULL (on exhaustion ""). */
const char *text_clean(struct arena *arena, const char *text);
const char *text_clean_n(struct arena *arena, const char *text, size_t length);
/* As text_clean, but newlines stay. */
const char *text_clean_lines(struct arena *arena, const char *text);

/* Columns a clean text takes on a terminal (UAX #11, by libunistring). */
int text_columns(const char *clean);

/* At most `columns` columns of it, the last one "…" if something was cut off. */
const char *text_truncate(struct arena *arena, const char *clean, int columns);

/* Prints a clean text as a paragraph of at most `width` columns with `indent` blanks before each
 * line. */
void print_wrapped(FILE *out, const char *clean, int indent, int width);

/* ---- numbers for people; each writes at most HUMAN_TEXT bytes and returns `out` ---- */

enum { HUMAN_TEXT = 32 };
char *human_bytes(int64_t bytes, char out[HUMAN_TEXT]); /* "1.4 MiB", "-" for -1 */
/* "$0.0012", "$0", "unknown price", "$0.10+" (known part of a sum with unpriced calls) */
char *human_cost(int64_t nanousd, bool known, char out[HUMAN_TEXT]);
char *human_duration(int64_t ms, char out[HUMAN_TEXT]); /* "850 ms", "12 s", "3 min 5 s", "2 h" */
char *human_ago(int64_t then_ms, int64_t now_ms,
                char out[HUMAN_TEXT]);                  /* "5 min ago", else a date */
char *human_count(int64_t count, char out[HUMAN_TEXT]); /* "12,345" */

/* ---- JSON ---- */

/* Values of a document under construction; texts are copied. A value that there is no memory for is
 * NULL, and so is what holds it. */

/* A JSON string of any bytes (what is not UTF-8 becomes U+FFFD); null for NULL. */
yyjson_mut_val *js(yyjson_mut_doc *doc, const char *text);
yyjson_mut_val *js_time(yyjson_mut_doc *doc, int64_t unix_ms); /* RFC 3339; null for 0 */
/* US dollars; null if not known */
yyjson_mut_val *js_cost(yyjson_mut_doc *doc, int64_t nanousd, bool known);
yyjson_mut_val *js_position(yyjson_mut_doc *doc, int64_t ms); /* milliseconds; null below 0 */
yyjson_mut_val *js_real(yyjson_mut_doc *doc, double value);   /* 12 digits of it */
yyjson_mut_val *js_strings(yyjson_mut_doc *doc, const char *const *texts, size_t count);
/* An object of keys (that outlive the document) and values: key, value, ..., NULL. */
yyjson_mut_val *js_object(yyjson_mut_doc *doc, ...);

/* Writes a value to standard output, compact. */
void print_json_value(const yyjson_mut_val *value);
/* Prints a document with a newline, indented on a terminal, and frees it. */
void print_json(const struct terminal *t, yyjson_mut_doc *doc, yyjson_mut_val *root);
/* One object on one line; frees the document. */
void print_json_line(yyjson_mut_doc *doc, yyjson_mut_val *object);

#endif
