#include "shared/json_lift.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "shared/digest.h"
#include "shared/error.h"
#include "shared/json.h"

/* The stand-in of string 12 is "\u000112": a control character that no sensible text begins with.
 */
enum { MARK = 1 };
#define MARK_TEXT "\\u0001"

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
    size_t n = sizeof mark;
    for (size_t index = out->count; n == sizeof mark || index; index /= 10)
        mark[--n] = (char)('0' + index % 10);
    int rc = buffer_append(&out->rest, from, (size_t)(begin - from));
    if (!rc)
        rc = buffer_append_string(&out->rest, MARK_TEXT);
    if (!rc)
        rc = buffer_append(&out->rest, mark + n, sizeof mark - n);
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
    return json_parse_whole(buffer_string(&lifted->rest), lifted->rest.length, what, out);
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

/* ---- putting back ---- */

/* Four hex digits; -1 if they are not. */
static int hex4(const char *p, const char *end)
{
    uint8_t b[2];
    return end - p >= 4 && hex_decode(p, 2, b) ? b[0] << 8 | b[1] : -1;
}

/* The character that "\u" and what follows stands for, *p behind it; 0 for what is not allowed. */
static ucs4_t escaped_character(const char **p, const char *end)
{
    int high = hex4(*p, end);
    *p += 4;
    if (high < 0xd800 || high > 0xdfff)
        return high > 0 ? (ucs4_t)high : 0;
    bool pair = high < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u';
    int low = pair ? hex4(*p + 2, end) : -1;
    *p += 6;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    return 0x10000 + ((ucs4_t)(high - 0xd800) << 10) + (ucs4_t)(low - 0xdc00);
}

static bool append_escaped(struct buffer *out, const char **p, const char *end)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *known = *p < end && **p ? strchr(from, **p) : NULL;
    if (known) {
        ++*p;
        return buffer_append_char(out, to[known - from]) == OK;
    }
    uint8_t utf8[6];
    if (*p == end || *(*p)++ != 'u')
        return false;
    ucs4_t c = escaped_character(p, end);
    int n = c ? u8_uctomb(utf8, c, sizeof utf8) : 0;
    return n > 0 && buffer_append(out, (const char *)utf8, (size_t)n) == OK;
}

static bool undo_escapes(const struct json_slice *s, struct buffer *out)
{
    const char *p = s->text, *end = p + s->length, *next;
    buffer_clear(out);
    while ((next = memchr(p, '\\', (size_t)(end - p)))) {
        if (buffer_append(out, p, (size_t)(next - p)))
            return false;
        p = next + 1;
        if (!append_escaped(out, &p, end))
            return false;
    }
    return buffer_append(out, p, (size_t)(end - p)) == OK;
}

/* UTF-8 without control characters? */
static bool is_clean(const char *text, size_t length)
{
    const uint64_t ones = 0x0101010101010101, tops = ones * 0x80;
    size_t i = 0;
    uint64_t x, below = 0, beyond = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&x, text + i, 8);
        below |= (x - ones * 0x20) & ~x & tops; /* a byte under 0x20: Anderson's hacks */
        beyond |= x & tops;
    }
    for (; i < length; i++) {
        below |= (unsigned char)text[i] < 0x20;
        beyond |= text[i] & 0x80;
    }
    return !below && (!beyond || !u8_check((const uint8_t *)text, length));
}

/* Values are walked in the document's order, so stand-ins come as 0, 1, 2...: one that the document
 * held itself breaks the row. */
struct putting_back {
    const struct json_lifted *lifted;
    size_t next;
    struct buffer scratch;
};

static bool put_back_string(struct putting_back *b, json_t *value)
{
    const char *text = json_string_value(value);
    if (text[0] != MARK)
        return true;
    if (b->next == b->lifted->count || strtoul(text + 1, NULL, 10) != b->next)
        return false;
    struct json_slice s = b->lifted->strings[b->next++];
    if (!is_clean(s.text, s.length))
        return false;
    if (!s.escaped)
        return json_string_setn_nocheck(value, s.text, s.length) == 0;
    return undo_escapes(&s, &b->scratch) &&
           json_string_setn_nocheck(value, buffer_string(&b->scratch), b->scratch.length) == 0;
}

/* As deep as the parser lets documents be. */
static bool put_back(struct putting_back *b, json_t *value)
{
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(value))
        return put_back_string(b, value);
    json_array_foreach(value, i, item)
    {
        if (!put_back(b, item))
            return false;
    }
    json_object_foreach(value, key, item)
    {
        if (key[0] == MARK || !put_back(b, item))
            return false;
    }
    return true;
}

bool json_parse_lifted(const char *text, size_t length, size_t threshold, json_t **out)
{
    struct json_lifted lifted;
    struct putting_back b = {.lifted = &lifted};
    json_error_t e;
    size_t limit = length + length / 16 * 32 + 32; /* with a stand-in for each string */
    *out = NULL;
    buffer_init(&b.scratch, length);
    int rc = json_lift(text, length, threshold, limit, &lifted);
    if (!rc)
        *out =
            json_loadb(buffer_string(&lifted.rest), lifted.rest.length, JSON_REJECT_DUPLICATES, &e);
    bool done = *out && put_back(&b, *out) && b.next == lifted.count;
    if (!done) {
        json_decref(*out);
        *out = NULL;
    }
    json_lifted_free(&lifted);
    buffer_free(&b.scratch);
    return done;
}

/* ---- judging ---- */

static bool is_hex4(const char *p, const char *end)
{
    return end - p >= 4 && strspn(p, "0123456789abcdefABCDEF") >= 4;
}

bool json_lifted_valid(const struct json_slice *slice)
{
    const char *p = slice->text, *end = p + slice->length;
    if (!is_clean(slice->text, slice->length))
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
