#define _GNU_SOURCE
#include "shared/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/error.h"

static int64_t system_now(void *ctx)
{
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const struct clock *clock_system(void)
{
    static const struct clock c = {.now = system_now};
    return &c;
}

int64_t clock_monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

char *clock_format(int64_t unix_ms, char out[CLOCK_TEXT])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    int ms = (int)(unix_ms % 1000);
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    struct tm tm;
    char date[24];
    if (!gmtime_r(&seconds, &tm) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm))
        strcpy(date, "invalid-time");
    snprintf(out, CLOCK_TEXT, "%s.%03dZ", date, ms);
    return out;
}

/* "Z", "" (read as UTC) or "+hh:mm"; the offset in minutes, or -9999 */
static int parse_offset(const char *p)
{
    if (*p == '\0' || ((*p == 'Z' || *p == 'z') && p[1] == '\0'))
        return 0;
    int hours, minutes, used = 0;
    if ((*p == '+' || *p == '-') && sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) == 2 &&
        p[1 + used] == '\0')
        return (*p == '-' ? -1 : 1) * (hours * 60 + minutes);
    return -9999;
}

static int parse_fraction(const char **p)
{
    int ms = 0, digits = 0;
    if (**p != '.')
        return 0;
    for ((*p)++; isdigit((unsigned char)**p); (*p)++)
        if (digits++ < 3)
            ms = ms * 10 + (**p - '0');
    for (; digits < 3; digits++)
        ms *= 10;
    return ms;
}

int clock_parse(const char *text, int64_t *unix_ms)
{
    struct tm tm = {0};
    const char *p = strptime(text, "%Y-%m-%d", &tm);
    if (!p)
        goto bad;
    int ms = 0, offset = 0;
    if (*p != '\0') {
        if (*p != 'T' && *p != 't' && *p != ' ')
            goto bad;
        p = strptime(p + 1, "%H:%M:%S", &tm);
        if (!p)
            goto bad;
        ms = parse_fraction(&p);
        offset = parse_offset(p);
        if (offset == -9999)
            goto bad;
    }
    *unix_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
    return OK;
bad:
    return error_set(ERR_INVALID, NULL,
                     "'%.64s' is not a date or RFC 3339 time (such as 2026-03-01)", text);
}

char *clock_format_position(int64_t ms, char out[CLOCK_TEXT])
{
    long long s = (long long)(ms < 0 ? 0 : ms) / 1000;
    if (s >= 3600)
        snprintf(out, CLOCK_TEXT, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, CLOCK_TEXT, "%lld:%02lld", s / 60, s % 60);
    return out;
}
