#include <inttypes.h>
#include <string.h>

#include "commands/columns.h"
#include "commands/commands.h"
#include "commands/select.h"
#include "commands/views.h"
#include "shared/clock.h"
#include "shared/error.h"

enum { PAGE = 500, DEFAULT_LIMIT = 50 };

static const struct option_spec options[] = {
    {.name = "state",
     .argument = "STATE",
     .choices = "queued|running|retrying|paused|succeeded|dead|cancelled",
     .help = "only jobs in this state"},
    {.name = "limit", .letter = 'n', .argument = "N", .help = "at most so many; 0: all (50)"},
    {.name = "before", .argument = "ID", .help = "only jobs with a smaller id: the next page"},
    {0},
};

/* "took 1.2 s", "in 30 s", why it failed: what matters most in this state. */
static const char *job_note(struct arena *arena, const struct job_row *j)
{
    char text[HUMAN_TEXT];
    int64_t now = clock_now(clock_system());
    const char *note = "";
    if (j->state == JOB_SUCCEEDED && j->started_ms)
        note = arena_printf(arena, "took %s", human_duration(j->finished_ms - j->started_ms, text));
    else if (j->state == JOB_RETRYING)
        note = arena_printf(arena, "in %s: %s at %s",
                            human_duration(j->due_ms > now ? j->due_ms - now : 0, text), j->reason,
                            j->stage);
    else if (*j->reason)
        note = arena_printf(arena, "%s%s%s", j->reason, *j->stage ? " at " : "", j->stage);
    return note ? text_clean(arena, note) : "";
}

static int add_row(struct app *app, struct columns *table, const struct job_row *j)
{
    char ago[HUMAN_TEXT];
    struct arena *a = &app->arena;
    const char *cells[] = {
        arena_printf(a, "%" PRId64, j->job_id),
        job_state_name(j->state),
        arena_printf(a, "%d", j->attempts),
        arena_strdup(a, human_ago(j->queued_ms, clock_now(clock_system()), ago)),
        job_note(a, j),
        text_clean(a, j->key),
    };
    return columns_row(table, state_style(j->state), cells);
}

static int list_pages(struct app *app, int state, int64_t before, int64_t limit,
                      struct columns *table, struct json_stream *stream)
{
    const struct database *db = &app->database;
    int rc = OK;
    size_t count = PAGE;
    struct arena page;
    arena_init(&page, MIB(64));
    for (int64_t left = limit; !rc && count == PAGE && left > 0; left -= (int64_t)count) {
        struct job_row *rows;
        count = 0;
        rc = db->ops->job_list(db->ctx, state, before, left < PAGE ? (size_t)left : PAGE, &page,
                               &rows, &count);
        for (size_t i = 0; !rc && i < count; i++) {
            before = rows[i].job_id;
            if (app->json) {
                yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
                json_stream_row(stream, doc, job_json(doc, &rows[i]));
            } else {
                rc = add_row(app, table, &rows[i]);
            }
        }
        arena_free(&page);
    }
    return rc;
}

/* Why nothing moves, if so. */
static int note_pause(struct app *app)
{
    const char *reason = "", *message = "";
    int64_t since;
    char ago[HUMAN_TEXT];
    int rc =
        app->database.ops->pause_get(app->database.ctx, &app->arena, &reason, &message, &since);
    if (!rc && *reason)
        app_note(app, "the pipeline is paused (%s) since %s: %s", reason,
                 human_ago(since, clock_now(clock_system()), ago),
                 text_clean(&app->arena, message));
    return rc;
}

