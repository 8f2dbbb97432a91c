#include "support/queue_conformance.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/error.h"

enum {
    MAX_RECEIVES = 3,
    HIDE_MS = 30000,
    LONG_WAIT_MS = 20000, /* a wait that only a bug lets pass */
    START_MS = 1000000,
    MANY = 400,
    THREADS = 4,
};

static const struct queue_conformance *adapter; /* cmocka's setup takes no argument of ours */

struct suite {
    struct job_queue queue;
    struct queue_limits limits;
    struct clock clock;
    _Atomic int64_t now;
    struct arena arena;
};

static int64_t suite_now(void *ctx)
{
    struct suite *t = ctx;
    return atomic_load(&t->now);
}

static void let_pass(struct suite *t, int64_t ms)
{
    if (!adapter->own_clock) {
        atomic_fetch_add(&t->now, ms);
        return;
    }
    struct timespec d = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&d, NULL);
}

static int open_suite(void **state)
{
    struct suite *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->clock = (struct clock){.now = suite_now, .ctx = t};
    atomic_store(&t->now, START_MS);
    arena_init(&t->arena, MIB(64));
    if (adapter->open(adapter->ctx, &t->clock, MAX_RECEIVES, &t->queue))
        fail_msg("open: %s", error_last()->message);
    t->queue.ops->limits(t->queue.ctx, &t->limits);
    *state = t;
    return 0;
}

static int close_suite(void **state)
{
    struct suite *t = *state;
    t->queue.ops->close(t->queue.ctx);
    if (adapter->discard)
        adapter->discard(adapter->ctx);
    arena_free(&t->arena);
    free(t);
    return 0;
}

/* ---- the verbs, asserting success --------------------------------------------------------------
 */

static void check(int rc)
{
    if (rc)
        fail_msg("%s: %s", error_code_name((enum error_code)rc), error_last()->message);
}

static void send_one(struct suite *t, const char *body, int64_t delay_ms)
{
    struct queue_send m = {.body = body, .length = strlen(body), .delay_ms = delay_ms};
    check(t->queue.ops->send(t->queue.ctx, &m, 1, NULL));
}

static size_t receive(struct suite *t, size_t max, int64_t hide_ms, struct queue_message **out)
{
    size_t count;
    check(t->queue.ops->receive(t->queue.ctx, max, hide_ms, 0, NULL, &t->arena, out, &count));
    assert_true(count <= max);
    return count;
}

static struct queue_message receive_one(struct suite *t, int64_t hide_ms)
{
    struct queue_message *m;
    assert_int_equal(receive(t, 1, hide_ms, &m), 1);
    return *m;
}

static void assert_nothing_visible(struct suite *t)
{
    struct queue_message *m;
    assert_int_equal(receive(t, 1, HIDE_MS, &m), 0);
}

static int delete_one(struct suite *t, const char *receipt)
{
    struct queue_receipt r = {.receipt = receipt, .rc = -1};
    check(t->queue.ops->delete (t->queue.ctx, &r, 1));
    return r.rc;
}

static int hide(struct suite *t, const char *receipt, int64_t ms)
{
    struct queue_receipt r = {.receipt = receipt, .rc = -1};
    check(t->queue.ops->change_visibility(t->queue.ctx, &r, 1, ms));
    return r.rc;
}

static struct queue_stats stats(struct suite *t)
{
    struct queue_stats s;
    check(t->queue.ops->stats(t->queue.ctx, &s));
    return s;
}

static size_t list_dead(struct suite *t, const char *after, size_t limit,
                        struct queue_dead_letter **out)
{
    size_t count;
    check(t->queue.ops->dead_list(t->queue.ctx, after, limit, &t->arena, out, &count));
    return count;
}

/* Sends "<first>", "<first + 1>", ... in batches as large as allowed. */
static void send_numbers(struct suite *t, int first, int count)
{
    int batch = t->limits.max_batch < count ? t->limits.max_batch : count;
    struct queue_send *m = calloc((size_t)batch, sizeof *m);
    char(*text)[16] = calloc((size_t)batch, sizeof *text);
    assert_non_null(m);
    assert_non_null(text);
    for (int sent = 0, n; sent < count; sent += n) {
        n = count - sent < batch ? count - sent : batch;
        for (int i = 0; i < n; i++) {
            int length = snprintf(text[i], sizeof text[i], "%d", first + sent + i);
            m[i] = (struct queue_send){.body = text[i], .length = (size_t)length};
        }
        check(t->queue.ops->send(t->queue.ctx, m, (size_t)n, NULL));
    }
    free(m);
    free(text);
}

