#include <inttypes.h>
#include <string.h>

#include "commands/columns.h"
#include "commands/commands.h"
#include "commands/letters.h"
#include "commands/select.h"
#include "commands/views.h"
#include "shared/clock.h"
#include "shared/error.h"

enum { PAGE = 500, DEFAULT_LIMIT = 50 };

static const struct option_spec options[] = {
    {.name = "all", .help = "redrive or drop: every dead letter"},
    {.name = "limit", .letter = 'n', .argument = "N", .help = "list: at most so many; 0: all (50)"},
    {0},
};

/* ---- list and show ---- */

static int add_row(struct app *app, struct columns *table, const struct job_row *j)
{
    char ago[HUMAN_TEXT];
    struct arena *a = &app->arena;
    const char *cells[] = {
        arena_printf(a, "%" PRId64, j->job_id),
        arena_strdup(a, human_ago(j->finished_ms, clock_now(clock_system()), ago)),
        text_clean(a, j->reason),
        text_clean(a, j->stage),
        arena_printf(a, "%d", j->attempts),
        text_clean(a, j->key),
        text_clean(a, j->message),
    };
    return columns_row(table, STYLE_NONE, cells);
}

static yyjson_mut_val *letter_json(yyjson_mut_doc *doc, const struct job_row *j)
{
    yyjson_mut_val *o = job_json(doc, j);
    yyjson_mut_obj_add_val(doc, o, "advice", js(doc, advice(j->reason)));
    return o;
}

static int list_dead(struct app *app, int64_t limit, struct columns *table,
                     struct json_stream *stream)
{
    const struct database *db = &app->database;
    int64_t before = 0;
    size_t count = PAGE;
    int rc = OK;
    while (!rc && count == PAGE && limit > 0) {
        struct job_row *rows;
        count = 0;
        rc = db->ops->job_list(db->ctx, JOB_DEAD, before, limit < PAGE ? (size_t)limit : PAGE,
                               &app->arena, &rows, &count);
        for (size_t i = 0; !rc && i < count; i++) {
            before = rows[i].job_id;
            if (app->json) {
                yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
                json_stream_row(stream, doc, letter_json(doc, &rows[i]));
            } else {
                rc = add_row(app, table, &rows[i]);
            }
        }
        limit -= (int64_t)count;
    }
    return rc;
}

static size_t strays(struct app *app)
{
    struct letters letters;
    size_t n = 0;
    if (!letters_read(app, &letters))
        while (n < letters.count && letters.items[n].job_id == 0)
            n++;
    letters_free(&letters);
    return n;
}

static int list(struct app *app)
{
    static const struct column columns[] = {
        {.title = "JOB", .right = true},
        {.title = "DIED", .optional = true},
        {.title = "REASON"},
        {.title = "STAGE", .optional = true},
        {.title = "ATTEMPTS", .right = true, .optional = true},
        {.title = "KEY", .shrinks = true, .to_ending = true},
        {.title = "MESSAGE", .shrinks = true},
    };
    int64_t limit;
    struct columns table;
    struct json_stream stream = {0};
    int rc = arguments_int(app->arguments, "limit", DEFAULT_LIMIT, 0, INT64_MAX, &limit);
    if (rc)
        return rc;
    columns_init(&table, &app->arena, columns, 7);
    if (app->json)
        json_stream_begin(&stream, "dead");
    rc = list_dead(app, limit ? limit : INT64_MAX, &table, &stream);
    if (app->json) {
        json_stream_end(&stream);
        return rc;
    }
    size_t unreadable = strays(app);
    if (table.row_count > 0)
        columns_print(&table, &app->terminal);
    else if (!rc && unreadable == 0)
        printf("No dead letters.\n");
    if (unreadable > 0)
        printf("%zu messages that name no job; `aegis dead drop --all` removes them too.\n",
               unreadable);
    if (table.row_count > 0)
        printf("\nOnce the cause is mended: `aegis dead redrive JOB...`, or `--all`.\n");
    return rc;
}

