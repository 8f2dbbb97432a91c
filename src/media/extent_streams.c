/* extent_streams.c - extent.h: streams of frames and pages, which show their end by what stands in
 * the last of them, or by a count in the first. */
#include <stdlib.h>
#include <string.h>

#include "media/extent.h"

enum {
    OGG_TAIL = 256 << 10, /* several pages of the longest kind (65,307 bytes) */
    OGG_HEADER = 27,
    FLAC_TAIL = 128 << 10,
    FLAC_MOST_TAIL = 8 << 20,
    FLAC_HEADER = 16, /* the longest frame header */
    MPEG_HEAD = 16 << 10,
};

static uint32_t big(const unsigned char *p, int bytes)
{
    uint32_t n = 0;
    for (int i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

/* A piece of the file in memory. */
struct part {
    unsigned char *bytes;
    int64_t at, length;
};

static bool part_load(int fd, int64_t at, int64_t length, struct part *out)
{
    *out = (struct part){.bytes = malloc((size_t)length + 1), .at = at, .length = length};
    if (out->bytes && extent_read(fd, at, out->bytes, length))
        return true;
    free(out->bytes);
    return false;
}

static bool part_tail(int fd, int64_t size, int64_t length, struct part *out)
{
    return part_load(fd, size > length ? size - length : 0, size < length ? size : length, out);
}

/* ---- Ogg ---- */

/* The length of the page that begins at `at`; 0 if its table does not lie within the part, -1 if no
 * page begins there. */
static int64_t page_length(const struct part *p, int64_t at)
{
    int64_t left = p->length - at;
    const unsigned char *h = p->bytes + at;
    if (memcmp(h, "OggS", (size_t)(left < 5 ? left : 5)) != 0) /* with version 0: its NUL */
        return -1;
    if (left < OGG_HEADER || left < OGG_HEADER + h[26])
        return 0;
    int64_t length = OGG_HEADER + h[26];
    for (int i = 0; i < h[26]; i++)
        length += h[OGG_HEADER + i];
    return length;
}

/* The first page of the part that leads to another one, or to the end of the file; -1 if none. */
static int64_t first_page(const struct part *p)
{
    for (int64_t at = 0; at < p->length; at++) {
        const unsigned char *found = memchr(p->bytes + at, 'O', (size_t)(p->length - at));
        if (!found)
            break;
        at = found - p->bytes;
        int64_t length = page_length(p, at);
        bool at_start = p->at + at == 0 && length >= 0;
        if (at_start || (length > 0 && at + length == p->length) ||
            (length > 0 && at + length < p->length && page_length(p, at + length) >= 0))
            return at;
    }
    return -1;
}

static void judge_pages(const struct part *p, struct extent *x)
{
    int64_t at = first_page(p);
    while (at >= 0 && at < p->length) {
        int64_t length = page_length(p, at);
        if (length < 0)
            return; /* something else follows the last page */
        if (length == 0 || at + length > p->length) {
            x->verdict = EXTENT_CUT;
            return;
        }
        at += length;
    }
    if (at >= 0)
        x->verdict = EXTENT_WHOLE;
}

void extent_of_ogg(int fd, struct extent *x)
{
    struct part tail;
    if (!part_tail(fd, x->size, OGG_TAIL, &tail))
        return;
    judge_pages(&tail, x);
    free(tail.bytes);
}

/* ---- FLAC ---- */

struct flac_info {
    uint32_t block, longest_frame, rate, channels;
    uint64_t samples;
};

/* STREAMINFO (RFC 9639 section 8.2), the first metadata block. */
static bool read_streaminfo(int fd, int64_t at, struct flac_info *out)
{
    unsigned char b[4 + 34];
    if (!extent_read(fd, at + 4, b, sizeof b) || (b[0] & 0x7f) != 0)
        return false;
    const unsigned char *p = b + 4;
    *out = (struct flac_info){.block = big(p, 2),
                              .longest_frame = big(p + 7, 3),
                              .rate = big(p + 10, 3) >> 4,
                              .channels = (p[12] >> 1 & 7) + 1u,
                              .samples = (uint64_t)(p[13] & 15) << 32 | big(p + 14, 4)};
    return out->rate > 0 && out->samples > 0;
}

static uint8_t crc8(const unsigned char *p, int length)
{
    uint8_t crc = 0;
    for (int i = 0; i < length; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (uint8_t)(crc << 1 ^ (crc & 0x80 ? 0x07 : 0));
    }
    return crc;
}

/* The number coded like UTF-8, of up to seven bytes; its length, or 0. */
static int coded_number(const unsigned char *p, uint64_t *out)
{
    int length = p[0] < 0x80 ? 1 : __builtin_clz(~((unsigned)p[0] << 24));
    if (p[0] == 0xff || (p[0] >= 0x80 && length < 2))
        return 0;
    *out = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *out = *out << 6 | (p[i] & 0x3f);
    }
    return length;
}

static uint32_t block_size(unsigned code, const unsigned char *extra)
{
    if (code == 6)
        return extra[0] + 1u;
    if (code == 7)
        return big(extra, 2) + 1;
    return code == 1 ? 192 : code < 6 ? 576u << (code - 2) : 256u << (code - 8);
}

/* The sample behind the frame whose header (RFC 9639 section 9.1) is at p; 0 if it is none. */
static uint64_t frame_end(const unsigned char *p, const struct flac_info *info)
{
    unsigned block = p[2] >> 4, rate = p[2] & 15, channels = p[3] >> 4;
    uint64_t number;
    if (p[0] != 0xff || (p[1] & 0xfe) != 0xf8 || block == 0 || rate == 15 || channels > 10 ||
        (p[3] & 1) || (channels < 8 ? channels + 1 : 2) != info->channels)
        return 0;
    int n = coded_number(p + 4, &number);
    if (n == 0)
        return 0;
    int extra = (block == 6) + 2 * (block == 7), header = 4 + n + extra;
    header += (rate == 12) + 2 * (rate == 13 || rate == 14);
    if (crc8(p, header) != p[header])
        return 0;
    uint64_t start = p[1] & 1 ? number : number * info->block;
    return start + block_size(block, p + 4 + n);
}

/* The last sample that a frame in the part leads to. What looks like a header by chance hardly has
 * a number that fits. */
static uint64_t last_sample(const struct part *p, const struct flac_info *info)
{
    uint64_t last = 0;
    for (int64_t at = 0; at + FLAC_HEADER <= p->length; at++) {
        const unsigned char *found =
            memchr(p->bytes + at, 0xff, (size_t)(p->length - FLAC_HEADER - at + 1));
        if (!found)
            break;
        at = found - p->bytes;
        uint64_t end = frame_end(found, info);
        if (end > last && end <= info->samples + info->block)
            last = end;
    }
    return last;
}

void extent_of_flac(int fd, int64_t at, struct extent *x)
{
    struct flac_info info;
    struct part tail;
    if (!read_streaminfo(fd, at, &info))
        return;
    int64_t window = 2 * (int64_t)info.longest_frame + FLAC_TAIL;
    if (!part_tail(fd, x->size, window < FLAC_MOST_TAIL ? window : FLAC_MOST_TAIL, &tail))
        return;
    uint64_t last = last_sample(&tail, &info);
    free(tail.bytes);
    if (last == 0)
        return;
    bool cut = last + info.block + info.rate / 4 < info.samples;
    x->verdict = cut ? EXTENT_CUT : EXTENT_WHOLE;
    x->stated_ms = (int64_t)(info.samples * 1000 / info.rate);
    x->present_ms = cut ? (int64_t)(last * 1000 / info.rate) : x->stated_ms;
}

/* ---- MP3 ---- */

/* What the header frame at p (of which `left` bytes are there) says of the length: bytes from this
 * frame on, and frames; false if it is no header frame. */
static bool header_frame(const unsigned char *p, int64_t left, uint32_t *bytes, uint32_t *frames)
{
    enum { XING_BYTES = 16, VBRI_AT = 36, VBRI_BYTES = 18 };
    bool mpeg1 = (p[1] >> 3 & 3) == 3, mono = p[3] >> 6 == 3;
    int64_t at = 4 + (mpeg1 ? mono ? 17 : 32 : mono ? 9 : 17);
    if (p[0] != 0xff || (p[1] & 0xe6) != 0xe2 || (p[1] & 0x18) == 0x08) /* layer III */
        return false;
    if (left >= VBRI_AT + VBRI_BYTES && !memcmp(p + VBRI_AT, "VBRI", 4)) {
        *bytes = big(p + VBRI_AT + 10, 4);
        *frames = big(p + VBRI_AT + 14, 4);
        return true;
    }
    const unsigned char *tag = p + at;
    if (left < at + XING_BYTES || (memcmp(tag, "Xing", 4) != 0 && memcmp(tag, "Info", 4) != 0))
        return false;
    uint32_t flags = big(tag + 4, 4);
    bool has_frames = flags & 1, has_bytes = flags & 2;
    *frames = has_frames ? big(tag + 8, 4) : 0;
    *bytes = has_bytes ? big(tag + 8 + 4 * has_frames, 4) : 0;
    return true;
}

/* Writers differ in whether they count the header frame itself, and a tag of 128 bytes may have
 * been taken off the end. */
void extent_of_mpeg(int fd, int64_t at, struct extent *x)
{
    struct part head;
    uint32_t bytes = 0, frames = 0;
    int64_t left = x->size - at;
    if (left < 4 || !part_load(fd, at, left < MPEG_HEAD ? left : MPEG_HEAD, &head))
        return;
    int64_t i = 0;
    while (i + 4 <= head.length && !header_frame(head.bytes + i, head.length - i, &bytes, &frames))
        i++;
    free(head.bytes);
    if (bytes > 0)
        extent_judge(x, at + i + bytes,
                     EXTENT_SLACK + (frames > 0 ? 2 * ((int64_t)bytes / frames) : 0));
}
