/*
 * Everything together, as docs/aws.md lays it out: an upload to S3 by AWS's own client, its
 * notification on a queue, the ingestion function, the job queue with its dead letters, the
 * processor function, PostgreSQL. The test is what is AWS's own between them: the mappings that
 * hand messages of the queues to the functions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/json.h"
#include "shared/trace_context.h"
#include "support/aws_fixture.h"
#include "support/fake_openai_process.h"
#include "support/lambda_fixture.h"
#include "support/s3_place.h"
#include "support/sqs_place.h"

enum { MAX_RECEIVES = 3, ROUNDS = 20 };

static struct aws_fixture server;
static struct lambda lambda;
static struct fake_openai fake;
static struct s3_place s3;
static struct sqs_place events, jobs, longer;
static char bucket[64];

/* ---- laying it out ---- */

static void set(const char *format, ...)
{
    char variable[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(variable, sizeof variable, format, ap);
    va_end(ap);
    lambda_set(&lambda, variable);
}

static void notify_queue(void)
{
    char document[1024], name[64];
    const char *last = strrchr(events.url, '/');
    snprintf(name, sizeof name, "%s", last + 1);
    snprintf(document, sizeof document,
             "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
             "<QueueConfiguration><Id>uploads</Id>"
             "<Queue>arn:aws:sqs:us-east-1:123456789012:%s</Queue>"
             "<Event>s3:ObjectCreated:*</Event></QueueConfiguration>"
             "</NotificationConfiguration>",
             name);
    s3_place_set(&s3, bucket, "notification=", document);
}

static int set_up(void **state)
{
    (void)state;
    lambda_open(&lambda, false);
    fake_openai_start(&fake, NULL);
    sqs_place_make(&events, "", 0);
    sqs_place_make(&jobs, "", MAX_RECEIVES);
    sqs_place_make(&longer, "", MAX_RECEIVES);
    aws_fixture_name(bucket, sizeof bucket);
    s3_place_bucket(&s3, bucket, true);
    notify_queue();
    set("AWS_ENDPOINT_URL=%s", server.endpoint);
    set("AWS_ACCESS_KEY_ID=%s", server.key_id);
    set("AWS_SECRET_ACCESS_KEY=%s", server.secret);
    set("AWS_REGION=%s", server.region);
    set("AEGIS_STORE=s3");
    set("AEGIS_BUCKET=%s", bucket);
    set("AEGIS_QUEUE_URL=%s", jobs.url);
    set("AEGIS_LONG_QUEUE_URL=%s", longer.url);
    set("AEGIS_RETRY_BASE=1ms");
    set("AEGIS_RETRY_CAP=1ms");
    set("AEGIS_RETRY_MAX_ATTEMPTS=9");
    set("OPENAI_BASE_URL=%s", fake.base_url);
    set("OPENAI_API_KEY=sk-test-0123456789");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lambda_close(&lambda);
    fake_openai_stop(&fake);
    sqs_place_remove(&events);
    sqs_place_remove(&jobs);
    sqs_place_remove(&longer);
    return 0;
}

/* With AWS's own client. */
static void upload(const char *key, const char *text)
{
    char command[512];
    snprintf(command, sizeof command,
             "printf '%%s' '%s' | aws s3 cp --quiet - 's3://%s/%s' --endpoint-url "
             "\"$AWS_ENDPOINT_URL\"",
             text, bucket, key);
    if (system(command))
        fail_msg("the upload of '%s' failed", key);
}

/* ---- the mapping of a queue to a function ---- */

/* As Lambda writes it: names begin with a small letter. */
static void add_member(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name, yyjson_val *value)
{
    yyjson_mut_obj_add(to, yyjson_mut_strcpy(doc, name), yyjson_val_mut_copy(doc, value));
}

static yyjson_mut_val *attributes_of(yyjson_mut_doc *doc, yyjson_val *message)
{
    yyjson_mut_val *all = yyjson_mut_obj(doc);
    yyjson_val *name, *value;
    size_t i, count;
    yyjson_obj_foreach(yyjson_obj_get(message, "MessageAttributes"), i, count, name, value)
    {
        yyjson_mut_val *one = yyjson_mut_obj(doc);
        add_member(doc, one, "stringValue", yyjson_obj_get(value, "StringValue"));
        add_member(doc, one, "dataType", yyjson_obj_get(value, "DataType"));
        yyjson_mut_obj_add(all, yyjson_val_mut_copy(doc, name), one);
    }
    return all;
}

static char *event_of(yyjson_val *messages)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *records = yyjson_mut_arr(doc);
    yyjson_val *m;
    size_t i, count;
    yyjson_arr_foreach(messages, i, count, m)
    {
        yyjson_mut_val *r = yyjson_mut_arr_add_obj(doc, records);
        add_member(doc, r, "messageId", yyjson_obj_get(m, "MessageId"));
        add_member(doc, r, "receiptHandle", yyjson_obj_get(m, "ReceiptHandle"));
        add_member(doc, r, "body", yyjson_obj_get(m, "Body"));
        add_member(doc, r, "attributes", yyjson_obj_get(m, "Attributes"));
        yyjson_mut_obj_add_val(doc, r, "messageAttributes", attributes_of(doc, m));
        yyjson_mut_obj_add_str(doc, r, "eventSource", "aws:sqs");
    }
    yyjson_mut_obj_add_val(doc, root, "Records", records);
    yyjson_mut_doc_set_root(doc, root);
    char *text = yyjson_mut_write(doc, 0, NULL);
    assert_non_null(text);
    yyjson_mut_doc_free(doc);
    return text;
}

