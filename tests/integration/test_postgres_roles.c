/* What each role of Aegis may do in PostgreSQL, and that it may do nothing more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "database/postgres_migrate.h"
#include "database/postgres_roles.h"
#include "shared/error.h"
#include "support/pg_fixture.h"

static struct pg_fixture fixture;
static struct pg_pool *pool;
static struct pg *owner;

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

/* ---- logins ---- */

struct login {
    char name[80];
    struct pg_pool *pool;
    struct pg *c;
};

/* A login of its own in these roles; roles belong to the server, which other tests share. */
static void login_open(struct login *l, const char *what, const char *roles)
{
    char sql[256], url[512];
    snprintf(l->name, sizeof l->name, "%s_%s", fixture.name, what);
    snprintf(sql, sizeof sql, "CREATE ROLE %s LOGIN IN ROLE %s", l->name, roles);
    ok(pg_script(owner, sql));
    pg_fixture_url_for(&fixture, l->name, "", url, sizeof url);
    ok(pg_pool_open(url, NULL, &l->pool));
    ok(pg_acquire(l->pool, 5000, NULL, &l->c));
}

static void login_close(struct login *l)
{
    char sql[256];
    pg_release(l->c);
    pg_pool_close(l->pool);
    snprintf(sql, sizeof sql, "DROP OWNED BY %s; DROP ROLE %s", l->name, l->name);
    ok(pg_script(owner, sql));
}

static void may(struct login *l, const char *const *statements)
{
    for (; *statements; statements++)
        if (pg_script(l->c, *statements))
            fail_msg("%s may not %s: %s", l->name, *statements, error_last()->message);
}

static void may_not(struct login *l, const char *const *statements)
{
    for (; *statements; statements++) {
        if (!pg_script(l->c, *statements))
            fail_msg("%s may %s", l->name, *statements);
        if (strcmp(pg_sqlstate(l->c), "42501") != 0)
            fail_msg("%s: %s: %s", l->name, *statements, error_last()->message);
        assert_string_equal(error_last()->reason, "database_access");
    }
}

/* ---- the roles at work ---- */

static const char *const everyone_may_not[] = {
    "CREATE TABLE aegis.mine (n int)",
    "CREATE FUNCTION aegis.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "TRUNCATE media",
    "DROP TABLE media",
    "ALTER TABLE media ADD n int",
    "ALTER SCHEMA aegis RENAME TO mine",
    "UPDATE schema_migration SET version = 0",
    "DELETE FROM schema_migration",
    "INSERT INTO schema_migration (version, lowest_program, duration_ms, name, checksum) VALUES "
    "(99, 1, 0, '', '')",
    "CREATE ROLE made_by_aegis_test",
    "CREATE EXTENSION hstore",
    "CREATE TRIGGER t BEFORE INSERT ON media FOR EACH ROW EXECUTE FUNCTION "
    "suppress_redundant_updates_trigger()",
    NULL,
};

static const char NEW_MEDIA[] =
    "INSERT INTO media (version_id, job_id, uploaded_ms, event_ms, bucket, key, collection) "
    "VALUES (1, 1, 1, 1, 'b', gen_random_uuid()::text, 'c')";
static const char NEW_VERSION[] = "INSERT INTO version (media_id, event_ms, size) VALUES (1, 1, 1)";
static const char NEW_JOB[] = "INSERT INTO job (media_id, version_id, queued_ms, wake_ms, trace) "
                              "VALUES (1, 1, 1, 1, '\\x00')";
static const char NEW_LIFE_EVENT[] = "INSERT INTO life_event (at_ms, type) VALUES (1, 2)";
static const char NEW_CALL[] =
    "INSERT INTO model_call (media_id, job_id, at_ms, input_tokens, cached_tokens, output_tokens, "
    "audio_ms, cost_nanousd, duration_ms, http_status, operation, collection, provider, model) "
    "VALUES (0, 0, 1, 1, 0, 0, 0, 5, 1, 200, 2, '', 'p', 'm')";
