/* The subtitle parser: the first byte chooses format and step. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/subtitles.h"
#include "media/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int cue(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker, const char *text)
{
    (void)ctx;
    if (start_ms < 0 || end_ms < start_ms || !*text || strlen(text) > SUBTITLE_TEXT ||
        !utf8_valid(text, strlen(text), false) || !utf8_valid(speaker, strlen(speaker), false))
        abort();
    return 0;
}

static int feed(void *ctx, const char *text, size_t length)
{
    return subtitle_feed(ctx, text, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct utf8_filter filter;
    struct subtitle_parser parser;
    struct subtitle_sink sink = {.cue = cue};
    if (size < 1)
        return 0;
    size_t step = 1 + (data[0] >> 1);
    subtitle_init(&parser, data[0] & 1, &sink);
    utf8_filter_init(&filter, feed, &parser, INT64_MAX);
    for (size_t at = 1; at < size; at += step)
        utf8_filter_feed(&filter, data + at, size - at < step ? size - at : step);
    utf8_filter_flush(&filter);
    subtitle_end(&parser);
    subtitle_fini(&parser);
    return 0;
}
