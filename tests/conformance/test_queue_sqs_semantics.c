/* What the queue on SQS does besides the suite, and what it makes up for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/queue_sqs.h"
#include "adapters/ram/store_ram.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"
#include "support/aws_fixture.h"
#include "support/sqs_place.h"

struct place {
    struct sqs_place sqs;
    struct job_queue queue;
    struct arena arena;
};

static void open_queue(struct place *p, const struct sqs_queue_options *more)
{
    struct sqs_queue_options options = *more;
    options.client = p->sqs.client;
    options.url = p->sqs.url;
    options.short_dead_poll = true;
    if (sqs_queue_open(&options, &p->queue))
        fail_msg("%s", error_last()->message);
}

enum { HIDE_MS = 30000, LONG_WAIT_MS = 20000 };

static void make(struct place *p, const char *suffix, int policy)
{
    *p = (struct place){0};
    sqs_place_make(&p->sqs, suffix, policy);
    arena_init(&p->arena, MIB(16));
}

static void remove_place(struct place *p)
{
    p->queue.ops->close(p->queue.ctx);
    arena_free(&p->arena);
    sqs_place_remove(&p->sqs);
}

static int send(struct place *p, const char *body, int64_t delay_ms, const char *group)
{
    struct queue_send s = {
        .body = body, .length = strlen(body), .delay_ms = delay_ms, .group = group};
    return p->queue.ops->send(p->queue.ctx, &s, 1, NULL);
}

static size_t receive(struct place *p, int64_t wait_ms, struct queue_message **m)
{
    size_t count;
    if (p->queue.ops->receive(p->queue.ctx, 10, HIDE_MS, wait_ms, NULL, &p->arena, m, &count))
        fail_msg("%s", error_last()->message);
    return count;
}

static int delete (struct place *p, const char *receipt)
{
    struct queue_receipt r = {.receipt = receipt, .rc = -1};
    assert_int_equal(p->queue.ops->delete (p->queue.ctx, &r, 1), OK);
    return r.rc;
}

static size_t list_dead(struct place *p, struct queue_dead_letter **d)
{
    size_t count;
    if (p->queue.ops->dead_list(p->queue.ctx, "", 100, &p->arena, d, &count))
        fail_msg("%s", error_last()->message);
    return count;
}

/* Then the adapter buries, and knows when. */
static void test_without_a_redrive_policy(void **state)
{
    struct place p;
    struct queue_message *m;
    struct queue_dead_letter *d;
    (void)state;
    make(&p, "", 0);
    open_queue(&p,
               &(struct sqs_queue_options){.dead_letter_url = p.sqs.dead_url, .max_receives = 2});
    assert_int_equal(send(&p, "poison", 0, NULL), OK);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(receive(&p, 0, &m), 1);
        assert_int_equal(m->receive_count, i);
        struct queue_receipt r = {.receipt = m->receipt};
        assert_int_equal(p.queue.ops->change_visibility(p.queue.ctx, &r, 1, 0), OK);
    }
    assert_int_equal(receive(&p, 0, &m), 0);
    assert_int_equal(list_dead(&p, &d), 1);
    assert_string_equal(d->reason, "max_receives");
    assert_int_equal(d->receive_count, 2);
    assert_true(d->dead_ms >= d->sent_ms);
    remove_place(&p);
}

static void expect_open(struct place *p, const char *url, const char *dead, int code,
                        const char *reason)
{
    struct sqs_queue_options options = {
        .client = p->sqs.client, .url = url, .dead_letter_url = dead};
    assert_int_equal(sqs_queue_open(&options, &p->queue), code);
    assert_string_equal(error_last()->reason, reason);
}

static void test_opening(void **state)
{
    struct place p, other;
    char url[300];
    (void)state;
    make(&p, "", 0);
    make(&other, "", 3);
    expect_open(&p, p.sqs.url, "", ERR_SYSTEMIC, "dead_letter_queue");
    expect_open(&p, other.sqs.url, p.sqs.dead_url, ERR_INVALID, "dead_letter_queue");
    expect_open(&p, "queue", "", ERR_INVALID, "bad_url");
    snprintf(url, sizeof url, "%s-which-is-not-there", p.sqs.url);
    expect_open(&p, url, "", ERR_SYSTEMIC, "aws_no_such_resource");
    expect_open(&p, p.sqs.url, url, ERR_SYSTEMIC, "aws_no_such_resource");
    open_queue(&other, &(struct sqs_queue_options){.dead_letter_url = other.sqs.dead_url});
    struct queue_limits limits;
    other.queue.ops->limits(other.queue.ctx, &limits);
    assert_int_equal(limits.max_receives, 3);
    remove_place(&other);
    sqs_place_remove(&p.sqs);
}

