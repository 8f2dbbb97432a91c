/* The vector index: exactness against brute force, filters, ranges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/vector_file.h"
#include "shared/error.h"
#include "support/vector_fixture.h"

static bool odd(int64_t id)
{
    return id % 2;
}

static bool rare(int64_t id)
{
    return id % 97 == 0;
}

static void finds_what_brute_force_finds(void **state)
{
    struct vector_place *place = *state;
    static const struct {
        size_t count, dimension, clusters;
    } cases[] = {{1, 1, 0},     {50, 1, 0},    {700, 3, 0},     {1024, 64, 0},   {1025, 65, 4},
                 {3000, 96, 0}, {3000, 96, 3}, {2500, 384, 40}, {1500, 1536, 0}, {20, 8192, 2}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct vector_set set =
            vector_set_make(cases[c].count, cases[c].dimension, cases[c].clusters);
        struct vector_index *index = vector_open_with(place, &set);
        assert_int_equal(vector_index_count(index), set.count);
        assert_int_equal(vector_index_last_id(index), set.ids[set.count - 1]);
        for (size_t k = 1; k <= 1000; k *= 10)
            vector_check_search(place, index, &set, k);
        assert_int_equal(vector_index_verify(index), 0);
        vector_index_close(index);
        unlink(place->path);
        vector_set_free(&set);
    }
}

static void every_kernel_and_thread_count_gives_the_same_bits(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(9000, 256, 5);
    struct vector_index *index = vector_open_with(place, &set);
    size_t kernels, first_count = 0;
    const struct vector_kernel *const *all = vector_kernels(&kernels);
    struct arm_hit *first = NULL;
    float query[256];
    vector_random_query(&set, query);
    for (size_t k = 0; k < kernels; k++)
        for (size_t threads = 1; threads <= 8; threads *= 2) {
            struct arm_hit *got;
            size_t count;
            vector_index_tune(index, all[k], threads);
            assert_int_equal(
                vector_index_search(index, query, 40, NULL, &place->arena, &got, &count), 0);
            if (!first) {
                first = got;
                first_count = count;
            }
            assert_int_equal(count, first_count);
            assert_memory_equal(got, first, count * sizeof *got);
        }
    vector_index_close(index);
    vector_set_free(&set);
}

/* Nothing can be told apart by its code: everything is read, and rising ids decide. */
static void identical_vectors_come_by_rising_id(void **state)
{
    struct vector_place *place = *state;
    enum { COUNT = 5000, DIMENSION = 64 };
    struct vector_set set = vector_set_make(COUNT, DIMENSION, 0);
    for (size_t r = 1; r < COUNT; r++)
        memcpy(set.rows + r * DIMENSION, set.rows, DIMENSION * sizeof *set.rows);
    struct vector_index *index = vector_open_with(place, &set);
    float query[DIMENSION];
    struct arm_hit *got;
    size_t count;
    vector_random_query(&set, query);
    assert_int_equal(vector_index_search(index, query, 25, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 25);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(got[i].chunk_id, set.ids[i]);
    vector_index_close(index);
    vector_set_free(&set);
}

static void rows_that_cannot_be_found_are_not(void **state)
{
    struct vector_place *place = *state;
    int64_t ids[] = {1, 2, 3, 4, 5};
    uint16_t rows[5][2] = {{0, 0}, {0x3c00, 0}, {0x7c00, 0}, {0x7e00, 0x3c00}, {0x4900, 0x4900}};
    struct vector_index *index = vector_open(place, 2);
    assert_int_equal(vector_index_append(index, ids, rows[0], 5), 0);
    assert_int_equal(vector_index_count(index), 2);
    struct arm_hit *got;
    size_t count;
    float query[2] = {2, 2};
    assert_int_equal(vector_index_search(index, query, 9, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(got[0].chunk_id, 5); /* any length: the vector_cosine counts */
    assert_true(fabs(got[0].score - 1) < 1e-12);
    assert_int_equal(got[1].chunk_id, 2);
    float opposite[2] = {-1, 0};
    assert_int_equal(vector_index_search(index, opposite, 9, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 2); /* a vector_cosine of -1 is found too */
    assert_true(fabs(got[1].score + 1) < 1e-12);
    float zero[2] = {0, 0};
    assert_int_equal(vector_index_search(index, zero, 9, NULL, &place->arena, &got, &count),
                     ERR_INVALID);
    vector_index_close(index);
}

static void an_empty_index_finds_nothing(void **state)
{
    struct vector_place *place = *state;
    struct vector_index *index = vector_open(place, 3);
    struct arm_hit *got;
    size_t count = 7;
    float query[3] = {1, 0, 0};
    assert_int_equal(vector_index_search(index, query, 5, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(vector_index_last_id(index), 0);
    assert_int_equal(vector_index_append(index, NULL, NULL, 0), 0);
    assert_int_equal(vector_index_search(index, query, 0, NULL, &place->arena, &got, &count), 0);
    vector_index_close(index);
}

static void bad_arguments_are_refused(void **state)
{
    struct vector_place *place = *state;
    struct vector_index *index;
    assert_int_equal(vector_index_open(place->path, 0, "db/1", &index), ERR_INVALID);
    assert_int_equal(vector_index_open(place->path, 8193, "db/1", &index), ERR_INVALID);
    index = vector_open(place, 1);
    int64_t twice[] = {5, 5}, negative[] = {-1}, known[] = {3, 9, 11};
    uint16_t rows[] = {0x3c00, 0x3c00, 0x3c00};
    assert_int_equal(vector_index_append(index, twice, rows, 2), ERR_INVALID);
    assert_int_equal(vector_index_append(index, negative, rows, 1), ERR_INVALID);
    assert_int_equal(vector_index_append(index, known, rows, 2), 0);
    assert_int_equal(vector_index_append(index, known, rows, 3), 0); /* 3 and 9 are skipped */
    assert_int_equal(vector_index_count(index), 3);
    vector_index_close(index);
}

/* ---- filters ---- */

struct asked {
    bool (*may)(int64_t); /* NULL: all */
    size_t times;
    int fail;
};

static int accept_some(void *ctx, const int64_t *ids, size_t count, bool *accepted)
{
    struct asked *asked = ctx;
    asked->times++;
    for (size_t i = 0; i < count; i++)
        accepted[i] = !asked->may || asked->may(ids[i]);
    return asked->fail ? error_set(asked->fail, NULL, "no answer") : 0;
}

static void check_filter(struct vector_place *place, struct vector_index *index,
                         const struct vector_set *set, bool (*may)(int64_t), size_t k)
{
    struct asked asked = {.may = may};
    struct vector_filter filter = {.accept = accept_some, .ctx = &asked};
    float query[48];
    struct arm_hit *got;
    size_t got_count, want_count;
    vector_random_query(set, query);
    assert_int_equal(vector_index_search(index, query, k, &filter, &place->arena, &got, &got_count),
                     0);
    struct arm_hit *want = vector_brute_force(set, query, may, 0, INT64_MAX, &want_count);
    vector_assert_same(got, got_count, want, want_count, k);
    assert_true(asked.times >= 1);
    free(want);
}

static void accept_decides_and_the_search_widens(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(4000, 48, 0);
    struct vector_index *index = vector_open_with(place, &set);
    for (size_t k = 1; k <= 1000; k *= 10) {
        check_filter(place, index, &set, NULL, k);
        check_filter(place, index, &set, odd, k);
        check_filter(place, index, &set, rare, k);
    }
    vector_index_close(index);
    vector_set_free(&set);
}

static void what_accept_returns_ends_the_search(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(10, 4, 0);
    struct vector_index *index = vector_open_with(place, &set);
    struct asked asked = {.may = NULL, .fail = ERR_IO};
    struct vector_filter filter = {.accept = accept_some, .ctx = &asked};
    float query[4] = {1, 2, 3, 4};
    struct arm_hit *got;
    size_t count;
    assert_int_equal(vector_index_search(index, query, 3, &filter, &place->arena, &got, &count),
                     ERR_IO);
    assert_string_equal(error_last()->message, "no answer");
    assert_int_equal(count, 0);
    vector_index_close(index);
    vector_set_free(&set);
}

static void ranges_confine_the_search(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(5000, 32, 0);
    struct vector_index *index = vector_open_with(place, &set);
    int64_t last = set.ids[set.count - 1];
    float query[32];
    for (int round = 0; round < 50; round++) {
        int64_t from = (int64_t)(vector_uniform() * last),
                to = from + (int64_t)(vector_uniform() * last / 4);
        int64_t middle = from + (to - from) / 2;
        struct vector_range ranges[] = {
            {from, middle}, {middle + 1, to}, {last + 5, last + 9}, {last + 10, INT64_MAX}};
        struct vector_filter filter = {.ranges = ranges, .range_count = 4};
        struct arm_hit *got;
        size_t got_count, want_count;
        vector_random_query(&set, query);
        assert_int_equal(
            vector_index_search(index, query, 10, &filter, &place->arena, &got, &got_count), 0);
        struct arm_hit *want = vector_brute_force(&set, query, NULL, from, to, &want_count);
        vector_assert_same(got, got_count, want, want_count, 10);
        free(want);
    }
    struct vector_range none;
    struct vector_filter nothing = {.ranges = &none, .range_count = 0};
    struct arm_hit *got;
    size_t count;
    assert_int_equal(vector_index_search(index, query, 10, &nothing, &place->arena, &got, &count),
                     0);
    assert_int_equal(count, 0);
    vector_index_close(index);
    vector_set_free(&set);
}

/* ---- removal ---- */

int main(void)
{
    vector_draw_seed();
#define TEST(f) cmocka_unit_test_setup_teardown(f, vector_set_up, vector_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(finds_what_brute_force_finds),
        TEST(every_kernel_and_thread_count_gives_the_same_bits),
        TEST(identical_vectors_come_by_rising_id),
        TEST(rows_that_cannot_be_found_are_not),
        TEST(an_empty_index_finds_nothing),
        TEST(bad_arguments_are_refused),
        TEST(accept_decides_and_the_search_widens),
        TEST(what_accept_returns_ends_the_search),
        TEST(ranges_confine_the_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
