#include "processor/chunker.h"

#include <stdlib.h>
#include <string.h>

#include "processor/chunker_cut.h"
#include "shared/error.h"

/* A chunk is cut once `sight` bytes are in the buffer, or the text has ended. Only these bytes
 * decide, so that slices do not matter. What is left after a cut is at least 1.7 targets. */
struct chunker {
    size_t target, sight, capacity;
    struct chunk_sink sink;
    int64_t offset;    /* of the buffer's content in the text */
    size_t begin, end; /* of the content in the buffer */
    char *room;        /* for chunker_cut */
    char data[];
};

enum { READ_AHEAD = 16384 };

static size_t bounded(size_t target)
{
    if (target == 0)
        target = CHUNKER_TARGET;
    if (target < CHUNKER_TARGET_MIN)
        return CHUNKER_TARGET_MIN;
    return target < CHUNKER_TARGET_MAX ? target : CHUNKER_TARGET_MAX;
}

int chunker_open(size_t target, const struct chunk_sink *sink, struct chunker **out)
{
    target = bounded(target);
    size_t sight = 3 * target + CUT_CONTEXT, capacity = sight + READ_AHEAD;
    struct chunker *c = *out = malloc(sizeof *c + capacity + 2 * sight);
    if (!c)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for chunks of %zu bytes", target);
    *c = (struct chunker){.target = target, .sight = sight, .capacity = capacity, .sink = *sink};
    c->room = c->data + capacity;
    return OK;
}

void chunker_close(struct chunker *chunker)
{
    free(chunker);
}

static void drop(struct chunker *c, size_t n)
{
    c->begin += n;
    c->offset += (int64_t)n;
}

static int emit(struct chunker *c, size_t length)
{
    const struct text_chunk chunk = {.offset = c->offset,
                                     .text = c->data + c->begin,
                                     .length = length,
                                     .start_ms = -1,
                                     .end_ms = -1};
    drop(c, length);
    return c->sink.chunk(c->sink.ctx, &chunk);
}

static int cut_while_full(struct chunker *c)
{
    int rc = OK;
    while (!rc) {
        drop(c, chunker_leading_space(c->data + c->begin, c->end - c->begin, 0));
        if (c->end - c->begin < c->sight)
            break;
        rc = emit(c, chunker_cut(c->data + c->begin, c->sight, c->target, c->room));
    }
    return rc;
}

int chunker_push(struct chunker *chunker, const char *text, size_t length)
{
    struct chunker *c = chunker;
    int rc = OK;
    while (!rc && length > 0) {
        if (c->end == c->capacity) {
            memmove(c->data, c->data + c->begin, c->end - c->begin);
            c->end -= c->begin;
            c->begin = 0;
        }
        size_t n = c->capacity - c->end < length ? c->capacity - c->end : length;
        memcpy(c->data + c->end, text, n);
        c->end += n;
        text += n;
        length -= n;
        rc = cut_while_full(c);
    }
    return rc;
}

static int cut_the_rest(struct chunker *c)
{
    int rc = OK;
    while (!rc) {
        drop(c, chunker_leading_space(c->data + c->begin, c->end - c->begin, 1));
        size_t left = chunker_trimmed(c->data + c->begin, c->end - c->begin);
        if (left == 0)
            break;
        size_t chunks = (left + c->target / 2) / c->target;
        if (chunks > 1)
            rc = emit(c, chunker_cut(c->data + c->begin, left, left / chunks, c->room));
        else
            rc = emit(c, left);
    }
    return rc;
}

int chunker_finish(struct chunker *chunker)
{
    int rc = cut_the_rest(chunker);
    chunker->offset = 0;
    chunker->begin = chunker->end = 0;
    return rc;
}
