/* decoder.c - see decoder.h. */
#include "media/decoder.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "media/charset.h"
#include "media/libuchardet.h"
#include "media/sniff.h"
#include "shared/error.h"

enum {
    IN_BYTES = 64 << 10,
    OUT_BYTES = 64 << 10,
    PRESCAN = 4096, /* how far a declaration is looked for; the HTML standard says 1024 */
};

struct decoder {
    int charset;
    size_t have; /* bytes in `in` */
    bool begun, ended;
    unsigned char in[IN_BYTES];
    char out[OUT_BYTES];
    iconv_t converters[]; /* charset_count() of them; (iconv_t)-1 if not on this machine */
};

int decoder_open(struct decoder **out)
{
    size_t count = charset_count();
    *out = NULL;
    int rc = libuchardet_load(); /* here, for later there may be a sandbox */
    if (rc)
        return rc;
    struct decoder *d = calloc(1, sizeof *d + count * sizeof d->converters[0]);
    *out = d;
    if (!d)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to decode text");
    for (size_t i = 0; i < count; i++)
        d->converters[i] = iconv_open("UTF-8", charset_name((int)i));
    decoder_restart(d);
    return OK;
}

void decoder_restart(struct decoder *d)
{
    d->have = 0;
    d->begun = d->ended = false;
    d->charset = CHARSET_UTF8;
    for (size_t i = 0; i < charset_count(); i++)
        if (d->converters[i] != (iconv_t)-1)
            iconv(d->converters[i], NULL, NULL, NULL, NULL);
}

void decoder_close(struct decoder *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < charset_count(); i++)
        if (d->converters[i] != (iconv_t)-1)
            iconv_close(d->converters[i]);
    free(d);
}

const char *decoder_encoding(const struct decoder *d)
{
    return charset_label(d->charset);
}

/* ---- what the document declares ---- */

/* The value at p, quoted or not. */
static int charset_at(const char *p)
{
    char quote = 0;
    p += strspn(p, " \t\r\n");
    if (*p == '"' || *p == '\'')
        quote = *p++;
    size_t n = quote ? strcspn(p, "\"'") : strcspn(p, " \t\r\n;\"'>/?");
    return charset_find(p, n);
}

/* "charset" and "=" with space around, inside the tag at p. */
static int charset_in_tag(const char *p)
{
    size_t n = strcspn(p, ">");
    for (const char *at = p; at + 8 < p + n; at++) {
        if (strncasecmp(at, "charset", 7) != 0)
            continue;
        const char *q = at + 7 + strspn(at + 7, " \t\r\n");
        if (*q == '=')
            return charset_at(q + 1);
    }
    return CHARSET_UNKNOWN;
}

int decoder_declared(const char *text, bool markup)
{
    const char *p = text + strspn(text, " \t\r\n");
    if (!strncmp(p, "<?xml", 5)) {
        const char *end = strstr(p, "?>"), *encoding = strstr(p, "encoding");
        if (end && encoding && encoding < end) {
            encoding += 8 + strspn(encoding + 8, " \t\r\n");
            if (*encoding == '=')
                return charset_at(encoding + 1);
        }
    }
    for (p = text; markup && (p = strchr(p, '<')); p++) {
        if (strncasecmp(p, "<meta", 5) != 0)
            continue;
        int charset = charset_in_tag(p);
        if (charset != CHARSET_UNKNOWN)
            return charset;
    }
    return CHARSET_UNKNOWN;
}

/* ---- what the bytes look like ---- */

/* UTF-8 in which a few bytes were damaged: its sequences do not arise by chance. */
static bool mostly_utf8(const unsigned char *p, size_t n)
{
    size_t good = 0, bad = 0;
    for (size_t i = 0; i < n;) {
        int length = p[i] < 0x80 ? 1 : utf8_sequence(p + i, n - i);
        if (length == 0)
            break;
        good += length > 1;
        bad += length < 0;
        i += length > 0 ? (size_t)length : 1;
    }
    return good > 4 * bad;
}

