/* Many callers at once: nothing is lost, done twice, or seen half. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

/* Workers must not call cmocka's assertions, which jump: they count what went wrong. */
struct crew {
    struct fixture *f;
    atomic_int next, errors, done;
    atomic_bool stop;
    int64_t *jobs;
    int count;
    struct embedding_space space;
};

static void run_crew(struct crew *crew, int threads, void *(*body)(void *))
{
    pthread_t ids[64];
    for (int i = 0; i < threads; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, body, crew), 0);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

static int publish_text(struct crew *crew, const struct job_work *w, const char *text,
                        const char *settings)
{
    float vector[FIXTURE_DIMENSION];
    struct chunk_row chunk = {.start_ms = -1, .end_ms = -1, .text = text, .length = strlen(text)};
    struct result_info info = {
        .kind = "text", .format = "", .language = "en", .title = "", .stages_json = "{}"};
    struct model_call call = {.provider = "p", .model = "m", .cost_nanousd = 3};
    vector_of(text, vector);
    struct publication p = {
        .job_id = w->job_id,
        .attempt = w->attempt,
        .key = {.content = digest_text(text), .settings = digest_text(settings)},
        .info = &info,
        .batch = {.chunks = &chunk,
                  .chunk_count = 1,
                  .space_id = crew->space.id,
                  .embeddings = vector,
                  .calls = &call,
                  .call_count = 1},
        .stage_times_json = "{}"};
    return DB(crew->f, publish, &p);
}

static void *start_and_publish(void *arg)
{
    struct crew *crew = arg;
    struct fixture *f = crew->f;
    int i;
    while ((i = atomic_fetch_add(&crew->next, 1)) < crew->count * 2) {
        char text[64];
        struct job_work w;
        int64_t job = crew->jobs[i % crew->count];
        struct job_start s = {.job_id = job, .receive_count = 1, .work = &w};
        if (DB(f, start_attempts, &s, 1, "crew:1", atomic_load(&f->now_ms) + 60000))
            atomic_fetch_add(&crew->errors, 1);
        if (s.rc)
            continue; /* somebody else has it or had it */
        snprintf(text, sizeof text, "crew text number%lld", (long long)job);
        if (publish_text(crew, &w, text, "s"))
            atomic_fetch_add(&crew->errors, 1);
        else
            atomic_fetch_add(&crew->done, 1);
    }
    return NULL;
}

static void each_job_is_done_once(void **state)
{
    struct fixture *f = *state;
    enum { JOBS = 400 };
    int64_t jobs[JOBS];
    struct crew crew = {.f = f, .jobs = jobs, .count = JOBS};
    for (int i = 0; i < JOBS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        jobs[i] = upload(f, key, "e", 1).job_id;
    }
    crew.space.id = fixture_space(f);
    run_crew(&crew, 32, start_and_publish);
    assert_int_equal(atomic_load(&crew.errors), 0);
    assert_int_equal(atomic_load(&crew.done), JOBS);
    struct totals t = totals_of(f);
    assert_int_equal(t.jobs[JOB_SUCCEEDED], JOBS);
    assert_int_equal(t.published, JOBS);
    assert_int_equal(t.chunks, JOBS);
    assert_int_equal(t.cost_nanousd, 3 * JOBS);
    assert_int_equal(life_count(f, "job.succeeded", 0), JOBS);
    assert_int_equal(lexical_count(f, "crew", NULL), 100);
    for (int i = 0; i < JOBS; i += 37) {
        char word[32];
        snprintf(word, sizeof word, "number%lld", (long long)jobs[i]);
        assert_int_equal(lexical_count(f, word, NULL), 1);
    }
}

static void *record_same(void *arg)
{
    struct crew *crew = arg;
    int i;
    while ((i = atomic_fetch_add(&crew->next, 1)) < crew->count) {
        char key[16];
        struct event_outcome out;
        snprintf(key, sizeof key, "k%d", i % 20);
        struct media_event e = event_of(key, "same", 1000);
        if (DB(crew->f, record_events, &e, 1, &out))
            atomic_fetch_add(&crew->errors, 1);
        else if (out.result == EVENT_JOB_QUEUED)
            atomic_fetch_add(&crew->done, 1);
        else if (out.result != EVENT_DUPLICATE || !out.job_id)
            atomic_fetch_add(&crew->errors, 1);
    }
    return NULL;
}

static void same_event_from_many_is_one_job(void **state)
{
    struct fixture *f = *state;
    struct crew crew = {.f = f, .count = 800};
    run_crew(&crew, 16, record_same);
    assert_int_equal(atomic_load(&crew.errors), 0);
    assert_int_equal(atomic_load(&crew.done), 20);
    assert_int_equal(totals_of(f).jobs[JOB_QUEUED], 20);
}

