/*
 * The signed requests against a server that replies what each test scripts: what is sent, what is
 * repeated, and how an error reads. The credentials are the test's own.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/client.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/sigv4.h"
#include "support/wire.h"

#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define TOKEN                                                                                      \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRX"

/* ---- credentials ---- */

static atomic_int generation;
static atomic_bool none_to_be_had;

int aws_credentials_get(struct aws_credentials *c, const struct cancel *cancel,
                        struct aws_credential *out)
{
    (void)c, (void)cancel;
    if (atomic_load(&none_to_be_had))
        return error_set(ERR_TRANSIENT, "aws_unavailable", "STS cannot give role 'x' now");
    *out = (struct aws_credential){.secret_access_key = SECRET_KEY, .session_token = TOKEN};
    snprintf(out->access_key_id, sizeof out->access_key_id, "AKIDEXAMPLE%d",
             atomic_load(&generation));
    return OK;
}

void aws_credentials_refused(struct aws_credentials *c, const struct aws_credential *refused)
{
    char present[AWS_KEY_TEXT];
    (void)c;
    snprintf(present, sizeof present, "AKIDEXAMPLE%d", atomic_load(&generation));
    assert_string_equal(refused->access_key_id, present);
    atomic_fetch_add(&generation, 1);
}

/* ---- the scripted service ---- */

enum { REPLIES = 16, REPLY = 4096 };

/* The last reply of the script is repeated. */
static char replies[REPLIES][REPLY];
static int reply_count;
static pthread_mutex_t script = PTHREAD_MUTEX_INITIALIZER;

static const char *reply_of(int nth)
{
    return replies[nth < reply_count ? nth : reply_count - 1];
}

static bool serve(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    pthread_mutex_lock(&script);
    wire_say(fd, reply_of(nth));
    bool go_on = !strstr(reply_of(nth), "Connection: close");
    pthread_mutex_unlock(&script);
    return go_on;
}

/* Drops the replies from the nth on. */
static void cut_script(int nth)
{
    pthread_mutex_lock(&script);
    reply_count = nth;
    pthread_mutex_unlock(&script);
}

static void reply_raw(const char *bytes)
{
    assert_in_range(reply_count, 0, REPLIES - 1);
    pthread_mutex_lock(&script);
    snprintf(replies[reply_count++], REPLY, "%s", bytes);
    pthread_mutex_unlock(&script);
}

static void reply(int status, const char *headers, const char *body)
{
    char text[REPLY];
    snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n%s", status,
             strlen(body), headers, body);
    reply_raw(text);
}

/* ---- one call ---- */

struct bench {
    struct wire *wire;
    struct http_engine *http;
    struct aws_client *client;
    struct http_response response;
    struct aws_fault fault;
    int rc;
};

static int64_t wrong_now(void *ctx)
{
    return clock_now(clock_system()) + *(const int64_t *)ctx;
}

static struct aws_client *open_client(struct http_engine *http, const char *endpoint,
                                      const struct clock *clock, int64_t retry_base_ms)
{
    struct aws_client *client;
    struct aws_client_options options = {.http = http,
                                         .clock = clock,
                                         .service = "secretsmanager",
                                         .region = "eu-central-1",
                                         .endpoint = endpoint,
                                         .retry_base_ms = retry_base_ms};
    assert_int_equal(aws_client_open(&options, &client), OK);
    return client;
}

static int set_up(void **state)
{
    struct bench *b = *state = calloc(1, sizeof *b);
    assert_non_null(b);
    cut_script(0);
    atomic_store(&generation, 1);
    atomic_store(&none_to_be_had, false);
    b->wire = wire_open(serve);
    assert_int_equal(http_engine_open(&(struct http_options){.user_agent = "test/1"}, &b->http), 0);
    b->client = open_client(b->http, b->wire->origin, clock_system(), 1);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    http_response_free(&b->response);
    aws_client_close(b->client);
    http_engine_close(b->http);
    wire_close(b->wire);
    free(b);
    return 0;
}

