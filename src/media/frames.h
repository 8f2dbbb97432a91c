/* frames.h - what this module's children send to media.h's functions (types for child_send). */
#ifndef AEGIS_MEDIA_FRAMES_H
#define AEGIS_MEDIA_FRAMES_H

#include <stdint.h>

#include "media/extent.h"

enum {
    FRAME_TEXT = 1,   /* UTF-8; may be empty: "still working" */
    FRAME_TEXT_INFO,  /* struct text_info_frame, once */
    FRAME_CUE,        /* struct cue_frame, speaker, text */
    FRAME_AUDIO_INFO, /* struct audio_info_frame, once, first */
    FRAME_AUDIO,      /* 16 kHz mono s16 samples */
    FRAME_AUDIO_GAP,  /* int64_t: samples of silence that the recording skips */
    FRAME_AUDIO_END,  /* struct audio_end_frame, once, last */
};

struct text_info_frame {
    char title[512];
    char language[16];
    int64_t invalid;
};

struct cue_frame {
    int64_t start_ms, end_ms;
    uint32_t speaker_length, text_length;
};

struct audio_info_frame {
    int32_t has_audio, has_video;
    int64_t total_ms; /* -1 if the container does not say */
    struct extent extent;
    char format[64];
    char codec[32];
    char title[512];
};

struct audio_end_frame {
    int64_t samples;
    int64_t missing_ms; /* of what the recording should have; 0: nothing, -1: it cannot be told */
    int32_t truncated;  /* it ended early, rather than being damaged on the way */
};

enum { SAMPLE_RATE = 16000 };

/* How long a child may say nothing: as set, or the default. */
static inline int64_t parser_ms(int64_t set)
{
    return set > 0 ? set : 120000;
}

/* The children, for the table in children.c. */
int child_text_run(int argc, char **argv);
int child_html_run(int argc, char **argv);
int child_pdf_run(int argc, char **argv);
int child_docx_run(int argc, char **argv);
int child_subtitles_run(int argc, char **argv);
int child_audio_run(int argc, char **argv);

#endif
