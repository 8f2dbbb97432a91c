#include <fcntl.h>
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

#include "adapters/local/secrets_environment.h"
#include "adapters/local/secrets_file.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/tree.h"

struct fixture {
    char place[256];
    char path[300];
    struct secret_source source;
    char value[SECRET_TEXT];
};

/* A folder that others may enter, as a data directory may be; a file in a private one is safe
 * whatever its mode. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *parent = getenv("TMPDIR");
    assert_non_null(f);
    snprintf(f->place, sizeof f->place, "%s/aegis-secrets.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(f->place));
    assert_int_equal(chmod(f->place, 0755), 0);
    snprintf(f->path, sizeof f->path, "%s/secrets", f->place);
    assert_int_equal(file_secrets_open(f->path, &f->source), OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->source.ops->close(f->source.ctx);
    assert_int_equal(tree_remove(f->place), 0);
    free(f);
    return 0;
}

static void write_secret(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(file_replace(path, text, strlen(text), mode), OK);
}

static int get(struct fixture *f, const char *name)
{
    return f->source.ops->get(f->source.ctx, name, f->value, sizeof f->value);
}

static void assert_secret(struct fixture *f, const char *name, const char *expected)
{
    if (get(f, name))
        fail_msg("'%s': %s", name, error_last()->message);
    assert_string_equal(f->value, expected);
}

static void reads_a_file(void **state)
{
    struct fixture *f = *state;
    write_secret(f->path,
                 "# keys\n"
                 "openai_api_key = sk-1234 \r\n"
                 "; other=no\n"
                 "\n"
                 "other=\"with = and space \"\n"
                 "empty =\n"
                 "[section]\n"
                 "openai_api_key_2=second\n"
                 "last=x",
                 0600);
    assert_secret(f, "openai_api_key", "sk-1234");
    assert_secret(f, "openai_api_key_2", "second");
    assert_secret(f, "other", "with = and space ");
    assert_secret(f, "last", "x");
    assert_int_equal(get(f, "empty"), ERR_NOT_FOUND);
    assert_int_equal(get(f, "missing"), ERR_NOT_FOUND);
    assert_int_equal(get(f, "openai"), ERR_NOT_FOUND);
}

static void sees_a_replaced_secret_at_once(void **state)
{
    struct fixture *f = *state;
    write_secret(f->path, "key=old\n", 0600);
    assert_secret(f, "key", "old");
    write_secret(f->path, "key=new\n", 0600);
    f->source.ops->invalidate(f->source.ctx, "key");
    assert_secret(f, "key", "new");
}

static void missing_file_has_no_secrets(void **state)
{
    assert_int_equal(get(*state, "key"), ERR_NOT_FOUND);
}

static void exposed_files_are_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0644, 0620, 0660, 0602};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        write_secret(f->path, "key=sk-very-secret\n", modes[i]);
        assert_int_equal(get(f, "key"), ERR_SYSTEMIC);
        assert_string_equal(error_last()->reason, "secrets_exposed");
        assert_non_null(strstr(error_last()->message, "chmod 600"));
        assert_null(strstr(error_last()->message, "sk-very-secret"));
    }
    assert_int_equal(chmod(f->place, 0700), 0); /* now nobody else gets there */
    assert_secret(f, "key", "sk-very-secret");
}

static void reads_a_folder(void **state)
{
    struct fixture *f = *state;
    char path[400];
    assert_int_equal(mkdir(f->path, 0755), 0);
    snprintf(path, sizeof path, "%s/openai_api_key", f->path);
    write_secret(path, "sk-1234\n", 0400);
    assert_secret(f, "openai_api_key", "sk-1234");
    write_secret(path, "sk-1234", 0400);
    assert_secret(f, "openai_api_key", "sk-1234");
    write_secret(path, "\n", 0400);
    assert_int_equal(get(f, "openai_api_key"), ERR_NOT_FOUND);
    assert_int_equal(get(f, "missing"), ERR_NOT_FOUND);
    write_secret(path, "sk-1234", 0444);
    assert_int_equal(get(f, "openai_api_key"), ERR_SYSTEMIC);
    assert_int_equal(chmod(f->path, 0700), 0);
    assert_secret(f, "openai_api_key", "sk-1234");
}