static void call(struct bench *b, const struct cancel *cancel)
{
    static const char body[] = "{\"SecretId\":\"x\"}";
    http_response_free(&b->response);
    b->rc = aws_call_json(b->client, "1.1", "secretsmanager.GetSecretValue", body, sizeof body - 1,
                          cancel, &b->response, &b->fault);
}

/* An error's text is one line and holds nothing secret. */
static void check_error(const struct bench *b, int code, const char *reason)
{
    const struct error *e = error_last();
    assert_int_equal(b->rc, code);
    assert_int_equal(e->code, code);
    assert_string_equal(e->reason, reason);
    assert_null(strchr(e->message, '\n'));
    assert_null(strstr(e->message, "wJalrXUtn"));
    assert_null(strstr(e->message, "AQoDYXdz"));
}

static void check_requests(const struct bench *b, int count)
{
    assert_int_equal(atomic_load(&b->wire->requests), count);
}

/* ---- what is sent ---- */

static void header_of(const char *request, const char *name, char *out, size_t capacity)
{
    char line[128];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = strcasestr(request, line);
    if (!at)
        fail_msg("no header %s in: %s", name, request);
    at += strlen(line);
    snprintf(out, capacity, "%.*s", (int)strcspn(at, "\r"), at);
}

static int64_t time_of(const char *date) /* "20260131T235959Z" */
{
    char text[CLOCK_TEXT];
    int64_t ms;
    snprintf(text, sizeof text, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", date, date + 4, date + 6,
             date + 9, date + 11, date + 13);
    assert_int_equal(clock_parse(text, &ms), OK);
    return ms;
}

/* Signs what came in once more; the signature itself is tested with AWS's vectors. */
static void check_signature(const char *request, const char *host)
{
    char date[64], sent[SIGV4_AUTHORIZATION], made[SIGV4_AUTHORIZATION], hash[SIGV4_HASH_TEXT];
    const char *body = strstr(request, "\r\n\r\n") + 4;
    header_of(request, "X-Amz-Date", date, sizeof date);
    header_of(request, "Authorization", sent, sizeof sent);
    sigv4_hash(body, strlen(body), hash);
    struct http_header headers[] = {{"Content-Type", "application/x-amz-json-1.1"},
                                    {"Host", host},
                                    {"X-Amz-Date", date},
                                    {"X-Amz-Security-Token", TOKEN},
                                    {"X-Amz-Target", "secretsmanager.GetSecretValue"}};
    struct sigv4_scope scope = {.access_key_id = "AKIDEXAMPLE1",
                                .secret_access_key = SECRET_KEY,
                                .region = "eu-central-1",
                                .service = "secretsmanager",
                                .time_ms = time_of(date)};
    struct sigv4_request signed_one = {.method = "POST",
                                       .path = "/",
                                       .query = "",
                                       .headers = headers,
                                       .header_count = 5,
                                       .payload_hash = hash};
    assert_int_equal(sigv4_sign(&scope, &signed_one, made), OK);
    assert_string_equal(sent, made);
}

static void test_headers_and_signature(void **state)
{
    struct bench *b = *state;
    char value[SIGV4_AUTHORIZATION];
    reply(200, "", "{}");
    call(b, NULL);
    assert_int_equal(b->rc, OK);
    assert_int_equal(b->fault.status, 0);
    assert_string_equal(buffer_string(&b->response.body), "{}");
    const char *request = wire_last_request(b->wire);
    assert_memory_equal(request, "POST / HTTP/1.1\r\n", 17);
    header_of(request, "X-Amz-Target", value, sizeof value);
    assert_string_equal(value, "secretsmanager.GetSecretValue");
    header_of(request, "Content-Type", value, sizeof value);
    assert_string_equal(value, "application/x-amz-json-1.1");
    header_of(request, "X-Amz-Security-Token", value, sizeof value);
    assert_string_equal(value, TOKEN);
    header_of(request, "Host", value, sizeof value);
    assert_string_equal(value, b->wire->origin + strlen("http://"));
    assert_null(strcasestr(request, "x-amz-content-sha256"));
    check_signature(request, value);
}

