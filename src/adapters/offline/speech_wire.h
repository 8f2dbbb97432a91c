/* speech_wire.h - the frames between the "speech" child and speech.c. */
#ifndef AEGIS_OFFLINE_SPEECH_WIRE_H
#define AEGIS_OFFLINE_SPEECH_WIRE_H

#include <stdint.h>

enum speech_frame {
    SPEECH_READY = 1, /* model loaded, sandbox closed */
    SPEECH_SEGMENT,   /* struct speech_segment and its text without a NUL */
    SPEECH_ALIVE,     /* an utterance without words is done */
};

struct speech_segment {
    int64_t start_ms, end_ms;
};

/* A piece of audio is read whole: ten minutes are 19 MB. */
enum { SPEECH_LONGEST_MS = 600000, SPEECH_MOST_BYTES = SPEECH_LONGEST_MS * 32 + 65536 };

#endif
