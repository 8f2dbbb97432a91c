#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/follow.h"
#include "shared/error.h"

/* ---- an outbox of which only the ids matter ---- */

struct outbox {
    const int64_t *ids;
    size_t count;
    int reads;
};

static int life_events(void *ctx, int64_t after, size_t limit, struct arena *arena,
                       struct life_event **out, size_t *count)
{
    struct outbox *o = ctx;
    o->reads++;
    *count = 0;
    *out = arena_array(arena, limit, sizeof **out);
    assert_non_null(*out);
    for (size_t i = 0; i < o->count && *count < limit; i++)
        if (o->ids[i] > after)
            (*out)[(*count)++] = (struct life_event){.id = o->ids[i],
                                                     .type = "job.queued",
                                                     .job_id = o->ids[i],
                                                     .trace_id = "",
                                                     .bucket = "",
                                                     .key = "",
                                                     .detail_json = ""};
    return OK;
}

static const struct database_ops outbox_ops = {.name = "outbox", .life_events = life_events};

static void remember(void *ctx, const struct life_event *event)
{
    int64_t *last = ctx;
    assert_true(event->id > *last);
    *last = event->id;
}

static void test_following_starts_at_the_newest(void **state)
{
    (void)state;
    static const int64_t some[] = {1, 2, 3, 4, 5}, gaps[] = {7, 100, 5000000000},
                         trimmed[] = {4096, 4097}, one[] = {1}, high[] = {INT64_C(1) << 60};
    static const struct outbox rows[] = {
        {NULL, 0, 0}, {one, 1, 0}, {some, 5, 0}, {gaps, 3, 0}, {trimmed, 2, 0}, {high, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outbox outbox = rows[i];
        struct database db = {.ops = &outbox_ops, .ctx = &outbox};
        struct follower f;
        assert_int_equal(follower_start(&f, &db), OK);
        int64_t newest = outbox.count ? outbox.ids[outbox.count - 1] : 0;
        assert_true(f.after == newest);
        assert_true(outbox.reads < 130);
        size_t seen = 99;
        assert_int_equal(follower_read(&f, remember, &newest, &seen), OK);
        assert_int_equal(seen, 0);
    }
}

static void test_following_pages_through_all(void **state)
{
    (void)state;
    enum { MANY = 1234 };
    int64_t ids[MANY], last = 0;
    for (int i = 0; i < MANY; i++)
        ids[i] = 10 + 3 * i;
    struct outbox outbox = {.ids = ids, .count = 0};
    struct database db = {.ops = &outbox_ops, .ctx = &outbox};
    struct follower f;
    assert_int_equal(follower_start(&f, &db), OK);
    outbox.count = MANY; /* all came after the start */
    size_t seen;
    assert_int_equal(follower_read(&f, remember, &last, &seen), OK);
    assert_int_equal(seen, MANY);
    assert_true(last == ids[MANY - 1]);
}

/* ---- jobs ---- */

static void tell(struct tracker *t, int64_t job, const char *type, const char *detail)
{
    struct life_event e = {.type = type, .job_id = job, .attempt = 1, .detail_json = detail};
    tracker_event(t, &e);
}

static void test_a_job_follows_its_events(void **state)
{
    (void)state;
    struct tracker t;
    assert_int_equal(tracker_init(&t), OK);
    assert_int_equal(tracker_add(&t, 7, 70, "a.txt"), OK);
    assert_int_equal(tracker_add(&t, 7, 70, "a.txt"), OK); /* the same again */
    assert_int_equal(t.count, 1);

    tell(&t, 99, "job.succeeded", ""); /* somebody else's */
    tell(&t, 7, "media.removed", "");  /* no state */
    assert_int_equal(tracker_ended(&t), 0);
    tell(&t, 7, "job.started", "{}");
    assert_int_equal(t.items[0].state, JOB_RUNNING);

    struct job_progress progress = {.job_id = 7, .stage = STAGE_TRANSCRIBE, .permille = 430};
    tracker_progress(&t, &progress);
    assert_true(t.items[0].here);
    assert_int_equal(t.items[0].stage, STAGE_TRANSCRIBE);

    tell(
        &t, 7, "job.retrying",
        "{\"stage\":\"embed\",\"reason\":\"rate_limited\",\"message\":\"slow down\",\"due_ms\":5}");
    assert_int_equal(t.items[0].state, JOB_RETRYING);
    assert_false(t.items[0].here);
    assert_string_equal(t.items[0].reason, "rate_limited");
    assert_string_equal(t.items[0].message, "slow down");
    assert_int_equal(t.items[0].due_ms, 5);

    tell(&t, 7, "job.dead", "{\"reason\":\"unreadable\",\"message\":\"broken\"}");
    assert_int_equal(t.ended[JOB_DEAD], 1);
    assert_string_equal(t.items[0].reason, "unreadable");
    tracker_progress(&t, &progress); /* late news changes nothing */
    assert_int_equal(t.items[0].state, JOB_DEAD);
    assert_int_equal(tracker_ended(&t), 1);
    tell(&t, 7, "job.queued", "not json"); /* redriven */
    assert_int_equal(tracker_ended(&t), 0);
    tell(&t, 7, "job.succeeded", "");
    assert_int_equal(t.ended[JOB_SUCCEEDED], 1);
    tracker_fini(&t);
}

static void test_a_worker_may_be_faster(void **state)
{
    (void)state;
    struct tracker t;
    struct job_progress progress = {.job_id = 5, .stage = STAGE_SUMMARISE, .permille = 10};
    assert_int_equal(tracker_init(&t), OK);
    tracker_progress(&t, &progress);
    assert_int_equal(tracker_add(&t, 5, 50, "k"), OK);
    assert_int_equal(tracker_add(&t, 6, 60, "l"), OK);
    assert_int_equal(t.items[0].state, JOB_RUNNING);
    assert_int_equal(t.items[0].stage, STAGE_SUMMARISE);
    assert_int_equal(t.items[1].state, JOB_QUEUED);
    tell(&t, 5, "job.queued", ""); /* the outbox is read a little later */
    tell(&t, 5, "job.started", "");
    assert_true(t.items[0].here);
    tell(&t, 5, "job.given_back", "");
    assert_false(t.items[0].here);
    tracker_fini(&t);
}

static void test_many_jobs(void **state)
{
    (void)state;
    enum { JOBS = 20000 };
    struct tracker t;
    assert_int_equal(tracker_init(&t), OK);
    for (int64_t i = 1; i <= JOBS; i++)
        assert_int_equal(tracker_add(&t, i * 64, i, "k"), OK);
    for (int64_t i = 1; i <= JOBS; i++)
        tell(&t, i * 64, i % 3 ? "job.succeeded" : "job.cancelled", "");
    assert_int_equal(t.count, JOBS);
    assert_int_equal(tracker_ended(&t), JOBS);
    assert_int_equal(t.ended[JOB_CANCELLED], JOBS / 3);
    tracker_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_following_starts_at_the_newest),
        cmocka_unit_test(test_following_pages_through_all),
        cmocka_unit_test(test_a_job_follows_its_events),
        cmocka_unit_test(test_a_worker_may_be_faster),
        cmocka_unit_test(test_many_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
