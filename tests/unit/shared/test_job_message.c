#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/job_message.h"

static int parse(const char *body, struct job_message *out)
{
    return job_message_parse(body, strlen(body), out);
}

static void goes_both_ways(void **state)
{
    static const int64_t ids[] = {1, 12, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct job_message message = {.job_id = ids[i]}, back;
        char text[JOB_MESSAGE_TEXT];
        random_trace_id(message.trace_id);
        size_t length = job_message_format(&message, text);
        assert_int_equal(length, strlen(text));
        assert_int_equal(job_message_parse(text, length, &back), OK);
        assert_int_equal(back.job_id, ids[i]);
        assert_string_equal(back.trace_id, message.trace_id);
    }
}

static void looks_as_documented(void **state)
{
    struct job_message message = {.job_id = 12, .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"};
    char text[JOB_MESSAGE_TEXT];
    (void)state;
    job_message_format(&message, text);
    assert_string_equal(
        text, "{\"version\":1,\"job_id\":12,\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}");
}

static void unknown_members_are_ignored(void **state)
{
    struct job_message message;
    (void)state;
    assert_int_equal(parse("{\"version\":1,\"new\":[],\"job_id\":5,\"trace_id\":"
                           "\"4bf92f3577b34da6a3ce929d0e0e4736\"}",
                           &message),
                     OK);
    assert_int_equal(message.job_id, 5);
}

static void a_newer_version_is_kept_for_an_upgrade(void **state)
{
    struct job_message message;
    (void)state;
    assert_int_equal(parse("{\"version\":2,\"job\":\"abc\"}", &message), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "unknown_message_version");
    assert_non_null(strstr(error_last()->message, "upgrade"));
}

static void malformed_ones_are_permanent(void **state)
{
#define TRACE "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""
    static const char *const bodies[] = {
        "",
        "text",
        "[]",
        "7",
        "{}",
        "{\"version\":0,\"job_id\":1," TRACE "}",
        "{\"version\":\"1\",\"job_id\":1," TRACE "}",
        "{\"version\":1," TRACE "}",
        "{\"version\":1,\"job_id\":0," TRACE "}",
        "{\"version\":1,\"job_id\":-3," TRACE "}",
        "{\"version\":1,\"job_id\":\"1\"," TRACE "}",
        "{\"version\":1,\"job_id\":99999999999999999999," TRACE "}",
        "{\"version\":1,\"job_id\":1}",
        "{\"version\":1,\"job_id\":1,\"trace_id\":\"short\"}",
        "{\"version\":1,\"job_id\":1,\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e473g\"}",
    };
    struct job_message message;
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        if (parse(bodies[i], &message) != ERR_PERMANENT)
            fail_msg("'%s' was taken", bodies[i]);
        assert_string_equal(error_last()->reason, "malformed_message");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_both_ways),
        cmocka_unit_test(looks_as_documented),
        cmocka_unit_test(unknown_members_are_ignored),
        cmocka_unit_test(a_newer_version_is_kept_for_an_upgrade),
        cmocka_unit_test(malformed_ones_are_permanent),
    };
    return cmocka_run_group_tests_name("job_message", tests, NULL, NULL);
}
