#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "processor/chunker.h"
#include "processor/chunker_cut.h"
#include "shared/buffer.h"
#include "shared/error.h"

/* What ending a chunk at a boundary costs, in percent of a chunk's size. */
enum {
    COST_LONG_PAUSE = 0,
    COST_SPEAKER = 10,
    COST_PAUSE = 20,
    COST_SENTENCE = 25,
    COST_SEGMENT = 45,

    LONG_PAUSE_MS = 2000,
    PAUSE_MS = 700,
    IDEAL_MS = CHUNKER_MAX_MS / 3, /* a hit then lands near what was said */
    WHOLE = 1000,                  /* the size of an ideal chunk, in thousandths */
    SHORTEST_PIECE = 64,           /* bytes of a segment that is divided for its time */
};

/* A segment, or a piece of one too long for a chunk. */
struct unit {
    size_t begin, end; /* in the buffer */
    int64_t start_ms, end_ms;
    uint64_t speaker; /* hash of the name */
};

/* Units wait until two and a half chunks of them are there, so that the first cut is well chosen
 * and what remains is not tiny. */
struct segment_chunker {
    size_t target;
    struct chunk_sink sink;
    struct buffer text; /* from the first waiting unit on */
    int64_t offset;     /* of the buffer's content in the whole text */
    bool begun;
    struct unit *units;
    size_t count, capacity;
    char *room;
};

int segment_chunker_open(size_t target, const struct chunk_sink *sink, struct segment_chunker **out)
{
    if (target == 0)
        target = CHUNKER_TARGET;
    if (target < CHUNKER_TARGET_MIN)
        target = CHUNKER_TARGET_MIN;
    if (target > CHUNKER_TARGET_MAX)
        target = CHUNKER_TARGET_MAX;
    struct segment_chunker *c = *out = calloc(1, sizeof *c);
    char *room = malloc(2 * (2 * target + CUT_CONTEXT));
    if (!c || !room) {
        free(c);
        free(room);
        *out = NULL;
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for chunks of %zu bytes", target);
    }
    *c = (struct segment_chunker){.target = target, .sink = *sink, .room = room};
    buffer_init(&c->text, 8 * target);
    return OK;
}

void segment_chunker_close(struct segment_chunker *chunker)
{
    if (!chunker)
        return;
    buffer_free(&chunker->text);
    free(chunker->units);
    free(chunker->room);
    free(chunker);
}

/* ---- grouping ---- */

static int64_t duration(const struct unit *first, const struct unit *last)
{
    return last->end_ms > first->start_ms ? last->end_ms - first->start_ms : 0;
}

/* The size of units 0 to last in thousandths of an ideal chunk, by bytes or by time. */
static int64_t size_up_to(const struct segment_chunker *c, size_t last)
{
    const struct unit *u = c->units;
    int64_t bytes = (int64_t)(u[last].end - u[0].begin) * WHOLE / (int64_t)c->target;
    int64_t time = duration(&u[0], &u[last]) * WHOLE / IDEAL_MS;
    return bytes > time ? bytes : time;
}

static bool fits(const struct segment_chunker *c, size_t last)
{
    const struct unit *u = c->units;
    return (u[last].end - u[0].begin) * 10 <= c->target * 15 &&
           duration(&u[0], &u[last]) <= CHUNKER_MAX_MS;
}

static bool ends_sentence(const struct segment_chunker *c, const struct unit *u)
{
    const char *end = c->text.data + u->end;
    if (u->end > u->begin && strchr(".!?\"", end[-1]))
        return true;
    return u->end - u->begin >= 3 && !memcmp(end - 3, "\xe3\x80\x82", 3); /* ideographic */
}

static int64_t cost_after(const struct segment_chunker *c, size_t last)
{
    if (last + 1 == c->count)
        return COST_LONG_PAUSE;
    const struct unit *u = &c->units[last], *next = u + 1;
    int64_t pause = next->start_ms - u->end_ms;
    if (pause >= LONG_PAUSE_MS)
        return COST_LONG_PAUSE;
    if (next->speaker != u->speaker)
        return COST_SPEAKER;
    if (pause >= PAUSE_MS)
        return COST_PAUSE;
    return ends_sentence(c, u) ? COST_SENTENCE : COST_SEGMENT;
}

/* How many units the next chunk takes; one at least. */
static size_t choose(const struct segment_chunker *c, int64_t ideal)
{
    size_t best = 1;
    int64_t best_cost = INT64_MAX;
    if (ideal < 1)
        ideal = 1;
    for (size_t i = 0; i < c->count && (i == 0 || fits(c, i)); i++) {
        int64_t size = size_up_to(c, i), away = size > ideal ? size - ideal : ideal - size;
        int64_t cost = away * 100 / ideal + cost_after(c, i);
        if (cost < best_cost) {
            best_cost = cost;
            best = i + 1;
        }
    }
    return best;
}

static void forget(struct segment_chunker *c, size_t units)
{
    size_t gone = units < c->count ? c->units[units].begin : c->text.length;
    c->count -= units;
    memmove(c->units, c->units + units, c->count * sizeof *c->units);
    for (size_t i = 0; i < c->count; i++) {
        c->units[i].begin -= gone;
        c->units[i].end -= gone;
    }
    c->text.length -= gone;
    if (gone)
        memmove(c->text.data, c->text.data + gone, c->text.length);
    c->offset += (int64_t)gone;
}