static void test_region_path_and_query_of_one_request(void **state)
{
    struct bench *b = *state;
    char value[SIGV4_AUTHORIZATION];
    reply(200, "", "");
    struct aws_request request = {
        .method = "GET", .path = "/a%20b", .query = "x=1&y", .region = "us-west-2"};
    assert_int_equal(aws_perform(b->client, &request, NULL, &b->response, NULL), OK);
    const char *sent = wire_last_request(b->wire);
    assert_memory_equal(sent, "GET /a%20b?x=1&y HTTP/1.1\r\n", 27);
    header_of(sent, "Authorization", value, sizeof value);
    assert_non_null(strstr(value, "/us-west-2/secretsmanager/aws4_request"));
}

/* ---- what is repeated ---- */

static void test_unavailable_then_good(void **state)
{
    struct bench *b = *state;
    static const int statuses[] = {500, 502, 503, 504};
    for (int i = 0; i < 4; i++) {
        reply(statuses[i], "", "down");
        reply(200, "", "{\"a\":1}");
    }
    for (int i = 0; i < 4; i++) {
        call(b, NULL);
        assert_int_equal(b->rc, OK);
        assert_string_equal(buffer_string(&b->response.body), "{\"a\":1}");
        check_requests(b, 2 * (i + 1));
    }
}

static void test_unavailable_for_good(void **state)
{
    struct bench *b = *state;
    reply(503, "", "<Error><Code>ServiceUnavailable</Code><Message>go away</Message></Error>");
    call(b, NULL);
    check_error(b, ERR_TRANSIENT, "aws_unavailable");
    check_requests(b, 3);
    assert_int_equal(b->fault.status, 503);
    assert_string_equal(b->fault.code, "ServiceUnavailable");
    assert_non_null(strstr(error_last()->message, "'secretsmanager.GetSecretValue'"));
    assert_non_null(strstr(error_last()->message, "go away"));
}

static void test_throttling_codes(void **state)
{
    struct bench *b = *state;
    reply(400, "",
          "{\"__type\":\"com.amazonaws.x#ThrottlingException:http://y/\",\"message\":\"slow\"}");
    reply(200, "", "{}");
    reply(503, "", "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code></Error>");
    reply(200, "", "{}");
    reply(400, "x-amzn-ErrorType: RequestLimitExceeded;Sender\r\n", "");
    reply(200, "", "{}");
    reply(400, "x-amzn-query-error: RequestThrottled;Sender\r\n", "{}");
    reply(200, "", "{}");
    reply(429, "", "");
    for (int i = 0; i < 4; i++) {
        call(b, NULL);
        assert_int_equal(b->rc, OK);
        check_requests(b, 2 * (i + 1));
    }
    call(b, NULL);
    check_error(b, ERR_TRANSIENT, "aws_throttled");
    check_requests(b, 8 + 3);
}

static void test_retry_after_is_honoured(void **state)
{
    struct bench *b = *state;
    int64_t started = clock_monotonic_ms();
    reply(503, "Retry-After: 1\r\n", "");
    reply(200, "", "{}");
    call(b, NULL);
    assert_int_equal(b->rc, OK);
    assert_true(clock_monotonic_ms() - started >= 1000);
    started = clock_monotonic_ms();
    cut_script(0);
    reply(503, "x-amz-retry-after: 30\r\nRetry-After: 3600\r\n", "");
    call(b, NULL);
    check_error(b, ERR_TRANSIENT, "aws_unavailable");
    assert_int_equal(error_last()->retry_after_ms, 30);
    int64_t took = clock_monotonic_ms() - started;
    assert_true(took >= 60 && took < 15000);
}

