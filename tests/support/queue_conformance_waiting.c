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
#include "support/queue_suite.h"

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
        suite_send(t, "a", 0);
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
    suite_send_numbers(t, 0, THREADS);
    for (int i = 0; i < THREADS; i++) {
        assert_true(waiter_join(&w[i], start) < LONG_WAIT_MS / 2);
        assert_int_equal(w[i].count, 1);
    }
}

static void test_wait_ends_when_a_delay_does(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    suite_send(t, "later", 2000);
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    suite_let_pass(t, 2000);
    assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
    assert_int_equal(w.count, 1);
}

static void test_wait_ends_when_a_message_is_given_back(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    suite_send(t, "a", 0);
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    assert_int_equal(suite_hide(t, m.receipt, 0), OK);
    assert_true(waiter_join(&w, start) < LONG_WAIT_MS / 2);
    assert_int_equal(w.count, 1);
}

static void test_wait_ends_with_a_redrive(void **state)
{
    struct suite *t = *state;
    struct waiter w;
    int64_t moved;
    suite_bury_number(t, 1, "x");
    waiter_start(&w, t);
    int64_t start = clock_monotonic_ms();
    suite_check(t->queue.ops->dead_redrive(t->queue.ctx, NULL, 0, &moved));
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
    suite_send(t, "far", t->limits.max_delay_ms);
    int64_t start = clock_monotonic_ms();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    suite_check(t->queue.ops->receive(t->queue.ctx, 1, HIDE_MS, 400, NULL, &t->arena, &m, &count));
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
    int first_seen = 0;
    for (size_t i = 0; i < n; i++) {
        first_seen += atomic_fetch_add(&w->seen[strtol(m[i].body, NULL, 10)], 1) == 0;
        r[i].receipt = m[i].receipt;
    }
    rc = n ? q->ops->delete (q->ctx, r, n) : OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = suite_adapter->delivers_twice ? OK : r[i].rc;
    if (!rc)
        atomic_fetch_sub(w->left, first_seen);
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

static void assert_all_seen(_Atomic int *seen)
{
    for (int i = 0; i < MANY; i++)
        assert_in_range(atomic_load(&seen[i]), 1, suite_adapter->delivers_twice ? THREADS : 1);
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
    suite_send_numbers(t, 0, MANY);
    run_workers(w, THREADS, NULL, 0);
    assert_all_seen(seen);
    if (!suite_adapter->delivers_twice) /* the second deletes what the first has received anew */
        assert_int_equal(suite_stats(t).visible + suite_stats(t).in_flight, 0);
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
    assert_all_seen(seen);
}

static const struct CMUnitTest tests[] = {
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

int queue_waiting_tests(void)
{
    return cmocka_run_group_tests_name("job_queue: waiting", tests, NULL, NULL);
}
