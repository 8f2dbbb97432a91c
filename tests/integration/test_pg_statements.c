/* pg.h against a real server: statements, pipelines, transactions, error classes. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "support/pg_test.h"

/* ---- statements and pipelines ---- */

static void make_table(struct pg *c)
{
    ok(pg_script(c, "DROP TABLE IF EXISTS t; CREATE TABLE t (n bigint PRIMARY KEY, s text)"));
}

static int64_t count_rows(struct pg *c)
{
    int64_t n;
    ok(pg_number(c, &n, -1, "SELECT count(*) FROM t", NULL, 0));
    return n;
}

static const char INSERT[] = "INSERT INTO t VALUES ($1, $2)";

static void test_prepared_once(void **state)
{
    static const char sql[] = "SELECT $1::int8 + 1";
    struct pg *c = take();
    int64_t n;
    (void)state;
    for (int i = 0; i < 5; i++) {
        ok(PG_NUMBER(c, &n, 0, sql, P_INT(i)));
        assert_int_equal(n, i + 1);
    }
    ok(pg_number(c, &n, 0,
                 "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1::int8 + "
                 "1'",
                 NULL, 0));
    assert_int_equal(n, 1);
    /* other types under the same address: run, but not as what was prepared */
    ok(PG_NUMBER(c, &n, 0, sql, P_NULL(PG_TEXT)));
    assert_int_equal(n, 0);
    /* a statement that cannot be prepared leaves no trace, and others go on */
    static const char wrong[] = "SELECT nothing_of_the_kind";
    fails(pg_query(c, NULL, wrong, NULL, 0), ERR_SYSTEMIC, "database_schema");
    fails(pg_query(c, NULL, wrong, NULL, 0), ERR_SYSTEMIC, "database_schema");
    assert_string_equal(pg_sqlstate(c), "42703");
    ok(PG_NUMBER(c, &n, 0, sql, P_INT(41)));
    assert_int_equal(n, 42);
    assert_string_equal(pg_sqlstate(c), "");
    pg_release(c);
}

/* More statements than a connection keeps prepared. */
static void test_many_statements(void **state)
{
    enum { MANY = 400, WIDTH = 32 };
    char *texts = calloc(MANY, WIDTH);
    struct pg *c = take();
    int64_t n;
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            snprintf(texts + i * WIDTH, WIDTH, "SELECT %d::int8", i);
            ok(pg_number(c, &n, -1, texts + i * WIDTH, NULL, 0));
            assert_int_equal(n, i);
        }
    /* the connection must not be found again with addresses that are freed now */
    ok(pg_script(c, "SELECT pg_terminate_backend(pg_backend_pid())") == ERR_SYSTEMIC ? OK : -1);
    pg_release(c);
    free(texts);
}

static void test_pipeline(void **state)
{
    struct pg *c = take();
    struct pg_rows rows[3];
    (void)state;
    make_table(c);
    PG_SEND(c, INSERT, P_INT(1), P_TEXT("one"));
    PG_SEND(c, INSERT, P_INT(2), P_TEXT("two"));
    PG_SEND(c, "SELECT s FROM t WHERE n = $1", P_INT(2));
    assert_int_equal(pg_queued(c), 3);
    ok(pg_sync(c, rows, 3));
    assert_int_equal(pg_queued(c), 0);
    assert_int_equal(rows[0].affected, 1);
    assert_string_equal(pg_peek(&rows[2], 0, 0), "two");
    pg_rows_free_all(rows, 3);
    /* rows of the first only; those of pg_query behind others */
    struct pg_rows first;
    PG_SEND(c, INSERT, P_INT(3), P_TEXT("three"));
    PG_SEND(c, INSERT, P_INT(4), P_TEXT("four"));
    ok(pg_sync(c, &first, 1));
    assert_int_equal(first.affected, 1);
    pg_rows_free(&first);
    PG_SEND(c, INSERT, P_INT(5), P_TEXT("five"));
    ok(pg_query(c, &first, "SELECT count(*) FROM t", NULL, 0));
    assert_int_equal(pg_int(&first, 0, 0), 5);
    pg_rows_free(&first);
    ok(pg_sync(c, NULL, 0)); /* nothing */
    pg_release(c);
}

