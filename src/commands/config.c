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

static json_t *value_json(struct app *app, const struct setting *s)
{
    switch (s->type) {
    case SETTING_INT:
    case SETTING_DURATION_MS:
    case SETTING_BYTES:
        return json_integer(config_int(app->config, s->key));
    case SETTING_NUMBER:
        return json_real(config_number(app->config, s->key));
    case SETTING_BOOL:
        return json_boolean(config_bool(app->config, s->key));
    default:
        return js(shown(app, s));
    }
}

static json_t *setting_json(struct app *app, const struct setting *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "key", js(s->key));
    json_object_set_new(o, "value", value_json(app, s));
    json_object_set_new(o, "text", js(shown(app, s)));
    json_object_set_new(o, "source", js(source_name(config_source(app->config, s->key))));
    json_object_set_new(o, "from", js(config_source_text(app->config, s->key)));
    json_object_set_new(o, "default", js(s->fallback));
    json_object_set_new(o, "environment", js(s->env));
    json_object_set_new(o, "help", js(s->help));
    return o;
}

static void print_as_json(struct app *app)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    json_t *o = json_object(), *settings = json_array(), *prices = json_object();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(settings, setting_json(app, &table[i]));
    const char *model, *price;
    int line;
    for (size_t i = 0; config_price_at(app->config, i, &model, &price, &line); i++)
        json_object_set_new(prices, model, js(price));
    json_object_set_new(o, "data", js(config_data_directory(app->config)));
    const char *file = config_file(app->config);
    json_object_set_new(o, "file", *file ? js(file) : json_null());
    json_object_set_new(o, "settings", settings);
    json_object_set_new(o, "prices", prices);
    print_json(&app->terminal, o);
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
        if (app->json)
            print_json(&app->terminal,
                       json_pack("{s:b, s:s?}", "ok", 1, "file", *file ? file : NULL));
        else
            printf("The configuration is valid (%s).\n", *file ? file : "no file, defaults only");
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
