/* The schema of a PostgreSQL database: made, brought up to date, refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/postgres_migrate.h"
#include "database/postgres_roles.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "support/pg_fixture.h"

static struct pg_fixture fixture;
static struct pg_pool *pool;
static struct pg *c;
static struct arena arena;

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

static void fails(int rc, int code, const char *reason, const char *text)
{
    assert_int_equal(rc, code);
    assert_string_equal(error_last()->reason, reason);
    if (!strstr(error_last()->message, text))
        fail_msg("'%s' is not in '%s'", text, error_last()->message);
}

static int64_t number(const char *sql)
{
    int64_t n = -1;
    ok(pg_number(c, &n, -1, sql, NULL, 0));
    return n;
}

static struct migration step(int version, const char *name, const char *sql)
{
    return (struct migration){.version = version, .name = name, .sql = sql, .length = strlen(sql)};
}

static int run(const struct migration *migrations, size_t count, struct postgres_migrated *done)
{
    struct postgres_migrate_options options = {.wait_ms = 20000,
                                               .no_grants = migrations != migrations_postgres ||
                                                            count != migrations_postgres_count};
    return postgres_migrate(fixture.url, migrations, count, &options, done);
}

static int run_own(struct postgres_migrated *done)
{
    return run(migrations_postgres, migrations_postgres_count, done);
}

#define OWN migrations_postgres, migrations_postgres_count

/* ---- the program's own ---- */

static void test_from_nothing(void **state)
{
    struct postgres_migrated done;
    struct postgres_schema schema;
    (void)state;
    fails(postgres_schema_check(c, OWN), ERR_SYSTEMIC, "database_schema", "aegis db migrate");
    ok(run_own(&done));
    assert_true(done.extension);
    assert_int_equal(done.from, 0);
    assert_int_equal(done.to, (int)migrations_postgres_count);
    ok(postgres_schema_check(c, OWN));
    ok(postgres_schema_read(c, OWN, &arena, &schema));
    assert_true(schema.usable);
    assert_string_equal(schema.problem, "");
    assert_int_equal(schema.version, (int)migrations_postgres_count);
    assert_int_equal(schema.step_count, migrations_postgres_count);
    assert_true(schema.steps[0].applied && schema.steps[0].known && !schema.steps[0].altered);
    assert_string_equal(schema.steps[0].name, "0001_initial");
    assert_in_range(schema.steps[0].applied_ms, clock_now(clock_system()) - 3600000,
                    clock_now(clock_system()) + 3600000);
    assert_true(strlen(schema.vector) >= 3);
    /* again: nothing to do */
    ok(run_own(&done));
    assert_false(done.extension);
    assert_int_equal(done.from, done.to);
    assert_int_equal(number("SELECT count(*) FROM aegis.schema_migration"),
                     (int64_t)migrations_postgres_count);
}

/* Every table, column, view and function says what it is for. */
static void test_comments(void **state)
{
    static const char silent[] =
        "SELECT coalesce(string_agg(name, ', '), '') FROM ("
        "SELECT c.relname || coalesce('.' || a.attname, '') AS name FROM pg_class c "
        "CROSS JOIN LATERAL (SELECT 0::int2 AS attnum, NULL::name AS attname UNION ALL SELECT "
        "attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND c.relkind <> "
        "'v') a WHERE c.relnamespace = 'aegis'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND "
        "NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL AND (a.attnum > 0 OR "
        "obj_description(c.oid, 'pg_class') IS NULL) UNION ALL "
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'aegis'::regnamespace AND "
        "obj_description(p.oid, 'pg_proc') IS NULL) without";
    struct postgres_migrated done;
    struct pg_rows rows;
    (void)state;
    ok(run_own(&done));
    ok(pg_query(c, &rows, silent, NULL, 0));
    assert_string_equal(pg_peek(&rows, 0, 0), "");
    pg_rows_free(&rows);
}

static void test_dry_run(void **state)
{
    struct postgres_migrate_options options = {.dry_run = true};
    struct postgres_migrated done;
    (void)state;
    ok(postgres_migrate(fixture.url, OWN, &options, &done));
    assert_true(done.extension);
    assert_int_equal(done.from, 0);
    assert_int_equal(done.to, (int)migrations_postgres_count);
    assert_int_equal(number("SELECT count(*) FROM pg_namespace WHERE nspname = 'aegis'"), 0);
    assert_int_equal(number("SELECT count(*) FROM pg_extension WHERE extname = 'vector'"), 0);
}

