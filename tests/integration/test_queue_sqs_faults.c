/*
 * The queue on SQS against a server that says what SQS says on bad days.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/queue_sqs.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/http.h"
#include "support/http_stub.h"

enum { STEPS = 16, LOG = 32 };

/* What the server says to the next call of an action; the last step of an action is repeated. */
struct step {
    const char *action;
    int status;
    const char *body;
    int missing;
};

struct place {
    struct http_engine *http;
    struct http_stub *stub;
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct job_queue queue;
    struct arena arena;
    const struct step *steps; /* ends with no action; changed while no request is under way */
    int used[STEPS];
    char *asked[LOG]; /* bodies, with the action in front */
    int count;
};

#define ATTRIBUTES                                                                                 \
    "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:eu-central-1:1:d\",\"MaximumMessageSize\":"       \
    "\"262144\"}}"

#define MESSAGE(id, handle)                                                                        \
    "{\"MessageId\":\"" id "\",\"ReceiptHandle\":\"" handle                                        \
    "\",\"Body\":\"hello\",\"Attributes\":{\"ApproximateReceiveCount\":\"1\",\"SentTimestamp\":"   \
    "\"1000\"}}"
#define ONE_MESSAGE "{\"Messages\":[" MESSAGE("m-1", "h-1") "]}"

static bool is_action(const char *request, const char *action)
{
    char line[96];
    snprintf(line, sizeof line, "X-Amz-Target: AmazonSQS.%s\r\n", action);
    return strcasestr(request, line) != NULL;
}

static const struct step *next_step(struct place *p, const char *request)
{
    int last = -1;
    for (int i = 0; p->steps && p->steps[i].action; i++) {
        if (!is_action(request, p->steps[i].action))
            continue;
        last = i;
        if (!p->used[i])
            break;
    }
    if (last >= 0)
        p->used[last] = 1;
    return last >= 0 ? &p->steps[last] : NULL;
}

static void keep(struct place *p, const char *request)
{
    const char *target = strcasestr(request, "X-Amz-Target: AmazonSQS.");
    const char *body = strstr(request, "\r\n\r\n");
    assert_non_null(target);
    target += strlen("X-Amz-Target: AmazonSQS.");
    if (p->count < LOG &&
        asprintf(&p->asked[p->count], "%.*s %s", (int)strcspn(target, "\r"), target, body + 4) >= 0)
        p->count++;
}

static void answer(void *ctx, const char *request, struct http_stub_reply *reply)
{
    struct place *p = ctx;
    const struct step *s = next_step(p, request);
    keep(p, request);
    const char *body = s ? s->body : is_action(request, "GetQueueAttributes") ? ATTRIBUTES : "{}";
    reply->status = s ? s->status : 200;
    reply->missing = s ? s->missing : 0;
    snprintf(reply->body, sizeof reply->body, "%s", body);
}

static void forget(struct place *p)
{
    for (int i = 0; i < p->count; i++)
        free(p->asked[i]);
    p->count = 0;
}

/* From now on. */
static void play(struct place *p, const struct step *steps)
{
    forget(p);
    p->steps = steps;
    memset(p->used, 0, sizeof p->used);
}

static void open_queue(struct place *p, bool fair)
{
    char url[128], dead[128];
    snprintf(url, sizeof url, "%s/1/q", http_stub_url(p->stub));
    snprintf(dead, sizeof dead, "%s/1/d", http_stub_url(p->stub));
    struct sqs_queue_options options = {.client = p->client,
                                        .url = url,
                                        .dead_letter_url = dead,
                                        .fair = fair,
                                        .silence_ms = 200,
                                        .short_dead_poll = true};
    if (sqs_queue_open(&options, &p->queue))
        fail_msg("%s", error_last()->message);
    play(p, NULL);
}

static int open_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->stub = http_stub_open(answer, p);
    struct http_options http = {.user_agent = "aegis-test"};
    assert_int_equal(http_engine_open(&http, &p->http), OK);
    struct aws_credentials_options credentials = {.http = p->http, .clock = clock_system()};
    assert_int_equal(aws_credentials_open(&credentials, &p->credentials), OK);
    struct aws_client_options client = {.http = p->http,
                                        .credentials = p->credentials,
                                        .clock = clock_system(),
                                        .service = "sqs",
                                        .region = "eu-central-1",
                                        .endpoint = http_stub_url(p->stub),
                                        .retry_base_ms = 1};
    assert_int_equal(aws_client_open(&client, &p->client), OK);
    open_queue(p, false);
    arena_init(&p->arena, MIB(4));
    *state = p;
    return 0;
}

