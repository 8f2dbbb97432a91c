/* The Runtime API's client against AWS Lambda's side of it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/lambda_runtime.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "support/runtime_api.h"

enum { LONG_MS = 60000 };

static struct runtime_api *api;
static struct http_engine *http;
static struct lambda_runtime *runtime;

static int set_up(void **state)
{
    static const struct http_options options = {0};
    (void)state;
    api = runtime_api_start();
    assert_int_equal(http_engine_open(&options, &http), OK);
    assert_int_equal(lambda_runtime_open(http, runtime_api_endpoint(api), &runtime), OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lambda_runtime_close(runtime);
    http_engine_close(http);
    runtime_api_stop(api);
    return 0;
}

static struct lambda_invocation take(const char *payload, int64_t timeout_ms)
{
    struct lambda_invocation i;
    runtime_api_send(api, payload, timeout_ms);
    if (lambda_runtime_next(runtime, NULL, &i))
        fail_msg("%s", error_last()->message);
    return i;
}

static void answered(enum runtime_outcome outcome, const char *type, const char *body)
{
    struct runtime_result result;
    runtime_api_wait(api, &result);
    assert_int_equal(result.outcome, outcome);
    assert_string_equal(result.error_type, type);
    assert_string_equal(result.body, body);
    free(result.body);
}

static void an_invocation_comes_with_what_is_said_of_it(void **state)
{
    (void)state;
    int64_t now = clock_now(clock_system());
    struct lambda_invocation i = take("{\"a\":1}", LONG_MS);
    assert_string_equal(buffer_string(&i.response.body), "{\"a\":1}");
    assert_string_equal(i.request_id, runtime_api_request_id(api));
    assert_in_range(i.deadline_ms, now + LONG_MS, now + LONG_MS + 10000);
    assert_non_null(strstr(i.function_arn, ":function:aegis"));
    assert_non_null(strstr(i.trace, "Root=1-5bef4de7-"));
    assert_int_equal(lambda_runtime_respond(runtime, &i, "{\"b\":2}", 7), OK);
    lambda_invocation_free(&i);
    answered(RUNTIME_RESPONSE, "", "{\"b\":2}");
}

/* A proxy for the outside world does not reach what is inside the function. */
static void no_proxy_stands_between(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "example.com", 1);
    tear_down(NULL);
    set_up(NULL);
    struct lambda_invocation i = take("{}", LONG_MS);
    assert_int_equal(lambda_runtime_respond(runtime, &i, "null", 4), OK);
    lambda_invocation_free(&i);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    answered(RUNTIME_RESPONSE, "", "null");
}

static void one_follows_the_other(void **state)
{
    (void)state;
    char first[LAMBDA_ID_TEXT];
    for (int n = 0; n < 3; n++) {
        struct lambda_invocation i = take("{}", LONG_MS);
        assert_true(n == 0 || strcmp(first, i.request_id) != 0);
        snprintf(first, sizeof first, "%s", i.request_id);
        assert_int_equal(lambda_runtime_respond(runtime, &i, "null", 4), OK);
        lambda_invocation_free(&i);
        answered(RUNTIME_RESPONSE, "", "null");
    }
    assert_int_equal(runtime_api_refused(api), 0);
}

static void an_error_has_the_shape_that_lambda_shows(void **state)
{
    (void)state;
    struct lambda_invocation i = take("{}", LONG_MS);
    error_set(ERR_SYSTEMIC, "database_unreachable", "'a \"b\"' does not answer");
    struct error why = *error_last();
    assert_int_equal(lambda_runtime_fail(runtime, &i, &why), OK);
    lambda_invocation_free(&i);
    answered(RUNTIME_ERROR, "Aegis.database_unreachable",
             "{\"errorMessage\":\"'a \\\"b\\\"' does not answer\","
             "\"errorType\":\"Aegis.database_unreachable\",\"stackTrace\":[]}");
}

static void an_error_without_a_reason_has_its_codes_name(void **state)
{
    (void)state;
    struct lambda_invocation i = take("{}", LONG_MS);
    error_set(ERR_NO_MEMORY, NULL, "out of memory");
    struct error why = *error_last();
    assert_int_equal(lambda_runtime_fail(runtime, &i, &why), OK);
    lambda_invocation_free(&i);
    answered(RUNTIME_ERROR, "Aegis.no_memory",
             "{\"errorMessage\":\"out of memory\",\"errorType\":\"Aegis.no_memory\","
             "\"stackTrace\":[]}");
}

static void an_init_error_is_told(void **state)
{
    (void)state;
    error_set(ERR_INVALID, NULL, "it is not set up");
    struct error why = *error_last();
    assert_int_equal(lambda_runtime_fail_init(runtime, &why), OK);
    assert_string_equal(runtime_api_init_error(api),
                        "{\"errorMessage\":\"it is not set up\","
                        "\"errorType\":\"Aegis.invalid\",\"stackTrace\":[]}");
}

