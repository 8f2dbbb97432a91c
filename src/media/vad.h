/*
 * vad.h - which stretches of a recording are silence.
 *
 * Energy of 20 ms frames (their variance, so that a constant offset does not count), against a
 * noise floor that follows the recording: the minimum of the smoothed energy over the last eight
 * seconds, after R. Martin, "Noise power spectral density estimation based on optimal smoothing and
 * minimum statistics", IEEE Trans. Speech and Audio Processing 9(5), 2001, without its bias
 * compensation and in one band. Two thresholds lie above the floor:
 *
 *   silence  9 dB above it, but between -60 and -40 dBFS: nothing that could be speech. The upper
 * bound keeps a steady loud sound, which is all floor, from passing for silence. pause    9 dB
 * above it, but between -60 and -15 dBFS: quiet compared with what is around, a good place to cut
 * even with noise behind the speech.
 */
#ifndef AEGIS_MEDIA_VAD_H
#define AEGIS_MEDIA_VAD_H

#include <stdint.h>

enum {
    VAD_FRAME = 320, /* samples: 20 ms at 16 kHz */
    VAD_BLOCK = 50,  /* frames whose minimum is one entry of the window: 1 s */
    VAD_BLOCKS = 8,
};

enum vad_level { VAD_SILENCE, VAD_PAUSE, VAD_SOUND };

struct vad {
    float smoothed;           /* dBFS */
    float minima[VAD_BLOCKS]; /* of the last whole blocks */
    float block_minimum;      /* of the block that is being filled */
    int block_frames;
    int next;
};

void vad_init(struct vad *v);
enum vad_level vad_frame(struct vad *v, const int16_t samples[VAD_FRAME]);

#endif