static void test_what_cannot_be_sent(void **state)
{
    static const char *const bodies[] = {"", "a\001b", "\xff", "\xef\xbf\xbf", "\xed\xa0\x80"};
    struct place p;
    struct queue_message *m;
    (void)state;
    make(&p, "", 3);
    open_queue(&p, &(struct sqs_queue_options){0});
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        assert_int_equal(send(&p, bodies[i], 0, NULL), ERR_INVALID);
    assert_int_equal(p.queue.ops->send(p.queue.ctx, NULL, 0, NULL), OK);
    assert_int_equal(receive(&p, 0, &m), 0);
    remove_place(&p);
}

/* As if its 15 minutes had passed and some time were still to go. */
static void test_delay_that_sqs_cannot_keep(void **state)
{
    struct place p;
    struct queue_message *m;
    char body[640];
    (void)state;
    make(&p, "", 3);
    open_queue(&p, &(struct sqs_queue_options){0});
    int64_t due = clock_now(clock_system()) + 1500;
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"%s\",\"MessageBody\":\"later\",\"MessageAttributes\":{"
             "\"aegis.not_before_ms\":{\"DataType\":\"String\",\"StringValue\":\"%lld\"}}}",
             p.sqs.url, (long long)due);
    free(sqs_place_call(&p.sqs, "SendMessage", body));
    assert_int_equal(receive(&p, LONG_WAIT_MS, &m), 1);
    assert_true(clock_now(clock_system()) >= due);
    assert_string_equal(m->body, "later");
    assert_int_equal(m->receive_count, 1);
    assert_true(m->sent_ms < due - 1000);
    assert_int_equal(delete (&p, m->receipt), OK);
    remove_place(&p);
}

static void test_long_delay_is_sent_as_it_can_be(void **state)
{
    struct place p;
    struct queue_stats stats;
    (void)state;
    make(&p, "", 3);
    open_queue(&p, &(struct sqs_queue_options){0});
    assert_int_equal(send(&p, "tomorrow", 24 * 3600 * 1000, NULL), OK);
    assert_int_equal(p.queue.ops->stats(p.queue.ctx, &stats), OK);
    assert_int_equal(stats.delayed, 1);
    remove_place(&p);
}

/* ---- traces ---- */

#define TRACEPARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define XRAY        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"

static int send_traced(struct place *p, const char *traceparent)
{
    struct queue_send s = {.body = "traced", .length = 6, .traceparent = traceparent};
    return p->queue.ops->send(p->queue.ctx, &s, 1, NULL);
}

/* One message of a queue as AWS's own clients see it, visible again at once. The caller's. */
static char *look(struct place *p, const char *url)
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"%s\",\"WaitTimeSeconds\":20,\"VisibilityTimeout\":0,"
             "\"MessageSystemAttributeNames\":[\"AWSTraceHeader\"],\"AttributeNames\":[\"All\"],"
             "\"MessageAttributeNames\":[\"All\"]}",
             url);
    return sqs_place_call(&p->sqs, "ReceiveMessage", body);
}

static void assert_traced(struct place *p, const char *url)
{
    char *reply = look(p, url);
    yyjson_doc *doc;
    assert_int_equal(json_parse(reply, strlen(reply), "a reply", &doc), OK);
    yyjson_val *m = yyjson_arr_get(json_at(yyjson_doc_get_root(doc), "Messages"), 0);
    assert_string_equal(json_string_at(m, "MessageAttributes.traceparent.StringValue", ""),
                        TRACEPARENT);
    assert_string_equal(json_string_at(m, "MessageAttributes.traceparent.DataType", ""), "String");
    assert_string_equal(json_string_at(m, "Attributes.AWSTraceHeader", ""), XRAY);
    yyjson_doc_free(doc);
    free(reply);
}

