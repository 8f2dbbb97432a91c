#include "adapters/offline/textrank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

enum { ITERATIONS = 30, MANY = 20000, COUNTERS = 1 << 14 };

static int compare_stems(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_ordinals(const void *a, const void *b)
{
    const struct ranked_sentence *x = a, *y = b;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static int compare_scores(const void *a, const void *b)
{
    const struct ranked_sentence *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return compare_ordinals(a, b);
}

/* Headings, table rows and rules are no sentences to quote. */
static bool is_furniture(const struct text_slice *s)
{
    return s->text[0] == '#' || s->text[0] == '|' || s->text[0] == '`' ||
           (s->length < 4 && s->text[0] == '-');
}

/* "Agent:" says who speaks, not what about. */
static struct text_slice without_label(struct text_slice s)
{
    enum { LABEL = 24 };
    size_t look = s.length < LABEL ? s.length : LABEL;
    const char *colon = memchr(s.text, ':', look);
    if (!colon || s.text[0] < 'A' || s.text[0] > 'Z')
        return s;
    size_t n = (size_t)(colon - s.text) + 1;
    return (struct text_slice){.text = s.text + n, .length = s.length - n};
}

static int read_stems(struct term_scan *terms, struct arena *arena, struct ranked_sentence *s)
{
    uint64_t stems[TEXTRANK_TERMS];
    struct term term;
    size_t n = 0, distinct = 0, letters = 0, capitals = 0;
    struct text_slice said = without_label(s->slice);
    term_scan_text(terms, said.text, said.length);
    while (n < TEXTRANK_TERMS && term_next(terms, &term)) {
        letters += term.slice.length;
        if (term.stop)
            continue;
        capitals += term.slice.text[0] >= 'A' && term.slice.text[0] <= 'Z';
        stems[n++] = term.stem;
    }
    if (n < TEXTRANK_TERMS && letters * 2 < said.length)
        n = 0; /* mostly signs: a drawing, a table, code */
    if (capitals * 10 > n * 8)
        n = 0; /* a headline or a list of names */
    /* cppcheck-suppress uninitvar; n of them were set */
    qsort(stems, n, sizeof *stems, compare_stems);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || stems[i] != stems[i - 1])
            stems[distinct++] = stems[i];
    s->terms = distinct;
    s->stems = arena_array(arena, distinct ? distinct : 1, sizeof *s->stems);
    if (!s->stems)
        return ERR_NO_MEMORY;
    memcpy(s->stems, stems, distinct * sizeof *stems);
    return OK;
}

/* Sentences with at least `least` stems. */
static int collect_sentences(struct term_scan *terms, const char *text, size_t length, size_t most,
                             size_t least, struct arena *arena, struct ranked_sentence *list,
                             size_t *count)
{
    struct sentence_scan scan;
    struct text_slice slice;
    size_t n = 0;
    sentence_scan_begin(&scan, text, length);
    for (size_t i = 0; i < most && sentence_next(&scan, &slice); i++) {
        if (is_furniture(&slice))
            continue;
        list[n] = (struct ranked_sentence){.slice = slice, .ordinal = i};
        int rc = read_stems(terms, arena, &list[n]);
        if (rc)
            return rc;
        n += list[n].terms >= least;
    }
    *count = n;
    return OK;
}

static int read_sentences(struct term_scan *terms, const char *text, size_t length,
                          struct arena *arena, struct ranked_sentence **out, size_t *count)
{
    enum { ENOUGH = 3 }; /* "Very good." is no summary of anything, unless there is nothing else */
    struct sentence_scan scan;
    struct text_slice slice;
    size_t most = 0;
    sentence_scan_begin(&scan, text, length);
    while (most < MANY && sentence_next(&scan, &slice))
        most++;
    *out = arena_array(arena, most ? most : 1, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    int rc = collect_sentences(terms, text, length, most, ENOUGH, arena, *out, count);
    if (!rc && *count == 0)
        rc = collect_sentences(terms, text, length, most, 1, arena, *out, count);
    return rc;
}

/* Keeps the sentences whose words are the most frequent ones, counted in buckets. */
static int preselect(struct arena *arena, struct ranked_sentence *list, size_t *count)
{
    if (*count <= TEXTRANK_SENTENCES)
        return OK;
    uint32_t *seen = arena_array(arena, COUNTERS, sizeof *seen);
    if (!seen)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < *count; i++)
        for (size_t t = 0; t < list[i].terms; t++)
            seen[list[i].stems[t] % COUNTERS]++;
    for (size_t i = 0; i < *count; i++) {
        double sum = 0;
        for (size_t t = 0; t < list[i].terms; t++)
            sum += log(seen[list[i].stems[t] % COUNTERS]);
        list[i].score = sum / sqrt((double)list[i].terms + 4);
    }
    qsort(list, *count, sizeof *list, compare_scores);
    *count = TEXTRANK_SENTENCES;
    qsort(list, *count, sizeof *list, compare_ordinals);
    return OK;
}

static size_t common(const struct ranked_sentence *a, const struct ranked_sentence *b)
{
    size_t i = 0, j = 0, n = 0;
    while (i < a->terms && j < b->terms) {
        uint64_t x = a->stems[i], y = b->stems[j];
        n += x == y;
        i += x <= y;
        j += y <= x;
    }
    return n;
}

double textrank_overlap(const struct ranked_sentence *a, const struct ranked_sentence *b)
{
    if (a->terms == 0 || b->terms == 0)
        return 0;
    return (double)common(a, b) / sqrt((double)a->terms * (double)b->terms);
}

/* Rows of `edges` are scaled to sum 1, so that a step is one product of matrix and vector. */
static void join(const struct ranked_sentence *list, size_t n, double *edges)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++) {
            size_t shared = common(&list[i], &list[j]);
            double weight = 0;
            if (shared > 0)
                weight = (double)shared / (log((double)list[i].terms) + log((double)list[j].terms));
            edges[i * n + j] = edges[j * n + i] = weight;
        }
    }
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += edges[i * n + j];
        for (size_t j = 0; sum > 0 && j < n; j++)
            edges[i * n + j] /= sum;
    }
}

static void walk(struct ranked_sentence *list, size_t n, const double *edges, double *next)
{
    for (size_t i = 0; i < n; i++)
        list[i].score = 1;
    for (int step = 0; step < ITERATIONS; step++) {
        for (size_t j = 0; j < n; j++)
            next[j] = 0.15;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                next[j] += 0.85 * list[i].score * edges[i * n + j];
        for (size_t i = 0; i < n; i++)
            list[i].score = next[i];
    }
}

int textrank(struct term_scan *terms, const char *text, size_t length, const struct cancel *cancel,
             struct arena *arena, struct ranked_sentence **out, size_t *count)
{
    int rc = read_sentences(terms, text, length, arena, out, count);
    if (!rc)
        rc = preselect(arena, *out, count);
    if (rc || *count == 0)
        return rc;
    if (cancel_requested(cancel))
        return error_set(ERR_CANCELLED, NULL, "cancelled while summarising");
    size_t n = *count;
    double *edges = calloc(n * n + n, sizeof *edges);
    if (!edges)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a graph of %zu sentences", n);
    join(*out, n, edges);
    walk(*out, n, edges, edges + n * n);
    free(edges);
    return OK;
}
