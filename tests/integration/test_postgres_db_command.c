/* `aegis db` on a real PostgreSQL, through the binary; and that no output has a password in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/pg.h"
#include "support/database_place.h"
#include "support/pg_fixture.h"
#include "yyjson.h"

static struct pg_fixture fixture;
static struct place place;
static char output[1 << 20];

/* What it prints on both streams is in `output`; the exit status. */
static int aegis(const char *url, const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof command,
             "DATABASE_URL='%s' AEGIS_DATA='%s/data' XDG_CONFIG_HOME='%s' '%s/aegis' %s 2>&1", url,
             place.path, place.path, TEST_BINARY_DIR, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(output, 1, sizeof output - 1, pipe);
    output[n] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    assert_null(strstr(output, "hunter2"));
    return WEXITSTATUS(status);
}

static void says(const char *text)
{
    if (!strstr(output, text))
        fail_msg("'%s' is not in:\n%s", text, output);
}

static yyjson_doc *parsed(void)
{
    yyjson_read_err error;
    yyjson_doc *doc =
        yyjson_read_opts(output, strlen(output), YYJSON_READ_STOP_WHEN_DONE, NULL, &error);
    if (!doc)
        fail_msg("%s in:\n%s", error.msg, output);
    return doc;
}

/* The fixture's URL with a password, which the server does not ask for. */
static const char *secret_url(void)
{
    static char url[600];
    const char *at = strchr(fixture.url, '@');
    snprintf(url, sizeof url, "postgresql://postgres:hunter2%s", at);
    return url;
}

static void test_life(void **state)
{
    const char *url = secret_url();
    (void)state;
    assert_int_equal(aegis(url, "db"), 5);
    says("version 0; this program knows");
    says("run `aegis db migrate`");
    assert_int_equal(aegis(url, "db migrate --dry-run"), 0);
    says("CREATE EXTENSION vector;");
    says("CREATE TABLE media");
    assert_int_equal(aegis(url, "db migrate --dry-run --json"), 0);
    yyjson_doc *o_doc = parsed();
    yyjson_val *o = yyjson_doc_get_root(o_doc);
    assert_true(yyjson_is_true(yyjson_obj_get(o, "dry_run")));
    assert_string_equal(yyjson_get_str(yyjson_arr_get(yyjson_obj_get(o, "migrations"), 0)),
                        "0001_initial");
    yyjson_doc_free(o_doc);
    assert_int_equal(aegis(url, "db status"), 5);
    assert_int_equal(aegis(url, "db migrate"), 0);
    says("applied 0001_initial");
    assert_int_equal(aegis(url, "db migrate"), 0);
    says("nothing to do");
    assert_int_equal(aegis(url, "db status"), 0);
    says("pgvector  0.");
    assert_int_equal(aegis(url, "db status --json"), 0);
    o_doc = parsed();
    o = yyjson_doc_get_root(o_doc);
    assert_true(yyjson_is_true(yyjson_obj_get(o, "usable")));
    assert_true(yyjson_is_null(yyjson_obj_get(o, "problem")));
    assert_string_equal(yyjson_get_str(yyjson_obj_get(o, "engine")), "postgresql");
    assert_int_equal(yyjson_get_sint(yyjson_obj_get(o, "schema_version")),
                     yyjson_get_sint(yyjson_obj_get(o, "program_version")));
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(o, "roles")), 4);
    yyjson_doc_free(o_doc);
    assert_int_equal(aegis(url, "db roles --dry-run"), 0);
    says("CREATE ROLE");
    says("GRANT SELECT ON ALL TABLES IN SCHEMA aegis TO aegis_process, aegis_read;");
    assert_int_equal(aegis(url, "db roles"), 0);
    says("aegis_migrate\naegis_ingest\naegis_process\naegis_read\n");
}