static int detected(const unsigned char *bytes, size_t length)
{
    int charset = CHARSET_UNKNOWN;
    if (libuchardet_load())
        return charset;
    uchardet_t detector = libuchardet.uchardet_new();
    if (!detector)
        return charset;
    if (libuchardet.uchardet_handle_data(detector, (const char *)bytes, length) == 0) {
        libuchardet.uchardet_data_end(detector);
        const char *name = libuchardet.uchardet_get_charset(detector);
        charset = charset_find(name, strlen(name));
    }
    libuchardet.uchardet_delete(detector);
    return charset;
}

int decoder_guess(const unsigned char *bytes, size_t length, bool whole, bool markup)
{
    struct head head = {.bytes = bytes, .length = length, .whole = whole};
    const char *format;
    char view[PRESCAN + 1];
    enum text_shape shape = sniff_encoding(&head, &format);
    if (shape == SHAPE_MARKED || shape == SHAPE_UTF16)
        return charset_find(format, strlen(format));
    bool ascii = true;
    for (size_t i = 0; i < length && ascii; i++)
        ascii = bytes[i] < 0x80;
    if (shape == SHAPE_UTF8 && !ascii)
        return CHARSET_UTF8;
    sniff_ascii(&head, "ascii", view, sizeof view);
    int charset = decoder_declared(view, markup);
    if (charset != CHARSET_UNKNOWN && charset_unit(charset) == 1) /* it was read as single bytes */
        return charset;
    if (shape == SHAPE_UTF8 || mostly_utf8(bytes, length))
        return CHARSET_UTF8;
    charset = detected(bytes, length);
    if (charset == CHARSET_UNKNOWN || charset_unit(charset) != 1)
        charset = charset_find("windows-1252", 12);
    return charset;
}

/* ---- converting ---- */

static int fill(struct decoder *d)
{
    while (!d->ended && d->have < IN_BYTES) {
        ssize_t n = read(0, d->in + d->have, IN_BYTES - d->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(errno, "cannot read the text");
        d->ended = n == 0;
        d->have += (size_t)n;
    }
    return OK;
}

static int replace(struct utf8_filter *filter, size_t bytes)
{
    filter->invalid += (int64_t)bytes;
    return utf8_filter_feed(filter, "\xef\xbf\xbd", 3);
}

/* Converts what is in `in`; leaves an unfinished character there. */
static int convert(struct decoder *d, struct utf8_filter *filter)
{
    iconv_t converter = d->converters[d->charset];
    char *in = (char *)d->in;
    size_t left = d->have, unit = charset_unit(d->charset);
    int rc = OK;
    while (left > 0 && !rc) {
        char *out = d->out;
        size_t room = OUT_BYTES;
        errno = 0;
        size_t done = iconv(converter, &in, &left, &out, &room);
        int err = errno;
        rc = utf8_filter_feed(filter, d->out, (size_t)(out - d->out));
        if (rc || (done == (size_t)-1 && err == EINVAL && !d->ended))
            break;
        if (done == (size_t)-1 && (err == EILSEQ || err == EINVAL)) {
            size_t skip = left < unit ? left : unit;
            in += skip;
            left -= skip;
            rc = replace(filter, skip);
        }
    }
    memmove(d->in, in, left);
    d->have = left;
    return rc;
}

static int pass(struct decoder *d, struct utf8_filter *filter)
{
    size_t n = d->have;
    d->have = 0;
    return utf8_filter_feed(filter, d->in, n);
}

static int settle(struct decoder *d, bool markup)
{
    d->begun = true;
    d->charset = decoder_guess(d->in, d->have, d->ended, markup);
    if (d->charset < 0 || d->converters[d->charset] != (iconv_t)-1)
        return OK;
    return error_set(ERR_PERMANENT, "no_decoder",
                     "its encoding '%s' is not known to this machine's C library",
                     charset_label(d->charset));
}

int decoder_step(struct decoder *d, bool markup, struct utf8_filter *filter, bool *more)
{
    *more = false;
    int rc = fill(d);
    if (!rc && !d->begun)
        rc = settle(d, markup);
    if (!rc)
        rc = d->charset < 0 ? pass(d, filter) : convert(d, filter);
    if (rc)
        return rc;
    *more = !d->ended || d->have > 0;
    return *more ? OK : utf8_filter_flush(filter);
}

int decoder_run(struct decoder *d, bool markup, struct utf8_filter *filter)
{
    bool more = true;
    int rc = OK;
    while (!rc && more)
        rc = decoder_step(d, markup, filter, &more);
    return rc;
}
