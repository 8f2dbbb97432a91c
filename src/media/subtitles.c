/* subtitles.c - see subtitles.h. */
#include "media/subtitles.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "media/timecode.h"
#include "media/utf8.h"
#include "shared/caps.h"
#include "shared/error.h"

void subtitle_init(struct subtitle_parser *p, bool vtt, const struct subtitle_sink *sink)
{
    memset(p, 0, sizeof *p);
    p->sink = sink;
    p->vtt = vtt;
    buffer_init(&p->line, SUBTITLE_LINE);
    buffer_init(&p->text, SUBTITLE_TEXT);
    buffer_init(&p->clean, SUBTITLE_TEXT);
}

void subtitle_fini(struct subtitle_parser *p)
{
    buffer_free(&p->line);
    buffer_free(&p->text);
    buffer_free(&p->clean);
}

/* As much of it as fits; a character is never split. */
static int append_cut(struct buffer *b, const char *text, size_t length)
{
    size_t n = utf8_cut(text, length, b->limit - b->length);
    return buffer_append(b, text, n);
}

/* ---- a cue's text: markup, entities, voices ---- */

static size_t trimmed(const char *text, size_t n)
{
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    return n;
}

static int emit(struct subtitle_parser *p)
{
    p->clean.length = trimmed(buffer_string(&p->clean), p->clean.length);
    if (p->clean.length == 0)
        return OK;
    p->clean.data[p->clean.length] = '\0';
    if (++p->cues > CAP_SEGMENTS)
        return error_set(ERR_PERMANENT, "too_large", "it has more than %d cues", CAP_SEGMENTS);
    int rc = p->sink->cue(p->sink->ctx, p->start_ms, p->end_ms, p->speaker, p->clean.data);
    buffer_clear(&p->clean);
    return rc;
}

/* "<v.loud Esme>": what follows is hers; what came before was somebody else's. */
static int begin_voice(struct subtitle_parser *p, const char *tag, size_t length)
{
    size_t skip = 1;
    while (skip < length && !isspace((unsigned char)tag[skip]))
        skip++;
    while (skip < length && isspace((unsigned char)tag[skip]))
        skip++;
    int rc = emit(p);
    size_t n = utf8_cut(tag + skip, trimmed(tag + skip, length - skip), sizeof p->speaker - 1);
    memcpy(p->speaker, tag + skip, n);
    p->speaker[n] = '\0';
    return rc;
}

/* A tag at p ("<i>", "</v>", "<00:01.000>", "{\an8}"): its whole length, or 0 if the sign stands
 * for itself. */
static size_t tag_length(const char *at, size_t n)
{
    char close = *at == '<' ? '>' : '}';
    if (n < 3)
        return 0;
    if (*at == '{' ? at[1] != '\\' : !(isalnum((unsigned char)at[1]) || at[1] == '/'))
        return 0;
    const char *end = memchr(at, close, n);
    return end ? (size_t)(end - at) + 1 : 0;
}

static size_t entity(const char *at, size_t n, const char **text)
{
    static const char *const entities[][2] = {
        {"&amp;", "&"},  {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""},
        {"&nbsp;", " "}, {"&lrm;", ""}, {"&rlm;", ""}, {"&#39;", "'"},
    };
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        size_t length = strlen(entities[i][0]);
        if (length <= n && !strncmp(at, entities[i][0], length)) {
            *text = entities[i][1];
            return length;
        }
    }
    return 0;
}

static int append_space(struct buffer *b)
{
    if (b->length == 0 || b->data[b->length - 1] == ' ')
        return OK;
    return append_cut(b, " ", 1);
}

/* One step through the raw text; *used bytes of it. */
static int clean_step(struct subtitle_parser *p, const char *at, size_t n, size_t *used)
{
    const char *text;
    if ((*at == '<' || *at == '{') && (*used = tag_length(at, n))) {
        bool voice = at[0] == '<' && at[1] == 'v' && *used > 3 && strchr(" .\t", at[2]);
        return voice ? begin_voice(p, at + 1, *used - 2) : OK;
    }
    if (*at == '&' && (*used = entity(at, n, &text)))
        return append_cut(&p->clean, text, strlen(text));
    *used = 1;
    if (isspace((unsigned char)*at))
        return append_space(&p->clean);
    while (*used < n && !strchr("<{& \t\n", at[*used]))
        ++*used;
    return append_cut(&p->clean, at, *used);
}

static int finish_cue(struct subtitle_parser *p)
{
    int rc = OK;
    p->in_cue = false;
    p->speaker[0] = '\0';
    buffer_clear(&p->clean);
    for (size_t i = 0, used; i < p->text.length && !rc; i += used)
        rc = clean_step(p, p->text.data + i, p->text.length - i, &used);
    if (!rc)
        rc = emit(p);
    buffer_clear(&p->text);
    return rc;
}

/* ---- lines ---- */

static bool only_digits(const char *line, size_t n)
{
    n = trimmed(line, n);
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)line[i]))
            return false;
    return n > 0;
}

/* The line above a timing line is the cue's number: it was taken for text. */
static void drop_number(struct subtitle_parser *p)
{
    if (p->text.length > p->last_line &&
        only_digits(p->text.data + p->last_line, p->text.length - p->last_line)) {
        p->text.length = p->last_line;
        p->text.data[p->last_line] = '\0';
    }
}

static int begin_cue(struct subtitle_parser *p, int64_t start, int64_t end)
{
    drop_number(p);
    int rc = p->in_cue ? finish_cue(p) : OK;
    buffer_clear(&p->text);
    p->last_line = 0;
    p->start_ms = start;
    p->end_ms = end;
    p->in_cue = end >= start;
    return rc;
}

static bool begins_comment(const char *line)
{
    static const char *const words[] = {"NOTE", "STYLE", "REGION"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if (!strncmp(line, words[i], n) && (!line[n] || isspace((unsigned char)line[n])))
            return true;
    }
    return false;
}

static int take_line(struct subtitle_parser *p)
{
    int64_t start, end;
    const char *line = buffer_string(&p->line);
    bool blank = line[strspn(line, " \t")] == '\0';
    if (p->in_comment) {
        p->in_comment = !blank;
        return OK;
    }
    if (timecode_line(line, &start, &end))
        return begin_cue(p, start, end);
    /* VTT ends a cue at an empty line. SubRip should, but its texts have empty lines in them. */
    if (p->in_cue && blank && p->vtt)
        return finish_cue(p);
    if (!p->in_cue) {
        p->in_comment = p->vtt && begins_comment(line);
        return OK;
    }
    p->last_line = p->text.length;
    int rc = append_cut(&p->text, line, p->line.length);
    return rc ? rc : append_cut(&p->text, "\n", 1);
}

int subtitle_feed(struct subtitle_parser *p, const char *text, size_t length)
{
    while (length > 0) {
        const char *newline = memchr(text, '\n', length);
        size_t n = newline ? (size_t)(newline - text) : length;
        int rc = append_cut(&p->line, text, n);
        if (!rc && newline) {
            rc = take_line(p);
            buffer_clear(&p->line);
            n++;
        }
        if (rc)
            return rc;
        text += n;
        length -= n;
    }
    return OK;
}

int subtitle_end(struct subtitle_parser *p)
{
    int rc = p->line.length ? take_line(p) : OK;
    buffer_clear(&p->line);
    if (!rc && p->in_cue)
        rc = finish_cue(p);
    return rc;
}
