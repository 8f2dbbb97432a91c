#include "commands/hits.h"

#include <string.h>

#include "commands/select.h"
#include "commands/views.h"
#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/error.h"

int hits_request(const struct app *app, const char *query, int64_t default_limit,
                 struct search_request *out)
{
    const struct arguments *a = app->arguments;
    int64_t limit, per_media;
    *out = (struct search_request){.query = query};
    int rc = select_filter(app, &out->filter);
    if (!rc)
        rc = arguments_int(a, "limit", default_limit, 1, CAP_RESULTS, &limit);
    if (!rc)
        rc = arguments_int(a, "per-media", 0, 0, CAP_RESULTS, &per_media);
    if (rc)
        return rc;
    out->limit = (size_t)limit;
    out->per_media = (size_t)per_media;
    return OK;
}

int hits_find(struct app *app, const struct search_request *request, struct search_answer *out)
{
    int rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = app_providers(app);
    if (rc)
        return rc;
    rc = search_run(&app->database, &app->providers, request, app_stop(), &app->arena, out);
    struct error e = *error_last();
    hits_record(app, &out->calls); /* also those of a search that failed */
    return rc ? error_restore(&e) : OK;
}

static bool all_free(const struct model_calls *calls)
{
    for (size_t i = 0; i < calls->count; i++)
        if (calls->items[i].cost_nanousd != 0)
            return false;
    return true;
}

void hits_record(struct app *app, const struct model_calls *calls)
{
    const struct database *db = &app->database;
    if (!all_free(calls) && db->ops->calls_record(db->ctx, calls->items, calls->count))
        app_note(app, "the cost of this was not recorded: %s",
                 text_clean(&app->arena, error_last()->message));
}

/* ---- JSON ---- */

static json_t *placing_json(const struct search_placing *p)
{
    if (p->rank == 0)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "rank", json_integer((json_int_t)p->rank));
    json_object_set_new(o, "score", json_real(p->score));
    return o;
}

static json_t *highlights_json(const struct snippet *s)
{
    json_t *array = json_array();
    for (size_t i = 0; i < s->highlight_count; i++)
        json_array_append_new(array,
                              json_pack("{s:I, s:I}", "start", (json_int_t)s->highlights[i].start,
                                        "end", (json_int_t)s->highlights[i].end));
    return array;
}

static json_t *others_json(const struct search_hit *hit)
{
    json_t *array = json_array();
    for (size_t i = 0; i < hit->other_count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "media", json_integer(hit->others[i].media_id));
        json_object_set_new(o, "bucket", js(hit->others[i].bucket));
        json_object_set_new(o, "key", js(hit->others[i].key));
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *or_null(const char *text)
{
    return text && *text ? js(text) : json_null();
}

json_t *hit_json(const struct search_hit *hit, size_t rank)
{
    const struct passage *p = &hit->passage;
    json_t *o = json_object(), *arms = json_object();
    json_object_set_new(arms, "lexical", placing_json(&hit->lexical));
    json_object_set_new(arms, "vector", placing_json(&hit->vector));
    json_object_set_new(o, "rank", json_integer((json_int_t)rank));
    json_object_set_new(o, "media", json_integer(p->media_id));
    json_object_set_new(o, "bucket", js(p->bucket));
    json_object_set_new(o, "key", js(p->key));
    json_object_set_new(o, "score", json_real(hit->score));
    json_object_set_new(o, "arms", arms);
    json_object_set_new(o, "passage", js(p->text));
    json_object_set_new(o, "start_ms", js_position(p->start_ms));
    json_object_set_new(o, "end_ms", js_position(p->end_ms));
    json_object_set_new(o, "offset", json_integer(p->offset));
    json_object_set_new(o, "snippet", js(hit->snippet.text));
    json_object_set_new(o, "highlights", highlights_json(&hit->snippet));
    json_object_set_new(o, "collection", js(p->collection));
    json_object_set_new(o, "kind", js(p->kind));
    json_object_set_new(o, "language", or_null(p->language));
    json_object_set_new(o, "title", or_null(p->title));
    json_object_set_new(o, "draft", json_boolean(p->draft));
    json_object_set_new(o, "incomplete", json_boolean(p->incomplete));
    json_object_set_new(o, "uploaded", js_time(p->uploaded_ms));
    json_object_set_new(o, "others", others_json(hit));
    return o;
}

json_t *hit_warnings_json(const struct search_answer *answer)
{
    json_t *array = json_array();
    for (size_t i = 0; i < answer->warning_count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "reason", js(answer->warnings[i].reason));
        json_object_set_new(o, "message", js(answer->warnings[i].message));
        json_array_append_new(array, o);
    }
    return array;
}

