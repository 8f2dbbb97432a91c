/* child_subtitles.c - the child "subtitles": argument "srt" or "vtt". */
#include <stdlib.h>
#include <string.h>

#include "media/decoder.h"
#include "media/frames.h"
#include "media/subtitles.h"
#include "shared/caps.h"

static int feed(void *ctx, const char *text, size_t length)
{
    return subtitle_feed(ctx, text, length);
}

static int send_cue(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker,
                    const char *text)
{
    struct buffer *frame = ctx;
    struct cue_frame head = {
        .start_ms = start_ms,
        .end_ms = end_ms,
        .speaker_length = (uint32_t)strlen(speaker),
        .text_length = (uint32_t)strlen(text),
    };
    buffer_clear(frame);
    int rc = buffer_append(frame, &head, sizeof head);
    if (!rc)
        rc = buffer_append(frame, speaker, head.speaker_length);
    if (!rc)
        rc = buffer_append(frame, text, head.text_length);
    return rc ? rc : child_send(FRAME_CUE, frame->data, (uint32_t)frame->length);
}

int child_subtitles_run(int argc, char **argv)
{
    struct decoder *decoder;
    struct subtitle_parser parser;
    struct buffer frame;
    struct subtitle_sink sink = {.cue = send_cue, .ctx = &frame};
    struct utf8_filter *filter = malloc(sizeof *filter);
    int rc = filter ? decoder_open(&decoder)
                    : error_set(ERR_NO_MEMORY, NULL, "out of memory to read subtitles");
    if (!rc)
        rc = child_lock_down(CHILD_PURE);
    if (rc)
        return child_fail(error_last()); /* cppcheck-suppress memleak; NOLINT: the child ends */
    buffer_init(&frame, CAP_CHILD_FRAME);
    subtitle_init(&parser, argc > 0 && !strcmp(argv[0], "vtt"), &sink);
    utf8_filter_init(filter, feed, &parser, INT64_MAX);
    rc = decoder_run(decoder, false, filter);
    if (!rc)
        rc = subtitle_end(&parser);
    return rc ? child_fail(error_last()) : 0;
}
