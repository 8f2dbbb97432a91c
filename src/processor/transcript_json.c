#include "processor/transcript_json.h"

#include <string.h>

#include "shared/error.h"
#include "shared/json.h"

static json_t *segment_json(const struct transcript_segment *s)
{
    return json_pack("{sI, sI, ss, ss}", "start_ms", (json_int_t)s->start_ms, "end_ms",
                     (json_int_t)s->end_ms, "speaker", s->speaker ? s->speaker : "", "text",
                     s->text);
}

static int dump_into(const char *bytes, size_t size, void *arg)
{
    return buffer_append(arg, bytes, size) ? -1 : 0;
}

int transcript_json_append(struct buffer *out, const struct transcribe_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < result->count; i++) {
        json_t *segment = segment_json(&result->segments[i]);
        if (!segment || json_array_append_new(list, segment)) {
            json_decref(list);
            return error_set(ERR_PERMANENT, "malformed_reply", "the transcript is not valid UTF-8");
        }
    }
    json_t *root = json_pack("{ss, so}", "language", result->language, "segments", list);
    int rc = root && json_dump_callback(root, dump_into, out, JSON_COMPACT) == 0
                 ? OK
                 : error_set(ERR_NO_MEMORY, NULL, "no memory for a transcript's checkpoint");
    json_decref(root);
    return rc;
}

static int read_segments(const json_t *list, struct arena *arena, struct transcribe_result *out)
{
    const json_t *item;
    size_t i;
    out->segments = arena_array(arena, json_array_size(list) + 1, sizeof *out->segments);
    if (!out->segments)
        return ERR_NO_MEMORY;
    json_array_foreach(list, i, item)
    {
        struct transcript_segment *s = &out->segments[out->count];
        s->start_ms = json_int_at(item, "start_ms", 0);
        s->end_ms = json_int_at(item, "end_ms", 0);
        s->speaker = arena_strdup(arena, json_string_at(item, "speaker", ""));
        s->text = arena_strdup(arena, json_string_at(item, "text", ""));
        if (!s->speaker || !s->text)
            return ERR_NO_MEMORY;
        out->count++;
    }
    return OK;
}

int transcript_json_parse(const char *text, size_t length, struct arena *arena,
                          struct transcribe_result *out)
{
    json_t *root;
    *out = (struct transcribe_result){0};
    int rc = json_parse(text, length, "a transcript's checkpoint", &root);
    if (rc)
        return rc;
    strncpy(out->language, json_string_at(root, "language", ""), sizeof out->language - 1);
    rc = read_segments(json_at(root, "segments"), arena, out);
    json_decref(root);
    return rc;
}
