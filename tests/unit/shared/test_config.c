#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/config.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/nearest.h"

/* Every test has a directory of its own, with HOME and XDG variables inside it and no settings in
 * the environment. */
struct place {
    char root[128];
    char data[160];
};

static int clear_environment(void)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++)
        unsetenv(table[i].env);
    return unsetenv("AEGIS_DATA") | unsetenv("AEGIS_CONFIG") | unsetenv("XDG_DATA_HOME") |
           unsetenv("XDG_CONFIG_HOME");
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    const char *tmp = getenv("TMPDIR");
    snprintf(p->root, sizeof p->root, "%s/aegis-config-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(p->root));
    snprintf(p->data, sizeof p->data, "%s/data", p->root);
    assert_int_equal(file_make_directory(p->data), OK);
    clear_environment();
    setenv("HOME", p->root, 1);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", p->root);
    int rc = system(command);
    free(p);
    return rc;
}

static void put(const struct place *p, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->root, name);
    assert_int_equal(file_replace(path, text, strlen(text), 0600), OK);
}

static struct config *open_ok(const struct place *p)
{
    struct config *config;
    int rc = config_open(p->data, NULL, &config);
    if (rc)
        fail_msg("%s", error_last()->message);
    return config;
}

/* The file in the data directory is refused, with a text that holds each of `parts`. */
static void refused(const struct place *p, const char *text, const char *const *parts)
{
    struct config *config = (struct config *)1;
    put(p, "data/aegis.conf", text);
    assert_int_equal(config_open(p->data, NULL, &config), ERR_INVALID);
    assert_null(config);
    for (; *parts; parts++)
        if (!strstr(error_last()->message, *parts))
            fail_msg("\"%s\" does not say \"%s\"", error_last()->message, *parts);
}
#define REFUSED(p, text, ...) refused((p), (text), (const char *const[]){__VA_ARGS__, NULL})

static void test_defaults_are_valid_and_complete(void **state)
{
    struct config *config = open_ok(*state);
    size_t count;
    const struct setting *table = config_settings(&count);
    assert_true(count > 30);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(config_text(config, table[i].key), table[i].fallback);
        assert_int_equal(config_source(config, table[i].key), SOURCE_DEFAULT);
        assert_string_equal(config_source_text(config, table[i].key), "default");
        assert_non_null(table[i].help);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(table[i].key, table[j].key);
            assert_string_not_equal(table[i].env, table[j].env);
        }
    }
    assert_int_equal(config_int(config, "workers"), 16);
    assert_int_equal(config_int(config, "retry.cap"), 300000);
    assert_int_equal(config_int(config, "summary.max_bytes"), 2 << 20);
    assert_string_equal(config_file(config), "");
    config_close(config);
}

static void test_flags_over_environment_over_file(void **state)
{
    struct place *p = *state;
    put(p, "data/aegis.conf", "workers = 2\n[retry]\ncap = 10m\nbase = 2s\n[log]\nlevel=warn\n");
    setenv("AEGIS_RETRY_CAP", "20m", 1);
    setenv("AEGIS_LOG_LEVEL", "error", 1);
    struct config *config = open_ok(p);
    assert_int_equal(config_set(config, "log.level", "debug"), OK);

    assert_int_equal(config_int(config, "workers"), 2);
    assert_string_equal(config_source_text(config, "workers"), "aegis.conf:1");
    assert_int_equal(config_int(config, "retry.base"), 2000);
    assert_string_equal(config_source_text(config, "retry.base"), "aegis.conf:4");
    assert_int_equal(config_int(config, "retry.cap"), 1200000);
    assert_int_equal(config_source(config, "retry.cap"), SOURCE_ENVIRONMENT);
    assert_string_equal(config_source_text(config, "retry.cap"), "AEGIS_RETRY_CAP");
    assert_string_equal(config_string(config, "log.level"), "debug");
    assert_int_equal(config_source(config, "log.level"), SOURCE_FLAG);
    assert_int_equal(config_set_from(config, "workers", "9", "--workers"), OK);
    assert_string_equal(config_source_text(config, "workers"), "--workers");
    config_close(config);
}

