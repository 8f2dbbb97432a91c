/* What pg.h makes of a URL, and that no password gets out; needs no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/error.h"
#include "shared/pg.h"

static void opens_as(const char *url, const char *name)
{
    struct pg_pool *pool;
    assert_int_equal(pg_pool_open(url, NULL, &pool), OK);
    assert_string_equal(pg_pool_name(pool), name);
    pg_pool_close(pool);
}

static void test_names(void **state)
{
    (void)state;
    opens_as("postgresql://u:secret@db.example:6432/media", "u@db.example:6432/media");
    opens_as("postgres://u@db.example/media", "u@db.example:5432/media");
    opens_as("postgresql://u:p%40ss%2Fword@db/media?sslmode=require", "u@db:5432/media");
    opens_as("postgresql://u:s@a:1,b:2/media", "u@a,b:1,2/media");
    opens_as("host=db dbname=media user=u password='s e'", "u@db:5432/media");
    opens_as("postgresql://u:12?3@h/d", "u@h:5432/d");
    opens_as("postgresql://u:s@h/a%40b?options=-c%20x%3D1", "u@h:5432/a@b");
    opens_as("postgresql://h/d?user=me@server&password=s", "me@server@h:5432/d");
    opens_as("postgresql://u:s@[::1]:5433/media", "u@::1:5433/media");
}

/* Prisma's and node-postgres's parameters share DATABASE_URL. */
static void test_foreign_parameters(void **state)
{
    (void)state;
    opens_as("postgresql://u:s@h/d?schema=public", "u@h:5432/d");
    opens_as("postgresql://u:s@h/d?schema=public&sslmode=disable&connection_limit=5&pgbouncer=true",
             "u@h:5432/d");
    opens_as("postgresql://u:s@h/d?", "u@h:5432/d");
}

static void refuses(const char *url)
{
    struct pg_pool *pool = NULL;
    assert_int_equal(pg_pool_open(url, NULL, &pool), ERR_INVALID);
    assert_null(pool);
    assert_string_equal(error_last()->reason, "invalid_database_url");
    assert_null(strstr(error_last()->message, "hunter"));
    assert_null(strstr(error_last()->message, "tiger"));
    assert_non_null(strstr(error_last()->message, "postgresql://user:password@host"));
}

/* Whatever part of a broken URL the password is in, it is not repeated. */
static void test_refusals_keep_the_password(void **state)
{
    (void)state;
    refuses("mysql://u:hunter2@h/d");
    refuses("hunter2");
    refuses("");
    refuses("postgresql://u:hunter/tiger@h/d");
    refuses("postgresql://u:hunter@tiger@h/d");
    refuses("postgresql://u:12/tiger@h/d");
    refuses("postgresql://u:12/34?tiger@h/d");
    refuses("postgresql://u:hunter?tiger/2@h/d");
    refuses("postgresql://u:hunter%zz@h/d");
    refuses("postgresql://u:x@h/d?hunter=tiger");
    refuses("postgresql://u:x@h:hunter/d?port=a&tiger");
    refuses("host=h password=hunter tiger");
    refuses("host='h@tiger' password=hunter");
    char *long_url = malloc(20001);
    memset(long_url, 'h', 20000);
    long_url[20000] = '\0';
    memcpy(long_url, "postgresql://", 13);
    refuses(long_url);
    free(long_url);
}

/* A port nobody listens on. */
static void test_refused_connection(void **state)
{
    struct pg_pool *pool;
    struct pg *c;
    (void)state;
    assert_int_equal(pg_pool_open("postgresql://u:hunter2@127.0.0.1:1/d", NULL, &pool), OK);
    assert_int_equal(pg_acquire(pool, 0, NULL, &c), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_unreachable");
    assert_string_equal(error_last()->message,
                        "cannot reach PostgreSQL 'u@127.0.0.1:1/d': Connection refused; work goes "
                        "on by itself when it is back");
    /* the next is not tried before the backoff has passed, but told the same */
    int64_t start = clock_monotonic_us();
    assert_int_equal(pg_acquire(pool, 0, NULL, &c), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_unreachable");
    assert_true(clock_monotonic_us() - start < 50000);
    pg_pool_close(pool);
}

static void test_unknown_host(void **state)
{
    struct pg_pool *pool;
    struct pg *c;
    (void)state;
    assert_int_equal(pg_pool_open("postgresql://u:hunter2@no-such-host.invalid/d", NULL, &pool),
                     OK);
    assert_int_equal(pg_acquire(pool, 0, NULL, &c), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_unreachable");
    assert_null(strstr(error_last()->message, "hunter2"));
    pg_pool_close(pool);
}

int main(void)
{
    static const char *const ours[] = {"PGHOST", "PGHOSTADDR", "PGPORT",    "PGDATABASE",
                                       "PGUSER", "PGSERVICE",  "PGPASSWORD"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        unsetenv(ours[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_foreign_parameters),
        cmocka_unit_test(test_refusals_keep_the_password),
        cmocka_unit_test(test_refused_connection),
        cmocka_unit_test(test_unknown_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
