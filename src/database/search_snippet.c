#include "database/search_snippet.h"

#include <stdint.h>
#include <string.h>

#include "database/function_words.h"
#include "shared/error.h"
#include "shared/words.h"

enum {
    QUERY_STEMS = 32,
    MATCHES = 512, /* matches of one passage that are looked at */
    STEMMERS = 2,
    LEAD = 60,  /* shown before the first match where no sentence starts */
    SLACK = 60, /* a snippet may be longer by this to end with its sentence */
};

struct stem {
    char text[WORD_BYTES];
    size_t length;
};

/* One word under each stemmer. */
struct word_stems {
    struct stem by[STEMMERS];
};

struct query_stems {
    struct stemmer *stemmers[STEMMERS]; /* Porter's, and the language's or NULL */
    size_t stemmer_count;
    struct word_stems words[QUERY_STEMS];
    size_t count;
};

struct match {
    size_t start, end, word; /* word: which of the query's */
};

struct matches {
    struct match items[MATCHES];
    size_t count;
};

/* ---- stems ---- */

static void stem_word(struct query_stems *query, struct text_slice word, struct word_stems *out)
{
    char folded[WORD_BYTES];
    size_t length = word_unaccent(folded, word_fold(word.text, word.length, folded));
    for (size_t i = 0; i < query->stemmer_count; i++) {
        struct stem *stem = &out->by[i];
        memcpy(stem->text, folded, length);
        stem->length = stemmer_stem(query->stemmers[i], stem->text, length);
    }
}

static bool same_stem(const struct query_stems *query, const struct word_stems *a,
                      const struct word_stems *b)
{
    for (size_t i = 0; i < query->stemmer_count; i++) {
        size_t length = a->by[i].length;
        if (length && length == b->by[i].length &&
            memcmp(a->by[i].text, b->by[i].text, length) == 0)
            return true;
    }
    return false;
}

/* Which of the query's words this is; query->count if none. */
static size_t find_word(const struct query_stems *query, const struct word_stems *word)
{
    size_t i = 0;
    while (i < query->count && !same_stem(query, &query->words[i], word))
        i++;
    return i;
}

static void add_query_words(struct query_stems *out, const char *text, bool function_words)
{
    struct word_scan scan;
    struct text_slice word;
    word_scan_begin(&scan, text, strlen(text));
    while (out->count < QUERY_STEMS && word_next(&scan, &word)) {
        struct word_stems *stems = &out->words[out->count];
        if (is_function_word(word.text, word.length) && !function_words)
            continue;
        stem_word(out, word, stems);
        if (find_word(out, stems) == out->count)
            out->count++;
    }
}

static void query_open(struct query_stems *out, const char *text, const char *language)
{
    out->count = 0;
    out->stemmers[0] = stemmer_open("porter");
    out->stemmers[1] = stemmer_open(language && language[0] ? language : "en");
    out->stemmer_count = out->stemmers[1] ? 2 : 1;
    add_query_words(out, text, false);
    if (out->count == 0)
        add_query_words(out, text, true);
}

static void query_close(struct query_stems *query)
{
    for (size_t i = 0; i < query->stemmer_count; i++)
        stemmer_close(query->stemmers[i]);
}

static void find_matches(struct query_stems *query, const char *text, size_t length,
                         struct matches *out)
{
    struct word_scan scan;
    struct text_slice word;
    out->count = 0;
    if (query->count == 0)
        return;
    word_scan_begin(&scan, text, length);
    while (out->count < MATCHES && word_next(&scan, &word)) {
        struct word_stems stems;
        stem_word(query, word, &stems);
        size_t which = find_word(query, &stems);
        if (which == query->count)
            continue;
        size_t start = (size_t)(word.text - text);
        out->items[out->count++] =
            (struct match){.start = start, .end = start + word.length, .word = which};
    }
}

/* ---- the window ---- */

/* A different word is worth much more than the same one again. */
static double density(const struct matches *matches, size_t first, size_t *last)
{
    uint64_t seen = 0;
    double worth = 0;
    size_t i = first;
    for (; i < matches->count; i++) {
        const struct match *m = &matches->items[i];
        if (i > first && m->end - matches->items[first].start > SNIPPET_BYTES - LEAD)
            break;
        worth += seen >> m->word & 1 ? 0.1 : 1;
        seen |= (uint64_t)1 << m->word;
    }
    *last = i - 1;
    return worth;
}

/* The span of the densest matches; empty at the beginning if there are none. */
static struct text_range densest(const struct matches *matches)
{
    struct text_range span = {0, 0};
    double best = 0;
    for (size_t i = 0; i < matches->count; i++) {
        size_t last;
        double worth = density(matches, i, &last);
        if (worth <= best)
            continue;
        best = worth;
        span = (struct text_range){matches->items[i].start, matches->items[last].end};
    }
    return span;
}

