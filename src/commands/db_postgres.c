#include "commands/db_postgres.h"

#include <inttypes.h>
#include <string.h>

#include "commands/columns.h"
#include "database/postgres_migrate.h"
#include "database/postgres_roles.h"
#include "shared/clock.h"

enum { ROLES = 4 };

#define OWN migrations_postgres, migrations_postgres_count

/* One connection for a short command; closed with db_close. */
static int db_open(const char *url, struct pg_pool **pool, struct pg **c)
{
    static const struct pg_settings settings = {.connections = 1};
    *c = NULL;
    int rc = pg_pool_open(url, &settings, pool);
    return rc ? rc : pg_acquire(*pool, 0, app_stop(), c);
}

static void db_close(struct pg_pool *pool, struct pg *c)
{
    pg_release(c);
    pg_pool_close(pool);
}

/* ---- status ---- */

struct found {
    struct postgres_schema schema;
    bool exists[ROLES], member[ROLES];
    const char *name;
};

static yyjson_mut_val *step_json(yyjson_mut_doc *doc, const struct postgres_step *s)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "version", yyjson_mut_sint(doc, s->version));
    yyjson_mut_obj_add_val(doc, o, "name", js(doc, s->name));
    yyjson_mut_obj_add_val(doc, o, "applied_at", js_time(doc, s->applied_ms));
    yyjson_mut_obj_add_val(doc, o, "applied_by",
                           s->applied ? js(doc, s->applied_by) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "duration_ms",
                           s->applied ? yyjson_mut_sint(doc, s->duration_ms)
                                      : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "known", yyjson_mut_bool(doc, s->known));
    yyjson_mut_obj_add_val(doc, o, "altered", yyjson_mut_bool(doc, s->altered));
    yyjson_mut_obj_add_val(doc, o, "lowest_program", yyjson_mut_sint(doc, s->lowest_program));
    return o;
}

static yyjson_mut_val *server_version(yyjson_mut_doc *doc, int number)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d", number / 10000, number % 10000);
    return js(doc, text);
}

static void status_json(struct app *app, const struct found *f)
{
    const struct postgres_schema *s = &f->schema;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *steps = yyjson_mut_arr(doc),
                   *roles = yyjson_mut_arr(doc);
    for (size_t i = 0; i < s->step_count; i++)
        yyjson_mut_arr_append(steps, step_json(doc, &s->steps[i]));
    for (size_t i = 0; i < ROLES; i++)
        yyjson_mut_arr_append(roles,
                              js_object(doc, "name", yyjson_mut_strcpy(doc, postgres_roles[i]),
                                        "exists", yyjson_mut_bool(doc, f->exists[i]), "member",
                                        yyjson_mut_bool(doc, f->member[i]), NULL));
    yyjson_mut_obj_add_val(doc, o, "engine", js(doc, "postgresql"));
    yyjson_mut_obj_add_val(doc, o, "database", js(doc, f->name));
    yyjson_mut_obj_add_val(doc, o, "server_version", server_version(doc, s->server_version));
    yyjson_mut_obj_add_val(doc, o, "pgvector",
                           *s->vector ? js(doc, s->vector) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "schema_version", yyjson_mut_sint(doc, s->version));
    yyjson_mut_obj_add_val(doc, o, "program_version", yyjson_mut_sint(doc, s->known));
    yyjson_mut_obj_add_val(doc, o, "usable", yyjson_mut_bool(doc, s->usable));
    yyjson_mut_obj_add_val(doc, o, "problem",
                           s->usable ? yyjson_mut_null(doc) : js(doc, s->problem));
    yyjson_mut_obj_add_val(doc, o, "migrations", steps);
    yyjson_mut_obj_add_val(doc, o, "roles", roles);
    print_json(&app->terminal, doc, o);
}

static int print_steps(struct app *app, const struct postgres_schema *s)
{
    static const struct column columns[] = {{.title = "MIGRATION"},
                                            {.title = "APPLIED"},
                                            {.title = "BY", .shrinks = true},
                                            {.title = "TOOK", .right = true, .optional = true}};
    struct columns table;
    columns_init(&table, &app->arena, columns, 4);
    for (size_t i = 0; i < s->step_count; i++) {
        const struct postgres_step *step = &s->steps[i];
        char at[CLOCK_TEXT], took[HUMAN_TEXT];
        const char *cells[] = {
            text_clean(&app->arena, step->name),
            arena_printf(
                &app->arena, "%s%s%s", step->applied ? clock_format(step->applied_ms, at) : "no",
                step->altered ? ", with another SQL" : "", step->known ? "" : ", by a newer Aegis"),
            text_clean(&app->arena, step->applied_by),
            step->applied ? arena_strdup(&app->arena, human_duration(step->duration_ms, took)) : "",
        };
        if (columns_row(&table, STYLE_NONE, cells))
            return ERR_NO_MEMORY;
    }
    columns_print(&table, &app->terminal);
    return OK;
}

static const char *roles_text(struct app *app, const struct found *f)
{
    const char *text = "";
    bool any = false;
    for (size_t i = 0; i < ROLES; i++)
        any |= f->exists[i];
    if (!any)
        return "not made; `aegis db roles` makes them";
    for (size_t i = 0; i < ROLES && text; i++)
        text = arena_printf(&app->arena, "%s%s%s%s", text, *text ? ", " : "", postgres_roles[i],
                            !f->exists[i]  ? " (not made)"
                            : f->member[i] ? " (this login)"
                                           : "");
    return text ? text : "";
}

