#include "shared/summary_json.h"

#include <string.h>

#include "shared/error.h"
#include "shared/json.h"

/* The first failed append is kept: what follows a hole is not written. */
struct writer {
    struct buffer *out;
    int rc;
};

static void put(struct writer *w, const char *raw)
{
    if (!w->rc)
        w->rc = buffer_append_string(w->out, raw);
}

static void put_string(struct writer *w, const char *text)
{
    if (!w->rc)
        w->rc = json_append_string(w->out, text ? text : "", text ? strlen(text) : 0);
}

static void put_list(struct writer *w, const char *opening, const char *const *items, size_t count)
{
    put(w, opening);
    for (size_t i = 0; i < count; i++) {
        put(w, i > 0 ? "," : "");
        put_string(w, items[i]);
    }
    put(w, "]");
}

static void put_action_items(struct writer *w, const struct summary *s)
{
    put(w, ",\"action_items\":[");
    for (size_t i = 0; i < s->action_item_count; i++) {
        put(w, i > 0 ? ",{\"text\":" : "{\"text\":");
        put_string(w, s->action_items[i].text);
        put(w, ",\"owner\":");
        put_string(w, s->action_items[i].owner);
        put(w, "}");
    }
    put(w, "]}");
}

int summary_json_append(struct buffer *out, const struct summary *s)
{
    struct writer w = {.out = out};
    put(&w, "{\"title\":");
    put_string(&w, s->title);
    put(&w, ",\"abstract\":");
    put_string(&w, s->abstract);
    put(&w, ",\"language\":");
    put_string(&w, s->language);
    put_list(&w, ",\"key_points\":[", s->key_points, s->key_point_count);
    put_list(&w, ",\"topics\":[", s->topics, s->topic_count);
    put_list(&w, ",\"entities\":[", s->entities, s->entity_count);
    put_action_items(&w, s);
    return w.rc;
}

static int wrong_type(const char *name)
{
    return error_set(ERR_INVALID, "malformed_reply", "a summary's \"%s\" has the wrong type", name);
}

static int read_string(yyjson_val *object, const char *name, struct arena *arena, const char **out)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    if (value && !yyjson_is_str(value) && !yyjson_is_null(value))
        return wrong_type(name);
    const char *text = yyjson_get_str(value);
    *out = arena_strdup(arena, text ? text : "");
    return *out ? OK : ERR_NO_MEMORY;
}

static int read_list(yyjson_val *object, const char *name, struct arena *arena, const char ***out,
                     size_t *count)
{
    yyjson_val *list = yyjson_obj_get(object, name), *item;
    *out = NULL;
    *count = 0;
    if (!list || yyjson_is_null(list))
        return OK;
    if (!yyjson_is_arr(list))
        return wrong_type(name);
    *out = arena_array(arena, yyjson_arr_size(list) + 1, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    size_t i, max;
    yyjson_arr_foreach(list, i, max, item)
    {
        if (!yyjson_is_str(item))
            return wrong_type(name);
        (*out)[*count] = arena_strdup(arena, yyjson_get_str(item));
        if (!(*out)[(*count)++])
            return ERR_NO_MEMORY;
    }
    return OK;
}

static int read_action_items(yyjson_val *object, struct arena *arena, struct summary *out)
{
    yyjson_val *list = yyjson_obj_get(object, "action_items"), *item;
    if (!list || yyjson_is_null(list))
        return OK;
    if (!yyjson_is_arr(list))
        return wrong_type("action_items");
    out->action_items = arena_array(arena, yyjson_arr_size(list) + 1, sizeof *out->action_items);
    if (!out->action_items)
        return ERR_NO_MEMORY;
    size_t i, max;
    yyjson_arr_foreach(list, i, max, item)
    {
        struct action_item *a = &out->action_items[out->action_item_count++];
        if (!yyjson_is_obj(item))
            return wrong_type("action_items");
        int rc = read_string(item, "text", arena, &a->text);
        if (!rc)
            rc = read_string(item, "owner", arena, &a->owner);
        if (rc)
            return rc;
    }
    return OK;
}

int summary_json_read(yyjson_val *root, struct arena *arena, struct summary *out)
{
    *out = (struct summary){0};
    if (!yyjson_is_obj(root))
        return wrong_type("summary");
    int rc = read_string(root, "title", arena, &out->title);
    if (!rc)
        rc = read_string(root, "abstract", arena, &out->abstract);
    if (!rc)
        rc = read_string(root, "language", arena, &out->language);
    if (!rc)
        rc = read_list(root, "key_points", arena, &out->key_points, &out->key_point_count);
    if (!rc)
        rc = read_list(root, "topics", arena, &out->topics, &out->topic_count);
    if (!rc)
        rc = read_list(root, "entities", arena, &out->entities, &out->entity_count);
    return rc ? rc : read_action_items(root, arena, out);
}

int summary_json_parse(const char *text, size_t length, struct arena *arena, struct summary *out)
{
    yyjson_doc *doc;
    int rc = json_parse(text, length, "a summary", &doc);
    if (rc)
        return error_set(ERR_INVALID, "malformed_reply", "%s", error_last()->message);
    rc = summary_json_read(yyjson_doc_get_root(doc), arena, out);
    yyjson_doc_free(doc);
    return rc;
}
