/* What may stand in a secret, and what is made of it. */
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
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "adapters/aws/rds_authorities.h"
#include "adapters/aws/secret_value.h"
#include "ports/secret_source.h"
#include "shared/error.h"

static char out[SECRET_TEXT];

static void refuses(int rc, int code, const char *text)
{
    assert_int_equal(rc, code);
    assert_int_equal(error_last()->code, code);
    if (!strstr(error_last()->message, text))
        fail_msg("no '%s' in: %s", text, error_last()->message);
    assert_null(strstr(error_last()->message, "hunter2"));
}

/* ---- keys ---- */

static int key(const char *text)
{
    return secret_key_read(text, strlen(text), out, sizeof out);
}

static void test_keys(void **state)
{
    static const char *const good[] = {
        "sk-1",
        " \n sk-1\r\n",
        "{\"openai_api_key\":\"sk-1\",\"api_key\":\"other\"}",
        "{\"api_key\":\"sk-1\"}",
        "{\"key\":\"sk-1\"}",
        "\n{\"org\":\"x\",\"OPENAI_API_KEY\":\" sk-1\\n\"} ",
        "{\"openai_api_key\":7,\"key\":\"sk-1\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(key(good[i]), OK);
        assert_string_equal(out, "sk-1");
    }
}

static void test_bad_keys(void **state)
{
    char *huge = malloc(SECRET_TEXT + 1);
    (void)state;
    refuses(key(""), ERR_INVALID, "empty");
    refuses(key(" \n"), ERR_INVALID, "empty");
    refuses(key("{\"key\":\"\"}"), ERR_INVALID, "empty");
    refuses(key("{\"password\":\"hunter2\"}"), ERR_INVALID, "without openai_api_key");
    refuses(key("{\"key\":\"hunter2\""), ERR_INVALID, "JSON");
    refuses(key("{\"key\":\"hunter2\",\"key\":\"hunter2\"}"), ERR_INVALID, "JSON");
    refuses(key("hunter2\r\nX-Evil: 1"), ERR_INVALID, "control characters");
    refuses(key("hunter2 again"), ERR_INVALID, "blanks");
    assert_non_null(huge);
    memset(huge, 'k', SECRET_TEXT);
    refuses(secret_key_read(huge, SECRET_TEXT, out, sizeof out), ERR_TOO_LARGE, "too long");
    assert_int_equal(secret_key_read(huge, SECRET_TEXT - 1, out, sizeof out), OK);
    free(huge);
}

/* ---- databases ---- */

static const struct secret_database as_it_is = {0};

static int url(const char *text, const struct secret_database *database)
{
    return secret_url_read(text, strlen(text), database, out, sizeof out);
}

static void gives(const char *text, const struct secret_database *database, const char *expected)
{
    if (url(text, database))
        fail_msg("%s", error_last()->message);
    assert_string_equal(out, expected);
}

static void test_rds_secret(void **state)
{
    (void)state;
    gives("{\"engine\":\"postgres\",\"host\":\"db.x.eu-west-1.rds.amazonaws.com\",\"username\":"
          "\"app\","
          "\"password\":\"hunter2\",\"dbname\":\"aegis\",\"port\":5433,\"masterarn\":\"arn:x\"}",
          &as_it_is,
          "postgresql://app:hunter2@db.x.eu-west-1.rds.amazonaws.com:5433/aegis?sslmode=require");
    gives("{\"engine\":\"aurora-postgresql\",\"host\":\"h\",\"username\":\"u\",\"password\":\"p\","
          "\"dbname\":\"d\",\"port\":\"6432\"}",
          &as_it_is, "postgresql://u:p@h:6432/d?sslmode=require");
}

static void test_encoding(void **state)
{
    (void)state;
    gives("{\"host\":\"h\",\"username\":\"a@b\",\"password\":\"p@/:?#%&=+ \\\"\\u00fc~-_.\","
          "\"dbname\":\"d/e\"}",
          &as_it_is,
          "postgresql://a%40b:p%40%2F%3A%3F%23%25%26%3D%2B%20%22%C3%BC~-_.@h:5432/d%2Fe?"
          "sslmode=require");
}

#define BARE "{\"username\":\"u\",\"password\":\"p\"}"

