#include <inttypes.h>
#include <string.h>

#include "commands/columns.h"
#include "commands/commands.h"
#include "commands/select.h"
#include "commands/views.h"
#include "shared/error.h"

static const struct option_spec options[] = {
    {.name = "by",
     .argument = "WHAT,...",
     .help = "group by any of day, collection, media, model (day,model)"},
    FILTER_OPTIONS,
    {0},
};

static const struct {
    const char *name;
    enum usage_group group;
} groups[] = {
    {"day", USAGE_BY_DAY},
    {"collection", USAGE_BY_COLLECTION},
    {"media", USAGE_BY_MEDIA},
    {"model", USAGE_BY_MODEL},
    {NULL, 0},
};

static int parse_groups(const char *text, unsigned *out)
{
    *out = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        unsigned found = 0;
        for (size_t i = 0; groups[i].name; i++)
            if (strlen(groups[i].name) == length && !memcmp(groups[i].name, text, length))
                found = groups[i].group;
        if (!found)
            return error_set(ERR_INVALID, NULL,
                             "'--by' takes day, collection, media and model, not '%.*s'",
                             (int)(length < 64 ? length : 64), text);
        *out |= found;
        text += length + (text[length] == ',');
    }
    return OK;
}

static yyjson_mut_val *row_json(yyjson_mut_doc *doc, const struct usage_row *u, unsigned by)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    if (by & USAGE_BY_DAY)
        yyjson_mut_obj_add_val(doc, o, "day", js(doc, u->day));
    if (by & USAGE_BY_COLLECTION)
        yyjson_mut_obj_add_val(doc, o, "collection", js(doc, u->collection));
    if (by & USAGE_BY_MEDIA) {
        yyjson_mut_obj_add_val(doc, o, "media", yyjson_mut_sint(doc, u->media_id));
        yyjson_mut_obj_add_val(doc, o, "key", js(doc, u->key));
    }
    if (by & USAGE_BY_MODEL) {
        yyjson_mut_obj_add_val(doc, o, "provider", js(doc, u->provider));
        yyjson_mut_obj_add_val(doc, o, "model", js(doc, u->model));
        yyjson_mut_obj_add_val(doc, o, "operation", js(doc, u->operation));
    }
    yyjson_mut_obj_add_val(doc, o, "calls", yyjson_mut_sint(doc, u->calls));
    yyjson_mut_obj_add_val(doc, o, "input_tokens", yyjson_mut_sint(doc, u->input_tokens));
    yyjson_mut_obj_add_val(doc, o, "cached_tokens", yyjson_mut_sint(doc, u->cached_tokens));
    yyjson_mut_obj_add_val(doc, o, "output_tokens", yyjson_mut_sint(doc, u->output_tokens));
    yyjson_mut_obj_add_val(doc, o, "audio_ms", yyjson_mut_sint(doc, u->audio_ms));
    yyjson_mut_obj_add_val(doc, o, "cost_usd", js_real(doc, (double)u->cost_nanousd / 1e9));
    yyjson_mut_obj_add_val(doc, o, "unpriced_calls", yyjson_mut_sint(doc, u->unpriced_calls));
    return o;
}

/* The columns that are asked for, in order, with how to fill each. */
struct layout {
    struct column columns[COLUMNS_CAP];
    size_t count;
};

static void lay_out(struct layout *l, unsigned by)
{
    if (by & USAGE_BY_DAY)
        l->columns[l->count++] = (struct column){.title = "DAY"};
    if (by & USAGE_BY_COLLECTION)
        l->columns[l->count++] = (struct column){.title = "COLLECTION", .shrinks = true};
    if (by & USAGE_BY_MEDIA)
        l->columns[l->count++] =
            (struct column){.title = "KEY", .shrinks = true, .to_ending = true};
    if (by & USAGE_BY_MODEL) {
        l->columns[l->count++] = (struct column){.title = "MODEL", .shrinks = true};
        l->columns[l->count++] = (struct column){.title = "FOR"};
    }
    static const char *const numbers[] = {"CALLS", "TOKENS IN", "CACHED", "OUT", "AUDIO", "COST"};
    for (size_t i = 0; i < 6; i++)
        l->columns[l->count++] = (struct column){.title = numbers[i], .right = true};
}

static const char *cost_text(struct arena *a, const struct usage_row *u)
{
    char text[HUMAN_TEXT];
    return arena_strdup(a, human_cost(u->cost_nanousd, u->unpriced_calls == 0, text));
}

