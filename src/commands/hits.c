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

static yyjson_mut_val *placing_json(yyjson_mut_doc *doc, const struct search_placing *p)
{
    if (p->rank == 0)
        return yyjson_mut_null(doc);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "rank", yyjson_mut_sint(doc, p->rank));
    yyjson_mut_obj_add_val(doc, o, "score", js_real(doc, p->score));
    return o;
}

static yyjson_mut_val *highlights_json(yyjson_mut_doc *doc, const struct snippet *s)
{
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    for (size_t i = 0; i < s->highlight_count; i++)
        yyjson_mut_arr_append(array,
                              js_object(doc, "start", yyjson_mut_sint(doc, s->highlights[i].start),
                                        "end", yyjson_mut_sint(doc, s->highlights[i].end), NULL));
    return array;
}

static yyjson_mut_val *others_json(yyjson_mut_doc *doc, const struct search_hit *hit)
{
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    for (size_t i = 0; i < hit->other_count; i++) {
        yyjson_mut_val *o = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_val(doc, o, "media", yyjson_mut_sint(doc, hit->others[i].media_id));
        yyjson_mut_obj_add_val(doc, o, "bucket", js(doc, hit->others[i].bucket));
        yyjson_mut_obj_add_val(doc, o, "key", js(doc, hit->others[i].key));
        yyjson_mut_arr_append(array, o);
    }
    return array;
}

static yyjson_mut_val *or_null(yyjson_mut_doc *doc, const char *text)
{
    return text && *text ? js(doc, text) : yyjson_mut_null(doc);
}

yyjson_mut_val *hit_json(yyjson_mut_doc *doc, const struct search_hit *hit, size_t rank)
{
    const struct passage *p = &hit->passage;
    yyjson_mut_val *o = yyjson_mut_obj(doc), *arms = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, arms, "lexical", placing_json(doc, &hit->lexical));
    yyjson_mut_obj_add_val(doc, arms, "vector", placing_json(doc, &hit->vector));
    yyjson_mut_obj_add_val(doc, o, "rank", yyjson_mut_sint(doc, rank));
    yyjson_mut_obj_add_val(doc, o, "media", yyjson_mut_sint(doc, p->media_id));
    yyjson_mut_obj_add_val(doc, o, "bucket", js(doc, p->bucket));
    yyjson_mut_obj_add_val(doc, o, "key", js(doc, p->key));
    yyjson_mut_obj_add_val(doc, o, "score", js_real(doc, hit->score));
    yyjson_mut_obj_add_val(doc, o, "arms", arms);
    yyjson_mut_obj_add_val(doc, o, "passage", js(doc, p->text));
    yyjson_mut_obj_add_val(doc, o, "start_ms", js_position(doc, p->start_ms));
    yyjson_mut_obj_add_val(doc, o, "end_ms", js_position(doc, p->end_ms));
    yyjson_mut_obj_add_val(doc, o, "offset", yyjson_mut_sint(doc, p->offset));
    yyjson_mut_obj_add_val(doc, o, "snippet", js(doc, hit->snippet.text));
    yyjson_mut_obj_add_val(doc, o, "highlights", highlights_json(doc, &hit->snippet));
    yyjson_mut_obj_add_val(doc, o, "collection", js(doc, p->collection));
    yyjson_mut_obj_add_val(doc, o, "kind", js(doc, p->kind));
    yyjson_mut_obj_add_val(doc, o, "language", or_null(doc, p->language));
    yyjson_mut_obj_add_val(doc, o, "title", or_null(doc, p->title));
    yyjson_mut_obj_add_val(doc, o, "draft", yyjson_mut_bool(doc, p->draft));
    yyjson_mut_obj_add_val(doc, o, "incomplete", yyjson_mut_bool(doc, p->incomplete));
    yyjson_mut_obj_add_val(doc, o, "uploaded", js_time(doc, p->uploaded_ms));
    yyjson_mut_obj_add_val(doc, o, "others", others_json(doc, hit));
    return o;
}

yyjson_mut_val *hit_warnings_json(yyjson_mut_doc *doc, const struct search_answer *answer)
{
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    for (size_t i = 0; i < answer->warning_count; i++) {
        yyjson_mut_val *o = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_val(doc, o, "reason", js(doc, answer->warnings[i].reason));
        yyjson_mut_obj_add_val(doc, o, "message", js(doc, answer->warnings[i].message));
        yyjson_mut_arr_append(array, o);
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
