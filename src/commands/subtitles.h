/*
 * subtitles.h - segments as text, SubRip and WebVTT (https://www.w3.org/TR/webvtt1/).
 */
#ifndef AEGIS_COMMANDS_SUBTITLES_H
#define AEGIS_COMMANDS_SUBTITLES_H

#include <stdbool.h>
#include <stdio.h>

#include "ports/database.h"

struct subtitle_writer {
    FILE *out;
    bool plain; /* txt: no times, no speakers */
    bool draft, incomplete;
    int64_t count; /* cues written */
};

/* What stands before the first cue of the format whose row function is given. */
void subtitles_begin(struct subtitle_writer *w,
                     int (*row)(void *writer, const struct segment_row *));

/* For segments_each. Text is made safe for its format: no blank lines, no "-->", VTT's markup
 * characters escaped; an end at or before its start becomes one millisecond after it. */
int subtitles_txt(void *writer, const struct segment_row *segment);
int subtitles_srt(void *writer, const struct segment_row *segment);
int subtitles_vtt(void *writer, const struct segment_row *segment);

#endif