static void test_secret_that_rds_manages(void **state)
{
    static const struct secret_database set = {.host = "h", .name = "d"};
    static const struct secret_database with_port = {.host = "proxy:6543", .name = "d"};
    static const struct secret_database no_name = {.host = "h"};
    (void)state;
    gives(BARE, &set, "postgresql://u:p@h:5432/d?sslmode=require");
    gives(BARE, &with_port, "postgresql://u:p@proxy:6543/d?sslmode=require");
    gives(
        "{\"username\":\"u\",\"password\":\"p\",\"host\":\"old\",\"dbname\":\"old\",\"port\":1234}",
        &set, "postgresql://u:p@h:1234/d?sslmode=require");
    refuses(url(BARE, &as_it_is), ERR_INVALID, "AEGIS_DATABASE_HOST");
    refuses(url(BARE, &no_name), ERR_INVALID, "AEGIS_DATABASE_NAME");
}

static void test_hosts_and_sslmode(void **state)
{
    static const char *const hosts[][2] = {
        {"localhost", "localhost:5432/d"},
        {"127.0.0.1", "127.0.0.1:5432/d"},
        {"127.0.0.1:6000", "127.0.0.1:6000/d"},
        {"::1", "[::1]:5432/d"},
        {"[::1]", "[::1]:5432/d"},
        {"[::1]:6000", "[::1]:6000/d"},
        {"2001:db8::1", "[2001:db8::1]:5432/d?sslmode=require"},
        {"localhost.example", "localhost.example:5432/d?sslmode=require"},
    };
    char expected[256];
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct secret_database d = {.host = hosts[i][0], .name = "d", .sslmode = "auto"};
        snprintf(expected, sizeof expected, "postgresql://u:p@%s", hosts[i][1]);
        gives(BARE, &d, expected);
    }
    struct secret_database d = {.host = "localhost", .name = "d", .sslmode = "verify-full"};
    gives(BARE, &d, "postgresql://u:p@localhost:5432/d?sslmode=verify-full");
    d = (struct secret_database){.host = "h", .name = "d", .sslmode = "disable"};
    gives(BARE, &d, "postgresql://u:p@h:5432/d?sslmode=disable");
}

/* Each file of authorities begins a certificate with its name. */
static void write_authorities(char path[32])
{
    static const char text[] = "# Amazon RDS eu-west-1 Root CA RSA2048 G1\nx\n# Amazon Root CA 1\n";
    snprintf(path, 32, "/tmp/aegis-rds-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
}

static void test_hosts_of_rds_have_to_prove_it(void **state)
{
    static const char *const hosts[][2] = {
        {"db.x.eu-west-1.rds.amazonaws.com", "verify-full"},
        {"DB.cluster-ro-x.EU-WEST-1.RDS.amazonaws.com", "verify-full"},
        {"p.proxy-x.us-gov-west-1.rds.amazonaws.com", "verify-full"},
        {"db.x.mx-central-1.rds.amazonaws.com", "require"}, /* newer than the file */
        {"db.x.rds.cn-north-1.amazonaws.com.cn", "require"},
        {"rds.amazonaws.com", "require"},
        {"eu-west-1.rds.amazonaws.com", "require"},
        {"db.x.eu-west-1.rds.amazonaws.com.example", "require"},
    };
    char rds[32], expected[256];
    (void)state;
    write_authorities(rds);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct secret_database d = {.host = hosts[i][0], .name = "d", .rds = rds};
        bool proven = !strcmp(hosts[i][1], "verify-full");
        snprintf(expected, sizeof expected, "postgresql://u:p@%s:5432/d?sslmode=%s%s%s",
                 hosts[i][0], hosts[i][1], proven ? "&sslrootcert=" : "", proven ? rds : "");
        gives(BARE, &d, expected);
    }
    unlink(rds);
    struct secret_database d = {.host = hosts[0][0], .name = "d", .rds = rds};
    gives(BARE, &d, "postgresql://u:p@db.x.eu-west-1.rds.amazonaws.com:5432/d?sslmode=require");
}

static void test_authorities_that_are_set(void **state)
{
    (void)state;
    struct secret_database d = {.host = "h", .name = "d", .authorities = "/a b/ca.pem"};
    gives(BARE, &d, "postgresql://u:p@h:5432/d?sslmode=verify-full&sslrootcert=/a%20b/ca.pem");
    d.host = "localhost";
    gives(BARE, &d,
          "postgresql://u:p@localhost:5432/d?sslmode=verify-full&sslrootcert=/a%20b/ca.pem");
    d.sslmode = "verify-ca";
    gives(BARE, &d,
          "postgresql://u:p@localhost:5432/d?sslmode=verify-ca&sslrootcert=/a%20b/ca.pem");
    d.sslmode = "require"; /* which libpq would verify, if it were told of them */
    gives(BARE, &d, "postgresql://u:p@localhost:5432/d?sslmode=require");
}

