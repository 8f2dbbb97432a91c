/* The queue of one invocation, in front of one in memory that stands for SQS. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/queue_invocation.h"
#include "adapters/ram/queue_ram.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"

enum { MESSAGES = 5, VISIBILITY_MS = 600000 };

static int64_t now_ms;
static int64_t now(void *ctx)
{
    (void)ctx;
    return now_ms;
}
static const struct clock test_clock = {.now = now};

static struct arena arena;
static struct job_queue sqs, queue;
static struct sqs_event event;
static struct queue_message *got;
static size_t count;
static char buried[256]; /* by the callback */
static int bury_rc;

static int bury(void *ctx, const struct queue_message *m, const char *reason, const char *detail)
{
    (void)ctx;
    snprintf(buried, sizeof buried, "%s %s %d %s %s", m->id, m->body, m->receive_count, reason,
             detail);
    return bury_rc ? error_set(bury_rc, NULL, "it cannot be buried") : OK;
}

/* What Lambda does: receives, and makes an event of it. */
static void receive_event(void)
{
    assert_int_equal(
        sqs.ops->receive(sqs.ctx, MESSAGES, VISIBILITY_MS, 0, NULL, &arena, &got, &count), OK);
    event = (struct sqs_event){.records = arena_array(&arena, count + 1, sizeof *event.records),
                               .count = count};
    for (size_t i = 0; i < count; i++)
        event.records[i] = (struct sqs_record){.message_id = got[i].id,
                                               .receipt_handle = got[i].receipt,
                                               .body = got[i].body,
                                               .length = got[i].length,
                                               .receive_count = got[i].receive_count,
                                               .sent_ms = got[i].sent_ms};
}

static void open_queue(bool with_bury)
{
    struct invocation_queue_options options = {.inner = sqs, .bury = with_bury ? bury : NULL};
    assert_int_equal(invocation_queue_open(&options, &event, &queue), OK);
}

