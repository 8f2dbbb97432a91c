#include "shared/config.h"

#include <string.h>
#include <sys/stat.h>

#include "commands/app.h"
#include "commands/columns.h"
#include "commands/commands.h"
#include "shared/error.h"
#include "shared/pg.h"

/* Without the password, wherever it stands in the URL. */
static const char *shown_url(struct app *app, const char *url)
{
    struct pg_pool *pool; /* does not connect */
    if (pg_pool_open(url, NULL, &pool))
        return "********";
    const char *text = arena_printf(&app->arena, "postgresql://%s", pg_pool_name(pool));
    pg_pool_close(pool);
    return text_clean(&app->arena, text ? text : "");
}

/* A secret shows that it is there and, if it is long enough not to matter, how it ends. */
static const char *shown(struct app *app, const struct setting *s)
{
    const char *text = config_text(app->config, s->key);
    size_t length = strlen(text);
    if (length && !strcmp(s->key, "database.url"))
        return shown_url(app, text);
    if (s->type != SETTING_SECRET || length == 0)
        return text_clean(&app->arena, text);
    if (length < 16)
        return "********";
    return text_clean(&app->arena, arena_printf(&app->arena, "********%s", text + length - 4));
}

static const char *source_name(enum setting_source source)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    return names[source];
}

static yyjson_mut_val *value_json(yyjson_mut_doc *doc, struct app *app, const struct setting *s)
{
    switch (s->type) {
    case SETTING_INT:
    case SETTING_DURATION_MS:
    case SETTING_BYTES:
        return yyjson_mut_sint(doc, config_int(app->config, s->key));
    case SETTING_NUMBER:
        return js_real(doc, config_number(app->config, s->key));
    case SETTING_BOOL:
        return yyjson_mut_bool(doc, config_bool(app->config, s->key));
    default:
        return js(doc, shown(app, s));
    }
}

static yyjson_mut_val *setting_json(yyjson_mut_doc *doc, struct app *app, const struct setting *s)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "key", js(doc, s->key));
    yyjson_mut_obj_add_val(doc, o, "value", value_json(doc, app, s));
    yyjson_mut_obj_add_val(doc, o, "text", js(doc, shown(app, s)));
    yyjson_mut_obj_add_val(doc, o, "source",
                           js(doc, source_name(config_source(app->config, s->key))));
    yyjson_mut_obj_add_val(doc, o, "from", js(doc, config_source_text(app->config, s->key)));
    yyjson_mut_obj_add_val(doc, o, "default", js(doc, s->fallback));
    yyjson_mut_obj_add_val(doc, o, "environment", js(doc, s->env));
    yyjson_mut_obj_add_val(doc, o, "help", js(doc, s->help));
    return o;
}

static void print_as_json(struct app *app)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *settings = yyjson_mut_arr(doc),
                   *prices = yyjson_mut_obj(doc);
    for (size_t i = 0; i < count; i++)
        yyjson_mut_arr_append(settings, setting_json(doc, app, &table[i]));
    const char *model, *price;
    int line;
    for (size_t i = 0; config_price_at(app->config, i, &model, &price, &line); i++)
        yyjson_mut_obj_add_val(doc, prices, model, js(doc, price));
    yyjson_mut_obj_add_val(doc, o, "data", js(doc, config_data_directory(app->config)));
    const char *file = config_file(app->config);
    yyjson_mut_obj_add_val(doc, o, "file", *file ? js(doc, file) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "settings", settings);
    yyjson_mut_obj_add_val(doc, o, "prices", prices);
    print_json(&app->terminal, doc, o);
}

static int print_table(struct app *app)
{
    static const struct column columns[] = {{.title = "SETTING"},
                                            {.title = "VALUE", .shrinks = true},
                                            {.title = "FROM", .shrinks = true}};
    struct columns table;
    columns_init(&table, &app->arena, columns, 3);
    size_t count;
    const struct setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        const char *key = settings[i].key;
        enum style style =
            config_source(app->config, key) == SOURCE_DEFAULT ? STYLE_DIM : STYLE_NONE;
        const char *cells[] = {key, shown(app, &settings[i]), config_source_text(app->config, key)};
        if (columns_row(&table, style, cells))
            return ERR_NO_MEMORY;
    }
    const char *file = config_file(app->config), *model, *price;
    int line;
    for (size_t i = 0; config_price_at(app->config, i, &model, &price, &line); i++) {
        const char *cells[] = {
            arena_printf(&app->arena, "price %s", text_clean(&app->arena, model)),
            text_clean(&app->arena, price), arena_printf(&app->arena, "line %d", line)};
        if (columns_row(&table, STYLE_NONE, cells))
            return ERR_NO_MEMORY;
    }
    columns_print(&table, &app->terminal);
    printf("\ndata directory      %s\n", config_data_directory(app->config));
    printf("configuration file  %s\n", *file ? file : "none");
    return OK;
}

static int run(struct app *app)
{
    const struct arguments *a = app->arguments;
    if (a->operand_count > 0) { /* "check": app_init has read everything by now */
        const char *file = config_file(app->config);
        if (app->json) {
            yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
            print_json(&app->terminal, doc,
                       js_object(doc, "ok", yyjson_mut_bool(doc, 1), "file",
                                 js(doc, *file ? file : NULL), NULL));
        } else {
            printf("The configuration is valid (%s).\n", *file ? file : "no file, defaults only");
        }
        return STATUS_OK;
    }
    if (app->json)
        print_as_json(app);
    else if (print_table(app))
        return app_fail(app);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"aegis config --json | jq '.settings[] | select(.source != \"default\")'",
     "what differs from the defaults"},
    {"aegis config check --config new.conf", "is this file right? exit status 2 if not"},
    {0},
};

const struct command command_config = {
    .name = "config",
    .summary = "print every setting, its value and where it came from",
    .operands = "[check]",
    .max_operands = 1,
    .operand_kind = OPERAND_WORDS,
    .words = "check",
    .description =
        "Prints every setting with its value and where that came from: the default, the file and "
        "its line, the environment variable or the flag. Secrets are masked.\n\n"
        "`aegis config check` only reads everything and says whether it is valid.\n\n"
        "docs/configuration.md and aegis(1) describe each setting.",
    .examples = examples,
    .json = "  {\"data\": \"/home/me/.local/share/aegis\", \"file\": null, \"prices\": {},\n"
            "   \"settings\": [{\"key\": \"retry.cap\", \"value\": 300000, \"text\": \"5m\",\n"
            "     \"source\": \"default\", \"from\": \"default\", \"default\": \"5m\",\n"
            "     \"environment\": \"AEGIS_RETRY_CAP\", \"help\": \"...\"}]}\n\n"
            "`source` is default, file, environment or flag. `value` is a number for numbers, "
            "durations (milliseconds) and sizes (bytes).",
    .run = run,
};
