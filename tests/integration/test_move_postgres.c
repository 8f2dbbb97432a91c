/*
 * Export and import between SQLite and PostgreSQL: that every column of both schemas is carried or
 * derived, that random rows come through unchanged, what happens to jobs under way, stops, and a
 * target that somebody else changed. TEST_SEED repeats a run.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "database/migrations.h"
#include "database/move.h"
#include "database/move_internal.h"
#include "database/sqlite.h"
#include "database/sqlite_connection.h"
#include "database/sqlite_migrate.h"
#include "shared/file.h"
#include "support/database_place.h"
#include "support/pg_test.h"
#include "support/seed.h"

static struct place place;
static uint64_t seed, state_of_random;
static struct buffer random_rows;

static const char *in_place(const char *name)
{
    static char paths[8][600];
    static int at;
    char *path = paths[at++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", place.path, name);
    return path;
}

/* ---- random rows (support/move_rows.sql) ---- */

static uint64_t any(uint64_t below)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (state_of_random >> 20) % below;
}

static void sql_r(sqlite3_context *context, int count, sqlite3_value **values)
{
    int64_t below = count ? sqlite3_value_int64(values[0]) : 0;
    sqlite3_result_int64(context, (int64_t)any(below > 0 ? (uint64_t)below : 1u << 30));
}

static void sql_big(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    sqlite3_result_int64(context, any(4) ? (int64_t)any(1u << 30) : INT64_MAX - (int64_t)any(9));
}

