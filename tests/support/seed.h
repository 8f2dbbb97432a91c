/* seed.h - where a randomised test begins. */
#ifndef AEGIS_TESTS_SEED_H
#define AEGIS_TESTS_SEED_H

#include <stdint.h>

/* TEST_SEED from the environment, or else a number drawn; printed, so that the run can be repeated
 * with TEST_SEED=number. Below 2^30, never 0. */
uint32_t test_seed(void);

#endif
