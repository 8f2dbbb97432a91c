/*
 * condition.h - waits on a condition until a moment of the clock that never goes back, so that a
 * change of the wall clock neither prolongs nor cuts one. Works with any condition variable,
 * whatever its clock.
 */
#ifndef AEGIS_SHARED_CONDITION_H
#define AEGIS_SHARED_CONDITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Blocks until `changed` is signalled (or for no reason: test the condition again) or until
 * `deadline_ms`, as of clock_monotonic_ms(). `lock` is held by the caller, before and after.
 * False if the deadline has passed. */
bool condition_wait_until(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t deadline_ms);

/* The same until `ms` milliseconds from now. */
bool condition_wait_for(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t ms);

#endif
