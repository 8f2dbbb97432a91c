/*
 * child_audio.c - the child "audio": any recording becomes 16 kHz mono s16, as a stream.
 *
 * The container is read through callbacks over descriptor 0; no other file can be opened, by three
 * independent means: no protocol is allowed, io_open refuses, and seccomp would kill. Only
 * containers that media_identify knows, and only audio decoders, are allowed: a film's video is
 * never decoded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media/av.h"
#include "media/frames.h"
#include "shared/caps.h"
#include "shared/child.h"
#include "shared/error.h"

static const char allowed_formats[] = "wav,aiff,mp3,aac,mov,mp4,ogg,flac,matroska,webm";
static const char allowed_codecs[] =
    "mp3float,mp3,mp2float,mp2,mp1float,mp1,aac,aac_latm,opus,vorbis,flac,alac,ac3,eac3,dca,amrnb,"
    "amrwb,libspeex,speex,gsm,gsm_ms,wavpack,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,"
    "pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_s64le,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_g722,adpcm_g726";

enum {
    IO_BYTES = 32 << 10,
    SEND_SAMPLES = SAMPLE_RATE, /* a frame a second */
    GAP_SAMPLES = SAMPLE_RATE / 10,
    MOST_OUT_SAMPLES = 8 << 20, /* of one decoded frame */
};
static const int64_t JUMP_SAMPLES = (int64_t)SAMPLE_RATE * 3600 * 24;

struct decoding {
    const struct av *av;
    AVFormatContext *format;
    AVIOContext *io;
    AVStream *stream;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    SwrContext *resampler;
    struct { /* what the resampler was made for */
        AVChannelLayout layout;
        int rate, format;
    } input;
    int16_t *out;
    int out_capacity;
    int64_t position; /* samples sent or waiting to be, gaps included */
    int64_t start;    /* when the recording begins, in samples of its own clock */
    bool started;     /* `start` is settled */
    int64_t shift;    /* added to timestamps after a senseless jump */
    size_t waiting;
    int16_t send[SEND_SAMPLES];
    struct extent extent;
    int64_t samples;        /* sent, gaps not counted */
    int64_t undecodable;    /* packets */
    int64_t undecodable_ms; /* that these lasted */
    bool read_failed;       /* before the end of the file */
};

/* ---- input ---- */

static int read_input(void *ctx, uint8_t *bytes, int capacity)
{
    (void)ctx;
    for (;;) {
        ssize_t n = read(0, bytes, (size_t)capacity);
        if (n > 0)
            return (int)n;
        if (n == 0)
            return AVERROR_EOF;
        if (errno != EINTR)
            return AVERROR(errno);
    }
}

static int64_t seek_input(void *ctx, int64_t offset, int whence)
{
    (void)ctx;
    if (whence & AVSEEK_SIZE) {
        off_t at = lseek(0, 0, SEEK_CUR), end = lseek(0, 0, SEEK_END);
        lseek(0, at, SEEK_SET);
        return end;
    }
    off_t at = lseek(0, offset, whence & ~AVSEEK_FORCE);
    return at < 0 ? AVERROR(errno) : at;
}

static int refuse_open(AVFormatContext *s, AVIOContext **io, const char *url, int flags,
                       AVDictionary **options)
{
    (void)s, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EACCES);
}

/* ---- errors ---- */

static int av_failed(const struct av *av, const char *what, int err)
{
    char text[128] = "";
    if (err == AVERROR(ENOMEM))
        return error_set(ERR_PERMANENT, "parser_memory",
                         "the recording needs more memory than a decoder may have");
    av->av_strerror(err, text, sizeof text);
    return error_set(ERR_PERMANENT, "unreadable", "the recording cannot be %s: %s", what, text);
}

static int no_memory(void)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory to decode a recording");
}

/* After a failure: of a file whose end is missing, that is the reason. */
static int or_truncated(const struct decoding *d, int rc)
{
    if (d->extent.verdict != EXTENT_CUT || strcmp(error_last()->reason, "unreadable") != 0)
        return rc;
    if (d->extent.stated > 0)
        return error_set(ERR_PERMANENT, "truncated",
                         "it ends early (%" PRId64 " of %" PRId64 " bytes are there), and nothing "
                         "of that can be decoded; upload the whole file again",
                         d->extent.size, d->extent.stated);
    return error_set(ERR_PERMANENT, "truncated",
                     "it ends early (after %" PRId64 " bytes), and nothing of that can be decoded; "
                     "upload the whole file again",
                     d->extent.size);
}