/* ---- two at once ---- */

struct migrator {
    pthread_barrier_t *barrier;
    struct postgres_migrated done;
    int rc;
    char message[480];
};

static void *migrate_thread(void *arg)
{
    struct migrator *m = arg;
    pthread_barrier_wait(m->barrier);
    m->rc = run_own(&m->done);
    snprintf(m->message, sizeof m->message, "%s", error_last()->message);
    return NULL;
}

static void test_many_at_once(void **state)
{
    enum { MANY = 4 };
    struct migrator migrators[MANY] = {0};
    pthread_t threads[MANY];
    pthread_barrier_t barrier;
    int worked = 0;
    (void)state;
    pthread_barrier_init(&barrier, NULL, MANY);
    for (int i = 0; i < MANY; i++) {
        migrators[i].barrier = &barrier;
        pthread_create(&threads[i], NULL, migrate_thread, &migrators[i]);
    }
    for (int i = 0; i < MANY; i++) {
        pthread_join(threads[i], NULL);
        if (migrators[i].rc)
            fail_msg("%s", migrators[i].message);
        worked += migrators[i].done.from != migrators[i].done.to;
    }
    pthread_barrier_destroy(&barrier);
    assert_int_equal(worked, 1);
    assert_int_equal(number("SELECT count(*) FROM aegis.schema_migration"),
                     (int64_t)migrations_postgres_count);
}

/* ---- older and newer programs ---- */

static void test_steps(void **state)
{
    const struct migration all[] = {
        step(1, "0001_one", "-- lowest-program: 1\nCREATE TABLE one (n int);"),
        step(2, "0002_expand", "-- lowest-program: 1\nALTER TABLE one ADD m int;"),
        step(3, "0003_contract", "-- lowest-program: 2\nALTER TABLE one DROP n;"),
        step(4, "0004_break", "ALTER TABLE one RENAME TO won;"),
    };
    struct postgres_migrated done;
    struct postgres_schema schema;
    (void)state;
    ok(run(all, 1, &done));
    ok(postgres_schema_check(c, all, 1));
    fails(postgres_schema_check(c, all, 2), ERR_SYSTEMIC, "database_schema",
          "has schema version 1, this program needs 2: run `aegis db migrate`");
    ok(run(all, 2, &done));
    assert_int_equal(done.from, 1);
    assert_int_equal(done.to, 2);
    assert_false(done.extension);
    ok(postgres_schema_check(c, all, 1)); /* the older program goes on */
    ok(run(all, 1, &done));               /* and migrating with it changes nothing */
    assert_int_equal(done.to, 2);
    ok(run(all, 3, &done));
    fails(postgres_schema_check(c, all, 1), ERR_SCHEMA, "schema_newer",
          "schema version 3, with which only programs that know version 2 work");
    ok(postgres_schema_check(c, all, 2));
    ok(run(all, 4, &done));
    for (size_t known = 1; known < 4; known++) {
        fails(postgres_schema_check(c, all, known), ERR_SCHEMA, "schema_newer", "");
        fails(run(all, known, &done), ERR_SCHEMA, "schema_newer", "");
    }
    ok(postgres_schema_check(c, all, 4));
    ok(postgres_schema_read(c, all, 2, &arena, &schema));
    assert_false(schema.usable);
    assert_int_equal(schema.version, 4);
    assert_int_equal(schema.known, 2);
    assert_int_equal(schema.step_count, 4);
    assert_false(schema.steps[3].known);
    assert_int_equal(schema.steps[3].lowest_program, 4);
    assert_string_equal(schema.steps[3].name, "0004_break");
}