static void sql_words(sqlite3_context *context, int count, sqlite3_value **values)
{
    static const char *const words[] = {
        "ice",         "Köln",       "",    "\n", "🍞", "'quoted'",
        "back\\slash", "{\"a\": 1}", "\\N", " ",  "Ω", "the glacier walks "};
    char text[1024] = "";
    (void)count;
    for (uint64_t n = any((uint64_t)sqlite3_value_int64(values[0]) + 1); n > 0; n--)
        strncat(text, words[any(12)], sizeof text - strlen(text) - 1);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

/* Any but infinities and what is no number, which pgvector refuses. */
static void sql_half(sqlite3_context *context, int count, sqlite3_value **values)
{
    static uint16_t halves[9 * 1536];
    int n = sqlite3_value_int(values[0]);
    (void)count;
    for (int i = 0; i < n; i++)
        halves[i] = (uint16_t)(any(0x7c00) | any(2) << 15);
    sqlite3_result_blob(context, halves, n * 2, SQLITE_TRANSIENT);
}

static void sql_bytes(sqlite3_context *context, int count, sqlite3_value **values)
{
    uint8_t bytes[4096];
    int n = sqlite3_value_int(values[0]);
    (void)count;
    for (int i = 0; i < n; i++)
        bytes[i] = (uint8_t)any(256);
    sqlite3_result_blob(context, bytes, n, SQLITE_TRANSIENT);
}

static void sql_key(sqlite3_context *context, int count, sqlite3_value **values)
{
    int64_t key;
    (void)count;
    memcpy(&key, sqlite3_value_blob(values[0]), sizeof key);
    sqlite3_result_int64(context, key);
}

static void run(const char *path, const char *sql)
{
    static const struct {
        const char *name;
        int arguments;
        void (*function)(sqlite3_context *, int, sqlite3_value **);
    } functions[] = {{"r", 1, sql_r},       {"big", 0, sql_big},     {"words", 1, sql_words},
                     {"half", 1, sql_half}, {"bytes", 1, sql_bytes}, {"key", 1, sql_key}};
    struct connection c;
    ok(connection_open(&c, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 1000));
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        sqlite3_create_function(c.db, functions[i].name, functions[i].arguments, SQLITE_UTF8, NULL,
                                functions[i].function, NULL, NULL);
    ok(sqlite_migrate(&c, migrations_sqlite, migrations_sqlite_count, 1));
    if (sqlite3_exec(c.db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(c.db));
    connection_close(&c);
}

static int64_t number_in(const char *path, const char *sql)
{
    struct connection c;
    int64_t n;
    ok(connection_open(&c, path, SQLITE_OPEN_READWRITE, 1000));
    ok(sql_number(&c, &n, -1, sql, NULL, 0));
    connection_close(&c);
    return n;
}

static int64_t number(const char *sql)
{
    struct pg *c = take();
    struct pg_rows rows;
    ok(pg_query_once(c, &rows, sql, NULL, 0));
    int64_t n = rows.count ? pg_int(&rows, 0, 0) : -1;
    pg_rows_free(&rows);
    pg_release(c);
    return n;
}

static void same(const struct move_report *a, const struct move_report *b)
{
    assert_int_equal(a->count, move_table_count);
    assert_int_equal(b->count, move_table_count);
    for (size_t i = 0; i < a->count; i++)
        if (a->tables[i].rows != b->tables[i].rows ||
            !digest_equal(&a->tables[i].digest, &b->tables[i].digest))
            fail_msg("table %s: %lld and %lld rows, or other ones", a->tables[i].table,
                     (long long)a->tables[i].rows, (long long)b->tables[i].rows);
}

static void make_source(const char *path)
{
    state_of_random = seed;
    run(path, buffer_string(&random_rows));
}

/* ---- every column ---- */

/* What is derived, or of this database alone: "table.column", "table.*". */
static const char *const sqlite_derived[] = {"ledger.*",
                                             "name.*",
                                             "facet.*",
                                             "schema_migrations.*",
                                             "embedding_space.chunks",
                                             "embedding_space.generation",
                                             "embedding_space.filled",
                                             "embedding_space.tail",
                                             "space_run.*",
                                             "job.content_key",
                                             "chunk_run.*",
                                             "media.facet_id",
                                             NULL};
static const char *const postgres_derived[] = {
    "total.*",     "space_total.*",  "schema_migration.*", "queue_*",       "job.content",
    "chunk.words", "usage_day.slot", "checkpoint.content", "chunk_fresh.*", /* read as chunk */
    NULL};

static bool derived(const char *const *list, const char *table, const char *column)
{
    char name[200];
    snprintf(name, sizeof name, "%s.%s", table, column);
    for (; *list; list++) {
        size_t n = strcspn(*list, "*");
        if ((*list)[n] ? !strncmp(*list, name, n) : !strcmp(*list, name))
            return true;
    }
    return false;
}

static bool is_column(const struct move_column *c, const char *column, bool sqlite)
{
    char id[100];
    snprintf(id, sizeof id, "%s_id", c->name);
    if (!sqlite)
        return !strcmp(c->name, column);
    return !strcmp(c->sqlite ? c->sqlite : c->name, column) ||
           (c->sqlite_key && !strcmp(c->sqlite_key, column)) ||
           (c->sqlite_key63 && !strcmp(c->sqlite_key63, column)) ||
           ((c->type == MOVE_NAME || c->type == MOVE_HEX) && !strcmp(id, column));
}

static bool carried(const char *table, const char *column, bool sqlite)
{
    for (size_t t = 0; t < move_table_count; t++)
        for (size_t i = 0; !strcmp(move_tables[t].name, table) && i < move_tables[t].count; i++)
            if (is_column(&move_tables[t].columns[i], column, sqlite))
                return true;
    return false;
}

static void test_every_column(void **state)
{
    struct connection c;
    sqlite3_stmt *s;
    struct pg_rows rows;
    int count = 0;
    (void)state;
    run(in_place("empty.db"), "");
    ok(connection_open(&c, in_place("empty.db"), SQLITE_OPEN_READWRITE, 1000));
    ok(sql_prepare(&c, &s,
                   "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c "
                   "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
                   NULL, 0));
    for (bool more; !sql_next(&c, s, &more) && more; count++)
        if (!carried(sql_peek(s, 0), sql_peek(s, 1), true) &&
            !derived(sqlite_derived, sql_peek(s, 0), sql_peek(s, 1)))
            fail_msg("SQLite's %s.%s is not carried", sql_peek(s, 0), sql_peek(s, 1));
    sql_drop(s);
    connection_close(&c);
    assert_true(count > 150);
    struct pg *pg = take();
    ok(pg_query(pg, &rows,
                "SELECT c.relname::text, a.attname::text FROM pg_attribute a JOIN pg_class c ON "
                "c.oid = a.attrelid WHERE c.relnamespace = 'aegis'::regnamespace AND c.relkind IN "
                "('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped",
                NULL, 0));
    assert_true(rows.count > 150);
    for (int i = 0; i < rows.count; i++)
        if (!carried(pg_peek(&rows, i, 0), pg_peek(&rows, i, 1), false) &&
            !derived(postgres_derived, pg_peek(&rows, i, 0), pg_peek(&rows, i, 1)))
            fail_msg("PostgreSQL's %s.%s is not carried", pg_peek(&rows, i, 0),
                     pg_peek(&rows, i, 1));
    pg_rows_free(&rows);
    pg_release(pg);
}

/* ---- random rows there and back ---- */

static void test_there_and_back(void **state)
{
    struct move_report a, b, c, d, e;
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &a));
    ok(move_import_postgres(in_place("1"), fixture.url, NULL, &b));
    same(&a, &b);
    ok(move_export_postgres(fixture.url, in_place("2"), NULL, &c));
    same(&a, &c);
    ok(move_import_sqlite(in_place("2"), in_place("home/aegis.db"), NULL, &d));
    same(&a, &d);
    ok(move_export_sqlite(in_place("home/aegis.db"), in_place("3"), NULL, &e));
    same(&a, &e);
    for (size_t i = 0; i < a.count; i++)
        assert_true(a.tables[i].rows > 0);
    assert_int_equal(number_in(in_place("home/aegis.db"),
                               "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%port%'"),
                     0);
}

