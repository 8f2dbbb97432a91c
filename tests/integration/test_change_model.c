/*
 * Changing the embedding model while jobs run: RAM store and queue, the real SQLite database, two
 * scripted providers, of which one has the old model and one the new.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "media/media.h"
#include "processor/fill.h"
#include "shared/random.h"
#include "support/pipeline_fixture.h"

enum { NEW_DIMENSION = 24 };

#define DB(w, verb, ...) (w)->ports.database.ops->verb((w)->ports.database.ctx, __VA_ARGS__)

/* Both models are to be had, whichever is set. */
static int embedder(void *ctx, const char *provider, const char *model, int dimension,
                    struct model_provider *out)
{
    struct world *w = ctx;
    (void)provider;
    (void)dimension;
    if (strcmp(model, "new") != 0)
        return error_set(ERR_NOT_FOUND, NULL, "there is no model '%s'", model);
    *out = w->other_providers.by_operation[MODEL_EMBED];
    return OK;
}

static struct cancel cancel;

static int open_two(void **state)
{
    world_open(state);
    struct world *w = *state;
    cancel = (struct cancel){0};
    w->other = scripted_provider_open(NEW_DIMENSION, &w->other_providers);
    scripted_set_model(w->provider, MODEL_EMBED, "old");
    scripted_set_model(w->other, MODEL_EMBED, "new");
    w->ports.providers.embedder = embedder;
    w->ports.providers.ctx = w;
    world_start(w);
    return 0;
}

/* ---- media ---- */

static int64_t add_short(struct world *w, int number)
{
    char key[32], text[128];
    snprintf(key, sizeof key, "short-%d.txt", number);
    snprintf(text, sizeof text, "The ship with the number %d came home before the storm.\n",
             number);
    return add(w, key, text).job_id;
}

/* More chunks than one call takes: the result is made in pieces. */
static int64_t add_long(struct world *w, const char *key)
{
    size_t room = 512 * KIB(1), n = 0;
    char *text = malloc(room);
    assert_non_null(text);
    for (int i = 0; i < 1200; i++)
        n += (size_t)snprintf(text + n, room - n,
                              "%s: sentence %d tells of ships, of storms and of "
                              "the people who waited for them at home.\n\n",
                              key, i);
    int64_t job_id = add(w, key, text).job_id;
    free(text);
    return job_id;
}

static void wait_for_success(struct world *w, int64_t job_id)
{
    assert_int_equal(wait_for_state(w, job_id, JOB_SUCCEEDED).attempts, 1);
}

static void wait_at_gate(struct scripted_provider *provider)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    while (!scripted_counts(provider, MODEL_EMBED).waiting && clock_monotonic_ms() < deadline)
        pause_briefly();
    assert_true(scripted_counts(provider, MODEL_EMBED).waiting > 0);
}

/* ---- filling ---- */

static struct fill_options options_for(struct world *w, const struct model_providers *providers)
{
    struct fill_options o = {.ports = &w->ports, .settings = &w->settings, .cancel = &cancel};
    assert_int_equal(OK, embedder_configured(providers, &o.embedder));
    return o;
}

static int change_to_new(struct world *w, struct fill_state *out)
{
    struct fill_options o = options_for(w, &w->other_providers);
    return fill_run(&o, out);
}

static int change_to_old(struct world *w, struct fill_state *out)
{
    struct fill_options o = options_for(w, &w->ports.providers);
    return fill_run(&o, out);
}

/* This model serves, and nothing is missing in its space. */
static void assert_serves(struct world *w, const char *model)
{
    struct serving_space serving;
    struct missing_chunk *missing;
    struct totals totals;
    size_t n;
    assert_int_equal(OK, w->ports.database.ops->space_serving(w->ports.database.ctx, &serving));
    assert_string_equal(serving.space.model, model);
    assert_int_equal(OK, w->ports.database.ops->totals(w->ports.database.ctx, &totals));
    assert_int_equal(serving.chunks, totals.chunks);
    assert_int_equal(serving.missing, 0);
    assert_int_equal(OK, DB(w, space_missing, serving.space.id, NULL, 10, &w->arena, &missing, &n));
    assert_int_equal(n, 0);
}

