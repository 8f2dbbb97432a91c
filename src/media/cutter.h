/*
 * cutter.h - a stream of samples becomes pieces: WAV files cut at silences.
 *
 * A piece begins 0.3 s before sound and ends, once it has its least length,
 *   - in the middle of a pause. How long the pause must be falls from 1 s at the least length of a
 *     piece to 0.2 s at the greatest. If the pause goes on, the rest of it is left out; or
 *   - 0.3 s behind the last sound, if 2 s of silence had begun before; or
 *   - at the limit, in the middle of the latest pause of 0.2 s, or hard if there is none.
 * Memory is constant: what belongs to a piece lies in its file.
 */
#ifndef AEGIS_MEDIA_CUTTER_H
#define AEGIS_MEDIA_CUTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/media.h"
#include "media/vad.h"

enum {
    CUTTER_LEAD = 15, /* frames kept before sound begins: 0.3 s */
    CUTTER_ONSET = 3, /* frames in a row that make a sound of it: clicks are shorter */
    CUTTER_RING = CUTTER_LEAD + CUTTER_ONSET,
    CUTTER_WRITE = 32 * VAD_FRAME, /* samples written at a time */
};

struct cutter {
    const struct audio_options *options;
    const struct audio_sink *sink;
    int64_t least, most; /* frames of a piece */
    struct vad vad;
    int64_t position;     /* samples of whole frames seen, gaps included */
    int64_t sound_frames; /* within pieces */
    size_t partial;       /* samples of an unfinished frame */
    int16_t frame[VAD_FRAME];

    /* outside a piece */
    int ring_count, ring_next, onset;
    int16_t ring[CUTTER_RING][VAD_FRAME];

    /* inside a piece */
    int fd; /* -1: outside */
    int index;
    int64_t start;      /* position of its first sample */
    int64_t frames;     /* its length */
    int64_t sound_end;  /* in frames of the piece: behind its last sound */
    bool heard;         /* louder than a pause, at least once: a steady sound has no pauses */
    int64_t pause;      /* frames of pause or silence up to now, once heard */
    int64_t silence;    /* frames of silence up to now */
    int64_t latest_cut; /* the middle of its latest pause; 0: none */
    size_t unwritten;
    int16_t write[CUTTER_WRITE];
};

/* Large (about 60 KB): not for the stack. `options` and `sink` are borrowed. */
void cutter_init(struct cutter *c, const struct audio_options *options,
                 const struct audio_sink *sink);
void cutter_fini(struct cutter *c);

/* 0, a file's error (ERR_DISK_FULL, ERR_IO), or what the sink returned. */
int cutter_feed(struct cutter *c, const int16_t *samples, size_t count);
int cutter_gap(struct cutter *c, int64_t samples);
int cutter_end(struct cutter *c);

int64_t cutter_position_ms(const struct cutter *c);
int64_t cutter_sound_ms(const struct cutter *c);

#endif
