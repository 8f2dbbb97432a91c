/* What each status, code and header of a reply means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/openai/internal.h"
#include "shared/error.h"

static const int64_t now_ms = 1700000000000; /* Tue, 14 Nov 2023 22:13:20 GMT */

static struct endpoint endpoint = {.base_url = (char *)"https://api.openai.com/v1",
                                   .api_key = (char *)"sk-secret0123456789",
                                   .model = (char *)"the-model"};

static struct http_response reply(int status, const char *headers, const char *body)
{
    struct http_response r = {.status = status};
    buffer_init(&r.body, 1 << 20);
    buffer_init(&r.header_block, 1 << 16);
    assert_int_equal(buffer_append_string(&r.body, body), 0);
    assert_int_equal(buffer_append_string(&r.header_block, headers), 0);
    return r;
}

static int judge(enum model_operation operation, int status, const char *headers, const char *body)
{
    struct http_response r = reply(status, headers, body);
    int rc = error_of_reply(&endpoint, endpoint.api_key, operation, &r, now_ms);
    assert_int_equal(rc, error_last()->code);
    assert_null(strchr(error_last()->message, '\n'));
    assert_null(strstr(error_last()->message, "sk-secret"));
    http_response_free(&r);
    return rc;
}

#define E(code, message)                                                                           \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"t\",\"param\":null,\"code\":" code "}}"

static void test_table(void **state)
{
    (void)state;
    static const struct {
        enum model_operation operation;
        int status;
        const char *headers, *body;
        enum error_code code;
        const char *reason;
    } table[] = {
        {MODEL_EMBED, 401, "", E("\"invalid_api_key\"", "Incorrect API key"), ERR_SYSTEMIC,
         "invalid_key"},
        {MODEL_EMBED, 403, "", E("null", "Country not supported"), ERR_SYSTEMIC, "invalid_key"},
        {MODEL_EMBED, 400, "", E("\"invalid_api_key\"", "no"), ERR_SYSTEMIC, "invalid_key"},
        {MODEL_EMBED, 404, "", E("\"model_not_found\"", "The model `x` does not exist"),
         ERR_SYSTEMIC, "model_not_found"},
        {MODEL_EMBED, 404, "", "{\"error\":\"model 'x' not found, try pulling it first\"}",
         ERR_SYSTEMIC, "model_not_found"},
        {MODEL_EMBED, 404, "", "\"model 'x' not found\"", ERR_SYSTEMIC, "model_not_found"},
        {MODEL_EMBED, 404, "", "<html>Not Found</html>", ERR_SYSTEMIC, "endpoint_not_found"},
        {MODEL_EMBED, 405, "", "", ERR_SYSTEMIC, "endpoint_not_found"},
        {MODEL_EMBED, 307, "location: /\n", "", ERR_SYSTEMIC, "endpoint_not_found"},
        {MODEL_EMBED, 402, "", E("null", "Insufficient Balance"), ERR_SYSTEMIC, "quota_exhausted"},
        {MODEL_EMBED, 429, "", E("\"insufficient_quota\"", "You exceeded your current quota"),
         ERR_SYSTEMIC, "quota_exhausted"},
        {MODEL_EMBED, 429, "", E("\"rate_limit_exceeded\"", "slow"), ERR_TRANSIENT, "rate_limited"},
        {MODEL_EMBED, 429, "", "", ERR_TRANSIENT, "rate_limited"},
        {MODEL_EMBED, 429, "x-should-retry: false\n", "", ERR_SYSTEMIC, "rate_limited"},
        {MODEL_EMBED, 408, "", "", ERR_TRANSIENT, "server_error"},
        {MODEL_EMBED, 409, "", "", ERR_TRANSIENT, "server_error"},
        {MODEL_EMBED, 500, "", E("null", "oops"), ERR_TRANSIENT, "server_error"},
        {MODEL_EMBED, 503, "", "not JSON", ERR_TRANSIENT, "server_error"},
        {MODEL_EMBED, 500, "x-should-retry: false\n", "", ERR_PERMANENT, "server_error"},
        {MODEL_SUMMARISE, 400, "", E("\"context_length_exceeded\"", "too long"), ERR_PERMANENT,
         "context_length_exceeded"},
        {MODEL_EMBED, 400, "", E("null", "This model's maximum context length is 8192 tokens"),
         ERR_PERMANENT, "context_length_exceeded"},
        {MODEL_SUMMARISE, 400, "", E("\"content_policy_violation\"", "no"), ERR_PERMANENT,
         "refused"},
        {MODEL_SUMMARISE, 400, "", E("null", "odd"), ERR_PERMANENT, "bad_request"},
        {MODEL_SUMMARISE, 422, "", "{\"detail\":\"field required\"}", ERR_PERMANENT, "bad_request"},
        {MODEL_SUMMARISE, 400, "x-should-retry: true\n", E("null", "odd"), ERR_TRANSIENT,
         "server_error"},
        {MODEL_TRANSCRIBE, 400, "", E("null", "Invalid file format."), ERR_PERMANENT,
         "unsupported_audio"},
        {MODEL_TRANSCRIBE, 415, "", "", ERR_PERMANENT, "unsupported_audio"},
        {MODEL_TRANSCRIBE, 413, "", E("null", "Maximum content size limit"), ERR_PERMANENT,
         "too_large"},
        {MODEL_TRANSCRIBE, 400, "", E("null", "odd"), ERR_PERMANENT, "bad_request"},
        {MODEL_EMBED, 418, "", "", ERR_PERMANENT, "bad_request"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int rc = judge(table[i].operation, table[i].status, table[i].headers, table[i].body);
        if (rc != (int)table[i].code || strcmp(error_last()->reason, table[i].reason) != 0)
            fail_msg("row %zu (status %d): %s '%s': %s", i, table[i].status,
                     error_code_name(error_last()->code), error_last()->reason,
                     error_last()->message);
    }
}

static void test_message_is_kept_short_and_without_keys(void **state)
{
    (void)state;
    judge(MODEL_EMBED, 401, "", E("null", "Incorrect API key provided: sk-secret0123456789."));
    assert_non_null(strstr(error_last()->message, "Incorrect API key provided: ****"));
    judge(MODEL_EMBED, 400, "", E("null", "you sent sk-other-key_12 and task-force"));
    assert_null(strstr(error_last()->message, "other-key"));
    assert_non_null(strstr(error_last()->message, "task-force"));
    judge(MODEL_EMBED, 400, "", E("null", "sk-"));
    judge(MODEL_EMBED, 400, "", E("null", "it ends in sk-a"));
    assert_null(strstr(error_last()->message, "sk-a"));
    judge(MODEL_EMBED, 400, "", E("null", "two\\nlines"));
    assert_non_null(strstr(error_last()->message, "two lines"));

    char body[4000], filler[3000];
    memset(filler, 'x', sizeof filler);
    snprintf(body, sizeof body, "{\"error\":{\"message\":\"%.2900s\"}}", filler);
    judge(MODEL_EMBED, 400, "", body);
    assert_true(strlen(error_last()->message) < 420);

    /* a key that would be cut in half */
    memset(filler, 'x', 235);
    snprintf(body, sizeof body, "{\"error\":{\"message\":\"%.235ssk-secret0123456789\"}}", filler);
    judge(MODEL_EMBED, 400, "", body);
    endpoint.api_key = (char *)"****";
    judge(MODEL_EMBED, 400, "", E("null", "a key of **** stars"));
    endpoint.api_key = (char *)"sk-secret0123456789";
}

static void test_no_key_is_said(void **state)
{
    (void)state;
    struct http_response r = reply(401, "", E("null", "You didn't provide an API key"));
    assert_int_equal(error_of_reply(&endpoint, "", MODEL_EMBED, &r, now_ms), ERR_SYSTEMIC);
    assert_non_null(strstr(error_last()->message, "no key is set"));
    http_response_free(&r);
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t ms;
    } table[] = {
        {"", -1},
        {"retry-after-ms: 1250\nretry-after: 7\n", 1250},
        {"retry-after-ms: 0\n", 0},
        {"retry-after-ms: soon\nretry-after: 7\n", 7000},
        {"retry-after: 0.5\n", 500},
        {"retry-after: Tue, 14 Nov 2023 22:13:50 GMT\n", 30000},
        {"retry-after: Tue, 14 Nov 2023 22:13:00 GMT\n", 0},
        {"retry-after: in a while\nx-ratelimit-reset-requests: 20ms\n", 20},
        {"retry-after: 9999999\n", 86400000},
        {"retry-after: -3\n", -1},
        {"x-ratelimit-reset-requests: 1s\nx-ratelimit-reset-tokens: 6m0s\n", 1000},
        {"x-ratelimit-reset-requests: 1s\nx-ratelimit-reset-tokens: 6m0s\n"
         "x-ratelimit-remaining-tokens: 0\n",
         360000},
        {"x-ratelimit-reset-requests: 0\nx-ratelimit-reset-tokens: -1\n", -1},
        {"x-ratelimit-reset-requests: 0s\nx-ratelimit-reset-tokens: 2s\n", 2000},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct http_response r = reply(429, table[i].headers, "");
        if (retry_after_of(&r, now_ms) != table[i].ms)
            fail_msg("row %zu: %lld", i, (long long)retry_after_of(&r, now_ms));
        http_response_free(&r);
    }
    judge(MODEL_EMBED, 429, "retry-after-ms: 77\n", "");
    assert_int_equal(error_last()->retry_after_ms, 77);
    judge(MODEL_EMBED, 400, "retry-after-ms: 77\n", "");
    assert_int_equal(error_last()->retry_after_ms, -1);
}