static void test_empty_variable_is_not_set(void **state)
{
    setenv("AEGIS_WORKERS", "", 1);
    setenv("OPENAI_API_KEY", "", 1);
    struct config *config = open_ok(*state);
    assert_int_equal(config_int(config, "workers"), 16);
    assert_int_equal(config_source(config, "openai.api_key"), SOURCE_DEFAULT);
    config_close(config);
}

static void test_unknown_keys_name_line_and_nearest(void **state)
{
    REFUSED(*state, "workers = 4\n\n[retry]\nbase = 1s\nmax_atempts = 3\n", "aegis.conf:5",
            "retry.max_atempts", "did you mean 'retry.max_attempts'");
    REFUSED(*state, "worker = 4\n", "aegis.conf:1", "'worker'", "did you mean 'workers'");
    REFUSED(*state, "zzzzzzzz = 4\n", "'zzzzzzzz'", "aegis config");
    REFUSED(*state, "[openai]\nworkers = 4\n", "aegis.conf:2", "'openai.workers'");
}

static void test_bad_values_name_line_and_what_is_allowed(void **state)
{
    REFUSED(*state, "\nworkers = many\n", "aegis.conf:2", "'workers'", "whole number", "'many'");
    REFUSED(*state, "workers = 0\n", "from 1 to 4096");
    REFUSED(*state, "workers = 99999999999999999999\n", "'workers'");
    REFUSED(*state, "provider = opena\n", "auto, offline, openai", "'opena'");
    REFUSED(*state, "drain = 5\n", "'drain'", "duration");
    REFUSED(*state, "drain = 5 parsecs\n", "duration");
    REFUSED(*state, "drain = -5s\n", "duration");
    REFUSED(*state, "[chunk]\nbytes = 4TB\n", "'chunk.bytes'", "16KiB");
    REFUSED(*state, "budget = 1e9\n", "'budget'", "number");
    REFUSED(*state, "budget = -1\n", "'budget'");
    REFUSED(*state, "budget =\n", "'budget'");
}

static void test_lines_that_are_not_ini(void **state)
{
    REFUSED(*state, "workers = 4\nwhat is this\n", "aegis.conf:2", "key = value");
    REFUSED(*state, "[retry\nbase = 1s\n", "aegis.conf:1");
    REFUSED(*state, "workers = 4\nworkers = 5\n", "aegis.conf:2", "twice", "line 1");
    /* the first mistake is the one reported, whichever kind it is */
    REFUSED(*state, "nonsense\nworker = 4\n", "aegis.conf:1", "key = value");
    REFUSED(*state, "worker = 4\nnonsense\n", "aegis.conf:1", "'worker'");
}

static void test_a_file_that_is_not_text(void **state)
{
    struct place *p = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/aegis.conf", p->data);
    assert_int_equal(file_replace(path, "workers\0= 4", 11, 0600), OK);
    struct config *config;
    assert_int_equal(config_open(p->data, NULL, &config), ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "not a text file"));
}

static void test_bad_environment_and_flags_are_named(void **state)
{
    struct place *p = *state;
    struct config *config;
    setenv("AEGIS_WORKERS", "several", 1);
    assert_int_equal(config_open(p->data, NULL, &config), ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "AEGIS_WORKERS"));
    unsetenv("AEGIS_WORKERS");

    config = open_ok(p);
    assert_int_equal(config_set(config, "wrokers", "4"), ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "did you mean 'workers'"));
    assert_int_equal(config_set(config, "workers", "none"), ERR_INVALID);
    assert_int_equal(config_int(config, "workers"), 16);
    config_close(config);
}

static void test_a_secret_is_never_in_an_error(void **state)
{
    struct place *p = *state;
    struct config *config = open_ok(p);
    size_t size = 10000;
    char *key = malloc(size);
    memset(key, 'k', size);
    memcpy(key, "sk-private", 10);
    key[size - 1] = '\0';
    assert_int_equal(config_set(config, "openai.api_key", key), ERR_INVALID);
    assert_null(strstr(error_last()->message, "sk-private"));
    free(key);
    config_close(config);
}

