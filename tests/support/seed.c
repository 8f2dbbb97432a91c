#include "support/seed.h"

#include <stdio.h>
#include <stdlib.h>

#include "shared/random.h"

uint32_t test_seed(void)
{
    const char *given = getenv("TEST_SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) % (1u << 30) : 0;
    if (!seed)
        seed = 1 + random_below((1u << 30) - 1);
    printf("TEST_SEED=%u\n", seed);
    return seed;
}
