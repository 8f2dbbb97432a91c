#include "adapters/offline/voice.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    FRAME = VOICE_RATE / 50,
    FRAME_MS = 20,
    PAUSE = VOICE_PAUSE_MS / FRAME_MS,
    LONGEST = VOICE_LONGEST_MS / FRAME_MS,
    MARGIN = VOICE_MARGIN_MS / FRAME_MS,
    CLICK = 3,
    DECIBELS = 100,
};

/* Decibels over one unit of a 16 bit sample. */
static float level(const int16_t *samples, size_t count)
{
    double sum = 1;
    for (size_t i = 0; i < count; i++)
        sum += (double)samples[i] * samples[i];
    return (float)(10 * log10(sum / (double)count));
}

/* The level below which `permille` of the frames lie. */
static float quantile(const size_t histogram[DECIBELS], size_t frames, size_t permille)
{
    size_t seen = 0;
    for (int db = 0; db < DECIBELS; db++) {
        seen += histogram[db];
        if (seen * 1000 > frames * permille)
            return (float)db;
    }
    return DECIBELS;
}

/* A third of the way from quiet to loud; audio without quiet frames is all voice. */
static float threshold(const float *levels, size_t frames)
{
    enum { SILENCE = 20, RANGE = 12 }; /* decibels */
    size_t histogram[DECIBELS] = {0};
    for (size_t i = 0; i < frames; i++) {
        int db = (int)levels[i];
        histogram[db < 0 ? 0 : db < DECIBELS ? db : DECIBELS - 1]++;
    }
    float quiet = quantile(histogram, frames, 50), loud = quantile(histogram, frames, 900);
    if (loud < SILENCE)
        return DECIBELS;
    if (loud - quiet < RANGE)
        return 0;
    float third = quiet + (loud - quiet) / 3;
    return third > loud - 30 ? third : loud - 30;
}

static size_t quietest(const float *levels, size_t from, size_t to)
{
    size_t best = from;
    for (size_t i = from; i < to; i++)
        if (levels[i] < levels[best])
            best = i;
    return best;
}

struct spans {
    struct voice_span *items;
    size_t count, most;
};

static void add(struct spans *s, size_t begin, size_t end)
{
    if (s->count == s->most)
        s->items[s->count - 1].end = end;
    else
        s->items[s->count++] = (struct voice_span){begin, end};
}

/* In frames; divides what is too long. */
static void add_divided(struct spans *s, const float *levels, size_t begin, size_t end)
{
    while (end - begin > LONGEST) {
        size_t cut = quietest(levels, begin + LONGEST / 2, begin + LONGEST);
        add(s, begin, cut);
        begin = cut;
    }
    add(s, begin, end);
}

/* From frames without margins to samples with them, half the pause at most. */
static void widen(struct spans *s, size_t frames, size_t samples)
{
    for (size_t i = 0; i < s->count; i++) {
        struct voice_span *span = &s->items[i];
        size_t before = i ? s->items[i - 1].end / FRAME : 0;
        size_t after = i + 1 < s->count ? s->items[i + 1].begin : frames;
        size_t ahead = span->begin - before < MARGIN ? span->begin - before : MARGIN;
        size_t behind = (after - span->end) / 2 < MARGIN ? (after - span->end) / 2 : MARGIN;
        span->begin = (span->begin - ahead) * FRAME;
        span->end = (span->end + behind) * FRAME;
        if (span->end > samples || (i + 1 == s->count && after - span->end / FRAME < 2))
            span->end = samples;
    }
}

size_t voice_spans_most(size_t count)
{
    return count / FRAME / (PAUSE + CLICK) + count / FRAME / (LONGEST / 2) + 2;
}

size_t voice_spans(const int16_t *samples, size_t count, float *levels, struct voice_span *spans,
                   size_t most)
{
    struct spans s = {.items = spans, .most = most};
    size_t frames = count / FRAME, begin = 0, end = 0;
    for (size_t i = 0; i < frames; i++)
        levels[i] = level(samples + i * FRAME, FRAME);
    float limit = frames ? threshold(levels, frames) : 0;
    bool open = false;
    for (size_t i = 0; i < frames; i++) {
        if (levels[i] < limit)
            continue;
        if (open && i - end > PAUSE) {
            if (end - begin >= CLICK)
                add_divided(&s, levels, begin, end);
            open = false;
        }
        begin = open ? begin : i;
        open = true;
        end = i + 1;
    }
    if (open && end - begin >= CLICK)
        add_divided(&s, levels, begin, end);
    widen(&s, frames, count);
    return s.count;
}
