/* Results that take the place of others: newer versions, reprocessing. */
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

/* ---- swapping ---- */

static void new_version_replaces_the_old_at_once(void **state)
{
    struct fixture *f = *state;
    int64_t media = put_text(f, "a", "zebra");
    assert_int_equal(put_text(f, "a", "giraffe"), media);
    assert_int_equal(lexical_count(f, "zebra", NULL), 0);
    assert_int_equal(lexical_best(f, "giraffe", NULL), media);
    assert_int_equal(vector_best(f, "giraffe", NULL), media);
    assert_int_equal(vector_count(f, "zebra", NULL), 1); /* the nearest is the new one */
    assert_int_equal(totals_of(f).published, 1);
    assert_int_equal(totals_of(f).results, 1);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(lexical_best(f, "giraffe", NULL), media);
}

static void same_result_published_again_stays(void **state)
{
    struct fixture *f = *state;
    int64_t media = put_text(f, "a", "steady");
    int64_t result = media_of(f, media).result_id;
    assert_int_equal(put_text(f, "a", "steady"), media);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(media_of(f, media).result_id, result);
    assert_int_equal(lexical_best(f, "steady", NULL), media);
    assert_int_equal(totals_of(f).results, 1);
}

/* ---- reprocessing ---- */

static void reprocess_makes_jobs_in_pages(void **state)
{
    struct fixture *f = *state;
    struct job_row *rows;
    size_t n;
    int64_t media[5];
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        media[i] = put_text(f, key, key);
    }
    upload(f, "k1", "newer", atomic_load(&f->now_ms) + 1); /* has an unfinished job */
    remove_key(f, "k3", atomic_load(&f->now_ms) + 1);
    OKAY(DB(f, reprocess, NULL, 0, 2, &f->arena, &rows, &n));
    assert_int_equal(n, 2);
    assert_int_equal(rows[0].media_id, media[0]);
    assert_int_equal(rows[1].media_id, media[2]);
    assert_int_equal(rows[0].state, JOB_QUEUED);
    assert_int_equal(media_of(f, media[0]).job_id, rows[0].job_id);
    assert_int_equal(strlen(rows[0].trace_id), 32);
    OKAY(DB(f, reprocess, NULL, media[2], 2, &f->arena, &rows, &n));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].media_id, media[4]);
    OKAY(DB(f, reprocess, NULL, 0, 10, &f->arena, &rows, &n));
    assert_int_equal(n, 0);                                  /* all have one now */
    assert_int_equal(lexical_best(f, "k0", NULL), media[0]); /* the old stays current */
    struct job_work w = start(f, media_of(f, media[0]).job_id);
    const char *text = "renewed";
    OKAY(publish_result(
        f, &w, &(struct simple_result){.chunks = &text, .chunk_count = 1, .settings = "s2"}));
    assert_int_equal(lexical_best(f, "renewed", NULL), media[0]);
}

static void reprocess_honours_the_filter(void **state)
{
    struct fixture *f = *state;
    struct job_row *rows;
    size_t n;
    const char *text = "t";
    put_media(f, "x/a", "one", &(struct simple_result){.chunks = &text, .chunk_count = 1});
    int64_t b =
        put_media(f, "y/b", "two", &(struct simple_result){.chunks = &text, .chunk_count = 1});
    OKAY(
        DB(f, reprocess, &(struct media_filter){.collection = "two"}, 0, 10, &f->arena, &rows, &n));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].media_id, b);
    OKAY(DB(f, reprocess, &(struct media_filter){.prefix = "x/"}, 0, 10, &f->arena, &rows, &n));
    assert_int_equal(n, 1);
    assert_string_equal(rows[0].key, "x/a");
}

const struct suite_test database_swap_tests[] = {
    SUITE_TEST(new_version_replaces_the_old_at_once),
    SUITE_TEST(same_result_published_again_stays),
    SUITE_TEST(reprocess_makes_jobs_in_pages),
    SUITE_TEST(reprocess_honours_the_filter),
};
const size_t database_swap_test_count = sizeof database_swap_tests / sizeof database_swap_tests[0];