static int close_place(void **state)
{
    struct place *p = *state;
    p->queue.ops->close(p->queue.ctx);
    aws_client_close(p->client);
    aws_credentials_close(p->credentials);
    http_engine_close(p->http);
    http_stub_close(p->stub);
    forget(p);
    arena_free(&p->arena);
    free(p);
    return 0;
}

static int receive(struct place *p, int64_t wait_ms, struct queue_message **m, size_t *count)
{
    return p->queue.ops->receive(p->queue.ctx, 10, 30000, wait_ms, NULL, &p->arena, m, count);
}

static const char *receive_one(struct place *p)
{
    struct queue_message *m;
    size_t count;
    assert_int_equal(receive(p, 0, &m, &count), OK);
    assert_int_equal(count, 1);
    return m->receipt;
}

static int send_bodies(struct place *p, const char *const *bodies, size_t count)
{
    struct queue_send s[10] = {{0}};
    for (size_t i = 0; i < count; i++)
        s[i] = (struct queue_send){.body = bodies[i], .length = strlen(bodies[i])};
    return p->queue.ops->send(p->queue.ctx, s, count, NULL);
}

static int asked(const struct place *p, const char *action)
{
    int n = 0;
    for (int i = 0; i < p->count; i++)
        n += !strncmp(p->asked[i], action, strlen(action));
    return n;
}

static void expect(int rc, int code, const char *reason)
{
    assert_int_equal(rc, code);
    assert_string_equal(error_last()->reason, reason);
    assert_null(strstr(error_last()->message, getenv("AWS_SECRET_ACCESS_KEY")));
}

/* ---- the service ---- */

static void test_throttled_and_unavailable_are_waited_out(void **state)
{
    struct place *p = *state;
    const struct step steps[] = {
        {"ReceiveMessage", 400,
         "{\"__type\":\"com.amazon.coral.availability#ThrottlingException\"}", 0},
        {"ReceiveMessage", 503, "", 0},
        {"ReceiveMessage", 200, ONE_MESSAGE, 0},
        {0}};
    play(p, steps);
    receive_one(p);
    assert_int_equal(p->count, 3);
}

static void test_throttled_for_good(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    const struct step steps[] = {
        {"ReceiveMessage", 403, "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\"}", 0}, {0}};
    play(p, steps);
    expect(receive(p, 20000, &m, &count), ERR_TRANSIENT, "aws_throttled");
    assert_int_equal(p->count, 3);
    assert_int_equal(count, 0);
}

static void test_expired_token(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    const struct step once[] = {{"ReceiveMessage", 403,
                                 "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}",
                                 0},
                                {"ReceiveMessage", 200, ONE_MESSAGE, 0},
                                {0}};
    const struct step always[] = {
        {"ReceiveMessage", 403, "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}",
         0},
        {0}};
    play(p, once);
    receive_one(p);
    play(p, always);
    expect(receive(p, 0, &m, &count), ERR_SYSTEMIC, "aws_credentials");
}

static void test_reply_is_cut_off_or_no_json(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    const struct step cut[] = {{"ReceiveMessage", 200, "{\"Messages\":[", 100},
                               {"ReceiveMessage", 200, ONE_MESSAGE, 0},
                               {0}};
    const struct step page[] = {{"ReceiveMessage", 200, "<html>welcome to the hotel</html>", 0},
                                {0}};
    play(p, cut);
    receive_one(p);
    play(p, page);
    expect(receive(p, 0, &m, &count), ERR_TRANSIENT, "malformed_reply");
}

/* A connection that died without a word: a heartbeat comes in time all the same. */
static void test_silence_is_given_up(void **state)
{
    struct place *p = *state;
    const struct step steps[] = {
        {"ReceiveMessage", 200, ONE_MESSAGE, 0},
        {"ChangeMessageVisibilityBatch", HTTP_STUB_SILENT, "", 0},
        {"ChangeMessageVisibilityBatch", 200, "{\"Successful\":[{\"Id\":\"0\"}]}", 0},
        {0}};
    play(p, steps);
    struct queue_receipt r = {.receipt = receive_one(p), .rc = -1};
    int64_t start = clock_monotonic_ms();
    assert_int_equal(p->queue.ops->change_visibility(p->queue.ctx, &r, 1, 30000), OK);
    assert_int_equal(r.rc, OK);
    assert_int_equal(asked(p, "ChangeMessageVisibilityBatch"), 2);
    assert_true(clock_monotonic_ms() - start < 60000);
}