static int parse_job(const char *text, int64_t *id)
{
    return parse_id(text, id)
               ? OK
               : error_set(ERR_INVALID, NULL, "'%.64s' is not the id of a job", text);
}

static int show(struct app *app, const char *text)
{
    struct job_row job;
    struct attempt_row *attempts;
    size_t count;
    int64_t id;
    int rc = parse_job(text, &id);
    if (!rc)
        rc =
            app->database.ops->job_get(app->database.ctx, id, &app->arena, &job, &attempts, &count);
    if (rc == ERR_NOT_FOUND || (!rc && job.state != JOB_DEAD))
        return error_set(ERR_NOT_FOUND, NULL,
                         "no dead letter has the id %" PRId64 "; `aegis dead list` lists them", id);
    if (rc)
        return rc;
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *o = letter_json(doc, &job), *history = yyjson_mut_arr(doc);
        for (size_t i = 0; i < count; i++)
            yyjson_mut_arr_append(history, attempt_json(doc, &attempts[i]));
        yyjson_mut_obj_add_val(doc, o, "history", history);
        print_json(&app->terminal, doc, o);
        return OK;
    }
    printf("job %" PRId64 ": %s\n", job.job_id, text_clean(&app->arena, job.key));
    printf("  reason   %s at %s\n", text_clean(&app->arena, job.reason), job.stage);
    print_wrapped(stdout, text_clean(&app->arena, job.message), 2, app->terminal.width);
    print_wrapped(stdout, arena_printf(&app->arena, "What to do: %s", advice(job.reason)), 2,
                  app->terminal.width);
    for (size_t i = 0; i < count; i++) {
        char at[CLOCK_TEXT];
        const struct attempt_row *a = &attempts[i];
        printf("  attempt %d  %s  %s%s%s\n", a->attempt, clock_format(a->started_ms, at),
               a->outcome, *a->reason ? ", " : "", text_clean(&app->arena, a->reason));
    }
    return OK;
}

/* ---- redrive and drop ---- */

struct action {
    const char *name, *done;
    const char *next; /* what is to be done after that */
    int (*job)(struct app *, int64_t);
    int (*messages)(struct app *, const struct letters *, const int64_t *, size_t);
    int (*rest)(struct app *, const struct letters *, int64_t *);
};

struct outcome {
    int64_t done, failed;
    struct error first;
};

static bool act(struct app *app, const struct action *action, int64_t id, struct outcome *o)
{
    if (action->job(app, id) == OK) {
        o->done++;
        return true;
    }
    if (o->failed++ == 0)
        o->first = *error_last();
    return false;
}

static int act_on_page(struct app *app, const struct action *action, const struct letters *letters,
                       const struct job_row *rows, size_t count, struct outcome *o)
{
    int64_t done[PAGE];
    size_t n = 0;
    for (size_t i = 0; i < count && !app_stopped(); i++)
        if (act(app, action, rows[i].job_id, o))
            done[n++] = rows[i].job_id;
    return action->messages(app, letters, done, n);
}

static int act_on_all(struct app *app, const struct action *action, const struct letters *letters,
                      struct outcome *o)
{
    const struct database *db = &app->database;
    int64_t before = 0, strays_done = 0;
    size_t count;
    struct arena page;
    arena_init(&page, MIB(64));
    int rc;
    do {
        struct job_row *rows;
        count = 0;
        rc = db->ops->job_list(db->ctx, JOB_DEAD, before, PAGE, &page, &rows, &count);
        if (!rc && count)
            before = rows[count - 1].job_id;
        if (!rc)
            rc = act_on_page(app, action, letters, rows, count, o);
        arena_free(&page);
    } while (!rc && count == PAGE && !app_stopped());
    if (!rc && !app_stopped()) /* else who works on the queue sends those that lack a message */
        rc = action->rest(app, letters, &strays_done);
    o->done += strays_done;
    return rc;
}

