#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "support/queue_suite.h"

/* ---- sending and receiving ---------------------------------------------------------------------
 */

static void test_message_goes_round(void **state)
{
    struct suite *t = *state;
    char ids[1][QUEUE_ID_TEXT];
    struct queue_send s = {.body = "hello", .length = 5, .group = "talks"};
    suite_check(t->queue.ops->send(t->queue.ctx, &s, 1, ids));
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_string_equal(m.id, ids[0]);
    assert_string_equal(m.body, "hello");
    assert_int_equal(m.length, 5);
    assert_int_equal(m.receive_count, 1);
    if (!suite_adapter->own_clock)
        assert_int_equal(m.sent_ms, START_MS);
    suite_assert_nothing_visible(t);
    assert_int_equal(suite_delete(t, m.receipt), OK);
    suite_let_pass(t, suite_adapter->own_clock ? 0 : 10 * HIDE_MS);
    suite_assert_nothing_visible(t);
}

/* Its trace comes with it, or not at all. */
static void test_a_trace_is_kept_or_not(void **state)
{
    static const char trace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct suite *t = *state;
    struct queue_send s = {.body = "traced", .length = 6, .traceparent = trace};
    suite_check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "traced");
    if (m.traceparent && *m.traceparent)
        assert_string_equal(m.traceparent, trace);
    assert_int_equal(suite_delete(t, m.receipt), OK);
}

static void test_only_the_length_is_sent(void **state)
{
    struct suite *t = *state;
    struct queue_send s = {.body = "abcdef", .length = 3};
    suite_check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "abc");
    assert_int_equal(m.length, 3);
}

static void test_order_is_roughly_first_in_first_out(void **state)
{
    struct suite *t = *state;
    suite_send_numbers(t, 0, MANY);
    long displaced = 0;
    for (int at = 0; at < MANY;) {
        struct queue_message *m;
        size_t n = suite_receive(t, 10, HIDE_MS, &m);
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++, at++)
            displaced += labs(strtol(m[i].body, NULL, 10) - at);
    }
    assert_true(displaced / MANY < MANY / 10);
}

/* ---- groups ------------------------------------------------------------------------------------
 */

enum { BACKFILL = 10000, SMALL_BATCH = 10 };

static void send_to_group(struct suite *t, const char *group, int count)
{
    struct queue_send *s = calloc((size_t)t->limits.max_batch, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < t->limits.max_batch; i++)
        s[i] = (struct queue_send){.body = group, .length = strlen(group), .group = group};
    for (int n; count > 0; count -= n) {
        n = count < t->limits.max_batch ? count : t->limits.max_batch;
        suite_check(t->queue.ops->send(t->queue.ctx, s, (size_t)n, NULL));
    }
    free(s);
}

/* How many of a group are in the next `batches` batches. */
static int receive_of_group(struct suite *t, const char *group, int batches)
{
    int n = 0;
    for (int i = 0; i < batches; i++) {
        struct queue_message *m;
        size_t count = suite_receive(t, SMALL_BATCH, HIDE_MS, &m);
        assert_int_equal(count, SMALL_BATCH);
        for (size_t k = 0; k < count; k++)
            n += strcmp(m[k].body, group) == 0;
    }
    return n;
}

/* Ten thousand messages of one tenant do not keep the others waiting, nor do theirs keep it. */
static void test_groups_take_turns(void **state)
{
    struct suite *t = *state;
    if (suite_adapter->unfair)
        skip();
    send_to_group(t, "backfill", BACKFILL);
    assert_int_equal(receive_of_group(t, "backfill", 30), 30 * SMALL_BATCH);
    send_to_group(t, "upload", 1);
    assert_int_equal(receive_of_group(t, "upload", 2), 1);
    send_to_group(t, "upload", 1);
    assert_int_equal(receive_of_group(t, "upload", 2), 1);
    send_to_group(t, "second", BACKFILL / 2);
    send_to_group(t, "third", 20);
    int second = receive_of_group(t, "second", 12); /* of 120: 20 of the third, half of the rest */
    assert_in_range(second, 40, 60);
    assert_in_range(receive_of_group(t, "second", 10), 40, 60);
}

static void test_batch_outcomes_are_separate(void **state)
{
    struct suite *t = *state;
    struct queue_message *m;
    suite_send_numbers(t, 0, 4);
    assert_int_equal(suite_receive(t, 4, HIDE_MS, &m), 4);
    assert_int_equal(suite_delete(t, m[1].receipt), OK);
    struct queue_receipt r[] = {{.receipt = m[3].receipt},
                                {.receipt = m[1].receipt},
                                {.receipt = "no receipt at all"},
                                {.receipt = m[0].receipt},
                                {.receipt = m[0].receipt}};
    suite_check(t->queue.ops->delete (t->queue.ctx, r, 5));
    assert_int_equal(r[0].rc, OK);
    suite_assert_void(r[1].rc);
    assert_int_equal(r[2].rc, ERR_INVALID);
    assert_int_equal(r[3].rc, OK);
    assert_int_equal(r[4].rc, ERR_CONFLICT);
    assert_int_equal(suite_stats(t).in_flight, 1);
    assert_int_equal(suite_delete(t, m[2].receipt), OK);
}

