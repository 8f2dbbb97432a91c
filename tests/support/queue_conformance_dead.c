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

/* ---- dead letters ------------------------------------------------------------------------------
 */

static void test_too_many_receives(void **state)
{
    struct suite *t = *state;
    suite_send(t, "poison", 0);
    struct queue_message m = {0};
    for (int i = 1; i <= MAX_RECEIVES; i++) {
        m = suite_receive_one(t, HIDE_MS);
        assert_int_equal(m.receive_count, i);
        assert_int_equal(suite_hide(t, m.receipt, 0), OK);
    }
    suite_assert_nothing_visible(t);
    struct queue_dead_letter *d;
    assert_int_equal(suite_list_dead(t, "", 10, &d), 1);
    assert_string_equal(d->body, "poison");
    assert_string_equal(d->reason, "max_receives");
    assert_int_equal(d->receive_count, MAX_RECEIVES);
    suite_assert_void(suite_delete(t, m.receipt));
    assert_int_equal(suite_stats(t).dead, 1);
}

static void test_bury(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    suite_send(t, "unreadable", 0);
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    suite_let_pass(t, 1000);
    suite_check(t->queue.ops->bury(t->queue.ctx, m.receipt, "bad_media", "'x.mp3' is not audio"));
    assert_int_equal(suite_list_dead(t, "", 10, &d), 1);
    assert_string_equal(d->id, m.id);
    assert_string_equal(d->body, "unreadable");
    assert_string_equal(d->reason, "bad_media");
    assert_string_equal(d->detail, "'x.mp3' is not audio");
    assert_int_equal(d->receive_count, 1);
    assert_int_equal(d->sent_ms, m.sent_ms);
    if (!suite_adapter->own_clock)
        assert_int_equal(d->dead_ms, START_MS + 1000);
    suite_let_pass(t, suite_adapter->own_clock ? 0 : 10 * HIDE_MS);
    suite_assert_nothing_visible(t);
    assert_int_equal(t->queue.ops->bury(t->queue.ctx, m.receipt, "again", NULL), ERR_CONFLICT);
}

static void test_bury_without_detail(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    suite_send(t, "a", 0);
    suite_check(
        t->queue.ops->bury(t->queue.ctx, suite_receive_one(t, HIDE_MS).receipt, "because", NULL));
    assert_int_equal(suite_list_dead(t, "", 10, &d), 1);
    assert_string_equal(d->detail, "");
}

static void test_dead_list_pages(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *page;
    char after[QUEUE_ID_TEXT] = "";
    for (int i = 0; i < 7; i++)
        suite_bury_number(t, i, "page");
    int seen = 0;
    for (size_t n; (n = suite_list_dead(t, after, 3, &page)) > 0;) {
        assert_true(n <= 3);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(strtol(page[i].body, NULL, 10), seen++);
        memcpy(after, page[n - 1].id, sizeof after);
    }
    assert_int_equal(seen, 7);
}

/* By the time of death, which is not the order of sending. */
static void test_dead_since(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d, *page;
    suite_send(t, "first sent", 0);
    suite_send(t, "second sent", 0);
    struct queue_message first = suite_receive_one(t, HIDE_MS);
    struct queue_message second = suite_receive_one(t, HIDE_MS);
    suite_check(t->queue.ops->bury(t->queue.ctx, second.receipt, "x", ""));
    suite_let_pass(t, 1000);
    suite_check(t->queue.ops->bury(t->queue.ctx, first.receipt, "x", ""));
    assert_int_equal(suite_list_dead(t, "", 10, &d), 2);
    assert_string_equal(d[0].body, "first sent");
    assert_true(d[0].dead_ms > d[1].dead_ms);
    assert_int_equal(suite_dead_since(t, d[1].dead_ms, "", &page), 2);
    assert_int_equal(suite_dead_since(t, d[1].dead_ms, d[0].id, &page), 1);
    assert_string_equal(page[0].body, "second sent");
    assert_int_equal(suite_dead_since(t, d[1].dead_ms + 1, "", &page), 1);
    assert_string_equal(page[0].body, "first sent");
    assert_int_equal(suite_dead_since(t, d[0].dead_ms, "", &page), 1);
    assert_int_equal(suite_dead_since(t, d[0].dead_ms + 1, "", &page), 0);
}

static void test_redrive_one(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    int64_t moved;
    for (int i = 0; i < 3; i++)
        suite_bury_number(t, i, "x");
    assert_int_equal(suite_list_dead(t, "", 10, &d), 3);
    const char *ids[] = {d[1].id, "987654321", "", "nonsense"};
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, ids, 4, &moved));
    assert_int_equal(moved, 1);
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "1");
    assert_int_equal(m.receive_count, 1);
    suite_assert_nothing_visible(t);
    assert_int_equal(suite_stats(t).dead, 2);
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, ids, 4, &moved));
    assert_int_equal(moved, 0);
}

