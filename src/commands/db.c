#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/db_postgres.h"
#include "database/migrations.h"

static const struct option_spec options[] = {
    {.name = "dry-run", .help = "migrate, roles: print the SQL that would be run, and do nothing"},
    {0},
};

/* ---- SQLite ---- */

/* 0 if there is no database yet, -1 if it cannot be read. */
static int sqlite_version(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *statement = NULL;
    int version = -1;
    if (access(path, F_OK))
        return 0;
    if (!sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) &&
        !sqlite3_prepare_v2(db, "SELECT max(version) FROM schema_migrations", -1, &statement,
                            NULL) &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return version;
}

static int sqlite_status(struct app *app)
{
    const char *path = app_path(app, "aegis.db");
    int known = (int)migrations_sqlite_count, version = path ? sqlite_version(path) : -1;
    if (!path)
        return app_fail(app);
    if (version < 0 || version > known) {
        error_set(version < 0 ? ERR_IO : ERR_SCHEMA, NULL,
                  version < 0
                      ? "'%s' cannot be read as a database of Aegis: `aegis doctor` says more"
                      : "'%s' was written by a newer Aegis: use that one",
                  path);
        return app_fail(app);
    }
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        print_json(&app->terminal, doc,
                   js_object(doc, "engine", yyjson_mut_strcpy(doc, "sqlite"), "database",
                             js(doc, path), "schema_version", yyjson_mut_sint(doc, version),
                             "program_version", yyjson_mut_sint(doc, known), "usable",
                             yyjson_mut_bool(doc, 1), NULL));
    } else if (version == 0) {
        printf("database  SQLite at %s: not there yet, the first `aegis add` makes it\n",
               text_clean(&app->arena, path));
    } else
        printf("database  SQLite at %s\nschema    version %d; this program knows %d\n",
               text_clean(&app->arena, path), version, known);
    return STATUS_OK;
}

static int sqlite_migrate(struct app *app)
{
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        print_json(&app->terminal, doc,
                   js_object(doc, "engine", yyjson_mut_strcpy(doc, "sqlite"), NULL));
    } else {
        printf("SQLite migrates itself when it is opened: there is nothing to do.\n");
    }
    return STATUS_OK;
}

static int sqlite_roles(struct app *app)
{
    error_set(ERR_INVALID, NULL,
              "roles are for PostgreSQL, and this is SQLite: set DATABASE_URL, or `database.url` "
              "in aegis.conf, first");
    return app_fail(app);
}

/* ---- the command ---- */

static int run(struct app *app)
{
    const struct arguments *a = app->arguments;
    const char *word = a->operand_count ? a->operands[0] : "status", *url;
    bool dry_run = arguments_has(a, "dry-run");
    app_catch_signals();
    if (app_database_url(app, &url))
        return app_fail(app);
    if (!strcmp(word, "migrate"))
        return *url ? db_postgres_migrate(app, url, dry_run) : sqlite_migrate(app);
    if (!strcmp(word, "roles"))
        return *url || dry_run ? db_postgres_roles(app, url, dry_run) : sqlite_roles(app);
    return *url ? db_postgres_status(app, url) : sqlite_status(app);
}

static const struct example examples[] = {
    {"aegis db status", "which database, which schema, can this program work with it?"},
    {"aegis db migrate --dry-run | less", "read what a new release would change"},
    {"aegis db migrate", "bring PostgreSQL's schema up to date"},
    {"aegis db roles --dry-run | psql \"$ADMIN_URL\"", "let an administrator make the roles"},
    {0},
};

const struct command command_db = {
    .name = "db",
    .summary = "show and migrate the database's schema, make its roles",
    .operands = "[status | migrate | roles]",
    .max_operands = 1,
    .operand_kind = OPERAND_WORDS,
    .words = "status|migrate|roles",
    .description =
        "With DATABASE_URL (setting `database.url`, or \"database_url\" in the file \"secrets\" of "
        "the data directory) this looks after Aegis's schema in PostgreSQL, where database and "
        "queue "
        "of all commands are then. Without it, it looks at SQLite in the data directory, which "
        "migrates itself.\n\n"
        "`status` tells what is there. It exits with 5 if the schema has to be migrated first, "
        "with 6 if a newer Aegis changed it so that this one cannot work with it.\n\n"
        "`migrate` brings PostgreSQL's schema up to date: all missing steps in one transaction, "
        "under a lock, so that it may be started on many machines at once. Workers of the release "
        "before go on meanwhile and after it. It installs pgvector if the login may; where it may "
        "not, it says what an administrator has to do.\n\n"
        "`roles` makes roles without login, to be granted to the logins of a deployment: "
        "aegis_migrate owns the schema, aegis_ingest records uploads, aegis_process works on jobs, "
        "aegis_read searches. docs/postgres.md has more.",
    .options = options,
    .examples = examples,
    .json =
        "  {\"engine\": \"postgresql\", \"database\": \"me@db:5432/media\", \"server_version\": "
        "\"17.4\",\n"
        "   \"pgvector\": \"0.8.0\", \"schema_version\": 1, \"program_version\": 1, \"usable\": "
        "true,\n"
        "   \"problem\": null, \"migrations\": [{\"version\": 1, \"name\": \"0001_initial\",\n"
        "     \"applied_at\": \"2026-03-01T12:00:00.000Z\", \"applied_by\": \"me\", "
        "\"duration_ms\": 90,\n"
        "     \"known\": true, \"altered\": false, \"lowest_program\": 1}],\n"
        "   \"roles\": [{\"name\": \"aegis_read\", \"exists\": true, \"member\": false}]}\n\n"
        "for status (on SQLite engine, database, schema_version, program_version and usable). "
        "migrate prints {\"engine\": \"postgresql\", \"dry_run\": false, \"from\": 0, \"to\": 1, "
        "\"pgvector_installed\": true, \"migrations\": [\"0001_initial\"]}, roles {\"roles\": "
        "[\"aegis_migrate\", ...]} or with --dry-run {\"dry_run\": true, \"sql\": \"...\"}.",
    .run = run,
};