static void test_server_that_does_not_wait(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    int64_t start = clock_monotonic_ms();
    assert_int_equal(receive(p, 2000, &m, &count), OK);
    assert_int_equal(count, 0);
    assert_true(clock_monotonic_ms() - start >= 2000);
    assert_in_range(p->count, 2, 4);
}

/* ---- messages ---- */

static void test_duplicate_deliveries(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    const struct step steps[] = {
        {"ReceiveMessage", 200,
         "{\"Messages\":[" MESSAGE("m-1", "h-1") "," MESSAGE("m-1", "h-2") "]}", 0},
        {"DeleteMessageBatch", 200, "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"1\"}]}", 0},
        {0}};
    play(p, steps);
    assert_int_equal(receive(p, 0, &m, &count), OK);
    assert_int_equal(count, 2);
    assert_string_equal(m[0].id, m[1].id);
    struct queue_receipt r[] = {{.receipt = m[0].receipt, .rc = -1},
                                {.receipt = m[1].receipt, .rc = -1}};
    assert_int_equal(p->queue.ops->delete (p->queue.ctx, r, 2), OK);
    assert_int_equal(r[0].rc, OK);
    assert_int_equal(r[1].rc, OK);
}

static void test_malformed_messages_are_left_out(void **state)
{
    struct place *p = *state;
    const struct step steps[] = {
        {"ReceiveMessage", 200,
         "{\"Messages\":[null,7,{},{\"MessageId\":\"a\"},{\"ReceiptHandle\":\"h\"},"
         "{\"MessageId\":\"a\\nb\",\"ReceiptHandle\":\"x\"},"
         "{\"MessageId\":\"a\",\"ReceiptHandle\":\"x\\ny\"}," MESSAGE("m-1", "h-1") "]}",
         0},
        {0}};
    play(p, steps);
    receive_one(p);
}

static void test_newer_message_is_left_alone(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    const struct step steps[] = {
        {"ReceiveMessage", 200,
         "{\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"h\",\"Body\":\"b\","
         "\"MessageAttributes\":{\"aegis.version\":{\"DataType\":\"String\",\"StringValue\":"
         "\"2\"}}}]}",
         0},
        {"ChangeMessageVisibilityBatch", 200, "{\"Successful\":[{\"Id\":\"0\"}]}", 0},
        {0}};
    play(p, steps);
    assert_int_equal(receive(p, 0, &m, &count), OK);
    assert_int_equal(count, 0);
    assert_int_equal(asked(p, "ChangeMessageVisibilityBatch"), 1);
    assert_int_equal(asked(p, "DeleteMessageBatch") + asked(p, "SendMessageBatch"), 0);
}

/* ---- batches ---- */

/* What SQS itself failed at is sent again, and nothing else. */
static void test_send_fails_in_part(void **state)
{
    struct place *p = *state;
    const char *const bodies[] = {"first", "second", "third"};
    const struct step steps[] = {
        {"SendMessageBatch", 200,
         "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m-0\"}],\"Failed\":[{\"Id\":\"1\","
         "\"SenderFault\":false,\"Code\":\"InternalError\"}]}",
         0},
        {"SendMessageBatch", 200,
         "{\"Successful\":[{\"Id\":\"1\",\"MessageId\":\"m-1\"},{\"Id\":\"2\",\"MessageId\":"
         "\"m-2\"}]}",
         0},
        {0}};
    play(p, steps);
    assert_int_equal(send_bodies(p, bodies, 3), OK);
    assert_int_equal(p->count, 2);
    assert_null(strstr(p->asked[1], "first"));
    assert_non_null(strstr(p->asked[1], "second"));
    assert_non_null(strstr(p->asked[1], "third"));
}

