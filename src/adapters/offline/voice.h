/*
 * voice.h - where in a piece of audio somebody speaks, by loudness alone.
 *
 * Frames of 20 ms are voiced when they are louder than a threshold between the piece's own quiet
 * and loud frames. Pauses shorter than VOICE_PAUSE_MS are bridged, clicks dropped, and what is
 * longer than VOICE_LONGEST_MS is divided at its quietest moment.
 */
#ifndef AEGIS_OFFLINE_VOICE_H
#define AEGIS_OFFLINE_VOICE_H

#include <stddef.h>
#include <stdint.h>

enum {
    VOICE_RATE = 16000,
    VOICE_PAUSE_MS = 400,
    VOICE_LONGEST_MS = 12000,
    VOICE_MARGIN_MS = 200, /* kept around what is voiced, as the recogniser likes it */
};

struct voice_span {
    size_t begin, end; /* samples */
};

/* Spans in order, not overlapping. At most `most`; what is beyond is added to the last. Returns how
 * many, 0 if nobody speaks. `levels` holds samples / 320 + 1 numbers. */
size_t voice_spans(const int16_t *samples, size_t count, float *levels, struct voice_span *spans,
                   size_t most);

/* How many spans a piece can have. */
size_t voice_spans_most(size_t count);

#endif