static void bury_number(struct suite *t, int number, const char *reason)
{
    char body[16];
    snprintf(body, sizeof body, "%d", number);
    send_one(t, body, 0);
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_string_equal(m.body, body);
    check(t->queue.ops->bury(t->queue.ctx, m.receipt, reason, "as told"));
}

/* ---- sending and receiving ---------------------------------------------------------------------
 */

static void test_message_goes_round(void **state)
{
    struct suite *t = *state;
    char ids[1][QUEUE_ID_TEXT];
    struct queue_send s = {.body = "hello", .length = 5, .group = "talks"};
    check(t->queue.ops->send(t->queue.ctx, &s, 1, ids));
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_string_equal(m.id, ids[0]);
    assert_string_equal(m.body, "hello");
    assert_int_equal(m.length, 5);
    assert_int_equal(m.receive_count, 1);
    if (!adapter->own_clock)
        assert_int_equal(m.sent_ms, START_MS);
    assert_nothing_visible(t);
    assert_int_equal(delete_one(t, m.receipt), OK);
    let_pass(t, adapter->own_clock ? 0 : 10 * HIDE_MS);
    assert_nothing_visible(t);
}

static void test_only_the_length_is_sent(void **state)
{
    struct suite *t = *state;
    struct queue_send s = {.body = "abcdef", .length = 3};
    check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "abc");
    assert_int_equal(m.length, 3);
}

static void test_order_is_roughly_first_in_first_out(void **state)
{
    struct suite *t = *state;
    send_numbers(t, 0, MANY);
    long displaced = 0;
    for (int at = 0; at < MANY;) {
        struct queue_message *m;
        size_t n = receive(t, 10, HIDE_MS, &m);
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++, at++)
            displaced += labs(strtol(m[i].body, NULL, 10) - at);
    }
    assert_true(displaced / MANY < MANY / 10);
}

static void test_batch_outcomes_are_separate(void **state)
{
    struct suite *t = *state;
    struct queue_message *m;
    send_numbers(t, 0, 4);
    assert_int_equal(receive(t, 4, HIDE_MS, &m), 4);
    assert_int_equal(delete_one(t, m[1].receipt), OK);
    struct queue_receipt r[] = {{.receipt = m[3].receipt},
                                {.receipt = m[1].receipt},
                                {.receipt = "no receipt at all"},
                                {.receipt = m[0].receipt},
                                {.receipt = m[0].receipt}};
    check(t->queue.ops->delete (t->queue.ctx, r, 5));
    assert_int_equal(r[0].rc, OK);
    assert_int_equal(r[1].rc, ERR_CONFLICT);
    assert_int_equal(r[2].rc, ERR_INVALID);
    assert_int_equal(r[3].rc, OK);
    assert_int_equal(r[4].rc, ERR_CONFLICT);
    assert_int_equal(stats(t).in_flight, 1);
    assert_int_equal(delete_one(t, m[2].receipt), OK);
}