static void test_full_batches(void **state)
{
    struct suite *t = *state;
    size_t n = (size_t)t->limits.max_batch, got = 0;
    struct queue_receipt *r = calloc(n, sizeof *r);
    struct queue_message *m;
    assert_non_null(r);
    suite_send_numbers(t, 0, t->limits.max_batch);
    while (got < n) {
        size_t more = suite_receive(t, n - got, HIDE_MS, &m);
        assert_true(more > 0);
        for (size_t i = 0; i < more; i++)
            r[got + i].receipt = m[i].receipt;
        got += more;
    }
    suite_check(t->queue.ops->change_visibility(t->queue.ctx, r, n, HIDE_MS));
    suite_check(t->queue.ops->delete (t->queue.ctx, r, n));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(r[i].rc, OK);
    assert_int_equal(suite_stats(t).in_flight, 0);
    free(r);
}

static void test_limits_are_kept(void **state)
{
    struct suite *t = *state;
    size_t n = (size_t)t->limits.max_batch + 1, count;
    struct queue_send *s = calloc(n, sizeof *s);
    struct queue_receipt *r = calloc(n, sizeof *r);
    struct queue_message *m;
    assert_non_null(s);
    assert_non_null(r);
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct queue_send){.body = "x", .length = 1};
        r[i].receipt = "1.1";
    }
    const struct job_queue_ops *ops = t->queue.ops;
    void *ctx = t->queue.ctx;
    assert_int_equal(ops->send(ctx, s, n, NULL), ERR_INVALID);
    assert_int_equal(ops->receive(ctx, n, HIDE_MS, 0, NULL, &t->arena, &m, &count), ERR_INVALID);
    assert_int_equal(ops->receive(ctx, 0, HIDE_MS, 0, NULL, &t->arena, &m, &count), ERR_INVALID);
    assert_int_equal(ops->delete (ctx, r, n), ERR_INVALID);
    assert_int_equal(ops->change_visibility(ctx, r, n, 0), ERR_INVALID);
    assert_int_equal(ops->change_visibility(ctx, r, 1, t->limits.max_visibility_ms + 1000),
                     ERR_INVALID);
    s[0].delay_ms = t->limits.max_delay_ms + 1000;
    assert_int_equal(ops->send(ctx, s, 1, NULL), ERR_INVALID);
    s[0].delay_ms = -1;
    assert_int_equal(ops->send(ctx, s, 1, NULL), ERR_INVALID);
    assert_int_equal(suite_stats(t).visible, 0);
    free(s);
    free(r);
}

/* ---- bodies ------------------------------------------------------------------------------------
 */

static void test_largest_body(void **state)
{
    struct suite *t = *state;
    size_t n = t->limits.max_body;
    char *body = malloc(n + 1);
    assert_non_null(body);
    for (size_t i = 0; i <= n; i++)
        body[i] = (char)('a' + i % 26);
    struct queue_send s = {.body = body, .length = n};
    suite_check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_int_equal(m.length, n);
    assert_memory_equal(m.body, body, n);
    assert_int_equal(m.body[n], '\0');
    s.length = n + 1;
    assert_int_equal(t->queue.ops->send(t->queue.ctx, &s, 1, NULL), ERR_TOO_LARGE);
    free(body);
}

static void test_one_bad_message_stops_its_whole_send(void **state)
{
    struct suite *t = *state;
    char *body = calloc(1, t->limits.max_body + 1);
    assert_non_null(body);
    memset(body, 'x', t->limits.max_body + 1);
    struct queue_send s[] = {{.body = "good", .length = 4},
                             {.body = body, .length = t->limits.max_body + 1}};
    assert_int_equal(t->queue.ops->send(t->queue.ctx, s, 2, NULL), ERR_TOO_LARGE);
    suite_assert_nothing_visible(t);
    free(body);
}