static void delete_unless_reported(struct sqs_place *q, yyjson_val *messages, const char *answer)
{
    yyjson_val *m;
    size_t i, count;
    yyjson_arr_foreach(messages, i, count, m)
    {
        struct buffer body;
        const char *handle = json_string_at(m, "ReceiptHandle", "");
        if (strstr(answer, json_string_at(m, "MessageId", "?")))
            continue;
        buffer_init(&body, 8192);
        buffer_printf(&body, "{\"QueueUrl\":\"%s\",\"ReceiptHandle\":", q->url);
        json_append_string(&body, handle, strlen(handle));
        buffer_append_char(&body, '}');
        free(sqs_place_call(q, "DeleteMessage", buffer_string(&body)));
        buffer_free(&body);
    }
}

/* One batch, if there is one within two seconds. Returns how many messages it had, and how many of
 * them came back. */
static size_t deliver(struct sqs_place *q, int64_t timeout_ms, size_t *reported)
{
    char request[600];
    yyjson_doc *doc;
    snprintf(request, sizeof request,
             "{\"QueueUrl\":\"%s\",\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":2,"
             "\"VisibilityTimeout\":600,\"AttributeNames\":[\"All\"],"
             "\"MessageAttributeNames\":[\"All\"]}",
             q->url);
    char *reply = sqs_place_call(q, "ReceiveMessage", request);
    assert_int_equal(json_parse(reply, strlen(reply), "a reply", &doc), OK);
    yyjson_val *messages = yyjson_obj_get(yyjson_doc_get_root(doc), "Messages");
    size_t count = yyjson_arr_size(messages);
    *reported = 0;
    if (count) {
        char *event = event_of(messages);
        char *answer = lambda_invoke(&lambda, event, timeout_ms);
        delete_unless_reported(q, messages, answer);
        for (const char *p = answer; (p = strstr(p, "itemIdentifier")); p++)
            ++*reported;
        free(event);
        free(answer);
    }
    yyjson_doc_free(doc);
    free(reply);
    return count;
}

/* Everything that is there; returns how many messages were delivered. */
static size_t deliver_all(struct sqs_place *q, const char *handler)
{
    size_t total = 0, count, reported;
    lambda_launch(&lambda, handler);
    for (int round = 0; round < ROUNDS && (count = deliver(q, LAMBDA_LONG_MS, &reported)); round++)
        total += count;
    lambda_end(&lambda);
    return total;
}

/* What the schedule does every few minutes: among it, asking which messages SQS gave up on. */
static void upkeep(void)
{
    lambda_launch(&lambda, "processor");
    free(lambda_invoke(&lambda, "{\"aegis\":\"upkeep\"}", LAMBDA_LONG_MS));
    lambda_end(&lambda);
}

/* ---- looking ---- */

static void says(const char *arguments, const char *needle)
{
    char *output = lambda_aegis(&lambda, arguments);
    if (!strstr(output, needle))
        fail_msg("'%s' is not in what `aegis %s` says:\n%s", needle, arguments, output);
    free(output);
}

static const char SUCCEEDED[] = "SELECT count(*) FROM aegis.job WHERE state = 4";

/* ---- tests ---- */

static void an_upload_is_found(void **state)
{
    (void)state;
    upload("talks/cape horn+1.txt", "A lighthouse stands at the cape.");
    upload("talks/mill.txt", "The windmill turns in the west wind.");
    assert_true(deliver_all(&events, "ingestion") >= 2); /* S3 sends a test event first */
    assert_int_equal(deliver_all(&jobs, "processor"), 2);
    assert_int_equal(lambda_number(&lambda, SUCCEEDED), 2);
    says("search --json lighthouse", "talks/cape horn+1.txt");
    says("search --json windmill", "talks/mill.txt");
}

/* A message of the job queue, as whoever looks at the queue sees it; the caller's. */
static char *next_job(void)
{
    char request[600];
    snprintf(request, sizeof request,
             "{\"QueueUrl\":\"%s\",\"WaitTimeSeconds\":20,\"VisibilityTimeout\":0,"
             "\"AttributeNames\":[\"AWSTraceHeader\"],\"MessageAttributeNames\":[\"traceparent\"]}",
             jobs.url);
    return sqs_place_call(&jobs, "ReceiveMessage", request);
}

static void logged(const char *needle)
{
    char *log = lambda_logged(&lambda);
    if (!strstr(log, needle))
        fail_msg("'%s' is not in the log:\n%s", needle, log);
    free(log);
}

