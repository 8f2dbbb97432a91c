#include "shared/clock.h"

#include <ctype.h>
#include <stdbool.h>
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
    struct tm tm;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    if (!gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900 || tm.tm_year < -1900)
        snprintf(out, CLOCK_TEXT, "invalid-time");
    else /* not strftime: it writes the year 42 as "42" */
        snprintf(out, CLOCK_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
    return out;
}

/* Exactly `digits` digits at *p, which moves behind them; -1 if they are not there. */
static int parse_digits(const char **p, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return -1;
        value = value * 10 + (**p - '0');
    }
    return value;
}

static bool parse_separator(const char **p, const char *any_of)
{
    if (!**p || !strchr(any_of, **p))
        return false;
    (*p)++;
    return true;
}

static bool parse_date(const char **p, struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = parse_digits(p, 4);
    int month = year >= 0 && parse_separator(p, "-") ? parse_digits(p, 2) : -1;
    int day = month >= 1 && month <= 12 && parse_separator(p, "-") ? parse_digits(p, 2) : -1;
    if (day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    *tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    return day <= days[month - 1] + (month == 2 && leap);
}

/* A leap second (60) is the next minute's first. */
static bool parse_time(const char **p, struct tm *tm)
{
    tm->tm_hour = parse_digits(p, 2);
    tm->tm_min = tm->tm_hour >= 0 && parse_separator(p, ":") ? parse_digits(p, 2) : -1;
    tm->tm_sec = tm->tm_min >= 0 && parse_separator(p, ":") ? parse_digits(p, 2) : -1;
    return tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec >= 0 && tm->tm_sec <= 60;
}

/* Digits behind a point, cut to milliseconds; no point is 0. */
static bool parse_fraction(const char **p, int *ms)
{
    int scale = 100;
    *ms = 0;
    if (!parse_separator(p, "."))
        return true;
    if (!isdigit((unsigned char)**p))
        return false;
    for (; isdigit((unsigned char)**p); (*p)++, scale /= 10)
        *ms += (**p - '0') * scale;
    return true;
}

/* "Z", "+hh:mm", or nothing, which is read as UTC; minutes east of UTC */
static bool parse_offset(const char **p, int *minutes)
{
    *minutes = 0;
    if (**p == '\0' || parse_separator(p, "Zz"))
        return true;
    int sign = **p == '-' ? -1 : 1;
    if (!parse_separator(p, "+-"))
        return false;
    int h = parse_digits(p, 2);
    int m = h >= 0 && parse_separator(p, ":") ? parse_digits(p, 2) : -1;
    *minutes = sign * (h * 60 + m);
    return h <= 23 && m >= 0 && m <= 59;
}

int clock_parse(const char *text, int64_t *unix_ms)
{
    struct tm tm;
    const char *p = text;
    int ms = 0, offset = 0;
    bool ok = parse_date(&p, &tm);
    if (ok && *p)
        ok = parse_separator(&p, "Tt ") && parse_time(&p, &tm) && parse_fraction(&p, &ms) &&
             parse_offset(&p, &offset);
    if (!ok || *p)
        return error_set(ERR_INVALID, NULL,
                         "'%.64s' is not a date or RFC 3339 time (such as 2026-03-01)", text);
    *unix_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
    return OK;
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

int clock_sleep(int64_t ms, const struct cancel *cancel)
{
    int64_t until = clock_monotonic_ms() + ms;
    while (!cancel_requested(cancel)) {
        int64_t left = until - clock_monotonic_ms();
        if (left <= 0)
            return OK;
        if (left > CANCEL_POLL_MS)
            left = CANCEL_POLL_MS;
        struct timespec t = {.tv_nsec = left * 1000000};
        nanosleep(&t, NULL);
    }
    return error_set(ERR_CANCELLED, NULL, "stopped while waiting");
}