static void test_full_batches(void **state)
{
    struct suite *t = *state;
    size_t n = (size_t)t->limits.max_batch, got = 0;
    struct queue_receipt *r = calloc(n, sizeof *r);
    struct queue_message *m;
    assert_non_null(r);
    send_numbers(t, 0, t->limits.max_batch);
    while (got < n) {
        size_t more = receive(t, n - got, HIDE_MS, &m);
        assert_true(more > 0);
        for (size_t i = 0; i < more; i++)
            r[got + i].receipt = m[i].receipt;
        got += more;
    }
    check(t->queue.ops->change_visibility(t->queue.ctx, r, n, HIDE_MS));
    check(t->queue.ops->delete (t->queue.ctx, r, n));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(r[i].rc, OK);
    assert_int_equal(stats(t).in_flight, 0);
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
    assert_int_equal(stats(t).visible, 0);
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
    check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = receive_one(t, HIDE_MS);
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
    assert_nothing_visible(t);
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
    check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_int_equal(m.length, n);
    assert_memory_equal(m.body, body, n);
    check(
        t->queue.ops->bury(t->queue.ctx, m.receipt, "reason", "line of 'text' with \"quotes\" é"));
    struct queue_dead_letter *d;
    assert_int_equal(list_dead(t, "", 1, &d), 1);
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
        check(t->queue.ops->send(t->queue.ctx, &s, 1, NULL));
    arena_init(&small, 3 * sizeof body);
    check(t->queue.ops->receive(t->queue.ctx, 5, HIDE_MS, 0, NULL, &small, &m, &first));
    assert_in_range(first, 1, 3);
    second = receive(t, 5, HIDE_MS, &m);
    assert_int_equal(first + second, 5);
    assert_int_equal(m[0].receive_count, 1);
    arena_free(&small);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void test_delay(void **state)
{
    struct suite *t = *state;
    send_one(t, "later", 2000);
    send_one(t, "now", 0);
    struct queue_stats s = stats(t);
    assert_int_equal(s.visible, 1);
    assert_int_equal(s.delayed, 1);
    assert_string_equal(receive_one(t, HIDE_MS).body, "now");
    assert_nothing_visible(t);
    let_pass(t, 1000);
    assert_nothing_visible(t);
    let_pass(t, 1000);
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "later");
    assert_int_equal(m.receive_count, 1);
}

static void test_timeout_makes_it_visible_again(void **state)
{
    struct suite *t = *state;
    send_one(t, "a", 0);
    struct queue_message first = receive_one(t, 2000);
    let_pass(t, 1000);
    assert_nothing_visible(t);
    let_pass(t, 1000);
    struct queue_message second = receive_one(t, 2000);
    assert_string_equal(second.id, first.id);
    assert_string_equal(second.body, "a");
    assert_int_equal(second.receive_count, 2);
    assert_string_not_equal(second.receipt, first.receipt);
}

static void test_old_receipts_are_void(void **state)
{
    struct suite *t = *state;
    send_one(t, "a", 0);
    struct queue_message first = receive_one(t, 1000);
    let_pass(t, 1000);
    struct queue_message second = receive_one(t, HIDE_MS);
    assert_int_equal(delete_one(t, first.receipt), ERR_CONFLICT);
    assert_int_equal(hide(t, first.receipt, 0), ERR_CONFLICT);
    assert_int_equal(t->queue.ops->bury(t->queue.ctx, first.receipt, "x", ""), ERR_CONFLICT);
    assert_nothing_visible(t);
    assert_int_equal(delete_one(t, second.receipt), OK);
    assert_int_equal(delete_one(t, second.receipt), ERR_CONFLICT);
    assert_int_equal(hide(t, second.receipt, 1000), ERR_CONFLICT);
    assert_int_equal(t->queue.ops->bury(t->queue.ctx, second.receipt, "x", ""), ERR_CONFLICT);
    assert_int_equal(stats(t).dead, 0);
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
        assert_int_not_equal(delete_one(t, nonsense[i]), OK);
        assert_int_not_equal(hide(t, nonsense[i], 0), OK);
        assert_int_not_equal(t->queue.ops->bury(t->queue.ctx, nonsense[i], "x", ""), OK);
    }
}

static void test_heartbeat_keeps_it_hidden(void **state)
{
    struct suite *t = *state;
    send_one(t, "a", 0);
    struct queue_message m = receive_one(t, 2000);
    for (int i = 0; i < 3; i++) {
        let_pass(t, 1500);
        assert_nothing_visible(t);
        assert_int_equal(hide(t, m.receipt, 2000), OK);
    }
    let_pass(t, 1000);
    assert_nothing_visible(t);
    assert_int_equal(delete_one(t, m.receipt), OK);
    let_pass(t, 2000);
    assert_nothing_visible(t);
}

