#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/slots.h"

enum { SLOTS = 2, THREADS = 6, ROUNDS = 300 };

struct shared {
    struct slots slots;
    struct cancel cancel;
    atomic_int inside, most, done;
    int rc;
};

static void *work(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (slots_hold(&s->slots, NULL))
            return NULL;
        int now = atomic_fetch_add(&s->inside, 1) + 1, most = atomic_load(&s->most);
        while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now))
            continue;
        sched_yield();
        atomic_fetch_sub(&s->inside, 1);
        slots_release(&s->slots);
        atomic_fetch_add(&s->done, 1);
    }
    return NULL;
}

static void no_more_than_the_slots_work_at_once(void **state)
{
    struct shared s = {.rc = 0};
    pthread_t threads[THREADS];
    (void)state;
    slots_init(&s.slots, SLOTS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&s.done), THREADS * ROUNDS);
    assert_in_range(atomic_load(&s.most), 1, SLOTS);
    slots_fini(&s.slots);
}

static void *hold(void *arg)
{
    struct shared *s = arg;
    s->rc = slots_hold(&s->slots, &s->cancel);
    return NULL;
}

static void waiting_can_be_cancelled(void **state)
{
    struct shared s = {.rc = -1};
    pthread_t thread;
    (void)state;
    slots_init(&s.slots, 1);
    assert_int_equal(slots_hold(&s.slots, NULL), OK);
    assert_int_equal(pthread_create(&thread, NULL, hold, &s), 0);
    cancel_request(&s.cancel);
    pthread_join(thread, NULL);
    assert_int_equal(s.rc, ERR_CANCELLED);
    slots_release(&s.slots);
    assert_int_equal(slots_hold(&s.slots, &s.cancel), OK); /* a free slot is not waited for */
    slots_release(&s.slots);
    slots_fini(&s.slots);
}

static void a_waiting_thread_gets_the_freed_slot(void **state)
{
    struct shared s = {.rc = -1};
    pthread_t thread;
    (void)state;
    slots_init(&s.slots, 1);
    assert_int_equal(slots_hold(&s.slots, NULL), OK);
    assert_int_equal(pthread_create(&thread, NULL, hold, &s), 0);
    slots_release(&s.slots);
    pthread_join(thread, NULL);
    assert_int_equal(s.rc, OK);
    slots_fini(&s.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_the_slots_work_at_once),
        cmocka_unit_test(waiting_can_be_cancelled),
        cmocka_unit_test(a_waiting_thread_gets_the_freed_slot),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
