#include "server/otlp_pairs.h"

#include <ctype.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/digest.h"
#include "shared/error.h"

static int malformed(const char *setting, size_t number, const char *what)
{
    return error_set(ERR_INVALID, NULL, "%s: entry %zu %s; write NAME=VALUE,NAME=VALUE", setting,
                     number, what);
}

/* In place. False: an escape is malformed, or stands for a control character. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++, to++) {
        *to = *from;
        if (*from == '%') {
            char digits[3] = {from[1], from[1] ? from[2] : '\0', '\0'};
            if (strlen(digits) != 2 || !hex_decode(digits, 1, to))
                return false;
            from += 2;
        }
        if ((unsigned char)*to < ' ' || *to == 0x7f)
            return false;
    }
    *to = '\0';
    return true;
}

static char *trimmed(struct arena *arena, const char *text, size_t length)
{
    while (length && isspace((unsigned char)*text))
        text++, length--;
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    return arena_strndup(arena, text, length);
}

static int read_pair(const char *setting, const char *text, size_t length, struct arena *arena,
                     struct http_header *out, size_t number)
{
    const char *equals = memchr(text, '=', length);
    if (!equals)
        return malformed(setting, number, "has no '='");
    char *name = trimmed(arena, text, (size_t)(equals - text));
    char *value = trimmed(arena, equals + 1, length - (size_t)(equals + 1 - text));
    if (!name || !value)
        return ERR_NO_MEMORY;
    if (!*name || !decode(name) || !decode(value))
        return malformed(setting, number, "has no name, or characters that may not be there");
    *out = (struct http_header){.name = name, .value = value};
    return OK;
}

int otlp_pairs_parse(const char *setting, const char *text, struct arena *arena,
                     struct http_header **out, size_t *count)
{
    int rc = OK;
    *count = 0;
    *out = arena_array(arena, CAP_OTLP_PAIRS, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (size_t length; !rc && *text; text += length + (text[length] == ',')) {
        length = strcspn(text, ",");
        if (strspn(text, " ") >= length)
            continue;
        if (*count == CAP_OTLP_PAIRS)
            return malformed(setting, *count + 1, "is one too many");
        rc = read_pair(setting, text, length, arena, &(*out)[*count], *count + 1);
        *count += rc == OK;
    }
    return rc;
}
