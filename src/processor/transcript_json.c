#include "processor/transcript_json.h"

#include <inttypes.h>
#include <string.h>

#include "shared/error.h"
#include "shared/json.h"

static int append_segment(struct buffer *out, const struct transcript_segment *s)
{
    const char *speaker = s->speaker ? s->speaker : "";
    int rc = buffer_printf(out, "{\"start_ms\":%" PRId64 ",\"end_ms\":%" PRId64 ",\"speaker\":",
                           s->start_ms, s->end_ms);
    if (!rc)
        rc = json_append_string(out, speaker, strlen(speaker));
    if (!rc)
        rc = buffer_append_string(out, ",\"text\":");
    if (!rc)
        rc = json_append_string(out, s->text, strlen(s->text));
    return rc ? rc : buffer_append_char(out, '}');
}

int transcript_json_append(struct buffer *out, const struct transcribe_result *result)
{
    int rc = buffer_append_string(out, "{\"language\":");
    if (!rc)
        rc = json_append_string(out, result->language, strlen(result->language));
    if (!rc)
        rc = buffer_append_string(out, ",\"segments\":[");
    for (size_t i = 0; !rc && i < result->count; i++) {
        rc = i > 0 ? buffer_append_char(out, ',') : OK;
        if (!rc)
            rc = append_segment(out, &result->segments[i]);
    }
    return rc ? rc : buffer_append_string(out, "]}");
}

static int read_segments(yyjson_val *list, struct arena *arena, struct transcribe_result *out)
{
    yyjson_val *item;
    size_t i, max;
    out->segments = arena_array(arena, yyjson_arr_size(list) + 1, sizeof *out->segments);
    if (!out->segments)
        return ERR_NO_MEMORY;
    yyjson_arr_foreach(list, i, max, item)
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
    yyjson_doc *doc;
    *out = (struct transcribe_result){0};
    int rc = json_parse(text, length, "a transcript's checkpoint", &doc);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc);
    strncpy(out->language, json_string_at(root, "language", ""), sizeof out->language - 1);
    rc = read_segments(json_at(root, "segments"), arena, out);
    yyjson_doc_free(doc);
    return rc;
}
