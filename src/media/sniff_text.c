/* sniff_text.c - text by its characters: encoding, markup, subtitles, playlists. */
#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "media/sniff.h"
#include "media/timecode.h"
#include "media/utf8.h"

/* ---- encoding ---- */

static const char *byte_order_mark(const struct head *h)
{
    if (head_has(h, 0, "\xef\xbb\xbf", 3))
        return "utf-8";
    if (head_has(h, 0, "\xff\xfe\0\0", 4))
        return "utf-32le";
    if (head_has(h, 0, "\0\0\xfe\xff", 4))
        return "utf-32be";
    if (head_has(h, 0, "\xff\xfe", 2))
        return "utf-16le";
    if (head_has(h, 0, "\xfe\xff", 2))
        return "utf-16be";
    return NULL;
}

/* What there is among eight bytes, by "Bit Twiddling Hacks" (S. E. Anderson): a borrow may take a
 * byte for a control whose lower neighbour is one, which is not asked for then. */
enum oddity { ODD_CONTROL = 1, ODD_ZERO_OR_HIGH = 2 };
static unsigned oddities(const unsigned char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t x;
    memcpy(&x, p, sizeof x);
    unsigned odd = (x - ones * 0x20) & ~x & highs ? ODD_CONTROL : 0;
    return odd | (((x - ones) | x) & highs ? ODD_ZERO_OR_HIGH : 0);
}

/* Those that texts use: BS HT LF VT FF CR (8 to 13) and ESC (27). */
static bool is_control(unsigned char c)
{
    return c < 0x20 && !((0x08003f00u >> c) & 1);
}

/* Latin text in UTF-16 has a zero in every other byte, and none in the others. */
static const char *unmarked_utf16(const struct head *h)
{
    size_t zeros[2] = {0}, controls[2] = {0}, n = h->length & ~(size_t)1;
    for (size_t i = 0; i < n; i++) {
        zeros[i & 1] += h->bytes[i] == 0;
        controls[i & 1] += is_control(h->bytes[i]);
    }
    size_t half = n / 2;
    if (half >= 4 && zeros[1] > half * 7 / 10 && controls[0] == 0)
        return "utf-16le";
    if (half >= 4 && zeros[0] > half * 7 / 10 && controls[1] == 0)
        return "utf-16be";
    return NULL;
}

/* Two units of printable text must follow a UTF-16 mark, or MPEG audio (0xfffb...) and chance would
 * pass. */
static bool plausible_after_mark(const struct head *h, const char *format)
{
    char view[256];
    if (!strncmp(format, "utf-8", 5))
        return true;
    sniff_ascii(h, format, view, sizeof view);
    for (const char *p = view; *p; p++)
        if (is_control((unsigned char)*p))
            return false;
    return true;
}

enum text_shape sniff_encoding(const struct head *h, const char **format)
{
    size_t controls = 0;
    *format = byte_order_mark(h);
    if (*format)
        return plausible_after_mark(h, *format) ? SHAPE_MARKED : SHAPE_BINARY;
    for (size_t i = 0; i < h->length; i++) {
        while (i + 8 <= h->length && !(oddities(h->bytes + i) & ODD_CONTROL))
            i += 8; /* few bytes are below 0x20: line breaks */
        if (i < h->length)
            controls += is_control(h->bytes[i]);
    }
    if (memchr(h->bytes, 0, h->length)) {
        *format = unmarked_utf16(h);
        if (*format)
            return SHAPE_UTF16;
    }
    /* ISO-2022 is written in ASCII bytes; "ESC $" switches to its double-byte sets. */
    bool valid = utf8_valid((const char *)h->bytes, h->length, !h->whole) &&
                 !(memchr(h->bytes, 0x1b, h->length) && memmem(h->bytes, h->length, "\x1b$", 2));
    *format = valid ? "utf-8" : "unknown-8bit"; /* the latter: RFC 1428 */
    /* A few stray controls are found in texts; in other data they are one byte of ten. */
    if (controls > h->length / 200)
        return SHAPE_BINARY;
    return valid ? SHAPE_UTF8 : SHAPE_EIGHT_BIT;
}

void sniff_ascii(const struct head *h, const char *format, char *out, size_t capacity)
{
    size_t width = 1, low = 0, skip = 0, n = 0;
    if (!strncmp(format, "utf-16", 6))
        width = 2;
    if (!strncmp(format, "utf-32", 6))
        width = 4;
    if (width > 1 && strstr(format, "be"))
        low = width - 1;
    if (byte_order_mark(h))
        skip = width == 1 ? 3 : width;
    for (size_t i = skip; width == 1 && i < h->length && n + 1 < capacity; i++) {
        if (i + 8 <= h->length && n + 8 < capacity &&
            !(oddities(h->bytes + i) & ODD_ZERO_OR_HIGH)) {
            memcpy(out + n, h->bytes + i, 8);
            n += 8;
            i += 7;
            continue;
        }
        out[n++] = h->bytes[i] == 0 || h->bytes[i] >= 0x80 ? '?' : (char)h->bytes[i];
    }
    for (size_t i = skip; width > 1 && i + width <= h->length && n + 1 < capacity; i += width) {
        unsigned char c = h->bytes[i + low];
        for (size_t k = 0; k < width; k++)
            if (k != low && h->bytes[i + k])
                c = '?';
        out[n++] = c == 0 || c >= 0x80 ? '?' : (char)c;
    }
    out[n] = '\0';
}

/* ---- lines and prologs ---- */