static void test_durations_and_sizes(void **state)
{
    static const struct {
        const char *key, *text;
        int64_t value; /* -1: refused */
    } rows[] = {
        {"drain", "0", 0},
        {"drain", "0s", 0},
        {"drain", "500ms", 500},
        {"drain", "1.5s", 1500},
        {"drain", "90 s", 90000},
        {"drain", "1m30s", 90000},
        {"drain", "30min", 1800000},
        {"retry.cap", "1h30m", 5400000},
        {"queue.visibility", "2H", 7200000},
        {"drain", "s", -1},
        {"drain", "1s2", -1},
        {"drain", "1..5s", -1},
        {"drain", "0x10s", -1},
        {"drain", "nan", -1},
        {"drain", "99999999999999999999999h", -1},
        {"drain", "", -1},
        {"chunk.bytes", "1400", 1400},
        {"chunk.bytes", "2KiB", 2048},
        {"chunk.bytes", "2k", 2048},
        {"chunk.bytes", "2kB", 2000},
        {"chunk.bytes", "1.5 KiB", 1536},
        {"summary.max_bytes", "64MiB", 64 << 20},
        {"summary.max_bytes", "1GiB", 1 << 30},
        {"chunk.bytes", "199", -1},
        {"chunk.bytes", "1 light year", -1},
    };
    struct config *config = open_ok(*state);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = config_set(config, rows[i].key, rows[i].text);
        if (rc != (rows[i].value < 0 ? ERR_INVALID : OK))
            fail_msg("%s = \"%s\" gave %d", rows[i].key, rows[i].text, rc);
        if (!rc)
            assert_int_equal(config_int(config, rows[i].key), rows[i].value);
    }
    assert_int_equal(config_set(config, "budget", "12.50"), OK);
    assert_true(config_number(config, "budget") == 12.5);
    config_close(config);
}

static void test_what_a_file_may_look_like(void **state)
{
    struct place *p = *state;
    char text[4096];
    char key[1500];
    memset(key, 'a', sizeof key - 1); /* far longer than libinih's own line limit */
    key[sizeof key - 1] = '\0';
    snprintf(text, sizeof text,
             "\xef\xbb\xbf# a comment\r\n; another\r\n\r\n  workers = 4   ; many\r\n"
             "\tdrain=1s\r\n[openai]\r\nbase_url = http://localhost:11434/v1?a=b;c\r\n"
             "   api_key = %s\r\n[retry]\r\n  cap: 7m",
             key);
    put(p, "data/aegis.conf", text);
    struct config *config = open_ok(p);
    assert_int_equal(config_int(config, "workers"), 4);
    assert_string_equal(config_source_text(config, "workers"), "aegis.conf:4");
    assert_int_equal(config_int(config, "drain"), 1000);
    assert_string_equal(config_string(config, "openai.base_url"),
                        "http://localhost:11434/v1?a=b;c");
    assert_string_equal(config_string(config, "openai.api_key"), key);
    assert_string_equal(config_source_text(config, "openai.api_key"), "aegis.conf:8");
    assert_int_equal(config_int(config, "retry.cap"), 420000);
    config_close(config);
}

static void test_prices(void **state)
{
    struct place *p = *state;
    put(p, "data/aegis.conf",
        "[price]\ngpt-5.4-mini = 0.25 0.025 2.00\ngpt-transcribe = 0.006/min\n"
        "llama3.2:3b = 0 0 0\nembed = 0.02\n");
    struct config *config = open_ok(p);
    assert_string_equal(config_price(config, "gpt-5.4-mini"), "0.25 0.025 2.00");
    assert_string_equal(config_price(config, "gpt-transcribe"), "0.006/min");
    assert_string_equal(config_price(config, "llama3.2:3b"), "0 0 0");
    assert_string_equal(config_price(config, "embed"), "0.02");
    assert_null(config_price(config, "gpt-4"));
    const char *model, *price;
    int line;
    assert_true(config_price_at(config, 2, &model, &price, &line));
    assert_string_equal(model, "llama3.2:3b");
    assert_int_equal(line, 4);
    assert_false(config_price_at(config, 4, &model, &price, &line));
    config_close(config);

    REFUSED(p, "[price]\nm = cheap\n", "aegis.conf:2", "'m'", "'cheap'");
    REFUSED(p, "[price]\nm = 1 2 3 4\n", "aegis.conf:2");
    REFUSED(p, "[price]\nm = -1\n", "aegis.conf:2");
    REFUSED(p, "[price]\nm = 1/hour\n", "aegis.conf:2");
    REFUSED(p, "[price]\nm = 1\nm = 2\n", "aegis.conf:3", "twice", "line 2");
}

