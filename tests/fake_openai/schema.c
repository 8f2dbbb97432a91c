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

static bool is_required(yyjson_val *required, const char *key)
{
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(required, i, max, item)
    {
        if (yyjson_equals_str(item, key))
            return true;
    }
    return false;
}

static bool check(struct exchange *x, yyjson_val *schema, const char *name, const char *context,
                  int depth);

static bool check_object(struct exchange *x, yyjson_val *schema, const char *name,
                         const char *context, int depth)
{
    yyjson_val *properties = yyjson_obj_get(schema, "properties"), *name_of, *value;
    size_t i, max;
    if (!yyjson_is_false(yyjson_obj_get(schema, "additionalProperties")))
        return refuse(x, name, context,
                      "'additionalProperties' is required to be supplied and to be false.");
    yyjson_obj_foreach(properties, i, max, name_of, value)
    {
        const char *key = yyjson_get_str(name_of);
        if (!is_required(yyjson_obj_get(schema, "required"), key))
            return refuse(x, name, context,
                          "'required' is required to be supplied and to be an array including "
                          "every key in properties.");
        if (!check(x, value, name, key, depth + 1))
            return false;
    }
    return true;
}

static bool check_each(struct exchange *x, yyjson_val *list, const char *name, const char *context,
                       int depth)
{
    yyjson_val *key, *value;
    size_t i, max;
    yyjson_obj_foreach(list, i, max, key, value)
    {
        if (!check(x, value, name, yyjson_get_str(key), depth + 1))
            return false;
    }
    yyjson_arr_foreach(list, i, max, value)
    {
        if (!check(x, value, name, context, depth + 1))
            return false;
    }
    return true;
}

static bool check(struct exchange *x, yyjson_val *schema, const char *name, const char *context,
                  int depth)
{
    if (!yyjson_is_obj(schema) || depth > DEPTH)
        return refuse(x, name, context, "schema must be an object, nested at most 32 deep.");
    yyjson_val *items = yyjson_obj_get(schema, "items");
    if (yyjson_obj_get(schema, "properties") ||
        strcmp(json_string_at(schema, "type", ""), "object") == 0)
        if (!check_object(x, schema, name, context, depth))
            return false;
    if (items && !check(x, items, name, context, depth + 1))
        return false;
    return check_each(x, yyjson_obj_get(schema, "anyOf"), name, context, depth) &&
           check_each(x, yyjson_obj_get(schema, "$defs"), name, context, depth) &&
           check_each(x, yyjson_obj_get(schema, "definitions"), name, context, depth);
}

bool schema_check_strict(struct exchange *x, yyjson_val *schema, const char *name)
{
    if (strcmp(json_string_at(schema, "type", ""), "object") != 0)
        return refuse(x, name, "", "schema must be a JSON Schema of 'type: \"object\"'.");
    return check(x, schema, name, "", 0);
}

/* ---- instances ---------------------------------------------------------------------------------
 */

struct walk {
    yyjson_val *root;
    struct slice text;
    size_t at;
    struct buffer *out;
};

static bool ends_sentence(const char *p, const char *end)
{
    return (*p == '.' || *p == '!' || *p == '?') && (p + 1 == end || p[1] == ' ' || p[1] == '\n');
}

static const char *sentence_end(const char *p, const char *end)
{
    const char *begin = p;
    while (p < end && p - begin < SENTENCE && !ends_sentence(p, end) && *p != '\n')
        p++;
    while (p < end && (*p & 0xc0) == 0x80) /* not in the middle of a character */
        p++;
    return p < end && ends_sentence(p, end) ? p + 1 : p;
}

