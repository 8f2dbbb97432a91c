/*
 * sniff.h - the parts of media_identify: each looks at the first bytes of a file and nothing else.
 * Nothing here trusts a length it reads.
 */
#ifndef AEGIS_MEDIA_SNIFF_H
#define AEGIS_MEDIA_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "media/media.h"

/* The beginning of a file; `whole` if that is all of it. */
struct head {
    const unsigned char *bytes;
    size_t length;
    bool whole;
};

static inline bool head_has(const struct head *h, size_t at, const void *bytes, size_t length)
{
    return at <= h->length && length <= h->length - at && !memcmp(h->bytes + at, bytes, length);
}

/* ---- sniff_audio.c ---- */

/* A run of MPEG audio (ISO/IEC 11172-3, 13818-3) or ADTS (13818-7) frames whose headers agree and
 * whose lengths lead from one to the next: "mp3", "mp2", "mp1", "aac", or NULL. Looked for from the
 * first byte and, with more frames asked for, behind leading junk. */
const char *sniff_frames(const struct head *h);

/* ISO base media (MP4, M4A, MOV), EBML (Matroska, WebM), Ogg, RIFF/WAVE, AIFF, FLAC. True if it is
 * one. */
bool sniff_container(const struct head *h, struct media_identity *out);

/* ---- sniff_text.c ---- */

enum text_shape {
    SHAPE_BINARY,
    SHAPE_UTF8,   /* valid, no mark */
    SHAPE_MARKED, /* a byte order mark; `format` says which */
    SHAPE_UTF16,  /* without a mark, told by its zero bytes */
    SHAPE_EIGHT_BIT
};

/* What kind of characters these are; `format` (may not be NULL) gets the encoding's name. */
enum text_shape sniff_encoding(const struct head *h, const char **format);

/* What the characters say. `text` is ASCII where the text is ASCII (sniff_ascii), NUL-terminated.
 */
enum media_kind sniff_text(const char *text, const char *name);
/* What kind of playlist or concat script it is ("HLS or M3U"), or NULL. */
const char *sniff_playlist(const char *text);

/* An ASCII view of the head: other characters become '?', a UTF-16 or UTF-32 unit one character.
 * Writes at most `capacity` bytes with the NUL. */
void sniff_ascii(const struct head *h, const char *format, char *out, size_t capacity);

#endif