/* Failures amid successes of the same batch. */
static void *good_and_bad(void *arg)
{
    struct crew *crew = arg;
    struct fixture *f = crew->f;
    int i;
    while ((i = atomic_fetch_add(&crew->next, 1)) < crew->count) {
        struct event_outcome out;
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        struct media_event e = event_of(key, "e", 1);
        bool fine = !DB(f, record_events, &e, 1, &out) &&
                    DB(f, redrive, out.job_id) == ERR_CONFLICT &&
                    DB(f, drop, 1000000 + i) == ERR_NOT_FOUND &&
                    !DB(f, mark_dead, out.job_id, "r", "m") && !DB(f, redrive, out.job_id);
        if (!fine)
            atomic_fetch_add(&crew->errors, 1);
    }
    return NULL;
}

static void one_failure_harms_no_other(void **state)
{
    struct fixture *f = *state;
    struct crew crew = {.f = f, .count = 300};
    run_crew(&crew, 24, good_and_bad);
    assert_int_equal(atomic_load(&crew.errors), 0);
    assert_int_equal(totals_of(f).jobs[JOB_QUEUED], 300);
    assert_int_equal(totals_of(f).media, 300);
}

/* One medium is republished again and again; readers must always see exactly one version of it. */
static void *watch_swap(void *arg)
{
    struct crew *crew = arg;
    struct fixture *f = crew->f;
    float query[FIXTURE_DIMENSION];
    vector_of("swap", query);
    while (!atomic_load(&crew->stop)) {
        struct arena arena;
        struct arm_hit *hits;
        size_t words, vectors;
        arena_init(&arena, MIB(4));
        if (DB(f, search_lexical, "swapped", NULL, 10, &arena, &hits, &words) || words != 1)
            atomic_fetch_add(&crew->errors, 1);
        if (DB(f, search_vector, crew->space.id, query, NULL, 10, &arena, &hits, &vectors) ||
            vectors != 1)
            atomic_fetch_add(&crew->errors, 1);
        arena_free(&arena);
        atomic_fetch_add(&crew->done, 1);
    }
    return NULL;
}

static void swap_shows_neither_none_nor_both(void **state)
{
    struct fixture *f = *state;
    struct crew crew = {.f = f};
    pthread_t watchers[3];
    put_text(f, "a", "swapped version0");
    crew.space.id = fixture_space(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&watchers[i], NULL, watch_swap, &crew), 0);
    for (int i = 1; i <= 60 || atomic_load(&crew.done) < 100; i++) {
        char text[64];
        snprintf(text, sizeof text, "swapped version%d", i);
        put_text(f, "a", text);
    }
    atomic_store(&crew.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(watchers[i], NULL);
    assert_int_equal(atomic_load(&crew.errors), 0);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(totals_of(f).results, 1);
    assert_int_equal(lexical_count(f, "swapped", NULL), 1);
}

/* Two handles, as two processes, on one store. */
static void *publish_on_either(void *arg)
{
    struct crew *crew = arg;
    return start_and_publish(crew);
}

static void two_handles_share_the_work(void **state)
{
    struct fixture *f = *state;
    enum { JOBS = 200 };
    int64_t jobs[JOBS];
    struct fixture second = {.harness = f->harness, .clock = f->clock};
    atomic_store(&second.now_ms, atomic_load(&f->now_ms));
    OKAY(f->harness->open_again(f->harness->ctx, &f->clock, &second.db));
    for (int i = 0; i < JOBS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        jobs[i] = upload(i % 2 ? f : &second, key, "e", 1).job_id;
    }
    struct crew one = {.f = f, .jobs = jobs, .count = JOBS};
    struct crew two = {.f = &second, .jobs = jobs, .count = JOBS};
    pthread_t ids[16];
    one.space.id = two.space.id = fixture_space(f);
    for (int i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, publish_on_either, i % 2 ? &one : &two), 0);
    for (int i = 0; i < 16; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(atomic_load(&one.errors) + atomic_load(&two.errors), 0);
    assert_int_equal(atomic_load(&one.done) + atomic_load(&two.done), JOBS);
    second.db.ops->close(second.db.ctx);
    struct totals t = totals_of(f);
    assert_int_equal(t.published, JOBS);
    assert_int_equal(t.chunks, JOBS);
    assert_int_equal(t.cost_nanousd, 3 * JOBS);
    assert_int_equal(lexical_count(f, "crew", NULL), 100);
}

const struct suite_test database_thread_tests[] = {
    SUITE_TEST(each_job_is_done_once),      SUITE_TEST(same_event_from_many_is_one_job),
    SUITE_TEST(one_failure_harms_no_other), SUITE_TEST(swap_shows_neither_none_nor_both),
    SUITE_TEST(two_handles_share_the_work),
};
const size_t database_thread_test_count =
    sizeof database_thread_tests / sizeof database_thread_tests[0];