/* The same in both, and what counting gives. */
static void test_totals(void **state)
{
    struct move_report report;
    char sql[200];
    static const struct {
        const char *column, *counted;
    } totals[] = {
        {"media", "SELECT count(*) FROM media WHERE removed = 0"},
        {"published", "SELECT count(*) FROM media WHERE result_id IS NOT NULL"},
        {"results", "SELECT count(*) FROM result WHERE state = 1"},
        {"chunks", "SELECT sum(chunk_count) FROM result WHERE state = 1"},
        {"segments", "SELECT sum(segment_count) FROM result WHERE state = 1"},
        {"cost_nanousd", "SELECT sum(cost_nanousd) FROM usage_day"},
        {"unpriced_calls", "SELECT sum(unpriced_calls) FROM usage_day"},
        {"jobs_succeeded", "SELECT count(*) FROM job WHERE state = 4"},
        {"jobs_dead", "SELECT count(*) FROM job WHERE state = 5"},
        {"jobs_cancelled", "SELECT count(*) FROM job WHERE state = 6"},
    };
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report));
    ok(move_import_postgres(in_place("1"), fixture.url, NULL, &report));
    ok(move_import_sqlite(in_place("1"), in_place("aegis.db"), NULL, &report));
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        int64_t counted = number_in(in_place("source.db"), totals[i].counted);
        snprintf(sql, sizeof sql, "SELECT %s FROM ledger", totals[i].column);
        int64_t kept = number_in(in_place("aegis.db"), sql);
        if (kept != counted)
            fail_msg("%s is %lld, not %lld", totals[i].column, (long long)kept, (long long)counted);
        snprintf(sql, sizeof sql, "SELECT sum(%s)::bigint FROM total", totals[i].column);
        assert_int_equal(number(sql), counted);
        assert_true(counted > 0);
    }
    const char *space = "SELECT coalesce(sum(chunk_count), 0) FROM result WHERE state = 1 AND "
                        "space_id = 2";
    int64_t chunks = number_in(in_place("source.db"), space);
    assert_int_equal(
        number_in(in_place("aegis.db"), "SELECT chunks FROM embedding_space WHERE space_id = 2"),
        chunks);
    assert_int_equal(
        number("SELECT coalesce(sum(chunks), 0)::bigint FROM space_total WHERE space_id = 2"),
        chunks);
    assert_int_equal(number("SELECT count(*) FROM pg_indexes WHERE indexname ~ "
                            "'^embedding_[278]_hnsw$'"),
                     3);
    assert_int_equal(number("SELECT nextval('media_media_id_seq')"), 90001);
    assert_int_equal(number("SELECT nextval('life_event_event_id_seq') - max(event_id) FROM "
                            "life_event"),
                     1);
}

