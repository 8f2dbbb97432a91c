#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "shared/json.h"

enum { DEPTH = 32, SENTENCE = 240 };

/* ---- strict mode -------------------------------------------------------------------------------
 * https://platform.openai.com/docs/guides/structured-outputs: all fields must be required, and
 * additionalProperties must be false, in every object.
 */

static bool refuse(struct exchange *x, const char *name, const char *context, const char *why)
{
    reply_invalid(x, "response_format", NULL,
                  "Invalid schema for response_format '%s': In context=('%s'), %s", name, context,
                  why);
    return false;
}

static bool is_required(const json_t *required, const char *key)
{
    size_t i;
    json_t *item;
    json_array_foreach(required, i,
                       item) if (json_is_string(item) &&
                                 strcmp(json_string_value(item), key) == 0) return true;
    return false;
}

static bool check(struct exchange *x, const json_t *schema, const char *name, const char *context,
                  int depth);

static bool check_object(struct exchange *x, const json_t *schema, const char *name,
                         const char *context, int depth)
{
    json_t *properties = json_object_get(schema, "properties"), *value;
    const char *key;
    if (!json_is_false(json_object_get(schema, "additionalProperties")))
        return refuse(x, name, context,
                      "'additionalProperties' is required to be supplied and to be false.");
    json_object_foreach(properties, key, value)
    {
        if (!is_required(json_object_get(schema, "required"), key))
            return refuse(x, name, context,
                          "'required' is required to be supplied and to be an array including "
                          "every key in properties.");
        if (!check(x, value, name, key, depth + 1))
            return false;
    }
    return true;
}

static bool check_each(struct exchange *x, const json_t *list, const char *name,
                       const char *context, int depth)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_object(list))
        json_object_foreach((json_t *)list, key,
                            value) if (!check(x, value, name, key, depth + 1)) return false;
    json_array_foreach(list, i, value) if (!check(x, value, name, context, depth + 1)) return false;
    return true;
}

static bool check(struct exchange *x, const json_t *schema, const char *name, const char *context,
                  int depth)
{
    if (!json_is_object(schema) || depth > DEPTH)
        return refuse(x, name, context, "schema must be an object, nested at most 32 deep.");
    const json_t *items = json_object_get(schema, "items");
    if (json_object_get(schema, "properties") ||
        strcmp(json_string_at(schema, "type", ""), "object") == 0)
        if (!check_object(x, schema, name, context, depth))
            return false;
    if (items && !check(x, items, name, context, depth + 1))
        return false;
    return check_each(x, json_object_get(schema, "anyOf"), name, context, depth) &&
           check_each(x, json_object_get(schema, "$defs"), name, context, depth) &&
           check_each(x, json_object_get(schema, "definitions"), name, context, depth);
}

bool schema_check_strict(struct exchange *x, const json_t *schema, const char *name)
{
    if (strcmp(json_string_at(schema, "type", ""), "object") != 0)
        return refuse(x, name, "", "schema must be a JSON Schema of 'type: \"object\"'.");
    return check(x, schema, name, "", 0);
}

/* ---- instances ---------------------------------------------------------------------------------
 */

struct walk {
    const json_t *root;
    struct json_slice text; /* escapes not undone; so sentences can be written as they are */
    size_t at;
    struct buffer *out;
};

static bool ends_sentence(const char *p, const char *end)
{
    return (*p == '.' || *p == '!' || *p == '?') &&
           (p + 1 == end || p[1] == ' ' || p[1] == '\\' || p[1] == '\n');
}

/* Length of the escape at p, 0 if there is none. */
static size_t escape_at(const struct walk *w, const char *p, const char *end)
{
    if (!w->text.escaped || *p != '\\' || end - p < 2)
        return 0;
    return p[1] == 'u' && end - p >= 6 ? 6 : 2;
}

static bool is_line_break(const struct walk *w, const char *p, const char *end)
{
    return *p == '\n' || (escape_at(w, p, end) && (p[1] == 'n' || p[1] == 'r'));
}

static const char *skip_space(const struct walk *w, const char *p, const char *end)
{
    while (p < end) {
        if (escape_at(w, p, end) && (p[1] == 'n' || p[1] == 'r' || p[1] == 't'))
            p += 2;
        else if (isspace((unsigned char)*p))
            p++;
        else
            break;
    }
    return p;
}

static const char *sentence_end(const struct walk *w, const char *p, const char *end)
{
    const char *begin = p;
    while (p < end && p - begin < SENTENCE && !ends_sentence(p, end) && !is_line_break(w, p, end)) {
        size_t escape = escape_at(w, p, end);
        p += escape ? escape : 1;
    }
    while (p < end && (*p & 0xc0) == 0x80) /* not in the middle of a character */
        p++;
    return p < end && ends_sentence(p, end) ? p + 1 : p;
}