static int add_row(struct app *app, struct columns *table, const struct usage_row *u, unsigned by,
                   const char *label)
{
    struct arena *a = &app->arena;
    const char *cells[COLUMNS_CAP];
    size_t n = 0;
    char text[HUMAN_TEXT];
    if (by & USAGE_BY_DAY)
        cells[n++] = u->day;
    if (by & USAGE_BY_COLLECTION)
        cells[n++] = *u->collection ? text_clean(a, u->collection) : "(search)";
    if (by & USAGE_BY_MEDIA)
        cells[n++] = u->media_id ? text_clean(a, u->key) : "(search)";
    if (by & USAGE_BY_MODEL) {
        cells[n++] = text_clean(a, u->model);
        cells[n++] = text_clean(a, u->operation);
    }
    if (label && n > 0)
        cells[0] = label;
    cells[n++] = arena_strdup(a, human_count(u->calls, text));
    cells[n++] = arena_strdup(a, human_count(u->input_tokens, text));
    cells[n++] = arena_strdup(a, human_count(u->cached_tokens, text));
    cells[n++] = arena_strdup(a, human_count(u->output_tokens, text));
    cells[n++] = u->audio_ms ? arena_strdup(a, human_duration(u->audio_ms, text)) : "-";
    cells[n++] = cost_text(a, u);
    return columns_row(table, label ? STYLE_BOLD : STYLE_NONE, cells);
}

static void add_up(struct usage_row *sum, const struct usage_row *u)
{
    sum->calls += u->calls;
    sum->input_tokens += u->input_tokens;
    sum->cached_tokens += u->cached_tokens;
    sum->output_tokens += u->output_tokens;
    sum->audio_ms += u->audio_ms;
    sum->cost_nanousd += u->cost_nanousd;
    sum->unpriced_calls += u->unpriced_calls;
}

static int print_table(struct app *app, const struct usage_row *rows, size_t count, unsigned by)
{
    struct layout layout = {0};
    struct columns table;
    struct usage_row sum = {
        .day = "", .collection = "", .key = "", .model = "", .operation = "", .provider = ""};
    lay_out(&layout, by);
    columns_init(&table, &app->arena, layout.columns, layout.count);
    for (size_t i = 0; i < count; i++) {
        add_up(&sum, &rows[i]);
        if (add_row(app, &table, &rows[i], by, NULL))
            return ERR_NO_MEMORY;
    }
    if (count > 1 && add_row(app, &table, &sum, by, "all"))
        return ERR_NO_MEMORY;
    if (count == 0)
        printf("No model was called.\n");
    else
        columns_print(&table, &app->terminal);
    if (sum.unpriced_calls > 0)
        printf("\n%" PRId64 " calls have no known price; set it in the [price] section of "
               "aegis.conf.\n",
               sum.unpriced_calls);
    return OK;
}

static int run(struct app *app)
{
    struct media_filter filter;
    struct usage_row *rows;
    size_t count;
    unsigned by;
    int rc = parse_groups(arguments_value(app->arguments, "by", "day,model"), &by);
    if (!rc)
        rc = select_filter(app, &filter);
    if (!rc)
        rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = app->database.ops->usage(app->database.ctx, &filter, by, &app->arena, &rows, &count);
    if (rc)
        return app_fail(app);
    if (!app->json)
        return print_table(app, rows, count, by) ? app_fail(app) : STATUS_OK;
    struct json_stream stream;
    json_stream_begin(&stream, "usage");
    for (size_t i = 0; i < count; i++) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        json_stream_row(&stream, doc, row_json(doc, &rows[i], by));
    }
    json_stream_end(&stream);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"aegis usage", "calls, tokens and cost by day and model"},
    {"aegis usage --by collection --since 2026-03-01", "who spent what this month"},
    {"aegis usage --by media --json", "the cost of every medium"},
    {0},
};

const struct command command_usage = {
    .name = "usage",
    .summary = "show what the models were used for, and what that cost",
    .operands = "",
    .description =
        "Adds up every model call: tokens, seconds of audio, and cost by the prices known. A `+` "
        "after a cost says that some of its calls have no known price. What `search` and `ask` "
        "called belongs to no medium and is shown as \"(search)\" (in JSON: an empty collection, "
        "media 0). A request that embedded texts of several media is a call of each, with its "
        "share "
        "of tokens and cost. --since and --until go by the day of the call, in UTC.",
    .options = options,
    .examples = examples,
    .json =
        "  {\"usage\": [{\"day\": \"2026-03-01\", \"provider\": \"openai\", \"model\": \"...\",\n"
        "   \"operation\": \"summarise\", \"calls\": 3, \"input_tokens\": 4100,\n"
        "   \"cached_tokens\": 0, \"output_tokens\": 900, \"audio_ms\": 0,\n"
        "   \"cost_usd\": 0.0028, \"unpriced_calls\": 0}]}\n\n"
        "with the members that were grouped by.",
    .run = run,
};