static const char ADD_USAGE[] =
    "INSERT INTO usage_day (day, slot, operation, collection, provider, model, calls) VALUES (1, "
    "0, 2, '', 'p', 'm', 1) ON CONFLICT (day, collection, provider, model, operation, slot) DO "
    "UPDATE SET calls = usage_day.calls + 1";

static void test_ingest(void **state)
{
    static const char *const must[] = {
        "SELECT * FROM schema_migration",
        NEW_MEDIA,
        NEW_VERSION,
        NEW_JOB,
        NEW_LIFE_EVENT,
        "SELECT * FROM media m LEFT JOIN version v ON v.version_id = m.version_id FOR UPDATE OF m",
        "UPDATE media SET removed = true, result_id = NULL",
        "UPDATE job SET state = 6",
        "UPDATE version SET etag = 'x'",
        "UPDATE result SET state = 2 WHERE result_id = 1",
        "INSERT INTO attempt (job_id, started_ms, ended_ms, ordinal, attempt, outcome) VALUES (1, "
        "1, 1, 1, 1, 5)",
        "INSERT INTO garbage (id, arg, kind) VALUES (1, 0, 1)",
        "UPDATE total SET jobs_queued = jobs_queued + 1 WHERE slot = 3",
        "SELECT reason FROM pipeline",
        NULL,
    };
    static const char *const must_not[] = {
        "SELECT * FROM chunk",
        "SELECT * FROM segment",
        "SELECT * FROM checkpoint",
        "SELECT * FROM model_call",
        "DELETE FROM media",
        "DELETE FROM job",
        "UPDATE attempt SET outcome = 1",
        "DELETE FROM life_event",
        "INSERT INTO checkpoint VALUES ('', 1, 1, 1, '')",
        "UPDATE pipeline SET reason = 'x'",
        "UPDATE embedding_space SET model = 'x'",
        "SELECT open_embedding_space(1)",
        NULL,
    };
    struct login l;
    (void)state;
    login_open(&l, "in", "aegis_ingest");
    ok(postgres_schema_check(l.c, migrations_postgres, migrations_postgres_count));
    may(&l, must);
    may_not(&l, must_not);
    may_not(&l, everyone_may_not);
    login_close(&l);
}

static void test_process(void **state)
{
    static const char *const must[] = {
        "SELECT * FROM schema_migration",
        NEW_MEDIA,
        NEW_VERSION,
        NEW_JOB,
        NEW_LIFE_EVENT,
        NEW_CALL,
        ADD_USAGE,
        "UPDATE job SET state = 1, lease_ms = 5",
        "UPDATE pipeline SET reason = 'paused'",
        "UPDATE pipeline SET reason = ''",
        "INSERT INTO checkpoint VALUES ('\\x01', 1, 1, 1, '\\x02')",
        "DELETE FROM checkpoint",
        "INSERT INTO result (state, content, settings, text_settings) VALUES (0, '', '', '')",
        "INSERT INTO chunk (result_id, start_ms, end_ms, byte_offset, ordinal, text, words) VALUES "
        "(1, -1, -1, 0, 0, 'x', to_tsvector('x'))",
        "DELETE FROM chunk",
        "DELETE FROM life_event",
        "DELETE FROM garbage",
        "INSERT INTO embedding_space (provider, model, revision, dimension) VALUES ('p', 'm', 'r', "
        "3)",
        "SELECT open_embedding_space(space_id) FROM embedding_space",
        "SELECT open_embedding_space(space_id) FROM embedding_space",
        "INSERT INTO embedding_1 (chunk_id, result_id, embedding) VALUES (1, 1, '[1,0,0]')",
        "SELECT * FROM embedding_1 ORDER BY embedding <=> '[1,0,0]'",
        "DELETE FROM embedding_1",
        "SELECT * FROM media_view",
        NULL,
    };
    static const char *const must_not[] = {
        "DROP TABLE embedding_1",
        "ALTER TABLE embedding_1 ADD n int",
        "CREATE INDEX ON embedding_1 (chunk_id)",
        NULL,
    };
    struct login l, reader;
    (void)state;
    login_open(&l, "process", "aegis_process");
    login_open(&reader, "reader", "aegis_read");
    may(&l, must);
    may_not(&l, must_not);
    may_not(&l, everyone_may_not);
    /* the table a worker made is the others' to read */
    may(&reader, (const char *const[]){"SELECT * FROM embedding_1", NULL});
    may_not(&reader, (const char *const[]){"DELETE FROM embedding_1", NULL});
    login_close(&reader);
    login_close(&l);
}