/* A number that is none asks for nothing: the backoff goes on by itself. */
static void test_retry_after_that_is_none(void **state)
{
    struct bench *b = *state;
    static const char *const bad[] = {"Wed, 21 Oct 2026 07:28:00 GMT", "-5", "", "1x"};
    for (int i = 0; i < 4; i++) {
        char header[80];
        cut_script(0);
        snprintf(header, sizeof header, "Retry-After: %s\r\n", bad[i]);
        reply(503, header, "");
        call(b, NULL);
        check_error(b, ERR_TRANSIENT, "aws_unavailable");
        assert_int_equal(error_last()->retry_after_ms, -1);
    }
    cut_script(0);
    reply(503, "Retry-After: 9223372036854775807\r\n", "");
    struct aws_request once = {.method = "GET", .no_retry = true};
    http_response_free(&b->response);
    b->rc = aws_perform(b->client, &once, NULL, &b->response, NULL);
    assert_int_equal(error_last()->retry_after_ms, 20000);
}

static void test_refusals_are_not_repeated(void **state)
{
    struct bench *b = *state;
    static const struct {
        int status;
        const char *body;
        int code;
        const char *reason;
    } cases[] = {
        {400, "{\"__type\":\"ValidationException\",\"Message\":\"no\"}", ERR_INVALID,
         "aws_refused"},
        {403, "{\"__type\":\"AccessDeniedException\"}", ERR_SYSTEMIC, "aws_access_denied"},
        {403, "", ERR_SYSTEMIC, "aws_access_denied"},
        {401, "who?", ERR_SYSTEMIC, "aws_access_denied"},
        {400, "{\"__type\":\"com.amazonaws.sqs#KmsDisabled\"}", ERR_SYSTEMIC, "aws_access_denied"},
        {404, "<Error><Code>NoSuchKey</Code></Error>", ERR_NOT_FOUND, ""},
        {404, "<Error><Code>NoSuchBucket</Code></Error>", ERR_SYSTEMIC, "aws_no_such_resource"},
        {409, "{", ERR_CONFLICT, ""},
        {412, "<", ERR_CONFLICT, ""},
        {301, "", ERR_INVALID, "aws_refused"},
        {501, "<Error><Code>NotImplemented</Code></Error>", ERR_INVALID, "aws_refused"},
        {505, "", ERR_INVALID, "aws_refused"},
    };
    int count = (int)(sizeof cases / sizeof cases[0]);
    for (int i = 0; i < count; i++)
        reply(cases[i].status, "", cases[i].body);
    for (int i = 0; i < count; i++) {
        call(b, NULL);
        check_error(b, cases[i].code, cases[i].reason);
        assert_int_equal(b->fault.status, cases[i].status);
        check_requests(b, i + 1);
    }
}

static void test_no_retry(void **state)
{
    struct bench *b = *state;
    reply(503, "", "");
    struct aws_request request = {.method = "GET", .no_retry = true};
    b->rc = aws_perform(b->client, &request, NULL, &b->response, NULL);
    check_error(b, ERR_TRANSIENT, "aws_unavailable");
    check_requests(b, 1);
}

/* 500 tokens are a hundred retries of 5; after that each call is tried once, and a success puts one
 * token back. */
static void test_tokens_run_out(void **state)
{
    struct bench *b = *state;
    reply(503, "", "");
    for (int i = 0; i < 50; i++)
        call(b, NULL);
    check_requests(b, 150);
    call(b, NULL);
    check_error(b, ERR_TRANSIENT, "aws_unavailable");
    check_requests(b, 151);
    cut_script(0);
    reply(200, "", "{}");
    for (int i = 0; i < 5; i++)
        call(b, NULL);
    check_requests(b, 156);
    cut_script(0);
    reply(503, "", "");
    call(b, NULL);
    check_requests(b, 158); /* one retry was put back */
}

