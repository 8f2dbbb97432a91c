/* pg.h's pool against real servers that go away, refuse, and say nothing. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/error.h"
#include "shared/pg.h"
#include "shared/random.h"
#include "support/pg_fixture.h"
#include "support/tcp_proxy.h"

static struct pg_fixture fixture;

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

static void fails(int rc, int code, const char *reason)
{
    assert_int_equal(rc, code);
    assert_string_equal(error_last()->reason, reason);
    assert_null(strchr(error_last()->message, '\n'));
    assert_null(strstr(error_last()->message, "hunter2"));
}

static struct pg_pool *open_pool(const char *url, struct pg_settings settings)
{
    struct pg_pool *pool;
    ok(pg_pool_open(url, &settings, &pool));
    return pool;
}

static int64_t number(struct pg *c, const char *sql)
{
    int64_t n = -1;
    ok(pg_number(c, &n, -1, sql, NULL, 0));
    return n;
}

static int port_of(const char *url)
{
    const char *colon = strrchr(url, ':');
    return atoi(colon + 1);
}

/* ---- the session ---- */

static void test_session(void **state)
{
    struct pg_pool *pool = open_pool(
        fixture.url, (struct pg_settings){.statement_timeout_ms = 7000, .lock_timeout_ms = -1});
    struct pg_rows rows;
    struct pg *c;
    (void)state;
    ok(pg_acquire(pool, 5000, NULL, &c));
    ok(pg_query(c, &rows,
                "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
                "current_setting('idle_in_transaction_session_timeout'), "
                "current_setting('application_name'), current_setting('search_path'), "
                "current_setting('client_encoding')",
                NULL, 0));
    assert_string_equal(pg_peek(&rows, 0, 0), "7s");
    assert_string_equal(pg_peek(&rows, 0, 1), "0");
    assert_string_equal(pg_peek(&rows, 0, 2), "1min");
    assert_string_equal(pg_peek(&rows, 0, 3), "aegis");
    assert_string_equal(pg_peek(&rows, 0, 4), "aegis, public, pg_temp");
    assert_string_equal(pg_peek(&rows, 0, 5), "UTF8");
    pg_rows_free(&rows);
    assert_int_equal(pg_server(c)->pid, number(c, "SELECT pg_backend_pid()"));
    assert_true(pg_server(c)->version >= 130000);
    assert_false(pg_server(c)->in_recovery);
    pg_release(c);
    pg_pool_close(pool);
}

/* ---- connections that die ---- */

