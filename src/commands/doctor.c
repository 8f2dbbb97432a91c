#include <string.h>

#include "commands/commands.h"
#include "commands/doctor_checks.h"

static const struct option_spec options[] = {
    {.name = "deep", .help = "read every page of the databases, however long that takes"},
    {.name = "offline", .help = "do not call the providers"},
    {0},
};

static void print_finding(struct app *app, const struct finding *f)
{
    static const char *const marks[] = {"ok  ", "warn", "FAIL"};
    static const enum style styles[] = {STYLE_GREEN, STYLE_YELLOW, STYLE_RED};
    bool color = app->terminal.out_color;
    printf("%s%s%s  %-14s ", style_text(color, styles[f->status]), marks[f->status],
           style_text(color, STYLE_NONE), f->name);
    const char *detail = text_clean(&app->arena, f->detail);
    if (text_columns(detail) + 21 <= app->terminal.width) {
        printf("%s\n", detail);
    } else {
        putchar('\n');
        print_wrapped(stdout, detail, 6, app->terminal.width);
    }
    if (*f->advice)
        print_wrapped(stdout,
                      arena_printf(&app->arena, "-> %s", text_clean(&app->arena, f->advice)), 6,
                      app->terminal.width);
}

/* Null as long as there is no queue. */
static yyjson_mut_val *queue_json(yyjson_mut_doc *doc, struct app *app)
{
    struct queue_stats stats;
    if (!app->queue.ops || app->queue.ops->stats(app->queue.ctx, &stats))
        return yyjson_mut_null(doc);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "visible", yyjson_mut_sint(doc, stats.visible));
    yyjson_mut_obj_add_val(doc, o, "in_flight", yyjson_mut_sint(doc, stats.in_flight));
    yyjson_mut_obj_add_val(doc, o, "delayed", yyjson_mut_sint(doc, stats.delayed));
    yyjson_mut_obj_add_val(doc, o, "dead", yyjson_mut_sint(doc, stats.dead));
    yyjson_mut_obj_add_val(doc, o, "oldest_age_ms", yyjson_mut_sint(doc, stats.oldest_age_ms));
    return o;
}

static void print_as_json(struct app *app, const struct findings *all)
{
    static const char *const names[] = {"ok", "warn", "fail"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *checks = yyjson_mut_arr(doc);
    for (size_t i = 0; i < all->count; i++) {
        const struct finding *f = &all->items[i];
        yyjson_mut_val *check = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_val(doc, check, "name", js(doc, f->name));
        yyjson_mut_obj_add_val(doc, check, "status", js(doc, names[f->status]));
        yyjson_mut_obj_add_val(doc, check, "detail", js(doc, f->detail));
        yyjson_mut_obj_add_val(doc, check, "advice",
                               *f->advice ? js(doc, f->advice) : yyjson_mut_null(doc));
        yyjson_mut_arr_append(checks, check);
    }
    yyjson_mut_obj_add_val(doc, o, "ok", yyjson_mut_bool(doc, all->worst != FINDING_FAIL));
    yyjson_mut_obj_add_val(doc, o, "checks", checks);
    yyjson_mut_obj_add_val(doc, o, "queue", queue_json(doc, app));
    print_json(&app->terminal, doc, o);
}

static int run(struct app *app)
{
    struct findings all = {.print = app->json ? NULL : print_finding, .app = app};
    app_catch_signals();
    check_libraries(&all);
    check_helpers(&all);
    check_sandbox(&all);
    check_configuration(&all);
    check_data_directory(&all);
    check_databases(&all, arguments_has(app->arguments, "deep"));
    check_aws(&all);
    check_objects(&all);
    check_queue(&all);
    check_providers(&all, !arguments_has(app->arguments, "offline"));
    check_spaces(&all);
    if (app->json)
        print_as_json(app, &all);
    else if (all.worst == FINDING_OK)
        printf("\nAll is well.\n");
    if (app_stopped())
        return STATUS_INTERRUPTED;
    return all.worst == FINDING_FAIL ? STATUS_FAILED : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis doctor", "is everything there, and does the key work?"},
    {"aegis doctor --json | jq '.checks[] | select(.status != \"ok\")'", "for a monitor"},
    {0},
};

const struct command command_doctor = {
    .name = "doctor",
    .summary = "check that everything Aegis needs is there and works",
    .operands = "",
    .description =
        "Checks libraries, helper programs, the parsers' sandbox, the configuration, the data "
        "directory (writable, room, file system), the databases, AWS credentials, shared "
        "objects, the queue, a pause, whether the "
        "providers can be reached and take the key, and which embeddings serve. Each finding is "
        "ok, warn or FAIL and says "
        "what to do. Exits 1 if one is FAIL.",
    .options = options,
    .examples = examples,
    .json = "  {\"ok\": true, \"checks\": [{\"name\": \"data directory\", \"status\": \"ok\",\n"
            "   \"detail\": \"...\", \"advice\": null}],\n"
            "   \"queue\": {\"visible\": 0, \"in_flight\": 0, \"delayed\": 0, \"dead\": 0,\n"
            "   \"oldest_age_ms\": 0}}",
    .run = run,
};
