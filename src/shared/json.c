#include "shared/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

enum { FEW_KEYS = 24 };

/* ---- judging ---- */

static int refused(const char *what, const char *why)
{
    return error_set(ERR_INVALID, "invalid_json", "%s is not valid JSON: %s", what, why);
}

static int compare_keys(const void *a, const void *b)
{
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    return strcmp(unsafe_yyjson_get_str(x), unsafe_yyjson_get_str(y));
}

/* `room` holds as many as the object has; few are compared in pairs, more are sorted. */
static bool has_key_twice(yyjson_val *object, yyjson_val **room)
{
    size_t i, max, n = 0;
    yyjson_val *key, *value;
    bool twice = false, few = yyjson_obj_size(object) <= FEW_KEYS;
    yyjson_obj_foreach(object, i, max, key, value)
    {
        for (size_t k = 0; few && k < n; k++)
            twice |= compare_keys(&room[k], &key) == 0;
        room[n++] = key;
    }
    if (!few)
        qsort(room, n, sizeof *room, compare_keys);
    for (i = 1; !few && i < n; i++)
        twice |= compare_keys(&room[i - 1], &room[i]) == 0;
    return twice;
}

static int judge_object(yyjson_val *object, const char *what)
{
    yyjson_val *some[FEW_KEYS], **keys = some;
    size_t count = yyjson_obj_size(object);
    if (count > FEW_KEYS && !(keys = malloc(count * sizeof *keys)))
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %s", what);
    bool twice = has_key_twice(object, keys);
    if (keys != some)
        free(keys);
    return twice ? refused(what, "a key is there twice") : OK;
}

/* What the library lets pass. A document's values stand one behind the other, keys among them. */
static int judge(yyjson_doc *doc, const char *what)
{
    yyjson_val *first = yyjson_doc_get_root(doc), *end = first + yyjson_doc_get_val_count(doc);
    int rc = yyjson_is_ctn(first) ? OK : refused(what, "it is neither an object nor an array");
    for (yyjson_val *v = first; !rc && v < end; v++)
        if (yyjson_is_str(v) && strlen(unsafe_yyjson_get_str(v)) != unsafe_yyjson_get_len(v))
            rc = refused(what, "a string holds a NUL character");
    for (yyjson_val *v = first; !rc && v < end; v++)
        if (yyjson_is_obj(v))
            rc = judge_object(v, what);
    return rc;
}

/* ---- reading ---- */

static int invalid(const char *what, const char *text, const yyjson_read_err *e)
{
    int line = 1;
    const char *at = text + e->pos, *begin = text;
    for (const char *p = text; p < at && (p = memchr(p, '\n', (size_t)(at - p))); line++)
        begin = ++p;
    return error_set(ERR_INVALID, "invalid_json", "%s is not valid JSON: %s at line %d, column %d",
                     what, e->msg, line, (int)(at - begin) + 1);
}

static int read_document(char *text, size_t length, yyjson_read_flag flags, const char *what,
                         yyjson_doc **out)
{
    yyjson_read_err e;
    *out = yyjson_read_opts(text, length, flags, NULL, &e);
    if (!*out && e.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %s", what);
    if (!*out)
        return invalid(what, text, &e);
    int rc = judge(*out, what);
    if (rc) {
        yyjson_doc_free(*out);
        *out = NULL;
    }
    return rc;
}

int json_parse(const char *text, size_t length, const char *what, yyjson_doc **out)
{
    /* without YYJSON_READ_INSITU the text is not written to */
    return read_document((char *)text, length, YYJSON_READ_NOFLAG, what, out);
}

int json_parse_in_place(struct buffer *text, const char *what, yyjson_doc **out)
{
    if (buffer_reserve(text, YYJSON_PADDING_SIZE)) /* at its limit: with a copy then */
        return json_parse(buffer_string(text), text->length, what, out);
    memset(text->data + text->length, 0, YYJSON_PADDING_SIZE);
    return read_document(text->data, text->length, YYJSON_READ_INSITU, what, out);
}

yyjson_val *json_at(yyjson_val *object, const char *path)
{
    while (object && *path) {
        size_t step = strcspn(path, ".");
        object = yyjson_obj_getn(object, path, step);
        path += step + (path[step] == '.');
    }
    return object;
}

const char *json_string_at(yyjson_val *object, const char *path, const char *fallback)
{
    const char *text = yyjson_get_str(json_at(object, path));
    return text ? text : fallback;
}

int64_t json_int_at(yyjson_val *object, const char *path, int64_t fallback)
{
    yyjson_val *value = json_at(object, path);
    bool fits =
        yyjson_is_sint(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX);
    return fits ? yyjson_get_sint(value) : fallback;
}

double json_number_at(yyjson_val *object, const char *path, double fallback)
{
    yyjson_val *value = json_at(object, path);
    return yyjson_is_num(value) ? yyjson_get_num(value) : fallback;
}

/* ---- writing ---- */

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