static int set_up(void **state)
{
    static const struct queue_send sends[MESSAGES] = {
        {.body = "m0", .length = 2}, {.body = "m1", .length = 2}, {.body = "m2", .length = 2},
        {.body = "m3", .length = 2}, {.body = "m4", .length = 2},
    };
    const struct ram_queue_options options = {.clock = &test_clock};
    (void)state;
    now_ms = 1000;
    bury_rc = OK;
    buried[0] = '\0';
    arena_init(&arena, MIB(4));
    assert_int_equal(ram_queue_open(&options, &sqs), OK);
    assert_int_equal(sqs.ops->send(sqs.ctx, sends, MESSAGES, NULL), OK);
    receive_event();
    assert_int_equal(event.count, MESSAGES);
    open_queue(false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    queue.ops->close(queue.ctx);
    sqs.ops->close(sqs.ctx);
    arena_free(&arena);
    return 0;
}

static size_t take(size_t max)
{
    assert_int_equal(queue.ops->receive(queue.ctx, max, 30000, 0, NULL, &arena, &got, &count), OK);
    return count;
}

static int change(size_t i, int64_t ms)
{
    struct queue_receipt r = {.receipt = got[i].receipt};
    assert_int_equal(queue.ops->change_visibility(queue.ctx, &r, 1, ms), OK);
    return r.rc;
}

static int done(size_t i)
{
    struct queue_receipt r = {.receipt = got[i].receipt};
    assert_int_equal(queue.ops->delete (queue.ctx, &r, 1), OK);
    return r.rc;
}

/* The answer's ids, and that `again` counts them. */
static void again_are(size_t n, const char *text)
{
    struct buffer out;
    size_t again;
    buffer_init(&out, 4096);
    assert_int_equal(invocation_queue_answer(&queue, &out, &again), OK);
    assert_int_equal(again, n);
    assert_string_equal(buffer_string(&out), text);
    buffer_free(&out);
}

/* How many messages SQS would hand out now. */
static size_t visible(void)
{
    struct queue_message *messages;
    size_t n;
    assert_int_equal(sqs.ops->receive(sqs.ctx, MESSAGES, 60000, 0, NULL, &arena, &messages, &n),
                     OK);
    return n;
}

static void messages_are_handed_out_once(void **state)
{
    (void)state;
    assert_int_equal(take(2), 2);
    assert_string_equal(got[0].body, "m0");
    assert_string_equal(got[0].id, event.records[0].message_id);
    assert_int_equal(got[0].receive_count, 1);
    assert_int_equal(got[0].sent_ms, 1000);
    assert_int_equal(take(10), 3);
    assert_string_equal(got[2].body, "m4");
    assert_int_equal(take(10), 0);
}

static void a_trace_comes_with_its_message(void **state)
{
    struct sqs_attribute attribute = {"traceparent",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};
    (void)state;
    event.records[0].attributes = &attribute;
    event.records[0].attribute_count = 1;
    event.records[1].trace = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7";
    event.records[2].trace = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";
    assert_int_equal(take(3), 3);
    assert_string_equal(got[0].traceparent, attribute.value);
    assert_string_equal(got[1].traceparent,
                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    assert_string_equal(got[2].traceparent, "");
}

static void what_is_deleted_does_not_come_again(void **state)
{
    (void)state;
    again_are(5, "{\"batchItemFailures\":[{\"itemIdentifier\":\"1\"},{\"itemIdentifier\":\"2\"},"
                 "{\"itemIdentifier\":\"3\"},{\"itemIdentifier\":\"4\"},"
                 "{\"itemIdentifier\":\"5\"}]}");
    assert_int_equal(take(10), 5);
    for (size_t i = 0; i < 5; i++)
        if (i != 3)
            assert_int_equal(done(i), OK);
    again_are(1, "{\"batchItemFailures\":[{\"itemIdentifier\":\"4\"}]}");
    assert_int_equal(done(3), OK);
    again_are(0, "{\"batchItemFailures\":[]}");
}

static void a_receipt_is_good_for_what_is_held(void **state)
{
    struct queue_receipt r[] = {{.receipt = "5"}, {.receipt = "-1"}, {.receipt = "0x"},
                                {.receipt = ""},  {.receipt = NULL}, {.receipt = "4"}};
    (void)state;
    assert_int_equal(take(1), 1);
    assert_int_equal(queue.ops->delete (queue.ctx, r, 6), OK);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(r[i].rc, ERR_INVALID);
    assert_int_equal(r[5].rc, ERR_CONFLICT); /* not handed out yet */
    assert_int_equal(done(0), OK);
    assert_int_equal(done(0), ERR_CONFLICT);
    assert_int_equal(change(0, 10), ERR_CONFLICT);
    assert_int_equal(queue.ops->bury(queue.ctx, got[0].receipt, "a", "b"), ERR_CONFLICT);
    assert_int_equal(queue.ops->bury(queue.ctx, "x", "a", "b"), ERR_INVALID);
}

static void each_must_have_been_touched(void **state)
{
    (void)state;
    assert_int_equal(take(10), 5);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(done(i), OK);
    assert_false(invocation_queue_wait_touched(&queue, 0));
    assert_int_equal(change(4, 30000), OK); /* a heartbeat */
    assert_true(invocation_queue_wait_touched(&queue, 60000));
    again_are(1, "{\"batchItemFailures\":[{\"itemIdentifier\":\"5\"}]}");
    assert_int_equal(done(4), OK); /* its job goes on */
    again_are(0, "{\"batchItemFailures\":[]}");
}

static void what_comes_again_comes_after_its_delay(void **state)
{
    (void)state;
    assert_int_equal(take(4), 4);
    assert_int_equal(done(0), OK);
    assert_int_equal(change(1, 0), OK);
    assert_int_equal(change(2, 50000), OK);
    assert_int_equal(visible(), 0);
    assert_int_equal(invocation_queue_give_back(&queue), OK);
    assert_int_equal(visible(), 2); /* m1, and m4 that was never handed out */
    now_ms += 40000;
    assert_int_equal(visible(), 0);
    now_ms += 10001;
    assert_int_equal(visible(), 1); /* m2; m3 was never settled: its own timeout goes on */
}

static void the_dead_are_buried_where_they_came_from(void **state)
{
    struct queue_dead_letter *letters;
    (void)state;
    assert_int_equal(take(10), 5);
    assert_int_equal(queue.ops->bury(queue.ctx, got[1].receipt, "corrupt", "it is broken"), OK);
    assert_int_equal(queue.ops->dead_list(queue.ctx, "", 10, &arena, &letters, &count), OK);
    assert_int_equal(count, 1);
    assert_string_equal(letters[0].body, "m1");
    assert_string_equal(letters[0].reason, "corrupt");
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(done(i), i == 1 ? ERR_CONFLICT : OK);
    again_are(0, "{\"batchItemFailures\":[]}");
}

static void or_by_who_knows_how(void **state)
{
    (void)state;
    queue.ops->close(queue.ctx);
    open_queue(true);
    assert_int_equal(take(10), 5);
    assert_int_equal(queue.ops->bury(queue.ctx, got[0].receipt, "corrupt", "it is broken"), OK);
    assert_string_equal(buried, "1 m0 1 corrupt it is broken");
    bury_rc = ERR_TRANSIENT;
    assert_int_equal(queue.ops->bury(queue.ctx, got[1].receipt, "corrupt", "it is broken"),
                     ERR_TRANSIENT);
    for (size_t i = 2; i < 5; i++)
        assert_int_equal(done(i), OK);
    assert_true(invocation_queue_wait_touched(&queue, 0));
    again_are(1, "{\"batchItemFailures\":[{\"itemIdentifier\":\"2\"}]}");
    assert_int_equal(invocation_queue_give_back(&queue), OK);
    assert_int_equal(visible(), 0); /* not at once: it would only fail again */
}

static void what_was_taken_by_others_is_no_matter(void **state)
{
    (void)state;
    now_ms += VISIBILITY_MS + 1;
    assert_int_equal(visible(), 5); /* every receipt handle is void now */
    assert_int_equal(take(10), 5);
    assert_int_equal(change(0, 0), OK);
    assert_int_equal(invocation_queue_give_back(&queue), OK);
    assert_int_equal(queue.ops->bury(queue.ctx, got[1].receipt, "a", "b"), ERR_CONFLICT);
}

static void *shut(void *ctx)
{
    invocation_queue_shut(ctx);
    return NULL;
}

static void shut_it_hands_out_no_more(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(take(1), 1);
    assert_int_equal(pthread_create(&thread, NULL, shut, &queue), 0);
    pthread_join(thread, NULL);
    int64_t began = clock_monotonic_ms();
    assert_int_equal(queue.ops->receive(queue.ctx, 10, 30000, 20000, NULL, &arena, &got, &count),
                     OK);
    assert_int_equal(count, 0);
    assert_in_range(clock_monotonic_ms() - began, 0, 10000);
}

static void waiting_for_more_can_be_cancelled(void **state)
{
    struct cancel cancel = {0};
    (void)state;
    assert_int_equal(take(10), 5);
    cancel_request(&cancel);
    assert_int_equal(queue.ops->receive(queue.ctx, 10, 30000, 20000, &cancel, &arena, &got, &count),
                     ERR_CANCELLED);
}

static void the_rest_is_the_queues_own(void **state)
{
    const struct queue_send more = {.body = "m5", .length = 2};
    struct queue_limits l, own;
    struct queue_stats stats;
    bool any_visible, any;
    (void)state;
    assert_int_equal(queue.ops->send(queue.ctx, &more, 1, NULL), OK);
    assert_int_equal(queue.ops->stats(queue.ctx, &stats), OK);
    assert_int_equal(stats.visible, 1);
    assert_int_equal(stats.in_flight, MESSAGES);
    assert_int_equal(queue.ops->pending(queue.ctx, &any_visible, &any), OK);
    assert_true(any_visible && any);
    queue.ops->limits(queue.ctx, &l);
    sqs.ops->limits(sqs.ctx, &own);
    assert_int_equal(l.max_batch, own.max_batch);
    assert_int_equal(l.max_body, own.max_body);
    assert_int_equal(l.max_visibility_ms, own.max_visibility_ms);
    assert_int_equal(l.max_receives, own.max_receives);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_are_handed_out_once),
        TEST(a_trace_comes_with_its_message),
        TEST(what_is_deleted_does_not_come_again),
        TEST(a_receipt_is_good_for_what_is_held),
        TEST(each_must_have_been_touched),
        TEST(what_comes_again_comes_after_its_delay),
        TEST(the_dead_are_buried_where_they_came_from),
        TEST(or_by_who_knows_how),
        TEST(what_was_taken_by_others_is_no_matter),
        TEST(shut_it_hands_out_no_more),
        TEST(waiting_for_more_can_be_cancelled),
        TEST(the_rest_is_the_queues_own),
    };
    return cmocka_run_group_tests_name("queue_invocation", tests, NULL, NULL);
}