/* ---- people ---- */

void hit_warnings_print(struct app *app, const struct search_answer *answer)
{
    for (size_t i = 0; i < answer->warning_count; i++)
        app_note(app, "note: %s", text_clean(&app->arena, answer->warnings[i].message));
}

const char *hit_source(struct arena *arena, const struct passage *p)
{
    char at[CLOCK_TEXT];
    const char *key = text_clean(arena, p->key);
    if (p->start_ms < 0)
        return key;
    const char *text = arena_printf(arena, "%s at %s", key, clock_format_position(p->start_ms, at));
    return text ? text : key;
}

/* The snippet with its matches wrapped in marks of one character each (which clean text cannot
 * hold), so that wrapping counts columns and colours come last. */
enum { MARK_ON = '\001', MARK_OFF = '\002' };

static const char *marked(struct arena *arena, const struct snippet *s)
{
    struct buffer out;
    buffer_init(&out, KIB(64));
    size_t at = 0;
    for (size_t i = 0; i < s->highlight_count; i++) {
        const struct text_range *h = &s->highlights[i];
        buffer_append_string(&out, text_clean_n(arena, s->text + at, h->start - at));
        buffer_append_char(&out, MARK_ON);
        buffer_append_string(&out, text_clean_n(arena, s->text + h->start, h->end - h->start));
        buffer_append_char(&out, MARK_OFF);
        at = h->end;
    }
    buffer_append_string(&out, text_clean_n(arena, s->text + at, s->length - at));
    char *copy = arena_strdup(arena, buffer_string(&out));
    buffer_free(&out);
    return copy ? copy : "";
}

static void print_marked(const char *line, size_t length, bool color)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] == MARK_ON)
            fputs(style_text(color, STYLE_BOLD), stdout);
        else if (line[i] == MARK_OFF)
            fputs(style_text(color, STYLE_NONE), stdout);
        else
            putchar(line[i]);
}

static int columns_without_marks(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_strndup(arena, text, length), *to = copy;
    if (!copy)
        return 0;
    for (const char *from = copy; *from; from++)
        if (*from != MARK_ON && *from != MARK_OFF)
            *to++ = *from;
    *to = '\0';
    return text_columns(copy);
}

/* Words of the snippet, broken into lines; marks take no columns. */
static void print_snippet(struct app *app, const struct snippet *s, int indent)
{
    const char *text = marked(&app->arena, s);
    int room = app->terminal.width - indent, used = 0;
    while (*text == ' ')
        text++;
    printf("%*s", indent, "");
    while (*text) {
        size_t word = strcspn(text, " ");
        int columns = columns_without_marks(&app->arena, text, word);
        if (used > 0 && used + 1 + columns > room) {
            printf("\n%*s", indent, "");
            used = 0;
        }
        if (used > 0)
            putchar(' ');
        print_marked(text, word, app->terminal.out_color);
        used += columns + (used > 0);
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

void hit_print(struct app *app, const struct search_hit *hit, size_t rank)
{
    const struct passage *p = &hit->passage;
    bool color = app->terminal.out_color;
    const char *source = hit_source(&app->arena, p);
    const char *title = text_clean(&app->arena, p->title);
    const char *label = label_text(p->draft, p->incomplete);
    printf("%2zu. %s%s%s%s%s%s", rank, style_text(color, STYLE_CYAN), source,
           style_text(color, STYLE_NONE), *label ? "  [" : "", label, *label ? "]" : "");
    int left = app->terminal.width - 4 - text_columns(source) - 2;
    left -= *label ? 4 + (int)strlen(label) : 0;
    if (*title && left >= 12)
        printf("  %s%s%s", style_text(color, STYLE_DIM), text_truncate(&app->arena, title, left),
               style_text(color, STYLE_NONE));
    putchar('\n');
    print_snippet(app, &hit->snippet, 4);
    for (size_t i = 0; i < hit->other_count; i++)
        printf("    also in %s\n", text_clean(&app->arena, hit->others[i].key));
}
