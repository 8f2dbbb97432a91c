/* The log in large pieces: what is committed is at once what others read, whatever is spilled,
 * rolled back, checkpointed or truncated in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/sqlite_connection.h"
#include "shared/error.h"
#include "support/seed.h"

enum { ROUNDS = 400, ROWS_MOST = 120, BYTES_MOST = 9000, BUSY_MS = 5000 };

static char directory[] = "/tmp/aegis-wal-XXXXXX";
static char path[64];

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

static int64_t sum(struct connection *c)
{
    int64_t n;
    ok(sql_number(c, &n, 0, "SELECT coalesce(sum(number * length(bytes)), 0) FROM t", NULL, 0));
    return n;
}

static void open_both(struct connection *writer, struct connection *reader)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    ok(connection_open_writer(writer, path, flags, BUSY_MS));
    ok(connection_use_wal(writer));
    ok(connection_exec(writer, "PRAGMA cache_size=20; PRAGMA journal_size_limit=100000;"
                               "CREATE TABLE IF NOT EXISTS t (number INTEGER, bytes BLOB)"));
    ok(connection_open(reader, path, SQLITE_OPEN_READWRITE, BUSY_MS));
}

/* Returns what it adds to the sum: small and large transactions, these beyond cache and piece. */
static int64_t insert_rows(struct connection *c)
{
    static char bytes[BYTES_MOST];
    int64_t added = 0;
    for (int rows = rand() % 8 ? rand() % 4 + 1 : rand() % ROWS_MOST; rows > 0; rows--) {
        int64_t number = rand() % 1000, length = rand() % BYTES_MOST;
        ok(SQL_RUN(c, "INSERT INTO t VALUES (?1, ?2)", V_INT(number), V_BLOB(bytes, length)));
        added += number * length;
    }
    return added;
}

static void test_others_see_what_is_committed(void **state)
{
    struct connection writer, reader;
    int64_t expected = 0;
    (void)state;
    open_both(&writer, &reader);
    for (int round = 0; round < ROUNDS; round++) {
        ok(connection_exec(&writer, "BEGIN IMMEDIATE"));
        int64_t added = insert_rows(&writer);
        assert_int_equal(sum(&writer), expected + added);
        assert_int_equal(sum(&reader), expected);
        bool keep = rand() % 4;
        ok(connection_exec(&writer, keep ? "COMMIT" : "ROLLBACK"));
        expected += keep ? added : 0;
        assert_int_equal(sum(&reader), expected);
        if (rand() % 10 == 0)
            ok(connection_exec(rand() % 2 ? &writer : &reader,
                               rand() % 2 ? "PRAGMA wal_checkpoint(PASSIVE)"
                                          : "PRAGMA wal_checkpoint(TRUNCATE)"));
        if (rand() % 40 == 0) {
            connection_close(&writer);
            connection_close(&reader);
            open_both(&writer, &reader);
        }
    }
    int64_t damaged;
    ok(sql_number(&reader, &damaged, 1,
                  "SELECT count(*) FROM pragma_integrity_check WHERE "
                  "integrity_check <> 'ok'",
                  NULL, 0));
    assert_int_equal(damaged, 0);
    connection_close(&writer);
    connection_close(&reader);
}

/* What others write through the default VFS is read, and written on. */
static void test_two_writers(void **state)
{
    struct connection writer, other;
    (void)state;
    open_both(&writer, &other);
    int64_t expected = sum(&writer);
    for (int round = 0; round < ROUNDS; round++) {
        struct connection *c = rand() % 2 ? &writer : &other;
        ok(connection_exec(c, "BEGIN IMMEDIATE"));
        expected += insert_rows(c);
        ok(connection_exec(c, "COMMIT"));
        assert_int_equal(sum(c == &writer ? &other : &writer), expected);
    }
    connection_close(&writer);
    connection_close(&other);
}

int main(void)
{
    srand(test_seed());
    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof path, "%s/a.db", directory);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_see_what_is_committed),
        cmocka_unit_test(test_two_writers),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(directory);
    return status;
}