static int emit(struct segment_chunker *c, size_t units)
{
    const struct unit *first = &c->units[0], *last = &c->units[units - 1];
    struct text_chunk chunk = {.offset = c->offset + (int64_t)first->begin,
                               .text = c->text.data + first->begin,
                               .length = last->end - first->begin,
                               .start_ms = first->start_ms,
                               .end_ms = first->end_ms};
    for (size_t i = 0; i < units; i++)
        if (c->units[i].end_ms > chunk.end_ms)
            chunk.end_ms = c->units[i].end_ms;
    int rc = c->sink.chunk(c->sink.ctx, &chunk);
    forget(c, units);
    return rc;
}

static int emit_while_full(struct segment_chunker *c)
{
    int rc = OK;
    while (!rc && c->count > 0 &&
           (size_up_to(c, c->count - 1) >= WHOLE * 5 / 2 || c->text.length > 3 * c->target))
        rc = emit(c, choose(c, WHOLE));
    return rc;
}

/* Divides what waits evenly. */
static int emit_all(struct segment_chunker *c)
{
    int rc = OK;
    while (!rc && c->count > 0) {
        int64_t size = size_up_to(c, c->count - 1), chunks = (size + WHOLE / 2) / WHOLE;
        if (chunks <= 1 && fits(c, c->count - 1))
            rc = emit(c, c->count);
        else
            rc = emit(c, choose(c, size / (chunks > 1 ? chunks : 2)));
    }
    return rc;
}

/* ---- segments ---- */

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = 14695981039346656037ull;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211ull;
    return h;
}

static int append(struct segment_chunker *c, const char *text, size_t length)
{
    if (c->count == 0) { /* nothing waits: what is in the buffer is white space */
        c->offset += (int64_t)c->text.length;
        buffer_clear(&c->text);
    }
    return buffer_append(&c->text, text, length);
}

/* Adds text as one unit, without the white space around it; white space alone is none. */
static int add_unit(struct segment_chunker *c, const struct unit *times, const char *text,
                    size_t length)
{
    int rc = append(c, text, length);
    size_t end = chunker_trimmed(text, length), skip = chunker_leading_space(text, end, 1);
    if (rc || end == 0 || skip == end)
        return rc ? rc : emit_while_full(c);
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        struct unit *units = realloc(c->units, capacity * sizeof *units);
        if (!units)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu segments", capacity);
        c->units = units;
        c->capacity = capacity;
    }
    struct unit *u = &c->units[c->count++];
    *u = *times;
    u->begin = c->text.length - length + skip;
    u->end = c->text.length - length + end;
    return emit_while_full(c);
}

/* Into how many pieces a segment has to be divided. */
static size_t pieces_of(const struct segment_chunker *c, int64_t ms, size_t length)
{
    size_t by_length = length * 2 <= c->target * 3 ? 1 : (length + c->target - 1) / c->target;
    size_t by_time = ms <= CHUNKER_MAX_MS ? 1 : (size_t)((ms + IDEAL_MS - 1) / IDEAL_MS);
    size_t most = length / SHORTEST_PIECE + 1;
    if (by_time > most)
        by_time = most;
    return by_length > by_time ? by_length : by_time;
}

static int64_t time_at(const struct unit *whole, size_t at, size_t length)
{
    double part = (double)at / (double)length;
    return whole->start_ms + (int64_t)(part * (double)(whole->end_ms - whole->start_ms));
}

/* White space that may be longer than the buffer. */
static int skip_space(struct segment_chunker *c, const char *text, size_t length)
{
    int rc = length > c->target ? emit_all(c) : OK;
    if (!rc && c->count == 0 && length > c->target) {
        c->offset += (int64_t)(c->text.length + length);
        buffer_clear(&c->text);
    } else if (!rc) {
        rc = append(c, text, length);
    }
    return rc;
}

static int divide(struct segment_chunker *c, const struct unit *whole, const char *text,
                  size_t length, size_t pieces)
{
    int rc = OK;
    for (size_t at = 0; !rc && at < length; pieces--) {
        size_t skip = chunker_leading_space(text + at, length - at, 1), left = length - at - skip;
        size_t sight = 2 * c->target + CUT_CONTEXT < left ? 2 * c->target + CUT_CONTEXT : left;
        size_t ideal = pieces > 1 ? left / pieces : left;
        size_t cut =
            pieces > 1 && ideal > 0 ? chunker_cut(text + at + skip, sight, ideal, c->room) : left;
        struct unit piece = *whole;
        rc = skip_space(c, text + at, skip);
        at += skip;
        piece.start_ms = time_at(whole, at, length);
        piece.end_ms = time_at(whole, at + cut, length);
        if (!rc)
            rc = add_unit(c, &piece, text + at, cut);
        at += cut;
        if (pieces == 1)
            break;
    }
    return rc;
}

int segment_chunker_push(struct segment_chunker *chunker, int64_t start_ms, int64_t end_ms,
                         const char *speaker, const char *text, size_t length)
{
    struct unit whole = {.start_ms = start_ms,
                         .end_ms = end_ms > start_ms ? end_ms : start_ms,
                         .speaker = hash_of(speaker)};
    if (length == 0)
        return OK;
    int rc = chunker->begun ? append(chunker, "\n", 1) : OK;
    chunker->begun = true;
    if (rc)
        return rc;
    size_t pieces = pieces_of(chunker, whole.end_ms - whole.start_ms, length);
    if (pieces == 1)
        return add_unit(chunker, &whole, text, length);
    return divide(chunker, &whole, text, length, pieces);
}

int segment_chunker_finish(struct segment_chunker *chunker)
{
    int rc = emit_all(chunker);
    chunker->count = 0;
    chunker->offset = 0;
    chunker->begun = false;
    buffer_clear(&chunker->text);
    return rc;
}