static int act_on_named(struct app *app, const struct action *action, const struct letters *letters,
                        struct outcome *o)
{
    const struct arguments *a = app->arguments;
    size_t count = a->operand_count - 1, n = 0;
    int64_t *ids = arena_array(&app->arena, count, sizeof *ids);
    if (!ids)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        int rc = parse_job(a->operands[i + 1], &ids[i]);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < count; i++) {
        if (act(app, action, ids[i], o))
            ids[n++] = ids[i];
        else if (count > 1 && o->failed < 20)
            app_note(app, "%s", error_last()->message);
    }
    return action->messages(app, letters, ids, n);
}

static int apply(struct app *app, const struct action *action)
{
    const struct arguments *a = app->arguments;
    bool all = arguments_has(a, "all");
    if (all == (a->operand_count > 1))
        return error_set(ERR_INVALID, NULL, "`aegis dead %s` needs ids of jobs, or --all",
                         action->name);
    struct letters letters;
    struct outcome o = {0};
    int rc = letters_read(app, &letters);
    if (all)
        letters_take_together(app, &letters);
    if (!rc)
        rc = all ? act_on_all(app, action, &letters, &o) : act_on_named(app, action, &letters, &o);
    letters_free(&letters);
    if (rc)
        return rc;
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        print_json(&app->terminal, doc,
                   js_object(doc, action->done, yyjson_mut_sint(doc, o.done), "failed",
                             yyjson_mut_sint(doc, o.failed), NULL));
    } else if (o.done > 0 || o.failed == 0) {
        printf("%" PRId64 " %s%s\n", o.done, action->done, o.done ? action->next : "");
    }
    return o.failed ? error_restore(&o.first) : OK;
}

static int run(struct app *app)
{
    static const struct action redrive = {"redrive",
                                          "redriven",
                                          "; `aegis serve` works on them",
                                          letters_redrive_job,
                                          letters_redrive_messages,
                                          letters_redrive_rest};
    static const struct action drop = {
        "drop", "dropped", "", letters_drop_job, letters_drop_messages, letters_drop_rest};
    const struct arguments *a = app->arguments;
    const char *word = a->operand_count ? a->operands[0] : "list";
    app_catch_signals();
    int rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (rc)
        return app_fail(app);
    if (!strcmp(word, "list"))
        rc = list(app);
    else if (!strcmp(word, "redrive"))
        rc = apply(app, &redrive);
    else if (!strcmp(word, "drop"))
        rc = apply(app, &drop);
    else if (a->operand_count != 2)
        rc = error_set(ERR_INVALID, NULL, "`aegis dead show` needs the id of one job");
    else
        rc = show(app, a->operands[1]);
    return rc ? app_fail(app) : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis dead", "what failed for good, and why"},
    {"aegis dead show 12", "one of them, with every attempt and what to do"},
    {"aegis dead redrive 12 15", "send two round again"},
    {"aegis dead redrive --all", "send all round again"},
    {0},
};

const struct command command_dead = {
    .name = "dead",
    .summary = "list, show, redrive or drop dead letters",
    .operands = "[list | show JOB | redrive JOB... | drop JOB...]",
    .max_operands = -1,
    .operand_kind = OPERAND_WORDS,
    .words = "list|show|redrive|drop",
    .description =
        "A job that keeps failing, or can never work, becomes a dead letter with its reason and "
        "the history of its attempts.\n\n"
        "`redrive` sends it round again with its attempts counted from the start; what was already "
        "done and paid for is not done again. A running `aegis serve` takes it up. `drop` gives it "
        "up for good; the medium itself stays.",
    .options = options,
    .examples = examples,
    .json =
        "  {\"dead\": [JOB, ...]}\n\nfor list; JOB is as in `aegis jobs --json`, with `advice`. "
        "show prints one JOB with `history`, redrive {\"redriven\": 2, \"failed\": 0}, drop "
        "{\"dropped\": 2, \"failed\": 0}.",
    .run = run,
};
