/* The secret source on a server that knows Secrets Manager and checks signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/secrets_manager.h"
#include "shared/error.h"
#include "shared/json.h"
#include "support/aws_fixture.h"

static struct aws_fixture moto;
static struct http_engine *http;
static struct aws_credentials *credentials;
static struct aws_client *client;
static struct secret_source source;
static char value[SECRET_TEXT], name[64], arn[256];

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

/* ---- the service, by signed calls ---- */

static void call(const char *action, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void call(const char *action, const char *format, ...)
{
    struct http_response response;
    yyjson_doc *doc;
    char body[1024], target[64];
    va_list ap;
    va_start(ap, format);
    vsnprintf(body, sizeof body, format, ap);
    va_end(ap);
    snprintf(target, sizeof target, "secretsmanager.%s", action);
    ok(aws_call_json(client, "1.1", target, body, strlen(body), NULL, &response, NULL));
    ok(json_parse(buffer_string(&response.body), response.body.length, action, &doc));
    snprintf(arn, sizeof arn, "%s", json_string_at(yyjson_doc_get_root(doc), "ARN", ""));
    yyjson_doc_free(doc);
    http_response_free(&response);
}

static const char *token(void)
{
    static int count;
    static char text[40];
    snprintf(text, sizeof text, "%08d-0000-4000-8000-000000000000", ++count);
    return text;
}

/* A new secret under a new name; its ARN is in `arn`. */
static void create(const char *string)
{
    aws_fixture_name(name, sizeof name);
    call("CreateSecret", "{\"Name\":\"%s\",\"ClientRequestToken\":\"%s\",\"SecretString\":\"%s\"}",
         name, token(), string);
}

static void put(const char *string)
{
    call("PutSecretValue",
         "{\"SecretId\":\"%s\",\"ClientRequestToken\":\"%s\",\"SecretString\":\"%s\"}", name,
         token(), string);
}

/* ---- the source ---- */

static void open_source(struct secrets_manager_options options)
{
    options.client = client;
    options.cache_ms = 3600000;
    options.floor_ms = 1;
    ok(secrets_manager_open(&options, &source));
}

static void open_key(const char *id)
{
    open_source((struct secrets_manager_options){.openai_secret = id});
}

static void close_source(void)
{
    source.ops->close(source.ctx);
}

static int get(const char *of)
{
    return source.ops->get(source.ctx, of, value, sizeof value);
}

static void gives(const char *of, const char *expected)
{
    ok(get(of));
    assert_string_equal(value, expected);
}

static void refuses(int code, const char *reason)
{
    assert_int_equal(get("openai_api_key"), code);
    assert_string_equal(error_last()->reason, reason);
}

static void test_by_name_and_by_arn(void **state)
{
    (void)state;
    create("sk-by-name");
    open_key(name);
    gives("openai_api_key", "sk-by-name");
    close_source();
    assert_memory_equal(arn, "arn:aws:secretsmanager:", 23);
    open_key(arn);
    gives("openai_api_key", "sk-by-name");
    close_source();
}

static void test_json(void **state)
{
    (void)state;
    create("{\\\"openai_api_key\\\":\\\"sk-json\\\"}");
    open_key(name);
    gives("openai_api_key", "sk-json");
    close_source();
}

static void test_rotation(void **state)
{
    (void)state;
    create("sk-old");
    open_key(name);
    gives("openai_api_key", "sk-old");
    put("sk-new");
    gives("openai_api_key", "sk-old"); /* kept, as nobody refused it */
    source.ops->invalidate(source.ctx, "openai_api_key");
    gives("openai_api_key", "sk-new");
    close_source();
}

static void test_stages(void **state)
{
    (void)state;
    create("sk-old");
    put("sk-new");
    open_source((struct secrets_manager_options){.openai_secret = name, .stage = "AWSPREVIOUS"});
    gives("openai_api_key", "sk-old");
    close_source();
    call("PutSecretValue",
         "{\"SecretId\":\"%s\",\"ClientRequestToken\":\"%s\",\"SecretString\":\"sk-blue\","
         "\"VersionStages\":[\"BLUE\"]}",
         name, token());
    open_source((struct secrets_manager_options){.openai_secret = name, .stage = "BLUE"});
    gives("openai_api_key", "sk-blue");
    close_source();
    open_key(name);
    gives("openai_api_key", "sk-new");
    close_source();
    open_source((struct secrets_manager_options){.openai_secret = name, .stage = "GREEN"});
    refuses(ERR_NOT_FOUND, "secret_missing");
    assert_non_null(strstr(error_last()->message, "GREEN"));
    close_source();
}

static void test_database(void **state)
{
    (void)state;
    create(
        "{\\\"engine\\\":\\\"postgres\\\",\\\"host\\\":\\\"h.example\\\",\\\"username\\\":"
        "\\\"app\\\",\\\"password\\\":\\\"a/b@c\\\",\\\"dbname\\\":\\\"d\\\",\\\"port\\\":5433}");
    open_source((struct secrets_manager_options){.database_secret = arn});
    gives("database_url", "postgresql://app:a%2Fb%40c@h.example:5433/d?sslmode=require");
    refuses(ERR_NOT_FOUND, "");
    close_source();
}

static void test_what_is_not_there(void **state)
{
    (void)state;
    open_key("aegis/no-such-secret");
    refuses(ERR_NOT_FOUND, "secret_missing");
    close_source();
    create("sk-1");
    call("DeleteSecret", "{\"SecretId\":\"%s\"}", name);
    open_key(name);
    refuses(ERR_SYSTEMIC, "secret_unusable");
    close_source();
}

static void test_binary(void **state)
{
    (void)state;
    aws_fixture_name(name, sizeof name);
    call("CreateSecret",
         "{\"Name\":\"%s\",\"ClientRequestToken\":\"%s\",\"SecretBinary\":\"aHVudGVyMg==\"}", name,
         token());
    open_key(name);
    refuses(ERR_SYSTEMIC, "secret_unusable");
    assert_non_null(strstr(error_last()->message, "binary"));
    close_source();
}

static void open_client(void)
{
    struct aws_client_options options = {.http = http,
                                         .credentials = credentials,
                                         .clock = clock_system(),
                                         .service = "secretsmanager",
                                         .region = moto.region,
                                         .endpoint = moto.endpoint,
                                         .retry_base_ms = 1};
    ok(aws_credentials_open(
        &(struct aws_credentials_options){.http = http, .clock = clock_system()}, &credentials));
    options.credentials = credentials;
    ok(aws_client_open(&options, &client));
}

static void close_client(void)
{
    aws_client_close(client);
    aws_credentials_close(credentials);
}

static void test_wrong_key(void **state)
{
    (void)state;
    create("sk-1");
    close_client();
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
    open_client();
    open_key(name);
    refuses(ERR_SYSTEMIC, "aws_access_denied");
    assert_null(strstr(error_last()->message, "hunter2"));
    close_source();
    close_client();
    aws_fixture_setenv(&moto);
    open_client();
}

static int set_up(void **state)
{
    (void)state;
    aws_fixture_setenv(&moto);
    ok(http_engine_open(&(struct http_options){.user_agent = "test/1"}, &http));
    open_client();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_client();
    http_engine_close(http);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_name_and_by_arn),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_database),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_wrong_key),
    };
    int status = aws_fixture_moto(&moto);
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
