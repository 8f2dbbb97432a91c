/*
 * The secret source against a server that replies what each test scripts, on a clock that the test
 * sets: how often it asks, what it goes on with, and how its errors read. tests/integration has the
 * same source on a server that knows Secrets Manager.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/aws/secrets_manager.h"
#include "shared/error.h"
#include "shared/http.h"
#include "shared/log.h"
#include "support/wire.h"

#define ARN "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"

enum { CACHE_MS = 300000, FLOOR_MS = 5000 };

/* ---- credentials: the test's own ---- */

int aws_credentials_get(struct aws_credentials *c, const struct cancel *cancel,
                        struct aws_credential *out)
{
    (void)c, (void)cancel;
    *out = (struct aws_credential){.access_key_id = "AKID", .secret_access_key = "hunter2-of-aws"};
    return OK;
}

void aws_credentials_refused(struct aws_credentials *c, const struct aws_credential *refused)
{
    (void)c, (void)refused;
}

/* ---- the scripted service ---- */

enum { REPLY = 1 << 20 };

static char reply_text[REPLY];
static pthread_mutex_t script = PTHREAD_MUTEX_INITIALIZER;
static int64_t now_ms;

static bool serve(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    pthread_mutex_lock(&script);
    wire_say(fd, reply_text);
    pthread_mutex_unlock(&script);
    return true;
}