static void test_read(void **state)
{
    static const char *const must[] = {
        "SELECT * FROM schema_migration",
        "SELECT * FROM media_view",
        "SELECT * FROM job_history",
        "SELECT * FROM dead_letters",
        "SELECT * FROM daily_cost",
        "SELECT * FROM chunk",
        "SELECT * FROM segment",
        "SELECT * FROM life_event",
        "SELECT * FROM total",
        NEW_CALL,
        ADD_USAGE,
        ADD_USAGE,
        "UPDATE total SET cost_nanousd = cost_nanousd + 5, unpriced_calls = 1 WHERE slot = 2",
        NULL,
    };
    static const char *const must_not[] = {
        NEW_MEDIA,
        NEW_JOB,
        NEW_LIFE_EVENT,
        "UPDATE media SET removed = true",
        "UPDATE job SET state = 0",
        "UPDATE model_call SET cost_nanousd = 0",
        "DELETE FROM model_call",
        "UPDATE usage_day SET day = 2",
        "DELETE FROM usage_day",
        "UPDATE total SET media = 0",
        "UPDATE pipeline SET reason = 'x'",
        "SELECT open_embedding_space(1)",
        NULL,
    };
    struct login l;
    (void)state;
    login_open(&l, "read", "aegis_read");
    may(&l, must);
    may_not(&l, must_not);
    may_not(&l, everyone_may_not);
    login_close(&l);
}

/* A login without any of the roles sees nothing. */
static void test_stranger(void **state)
{
    static const char *const must_not[] = {
        "SELECT * FROM aegis.media",
        "SELECT * FROM aegis.media_view",
        "SELECT aegis.open_embedding_space(1)",
        NULL,
    };
    struct login l;
    char sql[160];
    (void)state;
    login_open(&l, "stranger", "aegis_read");
    snprintf(sql, sizeof sql, "REVOKE aegis_read FROM %s", l.name);
    ok(pg_script(owner, sql));
    may_not(&l, must_not);
    login_close(&l);
}

/* ---- rights as the catalog has them, on every table there is ---- */

/* "table:privileges" of what the role has beyond what the rule gives; "" if nothing. */
static void test_rules(void **state)
{
    static const char EXTRA[] =
        "SELECT coalesce(string_agg(c.relname || ':' || p.name, ', ' ORDER BY 1), '') FROM "
        "pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', "
        "'REFERENCES', 'TRIGGER']) AS p(name) WHERE c.relnamespace = 'aegis'::regnamespace AND "
        "c.relkind IN ('r', 'p') AND has_table_privilege($1::text, c.oid, p.name) <> (CASE "
        "WHEN c.relname = 'schema_migration' THEN p.name = 'SELECT' "
        "WHEN $1 = 'aegis_process' THEN p.name IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') "
        "WHEN $1 = 'aegis_read' THEN p.name = 'SELECT' OR p.name = 'INSERT' AND c.relname IN "
        "('model_call', 'usage_day') "
        "ELSE false END)";
    static const char *const roles[] = {"aegis_process", "aegis_read"};
    struct pg_rows rows;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ok(PG_QUERY(owner, &rows, EXTRA, P_TEXT(roles[i])));
        assert_string_equal(pg_peek(&rows, 0, 0), "");
        pg_rows_free(&rows);
    }
}

/* ---- making and migrating ---- */

