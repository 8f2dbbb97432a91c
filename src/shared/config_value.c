#include "shared/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/caps.h"
#include "shared/error.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1},       {"s", 1000},       {"m", 60000},  {"min", 60000},
    {"h", 3600000},  {"d", 86400000},   {"sec", 1000}, {"hour", 3600000},
    {"hr", 3600000}, {"day", 86400000}, {NULL, 0},
};

static const struct unit sizes[] = {
    {"B", 1},
    {"KiB", 1 << 10},
    {"MiB", 1 << 20},
    {"GiB", 1 << 30},
    {"K", 1 << 10},
    {"M", 1 << 20},
    {"G", 1 << 30},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TiB", (int64_t)1 << 40},
    {"T", (int64_t)1 << 40},
    {"TB", 1000000000000},
    {NULL, 0},
};

static const struct unit *unit_find(const struct unit *units, const char *name, size_t length)
{
    for (const struct unit *u = units; u->name; u++)
        if (strlen(u->name) == length && !strncasecmp(u->name, name, length))
            return u;
    return NULL;
}

/* A number that fills all of `text`, in decimal notation only (no hex, no "inf", no exponent). */
static bool parse_decimal(const char *text, double *out, const char **end)
{
    const char *p = text;
    if (*p == '+' || *p == '-')
        p++;
    if (!isdigit((unsigned char)*p) && !(*p == '.' && isdigit((unsigned char)p[1])))
        return false;
    double whole = 0, scale = 1;
    for (; isdigit((unsigned char)*p); p++)
        whole = whole * 10 + (*p - '0');
    if (*p == '.')
        for (p++; isdigit((unsigned char)*p); p++)
            whole += (*p - '0') * (scale /= 10);
    *out = *text == '-' ? -whole : whole;
    *end = p;
    return true;
}

static bool parse_int(const char *text, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '-' && *text != '+')
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *out = value;
    return errno == 0 && end != text && *end == '\0';
}

/* "1h30m", "64 MiB", "1.5s"; a bare number counts in the first unit of `bare` (NULL: only 0 may be
 * bare). */
static bool parse_units(const char *text, const struct unit *units, bool bare_allowed, int64_t *out)
{
    double sum = 0;
    const char *p = text;
    if (*p == '-' || *p == '\0')
        return false;
    while (*p) {
        double number;
        if (!parse_decimal(p, &number, &p))
            return false;
        while (*p == ' ')
            p++;
        size_t length = 0;
        while (isalpha((unsigned char)p[length]))
            length++;
        const struct unit *u = unit_find(units, p, length);
        if (!u && !(length == 0 && *p == '\0' && (bare_allowed || number == 0)))
            return false;
        sum += number * (double)(u ? u->factor : 1);
        for (p += length; *p == ' ';)
            p++;
    }
    if (!(sum < 9e15))
        return false;
    *out = (int64_t)llround(sum);
    return true;
}

static bool parse_bool(const char *text, int64_t *out)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (int value = 0; value < 2; value++)
            if (!strcasecmp(text, words[i][value])) {
                *out = value;
                return true;
            }
    return false;
}

static bool choice_allowed(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *p = choices;; p++) {
        size_t step = strcspn(p, "|");
        if (step == length && !memcmp(p, text, length))
            return true;
        p += step;
        if (*p == '\0')
            return false;
    }
}