static size_t put_utf8(char *p, uint32_t c)
{
    if (c < 0x80)
        return (size_t)(p[0] = (char)c, 1);
    if (c < 0x800) {
        p[0] = (char)(0xc0 | c >> 6);
        p[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (char)(0xe0 | c >> 12);
        p[1] = (char)(0x80 | (c >> 6 & 0x3f));
        p[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    p[0] = (char)(0xf0 | c >> 18);
    p[1] = (char)(0x80 | (c >> 12 & 0x3f));
    p[2] = (char)(0x80 | (c >> 6 & 0x3f));
    p[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* What SQS and XML 1.0 allow, so that it can go through every adapter. */
static bool legal(uint32_t c)
{
    return c == 0x9 || c == 0xa || c == 0xd || (c >= 0x20 && c <= 0xd7ff) ||
           (c >= 0xe000 && c <= 0xfffd) || c >= 0x10000;
}

/* Every legal code point below 0x1000 and some of each block above: every byte that can be in
 * UTF-8 text. */
static void test_every_byte_of_text(void **state)
{
    struct suite *t = *state;
    char *body = malloc(t->limits.max_body);
    size_t n = 0;
    assert_non_null(body);
    for (uint32_t c = 1; c < 0x110000; c += c < 0x1000 ? 1 : 0x3d)
        if (legal(c) && n + 4 <= t->limits.max_body)
            n += put_utf8(body + n, c);
    struct queue_send s = {.body = body, .length = n};
    suite_check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_int_equal(m.length, n);
    assert_memory_equal(m.body, body, n);
    suite_check(
        t->queue.ops->bury(t->queue.ctx, m.receipt, "reason", "line of 'text' with \"quotes\" é"));
    struct queue_dead_letter *d;
    assert_int_equal(suite_list_dead(t, "", 1, &d), 1);
    assert_int_equal(d->length, n);
    assert_memory_equal(d->body, body, n);
    assert_string_equal(d->detail, "line of 'text' with \"quotes\" é");
    free(body);
}

/* What does not fit stays on the queue; what fits is delivered. */
static void test_small_arena_takes_what_fits(void **state)
{
    struct suite *t = *state;
    char body[4000];
    struct arena small;
    struct queue_message *m;
    size_t first = 0, second = 0;
    memset(body, 'x', sizeof body);
    struct queue_send s = {.body = body, .length = sizeof body};
    for (int i = 0; i < 5; i++)
        suite_check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    arena_init(&small, 3 * sizeof body);
    suite_check(t->queue.ops->receive(t->queue.ctx, 5, HIDE_MS, 0, NULL, &small, &m, &first));
    assert_in_range(first, 1, 3);
    second = suite_receive(t, 5, HIDE_MS, &m);
    assert_int_equal(first + second, 5);
    assert_in_range(m[0].receive_count, 1, suite_adapter->counts_untaken ? 2 : 1);
    arena_free(&small);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void test_delay(void **state)
{
    struct suite *t = *state;
    suite_send(t, "later", 2000);
    suite_send(t, "now", 0);
    struct queue_stats s = suite_stats(t);
    assert_int_equal(s.visible, 1);
    assert_int_equal(s.delayed, 1);
    assert_string_equal(suite_receive_one(t, HIDE_MS).body, "now");
    suite_assert_nothing_visible(t);
    suite_let_pass(t, 1000);
    suite_assert_nothing_visible(t);
    suite_let_pass(t, 1000);
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "later");
    assert_int_equal(m.receive_count, 1);
}

static void test_timeout_makes_it_visible_again(void **state)
{
    struct suite *t = *state;
    suite_send(t, "a", 0);
    struct queue_message first = suite_receive_one(t, 2000);
    suite_let_pass(t, 1000);
    suite_assert_nothing_visible(t);
    suite_let_pass(t, 1000);
    struct queue_message second = suite_receive_one(t, 2000);
    assert_string_equal(second.id, first.id);
    assert_string_equal(second.body, "a");
    assert_int_equal(second.receive_count, 2);
    assert_string_not_equal(second.receipt, first.receipt);
}

static void test_old_receipts_are_void(void **state)
{
    struct suite *t = *state;
    suite_send(t, "a", 0);
    struct queue_message first = suite_receive_one(t, 1000);
    suite_let_pass(t, 1000);
    struct queue_message second = suite_receive_one(t, HIDE_MS);
    if (!suite_adapter->void_looks_valid) {
        assert_int_equal(suite_delete(t, first.receipt), ERR_CONFLICT);
        assert_int_equal(suite_hide(t, first.receipt, 0), ERR_CONFLICT);
        assert_int_equal(t->queue.ops->bury(t->queue.ctx, first.receipt, "x", ""), ERR_CONFLICT);
    }
    suite_assert_nothing_visible(t);
    assert_int_equal(suite_delete(t, second.receipt), OK);
    suite_assert_void(suite_delete(t, second.receipt));
    assert_int_equal(suite_hide(t, second.receipt, 1000), ERR_CONFLICT);
    assert_int_equal(t->queue.ops->bury(t->queue.ctx, second.receipt, "x", ""), ERR_CONFLICT);
    assert_int_equal(suite_stats(t).dead, 0);
}

static void test_nonsense_receipts(void **state)
{
    struct suite *t = *state;
    static const char *const nonsense[] = {"",
                                           "x",
                                           "1",
                                           "1.",
                                           ".1",
                                           "1.1x",
                                           "1.1.1.1.1",
                                           "-1.-1",
                                           "99999999999999999999999999.1",
                                           "1.99999999999999999999999999"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        assert_int_not_equal(suite_delete(t, nonsense[i]), OK);
        assert_int_not_equal(suite_hide(t, nonsense[i], 0), OK);
        assert_int_not_equal(t->queue.ops->bury(t->queue.ctx, nonsense[i], "x", ""), OK);
    }
}

static void test_heartbeat_keeps_it_hidden(void **state)
{
    struct suite *t = *state;
    suite_send(t, "a", 0);
    struct queue_message m = suite_receive_one(t, 2000);
    for (int i = 0; i < 3; i++) {
        suite_let_pass(t, 1500);
        suite_assert_nothing_visible(t);
        assert_int_equal(suite_hide(t, m.receipt, 2000), OK);
    }
    suite_let_pass(t, 1000);
    suite_assert_nothing_visible(t);
    assert_int_equal(suite_delete(t, m.receipt), OK);
    suite_let_pass(t, 2000);
    suite_assert_nothing_visible(t);
}

static void test_give_back_at_once(void **state)
{
    struct suite *t = *state;
    suite_send(t, "a", 0);
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_int_equal(suite_hide(t, m.receipt, 0), OK);
    struct queue_message again = suite_receive_one(t, HIDE_MS);
    assert_int_equal(again.receive_count, 2);
    suite_assert_void(suite_delete(t, m.receipt));
    assert_int_equal(suite_delete(t, again.receipt), OK);
}

static void test_delayed_retry(void **state)
{
    struct suite *t = *state;
    suite_send(t, "a", 0);
    struct queue_message m = suite_receive_one(t, 1000);
    assert_int_equal(suite_hide(t, m.receipt, 3000), OK);
    suite_let_pass(t, 2000);
    suite_assert_nothing_visible(t);
    suite_let_pass(t, 1000);
    assert_int_equal(suite_receive_one(t, HIDE_MS).receive_count, 2);
}

static void test_some_of_a_batch_time_out(void **state)
{
    struct suite *t = *state;
    struct queue_message *m, *again;
    suite_send_numbers(t, 0, 10);
    assert_int_equal(suite_receive(t, 10, 2000, &m), 10);
    struct queue_receipt longer[] = {{.receipt = m[7].receipt}, {.receipt = m[2].receipt}};
    suite_check(t->queue.ops->change_visibility(t->queue.ctx, longer, 2, 9000));
    assert_int_equal(suite_delete(t, m[5].receipt), OK);
    suite_let_pass(t, 2000);
    size_t n = suite_receive(t, 3, HIDE_MS, &again);
    assert_int_equal(n, 3);
    n += suite_receive(t, 10, HIDE_MS, &again);
    assert_int_equal(n, 7);
    suite_let_pass(t, 7000);
    n = suite_receive(t, 10, HIDE_MS, &again);
    assert_int_equal(n, 2);
    assert_int_equal(again[0].receive_count, 2);
}

static const struct CMUnitTest tests[] = {
    QUEUE_TEST(test_message_goes_round),
    QUEUE_TEST(test_a_trace_is_kept_or_not),
    QUEUE_TEST(test_a_trace_is_kept_or_not),
    QUEUE_TEST(test_only_the_length_is_sent),
    QUEUE_TEST(test_order_is_roughly_first_in_first_out),
    QUEUE_TEST(test_groups_take_turns),
    QUEUE_TEST(test_batch_outcomes_are_separate),
    QUEUE_TEST(test_full_batches),
    QUEUE_TEST(test_limits_are_kept),
    QUEUE_TEST(test_largest_body),
    QUEUE_TEST(test_one_bad_message_stops_its_whole_send),
    QUEUE_TEST(test_every_byte_of_text),
    QUEUE_TEST(test_small_arena_takes_what_fits),
    QUEUE_TEST(test_delay),
    QUEUE_TEST(test_timeout_makes_it_visible_again),
    QUEUE_TEST(test_old_receipts_are_void),
    QUEUE_TEST(test_nonsense_receipts),
    QUEUE_TEST(test_heartbeat_keeps_it_hidden),
    QUEUE_TEST(test_give_back_at_once),
    QUEUE_TEST(test_delayed_retry),
    QUEUE_TEST(test_some_of_a_batch_time_out),
};

int queue_messages_tests(void)
{
    return cmocka_run_group_tests_name("job_queue: messages", tests, NULL, NULL);
}
