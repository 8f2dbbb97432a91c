/* extent.c - extent.h: containers made of chunks, boxes and elements, which state their lengths. */
#include "media/extent.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CHUNKS = 4096, MOST_BOXES = 1 << 20, MOST_ELEMENTS = 16, MOST_TAGS = 16 };

static uint32_t big32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t little32(const unsigned char *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint64_t big64(const unsigned char *p)
{
    return (uint64_t)big32(p) << 32 | big32(p + 4);
}

static uint64_t little64(const unsigned char *p)
{
    return (uint64_t)little32(p + 4) << 32 | little32(p);
}

bool extent_read(int fd, int64_t offset, void *bytes, int64_t length)
{
    for (int64_t done = 0; done < length;) {
        ssize_t n = pread(fd, (char *)bytes + done, (size_t)(length - done), offset + done);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        done += n > 0 ? n : 0;
    }
    return true;
}

void extent_judge(struct extent *x, int64_t stated, int64_t slack)
{
    x->verdict = stated - x->size > slack ? EXTENT_CUT : EXTENT_WHOLE;
    x->stated = stated;
}

/* ---- RIFF and AIFF ---- */

/* What programs write that do not know the length yet: nothing, all ones, or the largest positive
 * number, each less a header (ffmpeg, sox, espeak-ng, arecord). */
static bool is_placeholder(uint64_t length)
{
    return length == 0 || (length >= 0x7ffff000 && length <= 0x80001000) ||
           (length >= 0xfffff000 && length <= 0xffffffff) || length >= UINT64_MAX - 0x1000;
}

struct chunks {
    int64_t samples_at;     /* -1: not met yet */
    uint64_t samples_bytes; /* as its chunk states it */
    uint64_t long_bytes;    /* as RF64 states it; 0: it does not */
    uint32_t rate, frame;   /* samples a second; bytes of one sample of all channels, or 0 */
    uint32_t count;         /* of samples, as the "fact" chunk states it */
};

/* The byte rate is of no use: of compressed sound many writers make it up. */
static void note_format(const unsigned char *body, struct chunks *c)
{
    unsigned tag = body[0] | body[1] << 8;
    bool plain = tag == 1 || tag == 3 || tag == 6 || tag == 7 || tag == 0xfffe;
    c->rate = little32(body + 4);
    c->frame = plain ? body[12] | (uint32_t)body[13] << 8 : 0;
}

static void note_riff(int fd, const unsigned char *head, int64_t at, struct chunks *c)
{
    unsigned char body[16];
    if (!memcmp(head, "data", 4)) {
        c->samples_at = at;
        c->samples_bytes = little32(head + 4);
    } else if (!memcmp(head, "fmt ", 4) && extent_read(fd, at, body, sizeof body)) {
        note_format(body, c);
    } else if (!memcmp(head, "fact", 4) && extent_read(fd, at, body, 4)) {
        c->count = little32(body);
    } else if (!memcmp(head, "ds64", 4) && extent_read(fd, at, body, sizeof body)) {
        c->long_bytes = little64(body + 8);
    }
}

static void note_aiff(const unsigned char *head, int64_t at, struct chunks *c)
{
    if (!memcmp(head, "SSND", 4)) {
        c->samples_at = at;
        c->samples_bytes = big32(head + 4);
    }
}

/* From one chunk to the next, up to the one with the samples. */
static struct chunks walk_chunks(int fd, int64_t size, bool riff)
{
    struct chunks c = {.samples_at = -1};
    unsigned char head[8];
    int64_t at = 12;
    for (int i = 0; i < MOST_CHUNKS && c.samples_at < 0 && at <= size - 8; i++) {
        if (!extent_read(fd, at, head, sizeof head))
            break;
        if (riff)
            note_riff(fd, head, at + 8, &c);
        else
            note_aiff(head, at + 8, &c);
        int64_t length = riff ? little32(head + 4) : big32(head + 4);
        at += 8 + length + (length & 1);
    }
    return c;
}

static void judge_samples(struct extent *x, const struct chunks *c)
{
    bool is_long = c->samples_bytes == UINT32_MAX && c->long_bytes > 0;
    uint64_t bytes = is_long ? c->long_bytes : c->samples_bytes;
    if (c->samples_at < 0 || is_placeholder(bytes) || bytes > INT64_MAX / 4000)
        return;
    extent_judge(x, c->samples_at + (int64_t)bytes, EXTENT_SLACK);
    uint64_t count = c->frame ? bytes / c->frame : c->count;
    if (c->rate > 0 && count > 0) {
        double there = (double)(x->size - c->samples_at) / (double)bytes;
        x->stated_ms = (int64_t)(count * 1000 / c->rate);
        x->present_ms = there < 1 ? (int64_t)((double)x->stated_ms * there) : x->stated_ms;
    }
}

void extent_of_riff(int fd, struct extent *x)
{
    struct chunks c = walk_chunks(fd, x->size, true);
    judge_samples(x, &c);
}

void extent_of_aiff(int fd, struct extent *x)
{
    struct chunks c = walk_chunks(fd, x->size, false);
    judge_samples(x, &c);
}

/* ---- ISO base media ---- */

struct boxes {
    bool index, samples, fragments;
};

static void note_box(const unsigned char *type, struct boxes *b)
{
    b->index = b->index || !memcmp(type, "moov", 4);
    b->samples = b->samples || !memcmp(type, "mdat", 4);
    b->fragments = b->fragments || !memcmp(type, "moof", 4);
}

static bool matters(const unsigned char *type)
{
    return !memcmp(type, "mdat", 4) || !memcmp(type, "moov", 4) || !memcmp(type, "moof", 4);
}

/* The length of the box whose header is there; 0: to the end of the file; -1: none. */
static int64_t box_length(int fd, int64_t at, const unsigned char *head)
{
    unsigned char large[8];
    uint64_t length = big32(head);
    if (length == 0)
        return 0;
    if (length == 1)
        length = extent_read(fd, at + 8, large, sizeof large) ? big64(large) : 0;
    return length < 8 || length > INT64_MAX / 2 ? -1 : (int64_t)length;
}

/* Of a file in fragments, and of one that ends before its index, only the end of the box that is
 * cut is known, not what was to follow. */
static void judge_boxes(struct extent *x, const struct boxes *b, int64_t end)
{
    bool no_index = b->samples && !b->index && !b->fragments;
    extent_judge(x, end, EXTENT_SLACK);
    if (no_index)
        x->verdict = EXTENT_CUT;
    if (b->fragments || end <= x->size)
        x->stated = -1;
}

void extent_of_boxes(int fd, struct extent *x)
{
    struct boxes b = {0};
    unsigned char head[8];
    int64_t at = 0;
    for (int i = 0; i < MOST_BOXES && at <= x->size - 8; i++) {
        int64_t length = extent_read(fd, at, head, sizeof head) ? box_length(fd, at, head) : -1;
        if (length < 0)
            return;
        note_box(head + 4, &b);
        if (length == 0)
            break;
        at += length;
        if (at > x->size && !matters(head + 4))
            return;
    }
    judge_boxes(x, &b, at);
}

/* ---- Matroska ---- */

/* An element's size; -1: unknown, or not there. *at moves behind it. */
static int64_t ebml_size(int fd, int64_t *at)
{
    unsigned char b[8];
    if (!extent_read(fd, *at, b, 1) || b[0] == 0)
        return -1;
    int length = __builtin_clz((unsigned)b[0] << 24) + 1;
    if (!extent_read(fd, *at, b, length))
        return -1;
    uint64_t size = b[0] & (0xffu >> length);
    for (int i = 1; i < length; i++)
        size = size << 8 | b[i];
    *at += length;
    return size == (UINT64_C(1) << 7 * length) - 1 ? -1 : (int64_t)size;
}

/* Elements before the segment: the EBML header, and padding ("Void", one byte of id). */
void extent_of_ebml(int fd, struct extent *x)
{
    unsigned char id[4];
    int64_t at = 0;
    for (int i = 0; i < MOST_ELEMENTS && extent_read(fd, at, id, sizeof id); i++) {
        at += id[0] == 0xec ? 1 : 4;
        int64_t size = ebml_size(fd, &at);
        if (size < 0 || __builtin_add_overflow(at, size, &at))
            return;
        if (!memcmp(id, "\x18\x53\x80\x67", 4)) {
            extent_judge(x, at, EXTENT_SLACK);
            return;
        }
    }
}

/* ---- */

static bool is_box(const unsigned char *head)
{
    static const char first[] = "ftypmoovmdatwidefreeskippnot";
    for (size_t i = 0; i + 4 < sizeof first; i += 4)
        if (!memcmp(head + 4, first + i, 4))
            return true;
    return false;
}

/* The length of the ID3v2 tag that begins with these ten bytes (id3.org, ID3v2.4.0 section 3.1). */
static int64_t tag_length(const unsigned char *p)
{
    int64_t body =
        (int64_t)(p[6] & 0x7f) << 21 | (p[7] & 0x7f) << 14 | (p[8] & 0x7f) << 7 | (p[9] & 0x7f);
    return 10 + body + (p[5] & 0x10 ? 10 : 0);
}

static void look(int fd, struct extent *x)
{
    unsigned char head[10] = {0};
    int64_t at = 0;
    for (int i = 0; i < MOST_TAGS && extent_read(fd, at, head, 10) && !memcmp(head, "ID3", 3); i++)
        at += tag_length(head);
    if (!extent_read(fd, at, head, 8))
        return;
    if (!memcmp(head, "RIFF", 4) || !memcmp(head, "RF64", 4) || !memcmp(head, "BW64", 4))
        extent_of_riff(fd, x);
    else if (!memcmp(head, "FORM", 4))
        extent_of_aiff(fd, x);
    else if (!memcmp(head, "\x1a\x45\xdf\xa3", 4))
        extent_of_ebml(fd, x);
    else if (!memcmp(head, "OggS", 4))
        extent_of_ogg(fd, x);
    else if (!memcmp(head, "fLaC", 4))
        extent_of_flac(fd, at, x);
    else if (is_box(head))
        extent_of_boxes(fd, x);
    else
        extent_of_mpeg(fd, at, x);
}

struct extent extent_of(int fd)
{
    struct extent x = {.stated = -1, .stated_ms = -1, .present_ms = -1};
    off_t at = lseek(fd, 0, SEEK_CUR);
    x.size = at < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (at < 0 || lseek(fd, at, SEEK_SET) < 0 || x.size < 8)
        return x;
    look(fd, &x);
    return x;
}