/* The next sentence, from the start again at the end; never empty unless the text has none. */
static struct json_slice next_sentence(struct walk *w)
{
    const char *end = w->text.text + w->text.length;
    for (int turn = 0; turn < 2; turn++) {
        const char *begin = skip_space(w, w->text.text + w->at, end);
        const char *p = sentence_end(w, begin, end);
        w->at = (size_t)(p - w->text.text);
        if (p > begin)
            return (struct json_slice){begin, (size_t)(p - begin), w->text.escaped};
        w->at = 0;
    }
    return (struct json_slice){"", 0, false};
}

static void append_slice(struct buffer *out, const struct json_slice *s)
{
    if (!s->escaped) {
        json_append_string(out, s->text, s->length);
        return;
    }
    buffer_append_char(out, '"');
    buffer_append(out, s->text, s->length);
    buffer_append_char(out, '"');
}

static void walk(struct walk *w, const json_t *schema, const char *name, int depth);

static void walk_object(struct walk *w, const json_t *schema, int depth)
{
    const char *key;
    json_t *value;
    bool first = true;
    buffer_append_char(w->out, '{');
    json_object_foreach(json_object_get(schema, "properties"), key, value)
    {
        if (!first)
            buffer_append_char(w->out, ',');
        first = false;
        json_append_string(w->out, key, strlen(key));
        buffer_append_char(w->out, ':');
        walk(w, value, key, depth + 1);
    }
    buffer_append_char(w->out, '}');
}

static void walk_array(struct walk *w, const json_t *schema, const char *name, int depth)
{
    int64_t count = 2, min = json_int_at(schema, "minItems", 0);
    int64_t max = json_int_at(schema, "maxItems", count);
    count = max < count ? max : count;
    count = min > count ? min : count;
    buffer_append_char(w->out, '[');
    for (int64_t i = 0; i < count; i++) {
        if (i)
            buffer_append_char(w->out, ',');
        walk(w, json_object_get(schema, "items"), name, depth + 1);
    }
    buffer_append_char(w->out, ']');
}

static void walk_string(struct walk *w, const char *name)
{
    if (strcmp(name, "language") == 0) {
        buffer_append_string(w->out, "\"en\"");
        return;
    }
    struct json_slice sentence = next_sentence(w);
    append_slice(w->out, &sentence);
}

static const json_t *resolve(const struct walk *w, const json_t *schema)
{
    for (int i = 0; i < DEPTH; i++) {
        const char *ref = json_string_at(schema, "$ref", NULL);
        const json_t *any = json_object_get(schema, "anyOf");
        if (any)
            schema = json_array_get(any, 0);
        else if (ref && strncmp(ref, "#/$defs/", 8) == 0)
            schema = json_object_get(json_object_get(w->root, "$defs"), ref + 8);
        else if (ref && strncmp(ref, "#/definitions/", 14) == 0)
            schema = json_object_get(json_object_get(w->root, "definitions"), ref + 14);
        else
            return schema;
    }
    return NULL;
}

static void walk_constant(struct walk *w, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    buffer_append_string(w->out, text ? text : "null");
    free(text);
}

static void walk(struct walk *w, const json_t *schema, const char *name, int depth)
{
    schema = resolve(w, schema);
    const json_t *type = json_object_get(schema, "type");
    if (json_is_array(type))
        type = json_array_get(type, 0);
    const char *t = depth > DEPTH || !json_is_string(type) ? "null" : json_string_value(type);
    const json_t *fixed = json_object_get(schema, "const");
    if (!fixed)
        fixed = json_array_get(json_object_get(schema, "enum"), 0);
    if (fixed)
        walk_constant(w, fixed);
    else if (strcmp(t, "object") == 0)
        walk_object(w, schema, depth);
    else if (strcmp(t, "array") == 0)
        walk_array(w, schema, name, depth);
    else if (strcmp(t, "string") == 0)
        walk_string(w, name);
    else if (strcmp(t, "integer") == 0)
        buffer_append_char(w->out, '1');
    else if (strcmp(t, "number") == 0)
        buffer_append_string(w->out, "0.5");
    else
        buffer_append_string(w->out, strcmp(t, "boolean") == 0 ? "true" : "null");
}

void schema_instance(const json_t *schema, const struct json_slice *text, struct buffer *out)
{
    struct walk w = {.root = schema, .text = *text, .out = out};
    walk(&w, schema, "", 0);
}