static void test_give_back_at_once(void **state)
{
    struct suite *t = *state;
    send_one(t, "a", 0);
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_int_equal(hide(t, m.receipt, 0), OK);
    struct queue_message again = receive_one(t, HIDE_MS);
    assert_int_equal(again.receive_count, 2);
    assert_int_equal(delete_one(t, m.receipt), ERR_CONFLICT);
    assert_int_equal(delete_one(t, again.receipt), OK);
}

static void test_delayed_retry(void **state)
{
    struct suite *t = *state;
    send_one(t, "a", 0);
    struct queue_message m = receive_one(t, 1000);
    assert_int_equal(hide(t, m.receipt, 3000), OK);
    let_pass(t, 2000);
    assert_nothing_visible(t);
    let_pass(t, 1000);
    assert_int_equal(receive_one(t, HIDE_MS).receive_count, 2);
}

static void test_some_of_a_batch_time_out(void **state)
{
    struct suite *t = *state;
    struct queue_message *m, *again;
    send_numbers(t, 0, 10);
    assert_int_equal(receive(t, 10, 2000, &m), 10);
    struct queue_receipt longer[] = {{.receipt = m[7].receipt}, {.receipt = m[2].receipt}};
    check(t->queue.ops->change_visibility(t->queue.ctx, longer, 2, 9000));
    assert_int_equal(delete_one(t, m[5].receipt), OK);
    let_pass(t, 2000);
    size_t n = receive(t, 3, HIDE_MS, &again);
    assert_int_equal(n, 3);
    n += receive(t, 10, HIDE_MS, &again);
    assert_int_equal(n, 7);
    let_pass(t, 7000);
    n = receive(t, 10, HIDE_MS, &again);
    assert_int_equal(n, 2);
    assert_int_equal(again[0].receive_count, 2);
}

/* ---- dead letters ------------------------------------------------------------------------------
 */

static void test_too_many_receives(void **state)
{
    struct suite *t = *state;
    send_one(t, "poison", 0);
    struct queue_message m = {0};
    for (int i = 1; i <= MAX_RECEIVES; i++) {
        m = receive_one(t, HIDE_MS);
        assert_int_equal(m.receive_count, i);
        assert_int_equal(hide(t, m.receipt, 0), OK);
    }
    assert_nothing_visible(t);
    struct queue_dead_letter *d;
    assert_int_equal(list_dead(t, "", 10, &d), 1);
    assert_string_equal(d->body, "poison");
    assert_string_equal(d->reason, "max_receives");
    assert_int_equal(d->receive_count, MAX_RECEIVES);
    assert_int_equal(delete_one(t, m.receipt), ERR_CONFLICT);
    assert_int_equal(stats(t).dead, 1);
}

static void test_bury(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    send_one(t, "unreadable", 0);
    struct queue_message m = receive_one(t, HIDE_MS);
    let_pass(t, 1000);
    check(t->queue.ops->bury(t->queue.ctx, m.receipt, "bad_media", "'x.mp3' is not audio"));
    assert_int_equal(list_dead(t, "", 10, &d), 1);
    assert_string_equal(d->id, m.id);
    assert_string_equal(d->body, "unreadable");
    assert_string_equal(d->reason, "bad_media");
    assert_string_equal(d->detail, "'x.mp3' is not audio");
    assert_int_equal(d->receive_count, 1);
    assert_int_equal(d->sent_ms, m.sent_ms);
    if (!adapter->own_clock)
        assert_int_equal(d->dead_ms, START_MS + 1000);
    let_pass(t, adapter->own_clock ? 0 : 10 * HIDE_MS);
    assert_nothing_visible(t);
    assert_int_equal(t->queue.ops->bury(t->queue.ctx, m.receipt, "again", NULL), ERR_CONFLICT);
}

static void test_bury_without_detail(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    send_one(t, "a", 0);
    check(t->queue.ops->bury(t->queue.ctx, receive_one(t, HIDE_MS).receipt, "because", NULL));
    assert_int_equal(list_dead(t, "", 10, &d), 1);
    assert_string_equal(d->detail, "");
}

static void test_dead_list_pages(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *page;
    char after[QUEUE_ID_TEXT] = "";
    for (int i = 0; i < 7; i++)
        bury_number(t, i, "page");
    int seen = 0;
    for (size_t n; (n = list_dead(t, after, 3, &page)) > 0;) {
        assert_true(n <= 3);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(strtol(page[i].body, NULL, 10), seen++);
        memcpy(after, page[n - 1].id, sizeof after);
    }
    assert_int_equal(seen, 7);
}

