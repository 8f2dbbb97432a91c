/*
 * media.h - what a medium is and what is in it: identification by content, text, subtitles, audio.
 *
 * Everything but plain UTF-8 text and Markdown is parsed in a sandboxed child (shared/child.h).
 * All functions block, are thread-safe, and read `fd` with pread or hand it to a child; the
 * descriptor stays the caller's. Errors about the content are ERR_PERMANENT with a reason code:
 * "unreadable", "password_protected", "archive_bomb", "too_deep", "too_large", "no_decoder",
 * "unsupported_type", "playlist", "truncated", "parser_crashed", "parser_timeout",
 * "parser_memory".
 */
#ifndef AEGIS_MEDIA_MEDIA_H
#define AEGIS_MEDIA_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/cancel.h"
#include "shared/child.h"

enum media_kind {
    MEDIA_UNKNOWN,
    MEDIA_EMPTY,
    MEDIA_TEXT,
    MEDIA_MARKDOWN,
    MEDIA_HTML,
    MEDIA_PDF,
    MEDIA_DOCX,
    MEDIA_SRT,
    MEDIA_VTT,
    MEDIA_AUDIO, /* settled as audio or video once decoded */
    MEDIA_VIDEO,
    MEDIA_KINDS
};
const char *media_kind_name(enum media_kind kind); /* "text", "pdf", ... as in result_info.kind */

struct media_identity {
    enum media_kind kind;
    char format[64]; /* "utf-8", "windows-1252", "mp3", "matroska,webm", "pdf" */
    bool plain_utf8; /* MEDIA_TEXT or MEDIA_MARKDOWN, first 64 KiB valid UTF-8 without BOM: may be
                      * read as it is */
};

/* By content, not by name: the name (may be "") only tells Markdown from plain text. Reads at most
 * 64 KiB and does not block on children. MEDIA_UNKNOWN is ERR_PERMANENT "unsupported_type";
 * playlists (m3u, HLS, DASH, concat, sdp, ...) are ERR_PERMANENT "playlist". */
int media_identify(int fd, int64_t size, const char *name, struct media_identity *out);
/* The same of bytes in memory. */
int media_identify_bytes(const void *bytes, size_t size, const char *name,
                         struct media_identity *out);

/* What a person may set; NULL for the limits and 0 for one of them mean the default. */
struct media_limits {
    int64_t text_bytes; /* longest text, extracted or plain; CAP_TEXT_BYTES */
    int64_t parser_ms;  /* a parser that says nothing for so long hangs; two minutes */
};

/* Where extracted text goes: UTF-8, valid, newlines as \n, no NUL, at most limits.text_bytes in
 * all. A non-zero return stops the extraction and is returned. */
struct text_sink {
    int (*write)(void *ctx, const char *text, size_t length);
    void *ctx;
};

struct text_info {
    char title[512];   /* document title, "" if none */
    char language[16]; /* declared language (HTML lang, DOCX), "" if none */
    int64_t bytes;
    int64_t invalid; /* bytes that were not valid in their encoding and became U+FFFD */
};

/* TEXT, MARKDOWN, HTML, PDF, DOCX. Paragraphs are separated by blank lines; headings stand on lines
 * of their own. Constant memory whatever the size. A document without text (a PDF that is only
 * scanned pages) gives 0 bytes: an outcome. Plain text that is too long is refused before any of it
 * is read. PDF needs pdftotext and pdfinfo (poppler-utils) on the PATH; without them it is
 * "no_decoder". */
int media_extract_text(int fd, int64_t size, const struct media_identity *identity,
                       const struct media_limits *limits, const struct cancel *cancel,
                       const struct text_sink *sink, struct text_info *out);

/* The same of bytes in memory, for plain_utf8 only. ERR_INVALID: they are not what they seemed, and
 * media_extract_text has to be asked; the sink got nothing. */
int media_extract_plain(const void *bytes, size_t size, const struct media_identity *identity,
                        const struct media_limits *limits, const struct text_sink *sink,
                        struct text_info *out);

struct subtitle_sink {
    int (*cue)(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker, const char *text);
    void *ctx;
};

/* SRT, VTT: cues in file order, markup removed, VTT voice spans as speaker. */
int media_extract_subtitles(int fd, int64_t size, const struct media_identity *identity,
                            const struct media_limits *limits, const struct cancel *cancel,
                            const struct subtitle_sink *sink);

struct audio_options {
    const char *spool_directory; /* pieces are unlinked files there */
    int64_t max_bytes;           /* of one WAV piece, header included; 0: no limit */
    int64_t max_ms;              /* of one piece; 0: 10 minutes */
    int64_t min_ms;              /* pieces are not cut shorter than this but at the end; 0: 30 s */
    int64_t parser_ms;           /* as in media_limits */
    bool accept_truncated;       /* false: a recording that ends early is "truncated" */
};

/* One stretch of the recording as a WAV file (RIFF, 16 kHz, mono, s16), cut at silences where there
 * are any. Pieces do not overlap; silence around them may be left out, so start_ms of a piece is
 * not always the end of the one before. */
struct audio_piece {
    int index;
    int64_t start_ms, end_ms; /* in the recording's own time */
    int fd; /* seekable, unlinked, at offset 0; the sink takes it over and closes it */
    int64_t size;
};

struct audio_sink {
    int (*piece)(void *ctx, const struct audio_piece *piece); /* non-zero stops and is returned */
    void (*progress)(void *ctx, int64_t done_ms,
                     int64_t total_ms); /* may be NULL; total -1 if unknown */
    void *ctx;
};

struct audio_info {
    bool has_audio; /* false: a video without an audio track, an outcome */
    bool has_video;
    char format[64]; /* container */
    char codec[32];
    char title[512];     /* from the tags, "" if none */
    int64_t duration_ms; /* of what was decoded */
    int64_t voiced_ms;   /* louder than silence; 0: nothing to transcribe, no pieces were made */
    bool truncated;      /* it ends early; only if that is accepted */
    int64_t missing_ms;  /* that ended early, or is damaged and could not be decoded; 0: it is
                          * whole, -1: how much cannot be told */
};

/*
 * AUDIO, VIDEO: decoded as a stream, constant memory, whatever the length. A file of which nothing
 * can be decoded is ERR_PERMANENT "unreadable".
 *
 * One that ends early is ERR_PERMANENT "truncated" unless that is accepted: before the first piece
 * wherever the container states its length (extent.h), else once all that is there was decoded and
 * falls short of the duration stated. A file that is all there and damaged inside is decoded as far
 * as it can be, with missing_ms: uploading it again would not mend it.
 */
int media_decode_audio(int fd, int64_t size, const struct media_identity *identity,
                       const struct audio_options *options, const struct cancel *cancel,
                       const struct audio_sink *sink, struct audio_info *out);

/* The children of this module, for child_dispatch's table (ends with a NULL name). */
extern const struct child_main media_children[];

#endif