static void an_answer_to_another_is_refused(void **state)
{
    (void)state;
    struct lambda_invocation i = take("{}", LONG_MS), other = i;
    snprintf(other.request_id, sizeof other.request_id, "8476a536-0000");
    assert_int_equal(lambda_runtime_respond(runtime, &other, "{}", 2), ERR_CONFLICT);
    assert_int_equal(lambda_runtime_respond(runtime, &i, "{}", 2), OK);
    lambda_invocation_free(&i);
    answered(RUNTIME_RESPONSE, "", "{}");
}

static void an_answer_after_the_deadline_is_refused(void **state)
{
    (void)state;
    struct lambda_invocation i = take("{}", 1);
    answered(RUNTIME_TIMED_OUT, "", "");
    assert_int_equal(lambda_runtime_respond(runtime, &i, "{}", 2), ERR_CONFLICT);
    lambda_invocation_free(&i);
    i = take("{}", LONG_MS);
    assert_int_equal(lambda_runtime_respond(runtime, &i, "{}", 2), OK);
    lambda_invocation_free(&i);
    answered(RUNTIME_RESPONSE, "", "{}");
}

static void an_answer_too_large_leaves_room_for_an_error(void **state)
{
    (void)state;
    size_t length = CAP_LAMBDA_RESPONSE + 1;
    char *large = malloc(length);
    assert_non_null(large);
    memset(large, '1', length);
    struct lambda_invocation i = take("{}", LONG_MS);
    assert_int_equal(lambda_runtime_respond(runtime, &i, large, length), ERR_TOO_LARGE);
    struct error why = *error_last();
    assert_int_equal(lambda_runtime_fail(runtime, &i, &why), OK);
    lambda_invocation_free(&i);
    free(large);
    struct runtime_result result;
    runtime_api_wait(api, &result);
    assert_string_equal(result.error_type, "Aegis.too_large");
    free(result.body);
}

static void a_payload_too_large_is_still_to_be_answered(void **state)
{
    (void)state;
    char *large = malloc(CAP_LAMBDA_PAYLOAD + 2);
    assert_non_null(large);
    memset(large, '1', CAP_LAMBDA_PAYLOAD + 1);
    large[CAP_LAMBDA_PAYLOAD + 1] = '\0';
    runtime_api_send(api, large, LONG_MS);
    free(large);
    struct lambda_invocation i;
    assert_int_equal(lambda_runtime_next(runtime, NULL, &i), ERR_TOO_LARGE);
    struct error why = *error_last();
    assert_int_equal(lambda_runtime_fail(runtime, &i, &why), OK);
    lambda_invocation_free(&i);
    struct runtime_result result;
    runtime_api_wait(api, &result);
    assert_int_equal(result.outcome, RUNTIME_ERROR);
    free(result.body);
}

static void *cancel_once_it_waits(void *cancel)
{
    if (runtime_api_wait_next(api))
        cancel_request(cancel);
    return NULL;
}

static void waiting_can_be_cancelled(void **state)
{
    (void)state;
    struct cancel cancel = {0};
    pthread_t thread;
    struct lambda_invocation i;
    assert_int_equal(pthread_create(&thread, NULL, cancel_once_it_waits, &cancel), 0);
    assert_int_equal(lambda_runtime_next(runtime, &cancel, &i), ERR_CANCELLED);
    lambda_invocation_free(&i);
    pthread_join(thread, NULL);
}

static void asking_before_answering_is_an_error_that_ends_it(void **state)
{
    (void)state;
    struct lambda_invocation i = take("{}", LONG_MS), next;
    assert_int_equal(lambda_runtime_next(runtime, NULL, &next), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "lambda_runtime");
    lambda_invocation_free(&next);
    lambda_invocation_free(&i);
}

static void elsewhere_there_is_no_runtime(void **state)
{
    (void)state;
    struct lambda_runtime *none;
    unsetenv("AWS_LAMBDA_RUNTIME_API");
    assert_int_equal(lambda_runtime_open(http, NULL, &none), ERR_INVALID);
    assert_null(none);
    assert_int_equal(setenv("AWS_LAMBDA_RUNTIME_API", runtime_api_endpoint(api), 1), 0);
    assert_int_equal(lambda_runtime_open(http, NULL, &none), OK);
    lambda_runtime_close(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_invocation_comes_with_what_is_said_of_it),
        TEST(no_proxy_stands_between),
        TEST(one_follows_the_other),
        TEST(an_error_has_the_shape_that_lambda_shows),
        TEST(an_error_without_a_reason_has_its_codes_name),
        TEST(an_init_error_is_told),
        TEST(an_answer_to_another_is_refused),
        TEST(an_answer_after_the_deadline_is_refused),
        TEST(an_answer_too_large_leaves_room_for_an_error),
        TEST(a_payload_too_large_is_still_to_be_answered),
        TEST(waiting_can_be_cancelled),
        TEST(asking_before_answering_is_an_error_that_ends_it),
        TEST(elsewhere_there_is_no_runtime),
    };
    return cmocka_run_group_tests_name("lambda_runtime", tests, NULL, NULL);
}
