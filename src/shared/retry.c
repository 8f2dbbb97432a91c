#include "shared/retry.h"

static int64_t spread(int64_t range_ms, uint64_t random_word)
{
    return (int64_t)(((unsigned __int128)random_word * ((uint64_t)range_ms + 1)) >> 64);
}

int64_t retry_delay(const struct retry_policy *policy, int attempts, int64_t retry_after_ms,
                    uint64_t random_word)
{
    const int64_t day_ms = 86400000;
    if (retry_after_ms >= 0) {
        int64_t floor = retry_after_ms < day_ms ? retry_after_ms : day_ms;
        int64_t tenth = floor / 10;
        return floor + spread(tenth < 1000 ? tenth : 1000, random_word);
    }
    if (policy->base_ms <= 0 || policy->cap_ms <= 0)
        return 0;
    int64_t ceiling = policy->base_ms;
    for (int i = 1; i < attempts && ceiling < policy->cap_ms; i++)
        ceiling = ceiling <= policy->cap_ms / 2 ? ceiling * 2 : policy->cap_ms;
    return spread(ceiling < policy->cap_ms ? ceiling : policy->cap_ms, random_word);
}
