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
#include "shared/clock.h"

/* CPU time: what the slowest codec needs at its lowest bit rate on a slow machine (an hour of Opus
 * at 6 kbit/s is 2.7 MB and takes 6 s here). */
enum { CPU_BASE_MS = 120000, BYTES_PER_CPU_MS = 50 };

struct session {
    const struct audio_sink *sink;
    struct audio_info *info;
    bool accept_truncated;
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

/* ---- recordings that end early ---- */

#define WHAT_TO_DO                                                                                 \
    "upload the whole file again, or set media.accept_truncated = true to keep what there is"

/* What stands in the file against what it states, in the recording's time if that is known. */
static int ends_early(const struct extent *x, int64_t total_ms)
{
    char there[CLOCK_TEXT], of[CLOCK_TEXT], time[2 * CLOCK_TEXT + 32] = "", bytes[80];
    int64_t stated_ms = x->stated_ms > 0 ? x->stated_ms : total_ms, present_ms = x->present_ms;
    if (present_ms < 0 && stated_ms > 0 && x->stated > 0)
        present_ms = (int64_t)((double)stated_ms * (double)x->size / (double)x->stated);
    if (present_ms >= 0 && present_ms < stated_ms)
        snprintf(time, sizeof time, "about %s of %s, ", clock_format_position(present_ms, there),
                 clock_format_position(stated_ms, of));
    if (x->stated > 0)
        snprintf(bytes, sizeof bytes, "%" PRId64 " of %" PRId64 " bytes", x->size, x->stated);
    else
        snprintf(bytes, sizeof bytes, "%" PRId64 " bytes of an unknown number", x->size);
    return error_set(ERR_PERMANENT, "truncated", "it ends early (%s%s are there); " WHAT_TO_DO,
                     time, bytes);
}

static int ended_early(int64_t decoded_ms, int64_t missing_ms)
{
    char decoded[CLOCK_TEXT], of[CLOCK_TEXT];
    if (missing_ms <= 0)
        return error_set(ERR_PERMANENT, "truncated",
                         "it ends early (%s could be decoded); " WHAT_TO_DO,
                         clock_format_position(decoded_ms, decoded));
    return error_set(ERR_PERMANENT, "truncated",
                     "it ends early (%s of %s could be decoded); " WHAT_TO_DO,
                     clock_format_position(decoded_ms, decoded),
                     clock_format_position(decoded_ms + missing_ms, of));
}

/* ---- frames ---- */

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
    s->info->truncated = frame.extent.verdict == EXTENT_CUT;
    s->info->missing_ms = s->info->truncated ? -1 : 0; /* until the end says more */
    return s->info->truncated && !s->accept_truncated ? ends_early(&frame.extent, frame.total_ms)
                                                      : OK;
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
    if (frame.missing_ms < -1 || frame.missing_ms > CAP_RECORDING_MS)
        frame.missing_ms = -1;
    s->ended = true;
    s->info->truncated = frame.truncated != 0;
    s->info->missing_ms = frame.missing_ms;
    return s->info->truncated && !s->accept_truncated
               ? ended_early(s->samples * 1000 / SAMPLE_RATE, frame.missing_ms)
               : OK;
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
    s->accept_truncated = options->accept_truncated;
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
        .idle_timeout_ms = parser_ms(options->parser_ms),
    };
    memset(out, 0, sizeof *out);
    int rc = child_spawn("audio", NULL, fd, &limits, &child);
    if (rc)
        return rc;
    rc = audio_receive(child, identity, options, cancel, sink, out);
    child_close(child, NULL);
    return rc;
}