static void print_duration(char *out, size_t size, int64_t ms)
{
    static const struct unit steps[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (ms % steps[i].factor == 0 && (ms != 0 || i == 2)) {
            snprintf(out, size, "%" PRId64 "%s", ms / steps[i].factor, steps[i].name);
            return;
        }
}

static void print_bytes(char *out, size_t size, int64_t bytes)
{
    static const struct unit steps[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (bytes && bytes % steps[i].factor == 0) {
            snprintf(out, size, "%" PRId64 "%s", bytes / steps[i].factor, steps[i].name);
            return;
        }
    snprintf(out, size, "%" PRId64, bytes);
}

void config_allowed(const struct setting *s, char *out, size_t size)
{
    char low[32], high[32];
    switch (s->type) {
    case SETTING_INT:
        snprintf(out, size, "a whole number from %" PRId64 " to %" PRId64, s->min, s->max);
        break;
    case SETTING_NUMBER:
        snprintf(out, size, "a number from %" PRId64 " to %" PRId64, s->min, s->max);
        break;
    case SETTING_DURATION_MS:
        print_duration(low, sizeof low, s->min);
        print_duration(high, sizeof high, s->max);
        snprintf(out, size, "a duration such as 500ms, 30s, 5m or 1h30m, from %s to %s", low, high);
        break;
    case SETTING_BYTES:
        print_bytes(low, sizeof low, s->min);
        print_bytes(high, sizeof high, s->max);
        snprintf(out, size, "a size such as 1400, 64KiB or 2MiB, from %s to %s", low, high);
        break;
    case SETTING_BOOL:
        snprintf(out, size, "true or false");
        break;
    case SETTING_CHOICE: {
        int n = snprintf(out, size, "one of ");
        for (const char *p = s->choices; *p && n > 0 && (size_t)n < size; p++)
            n += *p == '|' ? snprintf(out + n, size - (size_t)n, ", ")
                           : snprintf(out + n, size - (size_t)n, "%c", *p);
        break;
    }
    default:
        snprintf(out, size, "text of at most %d bytes", CONFIG_VALUE_CAP);
    }
}

static bool number_in_range(const struct setting *s, const char *text, int64_t *number,
                            double *real)
{
    const char *end;
    bool ok = false;
    switch (s->type) {
    case SETTING_INT:
        ok = parse_int(text, number);
        break;
    case SETTING_DURATION_MS:
        ok = parse_units(text, durations, false, number);
        break;
    case SETTING_BYTES:
        ok = parse_units(text, sizes, true, number);
        break;
    default:
        return parse_decimal(text, real, &end) && *end == '\0' && *real >= (double)s->min &&
               *real <= (double)s->max;
    }
    *real = (double)*number;
    return ok && *number >= s->min && *number <= s->max;
}

static bool parses(const struct setting *s, const char *text, int64_t *number, double *real)
{
    switch (s->type) {
    case SETTING_STRING:
    case SETTING_SECRET:
        return strlen(text) <= CONFIG_VALUE_CAP;
    case SETTING_CHOICE:
        return choice_allowed(s->choices, text);
    case SETTING_BOOL:
        return parse_bool(text, number);
    default:
        return number_in_range(s, text, number, real);
    }
}

int config_value_parse(const struct setting *s, const char *text, int64_t *number, double *real)
{
    *number = 0;
    *real = 0;
    if (parses(s, text, number, real))
        return OK;
    char allowed[200];
    config_allowed(s, allowed, sizeof allowed);
    if (s->type == SETTING_SECRET)
        return error_set(ERR_INVALID, NULL, "'%s' must be %s", s->key, allowed);
    return error_set(ERR_INVALID, NULL, "'%s' must be %s, not '%.64s'", s->key, allowed, text);
}

/* One non-negative number; moves *p behind it and the blanks that follow. */
static bool price_number(const char **p)
{
    double value;
    if (**p == '-' || !parse_decimal(*p, &value, p))
        return false;
    while (**p == ' ' || **p == '\t')
        (*p)++;
    return true;
}

int config_price_check(const char *model, const char *price)
{
    const char *p = price;
    int numbers = 0;
    while (numbers < 3 && price_number(&p))
        numbers++;
    if (numbers == 1 && !strcmp(p, "/min"))
        return OK;
    if (numbers > 0 && *p == '\0')
        return OK;
    return error_set(ERR_INVALID, NULL,
                     "the price of '%.64s' must be US dollars per million input, cached input and "
                     "output tokens such as '0.25 0.025 2.00', or per minute such as '0.006/min', "
                     "not '%.64s'",
                     model, price);
}
