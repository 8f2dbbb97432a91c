/* Events of SQS as Lambda hands them over, and the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/sqs_event.h"
#include "shared/caps.h"
#include "shared/error.h"

static struct arena arena;
static struct sqs_event event;

static int parse(const char *text)
{
    return sqs_event_parse(text, strlen(text), &arena, &event);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, MIB(4));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* From AWS's documentation, "Using Lambda with Amazon SQS". */
static const char EXAMPLE[] =
    "{\"Records\": [{\"messageId\": \"059f36b4-87a3-44ab-83d2-661975830a7d\","
    "\"receiptHandle\": \"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...\", \"body\": \"Test message.\","
    "\"attributes\": {\"ApproximateReceiveCount\": \"3\", \"SentTimestamp\": \"1545082649183\","
    "\"SenderId\": \"AIDAIENQZJOLO23YVJ4VO\", \"ApproximateFirstReceiveTimestamp\": "
    "\"1545082649185\"}, \"messageAttributes\": {}, \"md5OfBody\": "
    "\"e4e68fb7bd0e697a0ae8f1bb342846b3\", \"eventSource\": \"aws:sqs\", \"eventSourceARN\": "
    "\"arn:aws:sqs:us-east-2:123456789012:my-queue\", \"awsRegion\": \"us-east-2\"}, "
    "{\"messageId\": \"2e1424d4\", \"receiptHandle\": \"AQEBzWwaftRI0\", \"body\": \"\", "
    "\"eventSource\": \"aws:sqs\"}]}";

static void messages_are_read_with_their_counts(void **state)
{
    (void)state;
    assert_int_equal(parse(EXAMPLE), OK);
    assert_int_equal(event.count, 2);
    const struct sqs_record *r = event.records;
    assert_string_equal(r->message_id, "059f36b4-87a3-44ab-83d2-661975830a7d");
    assert_string_equal(r->receipt_handle, "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...");
    assert_string_equal(r->body, "Test message.");
    assert_int_equal(r->length, 13);
    assert_int_equal(r->receive_count, 3);
    assert_int_equal(r->sent_ms, 1545082649183);
    assert_string_equal(r[1].body, "");
    assert_int_equal(r[1].receive_count, 1);
    assert_int_equal(r[1].sent_ms, 0);
}

static void what_is_no_such_event_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "not json",
        "{\"Records\": []}",
        "{\"Records\": {}}",
        "{\"Records\": [1]}",
        "{\"Records\": [{\"messageId\": \"1\", \"receiptHandle\": \"2\", \"body\": \"\"}]}",
        "{\"Records\": [{\"eventSource\": \"aws:s3\", \"messageId\": \"1\", \"receiptHandle\": "
        "\"2\"}]}",
        "{\"Records\": [{\"eventSource\": \"aws:sqs\", \"receiptHandle\": \"2\"}]}",
        "{\"Records\": [{\"eventSource\": \"aws:sqs\", \"messageId\": \"1\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(parse(texts[i]), ERR_INVALID);
        assert_string_equal(error_last()->reason, "invalid_event");
        assert_int_equal(event.count, 0);
    }
}

static void counts_out_of_range_are_not_believed(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"Records\": [{\"eventSource\": \"aws:sqs\", \"messageId\": \"1\", "
              "\"receiptHandle\": \"2\", \"body\": \"x\", \"attributes\": "
              "{\"ApproximateReceiveCount\": \"99999999999\", \"SentTimestamp\": \"-5\"}}]}"),
        OK);
    assert_int_equal(event.records[0].receive_count, 1);
    assert_int_equal(event.records[0].sent_ms, 0);
}

static void the_answer_names_what_failed(void **state)
{
    static const char *const ids[] = {"a", "b\"c"};
    struct buffer out;
    (void)state;
    buffer_init(&out, 1024);
    assert_int_equal(sqs_event_answer(ids, 0, &out), OK);
    assert_string_equal(buffer_string(&out), "{\"batchItemFailures\":[]}");
    buffer_clear(&out);
    assert_int_equal(sqs_event_answer(ids, 2, &out), OK);
    assert_string_equal(buffer_string(&out), "{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},"
                                             "{\"itemIdentifier\":\"b\\\"c\"}]}");
    buffer_free(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_are_read_with_their_counts),
        TEST(what_is_no_such_event_is_refused),
        TEST(counts_out_of_range_are_not_believed),
        TEST(the_answer_names_what_failed),
    };
    return cmocka_run_group_tests_name("sqs_event", tests, NULL, NULL);
}