/* The statements of one sync are one transaction, and the first error is what is told. */
static void test_pipeline_error(void **state)
{
    struct pg *c = take();
    struct pg_rows rows[4];
    (void)state;
    make_table(c);
    PG_SEND(c, INSERT, P_INT(1), P_TEXT("one"));
    PG_SEND(c, INSERT, P_INT(2), P_TEXT("two"));
    PG_SEND(c, INSERT, P_INT(1), P_TEXT("again"));
    PG_SEND(c, "SELECT never_prepared FROM t WHERE n = $1", P_INT(1));
    fails(pg_sync(c, rows, 4), ERR_CONFLICT, "database_constraint");
    assert_int_equal(pg_failed(c), 2);
    assert_string_equal(pg_sqlstate(c), "23505");
    for (int i = 0; i < 4; i++)
        assert_null(rows[i].result);
    assert_int_equal(count_rows(c), 0);
    /* what was prepared only after the error is prepared when it is next used */
    PG_SEND(c, INSERT, P_INT(7), P_TEXT("seven"));
    pg_send(c, "SELECT 1 FROM no_such_table", NULL, 0);
    PG_SEND(c, INSERT, P_INT(8), P_TEXT("eight"));
    fails(pg_sync(c, NULL, 0), ERR_SYSTEMIC, "database_schema");
    assert_int_equal(pg_failed(c), 1);
    assert_int_equal(count_rows(c), 0);
    ok(PG_RUN(c, INSERT, P_INT(9), P_TEXT("nine")));
    assert_int_equal(count_rows(c), 1);
    pg_release(c);
}

/* Megabytes both ways at once: neither side may wait for the other to read. */
static void test_large_pipeline(void **state)
{
    enum { N = 60, SIZE = 300000 };
    char *text = malloc(SIZE + 1);
    struct pg_rows rows[N];
    struct pg *c = take();
    (void)state;
    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    for (int i = 0; i < N; i++)
        PG_SEND(c, "SELECT $1 || $1", P_TEXT(text));
    ok(pg_sync(c, rows, N));
    for (int i = 0; i < N; i++)
        assert_int_equal(pg_length(&rows[i], 0, 0), 2 * SIZE);
    pg_rows_free_all(rows, N);
    free(text);
    pg_release(c);
}

/* A pg_send that fails before anything is sent: nothing of its pipeline counts. */
static void test_send_error(void **state)
{
    static const float v[20000];
    struct pg *c = take(), *other = take();
    (void)state;
    make_table(c);
    PG_SEND(c, INSERT, P_INT(1), P_TEXT("one"));
    assert_int_equal(PG_SEND(c, "SELECT $1", P_VECTOR(v, 20000)), ERR_TOO_LARGE);
    PG_SEND(c, INSERT, P_INT(2), P_TEXT("two"));
    assert_int_equal(pg_sync(c, NULL, 0), ERR_TOO_LARGE);
    assert_int_equal(pg_failed(c), 1);
    pg_release(c);
    assert_int_equal(count_rows(other), 0);
    /* within a transaction it is rolled back, and the connection stays */
    ok(pg_begin(other, PG_READ_WRITE));
    PG_SEND(other, INSERT, P_INT(1), P_TEXT("one"));
    PG_SEND(other, "SELECT $1", P_VECTOR(v, 20000));
    assert_int_equal(pg_commit_sync(other, NULL, 0), ERR_TOO_LARGE);
    assert_false(pg_in_transaction(other));
    assert_int_equal(count_rows(other), 0);
    pg_release(other);
}

static void test_script(void **state)
{
    struct pg *c = take();
    (void)state;
    fails(pg_script(c, "SELECT 1;\nCREATE TABLE made (n int);\nSELECT '\xc3\xbc', nonsense;\n"),
          ERR_SYSTEMIC, "database_schema");
    assert_non_null(strstr(error_last()->message, "line 3: "));
    int64_t there;
    ok(pg_number(c, &there, 0, "SELECT 1 FROM pg_class WHERE relname = 'made'", NULL, 0));
    assert_int_equal(there, 0);
    ok(pg_script(c, ""));
    ok(pg_script(c, "SELECT 1; SELECT 2; SET LOCAL work_mem = '8MB'"));
    pg_release(c);
}

/* ---- transactions ---- */

