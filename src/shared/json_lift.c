#include "shared/json_lift.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "shared/error.h"
#include "shared/json.h"

/* The stand-in of string 12 is "\u000112": a control character that no sensible text begins with.
 */
enum { MARK = 1 };

/* The quote that ends the string whose content begins at `p`; NULL if there is none. A quote is
 * content if an odd number of backslashes stands before it. */
static const char *closing_quote(const char *p, const char *end)
{
    const char *begin = p;
    while ((p = memchr(p, '"', (size_t)(end - p)))) {
        size_t backslashes = 0;
        while (p - backslashes > begin && p[-(ptrdiff_t)backslashes - 1] == '\\')
            backslashes++;
        if (backslashes % 2 == 0)
            return p;
        p++;
    }
    return NULL;
}

static int remember(struct json_lifted *out, const char *text, size_t length)
{
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? out->capacity * 2 : 8;
        struct json_slice *strings = realloc(out->strings, capacity * sizeof *strings);
        if (!strings)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for a JSON document");
        out->strings = strings;
        out->capacity = capacity;
    }
    out->strings[out->count++] = (struct json_slice){
        .text = text, .length = length, .escaped = memchr(text, '\\', length) != NULL};
    return OK;
}

/* Appends [from, begin) and the stand-in of the string [begin, end). */
static int stand_in(struct json_lifted *out, const char *from, const char *begin, const char *end)
{
    char mark[24];
    int n = snprintf(mark, sizeof mark, "\\u%04x%zu", MARK, out->count);
    int rc = buffer_append(&out->rest, from, (size_t)(begin - from));
    if (!rc)
        rc = buffer_append(&out->rest, mark, (size_t)n);
    return rc ? rc : remember(out, begin, (size_t)(end - begin));
}

int json_lift(const char *text, size_t length, size_t threshold, size_t limit,
              struct json_lifted *out)
{
    *out = (struct json_lifted){0};
    buffer_init(&out->rest, limit);
    if (threshold < 16)
        threshold = 16;
    const char *end = text + length, *copied = text, *p = text;
    while (p < end && (p = memchr(p, '"', (size_t)(end - p)))) {
        const char *begin = p + 1, *close = closing_quote(begin, end);
        if (!close)
            break;
        if ((size_t)(close - begin) >= threshold) {
            int rc = stand_in(out, copied, begin, close);
            if (rc)
                return rc;
            copied = close;
        }
        p = close + 1;
    }
    return buffer_append(&out->rest, copied, (size_t)(end - copied));
}

int json_lifted_parse(const struct json_lifted *lifted, const char *what, json_t **out)
{
    return json_parse(buffer_string(&lifted->rest), lifted->rest.length, what, out);
}

bool json_lifted_string(const struct json_lifted *lifted, const json_t *value,
                        struct json_slice *out)
{
    const char *text = json_string_value(value);
    if (!text)
        return false;
    if (text[0] == MARK) {
        char *rest;
        unsigned long index = strtoul(text + 1, &rest, 10);
        if (rest != text + 1 && *rest == '\0' && index < lifted->count) {
            *out = lifted->strings[index];
            return true;
        }
    }
    *out = (struct json_slice){.text = text, .length = json_string_length(value)};
    return true;
}

static bool is_hex4(const char *p, const char *end)
{
    return end - p >= 4 && strspn(p, "0123456789abcdefABCDEF") >= 4;
}

bool json_lifted_valid(const struct json_slice *slice)
{
    const char *p = slice->text, *end = p + slice->length;
    for (const char *c = p; c < end; c++)
        if ((unsigned char)*c < 0x20)
            return false;
    if (u8_check((const uint8_t *)slice->text, slice->length))
        return false;
    while (slice->escaped && p < end && (p = memchr(p, '\\', (size_t)(end - p)))) {
        if (end - p < 2 || !memchr("\"\\/bfnrtu", p[1], 9)) /* NOLINT: without its NUL */
            return false;
        if (p[1] == 'u' && !is_hex4(p + 2, end))
            return false;
        p += 2;
    }
    return true;
}

void json_lifted_free(struct json_lifted *lifted)
{
    free(lifted->strings);
    buffer_free(&lifted->rest);
    lifted->strings = NULL;
    lifted->count = lifted->capacity = 0;
}