/* What was brought over opens as a database and is not damaged. */
static void test_opens(void **state)
{
    struct move_report report;
    struct database db;
    struct totals totals;
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report));
    ok(move_import_sqlite(in_place("1"), in_place("home/aegis.db"), NULL, &report));
    ok(sqlite_database_open(&(struct sqlite_database_options){.directory = in_place("home")}, &db));
    ok(db.ops->totals(db.ctx, &totals));
    assert_true(totals.chunks > 0);
    ok(sqlite_database_check(&db));
    db.ops->close(db.ctx);
}

/* ---- what is special ---- */

static const char WHOLE[] =
    "UPDATE result SET text_settings = decode(repeat('ab', 32), 'hex'), summary_settings = "
    "decode(repeat('cd', 32), 'hex') WHERE result_id <= 30";

/* PostgreSQL has whole digests where SQLite has 8 bytes: from one to another they stay whole, and
 * what is known stays known. */
static void test_whole_digests(void **state)
{
    struct move_report a, b;
    struct pg_fixture other;
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &a));
    ok(move_import_postgres(in_place("1"), fixture.url, NULL, &a));
    assert_int_equal(number("SELECT count(*) FROM result WHERE length(text_settings) = 8"), 60);
    struct pg *c = take();
    ok(pg_query(c, NULL, WHOLE, NULL, 0));
    pg_release(c);
    ok(move_export_postgres(fixture.url, in_place("2"), NULL, &a));
    pg_fixture_open(&other);
    ok(move_import_postgres(in_place("2"), other.url, NULL, &b));
    same(&a, &b);
    pg_pool_close(pool);
    ok(pg_pool_open(other.url, NULL, &pool));
    assert_int_equal(number("SELECT count(*) FROM result WHERE text_settings = "
                            "decode(repeat('ab', 32), 'hex') AND summary_settings = "
                            "decode(repeat('cd', 32), 'hex')"),
                     30);
    assert_int_equal(number("SELECT count(*) FROM result WHERE length(text_settings) = 8"), 30);
    pg_pool_close(pool);
    pg_fixture_close(&other);
    ok(pg_pool_open(fixture.url, NULL, &pool));
}

/* Embeddings and chunks that are not in their index yet are in another table; where pgvector had no
 * halfvec when the space was opened, embeddings are of another type. */
static void test_other_embeddings(void **state)
{
    struct move_report a, b;
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &a));
    ok(move_import_postgres(in_place("1"), fixture.url, NULL, &a));
    pg_fixture_script(&fixture,
                      "SET search_path = aegis, public;"
                      "CREATE TABLE IF NOT EXISTS embedding_7_fresh (LIKE embedding_7);"
                      "WITH moved AS (DELETE FROM embedding_7 WHERE chunk_id % 3 = 0 RETURNING *) "
                      "INSERT INTO embedding_7_fresh SELECT * FROM moved;"
                      "WITH moved AS (DELETE FROM ONLY chunk WHERE chunk_id % 4 = 1 RETURNING *) "
                      "INSERT INTO chunk_fresh SELECT * FROM moved;"
                      "DROP INDEX embedding_2_hnsw;"
                      "ALTER TABLE embedding_2 ALTER COLUMN embedding TYPE vector(3)");
    ok(move_export_postgres(fixture.url, in_place("2"), NULL, &b));
    same(&a, &b);
}

static const char JOBS[] =
    "UPDATE ledger SET next_media = 2, next_job = 6;"
    "INSERT INTO media VALUES (1, 1, 1, 4, 7, NULL, 0, 1, 0, 1, 0, 0, '', 'k');"
    "INSERT INTO name VALUES (1, 'b'); INSERT INTO facet VALUES (1, 1, 0, 0);"
    "INSERT INTO job VALUES "
    "(1, 1, 1, 0, 0, 0, 3, 5, 0, 0, 0, 900, 0, NULL, x'01', '', '', '', ''),"
    "(2, 1, 1, 1, 2, 5, 3, 5, 6, 0, 0, 900, 900, 77, x'01', 'w', '', '', ''),"
    "(3, 1, 1, 2, 1, 1, 3, 5, 6, 0, 800, 800, 0, NULL, x'01', 'w', 'embed', 'timeout', 'm'),"
    "(4, 1, 1, 3, 3, 4, 3, 5, 6, 0, 0, 900, 900, 77, x'01', 'w', 'embed', 'quota', 'm'),"
    "(5, 1, 1, 5, 3, 4, 3, 5, 6, 7, 0, 7, 0, NULL, x'01', 'w', 'embed', 'broken', 'm')";