static void test_transaction(void **state)
{
    struct pg *c = take();
    struct pg_rows rows[2];
    (void)state;
    make_table(c);
    ok(pg_begin(c, PG_READ_WRITE)); /* nothing said: nothing happens */
    ok(pg_commit(c));
    ok(pg_begin(c, PG_READ_WRITE));
    assert_int_equal(pg_begin(c, PG_READ_WRITE), ERR_SYSTEMIC);
    ok(PG_RUN(c, INSERT, P_INT(1), P_TEXT("one")));
    pg_rollback(c);
    assert_int_equal(count_rows(c), 0);
    ok(pg_begin(c, PG_NOT_DURABLE));
    PG_SEND(c, INSERT, P_INT(1), P_TEXT("one"));
    pg_send(c, "SELECT current_setting('synchronous_commit')", NULL, 0);
    ok(pg_commit_sync(c, rows, 2));
    assert_string_equal(pg_peek(&rows[1], 0, 0), "off");
    pg_rows_free_all(rows, 2);
    assert_false(pg_in_transaction(c));
    assert_int_equal(count_rows(c), 1);
    ok(pg_begin(c, PG_SNAPSHOT));
    assert_int_equal(count_rows(c), 1);
    fails(PG_RUN(c, INSERT, P_INT(2), P_TEXT("two")), ERR_SYSTEMIC, "database_read_only");
    pg_rollback(c);
    pg_release(c);
    /* a failed statement, overlooked: COMMIT tells */
    c = take();
    ok(pg_begin(c, PG_READ_WRITE));
    PG_RUN(c, INSERT, P_INT(1), P_TEXT("again"));
    assert_int_equal(pg_commit(c), ERR_TRANSIENT);
    /* queued statements of a transaction given back are undone */
    ok(pg_begin(c, PG_READ_WRITE));
    PG_SEND(c, INSERT, P_INT(3), P_TEXT("three"));
    pg_release(c);
    c = take();
    assert_int_equal(count_rows(c), 1);
    /* those outside of one too */
    PG_SEND(c, INSERT, P_INT(4), P_TEXT("four"));
    pg_release(c);
    c = take();
    assert_int_equal(count_rows(c), 1);
    pg_release(c);
}

struct crossing {
    pthread_barrier_t *barrier;
    int64_t first, second;
    int tries, rc;
};

/* Two of these lock two rows in opposite order. */
static int cross(struct pg *c, void *arg)
{
    static const char ADD[] = "UPDATE t SET s = s || 'x' WHERE n = $1";
    struct crossing *x = arg;
    int rc = PG_RUN(c, ADD, P_INT(x->first));
    if (!rc && x->tries++ == 0)
        pthread_barrier_wait(x->barrier);
    return rc ? rc : PG_RUN(c, ADD, P_INT(x->second));
}

static void *run_crossing(void *arg)
{
    struct crossing *x = arg;
    x->rc = pg_transaction(pool, PG_READ_WRITE, 10000, NULL, cross, x);
    return NULL;
}