static void test_read_roles(void **state)
{
    bool exists[4], member[4];
    struct login l;
    (void)state;
    login_open(&l, "some", "aegis_ingest, aegis_read");
    ok(postgres_roles_read(l.c, exists, member));
    for (int i = 0; i < 4; i++)
        assert_true(exists[i]);
    assert_false(member[0]);
    assert_true(member[1]);
    assert_false(member[2]);
    assert_true(member[3]);
    /* one that may not make roles, nor give the schema away, is told so */
    assert_int_equal(postgres_roles_make(l.c), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_access");
    login_close(&l);
}

/* A login of aegis_migrate migrates what another one made; workers of the older program go on. */
static void test_migrate_role(void **state)
{
    enum { OWN = 16 };
    struct migration next[OWN];
    size_t count = migrations_postgres_count;
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    struct login l, worker;
    char url[512];
    (void)state;
    assert_true(count < OWN);
    for (size_t i = 0; i < count; i++)
        next[i] = migrations_postgres[i];
    static const char sql[] = "-- lowest-program: 1\nCREATE TABLE later (n int);\n"
                              "COMMENT ON TABLE later IS 'x'; COMMENT ON COLUMN later.n IS 'x';";
    next[count] = (struct migration){
        .version = (int)count + 1, .name = "9999_later", .sql = sql, .length = sizeof sql - 1};
    login_open(&worker, "worker", "aegis_process");
    pg_fixture_url_for(&fixture, worker.name, "", url, sizeof url);
    assert_int_equal(postgres_migrate(url, next, count + 1, &options, &done), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_access");
    login_open(&l, "migrate", "aegis_migrate");
    pg_fixture_url_for(&fixture, l.name, "", url, sizeof url);
    ok(postgres_migrate(url, next, count + 1, &options, &done));
    assert_true(done.grants);
    may(&worker, (const char *const[]){"INSERT INTO later VALUES (1)", NULL});
    ok(postgres_schema_check(worker.c, migrations_postgres, count));
    int64_t n;
    ok(pg_number(owner, &n, 0,
                 "SELECT count(*) FROM pg_class WHERE relnamespace = 'aegis'::regnamespace AND "
                 "relowner <> 'aegis_migrate'::regrole AND relkind IN ('r', 'v', 'p', 'S')",
                 NULL, 0));
    assert_int_equal(n, 0);
    login_close(&l);
    login_close(&worker);
}

/* Roles first, schema after: the schema is aegis_migrate's from the start. */
static void test_roles_before_schema(void **state)
{
    struct pg_fixture empty;
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    struct pg_pool *p;
    struct pg *c;
    int64_t n;
    (void)state;
    pg_fixture_open_empty(&empty);
    ok(pg_pool_open(empty.url, NULL, &p));
    ok(pg_acquire(p, 5000, NULL, &c));
    ok(postgres_roles_make(c));
    ok(postgres_roles_make(c));
    ok(postgres_migrate(empty.url, migrations_postgres, migrations_postgres_count, &options,
                        &done));
    assert_true(done.grants);
    ok(pg_number(c, &n, 0,
                 "SELECT count(*) FROM pg_namespace WHERE nspname = 'aegis' AND nspowner = "
                 "'aegis_migrate'::regrole",
                 NULL, 0));
    assert_int_equal(n, 1);
    pg_release(c);
    pg_pool_close(p);
    pg_fixture_close(&empty);
}

static int set_up(void **state)
{
    (void)state;
    pg_fixture_open(&fixture);
    return pg_pool_open(fixture.url, NULL, &pool) || pg_acquire(pool, 10000, NULL, &owner) ||
           postgres_roles_make(owner);
}

static int tear_down(void **state)
{
    (void)state;
    pg_release(owner);
    pg_pool_close(pool);
    pg_fixture_close(&fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ingest),       TEST(test_process),
        TEST(test_read),         TEST(test_stranger),
        TEST(test_rules),        TEST(test_read_roles),
        TEST(test_migrate_role), TEST(test_roles_before_schema),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
