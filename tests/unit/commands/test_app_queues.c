/* Two queues on SQS that are not in one place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/app_aws.h"
#include "commands/app_parts.h"
#include "shared/http.h"
#include "support/http_stub.h"

static void take_message(void *ctx, const char *request, struct http_stub_reply *reply)
{
    int *taken = ctx;
    bool sends = strstr(request, "AmazonSQS.SendMessageBatch") != NULL;
    *taken += sends;
    strcpy(reply->body, sends ? "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"
                              : "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:eu-central-1:1:q\"}}");
}

static void set_url(struct app *app, const char *key, const struct http_stub *stub)
{
    char url[128];
    snprintf(url, sizeof url, "%s/1/q", http_stub_url(stub));
    assert_int_equal(config_set(app->config, key, url), OK);
}

static void send_one(const struct job_queue *q)
{
    struct queue_send message = {.body = "{}", .length = 2};
    assert_int_equal(q->ops->send(q->ctx, &message, 1, NULL), OK);
}

static void test_long_queue_is_asked_where_it_is(void **state)
{
    struct app app = {0};
    struct job_queue longer;
    int taken[2] = {0};
    struct http_stub *queue = http_stub_open(take_message, &taken[0]);
    struct http_stub *other = http_stub_open(take_message, &taken[1]);
    (void)state;
    setenv("AWS_REGION", "eu-central-1", 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    arena_init(&app.arena, MIB(1));
    assert_int_equal(config_open("/tmp/nothing-here", NULL, &app.config), OK);
    set_url(&app, "queue.url", queue);
    set_url(&app, "queue.dead_letter_url", queue);
    set_url(&app, "queue.long_url", other);
    assert_int_equal(app_sqs_queue(&app), OK);
    assert_int_equal(app_long_queue(&app, &longer), OK);
    send_one(&longer);
    assert_int_equal(taken[0], 0);
    assert_int_equal(taken[1], 1);
    send_one(&app.queue);
    assert_int_equal(taken[0], 1);
    longer.ops->close(longer.ctx);
    app.queue.ops->close(app.queue.ctx);
    app_aws_close(&app);
    http_engine_close(app.http);
    http_stub_close(queue);
    http_stub_close(other);
    config_close(app.config);
    arena_free(&app.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_queue_is_asked_where_it_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