/* state, attempt, ordinal, due, wake and lease of each, as one number */
static const char JOB_SUM[] =
    "SELECT sum(job_id * (state + attempt * 10 + ordinal * 100 + due_ms * 1000 + wake_ms * "
    "1000000 + lease_ms * 1000000000)) FROM job";

static void test_jobs_under_way(void **state)
{
    struct move_report report;
    (void)state;
    run(in_place("source.db"), JOBS);
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report));
    ok(move_import_sqlite(in_place("1"), in_place("aegis.db"), NULL, &report));
    const char *path = in_place("aegis.db");
    /* queued; was running: its attempt does not count; retrying; was paused; dead */
    int64_t wanted = 0 + 2 * (0 + 10 + 500) + 3 * (2 + 10 + 100 + 800000 + 800000000LL) +
                     4 * (0 + 20 + 400) + 5 * (5 + 30 + 400);
    assert_int_equal(number_in(path, JOB_SUM), wanted);
    assert_int_equal(number_in(path, "SELECT count(*) FROM job WHERE content_key IS NOT NULL"), 0);
    assert_int_equal(
        number_in(path, "SELECT count(*) FROM job WHERE reason = 'quota' OR receive_count > 0"), 1);
    assert_int_equal(number_in(path, "SELECT jobs_queued * 100 + jobs_retrying * 10 + jobs_dead "
                                     "FROM ledger"),
                     311);
    ok(move_import_postgres(in_place("1"), fixture.url, NULL, &report));
    assert_int_equal(
        number("SELECT sum(jobs_queued * 100 + jobs_retrying * 10 + jobs_dead)::bigint "
               "FROM total"),
        311);
}

/* ---- stops ---- */

struct stop {
    struct cancel cancel;
    const char *table;
    enum move_phase phase;
    const char *script; /* instead of stopping: run on the fixture */
};

static void on_report(void *arg, enum move_phase phase, const char *table, int64_t rows, int64_t of)
{
    struct stop *s = arg;
    (void)of;
    if (phase != s->phase || strcmp(table, s->table) != 0 || (rows == 0 && phase == MOVE_COPY))
        return;
    if (s->script)
        pg_fixture_script(&fixture, s->script);
    else
        cancel_request(&s->cancel);
    s->table = "done";
}

/* Stopped once in each table in turn, whatever the target. */
static void stop_everywhere(int (*import)(const char *, const char *, const struct move_options *,
                                          struct move_report *),
                            const char *file, const char *target, const struct move_report *wanted)
{
    struct move_report report;
    int64_t resumed = -1;
    for (size_t i = 0; i < move_table_count; i++) {
        struct stop stop = {.table = move_tables[i].name, .phase = MOVE_COPY};
        struct move_options options = {.cancel = &stop.cancel, .report = on_report, .arg = &stop};
        assert_int_equal(import(file, target, &options, &report), ERR_CANCELLED);
        assert_true(report.resumed_rows > resumed);
        resumed = report.resumed_rows;
    }
    ok(import(file, target, NULL, &report));
    assert_true(report.resumed_rows > resumed);
    same(wanted, &report);
}

static void test_stopped(void **state)
{
    struct move_report exported, again;
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &exported));
    stop_everywhere(move_import_postgres, in_place("1"), fixture.url, &exported);
    ok(move_export_postgres(fixture.url, in_place("2"), NULL, &again));
    same(&exported, &again);
    stop_everywhere(move_import_sqlite, in_place("2"), in_place("home/aegis.db"), &exported);
    ok(move_export_sqlite(in_place("home/aegis.db"), in_place("3"), NULL, &again));
    same(&exported, &again);
}

static void test_export_stopped(void **state)
{
    struct stop stop = {.table = "result", .phase = MOVE_COPY};
    struct move_options options = {.cancel = &stop.cancel, .report = on_report, .arg = &stop};
    struct move_report report;
    (void)state;
    make_source(in_place("source.db"));
    assert_int_equal(move_export_sqlite(in_place("source.db"), in_place("1"), &options, &report),
                     ERR_CANCELLED);
    assert_int_not_equal(access(in_place("1"), F_OK), 0);
    assert_int_not_equal(access(in_place("1.part"), F_OK), 0);
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report));
    assert_int_equal(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report),
                     ERR_CONFLICT);
}

