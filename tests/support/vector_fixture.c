#include "support/vector_fixture.h"
#include "support/seed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/vector_half.h"
#include "shared/caps.h"
#include "shared/random.h"

uint64_t vector_seed;

double vector_uniform(void)
{
    vector_seed = vector_seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(vector_seed >> 11) / 9007199254740992.0;
}

static float normal(void)
{
    return (float)(sqrt(-2 * log(1 - vector_uniform())) *
                   cos(6.283185307179586 * vector_uniform()));
}

/* ---- a set of vectors, and what is true about them ---- */

struct vector_set vector_set_make(size_t count, size_t dimension, size_t clusters)
{
    struct vector_set set = {.count = count, .dimension = dimension};
    float *centres = calloc(clusters + 1, dimension * sizeof *centres);
    float *x = calloc(dimension, sizeof *x);
    set.ids = calloc(count, sizeof *set.ids);
    set.rows = calloc(count * dimension, sizeof *set.rows);
    for (size_t i = 0; i < clusters * dimension; i++)
        centres[i] = normal();
    int64_t id = 0;
    for (size_t r = 0; r < count; r++) {
        const float *centre = clusters ? centres + r % clusters * dimension : centres;
        double square = 0;
        for (size_t i = 0; i < dimension; i++) {
            x[i] = clusters ? centre[i] + 0.1F * normal() : normal();
            square += (double)x[i] * x[i];
        }
        for (size_t i = 0; i < dimension; i++)
            x[i] /= (float)sqrt(square);
        half_from_floats(x, dimension, set.rows + r * dimension);
        set.ids[r] = id += 1 + (int64_t)(vector_uniform() * 3);
    }
    free(centres);
    free(x);
    return set;
}

void vector_set_free(struct vector_set *set)
{
    free(set->ids);
    free(set->rows);
}

double vector_cosine(const float *query, const uint16_t *row, size_t dimension)
{
    double dot = 0, a = 0, b = 0;
    for (size_t i = 0; i < dimension; i++) {
        float x;
        half_to_floats(row + i, 1, &x);
        dot += (double)query[i] * x;
        a += (double)query[i] * query[i];
        b += (double)x * x;
    }
    return dot / sqrt(a * b);
}

static int best_first(const void *a, const void *b)
{
    const struct arm_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->chunk_id > y->chunk_id) - (x->chunk_id < y->chunk_id);
}

struct arm_hit *vector_brute_force(const struct vector_set *set, const float *query,
                                   bool (*may)(int64_t), int64_t first, int64_t last, size_t *count)
{
    struct arm_hit *all = calloc(set->count + 1, sizeof *all);
    *count = 0;
    for (size_t r = 0; r < set->count; r++) {
        if (set->ids[r] < first || set->ids[r] > last || (may && !may(set->ids[r])))
            continue;
        double score = vector_cosine(query, set->rows + r * set->dimension, set->dimension);
        if (isfinite(score))
            all[(*count)++] = (struct arm_hit){.chunk_id = set->ids[r], .score = score};
    }
    qsort(all, *count, sizeof *all, best_first);
    return all;
}

void vector_assert_same(const struct arm_hit *got, size_t got_count, const struct arm_hit *want,
                        size_t want_count, size_t k)
{
    assert_int_equal(got_count, want_count < k ? want_count : k);
    for (size_t i = 0; i < got_count; i++) {
        assert_true(fabs(got[i].score - want[i].score) < 1e-12);
        if (got[i].chunk_id == want[i].chunk_id)
            continue;
        bool tied = false;
        for (size_t j = 0; j < want_count && !tied; j++)
            tied =
                want[j].chunk_id == got[i].chunk_id && fabs(want[j].score - want[i].score) < 1e-12;
        assert_true(tied);
    }
    for (size_t i = 1; i < got_count; i++)
        assert_true(best_first(&got[i - 1], &got[i]) < 0);
}

/* ---- a directory for each test ---- */

int vector_set_up(void **state)
{
    struct vector_place *place = calloc(1, sizeof *place);
    const char *tmp = getenv("TMPDIR");
    snprintf(place->directory, sizeof place->directory, "%.40s/aegis-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/vectors-1.idx", place->directory);
    arena_init(&place->arena, MIB(64));
    *state = place;
    return 0;
}

int vector_tear_down(void **state)
{
    struct vector_place *place = *state;
    char name[112];
    snprintf(name, sizeof name, "%s.new", place->path);
    assert_int_not_equal(access(name, F_OK), 0); /* nothing temporary stays behind */
    unlink(place->path);
    assert_int_equal(rmdir(place->directory), 0);
    arena_free(&place->arena);
    free(place);
    return 0;
}

struct vector_index *vector_open(const struct vector_place *place, size_t dimension)
{
    struct vector_index *index = NULL;
    assert_int_equal(vector_index_open(place->path, (int)dimension, "db/1", &index), 0);
    return index;
}

struct vector_index *vector_open_with(const struct vector_place *place,
                                      const struct vector_set *set)
{
    struct vector_index *index = vector_open(place, set->dimension);
    assert_int_equal(vector_index_append(index, set->ids, set->rows, set->count), 0);
    return index;
}

void vector_random_query(const struct vector_set *set, float *query)
{
    const uint16_t *near = set->rows + (size_t)(vector_uniform() * set->count) * set->dimension;
    half_to_floats(near, set->dimension, query);
    for (size_t i = 0; i < set->dimension; i++)
        query[i] += 0.3F * normal() / sqrtf((float)set->dimension);
}

void vector_check_search(struct vector_place *place, struct vector_index *index,
                         const struct vector_set *set, size_t k)
{
    float *query = calloc(set->dimension, sizeof *query);
    struct arm_hit *got, *want;
    size_t got_count, want_count;
    vector_random_query(set, query);
    assert_int_equal(vector_index_search(index, query, k, NULL, &place->arena, &got, &got_count),
                     0);
    want = vector_brute_force(set, query, NULL, 0, INT64_MAX, &want_count);
    vector_assert_same(got, got_count, want, want_count, k);
    free(want);
    free(query);
}

void vector_draw_seed(void)
{
    vector_seed = test_seed();
}
