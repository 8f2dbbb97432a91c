/*
 * fuzz_chunker.c - any bytes through both chunkers: chunks lie inside the text, in order, without
 * overlap, and leave out nothing but white space; slices do not matter.
 *
 * Input: two bytes of target, one of slice length, the text. For segments each line is one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "processor/chunker.h"
#include "shared/words.h"

struct seen {
    const char *text;
    size_t length, at;
    uint64_t hash;
};

static void require(int condition)
{
    if (!condition)
        abort();
}

static void only_space(const struct seen *seen, size_t to)
{
    for (size_t i = seen->at; i < to;) {
        size_t n = space_at(seen->text + i, seen->text + seen->length);
        require(n > 0);
        i += n;
    }
}

static int see(void *ctx, const struct text_chunk *chunk)
{
    struct seen *seen = ctx;
    size_t offset = (size_t)chunk->offset;
    require(chunk->length > 0 && offset >= seen->at && offset + chunk->length <= seen->length);
    require(!memcmp(seen->text + offset, chunk->text, chunk->length));
    only_space(seen, offset);
    seen->at = offset + chunk->length;
    seen->hash = (seen->hash ^ offset ^ chunk->length << 32) * 1099511628211ull;
    return 0;
}

static uint64_t push_text(const char *text, size_t length, size_t target, size_t slice)
{
    struct seen seen = {.text = text, .length = length};
    const struct chunk_sink sink = {.chunk = see, .ctx = &seen};
    struct chunker *chunker;
    if (chunker_open(target, &sink, &chunker))
        return 0;
    for (size_t at = 0; at < length; at += slice)
        require(!chunker_push(chunker, text + at, length - at < slice ? length - at : slice));
    require(!chunker_finish(chunker));
    only_space(&seen, length);
    chunker_close(chunker);
    return seen.hash;
}

/* Lines are segments of one second for each 16 bytes; empty ones are none. */
static void push_segments(const char *text, size_t length, size_t target)
{
    char *joined = malloc(length + 1);
    struct seen seen = {.text = joined};
    const struct chunk_sink sink = {.chunk = see, .ctx = &seen};
    struct segment_chunker *chunker;
    if (!joined || segment_chunker_open(target, &sink, &chunker)) {
        free(joined);
        return;
    }
    for (int pass = 0; pass < 2; pass++) {
        int64_t now = 0;
        for (size_t at = 0; at < length;) {
            const char *newline = memchr(text + at, '\n', length - at);
            size_t n = newline ? (size_t)(newline - text) - at : length - at;
            if (n > 0 && pass == 0) {
                if (seen.length > 0)
                    joined[seen.length++] = '\n';
                memcpy(joined + seen.length, text + at, n);
                seen.length += n;
            } else if (n > 0) {
                int64_t ms = (int64_t)(unsigned char)text[at] * (int64_t)n * 8;
                require(!segment_chunker_push(chunker, now, now + ms, text[at] & 1 ? "A" : "B",
                                              text + at, n));
                now += ms + (text[at] & 2 ? 1000 : 0);
            }
            at += n + 1;
        }
    }
    require(!segment_chunker_finish(chunker));
    only_space(&seen, seen.length);
    segment_chunker_close(chunker);
    free(joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t target = 64 + (data[0] | (size_t)data[1] << 8) % 2000, slice = 1 + data[2];
    const char *text = (const char *)data + 3;
    uint64_t all = push_text(text, size - 3, target, size);
    require(all == push_text(text, size - 3, target, slice));
    push_segments(text, size - 3, target);
    return 0;
}