/* Ends it and waits until it is gone (PostgreSQL 14 and later could do both in one call). */
static void end_backend(struct pg *by, int64_t pid)
{
    int64_t left = 1;
    ok(PG_RUN(by, "SELECT pg_terminate_backend($1::int)", P_INT(pid)));
    for (int i = 0; left && i < 2500; i++) {
        ok(PG_NUMBER(by, &left, 0, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1",
                     P_INT(pid)));
        if (left)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    assert_int_equal(left, 0);
}

/* A backend that was ended while its connection idled is not handed out. */
static void test_idle_connection_dies(void **state)
{
    struct pg_pool *pool = open_pool(fixture.url, (struct pg_settings){0});
    struct pg *c, *other;
    (void)state;
    ok(pg_acquire(pool, 5000, NULL, &c));
    ok(pg_acquire(pool, 5000, NULL, &other));
    int64_t pid = pg_server(c)->pid;
    pg_release(c);
    end_backend(other, pid);
    ok(pg_acquire(pool, 5000, NULL, &c));
    assert_int_not_equal(pg_server(c)->pid, pid);
    assert_int_equal(number(c, "SELECT 1"), 1);
    pg_release(c);
    pg_release(other);
    pg_pool_close(pool);
}

/* One that dies under a statement is an error, once. */
static void test_busy_connection_dies(void **state)
{
    struct pg_pool *pool = open_pool(fixture.url, (struct pg_settings){0});
    struct pg *c;
    (void)state;
    ok(pg_acquire(pool, 5000, NULL, &c));
    fails(pg_query(c, NULL, "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10)", NULL, 0),
          ERR_SYSTEMIC, "database_unreachable");
    assert_string_equal(pg_sqlstate(c), "57P01");
    fails(pg_query(c, NULL, "SELECT 1", NULL, 0), ERR_SYSTEMIC, "database_unreachable");
    fails(pg_script(c, "SELECT 1"), ERR_SYSTEMIC, "database_unreachable");
    assert_int_equal(pg_send(c, "SELECT 1", NULL, 0), ERR_SYSTEMIC);
    assert_int_equal(pg_sync(c, NULL, 0), ERR_SYSTEMIC);
    ok(pg_begin(c, PG_READ_WRITE));
    assert_int_equal(pg_commit(c), ERR_SYSTEMIC);
    pg_release(c);
    ok(pg_acquire(pool, 5000, NULL, &c));
    assert_int_equal(number(c, "SELECT 1"), 1);
    pg_release(c);
    pg_pool_close(pool);
}

/* In the middle of a transaction: nothing of it is left. */
static void test_transaction_dies(void **state)
{
    struct pg_pool *pool = open_pool(fixture.url, (struct pg_settings){0});
    struct pg *c, *other;
    (void)state;
    pg_fixture_script(&fixture, "CREATE TABLE public.d (n int)");
    ok(pg_acquire(pool, 5000, NULL, &c));
    ok(pg_acquire(pool, 5000, NULL, &other));
    ok(pg_begin(c, PG_READ_WRITE));
    ok(pg_query(c, NULL, "INSERT INTO public.d VALUES (1)", NULL, 0));
    end_backend(other, pg_server(c)->pid);
    pg_send(c, "INSERT INTO public.d VALUES (2)", NULL, 0);
    fails(pg_commit_sync(c, NULL, 0), ERR_SYSTEMIC, "database_unreachable");
    pg_release(c);
    assert_int_equal(number(other, "SELECT count(*) FROM public.d"), 0);
    pg_release(other);
    pg_pool_close(pool);
}

static void test_idle_is_checked_and_closed(void **state)
{
    struct pg_pool *pool =
        open_pool(fixture.url, (struct pg_settings){.check_idle_ms = 1, .close_idle_ms = 200});
    struct pg *a, *b;
    (void)state;
    ok(pg_acquire(pool, 5000, NULL, &a));
    ok(pg_acquire(pool, 5000, NULL, &b));
    int64_t pid = pg_server(a)->pid, there = 1;
    pg_release(a);
    /* a's connection idles while b's is used now and then */
    for (int64_t end = clock_monotonic_ms() + 10000; there && clock_monotonic_ms() < end;) {
        pg_release(b);
        usleep(2000); /* longer than check_idle_ms: it is asked before it is handed out */
        ok(pg_acquire(pool, 5000, NULL, &b));
        ok(PG_NUMBER(b, &there, 0, "SELECT 1 FROM pg_stat_activity WHERE pid = $1", P_INT(pid)));
    }
    assert_int_equal(there, 0);
    pg_release(b);
    pg_pool_close(pool);
}

/* ---- limits ---- */

struct waiter {
    struct pg_pool *pool;
    struct pg *c;
    int rc;
};

static void *wait_for_one(void *arg)
{
    struct waiter *w = arg;
    w->rc = pg_acquire(w->pool, 20000, NULL, &w->c);
    return NULL;
}

static void test_all_in_use(void **state)
{
    struct pg_pool *pool = open_pool(fixture.url, (struct pg_settings){.connections = 2});
    struct waiter w = {.pool = pool};
    struct cancel cancel = {0};
    struct pg *a, *b, *c;
    pthread_t thread;
    (void)state;
    ok(pg_acquire(pool, 5000, NULL, &a));
    ok(pg_acquire(pool, 5000, NULL, &b));
    fails(pg_acquire(pool, 0, NULL, &c), ERR_TRANSIENT, "database_pool");
    int64_t start = clock_monotonic_ms();
    fails(pg_acquire(pool, 150, NULL, &c), ERR_TRANSIENT, "database_pool");
    assert_true(clock_monotonic_ms() - start >= 150);
    cancel_request(&cancel);
    fails(pg_acquire(pool, 20000, &cancel, &c), ERR_CANCELLED, "");
    pthread_create(&thread, NULL, wait_for_one, &w);
    pg_release(a);
    pthread_join(thread, NULL);
    ok(w.rc);
    assert_int_equal(number(w.c, "SELECT 1"), 1);
    pg_release(w.c);
    pg_release(b);
    pg_pool_close(pool);
}

struct load {
    struct pg_pool *pool;
    atomic_int *within, *peak;
    int failures;
};

static void *run_load(void *arg)
{
    struct load *l = arg;
    for (int i = 0; i < 100; i++) {
        struct pg *c;
        if (pg_acquire(l->pool, 20000, NULL, &c)) {
            l->failures++;
            continue;
        }
        int within = atomic_fetch_add(l->within, 1) + 1, peak = atomic_load(l->peak);
        while (within > peak && !atomic_compare_exchange_weak(l->peak, &peak, within))
            ;
        int64_t n = 0;
        l->failures += PG_NUMBER(c, &n, 0, "SELECT $1::int8", P_INT(i)) != OK || n != i;
        if (i % 40 == 39) /* broken on purpose */
            pg_query(c, NULL, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, 0);
        atomic_fetch_sub(l->within, 1);
        pg_release(c);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    enum { THREADS = 12 };
    struct pg_pool *pool = open_pool(fixture.url, (struct pg_settings){.connections = 4});
    atomic_int within = 0, peak = 0;
    struct load loads[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        loads[i] = (struct load){pool, &within, &peak, 0};
        pthread_create(&threads[i], NULL, run_load, &loads[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(loads[i].failures, 0);
    }
    assert_in_range(atomic_load(&peak), 1, 4);
    pg_pool_close(pool);
}

/* ---- a server that goes and comes ---- */

static void *restart_later(void *arg)
{
    pg_own_again(arg, "-c max_connections=8");
    return NULL;
}

/* Waits until the server says that it is there no more. */
static void wait_until_down(struct pg_pool *pool)
{
    struct pg *c;
    for (int64_t end = clock_monotonic_ms() + 20000; clock_monotonic_ms() < end;) {
        if (pg_acquire(pool, 0, NULL, &c))
            return;
        pg_release(c);
    }
    fail_msg("the server is still there");
}

static void test_restart(void **state)
{
    struct pg_own_server own;
    struct pg *held, *c;
    pthread_t thread;
    (void)state;
    if (!pg_own_start(&own, "-c max_connections=8"))
        skip();
    struct pg_pool *pool = open_pool(own.url, (struct pg_settings){0});
    for (int round = 0; round < 2; round++) {
        ok(pg_acquire(pool, 20000, NULL, &held));
        ok(pg_acquire(pool, 5000, NULL, &c));
        pg_release(c);
        if (round == 0)
            pg_own_halt(&own);
        else
            pg_own_kill(&own);
        /* 57P01 if the word of the shutdown arrived, else a reset or an end of file */
        fails(pg_query(held, NULL, "SELECT pg_sleep(30)", NULL, 0), ERR_SYSTEMIC,
              "database_unreachable");
        pg_release(held);
        wait_until_down(pool);
        fails(pg_acquire(pool, 0, NULL, &c), ERR_SYSTEMIC, "database_unreachable");
        pthread_create(&thread, NULL, restart_later, &own);
        ok(pg_acquire(pool, 60000, NULL, &c)); /* waits through the backoff */
        pthread_join(thread, NULL);
        assert_int_equal(number(c, "SELECT 1"), 1);
        pg_release(c);
    }
    pg_pool_close(pool);
    pg_own_stop(&own);
}

static void test_too_many_connections(void **state)
{
    enum { MANY = 12 };
    struct pg_own_server own;
    struct pg *held[MANY], *c;
    int n = 0;
    (void)state;
    if (!pg_own_start(&own, "-c max_connections=5 -c superuser_reserved_connections=0"))
        skip();
    struct pg_pool *pool = open_pool(own.url, (struct pg_settings){.connections = MANY});
    struct waiter w = {.pool = pool};
    pthread_t thread;
    while (n < MANY && pg_acquire(pool, 0, NULL, &held[n]) == OK)
        n++;
    assert_in_range(n, 1, 5);
    fails(pg_acquire(pool, 0, NULL, &c), ERR_SYSTEMIC, "database_no_connections");
    assert_non_null(strstr(error_last()->message, "53300"));
    /* one of ours that becomes free serves too */
    pthread_create(&thread, NULL, wait_for_one, &w);
    pg_release(held[--n]);
    pthread_join(thread, NULL);
    ok(w.rc);
    pg_release(w.c);
    while (n)
        pg_release(held[--n]);
    pg_pool_close(pool);
    pg_own_stop(&own);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/data/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void access_fails(int port, const char *user, const char *database, const char *state)
{
    char url[256];
    struct pg *c;
    snprintf(url, sizeof url, "postgresql://%s:hunter2@127.0.0.1:%d/%s", user, port, database);
    struct pg_pool *pool = open_pool(url, (struct pg_settings){0});
    int64_t start = clock_monotonic_ms();
    fails(pg_acquire(pool, 30000, NULL, &c), ERR_SYSTEMIC, "database_access");
    assert_non_null(strstr(error_last()->message, state));
    assert_true(clock_monotonic_ms() - start < 15000); /* waiting would not mend it */
    pg_pool_close(pool);
}

static void test_access(void **state)
{
    struct pg_own_server own;
    struct pg *c;
    char url[256];
    (void)state;
    if (!pg_own_start(&own, NULL))
        skip();
    int port = port_of(own.url);
    struct pg_pool *pool = open_pool(own.url, (struct pg_settings){0});
    ok(pg_acquire(pool, 5000, NULL, &c));
    ok(pg_script(
        c, "SET password_encryption = 'scram-sha-256'; CREATE ROLE u LOGIN PASSWORD 'right'"));
    write_file(own.directory, "pg_hba.conf",
               "host all postgres 127.0.0.1/32 trust\nhost all u 127.0.0.1/32 scram-sha-256\n");
    ok(pg_script(c, "SELECT pg_reload_conf()"));
    pg_release(c);
    pg_pool_close(pool);
    access_fails(port, "u", "postgres", "28P01");
    access_fails(port, "nobody", "postgres", "28000");
    access_fails(port, "postgres", "nothing", "3D000");
    snprintf(url, sizeof url, "postgresql://u:right@127.0.0.1:%d/postgres", port);
    pool = open_pool(url, (struct pg_settings){0});
    ok(pg_acquire(pool, 5000, NULL, &c));
    pg_release(c);
    pg_pool_close(pool);
    pg_own_stop(&own);
}

/* The first host is down, the second takes no writes, the third does. */
static void test_several_hosts(void **state)
{
    struct pg_own_server standby, primary;
    char url[256];
    struct pg *c;
    (void)state;
    if (!pg_own_start(&standby, "-c default_transaction_read_only=on") ||
        !pg_own_start(&primary, NULL))
        skip();
    snprintf(url, sizeof url,
             "postgresql://postgres@127.0.0.1:1,127.0.0.1:%d,127.0.0.1:%d/postgres",
             port_of(standby.url), port_of(primary.url));
    struct pg_pool *pool = open_pool(url, (struct pg_settings){0});
    ok(pg_acquire(pool, 0, NULL, &c));
    assert_int_equal(number(c, "SELECT current_setting('port')::int"), port_of(primary.url));
    pg_release(c);
    /* the one server alone, read-only: said when it is written to, and asked anew after that */
    struct pg_pool *lone = open_pool(standby.url, (struct pg_settings){0});
    ok(pg_acquire(lone, 5000, NULL, &c));
    int64_t pid = pg_server(c)->pid;
    fails(pg_script(c, "CREATE TABLE t (n int)"), ERR_SYSTEMIC, "database_read_only");
    pg_release(c);
    ok(pg_acquire(lone, 5000, NULL, &c));
    assert_int_not_equal(pg_server(c)->pid, pid);
    pg_release(c);
    pg_pool_close(lone);
    pg_pool_close(pool);
    pg_own_stop(&standby);
    pg_own_stop(&primary);
}

/* ---- the network ---- */

static void proxied(const struct tcp_proxy *proxy, char *out, size_t size)
{
    snprintf(out, size, "postgresql://postgres:hunter2@127.0.0.1:%d/%s", proxy->port, fixture.name);
}

static void test_silence(void **state)
{
    struct tcp_proxy proxy;
    struct cancel cancel = {0};
    struct pg *c;
    char url[256];
    (void)state;
    tcp_proxy_start(&proxy, port_of(pg_fixture_server()));
    proxied(&proxy, url, sizeof url);
    struct pg_pool *pool = open_pool(url, (struct pg_settings){.connect_timeout_ms = 300,
                                                               .statement_timeout_ms = 100,
                                                               .grace_ms = 200,
                                                               .check_idle_ms = 1});
    ok(pg_acquire(pool, 5000, NULL, &c));
    /* one that idles when the line goes dead is given up after connect_timeout, not handed out */
    struct pg_pool *patient =
        open_pool(url, (struct pg_settings){.connect_timeout_ms = 300, .check_idle_ms = 1});
    struct pg *idle;
    ok(pg_acquire(patient, 5000, NULL, &idle));
    pg_release(idle);
    usleep(2000);
    tcp_proxy_stall(&proxy, true);
    int64_t start = clock_monotonic_ms();
    fails(pg_acquire(patient, 0, NULL, &idle), ERR_SYSTEMIC, "database_unreachable");
    assert_in_range(clock_monotonic_ms() - start, 600, 15000);
    pg_pool_close(patient);
    start = clock_monotonic_ms();
    fails(pg_query(c, NULL, "SELECT 1", NULL, 0), ERR_SYSTEMIC, "database_unreachable");
    assert_in_range(clock_monotonic_ms() - start, 300, 15000);
    assert_non_null(strstr(error_last()->message, "no answer"));
    pg_release(c);
    fails(pg_acquire(pool, 0, NULL, &c), ERR_SYSTEMIC, "database_unreachable");
    assert_non_null(strstr(error_last()->message, "no answer in time"));
    cancel_request(&cancel);
    fails(pg_acquire(pool, 20000, &cancel, &c), ERR_CANCELLED, "");
    tcp_proxy_stall(&proxy, false);
    ok(pg_acquire(pool, 20000, NULL, &c));
    pg_release(c);
    pg_pool_close(pool);
    tcp_proxy_stop(&proxy);
}

static int add_one(struct pg *c, void *arg)
{
    (void)arg;
    return pg_query(c, NULL, "INSERT INTO public.cuts VALUES (1)", NULL, 0);
}

struct cutting {
    struct tcp_proxy *proxy;
    atomic_bool done;
};

static void *keep_cutting(void *arg)
{
    struct cutting *cutting = arg;
    while (!atomic_load(&cutting->done)) {
        usleep((useconds_t)(20000 + random_below(100000))); /* time for a few transactions */
        tcp_proxy_cut(cutting->proxy);
    }
    return NULL;
}

/* Connections cut again and again: each transaction fails with a systemic error or is there. */
static void test_cuts(void **state)
{
    enum { FAILURES = 10, SUCCESSES = 50 };
    struct tcp_proxy proxy;
    struct cutting cutting = {.proxy = &proxy};
    pthread_t thread;
    char url[256];
    int succeeded = 0, failed = 0;
    (void)state;
    pg_fixture_script(&fixture, "CREATE TABLE public.cuts (n int)");
    tcp_proxy_start(&proxy, port_of(pg_fixture_server()));
    proxied(&proxy, url, sizeof url);
    struct pg_pool *pool = open_pool(url, (struct pg_settings){0});
    pthread_create(&thread, NULL, keep_cutting, &cutting);
    while (succeeded < SUCCESSES || failed < FAILURES) {
        int rc = pg_transaction(pool, PG_READ_WRITE, 20000, NULL, add_one, NULL);
        if (rc)
            fails(rc, ERR_SYSTEMIC, "database_unreachable");
        succeeded += !rc;
        failed += rc != 0;
    }
    atomic_store(&cutting.done, true);
    pthread_join(thread, NULL);
    pg_pool_close(pool);
    tcp_proxy_stop(&proxy);
    struct pg *c;
    pool = open_pool(fixture.url, (struct pg_settings){0});
    ok(pg_acquire(pool, 5000, NULL, &c));
    int64_t rows = number(c, "SELECT count(*) FROM public.cuts");
    print_message("%d succeeded, %d failed, %lld rows\n", succeeded, failed, (long long)rows);
    assert_in_range(rows, succeeded, succeeded + failed); /* a lost answer may have been a commit */
    pg_release(c);
    pg_pool_close(pool);
}

static int set_up(void **state)
{
    (void)state;
    pg_fixture_open(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pg_fixture_close(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_idle_connection_dies),
        cmocka_unit_test(test_busy_connection_dies),
        cmocka_unit_test(test_transaction_dies),
        cmocka_unit_test(test_idle_is_checked_and_closed),
        cmocka_unit_test(test_all_in_use),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_several_hosts),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_cuts),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