static void test_reset_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {
        {"20ms", 20},     {"1s", 1000},
        {"6m0s", 360000}, {"1h2m3.5s", 3723500},
        {"1.5s", 1500},   {"0", -1},
        {"-1", -1},       {"", -1},
        {"5", -1},        {"5x", -1},
        {"ms", -1},       {"1s junk", -1},
        {"900us", 1},     {"999999h", 86400000},
        {"1e400s", -1},   {"0ms", -1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (reset_duration_ms(table[i].text) != table[i].ms)
            fail_msg("'%s': %lld", table[i].text, (long long)reset_duration_ms(table[i].text));
}

static void test_transfer_errors_get_a_class(void **state)
{
    (void)state;
    error_set(ERR_TIMEOUT, "idle_timeout", "POST 'x': nothing came");
    assert_int_equal(error_of_transfer(endpoint.api_key), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "idle_timeout");
    error_set(ERR_TOO_LARGE, "response_too_large", "more");
    assert_int_equal(error_of_transfer(endpoint.api_key), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "malformed_reply");
    error_set(ERR_SYSTEMIC, "tls", "certificate");
    assert_int_equal(error_of_transfer(endpoint.api_key), ERR_SYSTEMIC);
    error_set(ERR_CANCELLED, NULL, "stop");
    assert_int_equal(error_of_transfer(endpoint.api_key), ERR_CANCELLED);
    error_set(ERR_INVALID, "bad_url", "sk-secret0123456789");
    assert_int_equal(error_of_transfer(endpoint.api_key), ERR_SYSTEMIC);
    assert_null(strstr(error_last()->message, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_message_is_kept_short_and_without_keys),
        cmocka_unit_test(test_no_key_is_said),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_reset_durations),
        cmocka_unit_test(test_transfer_errors_get_a_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
