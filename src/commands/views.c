#include "commands/views.h"

#include <inttypes.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/error.h"
#include "shared/json.h"

/* ---- JSON ---- */

static yyjson_mut_val *or_null(yyjson_mut_doc *doc, const char *text)
{
    return text && *text ? js(doc, text) : yyjson_mut_null(doc);
}

static yyjson_mut_val *embedded(yyjson_mut_doc *doc, const char *text)
{
    yyjson_doc *stored;
    if (!text || !*text || json_parse(text, strlen(text), "a stored document", &stored))
        return yyjson_mut_null(doc);
    yyjson_mut_val *value = yyjson_val_mut_copy(doc, yyjson_doc_get_root(stored));
    yyjson_doc_free(stored);
    return value;
}

static void put_result(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct media_row *m)
{
    bool published = m->result_id != 0;
    bool timed = published && m->duration_ms >= 0;
    yyjson_mut_obj_add_val(doc, o, "kind", or_null(doc, m->kind));
    yyjson_mut_obj_add_val(doc, o, "format", or_null(doc, m->format));
    yyjson_mut_obj_add_val(doc, o, "language", or_null(doc, m->language));
    yyjson_mut_obj_add_val(doc, o, "title", or_null(doc, m->title));
    yyjson_mut_obj_add_val(doc, o, "outcome",
                           published ? js(doc, result_outcome_name(m->outcome))
                                     : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "draft", yyjson_mut_bool(doc, m->draft));
    yyjson_mut_obj_add_val(doc, o, "incomplete", yyjson_mut_bool(doc, m->missing_ms != 0));
    yyjson_mut_obj_add_val(doc, o, "missing_ms",
                           published && m->missing_ms >= 0 ? yyjson_mut_sint(doc, m->missing_ms)
                                                           : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "size", js_position(doc, m->size));
    yyjson_mut_obj_add_val(doc, o, "duration_ms",
                           timed ? yyjson_mut_sint(doc, m->duration_ms) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "text_bytes", yyjson_mut_sint(doc, m->text_bytes));
    yyjson_mut_obj_add_val(doc, o, "chunks", yyjson_mut_sint(doc, m->chunk_count));
    yyjson_mut_obj_add_val(doc, o, "segments", yyjson_mut_sint(doc, m->segment_count));
    yyjson_mut_obj_add_val(doc, o, "summary_coverage",
                           js_real(doc, (double)m->summary_coverage_permille / 1000));
}

yyjson_mut_val *media_json(yyjson_mut_doc *doc, const struct media_row *m)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "id", yyjson_mut_sint(doc, m->media_id));
    yyjson_mut_obj_add_val(doc, o, "bucket", js(doc, m->bucket));
    yyjson_mut_obj_add_val(doc, o, "key", js(doc, m->key));
    yyjson_mut_obj_add_val(doc, o, "collection", js(doc, m->collection));
    yyjson_mut_obj_add_val(doc, o, "state", js(doc, job_state_name(m->state)));
    put_result(doc, o, m);
    yyjson_mut_obj_add_val(doc, o, "uploaded", js_time(doc, m->uploaded_ms));
    yyjson_mut_obj_add_val(doc, o, "published", js_time(doc, m->published_ms));
    yyjson_mut_obj_add_val(doc, o, "job", yyjson_mut_sint(doc, m->job_id));
    yyjson_mut_obj_add_val(doc, o, "reason", or_null(doc, m->reason));
    yyjson_mut_obj_add_val(doc, o, "message", or_null(doc, m->message));
    yyjson_mut_obj_add_val(doc, o, "cost_usd", js_cost(doc, m->cost_nanousd, m->cost_known));
    yyjson_mut_obj_add_val(doc, o, "made_by", embedded(doc, m->stages_json));
    return o;
}

yyjson_mut_val *job_json(yyjson_mut_doc *doc, const struct job_row *j)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "id", yyjson_mut_sint(doc, j->job_id));
    yyjson_mut_obj_add_val(doc, o, "media", yyjson_mut_sint(doc, j->media_id));
    yyjson_mut_obj_add_val(doc, o, "bucket", js(doc, j->bucket));
    yyjson_mut_obj_add_val(doc, o, "key", js(doc, j->key));
    yyjson_mut_obj_add_val(doc, o, "collection", js(doc, j->collection));
    yyjson_mut_obj_add_val(doc, o, "state", js(doc, job_state_name(j->state)));
    yyjson_mut_obj_add_val(doc, o, "attempts", yyjson_mut_sint(doc, j->attempts));
    yyjson_mut_obj_add_val(doc, o, "stage", or_null(doc, j->stage));
    yyjson_mut_obj_add_val(doc, o, "reason", or_null(doc, j->reason));
    yyjson_mut_obj_add_val(doc, o, "message", or_null(doc, j->message));
    yyjson_mut_obj_add_val(doc, o, "queued", js_time(doc, j->queued_ms));
    yyjson_mut_obj_add_val(doc, o, "started", js_time(doc, j->started_ms));
    yyjson_mut_obj_add_val(doc, o, "finished", js_time(doc, j->finished_ms));
    yyjson_mut_obj_add_val(doc, o, "due", js_time(doc, j->due_ms));
    yyjson_mut_obj_add_val(doc, o, "worker", or_null(doc, j->worker));
    yyjson_mut_obj_add_val(doc, o, "trace_id", or_null(doc, j->trace_id));
    return o;
}

