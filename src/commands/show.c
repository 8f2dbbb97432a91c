#include <inttypes.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/select.h"
#include "commands/views.h"
#include "shared/clock.h"
#include "shared/error.h"

/* Everything there is to say about one medium. */
struct shown {
    struct media_row media;
    struct job_row job;
    struct attempt_row *attempts;
    size_t attempt_count;
    bool has_summary;
    struct summary summary;
};

static int load(struct app *app, const char *reference, struct shown *s)
{
    int rc = select_media(app, reference, &s->media);
    if (rc)
        return rc;
    const struct database *db = &app->database;
    rc = db->ops->job_get(db->ctx, s->media.job_id, &app->arena, &s->job, &s->attempts,
                          &s->attempt_count);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    rc = s->media.result_id
             ? db->ops->summary_get(db->ctx, s->media.media_id, &app->arena, &s->summary)
             : ERR_NOT_FOUND;
    s->has_summary = rc == OK;
    return rc == ERR_NOT_FOUND ? OK : rc;
}

static void print_as_json(struct app *app, const struct shown *s)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = media_json(doc, &s->media), *attempts = yyjson_mut_arr(doc);
    for (size_t i = 0; i < s->attempt_count; i++)
        yyjson_mut_arr_append(attempts, attempt_json(doc, &s->attempts[i]));
    yyjson_mut_obj_add_val(doc, o, "attempts", attempts);
    yyjson_mut_obj_add_val(doc, o, "summary",
                           s->has_summary ? summary_json(doc, &s->summary) : yyjson_mut_null(doc));
    print_json(&app->terminal, doc, o);
}

static void field(const char *name, const char *value)
{
    if (value && *value)
        printf("  %-11s %s\n", name, value);
}

static void print_time(const char *name, int64_t ms)
{
    char text[HUMAN_TEXT], at[CLOCK_TEXT], line[96];
    if (ms == 0)
        return;
    snprintf(line, sizeof line, "%s (%s)", clock_format(ms, at),
             human_ago(ms, clock_now(clock_system()), text));
    field(name, line);
}

static void print_made_by(struct app *app, const char *stages_json)
{
    yyjson_doc *stages = stages_json ? yyjson_read(stages_json, strlen(stages_json), 0) : NULL;
    size_t i, max;
    yyjson_val *stage, *made;
    if (!stages)
        return;
    yyjson_obj_foreach(yyjson_doc_get_root(stages), i, max, stage, made)
    {
        const char *provider = yyjson_get_str(yyjson_obj_get(made, "provider"));
        const char *model = yyjson_get_str(yyjson_obj_get(made, "model"));
        if (provider && model)
            printf("  %-11s %s, %s\n", text_clean(&app->arena, yyjson_get_str(stage)),
                   text_clean(&app->arena, provider), text_clean(&app->arena, model));
    }
    yyjson_doc_free(stages);
}

static void print_content(struct app *app, const struct media_row *m)
{
    char text[HUMAN_TEXT], line[160], position[CLOCK_TEXT];
    if (m->result_id == 0)
        return;
    const char *note = m->outcome == OUTCOME_EMPTY ? NULL : outcome_text(m->outcome);
    snprintf(line, sizeof line, "%s%s%s%s%s", media_what(&app->arena, m), *m->format ? ", " : "",
             text_clean(&app->arena, m->format), note ? ", " : "", note ? note : "");
    field("what", line);
    field("language", text_clean(&app->arena, m->language));
    if (m->segment_count > 0)
        printf("  %-11s %s segments%s\n", "transcript", human_count(m->segment_count, text),
               m->draft ? ", draft: good enough to find it by, not to trust" : "");
    if (m->missing_ms > 0)
        printf("  %-11s %s of the recording: it ends early or is damaged\n", "missing",
               clock_format_position(m->missing_ms, position));
    else if (m->missing_ms < 0)
        field("missing", "some of the recording, which ends early or is damaged");
    printf("  %-11s %s", "text", human_bytes(m->text_bytes, text));
    printf(" in %s passage%s\n", human_count(m->chunk_count, text), m->chunk_count == 1 ? "" : "s");
    if (m->summary_coverage_permille > 0 && m->summary_coverage_permille < 1000)
        printf("  %-11s of %" PRId64 "%% of the text, evenly spread\n", "summary",
               m->summary_coverage_permille / 10);
    print_made_by(app, m->stages_json);
}