static void test_deadlock_is_run_again(void **state)
{
    pthread_barrier_t barrier;
    struct crossing x[2] = {{&barrier, 1, 2, 0, 0}, {&barrier, 2, 1, 0, 0}};
    pthread_t threads[2];
    struct pg *c = take();
    (void)state;
    make_table(c);
    ok(PG_RUN(c, INSERT, P_INT(1), P_TEXT("")));
    ok(PG_RUN(c, INSERT, P_INT(2), P_TEXT("")));
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run_crossing, &x[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(x[0].rc, OK);
    assert_int_equal(x[1].rc, OK);
    /* One gives way at least; it may take the row again before the one it gave way to wakes up. */
    assert_true(x[0].tries + x[1].tries >= 3);
    int64_t both;
    ok(pg_number(c, &both, 0, "SELECT count(*) FROM t WHERE s = 'xx'", NULL, 0));
    assert_int_equal(both, 2);
    pthread_barrier_destroy(&barrier);
    pg_release(c);
}

static int always_conflicts(struct pg *c, void *arg)
{
    ++*(int *)arg;
    return pg_script(c, "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$");
}

static int refuses_itself(struct pg *c, void *arg)
{
    ++*(int *)arg;
    int rc = PG_RUN(c, INSERT, P_INT(100), P_TEXT("undone"));
    return rc ? rc : error_set(ERR_CONFLICT, "mine", "not today");
}

static void test_transaction_bodies(void **state)
{
    int tries = 0;
    struct pg *c = take();
    (void)state;
    make_table(c);
    fails(pg_transaction_on(c, PG_READ_WRITE, always_conflicts, &tries), ERR_TRANSIENT,
          "database_conflict");
    assert_int_equal(tries, 10);
    tries = 0;
    assert_int_equal(pg_transaction_on(c, PG_READ_WRITE, refuses_itself, &tries), ERR_CONFLICT);
    assert_string_equal(error_last()->reason, "mine");
    assert_int_equal(tries, 1);
    assert_int_equal(count_rows(c), 0);
    pg_release(c);
}

/* ---- error classes ---- */

static void raises(struct pg *c, const char *state, int code, const char *reason)
{
    char sql[160];
    snprintf(sql, sizeof sql, "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '%s'; END $$",
             state);
    fails(pg_script(c, sql), code, reason);
    assert_string_equal(pg_sqlstate(c), state);
    assert_non_null(strstr(error_last()->message, state));
}

static void test_error_classes(void **state)
{
    static const struct {
        const char *sqlstate;
        int code;
        const char *reason;
    } table[] = {
        {"08006", ERR_SYSTEMIC, "database_unreachable"},
        {"57P01", ERR_SYSTEMIC, "database_unreachable"},
        {"57P03", ERR_SYSTEMIC, "database_unreachable"},
        {"25006", ERR_SYSTEMIC, "database_read_only"},
        {"53100", ERR_SYSTEMIC, "database_full"},
        {"53300", ERR_SYSTEMIC, "database_no_connections"},
        {"53200", ERR_SYSTEMIC, "database_out_of_resources"},
        {"28P01", ERR_SYSTEMIC, "database_access"},
        {"3D000", ERR_SYSTEMIC, "database_access"},
        {"42501", ERR_SYSTEMIC, "database_access"},
        {"42P01", ERR_SYSTEMIC, "database_schema"},
        {"58030", ERR_SYSTEMIC, "database_io"},
        {"XX001", ERR_SYSTEMIC, "database_corrupt"},
        {"XX000", ERR_SYSTEMIC, "database_error"},
        {"0A000", ERR_SYSTEMIC, "database_error"},
        {"40001", ERR_TRANSIENT, "database_conflict"},
        {"40P01", ERR_TRANSIENT, "database_conflict"},
        {"55P03", ERR_TRANSIENT, "database_lock_timeout"},
        {"57014", ERR_TRANSIENT, "database_timeout"},
        {"23505", ERR_CONFLICT, "database_constraint"},
        {"22021", ERR_INVALID, "database_value"},
        {"54000", ERR_TOO_LARGE, "database_limit"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct pg *c = take();
        raises(c, table[i].sqlstate, table[i].code, table[i].reason);
        assert_int_equal(pg_worth_again(),
                         table[i].sqlstate[0] == '4' && table[i].sqlstate[1] == '0');
        pg_release(c);
    }
}

static void test_bad_texts(void **state)
{
    struct pg *c = take();
    (void)state;
    fails(PG_RUN(c, "SELECT $1", P_TEXTN("a\0b", 3)), ERR_INVALID, "database_value");
    fails(PG_RUN(c, "SELECT $1", P_TEXT("\xff\xfe")), ERR_INVALID, "database_value");
    fails(PG_RUN(c, "SELECT $1::int4", P_INT(INT64_MAX)), ERR_INVALID, "database_value");
    pg_release(c);
}

static struct pg_pool *impatient(void)
{
    struct pg_pool *p;
    ok(pg_pool_open(fixture.url,
                    &(struct pg_settings){.statement_timeout_ms = 200,
                                          .lock_timeout_ms = 50,
                                          .transaction_timeout_ms = 100},
                    &p));
    return p;
}

static void test_timeouts(void **state)
{
    struct pg_pool *p = impatient();
    struct pg *c, *holder = take();
    (void)state;
    make_table(holder);
    ok(pg_acquire(p, 5000, NULL, &c));
    fails(pg_query(c, NULL, "SELECT pg_sleep(60)", NULL, 0), ERR_TRANSIENT, "database_timeout");
    ok(pg_begin(holder, PG_READ_WRITE));
    ok(pg_query(holder, NULL, "LOCK TABLE t", NULL, 0));
    fails(pg_query(c, NULL, "SELECT * FROM t", NULL, 0), ERR_TRANSIENT, "database_lock_timeout");
    pg_rollback(holder);
    /* idle in a transaction: the server ends the session, which is told as a timeout */
    ok(pg_begin(c, PG_READ_WRITE));
    ok(pg_query(c, NULL, "SELECT 1", NULL, 0));
    int64_t pid = pg_server(c)->pid, there = 1;
    for (int64_t end = clock_monotonic_ms() + 10000; there && clock_monotonic_ms() < end;)
        ok(PG_NUMBER(holder, &there, 0, "SELECT 1 FROM pg_stat_activity WHERE pid = $1",
                     P_INT(pid)));
    assert_int_equal(there, 0);
    int rc = pg_query(c, NULL, "SELECT 1", NULL, 0);
    assert_true(rc == ERR_TRANSIENT || rc == ERR_SYSTEMIC);
    pg_release(c);
    ok(pg_acquire(p, 5000, NULL, &c));
    assert_int_not_equal(pg_server(c)->pid, pid);
    pg_release(c);
    pg_release(holder);
    pg_pool_close(p);
}

/* A schema changed under prepared statements, as by a migration while workers run. */
static void test_changed_plan(void **state)
{
    static const char sql[] = "SELECT * FROM t";
    struct pg *c = take(), *other = take();
    (void)state;
    make_table(c);
    ok(pg_query(c, NULL, sql, NULL, 0));
    ok(pg_script(other, "ALTER TABLE t ADD COLUMN more int"));
    fails(pg_query(c, NULL, sql, NULL, 0), ERR_TRANSIENT, "database_plan_changed");
    pg_release(c);
    c = take();
    ok(pg_query(c, NULL, sql, NULL, 0));
    pg_release(c);
    pg_release(other);
}

/* ---- notifications ---- */

static void *notify_later(void *arg)
{
    struct pg *c = arg;
    return pg_script(c, "NOTIFY word; NOTIFY word, 'two'") ? c : NULL;
}

static void test_notify(void **state)
{
    struct pg *listener = take(), *c = take();
    struct cancel cancel = {0};
    pthread_t thread;
    void *failed;
    int came, wake[2];
    (void)state;
    ok(pg_script(listener, "LISTEN word"));
    ok(pg_wait_notify(listener, 0, -1, NULL, &came));
    assert_int_equal(came, 0);
    pthread_create(&thread, NULL, notify_later, c);
    ok(pg_wait_notify(listener, 10000, -1, NULL, &came));
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_true(came >= 1);
    assert_int_equal(pipe(wake), 0);
    assert_int_equal(write(wake[1], "x", 1), 1);
    while (came) /* the second may come apart */
        ok(pg_wait_notify(listener, 50, -1, NULL, &came));
    int64_t start = clock_monotonic_ms();
    ok(pg_wait_notify(listener, 10000, wake[0], NULL, &came));
    assert_int_equal(came, 0);
    assert_true(clock_monotonic_ms() - start < 5000);
    cancel_request(&cancel);
    assert_int_equal(pg_wait_notify(listener, 10000, -1, &cancel, &came), ERR_CANCELLED);
    /* statements still work on it, and what arrives with them is not lost */
    ok(pg_script(c, "NOTIFY word"));
    ok(pg_query(listener, NULL, "SELECT 1", NULL, 0));
    ok(pg_wait_notify(listener, 5000, -1, NULL, &came));
    assert_int_equal(came, 1);
    ok(PG_RUN(c, "SELECT pg_terminate_backend($1::int)", P_INT(pg_server(listener)->pid)));
    fails(pg_wait_notify(listener, 10000, -1, NULL, &came), ERR_SYSTEMIC, "database_unreachable");
    close(wake[0]);
    close(wake[1]);
    pg_release(listener);
    pg_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepared_once),
        cmocka_unit_test(test_many_statements),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_pipeline_error),
        cmocka_unit_test(test_large_pipeline),
        cmocka_unit_test(test_send_error),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_transaction),
        cmocka_unit_test(test_deadlock_is_run_again),
        cmocka_unit_test(test_transaction_bodies),
        cmocka_unit_test(test_error_classes),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_changed_plan),
        cmocka_unit_test(test_notify),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
