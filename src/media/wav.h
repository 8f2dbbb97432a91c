/* wav.h - the header of a RIFF/WAVE file of mono 16-bit samples ("Multimedia Programming Interface
 * and Data Specifications 1.0", IBM and Microsoft, 1991). */
#ifndef AEGIS_MEDIA_WAV_H
#define AEGIS_MEDIA_WAV_H

#include <stdint.h>

enum { WAV_HEADER = 44 };

void wav_header(unsigned char out[WAV_HEADER], uint32_t rate, int64_t samples);

#endif
