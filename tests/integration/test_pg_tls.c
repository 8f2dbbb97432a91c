/* The TLS settings of a URL are kept: what it asks to be verified is verified. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/secret_value.h"
#include "support/pg_test.h"

static struct pg_own_server own;

static void run(const char *command)
{
    if (system(command))
        fail_msg("%s", command);
}

/* An authority, and a certificate for 127.0.0.1 that it signs. */
static const char make_certificates[] =
    "cd '%s/data' && for who in server other; do"
    "  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who-ca"
    "    -keyout $who-ca.key -out $who-ca.crt &&"
    "  openssl req -new -newkey rsa:2048 -nodes -subj /CN=aegis -keyout $who.key -out $who.csr &&"
    "  echo subjectAltName=IP:127.0.0.1 >$who.ext &&"
    "  openssl x509 -req -in $who.csr -CA $who-ca.crt -CAkey $who-ca.key -CAcreateserial -days 2"
    "    -extfile $who.ext -out $who.crt || exit 1;"
    "done 2>/dev/null &&"
    "chmod 600 server.key && chown --reference=PG_VERSION server.key server.crt && chmod a+x . ..";

/* A server that takes nothing but TLS from the login "tls"; the other authority is a stranger's. */
static void serve_tls(void)
{
    char command[2048];
    struct pg_pool *p;
    struct pg *c;
    snprintf(command, sizeof command, make_certificates, own.directory);
    run(command);
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

static int port(void)
{
    return atoi(strrchr(own.url, ':') + 1);
}

static int connect_to(const char *url, bool *encrypted)
{
    struct pg_pool *p;
    struct pg *c;
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

static int connect_with(const char *host, const char *parameters, bool *encrypted)
{
    char url[1024];
    snprintf(url, sizeof url, "postgresql://tls@%s:%d/postgres?%s", host, port(), parameters);
    return connect_to(url, encrypted);
}

/* By the secret of a database and the file of who signs for it. */
static int connect_by_secret(const char *authority, bool *encrypted)
{
    static const char secret[] = "{\"username\":\"tls\",\"password\":\"x\"}";
    char url[2048], host[64], file[600];
    snprintf(host, sizeof host, "127.0.0.1:%d", port());
    snprintf(file, sizeof file, "%s/data/%s", own.directory, authority);
    struct secret_database d = {.host = host, .name = "postgres", .authorities = file};
    ok(secret_url_read(secret, strlen(secret), &d, url, sizeof url));
    return connect_to(url, encrypted);
}

static void the_server_of_a_secret_proves_who_it_is(void)
{
    bool encrypted = false;
    ok(connect_by_secret("server-ca.crt", &encrypted));
    assert_true(encrypted);
    assert_int_equal(connect_by_secret("other-ca.crt", &encrypted), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_unreachable");
    assert_non_null(strstr(error_last()->message, "certificate"));
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
    snprintf(verified, sizeof verified, "sslmode=verify-full&sslrootcert=%s/data/server-ca.crt",
             own.directory);
    snprintf(stranger, sizeof stranger, "sslmode=verify-full&sslrootcert=%s/data/other-ca.crt",
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
    the_server_of_a_secret_proves_who_it_is();
    pg_own_stop(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes)};
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
