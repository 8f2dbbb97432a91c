/* chunker_cut.h - where to cut a text: what chunker.c and chunker_segments.c share. */
#ifndef AEGIS_PROCESSOR_CHUNKER_CUT_H
#define AEGIS_PROCESSOR_CHUNKER_CUT_H

#include <stddef.h>

/* The best place to end a chunk that starts at text[0] (no white space): between 0.6 and 1.3 times
 * `ideal`, if there is any. `length` is 1.3 * ideal + CUT_CONTEXT bytes or more, or all that is
 * left of the text. `room` holds 2 * length bytes. Returns a position from 1 to length, with no
 * white space before it; white space may follow it. */
enum { CUT_CONTEXT = 256 };
size_t chunker_cut(const char *text, size_t length, size_t ideal, char *room);

/* How many bytes of white space to skip at the beginning. Only white space whose next character is
 * seen whole is skipped, unless the text is `complete`. */
size_t chunker_leading_space(const char *text, size_t length, int complete);

/* The length without the white space at the end. */
size_t chunker_trimmed(const char *text, size_t length);

#endif