static int status_text(struct app *app, const struct found *f)
{
    const struct postgres_schema *s = &f->schema;
    printf("database  PostgreSQL %d.%d at %s\n", s->server_version / 10000,
           s->server_version % 10000, text_clean(&app->arena, f->name));
    printf("pgvector  %s\n", *s->vector             ? s->vector
                             : *s->vector_available ? "not installed; `aegis db migrate` does it"
                                                    : "missing on the server");
    printf("schema    version %d; this program knows %d\n", s->version, s->known);
    printf("roles     %s\n\n", roles_text(app, f));
    return print_steps(app, s);
}

int db_postgres_status(struct app *app, const char *url)
{
    struct found f = {0};
    struct pg_pool *pool;
    struct pg *c;
    int rc = db_open(url, &pool, &c);
    if (!rc)
        rc = postgres_schema_read(c, OWN, &app->arena, &f.schema);
    if (!rc)
        rc = postgres_roles_read(c, f.exists, f.member);
    if (!rc && !(f.name = arena_strdup(&app->arena, pg_pool_name(pool))))
        rc = ERR_NO_MEMORY;
    if (!rc && app->json)
        status_json(app, &f);
    else if (!rc)
        rc = status_text(app, &f);
    if (!rc) /* what is printed may not be usable: the exit status says so */
        rc = postgres_schema_check(c, OWN);
    int status = rc ? app_fail(app) : STATUS_OK;
    db_close(pool, c);
    return status;
}

/* ---- migrate ---- */

static void migrated_json(struct app *app, const struct postgres_migrated *done, bool dry_run)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *names = yyjson_mut_arr(doc);
    for (int i = done->from; i < done->to; i++)
        yyjson_mut_arr_append(names, js(doc, migrations_postgres[i].name));
    yyjson_mut_obj_add_val(doc, o, "engine", js(doc, "postgresql"));
    yyjson_mut_obj_add_val(doc, o, "dry_run", yyjson_mut_bool(doc, dry_run));
    yyjson_mut_obj_add_val(doc, o, "from", yyjson_mut_sint(doc, done->from));
    yyjson_mut_obj_add_val(doc, o, "to", yyjson_mut_sint(doc, done->to));
    yyjson_mut_obj_add_val(doc, o, "pgvector_installed", yyjson_mut_bool(doc, done->extension));
    yyjson_mut_obj_add_val(doc, o, "migrations", names);
    print_json(&app->terminal, doc, o);
}

/* As SQL to read, with what is not in it as comments. */
static void print_plan(const struct postgres_migrated *done)
{
    printf("-- from schema version %d to %d, in one transaction; each step is recorded in "
           "aegis.schema_migration\n",
           done->from, done->to);
    if (done->extension)
        printf("CREATE EXTENSION vector;\n");
    if (done->from == 0)
        printf("CREATE SCHEMA aegis;\n");
    for (int i = done->from; i < done->to; i++)
        printf("\n-- %s\n%s", migrations_postgres[i].name, migrations_postgres[i].sql);
}

static void print_migrated(const struct postgres_migrated *done, bool dry_run)
{
    if (done->from == done->to && !done->extension)
        printf("%sThe schema has version %d: nothing to do.\n", dry_run ? "-- " : "", done->to);
    else if (dry_run)
        print_plan(done);
    else {
        for (int i = done->from; i < done->to; i++)
            printf("applied %s\n", migrations_postgres[i].name);
        printf("The schema has version %d%s%s.\n", done->to,
               done->extension ? "; pgvector was installed" : "",
               done->grants ? "; the roles' rights were renewed" : "");
    }
}

int db_postgres_migrate(struct app *app, const char *url, bool dry_run)
{
    struct postgres_migrate_options options = {.dry_run = dry_run, .cancel = app_stop()};
    struct postgres_migrated done;
    if (postgres_migrate(url, OWN, &options, &done))
        return app_fail(app);
    if (app->json)
        migrated_json(app, &done, dry_run);
    else
        print_migrated(&done, dry_run);
    return STATUS_OK;
}

int db_postgres_apply(const char *url, int *applied)
{
    struct postgres_migrate_options options = {.cancel = app_stop()};
    struct postgres_migrated done;
    int rc = postgres_migrate(url, OWN, &options, &done);
    *applied = rc ? 0 : done.to - done.from;
    return rc;
}

/* ---- roles ---- */

static void print_roles(struct app *app)
{
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *names = yyjson_mut_arr(doc);
        for (size_t i = 0; i < ROLES; i++)
            yyjson_mut_arr_append(names, js(doc, postgres_roles[i]));
        print_json(&app->terminal, doc, js_object(doc, "roles", names, NULL));
        return;
    }
    for (size_t i = 0; i < ROLES; i++)
        printf("%s\n", postgres_roles[i]);
    printf("\nGive each login what it needs: GRANT aegis_ingest, aegis_process TO worker;\n");
}

static int print_roles_sql(struct app *app)
{
    static const char needs[] =
        "-- The rights need the schema. `aegis db migrate` grants them too, "
        "where the roles exist.\n";
    const char *sql =
        arena_printf(&app->arena, "%s\n%s%s", postgres_roles_sql, needs, postgres_grants_sql);
    if (!sql)
        return app_fail(app);
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        print_json(&app->terminal, doc,
                   js_object(doc, "dry_run", yyjson_mut_bool(doc, 1), "sql", js(doc, sql), NULL));
    } else {
        fputs(sql, stdout);
    }
    return STATUS_OK;
}

int db_postgres_roles(struct app *app, const char *url, bool dry_run)
{
    struct pg_pool *pool;
    struct pg *c;
    if (dry_run)
        return print_roles_sql(app);
    int rc = db_open(url, &pool, &c);
    if (!rc)
        rc = postgres_roles_make(c);
    if (!rc)
        print_roles(app);
    int status = rc ? app_fail(app) : STATUS_OK;
    db_close(pool, c);
    return status;
}
