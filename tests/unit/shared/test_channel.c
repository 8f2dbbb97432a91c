#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/channel.h"
#include "shared/clock.h"

static void first_in_first_out(void **state)
{
    struct channel c;
    int numbers[10];
    void *item;
    (void)state;
    assert_int_equal(channel_init(&c, 3), 0);
    for (int round = 0; round < 5; round++) { /* round the ring */
        for (int i = 0; i < 3; i++)
            assert_true(channel_push(&c, &numbers[i]));
        for (int i = 0; i < 3; i++) {
            assert_true(channel_pop(&c, &item));
            assert_ptr_equal(item, &numbers[i]);
        }
        assert_true(channel_push(&c, &numbers[9]));
        assert_true(channel_pop(&c, &item));
    }
    channel_close(&c);
    channel_fini(&c);
}

static void pops_many(void **state)
{
    struct channel c;
    int numbers[5];
    void *items[8];
    (void)state;
    assert_int_equal(channel_init(&c, 5), 0);
    assert_int_equal(channel_pop_many(&c, items, 8, 0), 0); /* does not wait */
    for (int i = 0; i < 5; i++)
        assert_true(channel_push(&c, &numbers[i]));
    assert_int_equal(channel_pop_many(&c, items, 3, -1), 3);
    assert_ptr_equal(items[2], &numbers[2]);
    assert_int_equal(channel_pop_many(&c, items, 8, -1), 2);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(channel_pop_many(&c, items, 8, 30), 0);
    assert_true(clock_monotonic_ms() - before >= 29);
    channel_fini(&c);
}

static void closing_lets_the_rest_be_taken(void **state)
{
    struct channel c;
    int number;
    void *item;
    (void)state;
    assert_int_equal(channel_init(&c, 2), 0);
    assert_true(channel_push(&c, &number));
    channel_close(&c);
    assert_false(channel_push(&c, &number));
    assert_true(channel_pop(&c, &item));
    assert_false(channel_pop(&c, &item));
    assert_int_equal(channel_pop_many(&c, &item, 1, -1), 0);
    channel_fini(&c);
    channel_fini(&c);
}

struct shared {
    struct channel channel;
    atomic_int pushed, popped, refused;
    atomic_long sum;
};

enum { PRODUCERS = 4, CONSUMERS = 3, EACH = 5000 };

static int numbers[PRODUCERS * EACH];

static void *produce(void *arg)
{
    struct shared *s = arg;
    int from = atomic_fetch_add(&s->pushed, EACH);
    for (int i = from; i < from + EACH; i++)
        if (!channel_push(&s->channel, &numbers[i]))
            atomic_fetch_add(&s->refused, 1);
    return NULL;
}

static void *consume_one(void *arg)
{
    struct shared *s = arg;
    void *item;
    while (channel_pop(&s->channel, &item)) {
        atomic_fetch_add(&s->sum, *(int *)item);
        atomic_fetch_add(&s->popped, 1);
    }
    return NULL;
}

static void *consume_many(void *arg)
{
    struct shared *s = arg;
    void *items[7];
    for (size_t n; (n = channel_pop_many(&s->channel, items, 7, -1)) > 0;) {
        for (size_t i = 0; i < n; i++)
            atomic_fetch_add(&s->sum, *(int *)items[i]);
        atomic_fetch_add(&s->popped, (int)n);
    }
    return NULL;
}

static void nothing_is_lost_or_doubled_between_threads(void **state)
{
    struct shared s = {.sum = 0};
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    long expected = 0;
    (void)state;
    for (int i = 0; i < PRODUCERS * EACH; i++)
        expected += numbers[i] = i;
    assert_int_equal(channel_init(&s.channel, 5), 0); /* small: both sides have to wait */
    for (int i = 0; i < CONSUMERS; i++)
        pthread_create(&consumers[i], NULL, i % 2 ? consume_many : consume_one, &s);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&producers[i], NULL, produce, &s);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    channel_close(&s.channel);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    assert_int_equal(atomic_load(&s.popped), PRODUCERS * EACH);
    assert_int_equal(atomic_load(&s.sum), expected);
    channel_fini(&s.channel);
}

static void closing_wakes_both_sides(void **state)
{
    struct shared full = {.sum = 0}, empty = {.sum = 0};
    pthread_t blocked_producer, blocked_consumer;
    (void)state;
    assert_int_equal(channel_init(&full.channel, 1), 0);
    assert_int_equal(channel_init(&empty.channel, 1), 0);
    pthread_create(&blocked_producer, NULL, produce, &full);
    pthread_create(&blocked_consumer, NULL, consume_one, &empty);
    channel_close(&full.channel);
    channel_close(&empty.channel);
    pthread_join(blocked_producer, NULL); /* hangs here if it was not woken */
    pthread_join(blocked_consumer, NULL);
    assert_true(atomic_load(&full.refused) >= EACH - 1);
    channel_fini(&full.channel);
    channel_fini(&empty.channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(pops_many),
        cmocka_unit_test(closing_lets_the_rest_be_taken),
        cmocka_unit_test(nothing_is_lost_or_doubled_between_threads),
        cmocka_unit_test(closing_wakes_both_sides),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