static void print_attempts(struct app *app, const struct shown *s)
{
    if (s->media.state == JOB_SUCCEEDED && s->attempt_count <= 1)
        return;
    for (size_t i = 0; i < s->attempt_count; i++) {
        const struct attempt_row *a = &s->attempts[i];
        char took[HUMAN_TEXT];
        const char *line =
            arena_printf(&app->arena, "attempt %d: %s%s%s%s%s%s%s", a->attempt, a->outcome,
                         *a->stage ? " at " : "", a->stage, *a->reason ? ", " : "", a->reason,
                         *a->message ? ": " : "", a->message);
        print_wrapped(stdout, text_clean(&app->arena, line), 2, app->terminal.width);
        if (a->ended_ms)
            printf("  %-11s %s\n", "took", human_duration(a->ended_ms - a->started_ms, took));
    }
    if (s->media.state == JOB_DEAD)
        print_wrapped(stdout, advice(s->media.reason), 2, app->terminal.width);
}

static void print_text(struct app *app, const struct shown *s)
{
    const struct media_row *m = &s->media;
    char text[HUMAN_TEXT];
    bool color = app->terminal.out_color;
    const char *label = label_text(m->draft, m->missing_ms != 0);
    printf("%s%s%s%s%s%s\n", style_text(color, STYLE_BOLD), media_name(&app->arena, m),
           style_text(color, STYLE_NONE), *label ? "  [" : "", label, *label ? " transcript]" : "");
    printf("  %-11s %" PRId64 "\n", "id", m->media_id);
    field("key", text_clean(&app->arena, m->key));
    if (strcmp(m->bucket, m->collection))
        field("collection", text_clean(&app->arena, m->collection));
    field("bucket", text_clean(&app->arena, m->bucket));
    printf("  %-11s %s%s%s (job %" PRId64 ")\n", "state", style_text(color, state_style(m->state)),
           job_state_name(m->state),
           color && state_style(m->state) ? style_text(color, STYLE_NONE) : "", m->job_id);
    field("size", human_bytes(m->size, text));
    print_time("added", m->uploaded_ms);
    print_time("published", m->published_ms);
    print_content(app, m);
    field("cost", human_cost(m->cost_nanousd, m->cost_known, text));
    print_attempts(app, s);
    if (s->has_summary && *s->summary.abstract) {
        putchar('\n');
        print_summary(app, &s->summary, 0);
    }
}

static int run(struct app *app)
{
    struct shown shown = {0};
    int rc = app_require_data(app);
    if (!rc)
        rc = load(app, app->arguments->operands[0], &shown);
    if (rc)
        return app_fail(app);
    if (app->json)
        print_as_json(app, &shown);
    else
        print_text(app, &shown);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"aegis show 12", "by id"},
    {"aegis show talks/monday.mp3", "by key"},
    {"aegis show s3://media/talk.mp3", "by bucket and key"},
    {0},
};

const struct command command_show = {
    .name = "show",
    .summary = "show everything about one medium",
    .operands = "KEY|ID",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_MEDIA,
    .description = "Shows a medium's state, what was found in it, which models made what, what it "
                   "cost, its summary and, if it failed, every attempt with its reason.",
    .examples = examples,
    .json = MEDIA_JSON_HELP
    "\n\nand in it also\n\n"
    "  {\"attempts\": [{\"attempt\": 1, \"outcome\": \"succeeded\", \"started\": \"...\",\n"
    "     \"ended\": \"...\", \"worker\": \"host:123\", \"stage\": null, \"reason\": null,\n"
    "     \"message\": null, \"stage_ms\": {\"fetch\": 1, ...}}],\n"
    "   \"summary\": SUMMARY}\n\n"
    "where SUMMARY is as in `aegis summary --json`, or null.",
    .run = run,
};
