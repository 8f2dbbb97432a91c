/*
 * vector_fixture.h - sets of vectors, what is true about them, and an index in a directory of its
 * own.
 */
#ifndef TESTS_SUPPORT_VECTOR_FIXTURE_H
#define TESTS_SUPPORT_VECTOR_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database/vector_internal.h"
#include "shared/arena.h"

/* Set by vector_draw_seed. */
extern uint64_t vector_seed;
double vector_uniform(void); /* in [0, 1) */

struct vector_set {
    size_t count, dimension;
    int64_t *ids;   /* rising, with gaps */
    uint16_t *rows; /* count x dimension, row-major float16, each row L2-normalised */
};

/* Random directions, or around `clusters` centres if there are any. */
struct vector_set vector_set_make(size_t count, size_t dimension, size_t clusters);
void vector_set_free(struct vector_set *set);
/* Near some row of the set; float32, not normalised. */
void vector_random_query(const struct vector_set *set, float *query);
double vector_cosine(const float *query, const uint16_t *row, size_t dimension);
/* The true answer among the ids of [first, last] that `may` accepts (NULL: all). The caller frees
 * it. */
struct arm_hit *vector_brute_force(const struct vector_set *set, const float *query,
                                   bool (*may)(int64_t), int64_t first, int64_t last,
                                   size_t *count);
/* Equal but for what rounding may do to scores that are equal to 12 digits. */
void vector_assert_same(const struct arm_hit *got, size_t got_count, const struct arm_hit *want,
                        size_t want_count, size_t k);

struct vector_place {
    char directory[64];
    char path[96]; /* of the index */
    struct arena arena;
};

/* For cmocka: *state is a struct vector_place. */
int vector_set_up(void **state);
int vector_tear_down(void **state);
struct vector_index *vector_open(const struct vector_place *place, size_t dimension);
/* With all vectors of the set in it. */
struct vector_index *vector_open_with(const struct vector_place *place,
                                      const struct vector_set *set);
/* Fails unless the top k for a random query are the true ones. */
void vector_check_search(struct vector_place *place, struct vector_index *index,
                         const struct vector_set *set, size_t k);
/* Draws the seed, or takes the one given, and prints it. */
void vector_draw_seed(void);

#endif