/* ---- opening ---- */

static int open_container(struct decoding *d)
{
    const struct av *av = d->av;
    uint8_t *buffer = av->av_malloc(IO_BYTES);
    d->format = av->avformat_alloc_context();
    if (buffer && d->format)
        d->io = av->avio_alloc_context(buffer, IO_BYTES, 0, NULL, read_input, NULL, seek_input);
    if (!d->io)
        return no_memory();
    d->io->seekable = lseek(0, 0, SEEK_CUR) < 0 ? 0 : AVIO_SEEKABLE_NORMAL;
    d->format->pb = d->io;
    d->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    d->format->io_open = refuse_open;
    d->format->format_whitelist = av->av_strdup(allowed_formats);
    d->format->codec_whitelist = av->av_strdup(allowed_codecs);
    d->format->protocol_whitelist = av->av_strdup("");
    if (!d->format->format_whitelist || !d->format->codec_whitelist ||
        !d->format->protocol_whitelist)
        return no_memory();
    int err = av->avformat_open_input(&d->format, "", NULL, NULL);
    if (err < 0)
        return av_failed(av, "opened", err);
    err = av->avformat_find_stream_info(d->format, NULL);
    return err < 0 ? av_failed(av, "understood", err) : OK;
}

static bool is_film(const AVStream *stream)
{
    return stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           !(stream->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS));
}

/* The best audio stream; the demuxer skips the others, but pictures only once `started`. NULL if
 * there is none. */