yyjson_mut_val *attempt_json(yyjson_mut_doc *doc, const struct attempt_row *a)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "attempt", yyjson_mut_sint(doc, a->attempt));
    yyjson_mut_obj_add_val(doc, o, "outcome", js(doc, a->outcome));
    yyjson_mut_obj_add_val(doc, o, "started", js_time(doc, a->started_ms));
    yyjson_mut_obj_add_val(doc, o, "ended", js_time(doc, a->ended_ms));
    yyjson_mut_obj_add_val(doc, o, "worker", or_null(doc, a->worker));
    yyjson_mut_obj_add_val(doc, o, "stage", or_null(doc, a->stage));
    yyjson_mut_obj_add_val(doc, o, "reason", or_null(doc, a->reason));
    yyjson_mut_obj_add_val(doc, o, "message", or_null(doc, a->message));
    yyjson_mut_obj_add_val(doc, o, "stage_ms", embedded(doc, a->stage_times_json));
    return o;
}

yyjson_mut_val *summary_json(yyjson_mut_doc *doc, const struct summary *s)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc), *actions = yyjson_mut_arr(doc);
    yyjson_mut_obj_add_val(doc, o, "title", or_null(doc, s->title));
    yyjson_mut_obj_add_val(doc, o, "abstract", or_null(doc, s->abstract));
    yyjson_mut_obj_add_val(doc, o, "language", or_null(doc, s->language));
    yyjson_mut_obj_add_val(doc, o, "key_points",
                           js_strings(doc, (const char *const *)s->key_points, s->key_point_count));
    yyjson_mut_obj_add_val(doc, o, "topics",
                           js_strings(doc, (const char *const *)s->topics, s->topic_count));
    yyjson_mut_obj_add_val(doc, o, "entities",
                           js_strings(doc, (const char *const *)s->entities, s->entity_count));
    for (size_t i = 0; i < s->action_item_count; i++) {
        yyjson_mut_val *item = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_val(doc, item, "text", js(doc, s->action_items[i].text));
        yyjson_mut_obj_add_val(doc, item, "owner", or_null(doc, s->action_items[i].owner));
        yyjson_mut_arr_append(actions, item);
    }
    yyjson_mut_obj_add_val(doc, o, "action_items", actions);
    return o;
}

void json_stream_begin(struct json_stream *s, const char *name)
{
    *s = (struct json_stream){0};
    printf("{\"%s\":[", name);
}

void json_stream_row(struct json_stream *s, yyjson_mut_doc *doc, yyjson_mut_val *row)
{
    fputs(s->count++ ? ",\n" : "\n", stdout);
    print_json_value(row);
    yyjson_mut_doc_free(doc);
}

void json_stream_end(struct json_stream *s)
{
    printf("%s]}\n", s->count ? "\n" : "");
}

/* ---- people ---- */

const char *media_name(struct arena *arena, const struct media_row *m)
{
    if (m->title && *m->title)
        return text_clean(arena, m->title);
    const char *slash = strrchr(m->key, '/');
    return text_clean(arena, slash && slash[1] ? slash + 1 : m->key);
}

const char *media_what(struct arena *arena, const struct media_row *m)
{
    char position[CLOCK_TEXT];
    if (m->result_id == 0)
        return "-";
    if (m->outcome == OUTCOME_EMPTY)
        return "empty";
    if (m->duration_ms < 0 || m->outcome == OUTCOME_NO_AUDIO)
        return text_clean(arena, m->kind);
    const char *text = arena_printf(arena, "%s %s", text_clean(arena, m->kind),
                                    clock_format_position(m->duration_ms, position));
    return text ? text : "";
}

const char *label_text(bool draft, bool incomplete)
{
    if (incomplete)
        return draft ? "draft, incomplete" : "incomplete";
    return draft ? "draft" : "";
}