static void test_newer(void **state)
{
    const char *url = secret_url();
    (void)state;
    assert_int_equal(aegis(url, "db migrate"), 0);
    pg_fixture_script(&fixture,
                      "INSERT INTO aegis.schema_migration (version, lowest_program, duration_ms, "
                      "name, checksum) VALUES (2000, 2000, 1, '2000_future', '')");
    assert_int_equal(aegis(url, "db status"), 6);
    says("2000_future");
    says("use the newer Aegis");
    assert_int_equal(aegis(url, "db migrate"), 6);
    assert_int_equal(aegis(url, "db status --json"), 6);
    says("\"usable\":false");
}

/* The secret may stand in aegis.conf or in the file "secrets" as well. */
static void write_file(const char *name, const char *text)
{
    char path[700];
    snprintf(path, sizeof path, "%s/data/%s", place.path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s%s\n", text, secret_url());
    fclose(file);
    char command[800];
    snprintf(command, sizeof command, "chmod 600 '%s'", path);
    assert_int_equal(system(command), 0);
}

static void test_where_the_url_stands(void **state)
{
    char command[700];
    (void)state;
    assert_int_equal(aegis("", "db"), 0);
    says("SQLite at ");
    says("not there yet");
    snprintf(command, sizeof command, "mkdir -p '%s/data'", place.path);
    assert_int_equal(system(command), 0);
    write_file("secrets", "database_url = ");
    assert_int_equal(aegis("", "db"), 5);
    says("PostgreSQL");
    snprintf(command, sizeof command, "rm '%s/data/secrets'", place.path);
    assert_int_equal(system(command), 0);
    write_file("aegis.conf", "[database]\nurl = ");
    assert_int_equal(aegis("", "db"), 5);
    says("PostgreSQL");
    assert_int_equal(aegis("", "config"), 0);
    says("aegis.conf:2");
    says(fixture.name);
}

static void test_no_password_is_shown(void **state)
{
    static const char *const urls[] = {
        "postgresql://u:hunter2@127.0.0.1:1/d",   "postgresql://u:hunter2/x@127.0.0.1:1/d",
        "postgresql://u:x@hunter2@127.0.0.1:1/d", "host=127.0.0.1 port=1 user=u password=hunter2",
        "mysql://u:hunter2@127.0.0.1/d",          "hunter2",
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        int unreachable = i == 0 || i == 3;
        assert_int_equal(aegis(urls[i], "config"), 0);
        says("database.url");
        assert_int_equal(aegis(urls[i], "config --json"), 0);
        assert_int_equal(aegis(urls[i], "db"), unreachable ? 5 : 2);
        assert_int_equal(aegis(urls[i], "db migrate"), unreachable ? 5 : 2);
        assert_int_equal(aegis(urls[i], "db roles"), unreachable ? 5 : 2);
        says("aegis: ");
    }
}

static void test_sqlite(void **state)
{
    char command[700];
    (void)state;
    assert_int_equal(aegis("", "db migrate"), 0);
    says("SQLite migrates itself");
    assert_int_equal(aegis("", "db roles"), 2);
    says("roles are for PostgreSQL");
    assert_int_equal(aegis("", "db nonsense"), 2);
    snprintf(command, sizeof command, "mkdir -p '%s/data' && printf 'a text' > '%s/data/note.txt'",
             place.path, place.path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "add --detach '%s/data/note.txt'", place.path);
    aegis("", command);
    assert_int_equal(aegis("", "db --json"), 0);
    yyjson_doc *o_doc = parsed();
    yyjson_val *o = yyjson_doc_get_root(o_doc);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(o, "engine")), "sqlite");
    assert_int_equal(yyjson_get_sint(yyjson_obj_get(o, "schema_version")),
                     yyjson_get_sint(yyjson_obj_get(o, "program_version")));
    yyjson_doc_free(o_doc);
}

static int set_up(void **state)
{
    (void)state;
    pg_fixture_open_empty(&fixture);
    place_make(&place);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pg_fixture_close(&fixture);
    place_remove(&place);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_newer),
        TEST(test_where_the_url_stands),
        TEST(test_sqlite),
        TEST(test_no_password_is_shown),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
