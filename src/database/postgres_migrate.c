#include "database/postgres_migrate.h"

#include <stdio.h>
#include <string.h>

#include "database/postgres_migrate_internal.h"
#include "database/postgres_roles.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/digest.h"
#include "shared/error.h"

enum { WAIT_MS = 120000, DDL_LOCK_MS = 5000 };

struct migrating {
    const struct migration *migrations;
    size_t count;
    bool dry_run, no_grants;
    struct postgres_migrated *out;
};

/* ---- pgvector ---- */

static int vector_missing(struct pg *c)
{
    return error_set(ERR_SYSTEMIC, "vector_missing",
                     "the server of '%s' has no pgvector: install it there (on Debian "
                     "postgresql-%d-pgvector; on a managed server allow the extension 'vector'), "
                     "then run this again",
                     pg_name(c), pg_server(c)->version / 10000);
}

static int vector_rights(struct pg *c)
{
    return error_set(ERR_SYSTEMIC, "vector_rights",
                     "this login may not install pgvector in '%s': have an administrator run "
                     "CREATE EXTENSION vector; in that database, then run this again",
                     pg_name(c));
}

static int vector_too_old(struct pg *c, const struct postgres_schema *s)
{
    bool newer = postgres_vector_number(s->vector_available) >= POSTGRES_VECTOR_LOWEST;
    return error_set(ERR_SYSTEMIC, "vector_too_old",
                     "'%s' has pgvector %s, Aegis needs 0.5 or later: %s", pg_name(c),
                     *s->vector ? s->vector : s->vector_available,
                     newer ? "have an administrator run ALTER EXTENSION vector UPDATE; in that "
                             "database"
                           : "install a newer pgvector on the server");
}

/* CREATE EXTENSION needs a superuser, or a trusted extension (managed servers have it so) and the
 * right to create in the database. */
static int may_create(struct pg *c, bool *out)
{
    static const char MAY[] =
        "SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) OR "
        "(SELECT pg_catalog.bool_or(trusted) FROM pg_catalog.pg_available_extension_versions "
        "WHERE name = 'vector') AND pg_catalog.has_database_privilege(current_database(), "
        "'CREATE')";
    int64_t may;
    int rc = pg_number(c, &may, 0, MAY, NULL, 0);
    *out = may;
    return rc;
}

/* Not into the schema aegis, which is ours to drop. */
static const char CREATE_VECTOR[] =
    "DO $$ BEGIN "
    "IF to_regnamespace('public') IS NOT NULL THEN CREATE EXTENSION vector SCHEMA public; "
    "ELSE CREATE SCHEMA IF NOT EXISTS extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC; "
    "CREATE EXTENSION vector SCHEMA extensions; END IF; END $$";

static int ensure_vector(struct pg *c, const struct migrating *m, const struct postgres_schema *s)
{
    bool may = true;
    if (*s->vector)
        return postgres_vector_number(s->vector) < POSTGRES_VECTOR_LOWEST ? vector_too_old(c, s)
                                                                          : OK;
    if (!*s->vector_available)
        return vector_missing(c);
    if (postgres_vector_number(s->vector_available) < POSTGRES_VECTOR_LOWEST)
        return vector_too_old(c, s);
    m->out->extension = true;
    if (m->dry_run) {
        int rc = may_create(c, &may);
        return rc || may ? rc : vector_rights(c);
    }
    int rc = pg_script(c, CREATE_VECTOR);
    return rc && !strcmp(pg_sqlstate(c), "42501") ? vector_rights(c) : rc;
}

/* ---- whose schema it is ---- */

/* The schema's owner, or for a new schema aegis_migrate if it exists and may make one: if this
 * login is a member of it, everything is done as that role. */
static const char ACT_AS[] =
    "SELECT r.rolname::text, n.oid IS NOT NULL FROM (SELECT 1) one "
    "LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'aegis' "
    "LEFT JOIN pg_catalog.pg_roles r ON (r.oid = n.nspowner OR n.oid IS NULL AND r.rolname = "
    "'aegis_migrate' AND pg_catalog.has_database_privilege(r.oid, current_database(), 'CREATE')) "
    "AND pg_catalog.pg_has_role(r.oid, 'MEMBER')";