static void test_a_trace_goes_with_the_message(void **state)
{
    struct place p;
    struct queue_message *m;
    int64_t n;
    (void)state;
    make(&p, "", 5);
    open_queue(&p, &(struct sqs_queue_options){0});
    assert_int_equal(send_traced(&p, TRACEPARENT), OK);
    assert_traced(&p, p.sqs.url);
    assert_int_equal(receive(&p, LONG_WAIT_MS, &m), 1);
    assert_string_equal(m->traceparent, TRACEPARENT);
    assert_int_equal(p.queue.ops->bury(p.queue.ctx, m->receipt, "bad", "why"), OK);
    assert_traced(&p, p.sqs.dead_url);
    assert_int_equal(p.queue.ops->dead_redrive(p.queue.ctx, NULL, 0, &n), OK);
    assert_int_equal(n, 1);
    assert_int_equal(receive(&p, LONG_WAIT_MS, &m), 1);
    assert_string_equal(m->traceparent, TRACEPARENT);
    assert_int_equal(delete (&p, m->receipt), OK);
    remove_place(&p);
}

static void test_a_trace_of_others_is_read(void **state)
{
    struct place p;
    struct queue_message *m;
    char body[640];
    (void)state;
    make(&p, "", 5);
    open_queue(&p, &(struct sqs_queue_options){0});
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"%s\",\"MessageBody\":\"x\",\"MessageSystemAttributes\":{"
             "\"AWSTraceHeader\":{\"DataType\":\"String\",\"StringValue\":\"%s\"}}}",
             p.sqs.url, XRAY);
    free(sqs_place_call(&p.sqs, "SendMessage", body));
    assert_int_equal(receive(&p, LONG_WAIT_MS, &m), 1);
    assert_string_equal(m->traceparent, TRACEPARENT);
    assert_int_equal(delete (&p, m->receipt), OK);
    assert_int_equal(send_traced(&p, "no such thing"), OK);
    assert_int_equal(receive(&p, LONG_WAIT_MS, &m), 1);
    assert_string_equal(m->traceparent, "");
    remove_place(&p);
}

/* ---- long bodies ---- */

static size_t stored(struct place *p, const struct object_store *store)
{
    struct object_info *infos;
    size_t count;
    assert_int_equal(store->ops->list(store->ctx, "media", "", "", 10, &p->arena, &infos, &count),
                     OK);
    return count;
}

static void test_long_bodies_are_kept_elsewhere(void **state)
{
    static char body[5001];
    struct place p;
    struct object_store store;
    struct queue_message *m;
    struct queue_dead_letter *d;
    int64_t n;
    (void)state;
    memset(body, 'x', sizeof body - 1);
    assert_int_equal(ram_store_open(&store), OK);
    make(&p, "", 3);
    open_queue(&p, &(struct sqs_queue_options){
                       .payloads = &store, .payload_bucket = "media", .max_inline = 1000});
    assert_int_equal(send(&p, body, 0, NULL), OK);
    assert_int_equal(stored(&p, &store), 1);
    assert_int_equal(receive(&p, 0, &m), 1);
    assert_string_equal(m->body, body);
    assert_int_equal(m->length, sizeof body - 1);
    assert_true(strlen(m->receipt) < 1000);
    assert_int_equal(p.queue.ops->bury(p.queue.ctx, m->receipt, "bad", "why"), OK);
    assert_int_equal(list_dead(&p, &d), 1);
    assert_string_equal(d->body, body);
    assert_int_equal(p.queue.ops->dead_redrive(p.queue.ctx, NULL, 0, &n), OK);
    assert_int_equal(receive(&p, 0, &m), 1);
    assert_string_equal(m->body, body);
    assert_int_equal(delete (&p, m->receipt), OK);
    assert_int_equal(stored(&p, &store), 0);
    remove_place(&p);
    store.ops->close(store.ctx);
}

static void test_long_body_that_is_gone(void **state)
{
    static char body[5001];
    struct place p;
    struct object_store store;
    struct object_info *infos;
    struct queue_message *m;
    struct queue_dead_letter *d;
    size_t count;
    int64_t n;
    (void)state;
    memset(body, 'x', sizeof body - 1);
    assert_int_equal(ram_store_open(&store), OK);
    make(&p, "", 3);
    open_queue(&p, &(struct sqs_queue_options){
                       .payloads = &store, .payload_bucket = "media", .max_inline = 1000});
    assert_int_equal(send(&p, body, 0, NULL), OK);
    assert_int_equal(store.ops->list(store.ctx, "media", "", "", 10, &p.arena, &infos, &count), OK);
    assert_int_equal(store.ops->remove(store.ctx, "media", infos->key, NULL), OK);
    assert_int_equal(receive(&p, 0, &m), 0);
    assert_int_equal(list_dead(&p, &d), 1);
    assert_string_equal(d->reason, "payload_missing");
    assert_int_equal(p.queue.ops->dead_drop(p.queue.ctx, NULL, 0, &n), OK);
    assert_int_equal(n, 1);
    remove_place(&p);
    store.ops->close(store.ctx);
}

