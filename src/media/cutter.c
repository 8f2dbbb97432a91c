/* cutter.c - see cutter.h. */
#include "media/cutter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "media/frames.h"
#include "media/wav.h"
#include "shared/error.h"
#include "shared/file.h"

enum {
    FRAME_MS = 20,
    DEFAULT_MOST_MS = 10 * 60 * 1000,
    DEFAULT_LEAST_MS = 30 * 1000,
    TAIL = 15,           /* frames kept behind sound */
    LONG_SILENCE = 100,  /* frames: it is left out */
    LONGEST_PAUSE = 50,  /* asked for at the least length */
    SHORTEST_PAUSE = 10, /* asked for at the greatest */
};

static const char spool[] = "a piece of audio";

void cutter_init(struct cutter *c, const struct audio_options *options,
                 const struct audio_sink *sink)
{
    int64_t most_ms = options->max_ms ? options->max_ms : DEFAULT_MOST_MS;
    memset(c, 0, sizeof *c);
    c->options = options;
    c->sink = sink;
    c->fd = -1;
    c->most = most_ms / FRAME_MS;
    int64_t least_ms = options->min_ms ? options->min_ms : DEFAULT_LEAST_MS;
    c->least = (least_ms + FRAME_MS - 1) / FRAME_MS;
    if (options->max_bytes) {
        int64_t frames = (options->max_bytes - WAV_HEADER) / (VAD_FRAME * (int64_t)sizeof(int16_t));
        if (frames < c->most)
            c->most = frames;
    }
    if (c->most < CUTTER_RING + 1) /* room for a lead and a frame of sound */
        c->most = CUTTER_RING + 1;
    if (c->least > c->most / 2)
        c->least = c->most / 2;
    vad_init(&c->vad);
}