/* The next sentence, from the start again at the end; never empty unless the text has none. */
static struct slice next_sentence(struct walk *w)
{
    const char *end = w->text.text + w->text.length;
    for (int turn = 0; turn < 2; turn++) {
        const char *begin = w->text.text + w->at;
        while (begin < end && isspace((unsigned char)*begin))
            begin++;
        const char *p = sentence_end(begin, end);
        w->at = (size_t)(p - w->text.text);
        if (p > begin)
            return (struct slice){begin, (size_t)(p - begin)};
        w->at = 0;
    }
    return (struct slice){"", 0};
}

static void walk(struct walk *w, yyjson_val *schema, const char *name, int depth);

static void walk_object(struct walk *w, yyjson_val *schema, int depth)
{
    yyjson_val *properties = yyjson_obj_get(schema, "properties"), *name, *value;
    size_t i, max;
    buffer_append_char(w->out, '{');
    yyjson_obj_foreach(properties, i, max, name, value)
    {
        const char *key = yyjson_get_str(name);
        if (i > 0)
            buffer_append_char(w->out, ',');
        json_append_string(w->out, key, strlen(key));
        buffer_append_char(w->out, ':');
        walk(w, value, key, depth + 1);
    }
    buffer_append_char(w->out, '}');
}

static void walk_array(struct walk *w, yyjson_val *schema, const char *name, int depth)
{
    int64_t count = 2, min = json_int_at(schema, "minItems", 0);
    int64_t max = json_int_at(schema, "maxItems", count);
    count = max < count ? max : count;
    count = min > count ? min : count;
    buffer_append_char(w->out, '[');
    for (int64_t i = 0; i < count; i++) {
        if (i)
            buffer_append_char(w->out, ',');
        walk(w, yyjson_obj_get(schema, "items"), name, depth + 1);
    }
    buffer_append_char(w->out, ']');
}

static void walk_string(struct walk *w, const char *name)
{
    if (strcmp(name, "language") == 0) {
        buffer_append_string(w->out, "\"en\"");
        return;
    }
    struct slice sentence = next_sentence(w);
    json_append_string(w->out, sentence.text, sentence.length);
}

static yyjson_val *resolve(const struct walk *w, yyjson_val *schema)
{
    for (int i = 0; i < DEPTH; i++) {
        const char *ref = json_string_at(schema, "$ref", NULL);
        yyjson_val *any = yyjson_obj_get(schema, "anyOf");
        if (any)
            schema = yyjson_arr_get(any, 0);
        else if (ref && strncmp(ref, "#/$defs/", 8) == 0)
            schema = yyjson_obj_get(yyjson_obj_get(w->root, "$defs"), ref + 8);
        else if (ref && strncmp(ref, "#/definitions/", 14) == 0)
            schema = yyjson_obj_get(yyjson_obj_get(w->root, "definitions"), ref + 14);
        else
            return schema;
    }
    return NULL;
}

static void walk_constant(struct walk *w, yyjson_val *value)
{
    char *text = yyjson_val_write(value, YYJSON_WRITE_NOFLAG, NULL);
    buffer_append_string(w->out, text ? text : "null");
    free(text);
}

static void walk(struct walk *w, yyjson_val *schema, const char *name, int depth)
{
    schema = resolve(w, schema);
    yyjson_val *type = yyjson_obj_get(schema, "type");
    if (yyjson_is_arr(type))
        type = yyjson_arr_get(type, 0);
    const char *t = depth > DEPTH || !yyjson_is_str(type) ? "null" : yyjson_get_str(type);
    yyjson_val *fixed = yyjson_obj_get(schema, "const");
    if (!fixed)
        fixed = yyjson_arr_get(yyjson_obj_get(schema, "enum"), 0);
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

void schema_instance(yyjson_val *schema, const struct slice *text, struct buffer *out)
{
    struct walk w = {.root = schema, .text = *text, .out = out};
    walk(&w, schema, "", 0);
}

void schema_sentence(const struct slice *text, struct buffer *out)
{
    struct walk w = {.text = *text, .out = out};
    struct slice sentence = next_sentence(&w);
    buffer_append(out, sentence.text, sentence.length);
}
