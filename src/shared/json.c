#include "shared/json.h"

#include <string.h>

#include "shared/error.h"
#include "shared/json_lift.h"

enum { LIFT_DOCUMENT = 512, LIFT_STRING = 40 }; /* bytes */

int json_parse(const char *text, size_t length, const char *what, json_t **out)
{
    if (length >= LIFT_DOCUMENT && json_parse_lifted(text, length, LIFT_STRING, out))
        return OK;
    return json_parse_whole(text, length, what, out);
}

int json_parse_whole(const char *text, size_t length, const char *what, json_t **out)
{
    json_error_t e;
    *out = json_loadb(text, length, JSON_REJECT_DUPLICATES, &e);
    if (*out)
        return OK;
    return error_set(ERR_INVALID, "invalid_json", "%s is not valid JSON: %s at line %d, column %d",
                     what, e.text, e.line, e.column);
}

const json_t *json_at(const json_t *object, const char *path)
{
    while (object && *path) {
        size_t step = strcspn(path, ".");
        object = json_object_getn(object, path, step);
        path += step + (path[step] == '.');
    }
    return object;
}

const char *json_string_at(const json_t *object, const char *path, const char *fallback)
{
    const char *text = json_string_value(json_at(object, path));
    return text ? text : fallback;
}

int64_t json_int_at(const json_t *object, const char *path, int64_t fallback)
{
    const json_t *value = json_at(object, path);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

double json_number_at(const json_t *object, const char *path, double fallback)
{
    const json_t *value = json_at(object, path);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

/* Has one of eight bytes to be looked at: a control, a quote, a backslash, or not ASCII? The tests
 * for a zero byte are from "Bit Twiddling Hacks" (S. E. Anderson); borrows make false alarms only
 * above a true one. */
static bool is_special8(const unsigned char *p)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t x;
    memcpy(&x, p, sizeof x);
    uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
    return (((x - ones * 0x20) | (quote - ones) | (backslash - ones) | x) & tops) != 0;
}

/* How many bytes from p on stand for themselves, in steps of eight. */
static size_t plain(const unsigned char *p, size_t left)
{
    size_t n = 0;
    while (left - n >= 8 && !is_special8(p + n))
        n += 8;
    return n;
}

/* Length of the valid UTF-8 sequence at p (RFC 3629), 0 if there is none. */
static size_t sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if ((p[0] & 0xf0) == 0xe0) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        bool overlong = p[0] == 0xe0 && p[1] < 0xa0, surrogate = p[0] == 0xed && p[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
            return 0;
        return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90) ? 0 : 4;
    }
    return 0;
}

static int append_special(struct buffer *out, unsigned char c)
{
    switch (c) {
    case '"':
        return buffer_append(out, "\\\"", 2);
    case '\\':
        return buffer_append(out, "\\\\", 2);
    case '\n':
        return buffer_append(out, "\\n", 2);
    case '\t':
        return buffer_append(out, "\\t", 2);
    case '\r':
        return buffer_append(out, "\\r", 2);
    default:
        return c < 0x20 ? buffer_printf(out, "\\u%04x", c) : buffer_append(out, "\xef\xbf\xbd", 3);
    }
}

int json_append_string(struct buffer *out, const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    const size_t before = out->length;
    size_t from = 0, i = 0;
    int rc = buffer_append_char(out, '"');
    while (!rc && (i += plain(p + i, length - i)) < length) {
        size_t n = sequence(p + i, length - i);
        if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')) {
            i += n;
            continue;
        }
        rc = buffer_append(out, text + from, i - from);
        if (!rc)
            rc = append_special(out, p[i]);
        from = ++i;
    }
    if (!rc)
        rc = buffer_append(out, text + from, length - from);
    if (!rc)
        rc = buffer_append_char(out, '"');
    if (rc)
        buffer_truncate(out, before);
    return rc;
}

static int dump_into(const char *bytes, size_t size, void *arg)
{
    return buffer_append(arg, bytes, size) ? -1 : 0;
}

char *json_text(const json_t *value, struct arena *arena)
{
    struct buffer b;
    buffer_init(&b, arena->limit);
    char *text = NULL;
    if (json_dump_callback(value, dump_into, &b, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        text = arena_strndup(arena, buffer_string(&b), b.length);
    else
        error_set(ERR_NO_MEMORY, NULL, "cannot write JSON: no memory or invalid UTF-8");
    buffer_free(&b);
    return text;
}
