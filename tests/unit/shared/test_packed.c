/* What lies beside the program is used; what does not changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/packed.h"
#include "support/tree.h"

static char place[256];

/* A copy of this program in a folder of its own: it prints what it settles. */
static void run_copy(const char *environment, char *output, size_t size)
{
    char command[1024];
    snprintf(command, sizeof command, "env %s '%s/copy' print", environment, place);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(output, 1, size - 1, pipe);
    output[n] = '\0';
    assert_int_equal(pclose(pipe), 0);
}

static void shell(const char *line)
{
    char command[1024];
    snprintf(command, sizeof command, "cd '%s' && %s", place, line);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    char command[1024], self[512] = {0};
    const char *parent = getenv("TMPDIR");
    (void)state;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(place, sizeof place, "%s/aegis-packed.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(place));
    snprintf(command, sizeof command, "cp '%s' copy", self);
    shell(command);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return tree_remove(place);
}

static void nothing_beside_changes_nothing(void **state)
{
    char output[2048];
    (void)state;
    run_copy("-u SSL_CERT_FILE -u GCONV_PATH PATH=/a:/b", output, sizeof output);
    assert_string_equal(output, "/a:/b\n-\n-\n");
}

static void what_is_beside_is_used(void **state)
{
    char output[2048], expected[2048];
    (void)state;
    shell("mkdir -p bin lib/gconv share && touch bin/pdftotext share/ca-bundle.crt");
    run_copy("-u SSL_CERT_FILE -u GCONV_PATH PATH=/a:/b", output, sizeof output);
    snprintf(expected, sizeof expected, "%s/bin:/a:/b\n%s/share/ca-bundle.crt\n%s/lib/gconv\n",
             place, place, place);
    assert_string_equal(output, expected);
}

static void what_was_set_stays(void **state)
{
    char output[2048], expected[2048];
    (void)state;
    shell("mkdir -p bin lib/gconv share && touch bin/pdftotext share/ca-bundle.crt");
    run_copy("SSL_CERT_FILE=/own.pem GCONV_PATH=/own PATH=", output, sizeof output);
    snprintf(expected, sizeof expected, "%s/bin:/usr/bin:/bin\n/own.pem\n/own\n", place);
    assert_string_equal(output, expected);
}

static void a_path_that_does_not_fit_is_none(void **state)
{
    char small[8];
    (void)state;
    assert_false(packed_path("", small, sizeof small));
    char large[512];
    assert_false(packed_path("there is no such file", large, sizeof large));
}

static int print(void)
{
    static const char *const names[] = {"PATH", "SSL_CERT_FILE", "GCONV_PATH"};
    packed_settle();
    for (size_t i = 0; i < 3; i++)
        printf("%s\n", getenv(names[i]) ? getenv(names[i]) : "-");
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_beside_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_beside_is_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_set_stays, set_up, tear_down),
        cmocka_unit_test(a_path_that_does_not_fit_is_none),
    };
    if (argc > 1 && !strcmp(argv[1], "print"))
        return print();
    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