static void test_redrive_one(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    int64_t moved;
    for (int i = 0; i < 3; i++)
        bury_number(t, i, "x");
    assert_int_equal(list_dead(t, "", 10, &d), 3);
    const char *ids[] = {d[1].id, "987654321", "", "nonsense"};
    check(t->queue.ops->dead_redrive(t->queue.ctx, ids, 4, &moved));
    assert_int_equal(moved, 1);
    struct queue_message m = receive_one(t, HIDE_MS);
    assert_string_equal(m.body, "1");
    assert_int_equal(m.receive_count, 1);
    assert_nothing_visible(t);
    assert_int_equal(stats(t).dead, 2);
    check(t->queue.ops->dead_redrive(t->queue.ctx, ids, 4, &moved));
    assert_int_equal(moved, 0);
}

static void test_redriven_receipts_of_its_first_life_are_void(void **state)
{
    struct suite *t = *state;
    int64_t moved;
    send_one(t, "a", 0);
    struct queue_message first = receive_one(t, HIDE_MS);
    check(t->queue.ops->bury(t->queue.ctx, first.receipt, "x", ""));
    check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 1);
    struct queue_message second = receive_one(t, HIDE_MS);
    assert_int_equal(delete_one(t, first.receipt), ERR_CONFLICT);
    assert_int_equal(delete_one(t, second.receipt), OK);
}

static void test_redrive_all_and_die_again(void **state)
{
    struct suite *t = *state;
    struct queue_message *m;
    int64_t moved;
    for (int i = 0; i < 5; i++)
        bury_number(t, i, "x");
    check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 5);
    assert_int_equal(stats(t).dead, 0);
    assert_int_equal(stats(t).visible, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(receive(t, 1, HIDE_MS, &m), 1);
        check(t->queue.ops->bury(t->queue.ctx, m->receipt, "y", ""));
    }
    assert_int_equal(stats(t).dead, 5);
    check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 5);
    check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 0);
}

static void test_drop(void **state)
{
    struct suite *t = *state;
    struct queue_dead_letter *d;
    int64_t dropped;
    for (int i = 0; i < 4; i++)
        bury_number(t, i, "x");
    assert_int_equal(list_dead(t, "", 10, &d), 4);
    const char *ids[] = {d[0].id, d[3].id, d[3].id, "987654321"};
    check(t->queue.ops->dead_drop(t->queue.ctx, ids, 4, &dropped));
    assert_int_equal(dropped, 2);
    assert_int_equal(list_dead(t, "", 10, &d), 2);
    assert_string_equal(d[0].body, "1");
    check(t->queue.ops->dead_drop(t->queue.ctx, NULL, 0, &dropped));
    assert_int_equal(dropped, 2);
    assert_int_equal(stats(t).dead, 0);
    assert_nothing_visible(t);
}

/* ---- stats -------------------------------------------------------------------------------------
 */