static void test_truncated_body(void **state)
{
    struct bench *b = *state;
    reply_raw("HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{\"half\":");
    reply(200, "", "{}");
    call(b, NULL);
    assert_int_equal(b->rc, OK);
    assert_string_equal(buffer_string(&b->response.body), "{}");
    check_requests(b, 2);
    cut_script(1);
    call(b, NULL);
    check_error(b, ERR_TRANSIENT, "incomplete_body");
    assert_int_equal(b->fault.status, 0);
}

static void test_nobody_listens(void **state)
{
    struct bench *b = *state;
    struct aws_client *good = b->client;
    b->client = open_client(b->http, "http://127.0.0.1:1", clock_system(), 1);
    call(b, NULL);
    check_error(b, ERR_TRANSIENT, "connect_failed");
    aws_client_close(b->client);
    b->client = good;
}

/* ---- cancelling ---- */

static struct cancel stop;

static bool fail_and_cancel(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    cancel_request(&stop);
    wire_say(fd, "HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 20\r\n\r\n");
    return true;
}

static void test_cancelled_while_waiting(void **state)
{
    struct bench *b = *state;
    int64_t started = clock_monotonic_ms();
    b->wire->serve = fail_and_cancel;
    call(b, &stop);
    check_error(b, ERR_CANCELLED, "");
    check_requests(b, 1);
    assert_true(clock_monotonic_ms() - started < 10000);
}

/* ---- what is mended ---- */

static void check_key(struct bench *b, const char *key)
{
    char value[SIGV4_AUTHORIZATION], expected[64];
    snprintf(expected, sizeof expected, "Credential=%s/", key);
    header_of(wire_last_request(b->wire), "Authorization", value, sizeof value);
    assert_non_null(strstr(value, expected));
}

static void test_expired_token_is_fetched_anew(void **state)
{
    struct bench *b = *state;
    reply(400, "", "{\"__type\":\"ExpiredTokenException\",\"message\":\"expired\"}");
    reply(200, "", "{}");
    call(b, NULL);
    assert_int_equal(b->rc, OK);
    check_requests(b, 2);
    check_key(b, "AKIDEXAMPLE2");
}

static void test_expired_token_once(void **state)
{
    struct bench *b = *state;
    reply(403, "", "<Error><Code>ExpiredToken</Code></Error>");
    call(b, NULL);
    check_error(b, ERR_SYSTEMIC, "aws_credentials");
    check_requests(b, 2);
    assert_int_equal(atomic_load(&generation), 2);
}

/* Nothing that another job would not lack too. */
static void test_no_credential_is_no_fault_of_the_request(void **state)
{
    struct bench *b = *state;
    atomic_store(&none_to_be_had, true);
    reply(200, "", "{}");
    call(b, NULL);
    check_error(b, ERR_SYSTEMIC, "aws_credentials");
    assert_non_null(strstr(error_last()->message, "STS cannot give role 'x' now"));
    check_requests(b, 0);
    atomic_store(&none_to_be_had, false);
    call(b, NULL);
    assert_int_equal(b->rc, OK);
}

/* As after a rotation: the file it came from may hold a newer one. */
static void test_deleted_key_is_fetched_anew(void **state)
{
    struct bench *b = *state;
    static const char *const codes[] = {"UnrecognizedClientException", "InvalidClientTokenId",
                                        "InvalidAccessKeyId", "InvalidToken"};
    for (int i = 0; i < 4; i++) {
        char body[128];
        snprintf(body, sizeof body, "<Error><Code>%s</Code></Error>", codes[i]);
        reply(403, "", body);
        reply(200, "", "{}");
    }
    for (int i = 0; i < 4; i++) {
        call(b, NULL);
        assert_int_equal(b->rc, OK);
        check_requests(b, 2 * (i + 1));
        assert_int_equal(atomic_load(&generation), i + 2);
    }
}

static void http_date(int64_t unix_ms, char out[80])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, 80, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
}

static void use_clock(struct bench *b, const struct clock *clock)
{
    aws_client_close(b->client);
    b->client = open_client(b->http, b->wire->origin, clock, 1);
}