/* The trace that Lambda began when it was called with S3's event is that of the message, of the job
 * and of what both functions say. */
static void one_trace_leads_from_the_event_to_the_job(void **state)
{
    static const char trace_id[] = "5bef4de7000000000000000000000001";
    char event[1024], parent[SPAN_ID_TEXT];
    struct trace_context c;
    yyjson_doc *doc;
    (void)state;
    upload("traced.txt", "An albatross follows the ship.");
    snprintf(
        event, sizeof event,
        "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"%s\"},"
        "\"object\":{\"key\":\"traced.txt\",\"size\":30}}}]}",
        bucket);
    lambda_launch(&lambda, "ingestion");
    free(lambda_invoke(&lambda, event, LAMBDA_LONG_MS));
    lambda_end(&lambda);
    logged("\"trace_id\":\"5bef4de7000000000000000000000001\"");
    char *reply = next_job();
    assert_int_equal(json_parse(reply, strlen(reply), "a reply", &doc), OK);
    yyjson_val *m = yyjson_arr_get(json_at(yyjson_doc_get_root(doc), "Messages"), 0);
    assert_true(trace_context_parse_traceparent(
        json_string_at(m, "MessageAttributes.traceparent.StringValue", ""), &c));
    assert_string_equal(c.trace_id, trace_id);
    snprintf(parent, sizeof parent, "%s", c.span_id);
    assert_true(trace_context_parse_xray(json_string_at(m, "Attributes.AWSTraceHeader", ""), &c));
    assert_string_equal(c.trace_id, trace_id);
    assert_string_equal(c.span_id, parent);
    assert_true(c.sampled);
    assert_non_null(strstr(json_string_at(m, "Body", ""), trace_id));
    yyjson_doc_free(doc);
    free(reply);
    says("jobs --json", trace_id);
}

static void a_poisoned_object_dies_after_its_receives_and_comes_back(void **state)
{
    (void)state;
    fake_openai_control(&fake,
                        "{\"rules\":[{\"contains\":\"arsenic\",\"fault\":\"reset\",\"times\":"
                        "-1}]}");
    upload("good.txt", "Whales pass the coast in April.");
    upload("poison.txt", "Who takes arsenic is ill.");
    assert_true(deliver_all(&events, "ingestion") >= 2);
    /* the good one once, the other as often as the queue allows */
    assert_int_equal(deliver_all(&jobs, "processor"), 1 + MAX_RECEIVES);
    assert_int_equal(lambda_number(&lambda, SUCCEEDED), 1);
    upkeep();
    says("dead", "max_receives");
    fake_openai_control(&fake, "{\"reset\":true}");
    says("dead redrive --all", "1");
    assert_int_equal(deliver_all(&jobs, "processor"), 1);
    assert_int_equal(lambda_number(&lambda, SUCCEEDED), 2);
    says("search --json arsenic", "poison.txt");
}

static void what_can_never_be_read_is_buried_at_once(void **state)
{
    (void)state;
    upload("broken.pdf", "%PDF-1.4 and nothing else");
    assert_true(deliver_all(&events, "ingestion") >= 1);
    assert_int_equal(deliver_all(&jobs, "processor"), 1);
    says("dead", "broken.pdf");
    assert_int_equal(lambda_number(&lambda, "SELECT count(*) FROM aegis.job WHERE state = 5"), 1);
}

static void what_is_too_long_for_a_function_goes_to_the_workers(void **state)
{
    enum { SHORT_MS = 12000 }; /* a tenth of it has to do for giving back, under a sanitizer too */
    size_t reported;
    (void)state;
    fake_openai_control(&fake, "{\"rules\":[{\"contains\":\"glacier\",\"delay_ms\":60000,\"times\":"
                               "-1}]}");
    upload("slow.txt", "A glacier takes its time.");
    assert_true(deliver_all(&events, "ingestion") >= 1);
    lambda_launch(&lambda, "processor");
    assert_int_equal(deliver(&jobs, SHORT_MS, &reported), 1);
    assert_int_equal(reported, 1);
    assert_int_equal(deliver(&jobs, SHORT_MS, &reported), 1);
    assert_int_equal(reported, 0);
    assert_int_equal(deliver(&jobs, SHORT_MS, &reported), 0);
    lambda_end(&lambda);
    fake_openai_control(&fake, "{\"reset\":true}");
    set("AEGIS_QUEUE_URL=%s", longer.url);
    free(lambda_aegis(&lambda, "worker --until-idle"));
    assert_int_equal(lambda_number(&lambda, SUCCEEDED), 1);
    says("search --json glacier", "slow.txt");
}

int main(void)
{
    int skip = aws_fixture_moto(&server);
    if (!skip)
        skip = pg_fixture_start();
    if (skip)
        return skip;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_upload_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_trace_leads_from_the_event_to_the_job, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_poisoned_object_dies_after_its_receives_and_comes_back,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_can_never_be_read_is_buried_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_long_for_a_function_goes_to_the_workers, set_up,
                                        tear_down),
    };
    s3_place_open(&s3, &server);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    s3_place_close(&s3);
    return failed;
}
