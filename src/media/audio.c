/* audio.c - media_decode_audio: the parent's side. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio.h"
#include "media/cutter.h"
#include "media/frames.h"
#include "media/utf8.h"
#include "shared/caps.h"

/* CPU time: what the slowest codec needs at its lowest bit rate on a slow machine (an hour of Opus
 * at 6 kbit/s is 2.7 MB and takes 6 s here). */
enum { IDLE_MS = 60000, CPU_BASE_MS = 120000, BYTES_PER_CPU_MS = 50 };

struct session {
    const struct audio_sink *sink;
    struct audio_info *info;
    int64_t total_ms;
    bool begun, ended;
    int64_t samples;
    struct cutter cutter;
};

static int malformed(void)
{
    return error_set(ERR_PERMANENT, "parser_crashed", "the decoder sent a malformed frame");
}

static void copy_text(char *out, size_t capacity, const char *text, size_t limit)
{
    size_t n = strnlen(text, limit - 1);
    if (!utf8_valid(text, n, true))
        n = 0;
    n = utf8_cut(text, n, n < capacity ? n : capacity - 1);
    memcpy(out, text, n);
    out[n] = '\0';
}

static int take_info(struct session *s, const struct buffer *payload)
{
    struct audio_info_frame frame;
    if (payload->length != sizeof frame || s->begun)
        return malformed();
    memcpy(&frame, payload->data, sizeof frame);
    s->begun = true;
    s->total_ms = frame.total_ms;
    s->info->has_audio = frame.has_audio;
    s->info->has_video = frame.has_video;
    if (!*s->info->format)
        copy_text(s->info->format, sizeof s->info->format, frame.format, sizeof frame.format);
    copy_text(s->info->codec, sizeof s->info->codec, frame.codec, sizeof frame.codec);
    copy_text(s->info->title, sizeof s->info->title, frame.title, sizeof frame.title);
    return OK;
}

static int advance(struct session *s, int64_t samples)
{
    s->samples += samples;
    if (s->samples / SAMPLE_RATE * 1000 > CAP_RECORDING_MS)
        return error_set(ERR_PERMANENT, "too_large",
                         "the recording is longer than %" PRId64 " hours",
                         CAP_RECORDING_MS / 3600000);
    if (s->sink->progress)
        s->sink->progress(s->sink->ctx, s->samples * 1000 / SAMPLE_RATE, s->total_ms);
    return OK;
}

static int take_samples(struct session *s, const struct buffer *payload)
{
    size_t count = payload->length / sizeof(int16_t);
    if (payload->length % sizeof(int16_t) || !s->begun)
        return malformed();
    int rc = cutter_feed(&s->cutter, (const int16_t *)payload->data, count);
    return rc ? rc : advance(s, (int64_t)count);
}

static int take_gap(struct session *s, const struct buffer *payload)
{
    int64_t samples;
    if (payload->length != sizeof samples || !s->begun)
        return malformed();
    memcpy(&samples, payload->data, sizeof samples);
    if (samples < 0 || samples > CAP_RECORDING_MS * (SAMPLE_RATE / 1000))
        return malformed();
    int rc = cutter_gap(&s->cutter, samples);
    return rc ? rc : advance(s, samples);
}

static int take_end(struct session *s, const struct buffer *payload)
{
    struct audio_end_frame frame;
    if (payload->length != sizeof frame || !s->begun)
        return malformed();
    memcpy(&frame, payload->data, sizeof frame);
    s->ended = true;
    s->info->truncated = frame.undecodable > 0 || frame.cut_short;
    return OK;
}

static int take(struct session *s, uint32_t type, const struct buffer *payload)
{
    switch (type) {
    case FRAME_AUDIO_INFO:
        return take_info(s, payload);
    case FRAME_AUDIO:
        return take_samples(s, payload);
    case FRAME_AUDIO_GAP:
        return take_gap(s, payload);
    case FRAME_AUDIO_END:
        return take_end(s, payload);
    default:
        return malformed();
    }
}

static int receive(struct session *s, struct child *child, const struct cancel *cancel)
{
    struct buffer payload;
    uint32_t type;
    int rc;
    buffer_init(&payload, CAP_CHILD_FRAME);
    do {
        rc = child_receive(child, cancel, &type, &payload);
        if (!rc && type)
            rc = take(s, type, &payload);
    } while (!rc && type);
    buffer_free(&payload);
    if (!rc && (!s->begun || (s->info->has_audio && !s->ended)))
        rc = malformed();
    return rc ? rc : cutter_end(&s->cutter);
}

int audio_receive(struct child *child, const struct media_identity *identity,
                  const struct audio_options *options, const struct cancel *cancel,
                  const struct audio_sink *sink, struct audio_info *out)
{
    struct session *s = malloc(sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to decode a recording");
    memset(s, 0, offsetof(struct session, cutter));
    s->sink = sink;
    s->info = out;
    copy_text(out->format, sizeof out->format, identity->format, sizeof identity->format);
    cutter_init(&s->cutter, options, sink);
    int rc = receive(s, child, cancel);
    out->duration_ms = cutter_position_ms(&s->cutter);
    out->voiced_ms = cutter_sound_ms(&s->cutter);
    cutter_fini(&s->cutter);
    free(s);
    return rc;
}

int media_decode_audio(int fd, int64_t size, const struct media_identity *identity,
                       const struct audio_options *options, const struct cancel *cancel,
                       const struct audio_sink *sink, struct audio_info *out)
{
    struct child *child;
    struct child_limits limits = {
        .cpu_ms = CPU_BASE_MS + size / BYTES_PER_CPU_MS,
        .idle_timeout_ms = IDLE_MS,
    };
    memset(out, 0, sizeof *out);
    int rc = child_spawn("audio", NULL, fd, &limits, &child);
    if (rc)
        return rc;
    rc = audio_receive(child, identity, options, cancel, sink, out);
    child_close(child, NULL);
    return rc;
}