static void choose_stream(struct decoding *d, bool *has_video)
{
    int best = d->av->av_find_best_stream(d->format, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0);
    *has_video = false;
    for (unsigned i = 0; i < d->format->nb_streams; i++) {
        AVStream *stream = d->format->streams[i];
        bool film = is_film(stream);
        *has_video = *has_video || film;
        stream->discard = (int)i == best || film ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    d->stream = best >= 0 ? d->format->streams[best] : NULL;
}

static int open_codec(struct decoding *d)
{
    const struct av *av = d->av;
    const AVCodecParameters *parameters = d->stream->codecpar;
    const char *name = av->avcodec_get_name(parameters->codec_id);
    const AVCodec *codec = av->avcodec_find_decoder(parameters->codec_id);
    if (!codec)
        return error_set(ERR_PERMANENT, "no_decoder", "there is no decoder for its sound ('%s')",
                         name);
    d->codec = av->avcodec_alloc_context3(codec);
    d->packet = av->av_packet_alloc();
    d->frame = av->av_frame_alloc();
    if (!d->codec || !d->packet || !d->frame)
        return no_memory();
    d->codec->codec_whitelist = av->av_strdup(allowed_codecs);
    int err = av->avcodec_parameters_to_context(d->codec, parameters);
    if (err >= 0) {
        d->codec->thread_count = 1; /* the sandbox allows no threads */
        d->codec->pkt_timebase = d->stream->time_base;
        err = av->avcodec_open2(d->codec, codec, NULL);
    }
    if (err == AVERROR(EINVAL))
        return error_set(ERR_PERMANENT, "no_decoder", "its sound ('%s') is of a kind not decoded",
                         name);
    return err < 0 ? av_failed(av, "decoded", err) : OK;
}

/* ---- output ---- */

static int flush_send(struct decoding *d)
{
    size_t n = d->waiting;
    d->waiting = 0;
    return n ? child_send(FRAME_AUDIO, d->send, (uint32_t)(n * sizeof d->send[0])) : OK;
}

static int put_samples(struct decoding *d, const int16_t *samples, size_t count)
{
    d->position += (int64_t)count;
    d->samples += (int64_t)count;
    while (count > 0) {
        size_t n = SEND_SAMPLES - d->waiting;
        if (n > count)
            n = count;
        memcpy(d->send + d->waiting, samples, n * sizeof samples[0]);
        d->waiting += n;
        samples += n;
        count -= n;
        if (d->waiting == SEND_SAMPLES) {
            int rc = flush_send(d);
            if (rc)
                return rc;
        }
    }
    return OK;
}

static int put_gap(struct decoding *d, int64_t samples)
{
    int rc = flush_send(d);
    d->position += samples;
    return rc ? rc : child_send(FRAME_AUDIO_GAP, &samples, sizeof samples);
}

/* ---- resampling ---- */

/* The rest inside the resampler; with_input false means the end to it. */
static int resample(struct decoding *d, bool with_input)
{
    const struct av *av = d->av;
    int count = with_input ? d->frame->nb_samples : 0;
    int room = av->swr_get_out_samples(d->resampler, count);
    if (room < 0 || room > MOST_OUT_SAMPLES)
        return error_set(ERR_PERMANENT, "unreadable", "the recording has a frame of absurd length");
    if (room > d->out_capacity) {
        int16_t *grown = realloc(d->out, (size_t)room * sizeof *grown);
        if (!grown)
            return no_memory();
        d->out = grown;
        d->out_capacity = room;
    }
    if (room == 0)
        return OK;
    uint8_t *out = (uint8_t *)d->out;
    int n = av->swr_convert(d->resampler, &out, room,
                            with_input ? (const uint8_t **)d->frame->extended_data : NULL, count);
    return n < 0 ? av_failed(av, "resampled", n) : put_samples(d, d->out, (size_t)n);
}

static bool same_input(const struct decoding *d)
{
    return d->resampler && d->input.rate == d->frame->sample_rate &&
           d->input.format == d->frame->format &&
           !d->av->av_channel_layout_compare(&d->input.layout, &d->frame->ch_layout);
}

/* A resampler for what this frame is like; the old one's rest goes out first. */
static int prepare_resampler(struct decoding *d)
{
    const struct av *av = d->av;
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
    if (d->frame->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC) { /* as in many WAV files */
        int channels = d->frame->ch_layout.nb_channels;
        av->av_channel_layout_default(&d->frame->ch_layout, channels);
    }
    if (same_input(d))
        return OK;
    int rc = d->resampler ? resample(d, false) : OK;
    av->swr_free(&d->resampler);
    if (rc)
        return rc;
    int err = av->swr_alloc_set_opts2(&d->resampler, &mono, AV_SAMPLE_FMT_S16, SAMPLE_RATE,
                                      &d->frame->ch_layout, d->frame->format, d->frame->sample_rate,
                                      0, NULL);
    if (err >= 0)
        err = av->swr_init(d->resampler);
    if (err >= 0)
        err = av->av_channel_layout_copy(&d->input.layout, &d->frame->ch_layout);
    if (err < 0)
        return av_failed(av, "resampled", err);
    d->input.rate = d->frame->sample_rate;
    d->input.format = d->frame->format;
    return OK;
}

/* ---- time ---- */

static int64_t to_samples(const struct decoding *d, int64_t ticks, AVRational unit)
{
    AVRational samples = {1, SAMPLE_RATE};
    return d->av->av_rescale_q(ticks, unit, samples);
}

static void begin_at(struct decoding *d, int64_t ticks, AVRational unit)
{
    int64_t at;
    if (ticks == AV_NOPTS_VALUE)
        return;
    at = to_samples(d, ticks, unit);
    if (d->start == AV_NOPTS_VALUE || at < d->start)
        d->start = at;
}

/*
 * The recording's time starts, as players show it, at the earliest of its streams: at what the
 * container says, or at the earliest packet up to the first one of sound. (Where a film's pictures
 * start is not known beforehand, for they are not decoded.)
 */
static void settle_start(struct decoding *d, const AVPacket *packet)
{
    const AVStream *stream = d->format->streams[packet->stream_index];
    if (d->format->nb_streams > 1 || d->format->start_time == AV_NOPTS_VALUE)
        begin_at(d, packet->pts == AV_NOPTS_VALUE ? packet->dts : packet->pts, stream->time_base);
    if (stream != d->stream)
        return;
    begin_at(d, d->format->start_time, (AVRational){1, AV_TIME_BASE});
    d->started = true;
    for (unsigned i = 0; i < d->format->nb_streams; i++)
        if (d->format->streams[i] != d->stream)
            d->format->streams[i]->discard = AVDISCARD_ALL;
}

/*
 * Where the frame belongs, against where it would land. One that is late by more than a tenth of a
 * second leaves a gap; one that is early is taken as it comes, for sound is never dropped; jumps by
 * a day or back by more than a second are a fault in the file, and time goes on from there.
 */
static int mind_the_gap(struct decoding *d)
{
    int64_t pts = d->frame->best_effort_timestamp;
    if (pts == AV_NOPTS_VALUE || d->start == AV_NOPTS_VALUE)
        return OK;
    int64_t at = to_samples(d, pts, d->stream->time_base);
    int64_t lands =
        d->position + (d->resampler ? d->av->swr_get_delay(d->resampler, SAMPLE_RATE) : 0);
    int64_t gap;
    if (__builtin_sub_overflow(at, d->start, &gap) || __builtin_add_overflow(gap, d->shift, &gap) ||
        __builtin_sub_overflow(gap, lands, &gap))
        return OK;
    if (gap > JUMP_SAMPLES || gap < -SAMPLE_RATE) {
        d->shift -= gap;
        return OK;
    }
    return gap > GAP_SAMPLES ? put_gap(d, gap) : OK;
}

/* ---- decoding ---- */

static int take_frame(struct decoding *d)
{
    if (d->frame->nb_samples <= 0 || d->frame->sample_rate <= 0)
        return OK;
    int rc = mind_the_gap(d);
    if (!rc)
        rc = prepare_resampler(d);
    return rc ? rc : resample(d, true);
}

static int receive_frames(struct decoding *d)
{
    for (;;) {
        int err = d->av->avcodec_receive_frame(d->codec, d->frame);
        if (err == AVERROR(EAGAIN) || err == AVERROR_EOF)
            return OK;
        if (err == AVERROR(ENOMEM))
            return av_failed(d->av, "decoded", err);
        if (err < 0) {
            d->undecodable++;
            return OK;
        }
        int rc = take_frame(d);
        d->av->av_frame_unref(d->frame);
        if (rc)
            return rc;
    }
}

/* NULL tells the decoder that the end has come. */
static int decode_packet(struct decoding *d, const AVPacket *packet)
{
    AVRational milli = {1, 1000};
    int64_t before = d->undecodable;
    int err = d->av->avcodec_send_packet(d->codec, packet);
    if (err == AVERROR(ENOMEM))
        return av_failed(d->av, "decoded", err);
    if (err < 0 && err != AVERROR_EOF)
        d->undecodable++;
    int rc = receive_frames(d);
    if (packet && packet->duration > 0 && d->undecodable > before)
        d->undecodable_ms += d->av->av_rescale_q(packet->duration, d->stream->time_base, milli);
    return rc;
}

static int decode_all(struct decoding *d)
{
    const struct av *av = d->av;
    int err, rc = OK;
    while (!rc && (err = av->av_read_frame(d->format, d->packet)) >= 0) {
        if (!d->started)
            settle_start(d, d->packet);
        if (d->packet->stream_index == d->stream->index)
            rc = decode_packet(d, d->packet);
        av->av_packet_unref(d->packet);
    }
    if (rc)
        return rc;
    if (err == AVERROR(ENOMEM))
        return av_failed(av, "read", err);
    d->read_failed = err != AVERROR_EOF;
    rc = decode_packet(d, NULL);
    if (!rc && d->resampler)
        rc = resample(d, false);
    return rc ? rc : flush_send(d);
}

/* ---- before and after ---- */

/* Milliseconds that the container itself states for the sound; -1 if it does not. A length that was
 * estimated from the bit rate says nothing about completeness. */
static int64_t stated_ms(const struct decoding *d)
{
    AVRational milli = {1, 1000};
    if (d->extent.verdict == EXTENT_CUT && d->extent.stated_ms > 0)
        return d->extent.stated_ms; /* FFmpeg takes what is there for all there is */
    if (d->format->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE)
        return -1;
    if (d->stream->duration > 0)
        return d->av->av_rescale_q(d->stream->duration, d->stream->time_base, milli);
    if (d->format->nb_streams == 1 && d->format->duration > 0)
        return d->format->duration / (AV_TIME_BASE / 1000);
    return -1;
}

/* "" is not a name that the tag could have. */
static void copy_title(struct decoding *d, struct audio_info_frame *info)
{
    const AVDictionaryEntry *tag = d->av->av_dict_get(d->format->metadata, "title", NULL, 0);
    if (!tag && d->stream) /* Ogg keeps its tags with the stream */
        tag = d->av->av_dict_get(d->stream->metadata, "title", NULL, 0);
    if (tag)
        snprintf(info->title, sizeof info->title, "%s", tag->value);
}

static int send_info(struct decoding *d, bool has_video)
{
    struct audio_info_frame info = {
        .has_audio = d->stream != NULL,
        .has_video = has_video,
        .total_ms = d->format->duration > 0 ? d->format->duration / (AV_TIME_BASE / 1000) : -1,
        .extent = d->extent,
    };
    snprintf(info.format, sizeof info.format, "%s", d->format->iformat->name);
    if (d->stream)
        snprintf(info.codec, sizeof info.codec, "%s",
                 d->av->avcodec_get_name(d->stream->codecpar->codec_id));
    copy_title(d, &info);
    return child_send(FRAME_AUDIO_INFO, &info, sizeof info);
}

/* How far sound may fall short of what is stated, for clocks and encoders round differently. */
static int64_t tolerance(int64_t ms)
{
    return 250 + ms / 1000;
}

/* Milliseconds that are not there or could not be decoded; what the file lacks in bytes stands for
 * it where no duration is stated. */
static int64_t missing_ms(const struct decoding *d, bool *ended_early)
{
    const struct extent *x = &d->extent;
    int64_t decoded = d->position * 1000 / SAMPLE_RATE, stated = stated_ms(d);
    int64_t missing = stated - decoded > tolerance(stated) ? stated - decoded : 0;
    *ended_early = x->verdict == EXTENT_CUT || (x->verdict == EXTENT_UNSTATED && missing > 0);
    if (d->undecodable_ms > tolerance(decoded) && d->undecodable_ms > missing)
        missing = d->undecodable_ms;
    if (missing == 0 && *ended_early && x->stated > x->size)
        missing = (int64_t)((double)decoded * ((double)x->stated / (double)x->size - 1)) + 1;
    if (missing == 0 && (*ended_early || d->read_failed))
        missing = -1;
    return missing;
}

/* Nothing was decoded: either there was nothing (a header alone), or nothing of it could be. */
static int judge_end(struct decoding *d)
{
    bool ended_early;
    struct audio_end_frame end = {.samples = d->samples, .missing_ms = missing_ms(d, &ended_early)};
    end.truncated = ended_early;
    if (d->samples == 0 && (d->undecodable > 0 || end.missing_ms != 0 || stated_ms(d) > 0))
        return error_set(ERR_PERMANENT, "unreadable",
                         "nothing of the recording can be decoded; it may be cut off or damaged");
    return child_send(FRAME_AUDIO_END, &end, sizeof end);
}

static int decode(struct decoding *d)
{
    bool has_video;
    d->extent = extent_of(0);
    int rc = open_container(d);
    if (rc)
        return or_truncated(d, rc);
    choose_stream(d, &has_video);
    rc = send_info(d, has_video);
    if (rc || !d->stream)
        return rc;
    rc = open_codec(d);
    if (!rc)
        rc = decode_all(d);
    if (!rc)
        rc = judge_end(d);
    return rc ? or_truncated(d, rc) : OK;
}

int child_audio_run(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct av av;
    struct decoding *d = calloc(1, sizeof *d);
    int rc = d ? av_load(&av) : no_memory();
    if (!rc) {
        av.av_log_set_level(AV_LOG_QUIET);
        d->av = &av;
        d->start = AV_NOPTS_VALUE;
        rc = child_lock_down(CHILD_PURE);
    }
    if (!rc)
        rc = decode(d);
    /* NOLINTNEXTLINE: the process ends, and its memory goes with it */
    return rc ? child_fail(error_last()) : 0;
}