static int inputs(struct scripted_provider *provider)
{
    return scripted_counts(provider, MODEL_EMBED).inputs;
}

/* ---- the tests ---- */

static void everything_is_embedded_and_switched(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    int64_t jobs[20], long_job = add_long(w, "long.txt");
    for (int i = 0; i < 20; i++)
        jobs[i] = add_short(w, i);
    for (int i = 0; i < 20; i++)
        wait_for_success(w, jobs[i]);
    wait_for_success(w, long_job);
    int chunks = inputs(w->provider);
    assert_true(chunks > 200);
    assert_serves(w, "old");
    assert_int_equal(OK, change_to_new(w, &filled));
    assert_true(filled.switched);
    assert_int_equal(filled.embedded, chunks);
    assert_int_equal(filled.done, chunks);
    assert_int_equal(filled.of, chunks);
    assert_int_equal(filled.cost_nanousd, filled.calls * 1000);
    assert_int_equal(inputs(w->other), chunks);
    assert_serves(w, "new");
    assert_int_equal(OK, change_to_old(w, &filled));
    assert_int_equal(filled.embedded, 0);
    assert_int_equal(filled.calls, 0);
    assert_serves(w, "old");
}

/* It was embedded by the model that served when it began. */
static void a_job_under_way_is_embedded_again(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    wait_for_success(w, add_short(w, 1));
    scripted_close_gate(w->provider, MODEL_EMBED);
    int64_t waits = add_short(w, 2);
    wait_at_gate(w->provider);
    assert_int_equal(OK, change_to_new(w, &filled));
    assert_int_equal(filled.embedded, 1);
    scripted_open_gate(w->provider, MODEL_EMBED);
    wait_for_success(w, waits);
    assert_serves(w, "new");
    assert_int_equal(inputs(w->other), 2);
    assert_int_equal(1 + 1, scripted_counts(w->provider, MODEL_SUMMARISE).calls); /* one each */
}

static void a_long_text_under_way_is_embedded_again(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    wait_for_success(w, add_short(w, 1));
    scripted_close_gate(w->provider, MODEL_EMBED);
    int64_t waits = add_long(w, "long.txt");
    wait_at_gate(w->provider);
    assert_int_equal(OK, change_to_new(w, &filled));
    scripted_open_gate(w->provider, MODEL_EMBED);
    wait_for_success(w, waits);
    assert_serves(w, "new");
    struct totals totals;
    assert_int_equal(OK, w->ports.database.ops->totals(w->ports.database.ctx, &totals));
    assert_int_equal(inputs(w->other), totals.chunks);
}

/* What comes in after the change is embedded by the new model, without being told. */
static void what_comes_later_follows(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    wait_for_success(w, add_short(w, 1));
    assert_int_equal(OK, change_to_new(w, &filled));
    wait_for_success(w, add_short(w, 2)); /* the worker may not have looked yet */
    assert_serves(w, "new");
    assert_int_equal(inputs(w->other), 2);
    assert_int_equal(OK, change_to_old(w, &filled));
    assert_int_equal(filled.embedded, 1);
    assert_serves(w, "old");
}

struct stream {
    struct world *w;
    int64_t jobs[2000];
    int count;
    atomic_bool stop;
};

/* Media come in all the time. */
static void *keep_adding(void *arg)
{
    struct stream *s = arg;
    while (!atomic_load(&s->stop) && s->count < 2000) {
        s->jobs[s->count] = add_short(s->w, 1000 + s->count);
        s->count++;
        pause_briefly();
    }
    return NULL;
}

static void it_ends_though_media_come_all_the_time(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    pthread_t thread;
    static struct stream s;
    s = (struct stream){.w = w};
    for (int i = 0; i < 50; i++)
        add_short(w, i);
    wait_for_success(w, add_short(w, 50));
    assert_int_equal(0, pthread_create(&thread, NULL, keep_adding, &s));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(OK, i % 2 ? change_to_old(w, &filled) : change_to_new(w, &filled));
        assert_true(filled.switched);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_true(s.count > 0);
    for (int i = 0; i < s.count; i++)
        wait_for_success(w, s.jobs[i]);
    assert_serves(w, "old");
}