/* The first word that starts at or after `from`; `limit` if none does before. */
static size_t word_start(const char *text, size_t length, size_t from, size_t limit)
{
    struct word_scan scan;
    struct text_slice word;
    word_scan_begin(&scan, text, length);
    while (word_next(&scan, &word)) {
        size_t start = (size_t)(word.text - text);
        if (start >= from)
            return start < limit ? start : limit;
    }
    return limit;
}

/* The last word that ends at or before `to`, but not before `least`. */
static size_t word_end(const char *text, size_t length, size_t least, size_t to)
{
    struct word_scan scan;
    struct text_slice word;
    size_t found = least;
    word_scan_begin(&scan, text, length);
    while (word_next(&scan, &word)) {
        size_t end = (size_t)(word.text + word.length - text);
        if (end > to)
            break;
        if (end > found)
            found = end;
    }
    return found;
}

/* Where the sentence that holds the span starts, if that is near enough to show. */
static size_t window_start(const char *text, size_t length, struct text_range span)
{
    size_t spare = SNIPPET_BYTES - (span.end - span.start);
    size_t earliest = span.start > spare ? span.start - spare : 0;
    size_t found = length;
    struct sentence_scan scan;
    struct text_slice sentence;
    if (earliest == 0)
        return 0;
    sentence_scan_begin(&scan, text, length);
    while (sentence_next(&scan, &sentence)) {
        size_t start = (size_t)(sentence.text - text);
        if (start > span.start)
            break;
        if (start >= earliest && found == length)
            found = start;
    }
    if (found < length)
        return found;
    return word_start(text, length, span.start > LEAD ? span.start - LEAD : 0, span.start);
}

/* The last sentence end that fits, unless that wastes half of the window. */
static size_t window_end(const char *text, size_t length, size_t start, struct text_range span)
{
    size_t target = start + SNIPPET_BYTES, found = 0;
    struct sentence_scan scan;
    struct text_slice sentence;
    if (target + SLACK >= length)
        return length;
    sentence_scan_begin(&scan, text, length);
    while (sentence_next(&scan, &sentence)) {
        size_t end = (size_t)(sentence.text + sentence.length - text);
        if (end > target + SLACK)
            break;
        found = end;
    }
    if (found >= span.end && found >= start + SNIPPET_BYTES / 2)
        return found;
    size_t end = word_end(text, length, span.end > start ? span.end : start, target);
    if (end > start)
        return end;
    end = target; /* one unbroken stretch */
    while (end > start && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

static struct text_range choose_window(const char *text, size_t length,
                                       const struct matches *matches)
{
    struct text_range span = densest(matches);
    if (span.end - span.start > SNIPPET_BYTES)
        span.end = span.start; /* one very long word */
    struct text_range window = {0, length};
    if (length > SNIPPET_BYTES + SLACK) {
        window.start = window_start(text, length, span);
        window.end = window_end(text, length, window.start, span);
    }
    return window;
}

/* ---- the snippet ---- */

static struct text_range trim(const char *text, struct text_range window)
{
    size_t n;
    while (window.start < window.end && (n = space_at(text + window.start, text + window.end)))
        window.start += n;
    while (window.end > window.start && strchr(" \t\r\n", text[window.end - 1]))
        window.end--;
    return window;
}

static char *copy_line(const char *text, struct text_range window, struct arena *arena)
{
    char *copy = arena_strndup(arena, text + window.start, window.end - window.start);
    for (char *p = copy; copy && p < copy + (window.end - window.start); p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    return copy;
}

static int add_highlights(struct snippet *out, struct text_range window,
                          const struct matches *matches, struct arena *arena)
{
    out->highlights = arena_array(arena, SNIPPET_HIGHLIGHTS, sizeof *out->highlights);
    if (!out->highlights)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < matches->count && out->highlight_count < SNIPPET_HIGHLIGHTS; i++) {
        const struct match *m = &matches->items[i];
        if (m->start < window.start || m->end > window.end)
            continue;
        out->highlights[out->highlight_count++] =
            (struct text_range){m->start - window.start, m->end - window.start};
    }
    return 0;
}

int snippet_make(const char *query, const char *language, const char *text, size_t length,
                 struct arena *arena, struct snippet *out)
{
    struct query_stems stems;
    struct matches matches;
    *out = (struct snippet){0};
    query_open(&stems, query, language);
    find_matches(&stems, text, length, &matches);
    query_close(&stems);
    struct text_range window = trim(text, choose_window(text, length, &matches));
    out->offset = window.start;
    out->length = window.end - window.start;
    out->text = copy_line(text, window, arena);
    return out->text ? add_highlights(out, window, &matches, arena) : ERR_NO_MEMORY;
}