static void reply(int status, const char *body)
{
    pthread_mutex_lock(&script);
    snprintf(reply_text, sizeof reply_text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
    pthread_mutex_unlock(&script);
}

static void reply_value(const char *value)
{
    char body[1024];
    snprintf(body, sizeof body,
             "{\"ARN\":\"" ARN
             "\",\"Name\":\"x\",\"SecretString\":\"%s\",\"VersionStages\":[\"A\"]}",
             value);
    reply(200, body);
}

static int64_t test_now(void *ctx)
{
    (void)ctx;
    return now_ms;
}

/* ---- one source ---- */

struct bench {
    struct wire *wire;
    struct http_engine *http;
    struct aws_client *client;
    struct secret_source source;
    FILE *log;
    char value[SECRET_TEXT];
};

static struct aws_client *open_client(struct bench *b, const char *endpoint)
{
    struct aws_client *client;
    struct aws_client_options options = {.http = b->http,
                                         .clock = clock_system(),
                                         .service = "secretsmanager",
                                         .region = "eu-west-1",
                                         .endpoint = endpoint,
                                         .retry_base_ms = 1};
    assert_int_equal(aws_client_open(&options, &client), OK);
    return client;
}

static struct secret_source open_source(struct aws_client *client)
{
    static const struct clock clock = {.now = test_now};
    struct secret_source source;
    struct secrets_manager_options options = {.client = client,
                                              .clock = &clock,
                                              .openai_secret = "aegis-ai/openai-api-key",
                                              .database_secret = ARN,
                                              .database = {.host = "db.example", .name = "aegis"},
                                              .cache_ms = CACHE_MS,
                                              .floor_ms = FLOOR_MS};
    assert_int_equal(secrets_manager_open(&options, &source), OK);
    return source;
}

static int set_up(void **state)
{
    struct bench *b = *state = calloc(1, sizeof *b);
    assert_non_null(b);
    now_ms = 1000000;
    b->wire = wire_open(serve);
    b->log = tmpfile();
    assert_non_null(b->log);
    log_configure(LOG_DEBUG, LOG_JSON, fileno(b->log));
    assert_int_equal(http_engine_open(&(struct http_options){.user_agent = "test/1"}, &b->http), 0);
    b->client = open_client(b, b->wire->origin);
    b->source = open_source(b->client);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    b->source.ops->close(b->source.ctx);
    aws_client_close(b->client);
    http_engine_close(b->http);
    wire_close(b->wire);
    log_configure(LOG_ERROR, LOG_TEXT, STDERR_FILENO);
    fclose(b->log);
    free(b);
    return 0;
}

static int get(struct bench *b, const char *name)
{
    return b->source.ops->get(b->source.ctx, name, b->value, sizeof b->value);
}

static void gives(struct bench *b, const char *expected)
{
    if (get(b, "openai_api_key"))
        fail_msg("%s", error_last()->message);
    assert_string_equal(b->value, expected);
}

static void refuses(struct bench *b, int code, const char *reason, const char *text)
{
    const struct error *e = error_last();
    assert_int_equal(get(b, "openai_api_key"), code);
    assert_int_equal(e->code, code);
    assert_string_equal(e->reason, reason);
    if (!strstr(e->message, text))
        fail_msg("no '%s' in: %s", text, e->message);
    assert_non_null(strstr(e->message, "'aegis-ai/openai-api-key'"));
    assert_null(strstr(e->message, "hunter2"));
}

static void invalidate(struct bench *b)
{
    b->source.ops->invalidate(b->source.ctx, "openai_api_key");
}

static void asked(const struct bench *b, int times)
{
    assert_int_equal(atomic_load(&b->wire->requests), times);
}

static int logged(const struct bench *b, const char *event)
{
    static char text[64 << 10];
    int count = 0;
    ssize_t n = pread(fileno(b->log), text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_null(strstr(text, "hunter2"));
    assert_null(strstr(text, "sk-"));
    for (const char *p = strstr(text, event); p; p = strstr(p + 1, event))
        count++;
    return count;
}

/* ---- what is asked ---- */

static void test_request(void **state)
{
    struct bench *b = *state;
    reply_value("sk-1");
    gives(b, "sk-1");
    const char *request = wire_last_request(b->wire);
    assert_non_null(strstr(request, "X-Amz-Target: secretsmanager.GetSecretValue\r\n"));
    assert_non_null(strstr(request, "Content-Type: application/x-amz-json-1.1\r\n"));
    assert_non_null(strstr(request, "/eu-west-1/secretsmanager/aws4_request"));
    assert_string_equal(
        strstr(request, "\r\n\r\n") + 4,
        "{\"SecretId\":\"aegis-ai/openai-api-key\",\"VersionStage\":\"AWSCURRENT\"}");
    reply_value("{\\\"username\\\":\\\"u\\\",\\\"password\\\":\\\"p@ss\\\"}");
    assert_int_equal(get(b, "database_url"), OK);
    assert_string_equal(b->value, "postgresql://u:p%40ss@db.example:5432/aegis?sslmode=require");
    assert_non_null(strstr(wire_last_request(b->wire), "{\"SecretId\":\"" ARN "\""));
    asked(b, 2);
}

static void test_other_names(void **state)
{
    struct bench *b = *state;
    assert_int_equal(get(b, "openai_embed_api_key"), ERR_NOT_FOUND);
    assert_int_equal(get(b, ""), ERR_NOT_FOUND);
    b->source.ops->invalidate(b->source.ctx, "openai_embed_api_key");
    asked(b, 0);
}

static void test_small_buffer(void **state)
{
    struct bench *b = *state;
    char tiny[4];
    reply_value("sk-1");
    assert_int_equal(b->source.ops->get(b->source.ctx, "openai_api_key", tiny, sizeof tiny),
                     ERR_TOO_LARGE);
}

/* ---- how long it is kept ---- */

static void test_cache(void **state)
{
    struct bench *b = *state;
    reply_value("sk-1");
    gives(b, "sk-1");
    reply_value("sk-2");
    now_ms += CACHE_MS - 1;
    gives(b, "sk-1");
    asked(b, 1);
    now_ms += 1;
    gives(b, "sk-2");
    asked(b, 2);
    assert_int_equal(logged(b, "secret.changed"), 1);
}

static void test_refusals_are_followed_by_one_read(void **state)
{
    struct bench *b = *state;
    reply_value("sk-1");
    gives(b, "sk-1");
    reply_value("sk-2");
    for (int i = 0; i < 100; i++) { /* requests under way with the old key come back one by one */
        invalidate(b);
        gives(b, "sk-2");
    }
    asked(b, 2);
    now_ms += FLOOR_MS;
    reply_value("sk-3");
    gives(b, "sk-2"); /* nobody refused it */
    invalidate(b);
    gives(b, "sk-3");
    asked(b, 3);
}

static void *refuse_and_get(void *ctx)
{
    struct bench *b = ctx;
    char value[SECRET_TEXT];
    invalidate(b);
    assert_int_equal(b->source.ops->get(b->source.ctx, "openai_api_key", value, sizeof value), OK);
    assert_string_equal(value, "sk-2");
    return NULL;
}

static void test_threads_share_one_read(void **state)
{
    enum { THREADS = 16 };
    struct bench *b = *state;
    pthread_t threads[THREADS];
    reply_value("sk-1");
    gives(b, "sk-1");
    reply_value("sk-2");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, refuse_and_get, b), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    asked(b, 2);
}

/* ---- out of reach ---- */

static void test_out_of_reach_with_a_value(void **state)
{
    struct bench *b = *state;
    reply_value("sk-1");
    gives(b, "sk-1");
    reply(500, "{\"__type\":\"InternalServiceError\"}");
    now_ms += CACHE_MS;
    for (int i = 0; i < 10; i++)
        gives(b, "sk-1");
    asked(b, 2); /* one attempt, and not again at once */
    now_ms += CACHE_MS;
    gives(b, "sk-1");
    asked(b, 3);
    assert_int_equal(logged(b, "secret.kept"), 1);
    reply_value("sk-2");
    now_ms += CACHE_MS;
    gives(b, "sk-2");
    assert_int_equal(logged(b, "secret.kept"), 1);
    assert_int_equal(logged(b, "secret.changed"), 1);
}

/* Even a refused one: it is all there is, and its refusal will be told. */
static void test_out_of_reach_with_a_refused_value(void **state)
{
    struct bench *b = *state;
    reply_value("sk-1");
    gives(b, "sk-1");
    reply(400, "{\"__type\":\"ThrottlingException\"}");
    invalidate(b);
    gives(b, "sk-1");
    asked(b, 2);
    reply_value("sk-2");
    gives(b, "sk-1");
    now_ms += FLOOR_MS;
    invalidate(b);
    gives(b, "sk-2");
}

static void test_no_connection(void **state)
{
    struct bench *b = *state;
    struct aws_client *nobody = open_client(b, "http://127.0.0.1:1");
    struct secret_source good = b->source;
    b->source = open_source(nobody);
    refuses(b, ERR_SYSTEMIC, "secrets_unreachable", "for now");
    b->source.ops->close(b->source.ctx);
    aws_client_close(nobody);
    b->source = good;
}

static void test_out_of_reach_without_a_value(void **state)
{
    struct bench *b = *state;
    reply(500, "");
    refuses(b, ERR_SYSTEMIC, "secrets_unreachable", "for now");
    asked(b, 3);
    for (int i = 0; i < 10; i++)
        refuses(b, ERR_SYSTEMIC, "secrets_unreachable", "for now");
    asked(b, 3);
    now_ms += FLOOR_MS;
    reply_value("sk-1");
    gives(b, "sk-1");
    assert_int_equal(logged(b, "secret."), 0); /* what is returned is not logged too */
}

static void test_throttled(void **state)
{
    struct bench *b = *state;
    reply(400, "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}");
    refuses(b, ERR_SYSTEMIC, "secrets_unreachable", "Rate exceeded");
    asked(b, 3);
}

/* ---- what else it may say ---- */

static void next(struct bench *b, int status, const char *body)
{
    (void)b;
    now_ms += FLOOR_MS;
    reply(status, body);
}

static void test_refusals(void **state)
{
    struct bench *b = *state;
    next(b, 400, "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"can't find\"}");
    refuses(b, ERR_NOT_FOUND, "secret_missing", "AEGIS_OPENAI_SECRET");
    next(b, 400, "{\"__type\":\"AccessDeniedException\",\"Message\":\"User: x\"}");
    refuses(b, ERR_SYSTEMIC, "secret_denied", "secretsmanager:GetSecretValue");
    next(b, 400, "{\"__type\":\"DecryptionFailure\"}");
    refuses(b, ERR_SYSTEMIC, "secret_denied", "kms:Decrypt");
    next(b, 400, "{\"__type\":\"InvalidRequestException\",\"Message\":\"marked for deletion\"}");
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "marked for deletion");
    next(b, 400, "{\"__type\":\"UnrecognizedClientException\"}");
    refuses(b, ERR_SYSTEMIC, "aws_credentials", "not known");
}

static void test_unusable_values(void **state)
{
    struct bench *b = *state;
    char *huge = malloc(REPLY);
    assert_non_null(huge);
    next(b, 200, "{\"SecretBinary\":\"aHVudGVyMg==\"}");
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "binary");
    next(b, 200, "{}");
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "no SecretString");
    next(b, 200, "{\"SecretString\":\"{\\\"password\\\":\\\"hunter2\\\"}\"}");
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "without openai_api_key");
    next(b, 200, "{\"SecretString\":\"hunter2");
    refuses(b, ERR_SYSTEMIC, "secrets_unreachable", "no JSON");
    next(b, 200, "[]");
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "no SecretString");
    snprintf(huge, REPLY, "{\"SecretString\":\"%0100000d\"}", 0);
    next(b, 200, huge);
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "too long");
    snprintf(huge, REPLY, "{\"SecretString\":\"%0600000d\"}", 0);
    next(b, 200, huge);
    refuses(b, ERR_SYSTEMIC, "secret_unusable", "");
    free(huge);
}