/* Of a database whose embedding model was being changed by an earlier program. */
static void test_serving_space(void **state)
{
    struct postgres_migrated done;
    (void)state;
    ok(run(migrations_postgres, 8, &done));
    ok(pg_script(c,
                 "INSERT INTO aegis.embedding_space (provider, model, revision, dimension) VALUES "
                 "('offline', 'hash', '', 8), ('openai', 'small', '', 16), ('openai', 'large', "
                 "'', 16); INSERT INTO aegis.space_total VALUES (1, 0, 3), (2, 0, 9), (2, 1, -2)"));
    fails(postgres_schema_check(c, OWN), ERR_SYSTEMIC, "database_schema", "aegis db migrate");
    ok(run_own(&done));
    assert_int_equal(number("SELECT space_id FROM aegis.serving_space"), 2);
    fails(postgres_schema_check(c, migrations_postgres, 8), ERR_SCHEMA, "schema_newer", "");
}

/* Of checkpoints that were there, and of those that a worker not yet replaced goes on to write. */
static void test_checkpoint_content(void **state)
{
    struct postgres_migrated done;
    (void)state;
    ok(run(migrations_postgres, 9, &done));
    ok(pg_script(c, "INSERT INTO aegis.version (version_id, media_id, event_ms, size, content) "
                    "VALUES (1, 1, 1, 1, '\\x01'), (2, 1, 1, 1, '\\x02'), (3, 1, 1, 1, NULL);"
                    "INSERT INTO aegis.checkpoint (digest, media_id, version_id, created_ms, "
                    "bytes) VALUES ('\\xa1', 1, 1, 1, ''), ('\\xa3', 1, 3, 1, '')"));
    ok(run_own(&done));
    ok(postgres_schema_check(c, migrations_postgres, 9)); /* the older program goes on */
    ok(pg_script(c, "INSERT INTO aegis.checkpoint (digest, media_id, version_id, created_ms, "
                    "bytes) VALUES ('\\xa2', 1, 2, 1, ''), ('\\xa1', 1, 1, 1, '') "
                    "ON CONFLICT DO NOTHING"));
    assert_int_equal(number("SELECT count(*) FROM aegis.checkpoint"), 3);
    assert_int_equal(number("SELECT count(*) FROM aegis.checkpoint k JOIN aegis.version v USING "
                            "(version_id) WHERE k.content IS NOT DISTINCT FROM v.content"),
                     3);
}

static void test_checksum(void **state)
{
    const struct migration made[] = {step(1, "0001_one", "CREATE TABLE one (n int);"),
                                     step(2, "0002_two", "CREATE TABLE two (n int);")};
    const struct migration edited[] = {step(1, "0001_one", "CREATE TABLE one (n bigint);"),
                                       made[1]};
    struct postgres_migrated done;
    struct postgres_schema schema;
    (void)state;
    ok(run(made, 1, &done));
    fails(postgres_schema_check(c, edited, 1), ERR_SCHEMA, "schema_checksum", "0001_one");
    fails(run(edited, 2, &done), ERR_SCHEMA, "schema_checksum", "0001_one");
    assert_int_equal(number("SELECT count(*) FROM aegis.schema_migration"), 1);
    ok(postgres_schema_read(c, edited, 1, &arena, &schema));
    assert_true(schema.steps[0].altered);
    assert_non_null(strstr(schema.problem, "another migration"));
    /* a row that went missing is no reason to apply the step again */
    ok(run(made, 2, &done));
    ok(pg_script(c, "DELETE FROM aegis.schema_migration WHERE version = 1"));
    fails(run(made, 2, &done), ERR_SCHEMA, "schema_checksum", "no record of migration 0001_one");
}

/* A step that fails takes all with it, and says where. */
static void test_failure(void **state)
{
    const struct migration all[] = {
        step(1, "0001_one", "CREATE TABLE one (n int);"),
        step(2, "0002_two", "CREATE TABLE two (n int);\n\nINSERT INTO nowhere VALUES (1);\n")};
    struct postgres_migrated done;
    (void)state;
    fails(run(all, 2, &done), ERR_SYSTEMIC, "database_schema", "migration 0002_two: line 3: ");
    assert_int_equal(number("SELECT count(*) FROM pg_namespace WHERE nspname = 'aegis'"), 0);
    assert_int_equal(number("SELECT count(*) FROM pg_extension WHERE extname = 'vector'"), 0);
    ok(run(all, 1, &done));
}

static void test_foreign_schema(void **state)
{
    struct postgres_migrated done;
    (void)state;
    ok(pg_script(c, "CREATE SCHEMA aegis; CREATE TABLE aegis.mine (n int)"));
    fails(run_own(&done), ERR_SYSTEMIC, "schema_foreign", "that Aegis did not make");
    ok(pg_script(c, "DROP TABLE aegis.mine"));
    ok(run_own(&done)); /* an empty one was made for it */
    assert_int_equal(done.to, (int)migrations_postgres_count);
}

