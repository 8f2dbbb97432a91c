#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/ram/queue_ram.h"
#include "adapters/ram/store_ram.h"
#include "ingestion/event.h"
#include "ingestion/ingest.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/job_message.h"
#include "support/events_database.h"
#include "support/store_conformance.h"

struct fixture {
    struct ingestion_ports ports;
    struct events_database database;
    struct arena arena;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    arena_init(&f->arena, MIB(64));
    f->ports.clock = clock_system();
    events_database_init(&f->database, &f->ports.database);
    assert_int_equal(ram_store_open(&f->ports.store), OK);
    assert_int_equal(
        ram_queue_open(&(struct ram_queue_options){.max_receives = 3}, &f->ports.queue), OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->ports.store.ops->close(f->ports.store.ctx);
    f->ports.queue.ops->close(f->ports.queue.ctx);
    events_database_fini(&f->database);
    arena_free(&f->arena);
    free(f);
    return 0;
}

/* ---- steps ---- */

static int64_t visible(struct fixture *f)
{
    struct queue_stats stats;
    assert_int_equal(f->ports.queue.ops->stats(f->ports.queue.ctx, &stats), OK);
    return stats.visible;
}

static struct event_outcome upload(struct fixture *f, const char *key, const char *text)
{
    struct memory_source memory = {.bytes = text, .length = strlen(text)};
    struct ingest_upload up = {.bucket = "media",
                               .key = key,
                               .content_type = "text/plain",
                               .source = memory_source_of(&memory)};
    struct object_info info;
    struct event_outcome outcome;
    if (ingest_put(&f->ports, &up, &info, &outcome))
        fail_msg("%s", error_last()->message);
    assert_string_equal(info.key, key);
    return outcome;
}

/* The events of a document, ingested. */
static size_t ingest_text(struct fixture *f, const char *text, struct event_outcome *outcomes)
{
    struct event_document d;
    assert_int_equal(event_parse(text, strlen(text), 1000, NULL, &f->arena, &d), OK);
    if (ingest_events(&f->ports, d.events, d.count, outcomes))
        fail_msg("%s", error_last()->message);
    return d.count;
}

static void ingest_record(struct fixture *f, const char *name, const char *key, const char *etag,
                          const char *sequencer, enum event_result expected)
{
    char text[1024];
    struct event_outcome outcome;
    snprintf(text, sizeof text,
             "{\"eventName\":\"%s\",\"eventTime\":\"2026-03-01T12:00:00Z\",\"s3\":{\"bucket\":"
             "{\"name\":\"b\"},\"object\":{\"key\":\"%s\",\"eTag\":\"%s\",\"sequencer\":\"%s\"}}}",
             name, key, etag, sequencer);
    assert_int_equal(ingest_text(f, text, &outcome), 1);
    assert_int_equal(outcome.result, expected);
}

/* ---- tests ---- */

static void an_upload_becomes_a_message(void **state)
{
    struct fixture *f = *state;
    struct queue_message *messages;
    struct job_message message;
    size_t count;
    struct event_outcome outcome = upload(f, "a.txt", "hello");
    assert_int_equal(outcome.result, EVENT_JOB_QUEUED);
    assert_int_equal(f->ports.queue.ops->receive(f->ports.queue.ctx, 10, 30000, 0, NULL, &f->arena,
                                                 &messages, &count),
                     OK);
    assert_int_equal(count, 1);
    assert_int_equal(job_message_parse(messages[0].body, messages[0].length, &message), OK);
    assert_int_equal(message.job_id, outcome.job_id);
    assert_int_equal(strlen(message.trace_id), 32);
    assert_int_equal(f->database.touched, 1);
    const struct known_media *known = events_database_find(&f->database, "a.txt");
    struct digest digest = digest_of("hello", 5);
    assert_true(digest_equal(&known->content, &digest));
    assert_int_equal(known->size, 5);
    assert_true(known->version[0] && known->sequencer[0]);
}

static void double_delivery_is_one_job(void **state)
{
    struct fixture *f = *state;
    ingest_record(f, "ObjectCreated:Put", "k", "e1", "0A", EVENT_JOB_QUEUED);
    ingest_record(f, "ObjectCreated:Put", "k", "e1", "0A", EVENT_DUPLICATE);
    assert_int_equal(visible(f), 1);
    assert_int_equal(f->database.jobs, 1);
}

static void stale_events_change_nothing(void **state)
{
    struct fixture *f = *state;
    ingest_record(f, "ObjectCreated:Put", "k", "e2", "0B", EVENT_JOB_QUEUED);
    ingest_record(f, "ObjectCreated:Put", "k", "e1", "0A", EVENT_STALE);
    ingest_record(f, "ObjectRemoved:Delete", "k", "", "0A", EVENT_STALE);
    assert_int_equal(visible(f), 1);
    assert_string_equal(events_database_find(&f->database, "k")->etag, "e2");
}

static void removal_before_a_late_creation(void **state)
{
    struct fixture *f = *state;
    ingest_record(f, "ObjectRemoved:Delete", "k", "", "0B", EVENT_NOTHING_TO_REMOVE);
    ingest_record(f, "ObjectCreated:Put", "k", "e1", "0A", EVENT_STALE);
    ingest_record(f, "ObjectCreated:Put", "k", "e2", "0C", EVENT_JOB_QUEUED);
    assert_int_equal(visible(f), 1);
}

static void a_document_is_recorded_in_one_go(void **state)
{
    struct fixture *f = *state;
    struct event_outcome outcomes[8];
    struct buffer text;
    char path[512];
    buffer_init(&text, MIB(1));
    snprintf(path, sizeof path, "%s/tests/data/events/s3_several.json", TEST_SOURCE_DIR);
    assert_int_equal(file_read(path, &text), OK);
    assert_int_equal(ingest_text(f, text.data, outcomes), 4);
    buffer_free(&text);
    assert_int_equal(f->database.calls, 1);
    assert_int_equal(outcomes[0].result, EVENT_JOB_QUEUED);
    assert_int_equal(outcomes[1].result, EVENT_NOTHING_TO_REMOVE);
    assert_int_equal(visible(f), 1);
}

static void newer_upload_is_a_new_job(void **state)
{
    struct fixture *f = *state;
    struct event_outcome first = upload(f, "a", "one"), second = upload(f, "a", "two");
    assert_int_equal(second.result, EVENT_JOB_QUEUED);
    assert_int_equal(first.media_id, second.media_id);
    assert_int_not_equal(first.job_id, second.job_id);
}

static void removal_takes_object_and_medium(void **state)
{
    struct fixture *f = *state;
    struct event_outcome outcome;
    struct object_info info;
    upload(f, "a", "one");
    assert_int_equal(ingest_remove(&f->ports, "media", "a", &outcome), OK);
    assert_int_equal(outcome.result, EVENT_MEDIA_REMOVED);
    assert_int_equal(f->ports.store.ops->head(f->ports.store.ctx, "media", "a", &info),
                     ERR_NOT_FOUND);
    assert_true(events_database_find(&f->database, "a")->removed);
    assert_int_equal(ingest_remove(&f->ports, "media", "a", &outcome), OK);
    assert_int_equal(outcome.result, EVENT_NOTHING_TO_REMOVE);
    assert_int_equal(upload(f, "a", "one").result, EVENT_JOB_QUEUED);
}

static void many_events_are_sent_in_batches_the_queue_takes(void **state)
{
    enum { MANY = 300 };
    struct fixture *f = *state;
    struct media_event events[MANY];
    struct event_outcome outcomes[MANY];
    char keys[MANY][16];
    for (int i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        events[i] = (struct media_event){.kind = EVENT_CREATED,
                                         .bucket = "b",
                                         .key = keys[i],
                                         .object_version = "",
                                         .etag = "e",
                                         .sequencer = "01",
                                         .content_type = "",
                                         .trace_id = "0123456789abcdef0123456789abcdef"};
    }
    assert_int_equal(ingest_events(&f->ports, events, MANY, outcomes), OK);
    assert_int_equal(visible(f), MANY);
    assert_int_equal(f->database.touched, MANY);
    assert_int_equal(ingest_events(&f->ports, events, 0, outcomes), OK);
}

static void failing_database_sends_nothing(void **state)
{
    struct fixture *f = *state;
    struct memory_source memory = {.bytes = "x", .length = 1};
    struct ingest_upload up = {.bucket = "media", .key = "a", .source = memory_source_of(&memory)};
    struct object_info info;
    struct event_outcome outcome;
    f->database.fail_with = ERR_SYSTEMIC;
    assert_int_equal(ingest_put(&f->ports, &up, &info, &outcome), ERR_SYSTEMIC);
    assert_int_equal(visible(f), 0);
}

static int refuse_send(void *ctx, const struct queue_send *messages, size_t count,
                       char (*ids)[QUEUE_ID_TEXT])
{
    (void)ctx;
    (void)messages;
    (void)count;
    (void)ids;
    return error_set(ERR_DISK_FULL, "disk_full", "no room for messages");
}

static void failing_queue_says_that_it_is_recorded(void **state)
{
    struct fixture *f = *state;
    struct job_queue_ops ops = *f->ports.queue.ops;
    struct ingestion_ports ports = f->ports;
    struct event_outcome outcome = {0};
    struct media_event event = {.kind = EVENT_CREATED,
                                .bucket = "b",
                                .key = "k",
                                .object_version = "",
                                .etag = "e",
                                .sequencer = "01",
                                .content_type = "",
                                .trace_id = "0123456789abcdef0123456789abcdef"};
    ops.send = refuse_send;
    ports.queue.ops = &ops;
    assert_int_equal(ingest_events(&ports, &event, 1, &outcome), ERR_DISK_FULL);
    assert_non_null(strstr(error_last()->message, "recorded"));
    assert_int_equal(outcome.result, EVENT_JOB_QUEUED);
    assert_int_equal(f->database.jobs, 1);
    assert_int_equal(f->database.touched, 0); /* so that it counts as stranded */
}

/* ---- who is told ---- */

struct told {
    int taken, failed;
    char trace_id[TRACE_ID_TEXT], error[40];
    int64_t job_id, us;
};

static void on_taken(void *ctx, const struct ingest_report *r)
{
    struct told *t = ctx;
    t->taken++;
    t->failed += *r->error != '\0';
    t->job_id = r->outcome->job_id;
    t->us = r->ended_us - r->began_us;
    snprintf(t->trace_id, sizeof t->trace_id, "%s", r->event->trace_id);
    snprintf(t->error, sizeof t->error, "%s", r->error);
    error_set(ERR_IO, NULL, "of no interest");
}

static void each_new_job_is_told_of(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    f->ports.taken = on_taken;
    f->ports.ctx = &told;
    struct event_outcome outcome = upload(f, "a.txt", "hello");
    assert_int_equal(told.taken, 1);
    assert_int_equal(told.job_id, outcome.job_id);
    assert_int_equal(strlen(told.trace_id), 32);
    assert_string_equal(told.error, "");
    assert_true(told.us >= 0);
    ingest_record(f, "ObjectCreated:Put", "k", "e1", "0A", EVENT_JOB_QUEUED);
    ingest_record(f, "ObjectCreated:Put", "k", "e1", "0A", EVENT_DUPLICATE);
    ingest_record(f, "ObjectRemoved:Delete", "k", "", "0B", EVENT_MEDIA_REMOVED);
    assert_int_equal(told.taken, 2);
}

static int sends_left;
static const struct job_queue_ops *sending;

static int send_some(void *ctx, const struct queue_send *messages, size_t count,
                     char (*ids)[QUEUE_ID_TEXT])
{
    return sends_left-- > 0 ? sending->send(ctx, messages, count, ids)
                            : refuse_send(ctx, messages, count, ids);
}

/* Of 300, whose messages go out 128 at a time, the last two batches fail. */
static void those_without_a_message_are_told_apart(void **state)
{
    enum { MANY = 300, ONE_BATCH = 128 };
    struct fixture *f = *state;
    struct job_queue_ops ops = *f->ports.queue.ops;
    struct ingestion_ports ports = f->ports;
    struct told told = {0};
    struct media_event events[MANY];
    struct event_outcome outcomes[MANY];
    char keys[MANY][16];
    for (int i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        events[i] = (struct media_event){.kind = EVENT_CREATED,
                                         .bucket = "b",
                                         .key = keys[i],
                                         .object_version = "",
                                         .etag = "e",
                                         .sequencer = "01",
                                         .content_type = "",
                                         .trace_id = "0123456789abcdef0123456789abcdef"};
    }
    sending = f->ports.queue.ops;
    sends_left = 1;
    ops.send = send_some;
    ports.queue.ops = &ops;
    ports.taken = on_taken;
    ports.ctx = &told;
    assert_int_equal(ingest_events(&ports, events, MANY, outcomes), ERR_DISK_FULL);
    assert_non_null(strstr(error_last()->message, "recorded"));
    assert_int_equal(told.taken, MANY);
    assert_int_equal(told.failed, MANY - ONE_BATCH);
    assert_string_equal(told.error, "disk_full");
}

static void failing_source_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct memory_source memory = {.bytes = "x", .length = 1, .fail_with = ERR_IO};
    struct ingest_upload up = {.bucket = "media", .key = "a", .source = memory_source_of(&memory)};
    struct object_info info;
    struct event_outcome outcome;
    assert_int_equal(ingest_put(&f->ports, &up, &info, &outcome), ERR_IO);
    assert_int_equal(f->database.calls, 0);
    assert_int_equal(f->ports.store.ops->head(f->ports.store.ctx, "media", "a", &info),
                     ERR_NOT_FOUND);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_upload_becomes_a_message),
        CASE(double_delivery_is_one_job),
        CASE(stale_events_change_nothing),
        CASE(removal_before_a_late_creation),
        CASE(a_document_is_recorded_in_one_go),
        CASE(newer_upload_is_a_new_job),
        CASE(removal_takes_object_and_medium),
        CASE(many_events_are_sent_in_batches_the_queue_takes),
        CASE(failing_database_sends_nothing),
        CASE(failing_queue_says_that_it_is_recorded),
        CASE(each_new_job_is_told_of),
        CASE(those_without_a_message_are_told_apart),
        CASE(failing_source_leaves_nothing),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
