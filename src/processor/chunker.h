/*
 * chunker.h - text and transcripts become passages of about the same size, for search to find.
 *
 * Bytes are pushed in any slices; chunks come out through a sink, in order. A chunk is a stretch of
 * the text without the white space around it. Every byte that is not white space lies in exactly
 * one chunk, no chunk is empty, no grapheme (UAX #29) is split (unless it alone is longer than two
 * chunks), and chunks do not depend on how the text was sliced. Memory is constant: a few times the
 * target.
 *
 * A cut is the place with the least cost near the ideal length: before a heading, between
 * paragraphs, lines, sentences, clauses, words, in that order; each also costs its distance. Where
 * there is no white space (Chinese, Japanese, Thai, or no text at all) words are told by
 * libunistring. The text left at the end is divided evenly, so that no tiny chunk trails.
 */
#ifndef AEGIS_PROCESSOR_CHUNKER_H
#define AEGIS_PROCESSOR_CHUNKER_H

#include <stddef.h>
#include <stdint.h>

/* Enters the settings digest: changes whenever chunks would. */
#define CHUNKER_VERSION "chunks-1"

enum {
    CHUNKER_TARGET = 1400, /* bytes: 4 KiB of prose give three chunks */
    CHUNKER_TARGET_MIN = 64,
    CHUNKER_TARGET_MAX = 1 << 20,
    CHUNKER_MAX_MS = 60000, /* of one chunk of a recording */
};

struct text_chunk {
    int64_t offset; /* of its first byte in the whole text */
    const char *text;
    size_t length;
    int64_t start_ms, end_ms; /* -1, -1 for text without times */
};

/* `text` is borrowed for the call. A non-zero return stops the chunker and is returned. */
struct chunk_sink {
    int (*chunk)(void *ctx, const struct text_chunk *chunk);
    void *ctx;
};

/* ---- text ---- */

struct chunker;

/* `target` in bytes, 0 for CHUNKER_TARGET, brought into its bounds. Chunks are 0.6 to 1.5 times as
 * long, but for a text that is shorter. ERR_NO_MEMORY. */
int chunker_open(size_t target, const struct chunk_sink *sink, struct chunker **out);

/* UTF-8. Bytes that are not are passed on, each a character of its own. */
int chunker_push(struct chunker *chunker, const char *text, size_t length);

/* What is left comes out. The chunker is then at its beginning again, for another text. */
int chunker_finish(struct chunker *chunker);

void chunker_close(struct chunker *chunker); /* NULL is fine */

/* ---- segments of a transcript ---- */

/* Groups segments into chunks of about `target` bytes or a third of CHUNKER_MAX_MS, whichever comes
 * first, and at most CHUNKER_MAX_MS (so that a hit lands near what was said), cut where the speaker
 * changes, at long pauses or sentence ends where possible. The text of a transcript is the
 * texts of its segments, each but the last followed by a newline; offsets count in that. One
 * segment that is too long is divided by its text, with times in proportion. */
struct segment_chunker;

int segment_chunker_open(size_t target, const struct chunk_sink *sink,
                         struct segment_chunker **out);

/* In order of time. A segment of empty text is ignored (and no part of the text). */
int segment_chunker_push(struct segment_chunker *chunker, int64_t start_ms, int64_t end_ms,
                         const char *speaker, const char *text, size_t length);

int segment_chunker_finish(struct segment_chunker *chunker);
void segment_chunker_close(struct segment_chunker *chunker); /* NULL is fine */

#endif
