#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "processor/internal.h"
#include "shared/clock.h"
#include "support/scripted_provider.h"

enum { DIMENSION = 61, ALONE = 2, PER_JOB = 16, JOBS = 4, MOST_TEXTS = PER_JOB * JOBS };

struct fixture {
    struct scripted_provider *provider;
    struct processor *p;
    struct embedder embedder;
};

/* The scripted model takes 64 texts: four jobs of sixteen fill a request, so nobody waits for the
 * clock. */
static void set_up(struct fixture *f)
{
    struct processor_ports ports = {0};
    struct processor_settings settings = {.workers = 1};
    f->provider = scripted_provider_open(DIMENSION, &ports.providers);
    f->embedder.provider = ports.providers.by_operation[MODEL_EMBED];
    assert_int_equal(processor_make(&ports, &settings, NULL, &f->p), 0);
    assert_int_equal(provider_identify(f->p, MODEL_EMBED, &f->embedder.model), 0);
    assert_int_equal(f->embedder.model.max_batch, MOST_TEXTS);
    f->p->embedding.gather_ms = 60000;
}

static void tear_down(struct fixture *f)
{
    processor_free(f->p);
    scripted_provider_close(f->provider);
}

struct asking {
    struct fixture *f;
    pthread_t thread;
    struct cancel cancel;
    char texts[PER_JOB][40];
    struct arena arena;
    struct model_calls calls;
    struct embed_result result;
    int rc;
    struct error error;
};

static void *ask(void *arg)
{
    struct asking *a = arg;
    const char *texts[PER_JOB];
    size_t lengths[PER_JOB];
    for (int i = 0; i < PER_JOB; i++) {
        texts[i] = a->texts[i];
        lengths[i] = strlen(texts[i]);
    }
    struct embed_request request = {.texts = texts, .lengths = lengths, .count = PER_JOB};
    a->rc = embed_together(a->f->p, &a->f->embedder, &request, &a->cancel, &a->arena, &a->calls,
                           &a->result);
    a->error = *error_last();
    return NULL;
}

static void start(struct fixture *f, struct asking *a, int number)
{
    memset(a, 0, sizeof *a);
    a->f = f;
    arena_init(&a->arena, CAP_JOB_ARENA);
    a->calls.arena = &a->arena;
    for (int i = 0; i < PER_JOB; i++)
        snprintf(a->texts[i], sizeof a->texts[i], "job %d, text %d%.*s", number, i, number,
                 "..........");
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

/* The axis that the scripted model gives a text. */
static unsigned axis(const char *text)
{
    unsigned sum = 0;
    for (; *text; text++)
        sum = sum * 31 + (unsigned char)*text;
    return sum % DIMENSION;
}

static void join_and_check(struct asking *a)
{
    pthread_join(a->thread, NULL);
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->result.dimension, DIMENSION);
    for (int i = 0; i < PER_JOB; i++)
        assert_true(a->result.vectors[i * DIMENSION + (int)axis(a->texts[i])] == 1.0f);
}

static void release(struct asking *a)
{
    arena_free(&a->arena);
}

static void succeed(struct asking *asking, int count)
{
    for (int i = 0; i < count; i++) {
        join_and_check(&asking[i]);
        release(&asking[i]);
    }
}

static void wait_for_waiting(struct fixture *f, int calls)
{
    while (scripted_counts(f->provider, MODEL_EMBED).waiting != calls)
        clock_sleep(1, NULL);
}

/* Two that ask for themselves stand at the gate; then so many more have come. */
static void crowd(struct fixture *f, struct asking *alone, struct asking *together)
{
    scripted_close_gate(f->provider, MODEL_EMBED);
    for (int i = 0; i < ALONE; i++)
        start(f, &alone[i], i);
    wait_for_waiting(f, ALONE);
    for (int i = 0; i < JOBS; i++)
        start(f, &together[i], ALONE + i);
}

