/*
 * Random operations against a model of the queue that fits on a page: whatever the adapter answers
 * must be an answer the model allows, and in the end both hold the same.
 */
#include <inttypes.h>
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
#include "support/seed.h"

enum { MESSAGES = 300, STEPS = 2500, BATCH = 12, RECEIPT_TEXT = 256 };

/* A message, by the number in its body. */
struct entry {
    enum { UNSENT, LIVE, DEAD, GONE } state;
    int64_t visible_ms;
    int receives;
    char receipt[RECEIPT_TEXT]; /* of the last receive; "" if none */
};

struct model {
    struct suite *suite;
    struct arena arena; /* of one step */
    struct entry entries[MESSAGES];
    int sent;
    uint64_t random;
};

/* Repeatable from its seed (xorshift64). */
static int pick(struct model *m, int bound)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (int)(m->random >> 33) % bound;
}

static int64_t now(const struct model *m)
{
    return clock_now(&m->suite->clock);
}

static const struct job_queue *queue(const struct model *m)
{
    return &m->suite->queue;
}

/* Visible in the adapter's eyes: received too often but not yet found out about counts as well. */
static int count_visible(const struct model *m, bool deliverable)
{
    int n = 0;
    for (int i = 0; i < m->sent; i++) {
        const struct entry *e = &m->entries[i];
        n += e->state == LIVE && e->visible_ms <= now(m) &&
             (!deliverable || e->receives < MAX_RECEIVES);
    }
    return n;
}

/* ---- the steps ---------------------------------------------------------------------------------
 */

static void step_send(struct model *m)
{
    struct queue_send s[BATCH];
    char text[BATCH][16];
    int n = 1 + pick(m, BATCH);
    if (n > MESSAGES - m->sent)
        n = MESSAGES - m->sent;
    for (int i = 0; i < n; i++) {
        struct entry *e = &m->entries[m->sent + i];
        int length = snprintf(text[i], sizeof text[i], "%d", m->sent + i);
        int64_t delay = pick(m, 4) ? 0 : pick(m, 3000);
        s[i] = (struct queue_send){.body = text[i], .length = (size_t)length, .delay_ms = delay};
        *e = (struct entry){.state = LIVE, .visible_ms = now(m) + delay};
    }
    suite_check(queue(m)->ops->send(queue(m)->ctx, s, (size_t)n, NULL));
    m->sent += n;
}

static void check_received(struct model *m, const struct queue_message *message, int64_t hide_ms)
{
    long number = strtol(message->body, NULL, 10);
    assert_in_range(number, 0, m->sent - 1);
    struct entry *e = &m->entries[number];
    assert_int_equal(e->state, LIVE);
    assert_true(e->visible_ms <= now(m));
    assert_int_equal(message->receive_count, e->receives + 1);
    assert_true(message->receive_count <= MAX_RECEIVES);
    e->receives++;
    e->visible_ms = now(m) + hide_ms;
    assert_true(snprintf(e->receipt, sizeof e->receipt, "%s", message->receipt) < RECEIPT_TEXT);
}

static void step_receive(struct model *m)
{
    struct queue_message *messages;
    size_t count;
    int max = 1 + pick(m, BATCH), deliverable = count_visible(m, true);
    int64_t hide_ms = 1 + pick(m, 2000);
    suite_check(queue(m)->ops->receive(queue(m)->ctx, (size_t)max, hide_ms, 0, NULL, &m->arena,
                                       &messages, &count));
    assert_int_equal(count, max < deliverable ? max : deliverable);
    for (size_t i = 0; i < count; i++)
        check_received(m, &messages[i], hide_ms);
    if ((int)count == max)
        return;
    for (int i = 0; i < m->sent; i++) { /* all was looked at: the exhausted have died of it */
        struct entry *e = &m->entries[i];
        if (e->state == LIVE && e->visible_ms <= now(m) && e->receives >= MAX_RECEIVES)
            e->state = DEAD;
    }
}

/* Receipts of random messages, each once: some valid, some void, none of those never received. */
static size_t pick_receipts(struct model *m, struct queue_receipt *receipts, int *numbers)
{
    size_t n = 0;
    int first = pick(m, m->sent), stride = 1 + pick(m, 5);
    for (int i = first; i < m->sent && n < BATCH; i += stride)
        if (m->entries[i].receipt[0]) {
            numbers[n] = i;
            receipts[n++] = (struct queue_receipt){.receipt = m->entries[i].receipt, .rc = -1};
        }
    return n;
}

/* An exhausted message that is due may have died meanwhile or not: then either answer is right, and
 * the model follows it. */
static bool receipt_holds(struct model *m, int number, int rc)
{
    struct entry *e = &m->entries[number];
    if (e->state == LIVE && rc == ERR_CONFLICT && e->receives >= MAX_RECEIVES &&
        e->visible_ms <= now(m))
        e->state = DEAD;
    assert_int_equal(rc, e->state == LIVE ? OK : ERR_CONFLICT);
    return e->state == LIVE;
}

