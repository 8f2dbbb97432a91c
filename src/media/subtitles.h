/*
 * subtitles.h - SubRip (de-facto format) and WebVTT (https://www.w3.org/TR/webvtt1/) read line by
 * line.
 *
 * Tolerant: hours may be missing, numbers too, times may go back, junk between cues is skipped; a
 * cue whose end lies before its start is dropped.
 */
#ifndef AEGIS_MEDIA_SUBTITLES_H
#define AEGIS_MEDIA_SUBTITLES_H

#include <stdbool.h>
#include <stdint.h>

#include "media/media.h"
#include "shared/buffer.h"

enum { SUBTITLE_LINE = 16 << 10, SUBTITLE_TEXT = 64 << 10 }; /* what is longer is cut */

struct subtitle_parser {
    const struct subtitle_sink *sink;
    bool vtt;
    bool in_cue;
    bool in_comment; /* a NOTE, STYLE or REGION block of VTT */
    int64_t start_ms, end_ms;
    int64_t cues;
    struct buffer line;
    struct buffer text;  /* raw lines of the cue, each with its \n */
    size_t last_line;    /* where the last of them begins */
    struct buffer clean; /* without markup */
    char speaker[128];
};

void subtitle_init(struct subtitle_parser *p, bool vtt, const struct subtitle_sink *sink);
void subtitle_fini(struct subtitle_parser *p);

/* `text` is valid UTF-8 with \n (utf8.h). 0, ERR_NO_MEMORY, "too_large" past CAP_SEGMENTS cues, or
 * what the sink returned. */
int subtitle_feed(struct subtitle_parser *p, const char *text, size_t length);
int subtitle_end(struct subtitle_parser *p);

#endif
