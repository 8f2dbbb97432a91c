/*
 * retry.h - when to try again: a pure function, apart from the durable record.
 */
#ifndef AEGIS_SHARED_RETRY_H
#define AEGIS_SHARED_RETRY_H

#include <stdint.h>

struct retry_policy {
    int64_t base_ms;  /* ceiling of the first delay */
    int64_t cap_ms;   /* ceiling of every delay */
    int max_attempts; /* attempts in all; the last failure is final */
};

/*
 * The delay in milliseconds before the attempt after `attempts` failed ones (1 for the first
 * failure). Exponential with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog,
 * 2015): uniform in [0, min(cap, base * 2^(attempts-1))], where `random_word` supplies the
 * randomness. If the other side named a time (retry_after_ms >= 0), that is the floor, and a tenth
 * of it, at most one second, is spread on top, so that callers told the same time do not return as
 * one herd; cap_ms does not cut a time the other side named, but 24 hours does.
 */
int64_t retry_delay(const struct retry_policy *policy, int attempts, int64_t retry_after_ms,
                    uint64_t random_word);

#endif
