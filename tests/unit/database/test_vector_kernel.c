/* Every set of kernels gives the portable set's bits; the codes' bound holds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "database/vector_code.h"
#include "database/vector_half.h"
#include "shared/error.h"
#include "support/seed.h"

static uint64_t seed;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static float normal(void)
{
    return (float)(sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform()));
}

static const size_t dimensions[] = {1, 2, 7, 8, 9, 63, 64, 65, 100, 384, 1000, 1536, 3072, 8192};
enum { DIMENSIONS = sizeof dimensions / sizeof dimensions[0], ROWS = 5 };

struct material {
    float query[8192];
    uint16_t rows[ROWS][8192];
    int8_t *codes; /* ROWS x stride, aligned */
    struct code_meta metas[ROWS];
};

static void fill(struct material *m, size_t dimension, double spread)
{
    float x[8192];
    m->codes = aligned_alloc(CODE_ALIGN, ROWS * code_stride(dimension));
    assert_non_null(m->codes);
    memset(m->rows, 0, sizeof m->rows);
    for (size_t i = 0; i < dimension; i++)
        m->query[i] = normal();
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < dimension; i++)
            x[i] = (float)exp(spread * normal()) * normal();
        half_from_floats(x, dimension, m->rows[r]);
        m->metas[r] = code_row(m->rows[r], dimension, m->codes + r * code_stride(dimension));
    }
}

static void all_kernels_agree(void **state)
{
    struct material *m = *state;
    size_t count;
    const struct vector_kernel *const *kernels = vector_kernels(&count);
    assert_string_equal(kernels[count - 1]->name, "portable");
    for (size_t d = 0; d < DIMENSIONS; d++) {
        struct code_query query;
        fill(m, dimensions[d], 1);
        assert_int_equal(code_query_init(&query, m->query, dimensions[d]), 0);
        int32_t hi[ROWS], lo[ROWS], want_hi[ROWS], want_lo[ROWS];
        kernels[count - 1]->products(&query.planes, m->codes, ROWS, want_hi, want_lo);
        for (size_t k = 0; k < count; k++) {
            kernels[k]->products(&query.planes, m->codes, ROWS, hi, lo);
            assert_memory_equal(hi, want_hi, sizeof hi);
            assert_memory_equal(lo, want_lo, sizeof lo);
            for (size_t r = 0; r < ROWS; r++) {
                double a[2], b[2];
                size_t padded = row_stride(dimensions[d]);
                kernels[k]->exact(query.exact, m->rows[r], padded, &a[0], &a[1]);
                kernels[count - 1]->exact(query.exact, m->rows[r], padded, &b[0], &b[1]);
                assert_memory_equal(a, b, sizeof a);
            }
        }
        code_query_free(&query);
        free(m->codes);
    }
}

static void extreme_codes_do_not_overflow(void **state)
{
    struct material *m = *state;
    size_t count;
    const struct vector_kernel *const *kernels = vector_kernels(&count);
    for (size_t i = 0; i < 8192; i++)
        m->query[i] = i % 2 ? 1 : -1;
    struct code_query query;
    assert_int_equal(code_query_init(&query, m->query, 8192), 0);
    m->codes = aligned_alloc(CODE_ALIGN, 8192);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < 8192; i++)
            m->codes[i] = (int8_t)((i % 2 ? CODE_MAX : -CODE_MAX) * sign);
        for (size_t k = 0; k < count; k++) {
            int32_t hi, lo;
            kernels[k]->products(&query.planes, m->codes, 1, &hi, &lo);
            assert_int_equal(hi, sign * 8192 * 127 * 127);
            assert_int_equal(lo, 0);
        }
    }
    free(m->codes);
    code_query_free(&query);
}

static double cosine(const float *query, const uint16_t *row, size_t dimension)
{
    long double dot = 0, a = 0, b = 0;
    for (size_t i = 0; i < dimension; i++) {
        float x;
        half_to_floats(row + i, 1, &x);
        dot += (long double)query[i] * x;
        a += (long double)query[i] * query[i];
        b += (long double)x * x;
    }
    return (double)(dot / (sqrtl(a) * sqrtl(b)));
}

static void the_bound_holds(void **state)
{
    struct material *m = *state;
    const struct vector_kernel *kernel = vector_kernels(&(size_t){0})[0];
    for (int round = 0; round < 20; round++)
        for (size_t d = 0; d < DIMENSIONS; d++) {
            struct code_query query;
            int32_t hi[ROWS], lo[ROWS];
            fill(m, dimensions[d], round % 4);
            assert_int_equal(code_query_init(&query, m->query, dimensions[d]), 0);
            kernel->products(&query.planes, m->codes, ROWS, hi, lo);
            for (size_t r = 0; r < ROWS; r++) {
                if (code_is_dead(m->metas[r]))
                    continue;
                double estimate = code_estimate(&query, m->metas[r], hi[r], lo[r]);
                double distance = fabs(cosine(m->query, m->rows[r], dimensions[d]) - estimate);
                assert_true(distance <= code_bound(&query, m->metas[r]));
            }
            code_query_free(&query);
            free(m->codes);
        }
}

/* Gaussian rows of 1,536 dimensions: the bound has to be narrow enough to be of use. */
static void the_bound_is_narrow(void **state)
{
    struct material *m = *state;
    struct code_query query;
    fill(m, 1536, 0);
    assert_int_equal(code_query_init(&query, m->query, 1536), 0);
    for (size_t r = 0; r < ROWS; r++)
        assert_true(code_bound(&query, m->metas[r]) < 0.012);
    code_query_free(&query);
    free(m->codes);
}

static void what_cannot_be_found_is_dead(void **state)
{
    (void)state;
    int8_t codes[CODE_ALIGN];
    uint16_t zero[3] = {0, 0x8000, 0}, infinite[3] = {0x3c00, 0x7c00, 0},
             nan_[3] = {0x3c00, 0, 0x7e01}, least[3] = {0, 1, 0};
    assert_true(code_is_dead(code_row(zero, 3, codes)));
    assert_true(code_is_dead(code_row(infinite, 3, codes)));
    assert_true(code_is_dead(code_row(nan_, 3, codes)));
    assert_false(code_is_dead(code_row(least, 3, codes)));
    assert_int_equal(codes[1], CODE_MAX);
}

static void bad_queries_are_refused(void **state)
{
    (void)state;
    struct code_query query;
    float zero[2] = {0, -0.0F}, nan_[2] = {1, NAN}, infinite[2] = {1, INFINITY},
          huge[2] = {3e38F, -3e38F}, tiny[2] = {1e-45F, 0};
    assert_int_equal(code_query_init(&query, zero, 2), ERR_INVALID);
    assert_int_equal(code_query_init(&query, nan_, 2), ERR_INVALID);
    assert_int_equal(code_query_init(&query, infinite, 2), ERR_INVALID);
    assert_int_equal(code_query_init(&query, huge, 2), 0);
    code_query_free(&query);
    assert_int_equal(code_query_init(&query, tiny, 2), 0);
    code_query_free(&query);
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct material));
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kernels_agree),
        cmocka_unit_test(extreme_codes_do_not_overflow),
        cmocka_unit_test(the_bound_holds),
        cmocka_unit_test(the_bound_is_narrow),
        cmocka_unit_test(what_cannot_be_found_is_dead),
        cmocka_unit_test(bad_queries_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