/* What is there no more is not given out once it was refused; while it is good it is. */
static void test_deleted_secret(void **state)
{
    struct bench *b = *state;
    reply_value("sk-1");
    gives(b, "sk-1");
    reply(400, "{\"__type\":\"ResourceNotFoundException\"}");
    now_ms += CACHE_MS;
    gives(b, "sk-1");
    now_ms += CACHE_MS;
    invalidate(b);
    refuses(b, ERR_NOT_FOUND, "secret_missing", "create it");
}

static void test_options_too_long(void **state)
{
    char id[3000];
    struct secret_source source;
    (void)state;
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    struct secrets_manager_options options = {.openai_secret = id};
    assert_int_equal(secrets_manager_open(&options, &source), ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "AEGIS_OPENAI_SECRET"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request),
        TEST(test_other_names),
        TEST(test_small_buffer),
        TEST(test_cache),
        TEST(test_refusals_are_followed_by_one_read),
        TEST(test_threads_share_one_read),
        TEST(test_out_of_reach_with_a_value),
        TEST(test_out_of_reach_with_a_refused_value),
        TEST(test_no_connection),
        TEST(test_out_of_reach_without_a_value),
        TEST(test_throttled),
        TEST(test_refusals),
        TEST(test_unusable_values),
        TEST(test_deleted_secret),
        cmocka_unit_test(test_options_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