static const char *skip_space(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

static const char *next_line(const char *p)
{
    p += strcspn(p, "\r\n");
    if (*p == '\r' && p[1] == '\n')
        p++;
    return *p ? p + 1 : p;
}

/* Behind white space, comments, processing instructions and, if `doctype`, a document type. */
static const char *skip_prolog(const char *p, bool doctype)
{
    for (;;) {
        const char *end = NULL;
        p = skip_space(p);
        if (!strncmp(p, "<!--", 4) && (end = strstr(p, "-->")))
            p = end + 3;
        else if (!strncmp(p, "<?", 2) && (end = strstr(p, "?>")))
            p = end + 2;
        else if (doctype && !strncasecmp(p, "<!doctype", 9) && (end = strchr(p, '>')))
            p = end + 1;
        else
            return p;
    }
}

/* True if an element or declaration `tag` starts at p ("<html"). */
static bool starts_tag(const char *p, const char *tag)
{
    size_t n = strlen(tag);
    return !strncasecmp(p, tag, n) &&
           (isspace((unsigned char)p[n]) || p[n] == '>' || p[n] == '/' || p[n] == '\0');
}

/* ---- playlists ---- */

static bool is_concat_script(const char *text)
{
    int lines = 0;
    for (const char *p = text; *p && lines < 4; p = next_line(p)) {
        p += strspn(p, " \t");
        if (*p == '#' || *p == '\r' || *p == '\n')
            continue;
        if (strncmp(p, "file '", 6) != 0 && strncmp(p, "duration ", 9) != 0 &&
            strncmp(p, "inpoint ", 8) != 0 && strncmp(p, "outpoint ", 9) != 0 &&
            strncmp(p, "file /", 6) != 0)
            return false;
        lines++;
    }
    return lines > 0;
}

const char *sniff_playlist(const char *text)
{
    static const struct {
        const char *start, *what;
    } starts[] = {
        {"#EXTM3U", "an M3U or HLS playlist"}, {"#EXT-X-", "an HLS playlist"},
        {"#EXTINF", "an M3U playlist"},        {"ffconcat version", "an ffconcat script"},
        {"[playlist]", "a PLS playlist"},      {"[Reference]", "an ASX playlist"},
        {"v=0\r\no=", "an SDP description"},   {"v=0\no=", "an SDP description"},
        {"<?wpl", "a WPL playlist"},
    };
    static const char *const roots[][2] = {
        {"<MPD", "a DASH manifest"},
        {"<playlist", "an XSPF playlist"},
        {"<smil", "a SMIL playlist"},
        {"<asx", "an ASX playlist"},
        {"<SmoothStreamingMedia", "a Smooth Streaming manifest"},
    };
    const char *p = skip_space(text);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (!strncasecmp(p, starts[i].start, strlen(starts[i].start)))
            return starts[i].what;
    const char *root = skip_prolog(p, true);
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
        if (starts_tag(root, roots[i][0]))
            return roots[i][1];
    return is_concat_script(p) ? "a concat script" : NULL;
}

/* ---- what it is ---- */

static bool is_vtt(const char *text)
{
    return !strncmp(text, "WEBVTT", 6) && (text[6] == '\0' || isspace((unsigned char)text[6]));
}

/* A timing line among the first lines, right behind the start, an empty line or a number. */
static bool is_srt(const char *text)
{
    bool may_follow = true;
    int lines = 0;
    for (const char *p = text; *p && lines < 10; p = next_line(p), lines++) {
        int64_t start, end;
        if (may_follow && timecode_line(p, &start, &end))
            return true;
        const char *q = p + strspn(p, " \t0123456789");
        may_follow = *q == '\r' || *q == '\n';
    }
    return false;
}

static bool has_extension(const char *name, const char *const *list)
{
    const char *dot = strrchr(name, '.');
    for (; dot && *list; list++)
        if (!strcasecmp(dot + 1, *list))
            return true;
    return false;
}

/* `sure`: a document type or an outer element; otherwise any element that pages begin with. */
static bool is_html(const char *text, bool sure)
{
    static const char *const outer[] = {"<!doctype html", "<html", "<head", "<body", NULL};
    static const char *const inner[] = {
        "<title",  "<meta", "<div",    "<p",    "<h1",      "<h2",      "<table", "<style",
        "<script", "<br",   "<a",      "<span", "<article", "<section", "<main",  "<ul",
        "<ol",     "<font", "<center", "<b",    "<iframe",  "<header",  "<nav",   NULL};
    const char *p = skip_prolog(text, false);
    for (const char *const *tag = outer; *tag; tag++)
        if (starts_tag(p, *tag))
            return true;
    for (const char *const *tag = inner; !sure && *tag; tag++)
        if (starts_tag(p, *tag))
            return true;
    return false;
}

/* Without a name to go by: two kinds of its marks. */
static bool looks_like_markdown(const char *text)
{
    int headings = 0, fences = 0, items = 0, links = strstr(text, "](") != NULL;
    for (const char *p = text; *p; p = next_line(p)) {
        size_t hashes = strspn(p, "#");
        headings += hashes >= 1 && hashes <= 6 && p[hashes] == ' ';
        fences += !strncmp(p, "```", 3);
        items += !strncmp(p, "- ", 2) || !strncmp(p, "* ", 2);
    }
    return (headings > 0) + (fences > 1) + (items > 2) + links >= 2 && headings > 0;
}

enum media_kind sniff_text(const char *text, const char *name)
{
    static const char *const markdown[] = {"md", "markdown", "mdown", "mkd", "mkdn", NULL};
    bool named_markdown = has_extension(name, markdown);
    if (is_vtt(text))
        return MEDIA_VTT;
    if (is_html(text, named_markdown))
        return MEDIA_HTML;
    if (named_markdown)
        return MEDIA_MARKDOWN;
    if (is_srt(text))
        return MEDIA_SRT;
    if (!strchr(name, '.') && looks_like_markdown(text))
        return MEDIA_MARKDOWN;
    return MEDIA_TEXT;
}
