#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingestion/event.h"
#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/file.h"

enum { NOW_MS = 1234567 };

struct fixture {
    struct arena arena;
    struct event_document document;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    arena_init(&f->arena, MIB(64));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->arena);
    free(f);
    return 0;
}

static int parse(struct fixture *f, const char *text)
{
    return event_parse(text, strlen(text), NOW_MS, NULL, &f->arena, &f->document);
}

static const struct event_document *parse_file(struct fixture *f, const char *name)
{
    char path[512];
    struct buffer text;
    buffer_init(&text, MIB(1));
    snprintf(path, sizeof path, "%s/tests/data/events/%s", TEST_SOURCE_DIR, name);
    assert_int_equal(file_read(path, &text), OK);
    if (event_parse(buffer_string(&text), text.length, NOW_MS, NULL, &f->arena, &f->document))
        fail_msg("%s: %s", name, error_last()->message);
    buffer_free(&text);
    return &f->document;
}

static int64_t at(const char *time)
{
    int64_t ms;
    assert_int_equal(clock_parse(time, &ms), OK);
    return ms;
}

static void assert_counts(const struct event_document *d, size_t events, size_t ignored,
                          size_t tests, size_t problems)
{
    assert_int_equal(d->count, events);
    assert_int_equal(d->ignored, ignored);
    assert_int_equal(d->tests, tests);
    assert_int_equal(d->problem_count, problems);
}

static void assert_happy_face(const struct media_event *e)
{
    assert_int_equal(e->kind, EVENT_CREATED);
    assert_string_equal(e->bucket, "amzn-s3-demo-bucket");
    assert_string_equal(e->key, "HappyFace.jpg");
    assert_string_equal(e->object_version, "096fKKXTRTtl3on89fVO.nfljtsv6qko");
    assert_string_equal(e->etag, "d41d8cd98f00b204e9800998ecf8427e");
    assert_string_equal(e->sequencer, "0055AED6DCD90281E5");
    assert_int_equal(e->size, 1024);
    assert_int_equal(e->event_ms, at("2026-03-01T12:00:00.123Z"));
    assert_null(e->collection);
    assert_int_equal(strlen(e->trace_id), 32);
    assert_false(digest_known(&e->content));
}

static void assert_example_key(const struct media_event *e)
{
    assert_int_equal(e->kind, EVENT_CREATED);
    assert_string_equal(e->bucket, "amzn-s3-demo-bucket1");
    assert_string_equal(e->key, "example+key %2B.txt"); /* EventBridge does not encode keys */
    assert_string_equal(e->object_version, "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e");
    assert_string_equal(e->etag, "b1946ac92492d2347c6235b4d2611184");
    assert_string_equal(e->sequencer, "617F08299329D189");
    assert_int_equal(e->size, 5);
    assert_int_equal(e->event_ms, at("2021-11-12T00:00:00Z"));
}

/* ---- the documents of docs/event-formats.md ---- */

static void reads_a_notification(void **state)
{
    const struct event_document *d = parse_file(*state, "s3_put.json");
    assert_counts(d, 1, 0, 0, 0);
    assert_happy_face(&d->events[0]);
}

static void reads_several_records(void **state)
{
    const struct event_document *d = parse_file(*state, "s3_several.json");
    assert_counts(d, 4, 3, 0, 0);
    assert_int_equal(d->events[0].kind, EVENT_CREATED);
    assert_string_equal(d->events[0].key, "2026/red flower + caf\xc3\xa9 (1).mp3");
    assert_int_equal(d->events[0].size, 2147483648);
    assert_string_equal(d->events[0].etag, "4af981f98d22a0b9979da24b259e5e42-12");
    assert_int_equal(d->events[1].kind, EVENT_REMOVED);
    assert_string_equal(d->events[1].key, "old.mp3");
    assert_string_equal(d->events[1].object_version, "3sL4kqtJlcpXroDTDmJ.rUEXAMPLE");
    assert_int_equal(d->events[1].size, -1);
    assert_int_equal(d->events[2].kind, EVENT_REMOVED);
    assert_string_equal(d->events[2].object_version, ""); /* not the marker's own id */
    assert_int_equal(d->events[3].kind, EVENT_REMOVED);
    assert_string_equal(d->events[3].key, "expired.mp3");
}

