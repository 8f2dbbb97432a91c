/*
 * audio.c - measures an upload as it streams by: what format it is, how long, how loud.
 *
 * Only WAV (RIFF, PCM s16) is really measured; other formats are known by their first bytes and
 * taken for 16,000 bytes a second.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

enum { HEAD = 4096, WINDOWS = 20000 };

struct meter {
    char head[HEAD];
    size_t head_length;
    int64_t total; /* bytes of the file */
    const char *format;
    bool measured; /* WAV: the samples were found */
    size_t data_offset;
    int64_t rate;     /* bytes a second */
    int64_t position; /* bytes of samples so far */
    unsigned char odd;
    bool has_odd;
    double sums[WINDOWS];
    int64_t counts[WINDOWS];
};

struct meter *meter_new(void)
{
    return calloc(1, sizeof(struct meter));
}

void meter_free(struct meter *m)
{
    free(m);
}

static uint32_t le32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return u[0] | u[1] << 8 | u[2] << 16 | (uint32_t)u[3] << 24;
}

static unsigned le16(const char *p)
{
    return (unsigned char)p[0] | (unsigned)(unsigned char)p[1] << 8;
}

/* Finds "fmt " and "data" in the head. */
static void read_wav(struct meter *m)
{
    size_t at = 12;
    while (at + 8 <= m->head_length) {
        uint32_t size = le32(m->head + at + 4);
        if (memcmp(m->head + at, "fmt ", 4) == 0 && at + 24 <= m->head_length) {
            bool pcm = le16(m->head + at + 8) == 1 && le16(m->head + at + 22) == 16;
            m->rate = pcm ? le32(m->head + at + 16) : 0;
        } else if (memcmp(m->head + at, "data", 4) == 0) {
            m->data_offset = at + 8;
            m->measured = m->rate > 0;
            return;
        }
        if (size > HEAD)
            return;
        at += 8 + size + (size & 1);
    }
}

static bool starts(const struct meter *m, size_t at, const char *magic, size_t length)
{
    return m->head_length >= at + length && memcmp(m->head + at, magic, length) == 0;
}

static const char *identify(const struct meter *m)
{
    if (starts(m, 0, "RIFF", 4) && starts(m, 8, "WAVE", 4))
        return "wav";
    if (starts(m, 0, "ID3", 3) || starts(m, 0, "\xff\xfb", 2) || starts(m, 0, "\xff\xf3", 2))
        return "mp3";
    if (starts(m, 0, "OggS", 4))
        return "ogg";
    if (starts(m, 0, "fLaC", 4))
        return "flac";
    if (starts(m, 4, "ftyp", 4))
        return "m4a";
    return starts(m, 0, "\x1a\x45\xdf\xa3", 4) ? "webm" : NULL;
}

static void add_sample(struct meter *m, int16_t sample)
{
    size_t window = (size_t)(m->position * 1000 / m->rate / METER_WINDOW_MS);
    m->position += 2;
    if (window >= WINDOWS)
        return;
    m->sums[window] += (double)sample * sample;
    m->counts[window]++;
}

static void add_samples(struct meter *m, const char *bytes, size_t length)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + length;
    if (m->has_odd && p < end) {
        add_sample(m, (int16_t)(m->odd | *p++ << 8));
        m->has_odd = false;
    }
    for (; end - p >= 2; p += 2)
        add_sample(m, (int16_t)(p[0] | p[1] << 8));
    if (p < end) {
        m->odd = *p;
        m->has_odd = true;
    }
}

/* Samples that came with the head are added when the head is understood. */
static void head_complete(struct meter *m)
{
    m->format = identify(m);
    if (m->format && strcmp(m->format, "wav") == 0)
        read_wav(m);
    if (m->measured && m->data_offset < m->head_length)
        add_samples(m, m->head + m->data_offset, m->head_length - m->data_offset);
}

void meter_feed(struct meter *m, const char *bytes, size_t length)
{
    m->total += (int64_t)length;
    if (m->head_length < HEAD) {
        size_t take = HEAD - m->head_length;
        take = take < length ? take : length;
        memcpy(m->head + m->head_length, bytes, take);
        m->head_length += take;
        bytes += take;
        length -= take;
        if (m->head_length < HEAD)
            return;
        head_complete(m);
    }
    if (m->measured)
        add_samples(m, bytes, length);
}

const char *meter_format(const struct meter *m)
{
    if (m->head_length < HEAD && m->total > 0 && !m->format)
        head_complete((struct meter *)m); /* a short file: its head is all of it */
    return m->format;
}

int64_t meter_duration_ms(const struct meter *m)
{
    if (!meter_format(m))
        return 0;
    return m->measured ? m->position * 1000 / m->rate : m->total * 1000 / 16000;
}

size_t meter_windows(const struct meter *m)
{
    size_t n = (size_t)((meter_duration_ms(m) + METER_WINDOW_MS - 1) / METER_WINDOW_MS);
    return n < WINDOWS ? n : WINDOWS;
}

int meter_level(const struct meter *m, size_t window)
{
    if (!m->measured)
        return 1000;
    return m->counts[window] ? (int)sqrt(m->sums[window] / (double)m->counts[window]) : 0;
}