static void test_stats(void **state)
{
    struct suite *t = *state;
    struct queue_stats s = stats(t);
    assert_int_equal(s.visible + s.in_flight + s.delayed + s.dead, 0);
    assert_int_equal(s.oldest_age_ms, 0);
    send_numbers(t, 0, 6);
    send_one(t, "later", 5000);
    bury_number(t, 0, "x"); /* receives "0", the oldest */
    struct queue_message m = receive_one(t, 2000);
    let_pass(t, 1500);
    s = stats(t);
    assert_int_equal(s.visible, 5);
    assert_int_equal(s.in_flight, 1);
    assert_int_equal(s.delayed, 1);
    assert_int_equal(s.dead, 1);
    assert_true(s.oldest_age_ms >= (adapter->own_clock ? 1000 : 1500));
    let_pass(t, 500);
    assert_int_equal(stats(t).in_flight, 0);
    assert_int_equal(stats(t).visible, 6);
    assert_int_equal(delete_one(t, m.receipt), OK); /* late, but nobody else has it */
    let_pass(t, 3000);
    assert_int_equal(stats(t).delayed, 0);
    assert_int_equal(stats(t).visible, 6);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

struct waiter {
    struct suite *suite;
    int64_t wait_ms;
    struct cancel cancel;
    struct arena arena;
    size_t count;
    int rc;
    pthread_t thread;
};

static void *wait_for_message(void *arg)
{
    struct waiter *w = arg;
    struct queue_message *m;
    struct job_queue *q = &w->suite->queue;
    w->rc = q->ops->receive(q->ctx, 1, HIDE_MS, w->wait_ms, &w->cancel, &w->arena, &m, &w->count);
    return NULL;
}

static void waiter_start(struct waiter *w, struct suite *t)
{
    *w = (struct waiter){.suite = t, .wait_ms = LONG_WAIT_MS};
    arena_init(&w->arena, MIB(1));
    assert_int_equal(pthread_create(&w->thread, NULL, wait_for_message, w), 0);
}

/* Returns how long the waiter needed since `start`. */
static int64_t waiter_join(struct waiter *w, int64_t start)
{
    pthread_join(w->thread, NULL);
    arena_free(&w->arena);
    return clock_monotonic_ms() - start;
}

static void test_wait_ends_with_a_send(void **state)
{
    struct suite *t = *state;
    for (int i = 0; i < 10; i++) {
        struct waiter w;
        waiter_start(&w, t);
        int64_t start = clock_monotonic_ms();
        send_one(t, "a", 0);
        assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
        assert_int_equal(w.rc, OK);
        assert_int_equal(w.count, 1);
    }
}

static void test_every_waiter_is_served(void **state)
{
    struct suite *t = *state;
    struct waiter w[THREADS];
    for (int i = 0; i < THREADS; i++)
        waiter_start(&w[i], t);
    int64_t start = clock_monotonic_ms();
    send_numbers(t, 0, THREADS);
    for (int i = 0; i < THREADS; i++) {
        assert_true(waiter_join(&w[i], start) < LONG_WAIT_MS / 2);
        assert_int_equal(w[i].count, 1);
    }
}

static void test_wait_ends_when_a_delay_does(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    send_one(t, "later", 2000);
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    let_pass(t, 2000);
    assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
    assert_int_equal(w.count, 1);
}

static void test_wait_ends_when_a_message_is_given_back(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    send_one(t, "a", 0);
    struct queue_message m = receive_one(t, HIDE_MS);
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    assert_int_equal(hide(t, m.receipt, 0), OK);
    assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
    assert_int_equal(w.count, 1);
}

static void test_wait_ends_with_a_redrive(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    int64_t moved;
    bury_number(t, 1, "x");
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
    assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
    assert_int_equal(w.count, 1);
}

static void test_wait_ends_when_cancelled(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    cancel_request(&w.cancel);
    assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
    assert_int_equal(w.rc, ERR_CANCELLED);
    assert_int_equal(w.count, 0);
}

/* An idle wait must cost next to no processor time. */
static void test_wait_is_not_busy(void **state)
{
    struct suite *t = *state;
    struct timespec before, after;
    struct queue_message *m;
    size_t count;
    send_one(t, "far", t->limits.max_delay_ms);
    int64_t start = clock_monotonic_ms();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    check(t->queue.ops->receive(t->queue.ctx, 1, HIDE_MS, 400, NULL, &t->arena, &m, &count));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_int_equal(count, 0);
    assert_true(clock_monotonic_ms() - start >= 400);
    int64_t used_us =
        (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    assert_true(used_us < 100000);
}

/* ---- concurrency -------------------------------------------------------------------------------
 */

struct worker {
    struct suite *suite;
    _Atomic int *seen; /* by number */
    _Atomic int *left;
    int first, count;
    int rc;
    pthread_t thread;
};

static int work_off_batch(struct worker *w, struct arena *arena)
{
    struct job_queue *q = &w->suite->queue;
    struct queue_message *m;
    size_t n;
    int rc = q->ops->receive(q->ctx, 7, HIDE_MS, 0, NULL, arena, &m, &n);
    if (rc)
        return rc;
    struct queue_receipt r[7];
    for (size_t i = 0; i < n; i++) {
        atomic_fetch_add(&w->seen[strtol(m[i].body, NULL, 10)], 1);
        r[i].receipt = m[i].receipt;
    }
    rc = n ? q->ops->delete (q->ctx, r, n) : OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = r[i].rc;
    if (!rc)
        atomic_fetch_sub(w->left, (int)n);
    return rc;
}

static void *work_off(void *arg)
{
    struct worker *w = arg;
    while (!w->rc && atomic_load(w->left) > 0) {
        struct arena arena;
        arena_init(&arena, MIB(1));
        w->rc = work_off_batch(w, &arena);
        arena_free(&arena);
    }
    return NULL;
}

static void *send_own(void *arg)
{
    struct worker *w = arg;
    struct job_queue *q = &w->suite->queue;
    for (int i = 0; !w->rc && i < w->count; i++) {
        char body[16];
        int length = snprintf(body, sizeof body, "%d", w->first + i);
        struct queue_send s = {.body = body, .length = (size_t)length};
        w->rc = q->ops->send(q->ctx, &s, 1, NULL);
    }
    return NULL;
}

static void run_workers(struct worker *workers, int count, void *(*senders)(void *), int sending)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(
            pthread_create(&workers[i].thread, NULL, i < sending ? senders : work_off, &workers[i]),
            0);
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].rc, OK);
    }
}

