/* Migrations: applied once, in order, whole or not at all; a newer or changed schema is refused and
 * the file stays as it was. */
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/migrations.h"
#include "database/sqlite.h"
#include "database/sqlite_migrate.h"
#include "shared/digest.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/database_place.h"

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    place_make(p);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place_remove(*state);
    free(*state);
    return 0;
}

static void path_of(struct place *p, const char *name, char out[600])
{
    snprintf(out, 600, "%s/%s", p->path, name);
}

static int open_in(struct place *p, struct database *db)
{
    return sqlite_database_open(&(struct sqlite_database_options){.directory = p->path}, db);
}

static void make(struct place *p)
{
    struct database db;
    assert_int_equal(open_in(p, &db), 0);
    db.ops->close(db.ctx);
}

static void run_sql(struct place *p, const char *sql)
{
    char path[600];
    sqlite3 *db;
    path_of(p, "aegis.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static struct digest file_digest(const char *path)
{
    struct buffer b;
    buffer_init(&b, MIB(64));
    assert_int_equal(file_read(path, &b), 0);
    struct digest d = digest_of(b.data, b.length);
    buffer_free(&b);
    return d;
}

static void refused_untouched(struct place *p, const char *reason)
{
    struct database db;
    char path[600], wal[600];
    path_of(p, "aegis.db", path);
    path_of(p, "aegis.db-wal", wal);
    struct digest before = file_digest(path);
    assert_int_equal(open_in(p, &db), ERR_SCHEMA);
    assert_string_equal(error_last()->reason, reason);
    assert_non_null(strstr(error_last()->message, "aegis.db'"));
    struct digest after = file_digest(path);
    assert_true(digest_equal(&before, &after));
    assert_int_not_equal(access(wal, F_OK), 0);
}

static void newer_schema_is_refused_untouched(void **state)
{
    struct place *p = *state;
    make(p);
    run_sql(p, "INSERT INTO schema_migrations VALUES (9999, '9999_future', zeroblob(32), 0);"
               "CREATE TABLE future (x)");
    refused_untouched(p, "schema_newer");
}

static void changed_checksum_is_refused_untouched(void **state)
{
    struct place *p = *state;
    make(p);
    run_sql(p, "UPDATE schema_migrations SET checksum = zeroblob(32) WHERE version = 1");
    refused_untouched(p, "schema_checksum");
}

static void checksum_is_that_of_the_file(void **state)
{
    struct place *p = *state;
    char source[600], path[600];
    sqlite3 *db;
    sqlite3_stmt *s;
    make(p);
    snprintf(source, sizeof source, "%s/src/database/migrations/sqlite/%s.sql", TEST_SOURCE_DIR,
             migrations_sqlite[0].name);
    struct digest d = file_digest(source);
    path_of(p, "aegis.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_prepare_v2(db, "SELECT checksum FROM schema_migrations WHERE version = 1", -1, &s,
                       NULL);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_memory_equal(sqlite3_column_blob(s, 0), d.bytes, DIGEST_BYTES);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static struct migration step(int version, const char *sql)
{
    return (struct migration){
        .version = version, .name = "step", .sql = sql, .length = strlen(sql)};
}

static void later_steps_are_added_and_a_broken_one_leaves_nothing(void **state)
{
    struct place *p = *state;
    struct connection c;
    char path[600];
    int64_t n;
    const struct migration steps[] = {
        step(1, "CREATE TABLE a (x);"),
        step(2, "CREATE TABLE b (x); INSERT INTO b VALUES (7);"),
        step(3, "CREATE TABLE c (x); CREATE TABLE a (x);"),
    };
    path_of(p, "steps.db", path);
    assert_int_equal(connection_open(&c, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 1000),
                     0);
    assert_int_equal(sqlite_migrate(&c, steps, 1, 1), 0);
    assert_int_equal(sqlite_migrate(&c, steps, 1, 1), 0);
    assert_int_not_equal(sqlite_migrate(&c, steps, 3, 2), 0);
    assert_non_null(strstr(error_last()->message, "migration step"));
    assert_int_equal(sql_number(&c, &n, -1,
                                "SELECT count(*) FROM sqlite_schema WHERE name IN "
                                "('b', 'c')",
                                NULL, 0),
                     0);
    assert_int_equal(n, 0);
    assert_int_equal(sqlite_migrate(&c, steps, 2, 3), 0);
    assert_int_equal(sql_number(&c, &n, -1, "SELECT x FROM b", NULL, 0), 0);
    assert_int_equal(n, 7);
    assert_int_equal(sql_number(&c, &n, -1, "SELECT max(version) FROM schema_migrations", NULL, 0),
                     0);
    assert_int_equal(n, 2);
    assert_int_equal(sqlite_migrate(&c, steps, 1, 3), ERR_SCHEMA);
    connection_close(&c);
}

/* Of a database whose embedding model was being changed by an earlier program. */
static void the_fullest_space_serves_after_the_upgrade(void **state)
{
    struct place *p = *state;
    struct database db;
    struct connection c;
    struct serving_space serving;
    char path[600];
    path_of(p, "aegis.db", path);
    assert_int_equal(connection_open(&c, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 1000),
                     0);
    assert_int_equal(sqlite_migrate(&c, migrations_sqlite, 3, 1), 0);
    assert_int_equal(
        connection_exec(&c, "INSERT INTO embedding_space VALUES (1, 'offline', 'hash', '', 8, 3), "
                            "(2, 'openai', 'small', '', 16, 7), (3, 'openai', 'large', '', 16, 0);"
                            "UPDATE ledger SET chunks = 10, next_chunk = 11"),
        0);
    connection_close(&c);
    assert_int_equal(open_in(p, &db), 0);
    assert_int_equal(db.ops->space_serving(db.ctx, &serving), 0);
    assert_string_equal(serving.space.model, "small");
    assert_int_equal(serving.chunks, 7);
    assert_int_equal(serving.missing, 3);
    db.ops->close(db.ctx);
}

static void nothing_serves_after_the_upgrade_of_an_empty_one(void **state)
{
    struct place *p = *state;
    struct database db;
    struct serving_space serving;
    make(p);
    assert_int_equal(open_in(p, &db), 0);
    assert_int_equal(db.ops->space_serving(db.ctx, &serving), ERR_NOT_FOUND);
    db.ops->close(db.ctx);
}

static void damaged_file_is_systemic_and_says_what_to_do(void **state)
{
    struct place *p = *state;
    struct database db;
    char path[600], junk[8192];
    memset(junk, 'j', sizeof junk);
    path_of(p, "aegis.db", path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    assert_int_equal(open_in(p, &db), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_corrupt");
    assert_non_null(strstr(error_last()->message, "backup"));
}

static void damaged_page_is_found_by_the_check(void **state)
{
    struct place *p = *state;
    struct database db;
    char path[600], junk[600];
    make(p);
    memset(junk, 0x5a, sizeof junk);
    path_of(p, "aegis.db", path);
    int fd = open(path, O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = 4096 * 5; at < size; at += 4096)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    close(fd);
    int rc = open_in(p, &db);
    if (!rc) {
        rc = sqlite_database_check(&db);
        db.ops->close(db.ctx);
    }
    assert_int_equal(rc, ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_corrupt");
}

static void unusable_directory_is_told(void **state)
{
    struct place *p = *state;
    struct database db;
    char path[600];
    path_of(p, "file", path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    struct sqlite_database_options options = {.directory = path};
    assert_int_not_equal(sqlite_database_open(&options, &db), 0);
    assert_non_null(strstr(error_last()->message, "file"));
}

static void damaged_word_index_is_made_anew(void **state)
{
    struct place *p = *state;
    struct database db;
    char path[600], junk[4096];
    make(p);
    memset(junk, 'j', sizeof junk);
    path_of(p, "lexical.db", path);
    int fd = open(path, O_RDWR | O_TRUNC);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    assert_int_equal(open_in(p, &db), 0);
    assert_int_equal(sqlite_database_check(&db), 0);
    db.ops->close(db.ctx);
}

/* An index on "state IN (...)" makes two for each change. */
static void changing_a_job_makes_no_temporary_table(void **state)
{
    struct place *p = *state;
    struct connection c;
    sqlite3_stmt *step;
    char path[600];
    bool more;
    make(p);
    path_of(p, "aegis.db", path);
    assert_int_equal(connection_open(&c, path, SQLITE_OPEN_READWRITE, 1000), 0);
    assert_int_equal(sql_begin(&c, &step,
                               "EXPLAIN UPDATE job SET state = 1, wake_ms = 2 WHERE job_id = 3",
                               NULL, 0),
                     0);
    while (sql_next(&c, step, &more) == 0 && more)
        assert_string_not_equal((const char *)sqlite3_column_text(step, 1), "OpenEphemeral");
    sql_done(step);
    connection_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(newer_schema_is_refused_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_checksum_is_refused_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(checksum_is_that_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(later_steps_are_added_and_a_broken_one_leaves_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_fullest_space_serves_after_the_upgrade, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_serves_after_the_upgrade_of_an_empty_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_file_is_systemic_and_says_what_to_do, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_page_is_found_by_the_check, setup, teardown),
        cmocka_unit_test_setup_teardown(unusable_directory_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_word_index_is_made_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(changing_a_job_makes_no_temporary_table, setup, teardown),
    };
    return cmocka_run_group_tests_name("sqlite schema", tests, NULL, NULL);
}
