/* title.c - see title.h. */
#include "media/title.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "media/utf8.h"

void title_init(struct title_finder *t)
{
    t->length = 0;
}

void title_feed(struct title_finder *t, const char *text, size_t length)
{
    size_t room = TITLE_LOOK - t->length;
    size_t n = length < room ? length : room;
    memcpy(t->text + t->length, text, n);
    t->length += n;
}

/* p[0..n) without white space and one pair of quotes around it, cut at a character's boundary. */
static void copy_trimmed(char *out, size_t capacity, const char *p, size_t n)
{
    while (n > 0 && isspace((unsigned char)*p)) {
        p++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    if (n >= 2 && (*p == '"' || *p == '\'') && p[n - 1] == *p) {
        p++;
        n -= 2;
    }
    n = utf8_cut(p, n, capacity - 1);
    memcpy(out, p, n);
    out[n] = '\0';
}

static const char *line_after(const char *p)
{
    p += strcspn(p, "\n");
    return *p ? p + 1 : p;
}

static bool is_line(const char *p, const char *text)
{
    size_t n = strlen(text);
    return !strncmp(p, text, n) && p[n + strspn(p + n, " \t")] == '\n';
}

/* Looks through front matter between `fence` lines; returns what follows it. */
static const char *front_matter(const char *text, const char *fence, char mark, char *out,
                                size_t capacity)
{
    const char *p = line_after(text);
    for (; *p && !is_line(p, fence); p = line_after(p)) {
        if (strncasecmp(p, "title", 5) != 0)
            continue;
        const char *value = p + 5 + strspn(p + 5, " \t");
        if (*value++ == mark)
            copy_trimmed(out, capacity, value, strcspn(value, "\n"));
    }
    return line_after(p);
}

static void first_heading(const char *p, char *out, size_t capacity)
{
    bool code = false;
    for (; *p && !*out; p = line_after(p)) {
        if (!strncmp(p, "```", 3) || !strncmp(p, "~~~", 3))
            code = !code;
        if (code)
            continue;
        size_t n = strcspn(p, "\n"), underline = strspn(line_after(p), "=");
        if (p[0] == '#' && p[1] == ' ') {
            while (n > 1 && (p[n - 1] == '#' || p[n - 1] == ' '))
                n--;
            copy_trimmed(out, capacity, p + 1, n - 1);
        } else if (n > 0 && underline >= 2 && strchr("\n", line_after(p)[underline])) {
            copy_trimmed(out, capacity, p, n);
        }
    }
}

void title_of_markdown(struct title_finder *t, char *out, size_t capacity)
{
    const char *p = t->text;
    if (t->length == TITLE_LOOK) /* a character may be cut off there */
        t->length = utf8_cut(t->text, TITLE_LOOK, TITLE_LOOK - 4);
    t->text[t->length] = '\0';
    if (is_line(p, "---"))
        p = front_matter(p, "---", ':', out, capacity);
    else if (is_line(p, "+++"))
        p = front_matter(p, "+++", '=', out, capacity);
    if (!*out)
        first_heading(p, out, capacity);
}
