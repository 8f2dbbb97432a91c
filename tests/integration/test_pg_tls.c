/* The TLS settings of a URL are kept: what it asks to be verified is verified. */
#include <stdio.h>
#include <stdlib.h>

#include "support/pg_test.h"

static struct pg_own_server own;

static void run(const char *command)
{
    if (system(command))
        fail_msg("%s", command);
}

/* A certificate for 127.0.0.1, and a server that takes nothing but TLS from the login "tls". */
static void serve_tls(void)
{
    char command[2048];
    struct pg_pool *p;
    struct pg *c;
    for (int i = 0; i < 2; i++) { /* the second is a stranger's */
        snprintf(
            command, sizeof command,
            "cd '%s/data' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=aegis "
            "-addext subjectAltName=IP:127.0.0.1 -keyout %s.key -out %s.crt 2>/dev/null && "
            "chmod 600 %s.key && chown --reference=PG_VERSION %s.key %s.crt && chmod a+x . ..",
            own.directory, i ? "other" : "server", i ? "other" : "server", i ? "other" : "server",
            i ? "other" : "server", i ? "other" : "server");
        run(command);
    }
    snprintf(command, sizeof command,
             "printf '%%s\\n' 'host all postgres 127.0.0.1/32 trust' "
             "'hostssl all tls 127.0.0.1/32 trust' >'%s/data/pg_hba.conf'",
             own.directory);
    run(command);
    ok(pg_pool_open(own.url, NULL, &p));
    ok(pg_acquire(p, 5000, NULL, &c));
    ok(pg_script(c, "CREATE ROLE tls LOGIN"));
    ok(pg_query_once(c, NULL, "ALTER SYSTEM SET ssl = on", NULL, 0));
    ok(pg_query_once(c, NULL, "SELECT pg_reload_conf()", NULL, 0));
    pg_release(c);
    pg_pool_close(p);
}

static int connect_with(const char *host, const char *parameters, bool *encrypted)
{
    char url[1024];
    struct pg_pool *p;
    struct pg *c;
    snprintf(url, sizeof url, "postgresql://tls@%s:%d/postgres?%s", host,
             atoi(strrchr(own.url, ':') + 1), parameters);
    ok(pg_pool_open(url, NULL, &p));
    int rc = pg_acquire(p, 0, NULL, &c);
    if (!rc) {
        int64_t on;
        ok(pg_number(c, &on, 0, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", NULL,
                     0));
        *encrypted = on;
        pg_release(c);
    }
    pg_pool_close(p);
    return rc;
}

static void test_modes(void **state)
{
    char verified[600], stranger[600];
    bool encrypted = false;
    int rc = OK;
    (void)state;
    if (!pg_own_start(&own, NULL))
        skip();
    serve_tls();
    snprintf(verified, sizeof verified, "sslmode=verify-full&sslrootcert=%s/data/server.crt",
             own.directory);
    snprintf(stranger, sizeof stranger, "sslmode=verify-full&sslrootcert=%s/data/other.crt",
             own.directory);
    /* the reload takes a moment */
    for (int i = 0; i < 500 && (rc = connect_with("127.0.0.1", "sslmode=require", &encrypted)); i++)
        ;
    ok(rc);
    assert_true(encrypted);
    ok(connect_with("127.0.0.1", verified, &encrypted));
    assert_true(encrypted);
    assert_int_equal(connect_with("127.0.0.1", stranger, &encrypted), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_unreachable");
    assert_non_null(strstr(error_last()->message, "certificate"));
    assert_int_equal(connect_with("localhost", verified, &encrypted), ERR_SYSTEMIC);
    assert_non_null(strstr(error_last()->message, "localhost"));
    assert_int_equal(connect_with("127.0.0.1", "sslmode=disable", &encrypted), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_access"); /* no entry in pg_hba.conf */
    pg_own_stop(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes)};
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