static void bad_records_do_not_lose_good_ones(void **state)
{
    const struct event_document *d = parse_file(*state, "s3_some_bad.json");
    static const struct {
        size_t record;
        const char *text;
    } expected[] = {{2, "bucket"},    {3, "escape"},  {4, "NUL"},        {5, "UTF-8"},
                    {6, "yesterday"}, {7, "no form"}, {8, "JSON object"}};
    assert_counts(d, 2, 0, 0, 7);
    assert_string_equal(d->events[0].key, "good-1.txt");
    assert_string_equal(d->events[1].key, "good-2.txt");
    assert_int_equal(d->events[1].size, -1);
    for (size_t i = 0; i < d->problem_count; i++) {
        assert_int_equal(d->problems[i].record, expected[i].record);
        if (!strstr(d->problems[i].reason, expected[i].text))
            fail_msg("'%s' does not name '%s'", d->problems[i].reason, expected[i].text);
    }
}

static void reads_a_test_event(void **state)
{
    assert_counts(parse_file(*state, "s3_test.json"), 0, 0, 1, 0);
}

static void reads_other_stores(void **state)
{
    const struct event_document *d = parse_file(*state, "minio_put.json");
    assert_counts(d, 1, 0, 0, 0);
    assert_string_equal(d->events[0].key, "talks/intro.wav");
    assert_string_equal(d->events[0].content_type, "audio/wav");
    assert_string_equal(d->events[0].object_version, ""); /* "null" tells nothing apart */
}

static void reads_eventbridge(void **state)
{
    const struct event_document *d = parse_file(*state, "eventbridge_created.json");
    assert_counts(d, 1, 0, 0, 0);
    assert_example_key(&d->events[0]);
    d = parse_file(*state, "eventbridge_deleted.json");
    assert_counts(d, 2, 1, 0, 0);
    assert_int_equal(d->events[0].kind, EVENT_REMOVED);
    assert_string_equal(d->events[0].object_version, "");
    assert_int_equal(d->events[1].kind, EVENT_REMOVED);
    assert_string_equal(d->events[1].object_version, "mtB0cV.jejK63XkRNceanNMC.qXPWLeK");
}

static void reads_sns(void **state)
{
    static const char *const files[] = {"sns_http.json", "sns_lambda.json", "sqs_sns_lambda.json"};
    for (size_t i = 0; i < 3; i++) {
        const struct event_document *d = parse_file(*state, files[i]);
        assert_counts(d, 1, 0, 0, 0);
        assert_happy_face(&d->events[0]);
    }
    assert_counts(parse_file(*state, "sns_confirmation.json"), 0, 1, 0, 0);
}

static void reads_sqs(void **state)
{
    const struct event_document *d = parse_file(*state, "sqs_lambda.json");
    assert_counts(d, 2, 0, 1, 1);
    assert_happy_face(&d->events[0]);
    assert_example_key(&d->events[1]);
    assert_int_equal(d->problems[0].record, 3);
    d = parse_file(*state, "sqs_receive.json");
    assert_counts(d, 2, 0, 0, 0);
    assert_happy_face(&d->events[0]);
    assert_example_key(&d->events[1]);
}

/* What Lambda puts into a queue when a function could not take its event. */
static void reads_what_lambda_gave_up_on(void **state)
{
    const struct event_document *d = parse_file(*state, "sqs_lost_lambda.json");
    assert_counts(d, 1, 0, 0, 0);
    assert_happy_face(&d->events[0]);
}

/* ---- traps ---- */

static void refuses_what_is_no_event(void **state)
{
    static const char *const texts[] = {
        "",
        "not json",
        "{",
        "1",
        "\"text\"",
        "{}",
        "{\"Records\":1}",
        "{\"Type\":\"Notification\"}",
        "{\"Type\":\"Notification\",\"Message\":\"not json\"}",
        "{\"body\":7}",
        "{\"Sns\":{}}",
        "{\"s3\":{},\"s3\":{}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(*state, texts[i]) != ERR_INVALID)
            fail_msg("'%s' was taken", texts[i]);
        assert_true(strlen(error_last()->message) > 0);
    }
}

static void an_empty_list_is_no_event(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "{\"Records\":[]}"), OK);
    assert_counts(&f->document, 0, 0, 0, 0);
}

/* A record with this object, and this name of the event. */
static const struct event_document *parse_object(struct fixture *f, const char *name,
                                                 const char *object)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"eventName\":\"%s\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":%s}}", name,
             object);
    int rc = parse(f, text);
    return rc ? NULL : &f->document;
}

