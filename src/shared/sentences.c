#include <stdint.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

#include "shared/words.h"

/* How a stretch of text may end. */
enum ending { ENDING_NONE, ENDING_PERIOD, ENDING_FULL, ENDING_IDEOGRAPHIC };

static ucs4_t character(const char *p, const char *end, size_t *length)
{
    ucs4_t uc;
    *length = (size_t)u8_mbtouc(&uc, (const uint8_t *)p, (size_t)(end - p));
    return uc;
}

/* The more frequent members of Sentence_Terminal (PropList.txt). */
static enum ending ending_of(ucs4_t uc)
{
    switch (uc) {
    case '.':
        return ENDING_PERIOD;
    case '!':
    case '?':
    case 0x2026: /* ellipsis */
    case 0x061f: /* Arabic question mark */
    case 0x06d4: /* Arabic full stop */
    case 0x0589: /* Armenian full stop */
    case 0x0964: /* danda */
    case 0x0965:
    case 0x203c:
    case 0x203d:
        return ENDING_FULL;
    case 0x3002: /* ideographic full stop */
    case 0xff01: /* full-width ! . ? */
    case 0xff0e:
    case 0xff1f:
    case 0xff61:
        return ENDING_IDEOGRAPHIC;
    default:
        return ENDING_NONE;
    }
}

static bool closes(ucs4_t uc)
{
    if (uc < 0x80)
        return uc == '"' || uc == '\'' || uc == ')' || uc == ']' || uc == '}' || uc == '*' ||
               uc == '_';
    return uc_is_general_category_withtable(uc, UC_CATEGORY_MASK_Pe | UC_CATEGORY_MASK_Pf);
}

static const char *line_end(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? newline : end;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

/* A Markdown heading, list item, quotation, table row or rule, or a numbered item. */
static bool starts_block(const char *line, const char *end)
{
    const char *p = skip_blanks(line, end);
    if (p == end)
        return true;
    if (*p == '#' || *p == '>' || *p == '|' || *p == '`')
        return true;
    if ((*p == '-' || *p == '*' || *p == '+') && (p + 1 == end || p[1] == ' ' || p[1] == *p))
        return true;
    const char *digits = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > digits && p - digits < 4 && p + 1 < end && (*p == '.' || *p == ')') && p[1] == ' ';
}

static bool is_heading(const char *line, const char *end)
{
    const char *p = skip_blanks(line, end);
    return p < end && *p == '#';
}

void sentence_scan_begin(struct sentence_scan *scan, const char *text, size_t length)
{
    enum { SAMPLE = 16384 };
    const char *end = text + (length < SAMPLE ? length : SAMPLE);
    size_t lines = 0, endings = 0;
    for (const char *p = text; p < end;) {
        size_t n = 1;
        unsigned char c = (unsigned char)*p;
        if (c == '\n')
            lines += p > text && p[-1] != '\n';
        else if (c & 0x80 || c == '.' || c == '!' || c == '?')
            endings += ending_of(character(p, end, &n)) != ENDING_NONE;
        p += n;
    }
    *scan =
        (struct sentence_scan){.at = text, .end = text + length, .lines = endings * 4 < lines + 1};
}

static bool is_one_of(const char *word, size_t length, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == length && !strncasecmp(word, *list, length))
            return true;
    return false;
}

/* Whether the period at `dot` only shortens the word before it. */
static bool abbreviates(const char *start, const char *dot)
{
    static const char *const titles[] = {
        "mr", "mrs", "ms", "dr",  "prof", "st",  "sr",  "jr",     "vs",  "no", "fig", "eq", "cf",
        "ca", "bzw", "nr", "z.b", "d.h",  "e.g", "i.e", "approx", "vol", "pp", "sra", NULL};
    const char *word = dot;
    while (word > start && (uint8_t)word[-1] > ' ' && word[-1] != '(' && word[-1] != '"')
        word--;
    size_t n = (size_t)(dot - word);
    bool initial = n == 1 && *word >= 'A' && *word <= 'Z' && *word != 'I';
    return initial || is_one_of(word, n, titles);
}

/* What follows decides (rules SB8, SB8a): no end before a lower-case letter or a comma. */
static bool continues(const char *p, const char *end)
{
    while (p < end) {
        size_t n = space_at(p, end);
        if (!n)
            break;
        p += n;
    }
    if (p == end)
        return false;
    size_t n;
    ucs4_t uc = character(p, end, &n);
    return uc == ',' || uc == ';' || uc == ':' || uc_is_lower(uc);
}

/* If a sentence ends with the terminator at p, the place behind it and what closes it; else NULL.
 */
static const char *ends_at(const char *start, const char *p, const char *end, size_t *length)
{
    enum ending ending = ending_of(character(p, end, length));
    if (ending == ENDING_NONE)
        return NULL;
    const char *q = p + *length;
    size_t n;
    for (ucs4_t uc; q < end; q += n) {
        uc = character(q, end, &n);
        if (ending_of(uc) == ENDING_NONE && !closes(uc))
            break;
    }
    if (ending == ENDING_IDEOGRAPHIC || q == end)
        return q;
    if (!space_at(q, end))
        return NULL;
    if (ending == ENDING_PERIOD && (abbreviates(start, p) || continues(q, end)))
        return NULL;
    return q;
}

/* Whether the newline at p ends a sentence whatever stands before it. */
static bool breaks_line(const struct sentence_scan *scan, const char *line, const char *p)
{
    if (scan->lines || p + 1 == scan->end || is_heading(line, p))
        return true;
    const char *next = p + 1;
    return starts_block(next, line_end(next, scan->end));
}

static const char *word_boundary(const char *start, const char *p)
{
    for (const char *q = p; q > start + SENTENCE_BYTES / 2; q--)
        if (*q == ' ' || *q == '\n' || *q == '\t')
            return q;
    while (p > start + 1 && (*p & 0xc0) == 0x80)
        p--;
    return p;
}

static const char *find_end(const struct sentence_scan *scan)
{
    const char *start = scan->at, *line = start;
    for (const char *p = start; p < scan->end;) {
        if (p - start >= SENTENCE_BYTES)
            return word_boundary(start, p);
        unsigned char c = (unsigned char)*p;
        size_t n = 1;
        if (c == '\n') {
            if (breaks_line(scan, line, p))
                return p;
            line = p + 1;
        } else if (c & 0x80 || c == '.' || c == '!' || c == '?') {
            const char *end = ends_at(start, p, scan->end, &n);
            if (end)
                return end;
        }
        p += n;
    }
    return scan->end;
}

static const char *trim_end(const char *start, const char *end)
{
    while (end > start) {
        const char *p = end - 1;
        while (p > start && (*p & 0xc0) == 0x80 && end - p < 4)
            p--;
        if (space_at(p, end) != (size_t)(end - p))
            break;
        end = p;
    }
    return end;
}

bool sentence_next(struct sentence_scan *scan, struct text_slice *out)
{
    size_t n;
    while (scan->at < scan->end && (n = space_at(scan->at, scan->end)) > 0)
        scan->at += n;
    if (scan->at == scan->end)
        return false;
    const char *end = find_end(scan);
    out->text = scan->at;
    out->length = (size_t)(trim_end(scan->at, end) - scan->at);
    scan->at = end;
    return true;
}
