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
    if (x->sink)
        x->sink->family(x->sink->ctx, name, type, help);
    else if (!x->full)
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
    if (x->sink)
        x->sink->sample(x->sink->ctx, labels, value);
    if (x->sink || x->full)
        return;
    note(x, buffer_printf(&x->text, *labels ? "%s{%s}" : "%s%s", name, labels));
    if (!x->full)
        note(x, write_value(&x->text, value));
    if (x->full)
        buffer_truncate(&x->text, before);
}

static void write_histogram(struct exposition *x, const char *name, const char *labels,
                            const struct exposition_histogram *h)
{
    int64_t sum = 0;
    char full_name[128], bound[16], with[LABELS_TEXT];
    snprintf(full_name, sizeof full_name, "%s_bucket", name);
    for (size_t i = 0; i <= h->bound_count; i++) {
        bool last = i == h->bound_count;
        sum += h->buckets[i];
        snprintf(bound, sizeof bound, last ? "+Inf" : "%g", last ? 0 : h->bounds[i]);
        snprintf(with, sizeof with, "%s", labels);
        labels_add(with, "le", bound);
        exposition_sample(x, full_name, with, (double)sum);
    }
    snprintf(full_name, sizeof full_name, "%s_sum", name);
    exposition_sample(x, full_name, labels, h->sum);
    snprintf(full_name, sizeof full_name, "%s_count", name);
    exposition_sample(x, full_name, labels, (double)sum);
}

void exposition_histogram(struct exposition *x, const char *name, const char *labels,
                          const struct exposition_histogram *h)
{
    if (x->sink)
        x->sink->histogram(x->sink->ctx, labels, h);
    else
        write_histogram(x, name, labels, h);
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

static char unescape(const char **at)
{
    char c = *(*at)++;
    if (c != '\\' || !**at)
        return c;
    c = *(*at)++;
    return c == 'n' ? '\n' : c;
}

bool labels_next(const char **at, char name[LABEL_NAME_TEXT], char value[LABELS_TEXT])
{
    size_t n = 0, length = strcspn(*at, "=");
    if (!**at || strncmp(*at + length, "=\"", 2) != 0)
        return false;
    snprintf(name, LABEL_NAME_TEXT, "%.*s", (int)length, *at);
    *at += length + 2;
    while (**at && **at != '"' && n < LABELS_TEXT - 1)
        value[n++] = unescape(at);
    value[n] = '\0';
    *at += **at == '"';
    *at += **at == ',';
    return true;
}

bool labels_find(const char *labels, const char *name, char value[LABELS_TEXT])
{
    char found[LABEL_NAME_TEXT];
    while (labels_next(&labels, found, value))
        if (!strcmp(found, name))
            return true;
    *value = '\0';
    return false;
}