static void decodes_keys(void **state)
{
    static const struct {
        const char *encoded, *decoded; /* NULL: refused */
    } table[] = {
        {"plain", "plain"},
        {"a+b", "a b"},
        {"a%2Bb", "a+b"},
        {"a%2bb", "a+b"},
        {"a%20b", "a b"},
        {"%E3%81%82", "\xe3\x81\x82"},
        {"dir/%2e%2e/x", "dir/../x"},
        {"100%25", "100%"},
        {"a%", NULL},
        {"a%2", NULL},
        {"a%g0", NULL},
        {"a%00b", NULL},
        {"%C3%28", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char object[128];
        snprintf(object, sizeof object, "{\"key\":\"%s\"}", table[i].encoded);
        const struct event_document *d = parse_object(*state, "ObjectCreated:Put", object);
        if (!table[i].decoded) {
            assert_null(d);
        } else {
            assert_non_null(d);
            assert_string_equal(d->events[0].key, table[i].decoded);
        }
    }
}

static void longest_key_is_taken(void **state)
{
    char object[2048], key[CAP_KEY + 2];
    memset(key, 'k', sizeof key - 1);
    key[CAP_KEY + 1] = '\0';
    snprintf(object, sizeof object, "{\"key\":\"%s\"}", key);
    assert_null(parse_object(*state, "ObjectCreated:Put", object));
    key[CAP_KEY] = '\0';
    snprintf(object, sizeof object, "{\"key\":\"%s\"}", key);
    assert_non_null(parse_object(*state, "ObjectCreated:Put", object));
}

static void classifies_names(void **state)
{
    static const struct {
        const char *name;
        int kind; /* -1: ignored */
    } table[] = {
        {"ObjectCreated:Put", EVENT_CREATED},
        {"ObjectCreated:Post", EVENT_CREATED},
        {"ObjectCreated:Copy", EVENT_CREATED},
        {"ObjectCreated:CompleteMultipartUpload", EVENT_CREATED},
        {"s3:ObjectCreated:Put", EVENT_CREATED},
        {"ObjectCreated:ToBeInvented", EVENT_CREATED},
        {"ObjectRemoved:Delete", EVENT_REMOVED},
        {"ObjectRemoved:DeleteMarkerCreated", EVENT_REMOVED},
        {"LifecycleExpiration:Delete", EVENT_REMOVED},
        {"LifecycleExpiration:DeleteMarkerCreated", EVENT_REMOVED},
        {"ObjectCreatedLater:Put", -1},
        {"ObjectRestore:Post", -1},
        {"ObjectRestore:Delete", -1},
        {"ObjectTagging:Put", -1},
        {"ObjectAcl:Put", -1},
        {"Replication:OperationFailedReplication", -1},
        {"ReducedRedundancyLostObject", -1},
        {"LifecycleTransition", -1},
        {"IntelligentTiering", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct event_document *d = parse_object(*state, table[i].name, "{\"key\":\"k\"}");
        assert_non_null(d);
        assert_int_equal(d->ignored, table[i].kind < 0);
        assert_int_equal(d->count, table[i].kind >= 0);
        if (d->count)
            assert_int_equal(d->events[0].kind, table[i].kind);
    }
}

static void odd_values_are_read_with_care(void **state)
{
    const struct event_document *d = parse_object(
        *state, "ObjectCreated:Put",
        "{\"key\":\"k\",\"size\":\"12\",\"eTag\":\"\\\"quoted\\\"\",\"sequencer\":\"Happy\"}");
    assert_non_null(d);
    assert_int_equal(d->events[0].size, -1);
    assert_string_equal(d->events[0].etag, "quoted");
    assert_string_equal(d->events[0].sequencer, ""); /* then the time orders */
    assert_int_equal(d->events[0].event_ms, NOW_MS); /* none was told */
    d = parse_object(*state, "ObjectCreated:Put", "{\"key\":7}");
    assert_null(d);
}

static void wrapping_has_an_end(void **state)
{
    struct fixture *f = *state;
    char text[256] = "{\"Records\":[]}", outer[256];
    for (int i = 0; i < 8; i++) {
        snprintf(outer, sizeof outer, "[%s]", text);
        strcpy(text, outer);
    }
    assert_int_equal(parse(f, text), OK);
    assert_int_equal(f->document.problem_count, 0);
    snprintf(outer, sizeof outer, "[%s]", text);
    assert_int_equal(parse(f, outer), OK);
    assert_int_equal(f->document.problem_count, 1);
    assert_non_null(strstr(f->document.problems[0].reason, "wrapped"));
}

static void caps_hold(void **state)
{
    struct fixture *f = *state;
    struct buffer text;
    buffer_init(&text, CAP_EVENT_DOCUMENT + 1);
    assert_int_equal(buffer_append_string(&text, "{\"Records\":["), OK);
    for (int i = 0; i <= CAP_EVENT_RECORDS; i++)
        assert_int_equal(buffer_printf(&text, "%s{\"s3\":{}}", i ? "," : ""), OK);
    assert_int_equal(buffer_append_string(&text, "]}"), OK);
    assert_int_equal(event_parse(text.data, text.length, 0, NULL, &f->arena, &f->document),
                     ERR_TOO_LARGE);
    assert_int_equal(
        event_parse(text.data, CAP_EVENT_DOCUMENT + 1, 0, NULL, &f->arena, &f->document),
        ERR_TOO_LARGE);
    buffer_free(&text);
}

static void small_arena_is_no_crash(void **state)
{
    struct fixture *f = *state;
    char path[512];
    struct buffer text;
    buffer_init(&text, MIB(1));
    snprintf(path, sizeof path, "%s/tests/data/events/s3_some_bad.json", TEST_SOURCE_DIR);
    assert_int_equal(file_read(path, &text), OK);
    int rc = ERR_NO_MEMORY;
    for (size_t limit = 0; rc; limit += 16) {
        struct arena small;
        arena_init(&small, limit);
        rc = event_parse(text.data, text.length, 0, NULL, &small, &f->document);
        assert_true(rc == OK || rc == ERR_NO_MEMORY);
        arena_free(&small);
        assert_true(limit < MIB(1));
    }
    buffer_free(&text);
}

/* ---- traces ---- */

#define RECORD                                                                                     \
    "{\\\"Records\\\":[{\\\"eventName\\\":\\\"ObjectCreated:Put\\\",\\\"s3\\\":{\\\"bucket\\\":{"  \
    "\\\"name\\\":\\\"media\\\"},\\\"object\\\":{\\\"key\\\":\\\"a\\\"}}}]}"

static void assert_trace(const struct media_event *e, const char *trace_id, const char *span,
                         bool unsampled)
{
    assert_string_equal(e->trace_id, trace_id);
    assert_string_equal(e->parent_span, span);
    assert_int_equal(e->unsampled, unsampled);
}

static void each_message_brings_its_trace(void **state)
{
    struct fixture *f = *state;
    static const struct trace_context around = {.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                                                .span_id = "00f067aa0ba902b7",
                                                .sampled = true};
    static const char text[] =
        "{\"Records\":["
        "{\"eventSource\":\"aws:sqs\",\"body\":\"" RECORD "\",\"attributes\":{\"AWSTraceHeader\":"
        "\"Root=1-11111111-222222222222222222222222;Parent=3333333333333333;Sampled=0\"}},"
        "{\"eventSource\":\"aws:sqs\",\"body\":\"" RECORD "\",\"messageAttributes\":{"
        "\"traceparent\":{\"stringValue\":"
        "\"00-44444444444444444444444444444444-5555555555555555-01\"}}},"
        "{\"eventSource\":\"aws:sqs\",\"body\":\"" RECORD "\",\"attributes\":{\"AWSTraceHeader\":"
        "\"Root=nonsense\"}},"
        "{\"Body\":\"" RECORD "\",\"Attributes\":{\"AWSTraceHeader\":"
        "\"Root=1-66666666-777777777777777777777777\"}}]}";
    assert_int_equal(event_parse(text, strlen(text), NOW_MS, &around, &f->arena, &f->document), OK);
    assert_counts(&f->document, 4, 0, 0, 0);
    const struct media_event *e = f->document.events;
    assert_trace(&e[0], "11111111222222222222222222222222", "3333333333333333", true);
    assert_trace(&e[1], "44444444444444444444444444444444", "5555555555555555", false);
    assert_trace(&e[2], around.trace_id, around.span_id, false);
    assert_trace(&e[3], "66666666777777777777777777777777", "", true);
}

static void without_a_trace_each_event_begins_one(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "[{\"body\":\"" RECORD "\"},{\"body\":\"" RECORD "\"}]"), OK);
    assert_counts(&f->document, 2, 0, 0, 0);
    const struct media_event *e = f->document.events;
    assert_int_equal(strlen(e[0].trace_id), 32);
    assert_string_not_equal(e[0].trace_id, e[1].trace_id);
    assert_string_equal(e[0].parent_span, "");
    assert_false(e[0].unsampled);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(reads_a_notification),
        CASE(reads_several_records),
        CASE(bad_records_do_not_lose_good_ones),
        CASE(reads_a_test_event),
        CASE(reads_other_stores),
        CASE(reads_eventbridge),
        CASE(reads_sns),
        CASE(reads_sqs),
        CASE(reads_what_lambda_gave_up_on),
        CASE(refuses_what_is_no_event),
        CASE(an_empty_list_is_no_event),
        CASE(decodes_keys),
        CASE(longest_key_is_taken),
        CASE(classifies_names),
        CASE(odd_values_are_read_with_care),
        CASE(wrapping_has_an_end),
        CASE(caps_hold),
        CASE(small_arena_is_no_crash),
        CASE(each_message_brings_its_trace),
        CASE(without_a_trace_each_event_begins_one),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
