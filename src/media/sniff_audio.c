/* sniff_audio.c - sound and film by their first bytes. */
#include <stdio.h>

#include "media/sniff.h"

enum {
    SCAN_BYTES = 8192,    /* how far junk before the first frame is tolerated */
    FRAMES_AT_START = 3,  /* fewer only if the file ends */
    FRAMES_AFTER_JUNK = 5 /* more, so that random bytes do not pass */
};

/* ---- frames ---- */

/* The frame's length in bytes and the header bits that all frames of a stream share; 0 if it is not
 * a header. */
struct frame {
    size_t length;
    uint32_t constant;
    const char *format;
};

static uint32_t big32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct frame mpeg_frame(const unsigned char *p)
{
    static const uint16_t kbits[2][3][16] = {
        {{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0},
         {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0},
         {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}},
        {{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0},
         {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
         {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}},
    };
    static const uint16_t rates[3] = {44100, 48000, 32000};
    static const char *const names[3] = {"mp1", "mp2", "mp3"};
    uint32_t h = big32(p);
    unsigned version = h >> 19 & 3, layer = h >> 17 & 3, bitrate = h >> 12 & 15, rate = h >> 10 & 3;
    if (h >> 21 != 0x7ff || version == 1 || layer == 0 || rate == 3)
        return (struct frame){0};
    unsigned index = 3 - layer; /* 0: layer I */
    unsigned kbit = kbits[version != 3][index][bitrate];
    if (!kbit)
        return (struct frame){0};
    unsigned hertz = rates[rate] >> (version == 3 ? 0 : version == 2 ? 1 : 2);
    unsigned padding = h >> 9 & 1, samples = index == 2 && version != 3 ? 72 : 144;
    return (struct frame){
        .length = index == 0 ? (12000 * kbit / hertz + padding) * 4
                             : samples * 1000 * kbit / hertz + padding,
        .constant = h & 0xfffe0c00,
        .format = names[index],
    };
}

static struct frame adts_frame(const unsigned char *p)
{
    uint32_t h = big32(p);
    size_t length = (size_t)(p[3] & 3) << 11 | (size_t)p[4] << 3 | p[5] >> 5;
    if ((h & 0xfff60000) != 0xfff00000 || (h >> 10 & 15) > 12 || length < 7)
        return (struct frame){0};
    return (struct frame){.length = length, .constant = h & 0xfffefdc0, .format = "aac"};
}

static struct frame frame_at(const struct head *h, size_t at)
{
    if (h->length - at < 7 || h->bytes[at] != 0xff)
        return (struct frame){0};
    struct frame f = adts_frame(h->bytes + at);
    return f.length ? f : mpeg_frame(h->bytes + at);
}

/* Follows the frames from `at`: how many agree, and whether they lead beyond what is known. */
static int count_frames(const struct head *h, size_t at, const char **format, bool *to_the_end)
{
    struct frame first = frame_at(h, at), f = first;
    int count = 0;
    *to_the_end = false;
    while (f.length && f.constant == first.constant && f.format == first.format) {
        count++;
        if (f.length >= h->length - at || h->length - at - f.length < 7) {
            *to_the_end = true;
            break;
        }
        at += f.length;
        f = frame_at(h, at);
    }
    *format = first.format;
    return count;
}

const char *sniff_frames(const struct head *h)
{
    const char *format;
    bool end;
    if (h->length < 7)
        return NULL;
    int count = count_frames(h, 0, &format, &end);
    if (count >= FRAMES_AT_START)
        return format;
    /* A short file. Not layer I, whose headers begin as UTF-16 text with a mark does. */
    if (count > 0 && end && strcmp(format, "mp1") != 0)
        return format;
    size_t stop = h->length - 6 < SCAN_BYTES ? h->length - 6 : SCAN_BYTES;
    const unsigned char *p = h->bytes + 1, *last = h->bytes + stop;
    for (; p < last && (p = memchr(p, 0xff, (size_t)(last - p))); p++)
        if (count_frames(h, (size_t)(p - h->bytes), &format, &end) >= FRAMES_AFTER_JUNK)
            return format;
    return NULL;
}

/* ---- containers ---- */

static bool found(struct media_identity *out, enum media_kind kind, const char *format)
{
    out->kind = kind;
    snprintf(out->format, sizeof out->format, "%s", format);
    return true;
}

static bool iso_brand(const struct head *h, struct media_identity *out)
{
    static const char *const images[] = {"heic", "heix", "heim", "heis", "hevc",
                                         "mif1", "msf1", "avif", "avis", "crx "};
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        if (head_has(h, 8, images[i], 4))
            return false;
    if (head_has(h, 8, "M4A", 3) || head_has(h, 8, "M4B", 3) || head_has(h, 8, "F4A", 3))
        return found(out, MEDIA_AUDIO, "m4a");
    return found(out, MEDIA_VIDEO, head_has(h, 8, "qt  ", 4) ? "mov" : "mp4");
}

/* ISO/IEC 14496-12: boxes of length and type. Old QuickTime files have no "ftyp". */
static bool iso_media(const struct head *h, struct media_identity *out)
{
    static const char *const first_boxes[] = {"moov", "mdat", "wide", "free", "skip", "pnot"};
    if (h->length < 8)
        return false;
    if (head_has(h, 4, "ftyp", 4))
        return iso_brand(h, out);
    for (size_t i = 0; i < sizeof first_boxes / sizeof first_boxes[0]; i++)
        if (head_has(h, 4, first_boxes[i], 4) && (big32(h->bytes) >= 8 || big32(h->bytes) == 1))
            return found(out, MEDIA_VIDEO, "mov");
    return false;
}

/* RFC 8794: the DocType element (0x4282) of the EBML header names the format. */
static bool ebml(const struct head *h, struct media_identity *out)
{
    if (!head_has(h, 0, "\x1a\x45\xdf\xa3", 4))
        return false;
    for (size_t i = 4; i + 3 < h->length && i < 64; i++) {
        if (head_has(h, i, "\x42\x82\x84webm", 7))
            return found(out, MEDIA_VIDEO, "webm");
        if (head_has(h, i, "\x42\x82\x88matroska", 11))
            return found(out, MEDIA_VIDEO, "matroska");
    }
    return false;
}

static bool riff(const struct head *h, struct media_identity *out)
{
    bool form = head_has(h, 0, "RIFF", 4) || head_has(h, 0, "RF64", 4) || head_has(h, 0, "BW64", 4);
    return form && head_has(h, 8, "WAVE", 4) && found(out, MEDIA_AUDIO, "wav");
}

static bool aiff(const struct head *h, struct media_identity *out)
{
    return head_has(h, 0, "FORM", 4) && (head_has(h, 8, "AIFF", 4) || head_has(h, 8, "AIFC", 4)) &&
           found(out, MEDIA_AUDIO, "aiff");
}

static bool ogg(const struct head *h, struct media_identity *out)
{
    if (!head_has(h, 0, "OggS", 4))
        return false;
    bool film = head_has(h, 28, "\x80theora", 7);
    return found(out, film ? MEDIA_VIDEO : MEDIA_AUDIO, "ogg");
}

bool sniff_container(const struct head *h, struct media_identity *out)
{
    if (riff(h, out) || aiff(h, out) || ogg(h, out) || ebml(h, out) || iso_media(h, out))
        return true;
    return head_has(h, 0, "fLaC", 4) && found(out, MEDIA_AUDIO, "flac");
}