/* A transaction that holds what is to be changed is waited for, and named when it lasts. */
static void test_locked(void **state)
{
    const struct migration all[] = {step(1, "0001_one", "CREATE TABLE one (n int);"),
                                    step(2, "0002_two", "ALTER TABLE one ADD m int;")};
    struct postgres_migrate_options options = {.wait_ms = 300, .no_grants = true};
    struct postgres_migrated done;
    (void)state;
    ok(run(all, 1, &done));
    ok(pg_begin(c, PG_READ_WRITE));
    ok(pg_query(c, NULL, "SELECT * FROM aegis.one", NULL, 0));
    int64_t start = clock_monotonic_ms();
    fails(postgres_migrate(fixture.url, all, 2, &options, &done), ERR_TRANSIENT,
          "database_lock_timeout", "a long transaction");
    assert_true(clock_monotonic_ms() - start < 20000);
    pg_rollback(c);
    ok(run(all, 2, &done));
}

/* ---- pgvector ---- */

static void login(const char *name, const char *more, char *url, size_t size)
{
    char sql[512];
    snprintf(
        sql, sizeof sql,
        "DO $$ BEGIN IF to_regrole('%s') IS NULL THEN CREATE ROLE %s LOGIN; END IF; END $$; %s",
        name, name, more);
    pg_fixture_script(&fixture, sql);
    pg_fixture_url_for(&fixture, name, "", url, size);
}

/* Roles belong to the server, which other tests share: names of its own. */
static void role_name(char *out, size_t size, const char *what)
{
    snprintf(out, size, "%s_%s", fixture.name, what);
}

static void test_extension_rights(void **state)
{
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    char name[80], grant[256], url[512], drop[512];
    (void)state;
    role_name(name, sizeof name, "plain");
    snprintf(grant, sizeof grant, "GRANT CREATE ON DATABASE %s TO %s", fixture.name, name);
    login(name, grant, url, sizeof url);
    fails(postgres_migrate(url, OWN, &options, &done), ERR_SYSTEMIC, "vector_rights",
          "CREATE EXTENSION vector;");
    options.dry_run = true;
    fails(postgres_migrate(url, OWN, &options, &done), ERR_SYSTEMIC, "vector_rights",
          "have an administrator");
    options.dry_run = false;
    assert_int_equal(number("SELECT count(*) FROM pg_namespace WHERE nspname = 'aegis'"), 0);
    ok(pg_script(c, "CREATE EXTENSION vector SCHEMA public"));
    ok(postgres_migrate(url, OWN, &options, &done));
    assert_false(done.extension);
    /* without the right to make a schema */
    ok(pg_script(c, "DROP SCHEMA aegis CASCADE"));
    snprintf(grant, sizeof grant, "REVOKE CREATE ON DATABASE %s FROM %s", fixture.name, name);
    pg_fixture_script(&fixture, grant);
    fails(postgres_migrate(url, OWN, &options, &done), ERR_SYSTEMIC, "database_access", "42501");
    snprintf(drop, sizeof drop, "DROP OWNED BY %s; DROP ROLE %s", name, name);
    pg_fixture_script(&fixture, drop);
}

static void pretend_version(const char *version)
{
    char sql[160];
    snprintf(sql, sizeof sql, "UPDATE pg_extension SET extversion = '%s' WHERE extname = 'vector'",
             version);
    ok(pg_script(c, sql));
}

static void test_old_vector(void **state)
{
    struct postgres_migrated done;
    (void)state;
    ok(pg_script(c, "CREATE EXTENSION vector SCHEMA public"));
    pretend_version("0.4.4");
    fails(run_own(&done), ERR_SYSTEMIC, "vector_too_old", "ALTER EXTENSION vector UPDATE");
    pretend_version("0.5.0");
    ok(run_own(&done));
    pretend_version("0.4.4");
    fails(postgres_schema_check(c, OWN), ERR_SYSTEMIC, "database_schema", "pgvector '0.4.4'");
    pretend_version("0.10.1"); /* numbers, not letters */
    ok(postgres_schema_check(c, OWN));
}

