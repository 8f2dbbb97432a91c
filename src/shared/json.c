#include "shared/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"

enum { FEW_KEYS = 24 };

/* What is read, as far as errors tell of it. */
struct source {
    const char *what, *text;
    bool in_place;
};

/* ---- errors ---- */

static int out_of_memory(const char *what)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory for %s", what);
}

static int refused(const struct source *s, const char *why)
{
    return error_set(ERR_INVALID, "invalid_json", "%s is not valid JSON: %s", s->what, why);
}

/* Parsing in place has put line breaks where their escapes were: lines cannot be counted any more.
 */
static int refused_at(const struct source *s, const char *why, size_t position)
{
    int line = 1;
    const char *at = s->text + position, *begin = s->text;
    if (s->in_place)
        return error_set(ERR_INVALID, "invalid_json", "%s is not valid JSON: %s at byte %zu",
                         s->what, why, position + 1);
    for (const char *p = begin; p < at && (p = memchr(p, '\n', (size_t)(at - p))); line++)
        begin = ++p;
    return error_set(ERR_INVALID, "invalid_json", "%s is not valid JSON: %s at line %d, column %d",
                     s->what, why, line, (int)(at - begin) + 1);
}

/* The library's copy of the text, if it made one, has every string where the text has it. */
static int refused_string(const struct source *s, const yyjson_doc *doc, yyjson_val *string,
                          const char *why)
{
    const char *text = doc->str_pool ? doc->str_pool : s->text;
    return refused_at(s, why, (size_t)(unsafe_yyjson_get_str(string) - 1 - text));
}

/* ---- judging: what the library lets pass ---- */

static int compare_keys(const void *a, const void *b)
{
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    size_t n = unsafe_yyjson_get_len(x), m = unsafe_yyjson_get_len(y);
    if (n != m) /* most keys are told apart without a look at them */
        return n < m ? -1 : 1;
    return memcmp(unsafe_yyjson_get_str(x), unsafe_yyjson_get_str(y), n);
}

/* The second of two keys that are the same, NULL if there is none. */
static yyjson_val *twice_of_few(yyjson_val *object)
{
    yyjson_val *keys[FEW_KEYS], *key, *value;
    size_t i, max;
    yyjson_obj_foreach(object, i, max, key, value)
    {
        keys[i] = key;
        for (size_t k = 0; k < i; k++)
            if (compare_keys(&keys[k], &keys[i]) == 0)
                return key;
    }
    return NULL;
}

/* The same by sorting; `keys` has room for all. */
static yyjson_val *twice_of_many(yyjson_val *object, yyjson_val **keys)
{
    yyjson_val *key, *value;
    size_t i, max;
    yyjson_obj_foreach(object, i, max, key, value)
    {
        keys[i] = key;
    }
    qsort(keys, max, sizeof *keys, compare_keys);
    for (i = 1; i < max; i++)
        if (compare_keys(&keys[i - 1], &keys[i]) == 0)
            return keys[i] > keys[i - 1] ? keys[i] : keys[i - 1];
    return NULL;
}

static int judge_object(const struct source *s, const yyjson_doc *doc, yyjson_val *object)
{
    size_t count = yyjson_obj_size(object);
    yyjson_val *twice;
    if (count <= FEW_KEYS) {
        twice = twice_of_few(object);
    } else {
        yyjson_val **keys = malloc(count * sizeof *keys);
        if (!keys)
            return out_of_memory(s->what);
        twice = twice_of_many(object, keys);
        free(keys);
    }
    return twice ? refused_string(s, doc, twice, "a key is there twice") : OK;
}

/* A document's values stand one behind the other, keys among them; a container's are followed by
 * the value that its offset leads to. */
static int judge(const struct source *s, const yyjson_doc *doc)
{
    yyjson_val *v = doc->root, *end = v + doc->val_read;
    const yyjson_val *ends[CAP_JSON_DEPTH]; /* of the containers around */
    size_t depth = 0;
    int rc = yyjson_is_ctn(v) ? OK : refused(s, "it is neither an object nor an array");
    for (; !rc && v < end; v++) {
        if (unsafe_yyjson_is_str(v)) {
            if (strlen(unsafe_yyjson_get_str(v)) != unsafe_yyjson_get_len(v))
                rc = refused_string(s, doc, v, "a string holds a NUL character");
            continue;
        }
        if (!unsafe_yyjson_is_ctn(v))
            continue;
        while (depth > 0 && v >= ends[depth - 1])
            depth--;
        if (depth == CAP_JSON_DEPTH)
            return refused(s, "it is nested too deeply");
        ends[depth++] = unsafe_yyjson_get_next(v);
        if (unsafe_yyjson_is_obj(v))
            rc = judge_object(s, doc, v);
    }
    return rc;
}

/* ---- reading ---- */

static int read_document(const struct source *s, char *text, size_t length, yyjson_doc **out)
{
    yyjson_read_err e;
    yyjson_read_flag flags = s->in_place ? YYJSON_READ_INSITU : YYJSON_READ_NOFLAG;
    *out = yyjson_read_opts(text, length, flags, NULL, &e);
    if (!*out && e.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return out_of_memory(s->what);
    if (!*out)
        return refused_at(s, e.msg, e.pos);
    int rc = judge(s, *out);
    if (rc) {
        yyjson_doc_free(*out);
        *out = NULL;
    }
    return rc;
}

int json_parse(const char *text, size_t length, const char *what, yyjson_doc **out)
{
    const struct source source = {.what = what, .text = text};
    /* without YYJSON_READ_INSITU the text is not written to */
    return read_document(&source, (char *)text, length, out);
}

int json_parse_in_place(struct buffer *text, const char *what, yyjson_doc **out)
{
    if (buffer_reserve(text, YYJSON_PADDING_SIZE)) /* at its limit: with a copy then */
        return json_parse(buffer_string(text), text->length, what, out);
    memset(text->data + text->length, 0, YYJSON_PADDING_SIZE);
    const struct source source = {.what = what, .text = text->data, .in_place = true};
    return read_document(&source, text->data, text->length, out);
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