/* A schema without its table of migrations, but with something in it, is somebody else's. */
static const char FOREIGN[] =
    "SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = "
    "pg_catalog.to_regnamespace('aegis') AND relkind IN ('r', 'v', 'p') LIMIT 1";

static int act_as_owner(struct pg *c, bool *schema_exists)
{
    struct pg_rows rows = {0};
    int rc = pg_query(c, &rows, ACT_AS, NULL, 0);
    *schema_exists = !rc && pg_int(&rows, 0, 1);
    if (!rc && !pg_is_null(&rows, 0, 0)) {
        char role[64 * 4];
        pg_copy(&rows, 0, 0, role, sizeof role);
        rc = PG_RUN(c, "SELECT pg_catalog.set_config('role', $1, true)", P_TEXT(role));
    }
    pg_rows_free(&rows);
    return rc;
}

static const char MAKE_SCHEMA[] =
    "CREATE SCHEMA IF NOT EXISTS aegis;"
    "COMMENT ON SCHEMA aegis IS 'Aegis: media, jobs, results, costs and the queue; the views are "
    "for people';"
    "CREATE TABLE aegis.schema_migration ("
    "    version integer PRIMARY KEY,"
    "    lowest_program integer NOT NULL,"
    "    duration_ms integer NOT NULL,"
    "    applied_at timestamptz NOT NULL DEFAULT now(),"
    "    name text NOT NULL,"
    "    checksum bytea NOT NULL,"
    "    applied_by text NOT NULL DEFAULT session_user);"
    "COMMENT ON TABLE aegis.schema_migration IS 'The steps that made this schema; written by aegis "
    "db migrate';"
    "COMMENT ON COLUMN aegis.schema_migration.version IS 'Number of the step';"
    "COMMENT ON COLUMN aegis.schema_migration.lowest_program IS 'Programs that know this version "
    "still work';"
    "COMMENT ON COLUMN aegis.schema_migration.duration_ms IS 'How long its SQL ran';"
    "COMMENT ON COLUMN aegis.schema_migration.applied_at IS 'When';"
    "COMMENT ON COLUMN aegis.schema_migration.name IS 'Its file';"
    "COMMENT ON COLUMN aegis.schema_migration.checksum IS 'SHA-256 of its SQL';"
    "COMMENT ON COLUMN aegis.schema_migration.applied_by IS 'The login that ran it';";

/* CREATE SCHEMA IF NOT EXISTS asks for the right to make one even where it exists. */
static int ensure_schema(struct pg *c)
{
    bool exists;
    int64_t foreign = 0;
    int rc = act_as_owner(c, &exists);
    if (!rc)
        rc = pg_number(c, &foreign, 0, FOREIGN, NULL, 0);
    if (!rc && foreign)
        rc = error_set(ERR_SYSTEMIC, "schema_foreign",
                       "'%s' has a schema aegis that Aegis did not make: rename it, or use another "
                       "database",
                       pg_name(c));
    if (!rc)
        rc = pg_script(c, exists ? strchr(MAKE_SCHEMA, ';') + 1 : MAKE_SCHEMA);
    return rc;
}

/* ---- the steps ---- */

static int apply(struct pg *c, const struct migration *m)
{
    struct digest d = digest_of(m->sql, m->length);
    int64_t start = clock_monotonic_ms();
    int rc = pg_script(c, m->sql);
    int64_t ran_ms = clock_monotonic_ms() - start;
    if (!rc)
        rc = PG_RUN(c,
                    "INSERT INTO aegis.schema_migration (version, name, checksum, lowest_program, "
                    "duration_ms) VALUES ($1, $2, $3, $4, $5)",
                    P_INT(m->version), P_TEXT(m->name), P_BYTES(d.bytes, DIGEST_BYTES),
                    P_INT(postgres_lowest_program(m)), P_INT(ran_ms));
    return rc ? error_prefix("migration %s", m->name) : OK;
}

