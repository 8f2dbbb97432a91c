#include "shared/condition.h"

#include <errno.h>
#include <time.h>

#include "shared/clock.h"

bool condition_wait_until(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t deadline_ms)
{
    struct timespec t = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    return pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &t) != ETIMEDOUT;
}

bool condition_wait_for(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t ms)
{
    return condition_wait_until(changed, lock, clock_monotonic_ms() + ms);
}