const char *outcome_text(enum result_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_EMPTY:
        return "an empty file";
    case OUTCOME_NO_SPEECH:
        return "no speech";
    case OUTCOME_NO_AUDIO:
        return "no audio track";
    default:
        return NULL;
    }
}

enum style state_style(enum job_state state)
{
    static const enum style styles[JOB_STATES] = {
        [JOB_RETRYING] = STYLE_YELLOW,
        [JOB_PAUSED] = STYLE_YELLOW,
        [JOB_DEAD] = STYLE_RED,
        [JOB_CANCELLED] = STYLE_DIM,
    };
    return (unsigned)state < JOB_STATES ? styles[state] : STYLE_NONE;
}

static void print_list(struct app *app, const char *title, char **items, size_t count, int indent)
{
    if (count == 0)
        return;
    bool color = app->terminal.out_color;
    printf("\n%*s%s%s%s\n", indent, "", style_text(color, STYLE_BOLD), title,
           style_text(color, STYLE_NONE));
    for (size_t i = 0; i < count; i++) {
        const char *text = arena_printf(&app->arena, "- %s", text_clean(&app->arena, items[i]));
        print_wrapped(stdout, text ? text : "", indent + 2, app->terminal.width);
    }
}

static void print_joined(struct app *app, const char *title, char **items, size_t count, int indent)
{
    if (count == 0)
        return;
    const char *text = arena_printf(&app->arena, "%s: %s", title, items[0]);
    for (size_t i = 1; i < count && text; i++)
        text = arena_printf(&app->arena, "%s, %s", text, items[i]);
    putchar('\n');
    print_wrapped(stdout, text_clean(&app->arena, text), indent, app->terminal.width);
}

void print_summary(struct app *app, const struct summary *s, int indent)
{
    char *actions[256];
    size_t n = 0;
    for (; n < s->action_item_count && n < 256; n++) {
        const struct action_item *a = &s->action_items[n];
        actions[n] = arena_printf(&app->arena, "%s%s%s%s", a->text, *a->owner ? " (" : "", a->owner,
                                  *a->owner ? ")" : "");
    }
    print_wrapped(stdout, text_clean(&app->arena, s->abstract), indent, app->terminal.width);
    print_list(app, "Key points", (char **)s->key_points, s->key_point_count, indent);
    print_list(app, "Action items", actions, n, indent);
    print_joined(app, "Topics", (char **)s->topics, s->topic_count, indent);
    print_joined(app, "Names", (char **)s->entities, s->entity_count, indent);
}

int media_has_nothing(const struct app *app, const struct media_row *m)
{
    (void)app;
    if (m->result_id != 0)
        return OK;
    if (m->state == JOB_DEAD)
        return error_set(ERR_NOT_FOUND, NULL, "'%.200s' failed (%s): %.200s", m->key, m->reason,
                         m->message);
    return error_set(ERR_NOT_FOUND, NULL,
                     "'%.200s' is not processed yet (%s); `aegis jobs %" PRId64 "` says more",
                     m->key, job_state_name(m->state), m->job_id);
}

const char *advice(const char *reason)
{
    static const char *const rows[][2] = {
        {"unreadable", "the file is damaged or not what it claims to be: check it, add it again"},
        {"password_protected", "remove the password and add it again"},
        {"archive_bomb", "it unpacks to more than is allowed: it was refused for safety"},
        {"too_deep", "its markup is nested deeper than is allowed: it was refused for safety"},
        {"too_large", "it is larger than is allowed: split it, or raise the limit that is named"},
        {"checksum_mismatch", "the object does not match its checksum: add it again"},
        {"no_decoder",
         "install what the message names, or convert the file, for instance with ffmpeg"},
        {"unsupported_type", "this kind of file is not known: convert it to text, PDF or audio"},
        {"playlist", "a playlist points elsewhere: add the recordings themselves"},
        {"parser_crashed", "the file makes its parser crash: convert it to another format"},
        {"parser_timeout", "the file makes its parser hang: convert it to another format"},
        {"parser_memory", "the file needs too much memory: convert it to another format"},
        {"refused", "the model refused the content"},
        {"truncated",
         "upload the whole file again; or set media.accept_truncated, then redrive it"},
        {"truncated_reply", "the model's answer did not fit: choose a model with a larger output"},
        {"object_missing", "the object was removed before it was fetched: add it again"},
        {"no_offline_speech", "install pocketsphinx-en-us, or set OPENAI_API_KEY; then redrive it"},
        {"max_receives", "the workers that took it died: look at their logs, then redrive it"},
        {NULL, NULL},
    };
    for (size_t i = 0; rows[i][0]; i++)
        if (!strcmp(rows[i][0], reason))
            return rows[i][1];
    return "once the cause is mended: `aegis dead redrive ID`";
}
