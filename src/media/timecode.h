/* timecode.h - the timing line of SubRip and WebVTT cues. */
#ifndef AEGIS_MEDIA_TIMECODE_H
#define AEGIS_MEDIA_TIMECODE_H

#include <stdbool.h>
#include <stdint.h>

/* "[hh:]mm:ss[,.]fff" at *text, which moves behind it. Hours have any number of digits up to six;
 * one to three digits of fraction, or none. False if there is none. */
bool timecode_parse(const char **text, int64_t *ms);

/* "time --> time", with anything behind it (positions, settings). */
bool timecode_line(const char *line, int64_t *start_ms, int64_t *end_ms);

#endif
