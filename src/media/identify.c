/* identify.c - media_identify: what a file is, by its content. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "media/media.h"
#include "media/sniff.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

/* Together at most 64 KiB: a first look; then either all of it for text, or one more place. */
enum { FIRST_LOOK = 16 << 10, TEXT_LOOK = 64 << 10, SECOND_LOOK = 32 << 10, VIEW = 16 << 10 };

struct look {
    const unsigned char *memory; /* of all there is; NULL: fd */
    int fd;
    int64_t size;
    const char *name;
    struct head head;
    unsigned char *bytes; /* FIRST_LOOK of them, and room for VIEW characters */
    unsigned char *more;  /* TEXT_LOOK, once it was needed */
};

const char *media_kind_name(enum media_kind kind)
{
    static const char *const names[MEDIA_KINDS] = {
        [MEDIA_UNKNOWN] = "unknown",   [MEDIA_EMPTY] = "empty", [MEDIA_TEXT] = "text",
        [MEDIA_MARKDOWN] = "markdown", [MEDIA_HTML] = "html",   [MEDIA_PDF] = "pdf",
        [MEDIA_DOCX] = "docx",         [MEDIA_SRT] = "srt",     [MEDIA_VTT] = "vtt",
        [MEDIA_AUDIO] = "audio",       [MEDIA_VIDEO] = "video",
    };
    return (unsigned)kind < MEDIA_KINDS ? names[kind] : "unknown";
}

static int is(struct media_identity *out, enum media_kind kind, const char *format)
{
    out->kind = kind;
    snprintf(out->format, sizeof out->format, "%s", format);
    return OK;
}

static int unsupported(const struct look *look, const char *what)
{
    return error_set(ERR_PERMANENT, "unsupported_type", "'%.200s' is %s, which Aegis does not read",
                     look->name, what);
}

static int unknown(const struct look *look)
{
    char first[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < look->head.length; i++)
        snprintf(first + 3 * i, 4, "%02x ", look->head.bytes[i]);
    return error_set(ERR_PERMANENT, "unsupported_type",
                     "'%.200s' is of no type that Aegis reads (first bytes %s)", look->name, first);
}

/* ---- formats that are known and not read: a better message than "unknown" ---- */

static const struct {
    const char *magic;
    size_t at, length;
    const char *what;
} known[] = {
    {"\x89PNG", 0, 4, "a PNG image"},
    {"\xff\xd8\xff", 0, 3, "a JPEG image"},
    {"GIF8", 0, 4, "a GIF image"},
    {"II*\0", 0, 4, "a TIFF image"},
    {"MM\0*", 0, 4, "a TIFF image"},
    {"WEBP", 8, 4, "a WebP image"},
    {"AVI ", 8, 4, "an AVI film"},
    {"FLV\x01", 0, 4, "a Flash film"},
    {"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, 8, "a Windows Media file"},
    {"\0\0\x01\xba", 0, 4, "an MPEG program stream"},
    {"\x1f\x8b", 0, 2, "a gzip archive"},
    {"BZh", 0, 3, "a bzip2 archive"},
    {"\xfd"
     "7zXZ",
     0, 5, "an xz archive"},
    {"\x28\xb5\x2f\xfd", 0, 4, "a Zstandard archive"},
    {"7z\xbc\xaf", 0, 4, "a 7-Zip archive"},
    {"Rar!\x1a\x07", 0, 6, "a RAR archive"},
    {"ustar", 257, 5, "a tar archive"},
    {"\x7f"
     "ELF",
     0, 4, "a program"},
    {"MZ\x90", 0, 3, "a program"},
    {"\0asm", 0, 4, "a program"},
    {"SQLite format 3", 0, 15, "an SQLite database"},
    {"{\\rtf", 0, 5, "an RTF document"},
    {"%!PS", 0, 4, "a PostScript document"},
    {"MThd", 0, 4, "a MIDI file"},
    {"#!AMR", 0, 5, "an AMR recording"},
};

static const char *known_unsupported(const struct head *h)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (head_has(h, known[i].at, known[i].magic, known[i].length))
            return known[i].what;
    return NULL;
}

/* ---- archives ---- */

static bool contains(const unsigned char *bytes, size_t length, const char *text)
{
    return memmem(bytes, length, text, strlen(text)) != NULL;
}

static int no_memory(const struct look *look)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory to look at '%.200s'", look->name);
}

static int read_at(const struct look *look, void *to, size_t length, int64_t offset, size_t *got)
{
    if (!look->memory)
        return file_read_at(look->fd, look->name, to, length, offset, got);
    size_t left = offset < look->size ? (size_t)(look->size - offset) : 0;
    *got = left < length ? left : length;
    memcpy(to, look->memory + (look->size - (int64_t)left), *got);
    return OK;
}

/* Reads `length` bytes, at most TEXT_LOOK, at `offset`, beside the first look. */
static int look_further(struct look *look, int64_t offset, size_t length, struct head *out)
{
    size_t got = 0;
    *out = (struct head){0};
    if (!look->more)
        look->more = malloc(TEXT_LOOK);
    if (!look->more)
        return no_memory(look);
    int rc = read_at(look, look->more, length, offset, &got);
    *out = (struct head){.bytes = look->more, .length = rc ? 0 : got, .whole = got < length};
    return rc;
}

/* The names of a ZIP archive's members stand in its local headers and again in the directory at its
 * end (APPNOTE.TXT 4.3). */
