/*
 * decoder.h - text in any encoding becomes UTF-8, as a stream. For children: the input is
 * descriptor 0.
 *
 * The encoding is settled by, in this order: a byte order mark; the zero bytes of unmarked UTF-16;
 * validity as UTF-8; what the document declares; UTF-8 with a little damage; uchardet; and
 * windows-1252 if even that has no opinion.
 */
#ifndef AEGIS_MEDIA_DECODER_H
#define AEGIS_MEDIA_DECODER_H

#include <stdint.h>

#include "media/utf8.h"

struct decoder;

/* Loads every converter, which needs files: before child_lock_down. */
int decoder_open(struct decoder **out);
void decoder_close(struct decoder *decoder);

/* For another text from the start of descriptor 0. */
void decoder_restart(struct decoder *decoder);

/* Reads descriptor 0 to its end and feeds it to `filter`, which is flushed at the end. `markup`: a
 * charset may be declared as in HTML. */
int decoder_run(struct decoder *decoder, bool markup, struct utf8_filter *filter);

/* As decoder_run, one bufferful at a time; *more is false after the last, which flushes. */
int decoder_step(struct decoder *decoder, bool markup, struct utf8_filter *filter, bool *more);

/* What it was, for people; after decoder_run. */
const char *decoder_encoding(const struct decoder *decoder);

/* Exposed for tests: what the first bytes declare or are taken for (an index of charset.h). */
int decoder_declared(const char *text, bool markup);
int decoder_guess(const unsigned char *bytes, size_t length, bool whole, bool markup);

#endif
