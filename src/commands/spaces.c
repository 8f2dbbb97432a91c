#include <inttypes.h>
#include <string.h>

#include "commands/columns.h"
#include "commands/commands.h"
#include "commands/embed_model.h"
#include "commands/select.h"

struct listed {
    struct space_use *uses;
    size_t count;
    int64_t chunks; /* there are */
};

static int read_spaces(struct app *app, struct listed *out)
{
    const struct database *db = &app->database;
    struct totals totals = {0};
    int rc = db->ops->spaces(db->ctx, &app->arena, &out->uses, &out->count);
    if (!rc)
        rc = db->ops->totals(db->ctx, &totals);
    out->chunks = totals.chunks;
    return rc;
}

static int64_t lacks(const struct listed *all, const struct space_use *use)
{
    return all->chunks > use->chunks ? all->chunks - use->chunks : 0;
}

/* ---- list ---- */

static yyjson_mut_val *space_json(yyjson_mut_doc *doc, const struct listed *all,
                                  const struct space_use *use)
{
    return js_object(
        doc, "space", yyjson_mut_sint(doc, use->space.id), "provider", js(doc, use->space.provider),
        "model", js(doc, use->space.model), "dimensions",
        yyjson_mut_sint(doc, use->space.dimension), "passages", yyjson_mut_sint(doc, use->chunks),
        "missing", yyjson_mut_sint(doc, lacks(all, use)), "serves",
        yyjson_mut_bool(doc, use->serves), "dropping", yyjson_mut_bool(doc, use->dropping), NULL);
}

static const char *state_text(struct app *app, const struct listed *all,
                              const struct space_use *use)
{
    char n[HUMAN_TEXT];
    if (use->dropping)
        return "being dropped";
    if (lacks(all, use))
        return arena_printf(&app->arena, "%slacks %s", use->serves ? "serves, " : "",
                            human_count(lacks(all, use), n));
    return use->serves ? "serves" : "complete";
}

static int print_list(struct app *app, const struct listed *all)
{
    static const struct column columns[] = {
        {.title = "SPACE", .right = true},    {.title = "PROVIDER", .optional = true},
        {.title = "MODEL", .shrinks = true},  {.title = "DIMENSIONS", .right = true},
        {.title = "PASSAGES", .right = true}, {.title = "STATE"},
    };
    struct columns table;
    struct arena *a = &app->arena;
    int rc = OK;
    columns_init(&table, a, columns, 6);
    for (size_t i = 0; !rc && i < all->count; i++) {
        const struct space_use *use = &all->uses[i];
        char n[HUMAN_TEXT];
        const char *cells[] = {arena_printf(a, "%" PRId64, use->space.id),
                               text_clean(a, use->space.provider),
                               text_clean(a, use->space.model),
                               arena_printf(a, "%d", use->space.dimension),
                               arena_strdup(a, human_count(use->chunks, n)),
                               state_text(app, all, use)};
        rc = columns_row(&table, use->serves ? STYLE_BOLD : STYLE_NONE, cells);
    }
    if (!rc && all->count)
        columns_print(&table, &app->terminal);
    else if (!rc)
        printf("Nothing is embedded yet.\n");
    return rc;
}

static int list(struct app *app)
{
    struct listed all;
    int rc = read_spaces(app, &all);
    if (rc)
        return rc;
    if (!app->json)
        return print_list(app, &all);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *spaces = yyjson_mut_arr(doc);
    for (size_t i = 0; i < all.count; i++)
        yyjson_mut_arr_append(spaces, space_json(doc, &all, &all.uses[i]));
    yyjson_mut_obj_add_val(doc, o, "spaces", spaces);
    print_json(&app->terminal, doc, o);
    return OK;
}

/* ---- drop ---- */