static int apply_missing(struct pg *c, const struct migrating *m, int from)
{
    int rc = from ? act_as_owner(c, &(bool){false}) : ensure_schema(c);
    if (!rc) /* the extension may have come after this session began */
        rc = pg_script(c, "SELECT pg_catalog.set_config('search_path', 'aegis' || coalesce((SELECT "
                          "', ' || pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension "
                          "e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE "
                          "e.extname = 'vector' AND n.nspname <> 'aegis'), '') || ', pg_temp', "
                          "true)");
    for (size_t i = (size_t)from; !rc && i < m->count; i++)
        rc = apply(c, &m->migrations[i]);
    return rc || m->no_grants ? rc : postgres_grants_renew(c, &m->out->grants);
}

/* Judges what is there as far as its steps go: too old is what this is here to mend. */
static int look(struct pg *c, const struct migrating *m, struct arena *arena,
                struct postgres_schema *schema)
{
    int rc = postgres_schema_load(c, m->migrations, m->count, arena, schema);
    if (!rc && (rc = postgres_schema_judge(pg_name(c), schema)) == ERR_SYSTEMIC)
        rc = OK;
    m->out->from = m->out->to = schema->version;
    return rc;
}

static bool nothing_to_do(const struct migrating *m, const struct postgres_schema *s)
{
    return s->version >= (int)m->count &&
           postgres_vector_number(s->vector) >= POSTGRES_VECTOR_LOWEST;
}

static int migrate(struct pg *c, struct migrating *m, struct arena *arena)
{
    struct postgres_schema schema;
    int rc = m->dry_run ? OK
                        : pg_script(c, "SELECT pg_catalog.pg_advisory_xact_lock("
                                       "pg_catalog.hashtextextended('aegis.schema', 0))");
    if (!rc) /* again: another migrator may have been first */
        rc = look(c, m, arena, &schema);
    if (rc || nothing_to_do(m, &schema))
        return rc;
    rc = ensure_vector(c, m, &schema);
    if (rc)
        return rc;
    if (schema.version < (int)m->count)
        m->out->to = (int)m->count;
    return m->dry_run ? OK : apply_missing(c, m, schema.version);
}

static int in_transaction(struct pg *c, void *arg)
{
    struct arena arena;
    struct migrating *m = arg;
    *m->out = (struct postgres_migrated){0};
    arena_init(&arena, MIB(4));
    int rc = migrate(c, m, &arena);
    arena_free(&arena);
    return rc;
}

static int explain_wait(int rc, int64_t wait_ms)
{
    if (rc && !strcmp(error_last()->reason, "database_lock_timeout"))
        return error_prefix("another migration, or a long transaction, held what is to be changed "
                            "for %lld s",
                            (long long)(wait_ms / 1000));
    return rc;
}

int postgres_migrate(const char *url, const struct migration *migrations, size_t count,
                     const struct postgres_migrate_options *options, struct postgres_migrated *out)
{
    struct pg_settings settings = {
        .connections = 1, .statement_timeout_ms = -1, .lock_timeout_ms = DDL_LOCK_MS};
    struct migrating m = {.migrations = migrations,
                          .count = count,
                          .dry_run = options->dry_run,
                          .no_grants = options->no_grants,
                          .out = out};
    int64_t wait_ms = options->wait_ms > 0 ? options->wait_ms : WAIT_MS;
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    unsigned flags = options->dry_run ? PG_SNAPSHOT : PG_READ_WRITE;
    struct pg_pool *pool;
    *out = (struct postgres_migrated){0};
    if (wait_ms < DDL_LOCK_MS)
        settings.lock_timeout_ms = wait_ms;
    int rc = pg_pool_open(url, &settings, &pool);
    if (rc)
        return rc;
    do
        rc = pg_transaction(pool, flags, 0, options->cancel, in_transaction, &m);
    while (rc && !strcmp(error_last()->reason, "database_lock_timeout") &&
           clock_monotonic_ms() < deadline && !cancel_requested(options->cancel));
    pg_pool_close(pool);
    return explain_wait(rc, wait_ms);
}
