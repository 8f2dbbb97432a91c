/* vad.c - see vad.h. */
#include "media/vad.h"

#include <math.h>
#include <stdbool.h>

static const float LEAST = -100.0f, MOST = 0.0f, ABOVE_FLOOR = 9.0f;
static const float THRESHOLD_LOW = -60.0f, SILENCE_HIGH = -40.0f, PAUSE_HIGH = -15.0f;

void vad_init(struct vad *v)
{
    *v = (struct vad){.smoothed = NAN, .block_minimum = MOST};
    for (int i = 0; i < VAD_BLOCKS; i++)
        v->minima[i] = MOST;
}

/* dBFS of the frame's variance. */
static float energy(const int16_t samples[VAD_FRAME])
{
    int32_t sum = 0;
    int64_t squares = 0;
    for (int i = 0; i < VAD_FRAME; i++) {
        sum += samples[i];
        squares += (int32_t)samples[i] * samples[i];
    }
    double mean = (double)sum / VAD_FRAME;
    double variance = (double)squares / VAD_FRAME - mean * mean;
    const double full = 32768.0 * 32768.0;
    return variance < full * 1e-10 ? LEAST : (float)(10.0 * log10(variance / full));
}

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

static float noise_floor(const struct vad *v)
{
    float least = v->block_minimum;
    for (int i = 0; i < VAD_BLOCKS; i++)
        least = fminf(least, v->minima[i]);
    return least;
}

static void follow_floor(struct vad *v, float level)
{
    v->smoothed = isnan(v->smoothed) ? level : 0.7f * v->smoothed + 0.3f * level;
    v->block_minimum = fminf(v->block_minimum, v->smoothed);
    if (++v->block_frames < VAD_BLOCK)
        return;
    v->minima[v->next] = v->block_minimum;
    v->next = (v->next + 1) % VAD_BLOCKS;
    v->block_minimum = v->smoothed;
    v->block_frames = 0;
}

enum vad_level vad_frame(struct vad *v, const int16_t samples[VAD_FRAME])
{
    float level = energy(samples);
    follow_floor(v, level);
    float threshold = noise_floor(v) + ABOVE_FLOOR;
    if (level < clamp(threshold, THRESHOLD_LOW, SILENCE_HIGH))
        return VAD_SILENCE;
    return level < clamp(threshold, THRESHOLD_LOW, PAUSE_HIGH) ? VAD_PAUSE : VAD_SOUND;
}
