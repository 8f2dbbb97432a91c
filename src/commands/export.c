#include "commands/commands.h"
#include "commands/moving.h"

static int run(struct app *app)
{
    const char *file = app->arguments->operands[0], *url, *database = app_path(app, "aegis.db");
    struct move_report report;
    struct moving m;
    if (!database || app_database_url(app, &url))
        return app_fail(app);
    if (!*url && app_require_data(app))
        return app_fail(app);
    moving_begin(&m, app);
    int rc = *url ? move_export_postgres(url, file, &m.options, &report)
                  : move_export_sqlite(database, file, &m.options, &report);
    moving_end(&m);
    if (rc)
        return app_fail(app);
    moving_print(&m, &report, "exported", *url ? "postgresql" : "sqlite", file,
                 *url ? moving_place(app, url) : database);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"aegis export house.aegis", "everything in the data directory's database"},
    {"DATABASE_URL=$OLD aegis export house.aegis", "everything in PostgreSQL"},
    {0},
};

const struct command command_export = {
    .name = "export",
    .summary = "write everything in the database to a file, to move to another one",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_FILES,
    .description =
        "Writes media, versions, jobs with their attempts, transcripts, chunks, embeddings, "
        "summaries, checkpoints, calls of models with their costs, life events and the pause from "
        "PostgreSQL (DATABASE_URL, or setting `database.url`), or else from the data directory, to "
        "a new FILE, which `aegis import` reads. It is one moment of the database, on which work "
        "goes on. Jobs that run are exported as queued.\n\n"
        "The objects themselves are not in it: they are in the object store, `objects` and "
        "`objects.db` of the data directory. docs/moving.md tells how to take them along.\n\n"
        "Exits with 0 once FILE was written and read back; with 1 if FILE exists; with 3 if there "
        "is no database; with 130 if it was interrupted. Then there is no FILE.",
    .examples = examples,
    .json = "  {\"engine\": \"sqlite\", \"database\": \"/data/aegis.db\", \"file\": "
            "\"house.aegis\", \"rows\": 42,\n"
            "   \"resumed_rows\": 0, \"tables\": [{\"table\": \"media\", \"rows\": 3, \"digest\": "
            "\"9f86...\"}]}\n\n"
            "where a digest is the SHA-256 of the table's rows, the same for the same rows on both "
            "engines.",
    .run = run,
};
