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
    FILTER_OPTIONS,
    {.name = "limit", .letter = 'n', .argument = "N", .help = "at most so many; 0: all (50)"},
    {.name = "before", .argument = "ID", .help = "only media with a smaller id: the next page"},
    {.name = "keys", .help = "print the keys alone, one a line"},
    {0},
};

static int add_row(struct app *app, struct columns *table, const struct media_row *m)
{
    char size[HUMAN_TEXT], ago[HUMAN_TEXT], cost[HUMAN_TEXT];
    struct arena *a = &app->arena;
    const char *state = job_state_name(m->state);
    const char *note = NULL, *label = label_text(m->draft, m->missing_ms != 0);
    if (m->state == JOB_SUCCEEDED && m->outcome != OUTCOME_EMPTY)
        note = *label ? label : outcome_text(m->outcome);
    const char *cells[] = {
        arena_printf(a, "%" PRId64, m->media_id),
        note ? note : state,
        media_what(a, m),
        arena_strdup(a, human_bytes(m->size, size)),
        arena_strdup(a, human_ago(m->uploaded_ms, clock_now(clock_system()), ago)),
        arena_strdup(a, human_cost(m->cost_nanousd, m->cost_known, cost)),
        text_clean(a, m->key),
        text_clean(a, m->title),
    };
    return columns_row(table, state_style(m->state), cells);
}

struct listing {
    struct app *app;
    struct columns table;
    struct json_stream stream;
    bool keys;
};

static int show_row(struct listing *l, const struct media_row *m)
{
    if (l->keys)
        printf("%s\n", text_clean(&l->app->arena, m->key));
    else if (l->app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        json_stream_row(&l->stream, doc, media_json(doc, m));
    } else {
        return add_row(l->app, &l->table, m);
    }
    return OK;
}

static int list_pages(struct listing *l, const struct media_filter *filter, int64_t before,
                      int64_t limit)
{
    const struct database *db = &l->app->database;
    int rc = OK;
    size_t count = PAGE;
    struct arena page;
    arena_init(&page, MIB(64));
    for (int64_t left = limit; !rc && count == PAGE && left > 0; left -= (int64_t)count) {
        struct media_row *rows;
        size_t want = left < PAGE ? (size_t)left : PAGE;
        count = 0;
        rc = db->ops->media_list(db->ctx, filter, before, want, &page, &rows, &count);
        for (size_t i = 0; !rc && i < count; i++) {
            rc = show_row(l, &rows[i]);
            before = rows[i].media_id;
        }
        arena_free(&page);
    }
    return rc;
}

static void finish(struct listing *l)
{
    if (l->keys)
        return;
    if (l->app->json)
        json_stream_end(&l->stream);
    else if (l->table.row_count > 0)
        columns_print(&l->table, &l->app->terminal);
    else
        printf("Nothing matches.\n");
}

static int run(struct app *app)
{
    static const struct column columns[] = {
        {.title = "ID", .right = true},
        {.title = "STATE"},
        {.title = "WHAT"},
        {.title = "SIZE", .right = true, .optional = true},
        {.title = "ADDED", .optional = true},
        {.title = "COST", .right = true, .optional = true},
        {.title = "KEY", .shrinks = true, .to_ending = true},
        {.title = "TITLE", .shrinks = true},
    };
    struct listing l = {.app = app, .keys = arguments_has(app->arguments, "keys")};
    struct media_filter filter;
    int64_t limit, before;
    int rc = select_filter(app, &filter);
    if (!rc)
        rc = arguments_int(app->arguments, "limit", DEFAULT_LIMIT, 0, INT64_MAX, &limit);
    if (!rc)
        rc = arguments_int(app->arguments, "before", 0, 0, INT64_MAX, &before);
    if (!rc)
        rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (rc)
        return app_fail(app);
    columns_init(&l.table, &app->arena, columns, 8);
    if (app->json && !l.keys)
        json_stream_begin(&l.stream, "media");
    rc = list_pages(&l, &filter, before, limit ? limit : INT64_MAX);
    finish(&l);
    return rc ? app_fail(app) : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis list --kind audio --since 2026-03-01", "recordings of this spring"},
    {"aegis list --keys --limit 0 --prefix talks/", "every key below talks/"},
    {0},
};

const struct command command_list = {
    .name = "list",
    .summary = "list media, newest first",
    .operands = "",
    .description =
        "Lists what was added, newest first, with its state, kind, size, cost, key and title. "
        "`draft` stands for a transcript that is good enough to find a recording by, not to "
        "trust, `incomplete` for a recording that ended early or was damaged.",
    .options = options,
    .examples = examples,
    .json = "  {\"media\": [MEDIA, ...]}\n\nwhere MEDIA is\n\n" MEDIA_JSON_HELP,
    .run = run,
};