static void test_send_is_refused_in_part(void **state)
{
    struct place *p = *state;
    const char *const bodies[] = {"first", "second"};
    const struct step refused[] = {
        {"SendMessageBatch", 200,
         "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m-0\"}],\"Failed\":[{\"Id\":\"1\","
         "\"SenderFault\":true,\"Code\":\"InvalidMessageContents\"}]}",
         0},
        {0}};
    const struct step failing[] = {
        {"SendMessageBatch", 200,
         "{\"Failed\":[{\"Id\":\"0\",\"SenderFault\":false,\"Code\":\"InternalError\"}]}", 0},
        {0}};
    play(p, refused);
    expect(send_bodies(p, bodies, 2), ERR_INVALID, "aws_refused");
    assert_non_null(strstr(error_last()->message, "1 of 2 messages were sent"));
    assert_non_null(strstr(error_last()->message, "InvalidMessageContents"));
    assert_int_equal(p->count, 1);
    play(p, failing);
    expect(send_bodies(p, bodies, 1), ERR_TRANSIENT, "aws_unavailable");
    assert_int_equal(p->count, 3);
}

static void test_settling_fails_in_part(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    size_t count;
    const struct step steps[] = {
        {"ReceiveMessage", 200,
         "{\"Messages\":[" MESSAGE("m-1", "h-1") "," MESSAGE("m-2", "h-2") "," MESSAGE("m-3",
                                                                                       "h-3") "]}",
         0},
        {"ChangeMessageVisibilityBatch", 200,
         "{\"Successful\":[{\"Id\":\"0\"}],\"Failed\":[{\"Id\":\"1\",\"SenderFault\":true,"
         "\"Code\":\"MessageNotInflight\"},{\"Id\":\"2\",\"SenderFault\":false,\"Code\":"
         "\"InternalError\"}]}",
         0},
        {"ChangeMessageVisibilityBatch", 200,
         "{\"Failed\":[{\"Id\":\"2\",\"SenderFault\":\"true\",\"Code\":"
         "\"ReceiptHandleIsInvalid\"}]}",
         0},
        {"DeleteMessageBatch", 200, "{}", 0},
        {0}};
    play(p, steps);
    assert_int_equal(receive(p, 0, &m, &count), OK);
    struct queue_receipt r[3];
    for (int i = 0; i < 3; i++)
        r[i] = (struct queue_receipt){.receipt = m[i].receipt, .rc = -1};
    assert_int_equal(p->queue.ops->change_visibility(p->queue.ctx, r, 3, 1000), OK);
    assert_int_equal(r[0].rc, OK);
    assert_int_equal(r[1].rc, ERR_CONFLICT);
    assert_int_equal(r[2].rc, ERR_CONFLICT);
    assert_null(strstr(p->asked[2], "h-1"));
    expect(p->queue.ops->delete (p->queue.ctx, r, 3), ERR_TRANSIENT, "aws_unavailable");
}

/* Sent first, deleted then. */
static void test_bury_that_cannot_be_sent_deletes_nothing(void **state)
{
    struct place *p = *state;
    const struct step steps[] = {
        {"ReceiveMessage", 200, ONE_MESSAGE, 0},
        {"ChangeMessageVisibilityBatch", 200, "{\"Successful\":[{\"Id\":\"0\"}]}", 0},
        {"SendMessageBatch", 403, "{\"__type\":\"com.amazon.coral.service#AccessDenied\"}", 0},
        {0}};
    play(p, steps);
    const char *receipt = receive_one(p);
    expect(p->queue.ops->bury(p->queue.ctx, receipt, "bad", "x"), ERR_SYSTEMIC,
           "aws_access_denied");
    assert_int_equal(asked(p, "DeleteMessageBatch"), 0);
}

static void test_bury_of_a_void_receipt_sends_nothing(void **state)
{
    struct place *p = *state;
    const struct step steps[] = {
        {"ReceiveMessage", 200, ONE_MESSAGE, 0},
        {"ChangeMessageVisibilityBatch", 200,
         "{\"Failed\":[{\"Id\":\"0\",\"SenderFault\":true,\"Code\":\"InvalidParameterValue\"}]}",
         0},
        {0}};
    play(p, steps);
    const char *receipt = receive_one(p);
    assert_int_equal(p->queue.ops->bury(p->queue.ctx, receipt, "bad", "x"), ERR_CONFLICT);
    assert_int_equal(asked(p, "SendMessageBatch"), 0);
}

