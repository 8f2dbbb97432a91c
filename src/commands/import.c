#include "commands/commands.h"
#include "commands/moving.h"

static int run(struct app *app)
{
    const char *file = app->arguments->operands[0], *url, *database = app_path(app, "aegis.db");
    struct move_report report;
    struct moving m;
    if (!database || app_database_url(app, &url))
        return app_fail(app);
    moving_begin(&m, app);
    int rc = *url ? move_import_postgres(file, url, &m.options, &report)
                  : move_import_sqlite(file, database, &m.options, &report);
    moving_end(&m);
    if (rc)
        return app_fail(app);
    moving_print(&m, &report, "imported", *url ? "postgresql" : "sqlite", file,
                 *url ? moving_place(app, url) : database);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"DATABASE_URL=$NEW aegis db migrate", "first, where the target is PostgreSQL: its schema"},
    {"DATABASE_URL=$NEW aegis import house.aegis", "into PostgreSQL"},
    {"aegis --data new import house.aegis", "into a new data directory"},
    {0},
};

const struct command command_import = {
    .name = "import",
    .summary = "fill an empty database from a file of `aegis export`",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_FILES,
    .description =
        "Brings everything in FILE into PostgreSQL (DATABASE_URL, or setting `database.url`), "
        "whose "
        "schema `aegis db migrate` has made, or else into a data directory without a database. "
        "Identities stay what they were. At the end every table is read back and its rows are "
        "compared, by number and digest, with what was exported.\n\n"
        "An import that was stopped, or killed, goes on where it was when it is run again with the "
        "same FILE. Start no workers before it is finished; then `aegis serve` sends the messages "
        "of unfinished jobs again.\n\n"
        "The objects are not in FILE: docs/moving.md tells how to take them along.\n\n"
        "Exits with 0 once everything is there and the same; with 1 if the target is not empty or "
        "another import into it is running; with 2 if FILE is damaged or no export; with 3 if it "
        "does not exist; with 5 if the schema has to be migrated first or a table is not the same "
        "(standard error names it); with 6 if FILE is of an Aegis with another schema; with 130 if "
        "it was interrupted.",
    .examples = examples,
    .json =
        "  {\"engine\": \"postgresql\", \"database\": \"me@db:5432/media\", \"file\": "
        "\"house.aegis\",\n"
        "   \"rows\": 42, \"resumed_rows\": 0, \"tables\": [{\"table\": \"media\", \"rows\": 3, "
        "\"digest\": \"9f86...\"}]}\n\n"
        "where resumed_rows were there from an earlier run.",
    .run = run,
};