/* A server without the package: its control file is out of the way. */
static void test_missing_vector(void **state)
{
    struct pg_own_server own;
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    struct pg_rows rows;
    struct pg_pool *bare;
    struct pg *b;
    char package[64];
    (void)state;
    if (!pg_own_start(&own, "-c allow_system_table_mods=on"))
        skip();
    ok(pg_pool_open(own.url, NULL, &bare));
    ok(pg_acquire(bare, 5000, NULL, &b));
    /* pg_available_extensions reads the server's folder, which all tests share: a function in front
     * of it that finds nothing stands in for an empty folder */
    ok(pg_script(b, "CREATE OR REPLACE VIEW pg_catalog.pg_available_extensions AS SELECT "
                    "name::name COLLATE \"C\" AS name, NULL::text AS default_version, NULL::text "
                    "COLLATE \"C\" AS "
                    "installed_version, NULL::text AS comment FROM (VALUES ('plpgsql')) v(name)"));
    ok(pg_query(b, &rows, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'", NULL, 0));
    assert_int_equal(rows.count, 0);
    pg_rows_free(&rows);
    snprintf(package, sizeof package, "postgresql-%d-pgvector", pg_server(b)->version / 10000);
    fails(postgres_migrate(own.url, OWN, &options, &done), ERR_SYSTEMIC, "vector_missing", package);
    pg_release(b);
    pg_pool_close(bare);
    pg_own_stop(&own);
}

/* The extension may live anywhere. */
static void test_vector_elsewhere(void **state)
{
    static const float v[3] = {1, 0, 0};
    struct postgres_migrated done;
    struct pg_pool *fresh;
    struct pg *f;
    int64_t n;
    (void)state;
    ok(pg_script(c,
                 "CREATE SCHEMA \"Other Place\"; CREATE EXTENSION vector SCHEMA \"Other Place\""));
    ok(run_own(&done));
    ok(pg_pool_open(fixture.url, NULL, &fresh));
    ok(pg_acquire(fresh, 5000, NULL, &f));
    assert_true(pg_server(f)->vector_version > 0);
    ok(PG_NUMBER(f, &n, 0, "SELECT vector_dims($1)::int8", P_VECTOR(v, 3)));
    assert_int_equal(n, 3);
    ok(pg_number(f, &n, 0,
                 "INSERT INTO embedding_space (provider, model, revision, dimension) VALUES "
                 "('p', 'm', 'r', 3) RETURNING space_id",
                 NULL, 0));
    ok(PG_RUN(f, "SELECT open_embedding_space($1)", P_INT(n)));
    ok(PG_RUN(f, "SELECT open_embedding_space($1)", P_INT(n)));
    ok(PG_RUN(f, "INSERT INTO embedding_1 (chunk_id, result_id, embedding) VALUES (1, 1, $1)",
              P_VECTOR(v, 3)));
    pg_release(f);
    pg_pool_close(fresh);
}

/* Administrators who dropped the schema public get one for extensions. */
static void test_no_public_schema(void **state)
{
    struct postgres_migrated done;
    (void)state;
    ok(pg_script(c, "DROP SCHEMA public"));
    ok(run_own(&done));
    assert_int_equal(number("SELECT 1 FROM pg_extension e JOIN pg_namespace n ON n.oid = "
                            "e.extnamespace WHERE e.extname = 'vector' AND n.nspname = "
                            "'extensions'"),
                     1);
}

static int set_up(void **state)
{
    (void)state;
    pg_fixture_open_empty(&fixture);
    arena_init(&arena, MIB(4));
    return pg_pool_open(fixture.url, NULL, &pool) || pg_acquire(pool, 10000, NULL, &c);
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    pg_release(c);
    pg_pool_close(pool);
    pg_fixture_close(&fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_from_nothing),       TEST(test_comments),       TEST(test_dry_run),
        TEST(test_many_at_once),       TEST(test_steps),          TEST(test_serving_space),
        TEST(test_checkpoint_content), TEST(test_checksum),       TEST(test_failure),
        TEST(test_foreign_schema),     TEST(test_locked),         TEST(test_extension_rights),
        TEST(test_old_vector),         TEST(test_missing_vector), TEST(test_vector_elsewhere),
        TEST(test_no_public_schema),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