void cutter_fini(struct cutter *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

int64_t cutter_position_ms(const struct cutter *c)
{
    return (c->position + (int64_t)c->partial) * 1000 / SAMPLE_RATE;
}

int64_t cutter_sound_ms(const struct cutter *c)
{
    return c->sound_frames * FRAME_MS;
}

/* ---- the piece's file ---- */

static int write_out(struct cutter *c)
{
    size_t n = c->unwritten;
    c->unwritten = 0;
    return n ? file_write_all(c->fd, spool, c->write, n * sizeof c->write[0]) : OK;
}

static int append(struct cutter *c, const int16_t frame[VAD_FRAME])
{
    memcpy(c->write + c->unwritten, frame, VAD_FRAME * sizeof frame[0]);
    c->unwritten += VAD_FRAME;
    c->frames++;
    return c->unwritten == CUTTER_WRITE ? write_out(c) : OK;
}

static int open_piece(struct cutter *c, int64_t start)
{
    unsigned char room[WAV_HEADER] = {0};
    c->start = start;
    c->frames = c->sound_end = c->pause = c->silence = c->latest_cut = 0;
    c->heard = false;
    c->unwritten = 0;
    int rc = file_temporary(c->options->spool_directory, &c->fd);
    return rc ? rc : file_write_all(c->fd, spool, room, sizeof room);
}

/* Gives the first `samples` of the file `fd` to the sink, which owns it from here on. */
static int hand_over(struct cutter *c, int fd, int64_t samples)
{
    unsigned char header[WAV_HEADER];
    int64_t size = WAV_HEADER + samples * (int64_t)sizeof(int16_t);
    wav_header(header, SAMPLE_RATE, samples);
    int rc = OK;
    if (ftruncate(fd, size) || pwrite(fd, header, sizeof header, 0) != sizeof header ||
        lseek(fd, 0, SEEK_SET) != 0)
        rc = error_set_errno(errno, "cannot write '%s'", spool);
    if (rc) {
        close(fd);
        return rc;
    }
    struct audio_piece piece = {
        .index = c->index++,
        .start_ms = c->start * 1000 / SAMPLE_RATE,
        .end_ms = (c->start + samples) * 1000 / SAMPLE_RATE,
        .fd = fd,
        .size = size,
    };
    return c->sink->piece(c->sink->ctx, &piece);
}

/* A piece that was begun behind a cut and in which nothing was heard. */
static int drop_piece(struct cutter *c)
{
    close(c->fd);
    c->fd = -1;
    c->ring_count = c->onset = 0;
    return OK;
}

/* Ends the piece after `samples` of it; what lies behind is dropped. */
static int end_piece(struct cutter *c, int64_t samples)
{
    if (c->sound_end == 0)
        return drop_piece(c);
    int rc = write_out(c), fd = c->fd;
    c->fd = -1;
    c->ring_count = c->onset = 0;
    if (!rc)
        return hand_over(c, fd, samples);
    close(fd);
    return rc;
}

static int close_piece(struct cutter *c, int64_t frames)
{
    return end_piece(c, frames * VAD_FRAME);
}

static int copy_frames(struct cutter *c, int from, int64_t first, int64_t count)
{
    int rc = OK;
    for (int64_t i = 0; i < count && !rc; i++) {
        int16_t frame[VAD_FRAME];
        size_t got;
        int64_t at = WAV_HEADER + (first + i) * (int64_t)sizeof frame;
        rc = file_read_at(from, spool, frame, sizeof frame, at, &got);
        if (!rc && got < sizeof frame)
            rc = error_set(ERR_IO, NULL, "'%s' lost its end", spool);
        if (!rc)
            rc = append(c, frame);
    }
    return rc;
}

/* Ends the piece at `cut`; what lies behind begins the next one, unless it is all silence. */
static int split_piece(struct cutter *c, int64_t cut)
{
    int64_t tail = c->frames - cut, silence = c->silence;
    int64_t start = c->start, sound_end = c->sound_end;
    if (silence > 0 && silence >= tail)
        return close_piece(c, cut);
    int rc = write_out(c), old = c->fd;
    c->fd = -1;
    if (!rc)
        rc = open_piece(c, start + cut * VAD_FRAME);
    if (!rc)
        rc = copy_frames(c, old, cut, tail);
    if (rc) {
        close(old);
        return rc;
    }
    c->silence = silence;
    c->sound_end = sound_end > cut ? sound_end - cut : 0;
    int64_t next = c->start;
    c->start = start; /* hand_over speaks of the old piece */
    rc = hand_over(c, old, cut * VAD_FRAME);
    c->start = next;
    return rc;
}

/* ---- where to cut ---- */

/* How many frames a pause must have to cut there, at this length of the piece. */
static int64_t pause_wanted(const struct cutter *c)
{
    int64_t way = c->most - c->least, gone = c->frames - c->least;
    return LONGEST_PAUSE - (LONGEST_PAUSE - SHORTEST_PAUSE) * gone / (way > 0 ? way : 1);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int consider_cut(struct cutter *c)
{
    int64_t middle = later(c->frames - c->pause / 2, c->least);
    if (c->sound_end == 0 && c->frames >= CUTTER_LEAD)
        return drop_piece(c);
    if (c->frames < c->least)
        return OK;
    if (c->pause >= SHORTEST_PAUSE)
        c->latest_cut = middle;
    if (c->silence >= LONG_SILENCE)
        return close_piece(c, later(c->sound_end + TAIL, c->least));
    if (c->pause >= pause_wanted(c))
        return split_piece(c, middle);
    if (c->frames >= c->most)
        return split_piece(c, c->latest_cut ? c->latest_cut : c->most);
    return OK;
}

/* ---- frame by frame ---- */

/* Sound begins: the piece starts with what the ring holds. */
static int begin_piece(struct cutter *c)
{
    int rc = open_piece(c, c->position - (int64_t)c->ring_count * VAD_FRAME);
    for (int i = 0; i < c->ring_count && !rc; i++) {
        int at = (c->ring_next - c->ring_count + i + 2 * CUTTER_RING) % CUTTER_RING;
        rc = append(c, c->ring[at]);
    }
    c->sound_end = c->frames;
    c->sound_frames += CUTTER_ONSET;
    c->ring_count = c->onset = 0;
    return rc;
}

static int outside(struct cutter *c, const int16_t frame[VAD_FRAME], enum vad_level level)
{
    memcpy(c->ring[c->ring_next], frame, VAD_FRAME * sizeof frame[0]);
    c->ring_next = (c->ring_next + 1) % CUTTER_RING;
    if (c->ring_count < CUTTER_RING)
        c->ring_count++;
    c->onset = level == VAD_SILENCE ? 0 : c->onset + 1;
    return c->onset >= CUTTER_ONSET ? begin_piece(c) : OK;
}

static int inside(struct cutter *c, const int16_t frame[VAD_FRAME], enum vad_level level)
{
    int rc = append(c, frame);
    c->heard = c->heard || level == VAD_SOUND;
    bool quiet = level == VAD_SILENCE || (level == VAD_PAUSE && c->heard);
    c->pause = quiet ? c->pause + 1 : 0;
    c->silence = level == VAD_SILENCE ? c->silence + 1 : 0;
    if (level != VAD_SILENCE) {
        c->sound_end = c->frames;
        c->sound_frames++;
    }
    return rc ? rc : consider_cut(c);
}

static int take_frame(struct cutter *c, const int16_t frame[VAD_FRAME])
{
    enum vad_level level = vad_frame(&c->vad, frame);
    c->position += VAD_FRAME;
    return c->fd < 0 ? outside(c, frame, level) : inside(c, frame, level);
}

/* Completes an unfinished frame, or starts one; *used of the samples. */
static int take_partial(struct cutter *c, const int16_t *samples, size_t count, size_t *used)
{
    size_t n = VAD_FRAME - c->partial;
    if (n > count)
        n = count;
    memcpy(c->frame + c->partial, samples, n * sizeof samples[0]);
    c->partial += n;
    *used = n;
    if (c->partial < VAD_FRAME)
        return OK;
    c->partial = 0;
    return take_frame(c, c->frame);
}

int cutter_feed(struct cutter *c, const int16_t *samples, size_t count)
{
    int rc = OK;
    while (count > 0 && !rc) {
        size_t used = VAD_FRAME;
        if (c->partial || count < VAD_FRAME)
            rc = take_partial(c, samples, count, &used);
        else
            rc = take_frame(c, samples);
        samples += used;
        count -= used;
    }
    return rc;
}

int cutter_gap(struct cutter *c, int64_t samples)
{
    static const int16_t zeros[VAD_FRAME];
    int rc = OK;
    while (!rc && samples > 0 && (c->fd >= 0 || c->partial)) {
        size_t n = samples < VAD_FRAME ? (size_t)samples : VAD_FRAME, used;
        rc = take_partial(c, zeros, n, &used);
        samples -= (int64_t)used;
    }
    if (!rc && samples > 0) { /* outside a piece silence needs no counting */
        c->position += samples;
        c->ring_count = c->onset = 0;
    }
    return rc;
}

int cutter_end(struct cutter *c)
{
    int64_t position = c->position + (int64_t)c->partial;
    int rc = OK;
    if (c->partial) { /* the last frame is filled up with silence */
        memset(c->frame + c->partial, 0, (VAD_FRAME - c->partial) * sizeof c->frame[0]);
        c->partial = 0;
        rc = take_frame(c, c->frame);
    }
    c->position = position;
    if (!rc && c->fd >= 0) {
        int64_t wanted = (c->sound_end + TAIL) * VAD_FRAME, all = position - c->start;
        rc = end_piece(c, wanted < all ? wanted : all);
    }
    return rc;
}
