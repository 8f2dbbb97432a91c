/* frames.h - what this module's children send to media.h's functions (types for child_send). */
#ifndef AEGIS_MEDIA_FRAMES_H
#define AEGIS_MEDIA_FRAMES_H

#include <stdint.h>

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
    char format[64];
    char codec[32];
    char title[512];
};

struct audio_end_frame {
    int64_t undecodable; /* packets */
    int64_t samples;
    int32_t cut_short; /* the file ended before its own index or header said so */
};

enum { SAMPLE_RATE = 16000 };

/* The children, for the table in children.c. */
int child_text_run(int argc, char **argv);
int child_html_run(int argc, char **argv);
int child_pdf_run(int argc, char **argv);
int child_docx_run(int argc, char **argv);
int child_subtitles_run(int argc, char **argv);
int child_audio_run(int argc, char **argv);

#endif
