/* wav.c - see wav.h. */
#include "media/wav.h"

#include <string.h>

static void little32(unsigned char *p, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(n >> (8 * i));
}

void wav_header(unsigned char out[WAV_HEADER], uint32_t rate, int64_t samples)
{
    uint32_t bytes = (uint32_t)(samples * 2);
    memcpy(out, "RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0........\x02\0\x10\0data....", WAV_HEADER);
    little32(out + 4, WAV_HEADER - 8 + bytes);
    little32(out + 24, rate);
    little32(out + 28, rate * 2);
    little32(out + 40, bytes);
}