static int64_t signed_off(struct bench *b)
{
    char date[64];
    header_of(wire_last_request(b->wire), "X-Amz-Date", date, sizeof date);
    return llabs(time_of(date) - clock_now(clock_system()));
}

static void test_wrong_clock_is_mended(void **state)
{
    struct bench *b = *state;
    int64_t off = -3600 * 1000;
    char date[80];
    use_clock(b, &(struct clock){.now = wrong_now, .ctx = &off});
    http_date(clock_now(clock_system()), date);
    reply(403, date, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    reply(200, date, "{}");
    call(b, NULL);
    assert_int_equal(b->rc, OK);
    check_requests(b, 2);
    assert_true(signed_off(b) < 120 * 1000);
    call(b, NULL); /* and it stays mended */
    check_requests(b, 3);
    assert_true(signed_off(b) < 120 * 1000);
}

static void test_wrong_clock_is_mended_once(void **state)
{
    struct bench *b = *state;
    int64_t off = 3600 * 1000;
    char date[80];
    use_clock(b, &(struct clock){.now = wrong_now, .ctx = &off});
    http_date(clock_now(clock_system()), date);
    reply(403, date,
          "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired\"}");
    call(b, NULL);
    check_error(b, ERR_SYSTEMIC, "aws_access_denied");
    check_requests(b, 2);
}

/* ---- two at once that find the clock wrong ---- */

static struct wire *crowded;

/* Refuses what is signed with a clock that is wrong, the first only when another waits. */
static bool refuse_wrong_clock(int fd, const char *request, size_t length, int nth)
{
    char date[64], header[80], text[256];
    struct pollfd other = {.fd = crowded->listener, .events = POLLIN};
    (void)length;
    if (nth == 0)
        assert_int_equal(poll(&other, 1, 60000), 1);
    header_of(request, "X-Amz-Date", date, sizeof date);
    http_date(clock_now(clock_system()), header);
    bool good = llabs(time_of(date) - clock_now(clock_system())) < 120 * 1000;
    snprintf(text, sizeof text,
             "HTTP/1.1 %s\r\n%sConnection: close\r\nContent-Length: %d\r\n\r\n%s",
             good ? "200 OK" : "403 X", header, good ? 2 : 55,
             good ? "{}" : "<Error><Code>RequestTimeTooSkewed</Code></Error>       ");
    wire_say(fd, text);
    return false;
}

static void *call_once(void *ctx)
{
    struct aws_client *client = ctx;
    struct http_response response;
    struct aws_request request = {.method = "GET"};
    int rc = aws_perform(client, &request, NULL, &response, NULL);
    http_response_free(&response);
    return (void *)(intptr_t)rc;
}

/* The second finds it mended already, and was signed before that all the same. */
static void test_wrong_clock_is_mended_for_two_at_once(void **state)
{
    struct bench *b = *state;
    int64_t off = -3600 * 1000;
    pthread_t threads[2];
    use_clock(b, &(struct clock){.now = wrong_now, .ctx = &off});
    crowded = b->wire;
    b->wire->serve = refuse_wrong_clock;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_once, b->client), 0);
    for (int i = 0; i < 2; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_int_equal((intptr_t)rc, OK);
    }
    check_requests(b, 4);
}

/* With a clock that is right a signature is simply wrong. */
static void test_wrong_signature(void **state)
{
    struct bench *b = *state;
    char date[80];
    http_date(clock_now(clock_system()), date);
    reply(
        403, date,
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"The request signature we "
        "calculated does not match.\\n\\nThe Canonical String for this request should have been\\n"
        "'POST\\n/\\n\\nx-amz-security-token:" TOKEN "\\n'\"}");
    call(b, NULL);
    check_error(b, ERR_SYSTEMIC, "aws_access_denied");
    check_requests(b, 1);
    assert_non_null(strstr(error_last()->message, "calculated does not match."));
}

/* ---- endpoints ---- */