/* Who may send messages cannot have other objects read or removed by it. */
static void test_message_that_names_an_object(void **state)
{
    struct place p;
    struct object_store store;
    struct queue_message *m;
    struct queue_dead_letter *d;
    char call[640];
    (void)state;
    assert_int_equal(ram_store_open(&store), OK);
    make(&p, "", 3);
    open_queue(&p, &(struct sqs_queue_options){.payloads = &store, .payload_bucket = "media"});
    snprintf(call, sizeof call,
             "{\"QueueUrl\":\"%s\",\"MessageBody\":\"{\\\"aegis_payload\\\":{\\\"bucket\\\":"
             "\\\"media\\\",\\\"key\\\":\\\"private\\\"}}\",\"MessageAttributes\":{"
             "\"aegis.payload\":{\"DataType\":\"String\",\"StringValue\":\"1\"}}}",
             p.sqs.url);
    free(sqs_place_call(&p.sqs, "SendMessage", call));
    assert_int_equal(receive(&p, 0, &m), 0);
    assert_int_equal(list_dead(&p, &d), 1);
    assert_string_equal(d->reason, "payload_missing");
    remove_place(&p);
    store.ops->close(store.ctx);
}

/* ---- groups ---- */

static void test_fifo(void **state)
{
    struct place p;
    struct queue_message *m;
    struct queue_dead_letter *d;
    int64_t n;
    (void)state;
    make(&p, ".fifo", 3);
    open_queue(&p, &(struct sqs_queue_options){0});
    for (int i = 0; i < 3; i++) /* the same text is not the same message */
        assert_int_equal(send(&p, "a", 0, "group of \"one\""), OK);
    assert_int_equal(send(&p, "without", 0, NULL), OK);
    assert_int_equal(receive(&p, 0, &m), 4);
    for (int i = 0; i < 3; i++)
        assert_int_equal(p.queue.ops->bury(p.queue.ctx, m[i].receipt, "bad", "x"), OK);
    assert_int_equal(delete (&p, m[3].receipt), OK);
    assert_int_equal(list_dead(&p, &d), 3);
    assert_int_equal(list_dead(&p, &d), 3);
    assert_int_equal(p.queue.ops->dead_redrive(p.queue.ctx, NULL, 0, &n), OK);
    assert_int_equal(n, 3);
    assert_int_equal(receive(&p, 0, &m), 3);
    remove_place(&p);
}

static void test_fifo_delay(void **state)
{
    struct place p;
    struct queue_message *m;
    (void)state;
    make(&p, ".fifo", 3);
    open_queue(&p, &(struct sqs_queue_options){0});
    int64_t start = clock_monotonic_ms();
    assert_int_equal(send(&p, "later", 1500, NULL), OK);
    assert_int_equal(receive(&p, LONG_WAIT_MS, &m), 1);
    assert_true(clock_monotonic_ms() - start >= 1500);
    assert_int_equal(m->receive_count, 2);
    remove_place(&p);
}

int main(void)
{
    struct aws_fixture moto;
    int why = aws_fixture_moto(&moto);
    if (why)
        return why;
    aws_fixture_setenv(&moto);
    const struct CMUnitTest own[] = {
        cmocka_unit_test(test_without_a_redrive_policy),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_what_cannot_be_sent),
        cmocka_unit_test(test_delay_that_sqs_cannot_keep),
        cmocka_unit_test(test_long_delay_is_sent_as_it_can_be),
        cmocka_unit_test(test_a_trace_goes_with_the_message),
        cmocka_unit_test(test_a_trace_of_others_is_read),
        cmocka_unit_test(test_long_bodies_are_kept_elsewhere),
        cmocka_unit_test(test_long_body_that_is_gone),
        cmocka_unit_test(test_message_that_names_an_object),
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_fifo_delay),
    };
    return cmocka_run_group_tests_name("sqs queue", own, NULL, NULL);
}