static void test_redriven_receipts_of_its_first_life_are_void(void **state)
{
    struct suite *t = *state;
    int64_t moved;
    suite_send(t, "a", 0);
    struct queue_message first = suite_receive_one(t, HIDE_MS);
    suite_check(t->queue.ops->bury(t->queue.ctx, first.receipt, "x", ""));
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 1);
    struct queue_message second = suite_receive_one(t, HIDE_MS);
    suite_assert_void(suite_delete(t, first.receipt));
    assert_int_equal(suite_delete(t, second.receipt), OK);
}

static void test_redrive_all_and_die_again(void **state)
{
    struct suite *t = *state;
    struct queue_message *m;
    int64_t moved;
    for (int i = 0; i < 5; i++)
        suite_bury_number(t, i, "x");
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 5);
    assert_int_equal(suite_stats(t).dead, 0);
    assert_int_equal(suite_stats(t).visible, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(suite_receive(t, 1, HIDE_MS, &m), 1);
        suite_check(t->queue.ops->bury(t->queue.ctx, m->receipt, "y", ""));
    }
    assert_int_equal(suite_stats(t).dead, 5);
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 5);
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 0);
}

static void test_drop(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    int64_t dropped;
    for (int i = 0; i < 4; i++)
        suite_bury_number(t, i, "x");
    assert_int_equal(suite_list_dead(t, "", 10, &d), 4);
    const char *ids[] = {d[0].id, d[3].id, d[3].id, "987654321"};
    suite_check(t->queue.ops->dead_drop(t->queue.ctx, ids, 4, &dropped));
    assert_int_equal(dropped, 2);
    assert_int_equal(suite_list_dead(t, "", 10, &d), 2);
    assert_string_equal(d[0].body, "1");
    suite_check(t->queue.ops->dead_drop(t->queue.ctx, NULL, 0, &dropped));
    assert_int_equal(dropped, 2);
    assert_int_equal(suite_stats(t).dead, 0);
    suite_assert_nothing_visible(t);
}

/* ---- stats -------------------------------------------------------------------------------------
 */

static void test_stats(void **state)
{
    struct suite *t = *state;
    struct queue_stats s = suite_stats(t);
    assert_int_equal(s.visible + s.in_flight + s.delayed + s.dead, 0);
    assert_int_equal(s.oldest_age_ms, 0);
    suite_send_numbers(t, 0, 6);
    suite_send(t, "later", 5000);
    suite_bury_number(t, 0, "x"); /* receives "0", the oldest */
    struct queue_message m = suite_receive_one(t, 2000);
    suite_let_pass(t, 1500);
    s = suite_stats(t);
    assert_int_equal(s.visible, 5);
    assert_int_equal(s.in_flight, 1);
    assert_int_equal(s.delayed, 1);
    assert_int_equal(s.dead, 1);
    if (suite_adapter->no_age)
        assert_int_equal(s.oldest_age_ms, 0);
    else
        assert_true(s.oldest_age_ms >= (suite_adapter->own_clock ? 1000 : 1500));
    suite_let_pass(t, 500);
    assert_int_equal(suite_stats(t).in_flight, 0);
    assert_int_equal(suite_stats(t).visible, 6);
    assert_int_equal(suite_delete(t, m.receipt), OK); /* late, but nobody else has it */
    suite_let_pass(t, 3000);
    assert_int_equal(suite_stats(t).delayed, 0);
    assert_int_equal(suite_stats(t).visible, 6);
}

static void assert_pending(struct suite *t, bool visible, bool any)
{
    bool is_visible, is_any;
    suite_check(t->queue.ops->pending(t->queue.ctx, &is_visible, &is_any));
    assert_int_equal(is_visible, visible);
    assert_int_equal(is_any, any);
}

static void test_pending(void **state)
{
    struct suite *t = *state;
    assert_pending(t, false, false);
    suite_send(t, "a", 0);
    assert_pending(t, true, true);
    struct queue_message m = suite_receive_one(t, 1000);
    assert_pending(t, false, true); /* in flight */
    suite_let_pass(t, 1000);
    assert_pending(t, true, true); /* visible again */
    m = suite_receive_one(t, HIDE_MS);
    assert_int_equal(suite_delete(t, m.receipt), OK);
    assert_pending(t, false, false);
    suite_send(t, "later", 1000);
    assert_pending(t, false, true); /* delayed */
    suite_let_pass(t, 1000);
    assert_pending(t, true, true);
    m = suite_receive_one(t, HIDE_MS);
    suite_check(t->queue.ops->bury(t->queue.ctx, m.receipt, "x", ""));
    assert_pending(t, false, false); /* a dead letter waits for people only */
}

static const struct CMUnitTest tests[] = {
    QUEUE_TEST(test_too_many_receives),
    QUEUE_TEST(test_bury),
    QUEUE_TEST(test_bury_without_detail),
    QUEUE_TEST(test_dead_list_pages),
    QUEUE_TEST(test_dead_since),
    QUEUE_TEST(test_redrive_one),
    QUEUE_TEST(test_redriven_receipts_of_its_first_life_are_void),
    QUEUE_TEST(test_redrive_all_and_die_again),
    QUEUE_TEST(test_drop),
    QUEUE_TEST(test_stats),
    QUEUE_TEST(test_pending),
};

int queue_dead_tests(void)
{
    return cmocka_run_group_tests_name("job_queue: dead", tests, NULL, NULL);
}