static int find(struct app *app, const char *text, struct space_use *out)
{
    struct listed all;
    int64_t id = 0;
    size_t found = 0;
    int rc = read_spaces(app, &all);
    bool number = parse_id(text, &id);
    for (size_t i = 0; !rc && i < all.count; i++) {
        const struct space_use *use = &all.uses[i];
        if (number ? use->space.id != id : strcmp(use->space.model, text) != 0)
            continue;
        *out = *use;
        found++;
    }
    if (!rc && !found)
        rc = error_set(ERR_NOT_FOUND, NULL,
                       "there is no embedding space '%.100s'; `aegis spaces` lists them", text);
    if (!rc && found > 1)
        rc = error_set(ERR_INVALID, NULL,
                       "%zu embedding spaces have the model '%.100s': give the number that `aegis "
                       "spaces` shows",
                       found, text);
    return rc;
}

static int drop_claimed(struct app *app, const struct space_use *use)
{
    const struct database *db = &app->database;
    int rc = db->ops->space_fill_begin(db->ctx);
    if (rc)
        return rc;
    rc = fill_drop(db, use->space.id, app_stop());
    db->ops->space_fill_end(db->ctx);
    return rc;
}

static int drop(struct app *app, const char *text)
{
    struct space_use use;
    char n[HUMAN_TEXT];
    int rc = find(app, text, &use);
    if (!rc)
        rc = drop_claimed(app, &use);
    if (rc)
        return rc;
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        print_json(&app->terminal, doc,
                   js_object(doc, "dropped", yyjson_mut_sint(doc, use.space.id), "passages",
                             yyjson_mut_sint(doc, use.chunks), NULL));
    } else {
        printf("%s %s dropped: the embeddings of %s passages\n", use.space.provider,
               text_clean(&app->arena, use.space.model), human_count(use.chunks, n));
    }
    return OK;
}

/* ---- the command ---- */

static int run(struct app *app)
{
    const struct arguments *a = app->arguments;
    const char *word = a->operand_count ? a->operands[0] : "list";
    app_catch_signals();
    int rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (rc)
        return app_fail(app);
    if (!strcmp(word, "list") && a->operand_count <= 1)
        rc = list(app);
    else if (!strcmp(word, "drop") && a->operand_count == 2)
        rc = drop(app, a->operands[1]);
    else
        rc = error_set(ERR_INVALID, NULL,
                       "`aegis spaces drop` needs the number or the model of one space");
    return rc ? app_fail(app) : STATUS_OK;
}

static const struct option_spec options[] = {{0}};

static const struct example examples[] = {
    {"aegis spaces", "which embedding models there are passages of, and which one serves"},
    {"aegis reprocess --embed-model text-embedding-3-large", "fill another, then change over"},
    {"aegis spaces drop text-embedding-3-small", "give back the room of the old one"},
    {0},
};

const struct command command_spaces = {
    .name = "spaces",
    .summary = "list the embedding spaces, drop one that does not serve",
    .operands = "[list | drop SPACE|MODEL]",
    .max_operands = 2,
    .operand_kind = OPERAND_WORDS,
    .words = "list|drop",
    .description =
        "An embedding space holds the embeddings of one model at one dimension. One of them "
        "serves: "
        "searches look in it, and new media are embedded in it. `aegis reprocess --embed-model "
        "MODEL` fills another and changes over; the old one stays, so that changing back costs "
        "only "
        "what came since, until it is dropped.\n\n"
        "`drop` deletes the embeddings of a space that does not serve, in steps that hold nobody "
        "up. What was stopped is finished by the same command.",
    .options = options,
    .examples = examples,
    .json = "  {\"spaces\": [{\"space\": 1, \"provider\": \"openai\", \"model\": "
            "\"text-embedding-3-small\",\n"
            "   \"dimensions\": 1536, \"passages\": 1200, \"missing\": 0, \"serves\": true,\n"
            "   \"dropping\": false}]}\n\n"
            "for list; drop prints {\"dropped\": 2, \"passages\": 1200}.",
    .run = run,
};
