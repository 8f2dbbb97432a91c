#include "processor/chunker_cut.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unictype.h>
#include <unigbrk.h>
#include <unistr.h>
#include <uniwbrk.h>

#include "shared/words.h"

/* What a place costs, in percent of the ideal length: half a length is walked for a heading. */
enum cost {
    COST_HEADING = 0,
    COST_PARAGRAPH = 12,
    COST_LINE = 22,
    COST_SENTENCE = 26,
    COST_CLAUSE = 42,
    COST_WORD = 52,
    COST_AFTER_HEADING = 95, /* a heading belongs to what follows */
};

enum { HEADING_BYTES = 90 };

/* The window of a search and the best place so far. */
struct search {
    const char *text, *end;
    size_t ideal, low, high;
    size_t best; /* 0: none yet */
    size_t best_cost;
};

static ucs4_t decode(const char *p, const char *end, size_t *length)
{
    ucs4_t uc;
    *length = (size_t)u8_mbtouc(&uc, (const uint8_t *)p, (size_t)(end - p));
    return uc;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A combining mark would join the character before the place. */
static bool splits_grapheme(ucs4_t before, const char *p, const char *end)
{
    size_t n;
    return p < end && (*p & 0x80) && !uc_is_grapheme_break(before, decode(p, end, &n));
}

static size_t offer(struct search *s, size_t at, size_t kind)
{
    size_t distance = at > s->ideal ? at - s->ideal : s->ideal - at;
    size_t cost = kind * s->ideal + 100 * distance;
    if (at >= s->low && at <= s->high && (s->best == 0 || cost < s->best_cost)) {
        s->best = at;
        s->best_cost = cost;
    }
    return at;
}

static bool ends_sentence(const char *start, const char *p)
{
    while (p > start && (p[-1] == '"' || p[-1] == '\'' || p[-1] == ')' || p[-1] == ']' ||
                         p[-1] == '*' || p[-1] == '_'))
        p--;
    if (p == start)
        return false;
    if (p[-1] == '.' || p[-1] == '!' || p[-1] == '?')
        return true;
    return p - start >= 3 && p[-3] == '\xe2' && p[-2] == '\x80' &&
           (p[-1] == '\xa6' || p[-1] == '\x9d'); /* an ellipsis or closing quotation mark */
}

/* A line that stands alone, is short and does not end like a sentence, or begins with '#'. */
static bool is_heading(const char *line, const char *stop)
{
    if (line < stop && *line == '#')
        return true;
    return stop > line && stop - line < HEADING_BYTES && !ends_sentence(line, stop) &&
           !strchr(",;:-*|", stop[-1]) && *line != '-' && *line != '*' && *line != '|';
}

static bool heading_follows(const char *p, const char *end)
{
    if (p < end && *p == '#')
        return true;
    size_t look = (size_t)(end - p) < HEADING_BYTES ? (size_t)(end - p) : HEADING_BYTES;
    const char *stop = memchr(p, '\n', look);
    return stop && stop + 1 < end && stop[1] == '\n' && is_heading(p, stop);
}

static bool heading_before(const char *text, const char *p)
{
    const char *line = p;
    while (line > text && line[-1] != '\n' && p - line < HEADING_BYTES)
        line--;
    bool alone = line == text || (line - text >= 2 && line[-1] == '\n' && line[-2] == '\n');
    return *line == '#' ? line == text || line[-1] == '\n' : alone && is_heading(line, p);
}

/* What kind of place the white space from p to q is. */
static size_t kind_of_space(const struct search *s, const char *p, const char *q, size_t newlines)
{
    if (newlines > 0) {
        if (heading_before(s->text, p))
            return COST_AFTER_HEADING;
        if (newlines > 1)
            return heading_follows(q, s->end) ? COST_HEADING : COST_PARAGRAPH;
        if (q < s->end && *q == '#')
            return COST_HEADING;
        bool item = q + 1 < s->end && strchr("-*+|", *q) && q[1] == ' ';
        return item ? COST_LINE : ends_sentence(s->text, p) ? COST_LINE : COST_WORD - 4;
    }
    if (ends_sentence(s->text, p))
        return q < s->end && *q >= 'a' && *q <= 'z' ? COST_CLAUSE : COST_SENTENCE;
    bool clause = p > s->text && (p[-1] == ',' || p[-1] == ';' || p[-1] == ':');
    return clause ? COST_CLAUSE : COST_WORD;
}

static const char *space_end(const char *p, const char *end, size_t *newlines)
{
    size_t n;
    for (*newlines = 0; p < end && (n = space_at(p, end)) > 0; p += n)
        *newlines += *p == '\n' || (*p == '\r' && (p + 1 == end || p[1] != '\n'));
    return p;
}

/* Full stops and their kin of Chinese and Japanese need no space behind them; a closing bracket
 * still belongs to the sentence. */
static bool ends_ideographic(ucs4_t uc)
{
    return uc == 0x3002 || uc == 0xff01 || uc == 0xff1f || uc == 0xff0e || uc == 0xff61;
}

static const char *ideographic_place(struct search *s, const char *p, size_t n, ucs4_t uc)
{
    if (!ends_ideographic(uc))
        return p + n;
    const char *q = p + n;
    while (q < s->end && (*q & 0x80)) {
        ucs4_t next = decode(q, s->end, &n);
        if (!ends_ideographic(next) &&
            !uc_is_general_category_withtable(next, UC_CATEGORY_MASK_Pe | UC_CATEGORY_MASK_Pf))
            break;
        uc = next;
        q += n;
    }
    if (!splits_grapheme(uc, q, s->end))
        offer(s, (size_t)(q - s->text), COST_SENTENCE);
    return q;
}

static const char *space_place(struct search *s, const char *p)
{
    size_t newlines;
    const char *q = space_end(p, s->end, &newlines);
    if (!splits_grapheme(' ', q, s->end))
        offer(s, (size_t)(p - s->text), kind_of_space(s, p, q, newlines));
    return q;
}

static bool is_letter_or_digit(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');
}

/* As most are: one space behind a letter of ASCII and before a character of it. What space_place
 * would find out is known then. */
static bool is_word_space(const struct search *s, const char *p)
{
    return *p == ' ' && p > s->text && is_letter_or_digit(p[-1]) && p + 1 < s->end && p[1] > ' ' &&
           !(p[1] & 0x80);
}

static void search_places(struct search *s)
{
    const char *p = s->text + s->low, *stop = s->text + s->high;
    while (p > s->text && (*p & 0xc0) == 0x80)
        p--;
    while (p > s->text && space_at(p, s->end))
        p--; /* into a run of white space: its beginning is the place */
    while (p <= stop && p < s->end) {
        if (!(*p & 0x80)) {
            if (is_space(*p) && !is_word_space(s, p)) {
                p = space_place(s, p);
                continue;
            }
            if (is_space(*p))
                offer(s, (size_t)(p - s->text), COST_WORD);
            p++;
            continue;
        }
        size_t n;
        ucs4_t uc = decode(p, s->end, &n);
        if (space_at(p, s->end))
            p = space_place(s, p);
        else
            p = ideographic_place(s, p, n, uc);
    }
}

/* ---- text without white space ---- */

/* The set place nearest to ideal within low and high; 0 if there is none. */
static size_t nearest(const char *breaks, const char *also, size_t low, size_t high, size_t ideal)
{
    size_t best = 0;
    for (size_t i = low; i <= high; i++) {
        if (!breaks[i] || (also && !also[i]))
            continue;
        size_t distance = i > ideal ? i - ideal : ideal - i;
        if (best == 0 || distance < (best > ideal ? best - ideal : ideal - best))
            best = i;
    }
    return best;
}

static size_t character_start(const char *text, size_t at)
{
    size_t back = 0;
    while (back < 3 && at - back > 1 && (text[at - back] & 0xc0) == 0x80)
        back++;
    return (text[at - back] & 0xc0) == 0x80 ? at : at - back;
}

static size_t cut_anywhere(const struct search *s, size_t length, char *room)
{
    char *words = room, *graphemes = room + length;
    const uint8_t *text = (const uint8_t *)s->text;
    size_t seen =
        s->high + CUT_CONTEXT < length ? character_start(s->text, s->high + CUT_CONTEXT) : length;
    size_t high = s->high < seen ? s->high : seen - 1;
    u8_wordbreaks(text, seen, words);
    u8_grapheme_breaks(text, seen, graphemes);
    size_t at = nearest(words, graphemes, s->low, high, s->ideal);
    if (!at)
        at = nearest(graphemes, NULL, s->low, high, s->ideal);
    if (!at) { /* one monstrous grapheme: all that there is to see of the text */
        u8_grapheme_breaks(text, length, graphemes);
        at = nearest(graphemes, NULL, 1, length - 1, s->ideal);
    }
    return at ? at : character_start(s->text, s->ideal);
}

size_t chunker_cut(const char *text, size_t length, size_t ideal, char *room)
{
    struct search s = {.text = text,
                       .end = text + length,
                       .ideal = ideal,
                       .low = ideal * 6 / 10,
                       .high = ideal * 13 / 10};
    if (ideal >= length || length < 2)
        return length;
    if (s.low == 0)
        s.low = 1;
    if (s.high > length)
        s.high = length;
    search_places(&s);
    return s.best ? s.best : chunker_trimmed(text, cut_anywhere(&s, length, room));
}

/* ---- white space ---- */

size_t chunker_leading_space(const char *text, size_t length, int complete)
{
    enum { SIGHT = 8 }; /* a space and the character behind it */
    const char *p = text, *end = text + length;
    while (p < end && (complete || end - p >= SIGHT)) {
        size_t n = space_at(p, end);
        if (!n || splits_grapheme(' ', p + n, end))
            break;
        p += n;
    }
    return (size_t)(p - text);
}

size_t chunker_trimmed(const char *text, size_t length)
{
    while (length > 0) {
        size_t at = length - 1;
        while (at > 0 && length - at < 4 && (text[at] & 0xc0) == 0x80)
            at--;
        if (space_at(text + at, text + length) != length - at)
            break;
        length = at;
    }
    return length;
}