/* ---- somebody else writes into the target ---- */

static void test_target_changed(void **state)
{
    static const char *const scripts[] = {
        "UPDATE aegis.media SET removed = NOT removed WHERE media_id = 30",
        "DELETE FROM aegis.attempt WHERE job_id = 7",
        "INSERT INTO aegis.garbage (id, arg, kind) VALUES (1, 1, 1)",
        "UPDATE aegis.embedding_2 SET embedding = '[1,2,3]' WHERE chunk_id = 10",
        "SELECT nextval('aegis.chunk_chunk_id_seq'), nextval('aegis.chunk_chunk_id_seq')",
    };
    static const char *const tables[] = {"media", "attempt", "garbage", "chunk", "sequence"};
    struct move_report report;
    (void)state;
    make_source(in_place("source.db"));
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report));
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct stop change = {.table = "", .phase = MOVE_FINISH, .script = scripts[i]};
        struct move_options options = {.report = on_report, .arg = &change};
        struct pg_fixture old = fixture;
        pg_pool_close(pool);
        pg_fixture_open(&fixture);
        ok(pg_pool_open(fixture.url, NULL, &pool));
        pg_fixture_close(&old);
        assert_int_equal(move_import_postgres(in_place("1"), fixture.url, &options, &report),
                         ERR_SYSTEMIC);
        assert_string_equal(error_last()->reason, "export_differs");
        if (!strstr(error_last()->message, tables[i]))
            fail_msg("'%s' is not in: %s", tables[i], error_last()->message);
    }
}

static void test_refused(void **state)
{
    struct move_report report;
    (void)state;
    run(in_place("source.db"), JOBS);
    ok(move_export_sqlite(in_place("source.db"), in_place("1"), NULL, &report));
    make_source(in_place("other.db"));
    ok(move_export_sqlite(in_place("other.db"), in_place("2"), NULL, &report));
    struct stop stop = {.table = "media", .phase = MOVE_COPY};
    struct move_options options = {.cancel = &stop.cancel, .report = on_report, .arg = &stop};
    assert_int_equal(move_import_postgres(in_place("1"), fixture.url, &options, &report),
                     ERR_CANCELLED);
    fails(move_import_postgres(in_place("2"), fixture.url, NULL, &report), ERR_CONFLICT,
          "not_empty");
    ok(move_import_postgres(in_place("1"), fixture.url, NULL, &report));
    fails(move_import_postgres(in_place("1"), fixture.url, NULL, &report), ERR_CONFLICT,
          "not_empty");
    assert_int_equal(number("SELECT count(*) FROM media"), 1);
    run(in_place("1"), "UPDATE export_manifest SET rows = rows + 1 WHERE table_name = 'job'");
    assert_int_equal(move_import_sqlite(in_place("1"), in_place("aegis.db"), NULL, &report),
                     ERR_INVALID);
    assert_string_equal(error_last()->reason, "export_damaged");
    run(in_place("2"), "DELETE FROM export_manifest WHERE table_name = 'chunk'");
    assert_int_equal(move_import_sqlite(in_place("2"), in_place("aegis.db"), NULL, &report),
                     ERR_INVALID);
    assert_string_equal(error_last()->reason, "not_an_export");
    assert_int_not_equal(access(in_place("aegis.db.import"), F_OK), 0);
}

/* ---- set up ---- */

static int begin(void **state)
{
    place_make(&place);
    return set_up(state);
}

static int end(void **state)
{
    place_remove(&place);
    return tear_down(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_column),   TEST(test_there_and_back), TEST(test_totals),
        TEST(test_opens),          TEST(test_whole_digests),  TEST(test_other_embeddings),
        TEST(test_jobs_under_way), TEST(test_stopped),        TEST(test_export_stopped),
        TEST(test_target_changed), TEST(test_refused),
    };
    int status = pg_fixture_start();
    if (status)
        return status;
    seed = test_seed();
    buffer_init(&random_rows, MIB(1));
    if (file_read(TEST_SOURCE_DIR "/tests/support/move_rows.sql", &random_rows))
        return 1;
    status = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_free(&random_rows);
    return status;
}