/* moto does not take groups on standard queues, as SQS did not before 2025. */
static void test_groups_are_sent_where_that_is_wanted(void **state)
{
    struct place *p = *state;
    struct queue_send s[] = {{.body = "a", .length = 1, .group = "talks"},
                             {.body = "b", .length = 1, .group = "with a space"},
                             {.body = "c", .length = 1}};
    assert_int_not_equal(p->queue.ops->send(p->queue.ctx, s, 1, NULL), OK); /* "{}" is no answer */
    assert_null(strstr(p->asked[0], "MessageGroupId"));
    p->queue.ops->close(p->queue.ctx);
    open_queue(p, true);
    const struct step steps[] = {{"SendMessageBatch", 200,
                                  "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"1\"},{\"Id\":\"2\"}]}",
                                  0},
                                 {0}};
    play(p, steps);
    assert_int_equal(p->queue.ops->send(p->queue.ctx, s, 3, NULL), OK);
    assert_non_null(strstr(p->asked[0], "\"MessageBody\":\"a\",\"MessageGroupId\":\"talks\"}"));
    assert_non_null(strstr(p->asked[0], "\"MessageBody\":\"b\",\"MessageGroupId\":\"group-"));
    assert_non_null(strstr(p->asked[0], "\"MessageBody\":\"c\"}"));
}

/* ---- dead letters ---- */

/* The one that was sent is deleted, the other stays and is shown again by its timeout. */
static void test_redrive_fails_in_part(void **state)
{
    struct place *p = *state;
    int64_t moved;
    const struct step steps[] = {
        {"ReceiveMessage", 200,
         "{\"Messages\":[" MESSAGE("m-1", "h-1") "," MESSAGE("m-2", "h-2") "]}", 0},
        {"SendMessageBatch", 200,
         "{\"Successful\":[{\"Id\":\"1\",\"MessageId\":\"n\"}],\"Failed\":[{\"Id\":\"0\","
         "\"SenderFault\":true,\"Code\":\"X\"}]}",
         0},
        {"DeleteMessageBatch", 200, "{\"Successful\":[{\"Id\":\"0\"}]}", 0},
        {0}};
    play(p, steps);
    expect(p->queue.ops->dead_redrive(p->queue.ctx, NULL, 0, &moved), ERR_INVALID, "aws_refused");
    assert_int_equal(moved, 1);
    assert_int_equal(asked(p, "DeleteMessageBatch"), 1);
    for (int i = 0; i < p->count; i++)
        assert_false(!strncmp(p->asked[i], "Delete", 6) && strstr(p->asked[i], "h-1"));
}

static void test_listing_shows_what_it_saw_even_if_it_fails(void **state)
{
    struct place *p = *state;
    struct queue_dead_letter *d;
    size_t count;
    const struct step steps[] = {
        {"ReceiveMessage", 200, ONE_MESSAGE, 0},
        {"ReceiveMessage", 403, "{\"__type\":\"AccessDenied\"}", 0},
        {"ChangeMessageVisibilityBatch", 200, "{\"Successful\":[{\"Id\":\"0\"}]}", 0},
        {0}};
    play(p, steps);
    expect(p->queue.ops->dead_list(p->queue.ctx, "", 10, &p->arena, &d, &count), ERR_SYSTEMIC,
           "aws_access_denied");
    assert_int_equal(count, 0);
    assert_int_equal(asked(p, "ChangeMessageVisibilityBatch"), 1);
    assert_non_null(strstr(p->asked[p->count - 1], "\"VisibilityTimeout\":0"));
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, open_place, close_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_throttled_and_unavailable_are_waited_out),
        FAULT_TEST(test_throttled_for_good),
        FAULT_TEST(test_expired_token),
        FAULT_TEST(test_reply_is_cut_off_or_no_json),
        FAULT_TEST(test_silence_is_given_up),
        FAULT_TEST(test_server_that_does_not_wait),
        FAULT_TEST(test_duplicate_deliveries),
        FAULT_TEST(test_malformed_messages_are_left_out),
        FAULT_TEST(test_newer_message_is_left_alone),
        FAULT_TEST(test_send_fails_in_part),
        FAULT_TEST(test_send_is_refused_in_part),
        FAULT_TEST(test_settling_fails_in_part),
        FAULT_TEST(test_bury_that_cannot_be_sent_deletes_nothing),
        FAULT_TEST(test_bury_of_a_void_receipt_sends_nothing),
        FAULT_TEST(test_groups_are_sent_where_that_is_wanted),
        FAULT_TEST(test_redrive_fails_in_part),
        FAULT_TEST(test_listing_shows_what_it_saw_even_if_it_fails),
    };
    setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "do-not-show-this", 1);
    setenv("AWS_SESSION_TOKEN", "token", 1);
    return cmocka_run_group_tests_name("sqs queue: faults", tests, NULL, NULL);
}
