#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/queue_sqs.h"
#include "commands/app_aws.h"
#include "commands/app_parts.h"
#include "shared/http.h"
#include "support/http_stub.h"

static void expect(const char *url, const char *endpoint, const char *region)
{
    struct app_aws_place place;
    app_aws_queue_place(url, &place);
    assert_string_equal(place.endpoint, endpoint);
    assert_string_equal(place.region, region);
}

static void test_place_of_a_queue(void **state)
{
    (void)state;
    expect("https://sqs.eu-central-1.amazonaws.com/123456789012/q",
           "https://sqs.eu-central-1.amazonaws.com", "eu-central-1");
    expect("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "https://sqs.cn-north-1.amazonaws.com.cn",
           "cn-north-1");
    expect("https://eu-west-1.queue.amazonaws.com/1/q", "https://eu-west-1.queue.amazonaws.com",
           "eu-west-1");
    expect("http://127.0.0.1:9324/000000000000/q", "http://127.0.0.1:9324", "");
    expect("https://sqs.example.com/1/q", "https://sqs.example.com", "");
    expect("https://sqs.eu-central-1.amazonaws.com.example.net", /* not AWS's */
           "https://sqs.eu-central-1.amazonaws.com.example.net", "");
    expect("https://sqs", "https://sqs", "");
    expect("https://", "", "");
    expect("jobs", "", "");
    expect("", "", "");
}

/* ---- settings reach the queue ---- */

static char sent[HTTP_STUB_BODY];

static void answer(void *ctx, const char *request, struct http_stub_reply *reply)
{
    (void)ctx;
    if (strcasestr(request, "AmazonSQS.SendMessageBatch")) {
        snprintf(sent, sizeof sent, "%s", strstr(request, "\r\n\r\n"));
        snprintf(reply->body, sizeof reply->body,
                 "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}");
    } else {
        snprintf(reply->body, sizeof reply->body,
                 "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:eu-central-1:1:d\"}}");
    }
}

static void set_environment(const struct http_stub *stub, const char *fair)
{
    char url[128];
    snprintf(url, sizeof url, "%s/1/q", http_stub_url(stub));
    setenv("AEGIS_QUEUE_URL", url, 1);
    setenv("AEGIS_LONG_QUEUE_URL", url, 1);
    snprintf(url, sizeof url, "%s/1/d", http_stub_url(stub));
    setenv("AEGIS_DEAD_LETTER_URL", url, 1);
    setenv("AEGIS_QUEUE_FAIR", fair, 1);
    setenv("AWS_REGION", "eu-central-1", 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
}

static void close_queue(struct app *app, struct job_queue *queue)
{
    queue->ops->close(queue->ctx);
    app_aws_close(app);
    http_engine_close(app->http);
    config_close(app->config);
    arena_free(&app->arena);
}

static bool group_is_sent(const struct http_stub *stub, const char *fair, bool long_queue)
{
    struct app app = {0};
    struct job_queue queue;
    struct queue_send message = {.body = "x", .length = 1, .group = "talks"};
    set_environment(stub, fair);
    arena_init(&app.arena, MIB(16));
    assert_int_equal(config_open("/nonexistent", NULL, &app.config), OK);
    int rc = long_queue ? app_long_queue(&app, &queue) : app_sqs_queue(&app);
    assert_int_equal(rc, OK);
    if (!long_queue)
        queue = app.queue;
    assert_int_equal(queue.ops->send(queue.ctx, &message, 1, NULL), OK);
    close_queue(&app, &queue);
    return strstr(sent, "\"MessageGroupId\":\"talks\"");
}

static void collections_take_turns_where_that_is_set(void **state)
{
    (void)state;
    struct http_stub *stub = http_stub_open(answer, NULL);
    assert_false(group_is_sent(stub, "false", false));
    assert_true(group_is_sent(stub, "true", false));
    assert_false(group_is_sent(stub, "false", true));
    assert_true(group_is_sent(stub, "true", true));
    http_stub_close(stub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_of_a_queue),
        cmocka_unit_test(collections_take_turns_where_that_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