static void test_many_share_a_request_and_its_cost(void **state)
{
    (void)state;
    struct fixture f;
    struct asking alone[ALONE], together[JOBS];
    int64_t tokens = 0, cost = 0;
    set_up(&f);
    crowd(&f, alone, together);
    wait_for_waiting(&f, ALONE + 1);
    scripted_open_gate(f.provider, MODEL_EMBED);
    for (int i = 0; i < ALONE; i++) {
        join_and_check(&alone[i]);
        assert_int_equal(alone[i].calls.count, 1);
        assert_int_equal(alone[i].calls.items[0].cost_nanousd, 1000);
        release(&alone[i]);
    }
    for (int i = 0; i < JOBS; i++) {
        join_and_check(&together[i]);
        assert_int_equal(together[i].calls.count, 1);
        assert_in_range(together[i].calls.items[0].cost_nanousd, 200, 300);
        tokens += together[i].calls.items[0].input_tokens;
        cost += together[i].calls.items[0].cost_nanousd;
        release(&together[i]);
    }
    assert_int_equal(tokens, 10); /* of the one call, to the token and the billionth of a dollar */
    assert_int_equal(cost, 1000);
    assert_int_equal(atomic_load(&f.p->cost_nanousd), 3000);
    assert_int_equal(scripted_counts(f.provider, MODEL_EMBED).calls, ALONE + 1);
    assert_int_equal(scripted_counts(f.provider, MODEL_EMBED).inputs, (ALONE + JOBS) * PER_JOB);
    tear_down(&f);
}

static void test_few_do_not_wait(void **state)
{
    (void)state;
    struct fixture f;
    struct asking one;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        start(&f, &one, i);
        join_and_check(&one);
        release(&one);
    }
    assert_int_equal(scripted_counts(f.provider, MODEL_EMBED).calls, 3);
    tear_down(&f);
}

/* The shared request is the third to arrive; it fails, what each then asks for itself does not. */
static void test_anothers_bad_text_harms_nobody(void **state)
{
    (void)state;
    struct fixture f;
    struct asking alone[ALONE], together[JOBS];
    set_up(&f);
    scripted_fail(f.provider, MODEL_EMBED, ALONE, 1, ERR_PERMANENT, "invalid_request");
    crowd(&f, alone, together);
    wait_for_waiting(&f, ALONE + 1);
    scripted_open_gate(f.provider, MODEL_EMBED);
    succeed(alone, ALONE);
    succeed(together, JOBS);
    assert_int_equal(scripted_counts(f.provider, MODEL_EMBED).calls, ALONE + 1 + JOBS);
    tear_down(&f);
}

static void test_a_systemic_failure_is_everybodys(void **state)
{
    (void)state;
    struct fixture f;
    struct asking alone[ALONE], together[JOBS];
    set_up(&f);
    scripted_fail(f.provider, MODEL_EMBED, ALONE, -1, ERR_SYSTEMIC, "invalid_key");
    crowd(&f, alone, together);
    wait_for_waiting(&f, ALONE + 1);
    scripted_open_gate(f.provider, MODEL_EMBED);
    succeed(alone, ALONE);
    for (int i = 0; i < JOBS; i++) {
        pthread_join(together[i].thread, NULL);
        assert_int_equal(together[i].rc, ERR_SYSTEMIC);
        assert_string_equal(together[i].error.reason, "invalid_key");
        release(&together[i]);
    }
    assert_int_equal(scripted_counts(f.provider, MODEL_EMBED).calls, ALONE + 1);
    tear_down(&f);
}

/* Whoever leads is stopped: the others go on. */
static void test_anothers_stop_stops_nobody(void **state)
{
    (void)state;
    struct fixture f;
    struct asking alone[ALONE], together[JOBS];
    set_up(&f);
    scripted_close_gate(f.provider, MODEL_EMBED);
    for (int i = 0; i < ALONE; i++)
        start(&f, &alone[i], i);
    wait_for_waiting(&f, ALONE);
    start(&f, &together[0], ALONE);
    for (;;) { /* until it gathers */
        pthread_mutex_lock(&f.p->embedding.lock);
        bool gathers = f.p->embedding.open != NULL;
        pthread_mutex_unlock(&f.p->embedding.lock);
        if (gathers)
            break;
        clock_sleep(1, NULL);
    }
    for (int i = 1; i < JOBS; i++)
        start(&f, &together[i], ALONE + i);
    wait_for_waiting(&f, ALONE + 1);
    cancel_request(&together[0].cancel);
    wait_for_waiting(&f, ALONE + JOBS - 1);
    scripted_open_gate(f.provider, MODEL_EMBED);
    succeed(alone, ALONE);
    pthread_join(together[0].thread, NULL);
    assert_int_equal(together[0].rc, ERR_CANCELLED);
    release(&together[0]);
    succeed(together + 1, JOBS - 1);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_share_a_request_and_its_cost),
        cmocka_unit_test(test_few_do_not_wait),
        cmocka_unit_test(test_anothers_bad_text_harms_nobody),
        cmocka_unit_test(test_a_systemic_failure_is_everybodys),
        cmocka_unit_test(test_anothers_stop_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