static void names_cannot_leave_the_folder(void **state)
{
    static const char *const names[] = {
        "",
        "../secret",
        "a/b",
        ".",
        "a.b",
        "a b",
        "n1234567890123456789012345678901234567890123456789012345678901234"};
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(get(f, names[i]), ERR_INVALID);
}

static void too_long_is_an_error_of_its_own(void **state)
{
    struct fixture *f = *state;
    char small[8];
    write_secret(f->path, "key=12345678\n", 0600);
    assert_int_equal(f->source.ops->get(f->source.ctx, "key", small, sizeof small), ERR_TOO_LARGE);
    write_secret(f->path, "key=1234567\n", 0600);
    assert_int_equal(f->source.ops->get(f->source.ctx, "key", small, sizeof small), OK);
    assert_string_equal(small, "1234567");
}

static void a_pipe_is_no_secret(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(get(f, "key"), ERR_SYSTEMIC);
}

static void reads_the_environment(void **state)
{
    struct secret_source source;
    char value[8];
    (void)state;
    environment_secrets_open(&source);
    assert_int_equal(setenv("AEGIS_TEST_SECRET", "1234567", 1), 0);
    assert_int_equal(source.ops->get(source.ctx, "aegis_test_secret", value, sizeof value), OK);
    assert_string_equal(value, "1234567");
    assert_int_equal(setenv("AEGIS_TEST_SECRET", "12345678", 1), 0);
    assert_int_equal(source.ops->get(source.ctx, "aegis_test_secret", value, sizeof value),
                     ERR_TOO_LARGE);
    assert_int_equal(setenv("AEGIS_TEST_SECRET", "", 1), 0);
    assert_int_equal(source.ops->get(source.ctx, "aegis_test_secret", value, sizeof value),
                     ERR_NOT_FOUND);
    assert_int_equal(unsetenv("AEGIS_TEST_SECRET"), 0);
    assert_int_equal(source.ops->get(source.ctx, "aegis_test_secret", value, sizeof value),
                     ERR_NOT_FOUND);
    source.ops->invalidate(source.ctx, "aegis_test_secret");
    source.ops->close(source.ctx);
}

static void the_first_source_that_has_it_wins(void **state)
{
    struct fixture *f = *state;
    struct secret_source sources[2], chain;
    char value[32];
    environment_secrets_open(&sources[0]);
    assert_int_equal(file_secrets_open(f->path, &sources[1]), OK);
    assert_int_equal(chained_secrets_open(sources, 2, &chain), OK);
    write_secret(f->path, "aegis_test_secret=from the file\n", 0600);
    assert_int_equal(chain.ops->get(chain.ctx, "aegis_test_secret", value, sizeof value), OK);
    assert_string_equal(value, "from the file");
    assert_int_equal(setenv("AEGIS_TEST_SECRET", "from the environment", 1), 0);
    assert_int_equal(chain.ops->get(chain.ctx, "aegis_test_secret", value, sizeof value), OK);
    assert_string_equal(value, "from the environment");
    assert_int_equal(unsetenv("AEGIS_TEST_SECRET"), 0);
    write_secret(f->path, "aegis_test_secret=from the file\n", 0644);
    assert_int_equal(chain.ops->get(chain.ctx, "aegis_test_secret", value, sizeof value),
                     ERR_SYSTEMIC);
    chain.ops->invalidate(chain.ctx, "aegis_test_secret");
    chain.ops->close(chain.ctx);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(reads_a_file),
        CASE(sees_a_replaced_secret_at_once),
        CASE(missing_file_has_no_secrets),
        CASE(exposed_files_are_refused),
        CASE(reads_a_folder),
        CASE(names_cannot_leave_the_folder),
        CASE(too_long_is_an_error_of_its_own),
        CASE(a_pipe_is_no_secret),
        CASE(reads_the_environment),
        CASE(the_first_source_that_has_it_wins),
    };
    return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
