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

static json_t *step_json(const struct postgres_step *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "version", json_integer(s->version));
    json_object_set_new(o, "name", js(s->name));
    json_object_set_new(o, "applied_at", js_time(s->applied_ms));
    json_object_set_new(o, "applied_by", s->applied ? js(s->applied_by) : json_null());
    json_object_set_new(o, "duration_ms", s->applied ? json_integer(s->duration_ms) : json_null());
    json_object_set_new(o, "known", json_boolean(s->known));
    json_object_set_new(o, "altered", json_boolean(s->altered));
    json_object_set_new(o, "lowest_program", json_integer(s->lowest_program));
    return o;
}

static json_t *server_version(int number)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d", number / 10000, number % 10000);
    return js(text);
}

static void status_json(struct app *app, const struct found *f)
{
    const struct postgres_schema *s = &f->schema;
    json_t *o = json_object(), *steps = json_array(), *roles = json_array();
    for (size_t i = 0; i < s->step_count; i++)
        json_array_append_new(steps, step_json(&s->steps[i]));
    for (size_t i = 0; i < ROLES; i++)
        json_array_append_new(roles, json_pack("{s:s, s:b, s:b}", "name", postgres_roles[i],
                                               "exists", f->exists[i], "member", f->member[i]));
    json_object_set_new(o, "engine", js("postgresql"));
    json_object_set_new(o, "database", js(f->name));
    json_object_set_new(o, "server_version", server_version(s->server_version));
    json_object_set_new(o, "pgvector", *s->vector ? js(s->vector) : json_null());
    json_object_set_new(o, "schema_version", json_integer(s->version));
    json_object_set_new(o, "program_version", json_integer(s->known));
    json_object_set_new(o, "usable", json_boolean(s->usable));
    json_object_set_new(o, "problem", s->usable ? json_null() : js(s->problem));
    json_object_set_new(o, "migrations", steps);
    json_object_set_new(o, "roles", roles);
    print_json(&app->terminal, o);
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
    json_t *o = json_object(), *names = json_array();
    for (int i = done->from; i < done->to; i++)
        json_array_append_new(names, js(migrations_postgres[i].name));
    json_object_set_new(o, "engine", js("postgresql"));
    json_object_set_new(o, "dry_run", json_boolean(dry_run));
    json_object_set_new(o, "from", json_integer(done->from));
    json_object_set_new(o, "to", json_integer(done->to));
    json_object_set_new(o, "pgvector_installed", json_boolean(done->extension));
    json_object_set_new(o, "migrations", names);
    print_json(&app->terminal, o);
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

/* ---- roles ---- */

static void print_roles(struct app *app)
{
    if (app->json) {
        json_t *names = json_array();
        for (size_t i = 0; i < ROLES; i++)
            json_array_append_new(names, js(postgres_roles[i]));
        print_json(&app->terminal, json_pack("{s:o}", "roles", names));
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
    if (app->json)
        print_json(&app->terminal, json_pack("{s:b, s:o}", "dry_run", 1, "sql", js(sql)));
    else
        fputs(sql, stdout);
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
