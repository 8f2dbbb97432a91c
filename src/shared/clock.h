/*
 * clock.h - time, injectable so that time-dependent rules are tested without sleeping.
 */
#ifndef AEGIS_SHARED_CLOCK_H
#define AEGIS_SHARED_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "shared/cancel.h"

/* now() returns milliseconds since the Unix epoch, UTC. Thread-safe. */
struct clock {
    int64_t (*now)(void *ctx);
    void *ctx;
};

/* The machine's wall clock. Borrowed, never NULL. */
const struct clock *clock_system(void);

static inline int64_t clock_now(const struct clock *c)
{
    return c->now(c->ctx);
}

/* Milliseconds and microseconds that never go back; for measuring and for deadlines of waits. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);

/* Sleeps, looking at `cancel`: 0 or ERR_CANCELLED. */
int clock_sleep(int64_t ms, const struct cancel *cancel);

enum { CLOCK_TEXT = 32 };

/* RFC 3339 in UTC with milliseconds: "2026-03-01T12:00:00.000Z". Returns `out`. */
char *clock_format(int64_t unix_ms, char out[CLOCK_TEXT]);

/* Parses RFC 3339 ("2026-03-01T12:00:00Z", fractions and offsets allowed) or a date alone
 * ("2026-03-01", midnight UTC). 0 or ERR_INVALID. */
int clock_parse(const char *text, int64_t *unix_ms);

/* A position in a recording for people: "3:07", "1:02:03". Returns `out`. */
char *clock_format_position(int64_t ms, char out[CLOCK_TEXT]);

#endif