static void step_delete(struct model *m)
{
    struct queue_receipt receipts[BATCH];
    int numbers[BATCH];
    size_t n = pick_receipts(m, receipts, numbers);
    suite_check(queue(m)->ops->delete (queue(m)->ctx, receipts, n));
    for (size_t i = 0; i < n; i++)
        if (receipt_holds(m, numbers[i], receipts[i].rc))
            m->entries[numbers[i]].state = GONE;
}

static void step_hide(struct model *m)
{
    struct queue_receipt receipts[BATCH];
    int numbers[BATCH];
    size_t n = pick_receipts(m, receipts, numbers);
    int64_t ms = pick(m, 2) ? 0 : pick(m, 3000);
    suite_check(queue(m)->ops->change_visibility(queue(m)->ctx, receipts, n, ms));
    for (size_t i = 0; i < n; i++)
        if (receipt_holds(m, numbers[i], receipts[i].rc))
            m->entries[numbers[i]].visible_ms = now(m) + ms;
}

static void step_bury(struct model *m)
{
    struct queue_receipt receipts[BATCH];
    int numbers[BATCH];
    if (pick_receipts(m, receipts, numbers) == 0)
        return;
    int rc = queue(m)->ops->bury(queue(m)->ctx, receipts[0].receipt, "model", "");
    if (receipt_holds(m, numbers[0], rc))
        m->entries[numbers[0]].state = DEAD;
}

/* The dead as the adapter has them; those that died unseen are learnt of here. */
static size_t list_dead(struct model *m, const char **ids, int *numbers)
{
    struct queue_dead_letter *dead;
    size_t n;
    suite_check(queue(m)->ops->dead_list(queue(m)->ctx, "", MESSAGES, &m->arena, &dead, &n));
    for (size_t i = 0; i < n; i++) {
        ids[i] = dead[i].id;
        numbers[i] = (int)strtol(dead[i].body, NULL, 10);
        struct entry *e = &m->entries[numbers[i]];
        if (e->state == LIVE && e->receives >= MAX_RECEIVES && e->visible_ms <= now(m))
            e->state = DEAD;
        assert_int_equal(e->state, DEAD);
    }
    for (int i = 0; i < m->sent; i++)
        n -= m->entries[i].state == DEAD;
    assert_int_equal(n, 0);
    for (int i = 0; i < m->sent; i++)
        n += m->entries[i].state == DEAD;
    return n;
}

static void step_take_dead(struct model *m)
{
    const char *ids[MESSAGES];
    int numbers[MESSAGES];
    int64_t taken;
    size_t n = list_dead(m, ids, numbers);
    size_t some = n ? (size_t)pick(m, (int)n + 1) : 0;
    bool redrive = pick(m, 3) > 0;
    const struct job_queue_ops *ops = queue(m)->ops;
    suite_check((redrive ? ops->dead_redrive
                         : ops->dead_drop)(queue(m)->ctx, some == n ? NULL : ids, some, &taken));
    assert_int_equal(taken, some);
    for (size_t i = 0; i < some; i++)
        m->entries[numbers[i]] = redrive ? (struct entry){.state = LIVE, .visible_ms = now(m)}
                                         : (struct entry){.state = GONE};
}

static void check_stats(struct model *m)
{
    struct queue_stats s = suite_stats(m->suite);
    int64_t in_flight = 0, delayed = 0, dead = 0;
    for (int i = 0; i < m->sent; i++) {
        const struct entry *e = &m->entries[i];
        bool hidden = e->state == LIVE && e->visible_ms > now(m);
        in_flight += hidden && e->receives > 0;
        delayed += hidden && e->receives == 0;
        dead += e->state == DEAD;
    }
    assert_int_equal(s.in_flight, in_flight);
    assert_int_equal(s.delayed, delayed);
    assert_int_equal(s.visible + s.dead, count_visible(m, false) + dead);
}

static void step(struct model *m)
{
    static void (*const steps[])(struct model *) = {
        step_send,   step_receive, step_receive, step_receive, step_receive, step_delete,
        step_delete, step_hide,    step_hide,    step_hide,    step_bury,    step_take_dead};
    int which = pick(m, m->sent < MESSAGES ? 13 : 12);
    if (which == 12 || m->sent == 0)
        step_send(m);
    else if (which > 0 || m->sent < MESSAGES)
        steps[which](m);
    if (pick(m, 3) == 0)
        suite_let_pass(m->suite, pick(m, 700));
    check_stats(m);
    arena_free(&m->arena);
}

static void test_random_operations_agree_with_the_model(void **state)
{
    struct suite *t = *state;
    if (suite_adapter->own_clock || t->limits.max_batch < BATCH)
        skip();
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->suite = t;
    m->random = test_seed();
    arena_init(&m->arena, MIB(4));
    for (int i = 0; i < STEPS; i++)
        step(m);
    free(m);
}

static const struct CMUnitTest tests[] = {
    QUEUE_TEST(test_random_operations_agree_with_the_model),
};

int queue_model_tests(void)
{
    return cmocka_run_group_tests_name("job_queue: model", tests, NULL, NULL);
}
