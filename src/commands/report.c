#include "commands/report.h"

#include <inttypes.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/error.h"

enum { ABSTRACT_LINES = 2 };

void report_begin(struct report *r, struct app *app)
{
    *r = (struct report){.app = app};
    if (app->json)
        json_stream_begin(&r->stream, "media");
}

/* "12  Title" with what it is to the right of it. */
static void print_head(struct report *r, struct arena *arena, const struct media_row *m)
{
    const struct terminal *t = &r->app->terminal;
    char cost[HUMAN_TEXT], id[24], tail[128];
    const char *outcome = m->outcome == OUTCOME_EMPTY ? NULL : outcome_text(m->outcome);
    const char *label = label_text(m->draft, m->missing_ms != 0);
    snprintf(id, sizeof id, "%" PRId64, m->media_id);
    snprintf(tail, sizeof tail, "%s%s%s%s%s%s", media_what(arena, m), outcome ? ", " : "",
             outcome ? outcome : "", *label ? ", " : "", label,
             m->cost_nanousd > 0 || !m->cost_known ? ", " : "");
    if (m->cost_nanousd > 0 || !m->cost_known)
        strncat(tail, human_cost(m->cost_nanousd, m->cost_known, cost),
                sizeof tail - strlen(tail) - 1);
    int room = t->width - 6 - (int)strlen(id) - text_columns(tail) - 2;
    printf("%s✓%s %s  %s%s%s  %s%s%s\n", style_text(t->out_color, STYLE_GREEN),
           style_text(t->out_color, STYLE_NONE), id, style_text(t->out_color, STYLE_BOLD),
           text_truncate(arena, media_name(arena, m), room < 20 ? 20 : room),
           style_text(t->out_color, STYLE_NONE), style_text(t->out_color, STYLE_DIM), tail,
           style_text(t->out_color, STYLE_NONE));
}

static void print_abstract(struct report *r, struct arena *arena, const struct media_row *m)
{
    struct summary summary;
    const struct database *db = &r->app->database;
    const struct terminal *t = &r->app->terminal;
    if (m->title && *m->title && strcmp(m->title, m->key))
        printf("    %s%s%s\n", style_text(t->out_color, STYLE_DIM),
               text_truncate(arena, text_clean(arena, m->key), t->width - 4),
               style_text(t->out_color, STYLE_NONE));
    if (db->ops->summary_get(db->ctx, m->media_id, arena, &summary) || !*summary.abstract)
        return;
    int room = (t->width - 4) * ABSTRACT_LINES - 8;
    print_wrapped(stdout, text_truncate(arena, text_clean(arena, summary.abstract), room), 4,
                  t->width);
}

static void note_provider(struct report *r, const struct media_row *m)
{
    if (m->stages_json && strstr(m->stages_json, "\"offline\""))
        r->offline = true;
}

static void show_done(struct report *r, int64_t media_id)
{
    struct arena arena;
    struct media_row m;
    const struct database *db = &r->app->database;
    arena_init(&arena, MIB(16));
    int rc = db->ops->media_get(db->ctx, media_id, &arena, &m);
    if (!rc) {
        note_provider(r, &m);
        if (r->app->json) {
            yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
            json_stream_row(&r->stream, doc, media_json(doc, &m));
        } else {
            print_head(r, &arena, &m);
        }
        if (!r->app->json && !r->brief)
            print_abstract(r, &arena, &m);
    }
    arena_free(&arena);
}

static void show_failed(struct report *r, const struct tracked *item)
{
    struct arena arena;
    struct media_row m;
    const struct terminal *t = &r->app->terminal;
    const struct database *db = &r->app->database;
    arena_init(&arena, MIB(16));
    if (r->app->json) {
        if (!db->ops->media_get(db->ctx, item->media_id, &arena, &m)) {
            yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
            json_stream_row(&r->stream, doc, media_json(doc, &m));
        }
    } else {
        printf("%s✗%s %" PRId64 "  %s%s%s\n", style_text(t->out_color, STYLE_RED),
               style_text(t->out_color, STYLE_NONE), item->media_id,
               style_text(t->out_color, STYLE_BOLD), text_clean(&arena, item->key),
               style_text(t->out_color, STYLE_NONE));
        const char *why = arena_printf(&arena, "%s: %s", item->reason,
                                       item->message ? item->message : "no further word");
        print_wrapped(stdout, text_clean(&arena, why), 4, t->width);
        const char *todo = arena_printf(&arena, "What to do: %s (job %" PRId64 ")",
                                        advice(item->reason), item->job_id);
        print_wrapped(stdout, todo ? todo : "", 4, t->width);
    }
    arena_free(&arena);
}

void report_ended(void *report, const struct tracked *item)
{
    struct report *r = report;
    switch (item->state) {
    case JOB_SUCCEEDED:
        r->succeeded++;
        show_done(r, item->media_id);
        break;
    case JOB_DEAD:
        r->dead++;
        show_failed(r, item);
        break;
    default:
        r->cancelled++; /* replaced by a newer version, or removed: nothing to show */
    }
    fflush(stdout);
}

void report_end(struct report *r, yyjson_mut_val *rest)
{
    if (!r->app->json)
        return;
    printf("%s]", r->stream.count ? "\n" : "");
    size_t i, max;
    yyjson_mut_val *name, *value;
    yyjson_mut_obj_foreach(rest, i, max, name, value)
    {
        printf(",\n\"%s\":", yyjson_mut_get_str(name));
        print_json_value(value);
    }
    printf("}\n");
}

void report_totals(const struct report *r, size_t waiting, int64_t started_ms)
{
    char took[HUMAN_TEXT], text[256];
    size_t n = (size_t)snprintf(text, sizeof text, "%zu done", r->succeeded);
    if (r->unchanged)
        n += (size_t)snprintf(text + n, sizeof text - n, " (%zu unchanged)", r->unchanged);
    if (r->dead)
        n += (size_t)snprintf(text + n, sizeof text - n, ", %zu failed", r->dead);
    if (r->cancelled)
        n += (size_t)snprintf(text + n, sizeof text - n, ", %zu superseded", r->cancelled);
    if (waiting)
        snprintf(text + n, sizeof text - n, ", %zu still queued", waiting);
    app_note(r->app, "%s, in %s", text, human_duration(clock_monotonic_ms() - started_ms, took));
    if (r->offline && !app_stopped())
        app_note(r->app,
                 "made by the offline models: extractive summaries, draft transcripts. A real "
                 "model is one variable away: set OPENAI_API_KEY, then `aegis reprocess "
                 "--all`.");
}
