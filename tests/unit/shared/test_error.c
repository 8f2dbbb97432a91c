#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"

static void keeps_what_was_set(void **state)
{
    (void)state;
    assert_int_equal(error_set(ERR_CONFLICT, "lost_lease", "job %d is '%s'", 7, "gone"),
                     ERR_CONFLICT);
    assert_int_equal(error_last()->code, ERR_CONFLICT);
    assert_string_equal(error_last()->reason, "lost_lease");
    assert_string_equal(error_last()->message, "job 7 is 'gone'");
    assert_int_equal(error_last()->retry_after_ms, -1);
    error_set(ERR_IO, NULL, "next");
    assert_string_equal(error_last()->reason, "");
    error_clear();
    assert_int_equal(error_last()->code, OK);
    assert_string_equal(error_last()->message, "");
}

static void is_one_line(void **state)
{
    (void)state;
    error_set(ERR_INVALID, NULL, "a\nb\tc\x1b[31m\x7f");
    assert_string_equal(error_last()->message, "a b c [31m ");
    error_prefix("while\nreading");
    assert_string_equal(error_last()->message, "while reading: a b c [31m ");
}

static void may_be_made_of_itself(void **state)
{
    (void)state;
    error_set(ERR_PERMANENT, "parser_crashed", "it broke");
    error_set(ERR_TRANSIENT, error_last()->reason, "again: %s", error_last()->message);
    assert_string_equal(error_last()->reason, "parser_crashed");
    assert_string_equal(error_last()->message, "again: it broke");
    error_prefix("'%s' then", error_last()->reason);
    assert_string_equal(error_last()->message, "'parser_crashed' then: again: it broke");
    assert_int_equal(error_restore(error_last()), ERR_TRANSIENT);
}

static void long_text_is_cut(void **state)
{
    char text[2000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(ERR_IO, text, "%s", text);
    assert_int_equal(strlen(error_last()->message), sizeof error_last()->message - 1);
    assert_int_equal(strlen(error_last()->reason), sizeof error_last()->reason - 1);
    assert_int_equal(error_prefix("%s", text), ERR_IO);
    assert_int_equal(strlen(error_last()->message), sizeof error_last()->message - 1);
}

static void errno_becomes_a_code(void **state)
{
    static const struct {
        int errnum;
        enum error_code code;
    } table[] = {{ENOSPC, ERR_DISK_FULL}, {EDQUOT, ERR_DISK_FULL}, {ENOENT, ERR_NOT_FOUND},
                 {ENOMEM, ERR_NO_MEMORY}, {EACCES, ERR_IO},        {EIO, ERR_IO}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(error_set_errno(table[i].errnum, "cannot open '%s'", "x"), table[i].code);
        char expected[200];
        snprintf(expected, sizeof expected, "cannot open 'x': %s", strerror(table[i].errnum));
        assert_string_equal(error_last()->message, expected);
    }
}

static void carries_when_to_retry(void **state)
{
    (void)state;
    error_set(ERR_TRANSIENT, "rate_limited", "slow down");
    assert_int_equal(error_retry_after(1500), ERR_TRANSIENT);
    assert_int_equal(error_last()->retry_after_ms, 1500);
    error_prefix("provider");
    assert_int_equal(error_last()->retry_after_ms, 1500);
}

static void has_a_class_and_a_name(void **state)
{
    static const struct {
        enum error_code code, class;
        const char *name;
    } table[] = {
        {ERR_TRANSIENT, ERR_TRANSIENT, "transient"},
        {ERR_PERMANENT, ERR_PERMANENT, "permanent"},
        {ERR_SYSTEMIC, ERR_SYSTEMIC, "systemic"},
        {ERR_INVALID, ERR_PERMANENT, "invalid"},
        {ERR_NOT_FOUND, ERR_PERMANENT, "not_found"},
        {ERR_CONFLICT, ERR_TRANSIENT, "conflict"},
        {ERR_BUSY, ERR_TRANSIENT, "busy"},
        {ERR_TOO_LARGE, ERR_PERMANENT, "too_large"},
        {ERR_DISK_FULL, ERR_SYSTEMIC, "disk_full"},
        {ERR_NO_MEMORY, ERR_TRANSIENT, "no_memory"},
        {ERR_IO, ERR_TRANSIENT, "io"},
        {ERR_TIMEOUT, ERR_TRANSIENT, "timeout"},
        {ERR_CANCELLED, ERR_TRANSIENT, "cancelled"},
        {ERR_SCHEMA, ERR_SYSTEMIC, "schema"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(error_class(&(struct error){.code = table[i].code}), table[i].class);
        assert_string_equal(error_code_name(table[i].code), table[i].name);
    }
    assert_string_equal(error_code_name(OK), "ok");
    assert_string_equal(error_code_name((enum error_code)999), "unknown");
}

static void *fail_elsewhere(void *arg)
{
    struct error *out = arg;
    if (error_last()->code != OK)
        return "a new thread begins with an error";
    error_set(ERR_BUSY, "there", "in another thread");
    *out = *error_last();
    return NULL;
}

static void belongs_to_its_thread(void **state)
{
    struct error carried;
    pthread_t thread;
    void *complaint;
    (void)state;
    error_set(ERR_IO, "here", "in this thread");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &carried), 0);
    assert_int_equal(pthread_join(thread, &complaint), 0);
    assert_null(complaint);
    assert_string_equal(error_last()->reason, "here");
    assert_int_equal(error_restore(&carried), ERR_BUSY);
    assert_string_equal(error_last()->message, "in another thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_was_set),     cmocka_unit_test(is_one_line),
        cmocka_unit_test(may_be_made_of_itself),  cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(errno_becomes_a_code),   cmocka_unit_test(carries_when_to_retry),
        cmocka_unit_test(has_a_class_and_a_name), cmocka_unit_test(belongs_to_its_thread),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