/* The file that comes with the program: what it promises is in it, and signs for years. */
static void test_file_that_comes_along(void **state)
{
    static const char file[] = TEST_SOURCE_DIR "/third_party/rds-ca/rds-ca.pem";
    FILE *f = fopen(file, "r");
    X509 *x;
    time_t later = time(NULL) + 10LL * 365 * 24 * 3600;
    int count = 0;
    (void)state;
    assert_true(rds_authorities_cover(file, "db.x.us-east-1.rds.amazonaws.com"));
    assert_true(rds_authorities_cover(file, "db.x.eu-central-1.rds.amazonaws.com"));
    assert_true(rds_authorities_cover(file, "db.proxy-x.eu-central-1.rds.amazonaws.com"));
    assert_non_null(f);
    while ((x = PEM_read_X509(f, NULL, NULL, NULL))) {
        count++;
        assert_int_equal(X509_check_ca(x), 1);
        assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
        if (X509_cmp_time(X509_get0_notAfter(x), &later) <= 0)
            fail_msg("certificate %d ends within ten years", count);
        X509_free(x);
    }
    ERR_clear_error();
    assert_int_equal(count, 86);
    fclose(f);
}

static void test_url_as_it_is(void **state)
{
    static const struct secret_database set = {.host = "h", .name = "d", .sslmode = "require"};
    (void)state;
    gives(" postgresql://u:p@h/d\n", &set, "postgresql://u:p@h/d");
    gives("postgres://u:p@h/d?sslmode=prefer", &as_it_is, "postgres://u:p@h/d?sslmode=prefer");
}

static void test_bad_databases(void **state)
{
    static const struct secret_database set = {.host = "h", .name = "d"};
    static const char *const bad_hosts[] = {"a b",  "h/x",       "u@h", "h?x", ":5432",
                                            "h:x1", "h:9999999", "h,i", "h:",  "%2Ftmp"};
    char password[3000];
    (void)state;
    refuses(url("{\"password\":\"hunter2\"}", &set), ERR_INVALID, "no username");
    refuses(url("{\"username\":\"u\"}", &set), ERR_INVALID, "no password");
    refuses(url("{\"engine\":\"mysql\",\"username\":\"u\",\"password\":\"hunter2\"}", &set),
            ERR_INVALID, "not PostgreSQL");
    refuses(url("hunter2", &set), ERR_INVALID, "neither JSON");
    refuses(url("mysql://u:hunter2@h/d", &set), ERR_INVALID, "neither JSON");
    refuses(url("postgresql://u:hunter2@h/d e", &set), ERR_INVALID, "blanks");
    refuses(url("", &set), ERR_INVALID, "neither JSON");
    refuses(url("{\"username\":\"u\",\"password\":\"hunter2\",\"port\":-1}", &set), ERR_INVALID,
            "port");
    refuses(url("{\"username\":\"u\",\"password\":\"hunter2\",\"port\":4294972728}", &set),
            ERR_INVALID, "port");
    for (size_t i = 0; i < sizeof bad_hosts / sizeof bad_hosts[0]; i++) {
        struct secret_database d = {.host = bad_hosts[i], .name = "d"};
        if (url(BARE, &d) != ERR_INVALID)
            fail_msg("'%s' was taken for a host: %s", bad_hosts[i], out);
    }
    snprintf(password, sizeof password, "{\"username\":\"u\",\"password\":\"%02000d\"}", 0);
    memset(strchr(password, '0'), '@', 2000); /* three times as long once encoded */
    refuses(url(password, &set), ERR_TOO_LARGE, "too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_rds_secret),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_secret_that_rds_manages),
        cmocka_unit_test(test_hosts_and_sslmode),
        cmocka_unit_test(test_hosts_of_rds_have_to_prove_it),
        cmocka_unit_test(test_authorities_that_are_set),
        cmocka_unit_test(test_file_that_comes_along),
        cmocka_unit_test(test_url_as_it_is),
        cmocka_unit_test(test_bad_databases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