static void test_where_files_are_looked_for(void **state)
{
    struct place *p = *state;
    char path[300];
    struct config *config;

    /* the data directory: flag, AEGIS_DATA, XDG_DATA_HOME, HOME */
    assert_int_equal(config_open(NULL, NULL, &config), OK);
    snprintf(path, sizeof path, "%s/.local/share/aegis", p->root);
    assert_string_equal(config_data_directory(config), path);
    config_close(config);
    setenv("XDG_DATA_HOME", "relative/is/ignored", 1);
    assert_int_equal(config_open(NULL, NULL, &config), OK);
    assert_string_equal(config_data_directory(config), path);
    config_close(config);
    setenv("XDG_DATA_HOME", "/elsewhere", 1);
    assert_int_equal(config_open(NULL, NULL, &config), OK);
    assert_string_equal(config_data_directory(config), "/elsewhere/aegis");
    config_close(config);
    setenv("AEGIS_DATA", "/from/the/environment", 1);
    assert_int_equal(config_open(NULL, NULL, &config), OK);
    assert_string_equal(config_data_directory(config), "/from/the/environment");
    config_close(config);
    assert_int_equal(config_open("/flag", NULL, &config), OK);
    assert_string_equal(config_data_directory(config), "/flag");
    config_close(config);
    unsetenv("AEGIS_DATA");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_int_equal(config_open(NULL, NULL, &config), ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "--data"));
    setenv("HOME", p->root, 1);

    /* the file: the flag, AEGIS_CONFIG, the data directory's, the XDG one */
    snprintf(path, sizeof path, "%s/.config/aegis", p->root);
    assert_int_equal(file_make_directory(path), OK);
    put(p, ".config/aegis/aegis.conf", "workers = 1\n");
    config = open_ok(p);
    assert_int_equal(config_int(config, "workers"), 1);
    config_close(config);
    put(p, "data/aegis.conf", "workers = 2\n");
    config = open_ok(p);
    assert_int_equal(config_int(config, "workers"), 2);
    config_close(config);
    put(p, "other.conf", "workers = 3\n");
    snprintf(path, sizeof path, "%s/other.conf", p->root);
    setenv("AEGIS_CONFIG", path, 1);
    config = open_ok(p);
    assert_int_equal(config_int(config, "workers"), 3);
    assert_string_equal(config_file(config), path);
    config_close(config);
    assert_int_equal(config_open(p->data, "/no/such/file", &config), ERR_NOT_FOUND);
}

static void test_nearest(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("json", "json"), 0);
    assert_int_equal(nearest_distance("jsno", "json"), 1);
    assert_int_equal(nearest_distance("JSON", "json"), 0);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("ca", "abc"), 3);
    struct nearest n = {.typed = "serach"};
    nearest_offer(&n, "serve");
    nearest_offer(&n, "search");
    nearest_offer(&n, "reach");
    assert_string_equal(n.best, "search");
    n = (struct nearest){.typed = "x"};
    nearest_offer(&n, "add");
    assert_null(n.best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults_are_valid_and_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags_over_environment_over_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_variable_is_not_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_keys_name_line_and_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_values_name_line_and_what_is_allowed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_lines_that_are_not_ini, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_not_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_environment_and_flags_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_secret_is_never_in_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_durations_and_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_file_may_look_like, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_files_are_looked_for, setup, teardown),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