static int list(struct app *app)
{
    static const struct column columns[] = {
        {.title = "JOB", .right = true},
        {.title = "STATE"},
        {.title = "ATTEMPTS", .right = true, .optional = true},
        {.title = "QUEUED", .optional = true},
        {.title = "NOTE", .shrinks = true},
        {.title = "KEY", .shrinks = true, .to_ending = true},
    };
    const struct arguments *a = app->arguments;
    const char *name = arguments_value(a, "state", NULL);
    enum job_state state;
    int64_t limit, before;
    int rc = arguments_int(a, "limit", DEFAULT_LIMIT, 0, INT64_MAX, &limit);
    if (!rc)
        rc = arguments_int(a, "before", 0, 0, INT64_MAX, &before);
    if (!rc && name)
        rc = job_state_parse(name, &state);
    if (!rc)
        rc = note_pause(app);
    if (rc)
        return rc;
    struct columns table;
    struct json_stream stream = {0};
    columns_init(&table, &app->arena, columns, 6);
    if (app->json)
        json_stream_begin(&stream, "jobs");
    rc =
        list_pages(app, name ? (int)state : -1, before, limit ? limit : INT64_MAX, &table, &stream);
    if (app->json)
        json_stream_end(&stream);
    else if (table.row_count > 0)
        columns_print(&table, &app->terminal);
    else
        printf("No jobs.\n");
    return rc;
}

static void print_attempt(struct app *app, const struct attempt_row *a)
{
    char took[HUMAN_TEXT], at[CLOCK_TEXT];
    struct arena *arena = &app->arena;
    printf("  %3d  %s  %-10s  %-9s", a->attempt, clock_format(a->started_ms, at), a->outcome,
           a->ended_ms ? human_duration(a->ended_ms - a->started_ms, took) : "");
    if (*a->stage || *a->reason)
        printf("  %s%s%s", text_clean(arena, a->stage), *a->reason ? " " : "",
               text_clean(arena, a->reason));
    putchar('\n');
    if (*a->message)
        print_wrapped(stdout, text_clean(arena, a->message), 7, app->terminal.width);
}

static int show(struct app *app, int64_t id)
{
    struct job_row job;
    struct attempt_row *attempts;
    size_t count;
    int rc =
        app->database.ops->job_get(app->database.ctx, id, &app->arena, &job, &attempts, &count);
    if (rc == ERR_NOT_FOUND)
        return error_set(rc, NULL, "no job has the id %" PRId64 "; `aegis jobs` lists them", id);
    if (rc)
        return rc;
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *o = job_json(doc, &job), *list_json = yyjson_mut_arr(doc);
        for (size_t i = 0; i < count; i++)
            yyjson_mut_arr_append(list_json, attempt_json(doc, &attempts[i]));
        yyjson_mut_obj_add_val(doc, o, "history", list_json);
        print_json(&app->terminal, doc, o);
        return OK;
    }
    printf("job %" PRId64 ": %s of %s (medium %" PRId64 ")\n", job.job_id,
           job_state_name(job.state), text_clean(&app->arena, job.key), job.media_id);
    const char *note = job_note(&app->arena, &job);
    if (*note)
        printf("  %s\n", note);
    printf("  trace %s\n", job.trace_id);
    for (size_t i = 0; i < count; i++)
        print_attempt(app, &attempts[i]);
    if (job.state == JOB_DEAD)
        print_wrapped(stdout, advice(job.reason), 2, app->terminal.width);
    return OK;
}

static int run(struct app *app)
{
    const struct arguments *a = app->arguments;
    int64_t id = 0;
    int rc = OK;
    if (a->operand_count > 0 && !parse_id(a->operands[0], &id))
        rc = error_set(ERR_INVALID, NULL, "'%.64s' is not the id of a job", a->operands[0]);
    if (!rc)
        rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = id ? show(app, id) : list(app);
    return rc ? app_fail(app) : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis jobs --state retrying", "what will be tried again, when and why"},
    {"aegis jobs 12", "every attempt of one job"},
    {0},
};

const struct command command_jobs = {
    .name = "jobs",
    .summary = "list jobs, newest first, or show one with its attempts",
    .operands = "[JOB]",
    .max_operands = 1,
    .operand_kind = OPERAND_TEXT,
    .description = "Lists jobs with their state: queued, running, retrying (when and why), paused "
                   "(why), succeeded, dead (its reason), cancelled. With a job's id: that job with "
                   "every attempt.",
    .options = options,
    .examples = examples,
    .json =
        "  {\"jobs\": [JOB, ...]}\n\nor, with an id, JOB with \"history\": [ATTEMPT, ...] as in "
        "`aegis show --json`; JOB is\n\n" JOB_JSON_HELP,
    .run = run,
};