static int try_endpoint(const char *service, const char *region, const char *endpoint,
                        struct aws_client **out)
{
    struct aws_client_options options = {
        .clock = clock_system(), .service = service, .region = region, .endpoint = endpoint};
    return aws_client_open(&options, out);
}

static void test_endpoints(void **state)
{
    static const char *const cases[][2] = {
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000"},
        {"http://127.0.0.1:9000/", "http://127.0.0.1:9000"},
        {"https://minio.example", "https://minio.example"},
        {"https://minio.example:443", "https://minio.example"},
        {"http://minio.example:80/", "http://minio.example"},
        {"https://minio.example:80", "https://minio.example:80"},
        {"http://[::1]:9000", "http://[::1]:9000"},
        {"http://[2001:db8::1]", "http://[2001:db8::1]"},
        {"", "https://sqs.eu-west-1.amazonaws.com"},
        {NULL, "https://sqs.eu-west-1.amazonaws.com"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct aws_client *client;
        assert_int_equal(try_endpoint("sqs", "eu-west-1", cases[i][0], &client), OK);
        assert_string_equal(aws_client_endpoint(client), cases[i][1]);
        aws_client_close(client);
    }
    struct aws_client *china;
    assert_int_equal(try_endpoint("s3", "cn-north-1", NULL, &china), OK);
    assert_string_equal(aws_client_endpoint(china), "https://s3.cn-north-1.amazonaws.com.cn");
    aws_client_close(china);
}

static void test_bad_endpoints(void **state)
{
    static const char *const bad[] = {
        "localhost:9000",      "minio.example",    "ftp://minio.example", "http://",
        "http://h/path",       "http://h?x=1",     "http://h?",           "http://h#part",
        "http://h:99999",      "http://[::1",      "http://u@h",          "http://u:hunter2@h",
        "http://:hunter2@h:1", "http://h\r\nX: y", "http://h h",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct aws_client *client;
        if (try_endpoint("s3", "eu-west-1", bad[i], &client) != ERR_INVALID)
            fail_msg("'%s' was taken for an endpoint", bad[i]);
        assert_null(client);
        assert_string_equal(error_last()->reason, "bad_url");
        assert_null(strstr(error_last()->message, "hunter2"));
    }
    struct aws_client *client;
    assert_int_equal(try_endpoint("s3", "", NULL, &client), ERR_INVALID);
    assert_string_equal(error_last()->reason, "aws_region");
    assert_int_equal(try_endpoint("s3", NULL, NULL, &client), ERR_INVALID);
}

/* It becomes a part of the host's name. */
static void test_bad_regions(void **state)
{
    static const char *const bad[] = {"eu west",       "eu-west-1.evil.example/", "x@evil.example#",
                                      "evil.example#", "eu-west-1\r\nX: y",       "eu_west"};
    struct aws_client *client;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(try_endpoint("s3", bad[i], NULL, &client), ERR_INVALID);
        assert_string_equal(error_last()->reason, "aws_region");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_headers_and_signature),
        TEST(test_region_path_and_query_of_one_request),
        TEST(test_unavailable_then_good),
        TEST(test_unavailable_for_good),
        TEST(test_throttling_codes),
        TEST(test_retry_after_is_honoured),
        TEST(test_retry_after_that_is_none),
        TEST(test_refusals_are_not_repeated),
        TEST(test_no_retry),
        TEST(test_tokens_run_out),
        TEST(test_truncated_body),
        TEST(test_nobody_listens),
        TEST(test_cancelled_while_waiting),
        TEST(test_expired_token_is_fetched_anew),
        TEST(test_expired_token_once),
        TEST(test_no_credential_is_no_fault_of_the_request),
        TEST(test_deleted_key_is_fetched_anew),
        TEST(test_wrong_clock_is_mended),
        TEST(test_wrong_clock_is_mended_once),
        TEST(test_wrong_clock_is_mended_for_two_at_once),
        TEST(test_wrong_signature),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_bad_endpoints),
        cmocka_unit_test(test_bad_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
