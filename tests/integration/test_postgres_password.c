/* A password that changes while a pool is open, on a server that checks passwords (SCRAM). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/pg_test.h"

static struct pg_own_server own;

/* ---- a login that changes ---- */

static char present_url[512]; /* of the source */
static atomic_int asked;
static int source_rc;

static int present(void *ctx, char *out, size_t capacity)
{
    (void)ctx;
    atomic_fetch_add(&asked, 1);
    snprintf(out, capacity, "%s", present_url);
    return source_rc ? error_set(source_rc, NULL, "the source is away") : OK;
}

static void url_for(const char *user, const char *password, char out[512])
{
    snprintf(out, 512, "postgresql://%s:%s@127.0.0.1:%d/postgres", user, password,
             atoi(strrchr(own.url, ':') + 1));
}

static void as_owner(const char *sql)
{
    struct pg_pool *p;
    struct pg *c;
    ok(pg_pool_open(own.url, NULL, &p));
    ok(pg_acquire(p, 5000, NULL, &c));
    ok(pg_script(c, sql));
    pg_release(c);
    pg_pool_close(p);
}

static bool can_connect(const char *user, const char *password)
{
    struct pg_pool *p;
    struct pg *c;
    char url[512];
    url_for(user, password, url);
    ok(pg_pool_open(url, NULL, &p));
    bool can = !pg_acquire(p, 0, NULL, &c);
    if (can)
        pg_release(c);
    pg_pool_close(p);
    return can;
}

static void check_passwords(void)
{
    char command[1024];
    snprintf(command, sizeof command,
             "printf '%%s\\n' 'host all postgres 127.0.0.1/32 trust' "
             "'host all all 127.0.0.1/32 scram-sha-256' >'%s/data/pg_hba.conf'",
             own.directory);
    assert_int_equal(system(command), 0);
    as_owner("CREATE ROLE nobody LOGIN; SELECT pg_reload_conf()");
    while (can_connect("nobody", "wrong")) /* the reload takes a moment */
        ;
}

static struct pg_pool *open_pool(int connections)
{
    struct pg_settings settings = {.connections = connections, .source = {.get = present}};
    struct pg_pool *p;
    char url[512];
    as_owner("DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD 'old'");
    url_for("app", "old", url);
    url_for("app", "old", present_url);
    atomic_store(&asked, 0);
    source_rc = OK;
    ok(pg_pool_open(url, &settings, &p));
    return p;
}

static void user_is(struct pg *c, const char *user)
{
    struct pg_rows rows;
    ok(pg_query(c, &rows, "SELECT current_user::text", NULL, 0));
    assert_string_equal(pg_peek(&rows, 0, 0), user);
    pg_rows_free(&rows);
}

/* ---- tests ---- */

static void test_new_password(void **state)
{
    struct pg_pool *p = open_pool(2);
    struct pg *before, *after;
    (void)state;
    ok(pg_acquire(p, 0, NULL, &before));
    assert_int_equal(atomic_load(&asked), 0);
    as_owner("ALTER ROLE app PASSWORD 'n/e@w'");
    url_for("app", "n%2Fe%40w", present_url);
    ok(pg_acquire(p, 0, NULL, &after)); /* at the first try: no caller sees a failure */
    assert_int_equal(atomic_load(&asked), 1);
    user_is(before, "app");
    user_is(after, "app");
    pg_release(before);
    pg_release(after);
    pg_pool_close(p);
}

/* Rotation of two users by turns, which AWS calls "alternating users". */
static void test_new_user(void **state)
{
    struct pg_pool *p = open_pool(1);
    char name[320];
    struct pg *c;
    (void)state;
    snprintf(name, sizeof name, "%s", pg_pool_name(p));
    as_owner(
        "DROP ROLE app; DROP ROLE IF EXISTS app_clone; CREATE ROLE app_clone LOGIN PASSWORD 'p'");
    url_for("app_clone", "p", present_url);
    ok(pg_acquire(p, 0, NULL, &c));
    user_is(c, "app_clone");
    assert_string_equal(pg_pool_name(p), name);
    pg_release(c);
    pg_pool_close(p);
}

static void *connect_once(void *arg)
{
    struct pg *c;
    ok(pg_acquire(arg, 20000, NULL, &c));
    user_is(c, "app");
    pg_release(c);
    return NULL;
}

static void test_many_ask_once(void **state)
{
    enum { THREADS = 8 };
    struct pg_pool *p = open_pool(THREADS);
    pthread_t threads[THREADS];
    (void)state;
    as_owner("ALTER ROLE app PASSWORD 'new'");
    url_for("app", "new", present_url);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, connect_once, p), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&asked), 1);
    pg_pool_close(p);
}

static void refused(struct pg_pool *p)
{
    struct pg *c;
    assert_int_equal(pg_acquire(p, 0, NULL, &c), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_access");
    assert_non_null(strstr(error_last()->message, "28P01"));
    assert_null(strstr(error_last()->message, "away"));
}

static void test_nothing_better_to_be_had(void **state)
{
    struct pg_pool *p = open_pool(1);
    (void)state;
    as_owner("ALTER ROLE app PASSWORD 'new'");
    refused(p); /* the same URL again */
    assert_int_equal(atomic_load(&asked), 1);
    pg_pool_close(p);

    p = open_pool(1);
    as_owner("ALTER ROLE app PASSWORD 'new'");
    url_for("app", "wrong", present_url);
    refused(p);
    pg_pool_close(p);

    p = open_pool(1);
    as_owner("ALTER ROLE app PASSWORD 'new'");
    url_for("app", "new", present_url);
    source_rc = ERR_SYSTEMIC;
    refused(p);
    pg_pool_close(p);

    p = open_pool(1);
    as_owner("ALTER ROLE app PASSWORD 'new'");
    snprintf(present_url, sizeof present_url, "not a URL");
    refused(p);
    pg_pool_close(p);
}

/* Other failures are nothing a password mends. */
static void test_other_failures_do_not_ask(void **state)
{
    struct pg_settings settings = {.source = {.get = present}};
    struct pg_pool *p;
    struct pg *c;
    char url[512];
    (void)state;
    atomic_store(&asked, 0);
    snprintf(url, sizeof url, "%.*s/no_such_database", (int)(strrchr(own.url, '/') - own.url),
             own.url);
    ok(pg_pool_open(url, &settings, &p));
    assert_int_equal(pg_acquire(p, 0, NULL, &c), ERR_SYSTEMIC);
    pg_pool_close(p);
    ok(pg_pool_open("postgresql://u@127.0.0.1:1/d", &settings, &p));
    assert_int_equal(pg_acquire(p, 0, NULL, &c), ERR_SYSTEMIC);
    pg_pool_close(p);
    assert_int_equal(atomic_load(&asked), 0);
}

static int start(void **state)
{
    (void)state;
    check_passwords();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    pg_own_stop(&own);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_password),
        cmocka_unit_test(test_new_user),
        cmocka_unit_test(test_many_ask_once),
        cmocka_unit_test(test_nothing_better_to_be_had),
        cmocka_unit_test(test_other_failures_do_not_ask),
    };
    int status = pg_fixture_start();
    if (!status && !pg_own_start(&own, NULL))
        status = 77;
    return status ? status : cmocka_run_group_tests(tests, start, stop);
}
