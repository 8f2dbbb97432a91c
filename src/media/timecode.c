/* timecode.c - see timecode.h. */
#include "media/timecode.h"

#include <ctype.h>
#include <string.h>

static bool digits(const char **p, int most, int64_t *value, int *count)
{
    *value = 0;
    for (*count = 0; isdigit((unsigned char)**p); ++*p) {
        if (++*count > most)
            return false;
        *value = *value * 10 + (**p - '0');
    }
    return *count > 0;
}

static bool fraction(const char **p, int64_t *ms)
{
    int count;
    *ms = 0;
    if (**p != ',' && **p != '.')
        return true;
    ++*p;
    if (!digits(p, 9, ms, &count))
        return false;
    for (; count < 3; count++)
        *ms *= 10;
    for (; count > 3; count--)
        *ms /= 10;
    return true;
}

bool timecode_parse(const char **text, int64_t *ms)
{
    const char *p = *text + strspn(*text, " \t");
    int64_t part[3], thousandths;
    int parts = 0, count;
    for (;;) {
        if (!digits(&p, 6, &part[parts], &count))
            return false;
        parts++;
        if (*p != ':' || parts == 3)
            break;
        p++;
    }
    if (parts < 2 || !fraction(&p, &thousandths))
        return false;
    int64_t seconds = part[parts - 1], minutes = part[parts - 2], hours = parts == 3 ? part[0] : 0;
    if (seconds > 59 || (parts == 3 && minutes > 59))
        return false;
    *ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths;
    *text = p;
    return true;
}

bool timecode_line(const char *line, int64_t *start_ms, int64_t *end_ms)
{
    if (!timecode_parse(&line, start_ms))
        return false;
    line += strspn(line, " \t");
    if (strncmp(line, "-->", 3) != 0)
        return false;
    line += 3;
    return timecode_parse(&line, end_ms);
}