static void test_receivers_get_different_messages(void **state)
{
    struct suite *t = *state;
    static _Atomic int seen[MANY];
    _Atomic int left = MANY;
    struct worker w[THREADS];
    for (int i = 0; i < MANY; i++)
        atomic_store(&seen[i], 0);
    for (int i = 0; i < THREADS; i++)
        w[i] = (struct worker){.suite = t, .seen = seen, .left = &left};
    send_numbers(t, 0, MANY);
    run_workers(w, THREADS, NULL, 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(atomic_load(&seen[i]), 1);
    assert_int_equal(stats(t).visible + stats(t).in_flight, 0);
}

static void test_senders_and_receivers_together(void **state)
{
    struct suite *t = *state;
    static _Atomic int seen[MANY];
    _Atomic int left = MANY;
    struct worker w[2 * THREADS];
    for (int i = 0; i < MANY; i++)
        atomic_store(&seen[i], 0);
    for (int i = 0; i < 2 * THREADS; i++)
        w[i] = (struct worker){.suite = t,
                               .seen = seen,
                               .left = &left,
                               .first = i * (MANY / THREADS),
                               .count = MANY / THREADS};
    run_workers(w, 2 * THREADS, send_own, THREADS);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(atomic_load(&seen[i]), 1);
}

int queue_conformance_run(const struct queue_conformance *conformance)
{
#define QUEUE_TEST(f) cmocka_unit_test_setup_teardown(f, open_suite, close_suite)
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(test_message_goes_round),
        QUEUE_TEST(test_only_the_length_is_sent),
        QUEUE_TEST(test_order_is_roughly_first_in_first_out),
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
        QUEUE_TEST(test_too_many_receives),
        QUEUE_TEST(test_bury),
        QUEUE_TEST(test_bury_without_detail),
        QUEUE_TEST(test_dead_list_pages),
        QUEUE_TEST(test_redrive_one),
        QUEUE_TEST(test_redriven_receipts_of_its_first_life_are_void),
        QUEUE_TEST(test_redrive_all_and_die_again),
        QUEUE_TEST(test_drop),
        QUEUE_TEST(test_stats),
        QUEUE_TEST(test_wait_ends_with_a_send),
        QUEUE_TEST(test_every_waiter_is_served),
        QUEUE_TEST(test_wait_ends_when_a_delay_does),
        QUEUE_TEST(test_wait_ends_when_a_message_is_given_back),
        QUEUE_TEST(test_wait_ends_with_a_redrive),
        QUEUE_TEST(test_wait_ends_when_cancelled),
        QUEUE_TEST(test_wait_is_not_busy),
        QUEUE_TEST(test_receivers_get_different_messages),
        QUEUE_TEST(test_senders_and_receivers_together),
    };
    adapter = conformance;
    return cmocka_run_group_tests_name(conformance->name, tests, NULL, NULL);
}