static void failures_are_tried_again(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    wait_for_success(w, add_short(w, 1));
    scripted_fail(w->other, MODEL_EMBED, 0, 3, ERR_TRANSIENT, "server_error");
    assert_int_equal(OK, change_to_new(w, &filled));
    assert_int_equal(4, scripted_counts(w->other, MODEL_EMBED).calls);
    wait_for_success(w, add_short(w, 2));
    scripted_fail(w->provider, MODEL_EMBED, 0, -1, ERR_TRANSIENT, "server_error");
    assert_int_equal(ERR_TRANSIENT, change_to_old(w, &filled));
    assert_string_equal("server_error", error_last()->reason);
    assert_false(filled.switched);
    assert_serves(w, "new");
    scripted_fail(w->provider, MODEL_EMBED, 0, 1, ERR_SYSTEMIC, "invalid_key");
    assert_int_equal(OK, change_to_old(w, &filled));
    assert_serves(w, "old");
}

static void what_cannot_be_embedded_is_named(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    for (int i = 0; i < 5; i++)
        wait_for_success(w, add_short(w, i));
    scripted_fail(w->other, MODEL_EMBED, 0, -1, ERR_PERMANENT, "refused");
    assert_int_equal(ERR_PERMANENT, change_to_new(w, &filled));
    assert_string_equal("refused", error_last()->reason);
    assert_non_null(strstr(error_last()->message, "'short-0.txt'"));
    assert_serves(w, "old");
    scripted_fail(w->other, MODEL_EMBED, 0, 1, ERR_PERMANENT,
                  "refused"); /* the whole, not its halves */
    assert_int_equal(OK, change_to_new(w, &filled));
    assert_int_equal(filled.embedded, 5);
    assert_serves(w, "new");
}

static void stopped_it_goes_on_where_it_was(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    struct fill_options o;
    wait_for_success(w, add_long(w, "a.txt"));
    wait_for_success(w, add_long(w, "b.txt"));
    w->settings.workers = 1;
    o = options_for(w, &w->other_providers);
    scripted_fail(w->other, MODEL_EMBED, 2, -1, ERR_PERMANENT, "gone"); /* two batches go through */
    assert_int_equal(ERR_PERMANENT, fill_run(&o, &filled));
    int first = inputs(w->other);
    assert_int_equal(filled.embedded, first);
    assert_true(first > 0);
    scripted_heal(w->other, MODEL_EMBED);
    cancel_request(&cancel);
    assert_int_equal(ERR_CANCELLED, fill_run(&o, &filled));
    assert_int_equal(filled.embedded, 0);
    assert_int_equal(filled.done, first);
    o.cancel = NULL;
    assert_int_equal(OK, fill_run(&o, &filled));
    assert_serves(w, "new");
    struct totals totals;
    assert_int_equal(OK, w->ports.database.ops->totals(w->ports.database.ctx, &totals));
    assert_int_equal(inputs(w->other), totals.chunks);
    assert_int_equal(filled.embedded, totals.chunks - first);
}

static void one_that_is_being_dropped_is_filled_anew(void **state)
{
    struct world *w = *state;
    struct fill_state filled;
    struct serving_space old;
    struct space_drop_place place = {0};
    bool more;
    wait_for_success(w, add_short(w, 1));
    assert_int_equal(OK, w->ports.database.ops->space_serving(w->ports.database.ctx, &old));
    assert_int_equal(OK, change_to_new(w, &filled));
    assert_int_equal(OK, DB(w, space_drop, old.space.id, &place, &more));
    assert_true(more); /* and left so */
    assert_int_equal(OK, change_to_old(w, &filled));
    assert_int_equal(filled.embedded, 1);
    assert_serves(w, "old");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_two, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_is_embedded_and_switched),      TEST(a_job_under_way_is_embedded_again),
        TEST(a_long_text_under_way_is_embedded_again),  TEST(what_comes_later_follows),
        TEST(it_ends_though_media_come_all_the_time),   TEST(failures_are_tried_again),
        TEST(what_cannot_be_embedded_is_named),         TEST(stopped_it_goes_on_where_it_was),
        TEST(one_that_is_being_dropped_is_filled_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
