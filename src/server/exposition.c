#include "server/exposition.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void note(struct exposition *x, int rc)
{
    x->full |= rc != 0;
}

void exposition_family(struct exposition *x, const char *name, const char *type, const char *help)
{
    if (!x->full)
        note(x, buffer_printf(&x->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type));
}

/* Whole numbers without a fraction or an exponent: people read them too. */
static int write_value(struct buffer *text, double value)
{
    bool whole = value == floor(value) && fabs(value) < 1e15;
    return buffer_printf(text, whole ? " %.0f\n" : " %.17g\n", value);
}

void exposition_sample(struct exposition *x, const char *name, const char *labels, double value)
{
    size_t before = x->text.length;
    if (x->full)
        return;
    note(x, buffer_printf(&x->text, *labels ? "%s{%s}" : "%s%s", name, labels));
    if (!x->full)
        note(x, write_value(&x->text, value));
    if (x->full)
        buffer_truncate(&x->text, before);
}

void exposition_single(struct exposition *x, const char *name, const char *type, const char *help,
                       double value)
{
    exposition_family(x, name, type, help);
    exposition_sample(x, name, "", value);
}

/* Backslash, quote and newline are escaped; other control characters have no business in a name. */
static const char *escape(char c, char out[3])
{
    char plain = (unsigned char)c < ' ' ? ' ' : c;
    snprintf(out, 3, c == '\\' || c == '"' ? "\\%c" : "%c", plain);
    return c == '\n' ? "\\n" : out;
}

void labels_add(char labels[LABELS_TEXT], const char *name, const char *value)
{
    enum { CLOSING = 2 }; /* the quote and the NUL */
    char one[3];
    size_t at = strlen(labels);
    int opened = snprintf(labels + at, LABELS_TEXT - at, "%s%s=\"", at ? "," : "", name);
    if (at + (size_t)opened + CLOSING > LABELS_TEXT) {
        labels[at] = '\0';
        return;
    }
    at += (size_t)opened;
    for (; *value; value++) {
        const char *text = escape(*value, one);
        if (at + strlen(text) + CLOSING > LABELS_TEXT)
            break;
        at += (size_t)snprintf(labels + at, LABELS_TEXT - at, "%s", text);
    }
    snprintf(labels + at, LABELS_TEXT - at, "\"");
}