static int identify_zip(struct look *look, struct media_identity *out)
{
    struct head tail;
    int64_t at = look->size > SECOND_LOOK ? look->size - SECOND_LOOK : 0;
    int rc = look_further(look, at, SECOND_LOOK, &tail);
    if (rc)
        return rc;
    const struct head *places[] = {&look->head, &tail};
    bool office = false, word = false;
    for (int i = 0; i < 2; i++) {
        office = office || contains(places[i]->bytes, places[i]->length, "[Content_Types].xml");
        word = word || contains(places[i]->bytes, places[i]->length, "word/document");
    }
    if (office && word)
        return is(out, MEDIA_DOCX, "docx");
    return unsupported(look, office ? "an Office document other than Word" : "a ZIP archive");
}

/* An OLE compound file (MS-CFB): an encrypted DOCX keeps its package in a stream of that name
 * (MS-OFFCRYPTO 2.3). The directory may lie anywhere; its sector number is at offset 48. */
static int identify_ole(struct look *look, struct media_identity *out)
{
    static const char wide[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";
    struct head directory;
    const unsigned char *h = look->head.bytes;
    if (look->head.length < 512)
        return unknown(look);
    unsigned shift = h[30] == 12 ? 12 : 9;
    int64_t sector = (int64_t)((uint32_t)h[48] | (uint32_t)h[49] << 8 | (uint32_t)h[50] << 16 |
                               (uint32_t)h[51] << 24);
    int rc = look_further(look, (sector + 1) << shift, SECOND_LOOK, &directory);
    if (rc)
        return rc;
    if (memmem(directory.bytes, directory.length, wide, sizeof wide) ||
        memmem(h, look->head.length, wide, sizeof wide))
        return is(out, MEDIA_DOCX, "docx, encrypted");
    return unsupported(look, "an old Office document (save it as DOCX or PDF)");
}

/* ---- an ID3v2 tag before MPEG audio, ADTS or FLAC (id3.org, ID3v2.4.0 section 3.1) ---- */

static int identify_tagged(struct look *look, struct media_identity *out)
{
    const unsigned char *h = look->head.bytes;
    struct head audio;
    int64_t length =
        (int64_t)(h[6] & 0x7f) << 21 | (h[7] & 0x7f) << 14 | (h[8] & 0x7f) << 7 | (h[9] & 0x7f);
    int64_t at = 10 + length + (h[5] & 0x10 ? 10 : 0);
    int rc = look_further(look, at, SECOND_LOOK, &audio);
    if (rc)
        return rc;
    while (audio.length && *audio.bytes == 0) { /* padding that the tag does not count */
        audio.bytes++;
        audio.length--;
    }
    if (sniff_container(&audio, out))
        return OK;
    const char *format = sniff_frames(&audio);
    return is(out, MEDIA_AUDIO, format ? format : "mp3");
}

/* ---- text ---- */

static int identify_text(struct look *look, struct media_identity *out)
{
    char *view = (char *)look->bytes + FIRST_LOOK; /* a worker's stack stays small */
    const char *format, *playlist;
    int rc = look->head.whole ? OK : look_further(look, 0, TEXT_LOOK, &look->head);
    if (rc)
        return rc;
    enum text_shape shape = sniff_encoding(&look->head, &format);
    if (shape == SHAPE_BINARY)
        return unknown(look);
    sniff_ascii(&look->head, format, view, VIEW);
    playlist = sniff_playlist(view);
    if (playlist)
        return error_set(ERR_PERMANENT, "playlist",
                         "'%.200s' is %s; Aegis reads recordings, not lists of them", look->name,
                         playlist);
    is(out, sniff_text(view, look->name), format);
    out->plain_utf8 =
        shape == SHAPE_UTF8 && (out->kind == MEDIA_TEXT || out->kind == MEDIA_MARKDOWN);
    return OK;
}

/* ---- */

static bool is_pdf(const struct head *h)
{
    size_t n = h->length < 1024 ? h->length : 1024; /* readers accept junk before it */
    return contains(h->bytes, n, "%PDF-");
}

static int identify(struct look *look, struct media_identity *out)
{
    const struct head *h = &look->head;
    const char *what;
    if (h->length >= 10 && head_has(h, 0, "ID3", 3))
        return identify_tagged(look, out);
    if (sniff_container(h, out))
        return OK;
    if (is_pdf(h))
        return is(out, MEDIA_PDF, "pdf");
    if (head_has(h, 0, "PK\x03\x04", 4) || head_has(h, 0, "PK\x05\x06", 4))
        return identify_zip(look, out);
    if (head_has(h, 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8))
        return identify_ole(look, out);
    if ((what = known_unsupported(h)))
        return unsupported(look, what);
    const char *frames = sniff_frames(h);
    if (frames)
        return is(out, MEDIA_AUDIO, frames);
    return identify_text(look, out);
}

static int look_at(struct look *look, struct media_identity *out)
{
    size_t got;
    memset(out, 0, sizeof *out);
    if (look->size == 0)
        return is(out, MEDIA_EMPTY, "empty");
    look->bytes = malloc(FIRST_LOOK + VIEW);
    if (!look->bytes)
        return no_memory(look);
    int rc = read_at(look, look->bytes, FIRST_LOOK, 0, &got);
    look->head = (struct head){.bytes = look->bytes, .length = got, .whole = got < FIRST_LOOK};
    if (!rc)
        rc = got == 0 ? is(out, MEDIA_EMPTY, "empty") : identify(look, out);
    free(look->more);
    free(look->bytes);
    return rc;
}

int media_identify(int fd, int64_t size, const char *name, struct media_identity *out)
{
    return look_at(&(struct look){.fd = fd, .size = size, .name = name}, out);
}

int media_identify_bytes(const void *bytes, size_t size, const char *name,
                         struct media_identity *out)
{
    return look_at(&(struct look){.memory = bytes, .fd = -1, .size = (int64_t)size, .name = name},
                   out);
}
