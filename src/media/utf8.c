/* utf8.c - see utf8.h. */
#include "media/utf8.h"

#include <endian.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"

/* Length and the allowed range of the second byte, by lead byte (Unicode Standard, table 3-7). */
static int lead(unsigned char c, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c < 0xe0)
        return 2;
    if (c < 0xf0) {
        if (c == 0xe0)
            *low = 0xa0;
        if (c == 0xed)
            *high = 0x9f;
        return 3;
    }
    if (c == 0xf0)
        *low = 0x90;
    if (c == 0xf4)
        *high = 0x8f;
    return 4;
}

int utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char low, high;
    int length = lead(p[0], &low, &high);
    if (length == 0)
        return -1;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= n)
            return 0;
        if (p[i] < low || p[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

bool utf8_valid(const char *text, size_t n, bool open_end)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        uint64_t eight;
        if (n - i >= sizeof eight) {
            memcpy(&eight, p + i, sizeof eight);
            if (!(eight & 0x8080808080808080)) {
                i += sizeof eight;
                continue;
            }
        }
        int length = p[i] < 0x80 ? 1 : utf8_sequence(p + i, n - i);
        if (length == 0)
            return open_end;
        if (length < 0)
            return false;
        i += (size_t)length;
    }
    return true;
}

size_t utf8_cut(const char *p, size_t n, size_t limit)
{
    if (n <= limit)
        return n;
    while (limit > 0 && ((unsigned char)p[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

/* The eight bytes at p with the first in the lowest place. */
static inline uint64_t load(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return htole64(word);
}

/* A high bit for each byte that is not plain: NUL, CR or beyond ASCII. Exact up to the lowest such
 * byte (a borrow only moves up), which is all that is asked of it. ("Bit Twiddling Hacks", S. E.
 * Anderson, "Determine if a word has a zero byte".) */
static inline uint64_t special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t cr = word ^ (ones * '\r');
    return ((word - ones) | (cr - ones) | word) & highs;
}

/* How many bytes from p on are plain ASCII. */
static size_t plain_run(const unsigned char *p, size_t n)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        if (special(load(p + i)) | special(load(p + i + 8)) | special(load(p + i + 16)) |
            special(load(p + i + 24)))
            break;
    for (; i + 8 <= n; i += 8) {
        uint64_t bits = special(load(p + i));
        if (bits)
            return i + (size_t)__builtin_ctzll(bits) / 8;
    }
    while (i < n && p[i] < 0x80 && p[i] != '\r' && p[i] != '\0')
        i++;
    return i;
}

size_t utf8_ascii_run(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;
    while (i < n && p[i] < 0x80) {
        size_t run = plain_run(p + i, n - i);
        i += run ? run : 1;
    }
    return i;
}

/* The characters that most texts beyond ASCII are made of, without looking anything up. */
static inline size_t common_sequence(const unsigned char *p, size_t n)
{
    if (n >= 2 && p[0] >= 0xc2 && p[0] < 0xe0)
        return (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (n >= 3 && p[0] > 0xe0 && p[0] < 0xf0 && p[0] != 0xed)
        return (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    return 0;
}

/* As plain_run, but valid sequences count too. */
static size_t valid_run(const unsigned char *p, size_t n, int64_t *multibyte)
{
    size_t i = plain_run(p, n);
    int64_t count = 0;
    while (i < n) {
        if (p[i] < 0x80) {
            size_t run = p[i] == ' ' ? 1 : plain_run(p + i, n - i);
            if (run == 0)
                break;
            i += run;
            continue;
        }
        size_t length = common_sequence(p + i, n - i);
        if (!length) {
            int other = utf8_sequence(p + i, n - i);
            if (other <= 0)
                break;
            length = (size_t)other;
        }
        count++;
        i += length;
    }
    *multibyte += count;
    return i;
}

static int flush_out(struct utf8_filter *f)
{
    size_t n = f->used;
    f->used = 0;
    return n ? f->write(f->ctx, f->out, n) : OK;
}

int utf8_too_long(int64_t limit)
{
    int64_t gib = (int64_t)GIB(1), mib = (int64_t)MIB(1);
    int64_t unit = limit % gib == 0 ? gib : limit % mib == 0 ? mib : 1;
    return error_set(ERR_PERMANENT, "too_large",
                     "its text is longer than the limit of %" PRId64 " %s; split it, or raise the "
                     "setting media.max_text",
                     limit / unit,
                     unit == gib   ? "GiB"
                     : unit == mib ? "MiB"
                                   : "bytes");
}

static int put(struct utf8_filter *f, const void *bytes, size_t length)
{
    const char *p = bytes;
    if ((int64_t)length > f->limit - f->bytes)
        return utf8_too_long(f->limit);
    f->bytes += (int64_t)length;
    while (length > 0) {
        size_t n = UTF8_OUT - f->used;
        if (n > length)
            n = length;
        memcpy(f->out + f->used, p, n);
        f->used += n;
        p += n;
        length -= n;
        if (f->used == UTF8_OUT) {
            int rc = flush_out(f);
            if (rc)
                return rc;
        }
    }
    return OK;
}

/* What stopped valid_run at p[0]: CR, NUL, an invalid sequence, or one that is not whole yet. */
static int take_special(struct utf8_filter *f, const unsigned char *p, size_t n, size_t *taken)
{
    *taken = 1;
    if (*p == '\0')
        return OK;
    if (*p == '\r') {
        f->after_cr = true;
        return put(f, "\n", 1);
    }
    int length = utf8_sequence(p, n);
    if (length == 0) {
        memcpy(f->carry, p, n);
        f->carried = n;
        *taken = n;
        return OK;
    }
    f->invalid -= length;
    *taken = (size_t)-length;
    return put(f, "\xef\xbf\xbd", 3);
}

static int feed(struct utf8_filter *f, const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t taken = 0;
        if (f->after_cr) {
            f->after_cr = false;
            taken = *p == '\n';
        } else if ((taken = valid_run(p, n, &f->multibyte))) {
            int rc = put(f, p, taken);
            if (rc)
                return rc;
        } else {
            int rc = take_special(f, p, n, &taken);
            if (rc)
                return rc;
        }
        p += taken;
        n -= taken;
    }
    return OK;
}

/* Completes the carried sequence with as many bytes of p as it needs. */
static int feed_carry(struct utf8_filter *f, const unsigned char **p, size_t *n)
{
    while (f->carried && *n > 0) {
        unsigned char sequence[4];
        size_t length = f->carried;
        memcpy(sequence, f->carry, length);
        sequence[length++] = **p;
        int whole = utf8_sequence(sequence, length);
        if (whole < 0) { /* the new byte does not belong to it */
            f->carried = 0;
            f->invalid += (int64_t)length - 1;
            return put(f, "\xef\xbf\xbd", 3);
        }
        ++*p;
        --*n;
        f->carried = 0;
        int rc = feed(f, sequence, length); /* puts it, or carries it again */
        if (rc)
            return rc;
    }
    return OK;
}

/* The first character is a byte order mark: drop it. Waits for three bytes. */
static void feed_first(struct utf8_filter *f, const unsigned char **p, size_t *n)
{
    static const unsigned char bom[3] = {0xef, 0xbb, 0xbf};
    while (!f->begun && *n > 0) {
        if (**p == bom[f->carried]) {
            f->carry[f->carried++] = **p;
            ++*p;
            --*n;
            if (f->carried == sizeof bom) {
                f->carried = 0;
                f->begun = true;
            }
        } else {
            f->begun = true;
        }
    }
}

void utf8_filter_init(struct utf8_filter *f, int (*write)(void *, const char *, size_t), void *ctx,
                      int64_t limit)
{
    memset(f, 0, offsetof(struct utf8_filter, out));
    f->write = write;
    f->ctx = ctx;
    f->limit = limit;
}

int utf8_filter_feed(struct utf8_filter *f, const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    feed_first(f, &p, &length);
    int rc = feed_carry(f, &p, &length);
    return rc ? rc : feed(f, p, length);
}

int utf8_filter_flush(struct utf8_filter *f)
{
    if (f->carried) {
        f->invalid += (int64_t)f->carried;
        f->carried = 0;
        int rc = put(f, "\xef\xbf\xbd", 3);
        if (rc)
            return rc;
    }
    return flush_out(f);
}
