#include "commands/views.h"

#include <inttypes.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/error.h"
#include "shared/json.h"

/* ---- JSON ---- */

static json_t *or_null(const char *text)
{
    return text && *text ? js(text) : json_null();
}

static json_t *embedded(const char *text)
{
    json_t *value;
    if (!text || !*text || json_parse(text, strlen(text), "a stored document", &value))
        return json_null();
    return value;
}

static void put_result(json_t *o, const struct media_row *m)
{
    bool published = m->result_id != 0;
    bool timed = published && m->duration_ms >= 0;
    json_object_set_new(o, "kind", or_null(m->kind));
    json_object_set_new(o, "format", or_null(m->format));
    json_object_set_new(o, "language", or_null(m->language));
    json_object_set_new(o, "title", or_null(m->title));
    json_object_set_new(o, "outcome",
                        published ? js(result_outcome_name(m->outcome)) : json_null());
    json_object_set_new(o, "draft", json_boolean(m->draft));
    json_object_set_new(o, "incomplete", json_boolean(m->missing_ms != 0));
    json_object_set_new(o, "missing_ms",
                        published && m->missing_ms >= 0 ? json_integer(m->missing_ms)
                                                        : json_null());
    json_object_set_new(o, "size", js_position(m->size));
    json_object_set_new(o, "duration_ms", timed ? json_integer(m->duration_ms) : json_null());
    json_object_set_new(o, "text_bytes", json_integer(m->text_bytes));
    json_object_set_new(o, "chunks", json_integer(m->chunk_count));
    json_object_set_new(o, "segments", json_integer(m->segment_count));
    json_object_set_new(o, "summary_coverage",
                        json_real((double)m->summary_coverage_permille / 1000));
}

json_t *media_json(const struct media_row *m)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", json_integer(m->media_id));
    json_object_set_new(o, "bucket", js(m->bucket));
    json_object_set_new(o, "key", js(m->key));
    json_object_set_new(o, "collection", js(m->collection));
    json_object_set_new(o, "state", js(job_state_name(m->state)));
    put_result(o, m);
    json_object_set_new(o, "uploaded", js_time(m->uploaded_ms));
    json_object_set_new(o, "published", js_time(m->published_ms));
    json_object_set_new(o, "job", json_integer(m->job_id));
    json_object_set_new(o, "reason", or_null(m->reason));
    json_object_set_new(o, "message", or_null(m->message));
    json_object_set_new(o, "cost_usd", js_cost(m->cost_nanousd, m->cost_known));
    json_object_set_new(o, "made_by", embedded(m->stages_json));
    return o;
}

json_t *job_json(const struct job_row *j)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", json_integer(j->job_id));
    json_object_set_new(o, "media", json_integer(j->media_id));
    json_object_set_new(o, "bucket", js(j->bucket));
    json_object_set_new(o, "key", js(j->key));
    json_object_set_new(o, "collection", js(j->collection));
    json_object_set_new(o, "state", js(job_state_name(j->state)));
    json_object_set_new(o, "attempts", json_integer(j->attempts));
    json_object_set_new(o, "stage", or_null(j->stage));
    json_object_set_new(o, "reason", or_null(j->reason));
    json_object_set_new(o, "message", or_null(j->message));
    json_object_set_new(o, "queued", js_time(j->queued_ms));
    json_object_set_new(o, "started", js_time(j->started_ms));
    json_object_set_new(o, "finished", js_time(j->finished_ms));
    json_object_set_new(o, "due", js_time(j->due_ms));
    json_object_set_new(o, "worker", or_null(j->worker));
    json_object_set_new(o, "trace_id", or_null(j->trace_id));
    return o;
}

json_t *attempt_json(const struct attempt_row *a)
{
    json_t *o = json_object();
    json_object_set_new(o, "attempt", json_integer(a->attempt));
    json_object_set_new(o, "outcome", js(a->outcome));
    json_object_set_new(o, "started", js_time(a->started_ms));
    json_object_set_new(o, "ended", js_time(a->ended_ms));
    json_object_set_new(o, "worker", or_null(a->worker));
    json_object_set_new(o, "stage", or_null(a->stage));
    json_object_set_new(o, "reason", or_null(a->reason));
    json_object_set_new(o, "message", or_null(a->message));
    json_object_set_new(o, "stage_ms", embedded(a->stage_times_json));
    return o;
}

json_t *summary_json(const struct summary *s)
{
    json_t *o = json_object(), *actions = json_array();
    json_object_set_new(o, "title", or_null(s->title));
    json_object_set_new(o, "abstract", or_null(s->abstract));
    json_object_set_new(o, "language", or_null(s->language));
    json_object_set_new(o, "key_points",
                        js_strings((const char *const *)s->key_points, s->key_point_count));
    json_object_set_new(o, "topics", js_strings((const char *const *)s->topics, s->topic_count));
    json_object_set_new(o, "entities",
                        js_strings((const char *const *)s->entities, s->entity_count));
    for (size_t i = 0; i < s->action_item_count; i++) {
        json_t *item = json_object();
        json_object_set_new(item, "text", js(s->action_items[i].text));
        json_object_set_new(item, "owner", or_null(s->action_items[i].owner));
        json_array_append_new(actions, item);
    }
    json_object_set_new(o, "action_items", actions);
    return o;
}

void json_stream_begin(struct json_stream *s, const char *name)
{
    *s = (struct json_stream){0};
    printf("{\"%s\":[", name);
}

void json_stream_row(struct json_stream *s, json_t *row)
{
    fputs(s->count++ ? ",\n" : "\n", stdout);
    json_dumpf(row, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(row);
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
        {"no_decoder", "this codec is not known here: convert it, for instance with ffmpeg"},
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
