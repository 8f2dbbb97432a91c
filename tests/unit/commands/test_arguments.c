#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/cli.h"
#include "commands/help.h"
#include "shared/config.h"
#include "shared/error.h"

enum { WORDS = 16 };

static int parse(struct arguments *out, const char *line)
{
    static char text[512];
    char *argv[WORDS + 1];
    int argc = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *save = NULL, *w = strtok_r(text, " ", &save); w && argc < WORDS;
         w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    return arguments_parse(argc, argv, out);
}

static void good(struct arguments *out, const char *line)
{
    if (parse(out, line))
        fail_msg("'%s': %s", line, error_last()->message);
}

static void bad(const char *line, const char *part)
{
    struct arguments a;
    if (parse(&a, line) != ERR_INVALID)
        fail_msg("'%s' was accepted", line);
    if (!strstr(error_last()->message, part))
        fail_msg("'%s': \"%s\" does not say \"%s\"", line, error_last()->message, part);
    arguments_free(&a);
}

static void test_options_may_stand_anywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "aegis --json transcript --format srt talk.mp3",
        "aegis transcript talk.mp3 --json --format=srt",
        "aegis transcript --format srt --json -- talk.mp3",
        "aegis --json transcript --format vtt --format srt talk.mp3",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct arguments a;
        good(&a, lines[i]);
        assert_string_equal(a.command->name, "transcript");
        assert_string_equal(arguments_value(&a, "format", "txt"), "srt");
        assert_true(arguments_has(&a, "json"));
        assert_false(arguments_has(&a, "plain"));
        assert_int_equal(a.operand_count, 1);
        assert_string_equal(a.operands[0], "talk.mp3");
        arguments_free(&a);
    }
}

static void test_short_options(void **state)
{
    (void)state;
    struct arguments a;
    int64_t n;
    good(&a, "aegis search -n5 a b");
    assert_int_equal(arguments_int(&a, "limit", 10, 1, 100, &n), OK);
    assert_int_equal(n, 5);
    char *query = arguments_join(&a, 0);
    assert_string_equal(query, "a b");
    free(query);
    arguments_free(&a);
    good(&a, "aegis add -dc talks x");
    assert_true(arguments_has(&a, "detach"));
    assert_string_equal(arguments_value(&a, "collection", ""), "talks");
    arguments_free(&a);
    good(&a, "aegis add - --key k");
    assert_string_equal(a.operands[0], "-");
    arguments_free(&a);
}

static void test_after_two_dashes_all_are_operands(void **state)
{
    (void)state;
    struct arguments a;
    good(&a, "aegis search -- --json -n");
    assert_int_equal(a.operand_count, 2);
    assert_false(arguments_has(&a, "json"));
    arguments_free(&a);
}

static void test_slips_are_named(void **state)
{
    (void)state;
    bad("aegis list --jsno", "unknown option '--jsno'; did you mean '--json'?");
    bad("aegis list --colection=x", "'--collection'");
    bad("aegis serach x", "did you mean 'search'?");
    bad("aegis frobnicate", "unknown command 'frobnicate'");
    bad("aegis --limit 3 list", "before the command");
    bad("aegis list --frobnicate", "`aegis list` has no option '--frobnicate'");
    bad("aegis list -x", "unknown option '-x'");
    bad("aegis dead lst", "did you mean 'list'?");
    bad("aegis dead frobnicate", "list, show, redrive or drop");
}

static void test_values_are_checked(void **state)
{
    (void)state;
    bad("aegis transcript x --format doc", "txt, srt, vtt or json, not 'doc'");
    bad("aegis transcript x --format", "needs a value");
    bad("aegis list --json=yes", "takes no value");
    bad("aegis list --color sometimes", "auto, always or never");
    struct arguments a;
    int64_t n;
    static const char *const numbers[] = {"0", "101", "x", "1x", "", "99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "aegis search q --limit=%s", numbers[i]);
        good(&a, line);
        assert_int_equal(arguments_int(&a, "limit", 10, 1, 100, &n), ERR_INVALID);
        assert_non_null(strstr(error_last()->message, "from 1 to 100"));
        arguments_free(&a);
    }
}

static void test_operands_are_counted(void **state)
{
    (void)state;
    bad("aegis show", "needs KEY|ID");
    bad("aegis show a b", "does not take 'b'");
    bad("aegis add", "needs PATH...");
    bad("aegis list x", "does not take 'x'");
    struct arguments a;
    good(&a, "aegis show --help"); /* help needs no operands */
    arguments_free(&a);
    good(&a, "aegis");
    assert_null(a.command);
    arguments_free(&a);
}

static size_t option_count(const struct option_spec *options)
{
    size_t n = 0;
    while (options && options[n].name)
        n++;
    return n;
}

static void test_the_table_is_consistent(void **state)
{
    (void)state;
    for (const struct command *const *c = commands; *c; c++) {
        assert_non_null((*c)->name);
        assert_non_null((*c)->summary);
        assert_non_null((*c)->operands);
        assert_non_null((*c)->description);
        assert_non_null((*c)->run);
        assert_ptr_equal(command_find((*c)->name), *c);
        assert_int_equal((*c)->operand_kind == OPERAND_WORDS, (*c)->words != NULL);
        size_t n = option_count((*c)->options);
        for (size_t i = 0; i < n; i++) {
            const struct option_spec *o = &(*c)->options[i];
            assert_non_null(o->help);
            if (o->choices || o->setting)
                assert_non_null(o->argument);
            if (o->setting)
                assert_non_null(config_find(o->setting));
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(o->name, (*c)->options[j].name);
            for (const struct option_spec *g = global_options; g->name; g++)
                assert_string_not_equal(o->name, g->name);
        }
    }
}

static void mentions(const char *where, const char *text, const char *name)
{
    char option[64];
    snprintf(option, sizeof option, "--%s", name);
    if (!strstr(text, option))
        fail_msg("%s does not mention %s", where, option);
}

/* What `print` writes, malloc'd. */
static char *printed(void (*print)(FILE *, const struct command *), const struct command *c)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    print(out, c);
    fclose(out);
    return text;
}

static void print_help(FILE *out, const struct command *c)
{
    help_command(out, c, false);
}

static void print_completion(FILE *out, const struct command *c)
{
    (void)c;
    help_bash_completion(out);
}

static void print_markdown(FILE *out, const struct command *c)
{
    (void)c;
    help_markdown_cli(out);
}

static void test_help_and_completion_mention_every_option(void **state)
{
    (void)state;
    char *completion = printed(print_completion, NULL), *markdown = printed(print_markdown, NULL);
    for (const struct command *const *c = commands; *c; c++) {
        char *help = printed(print_help, *c);
        for (const struct option_spec *o = (*c)->options; o && o->name; o++) {
            mentions((*c)->name, help, o->name);
            mentions("completion", completion, o->name);
            mentions("docs/cli.md", markdown, o->name);
        }
        for (const struct option_spec *o = global_options; o->name; o++)
            mentions((*c)->name, help, o->name);
        free(help);
    }
    free(completion);
    free(markdown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_may_stand_anywhere),
        cmocka_unit_test(test_short_options),
        cmocka_unit_test(test_after_two_dashes_all_are_operands),
        cmocka_unit_test(test_slips_are_named),
        cmocka_unit_test(test_values_are_checked),
        cmocka_unit_test(test_operands_are_counted),
        cmocka_unit_test(test_the_table_is_consistent),
        cmocka_unit_test(test_help_and_completion_mention_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
