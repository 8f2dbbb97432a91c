#include "adapters/offline/wave.h"

#include <string.h>

#include "shared/error.h"

static uint32_t number(const unsigned char *p, int bytes)
{
    uint32_t n = 0;
    for (int i = bytes - 1; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

static int unsupported(const char *what)
{
    return error_set(ERR_PERMANENT, "unsupported_audio",
                     "offline speech recognition reads WAV of 16 kHz, mono, 16 bits only: %s",
                     what);
}

static int check_format(const unsigned char *p, size_t length)
{
    enum { PCM = 1, RATE = 16000 };
    if (length < 16 || number(p, 2) != PCM || number(p + 2, 2) != 1 || number(p + 4, 4) != RATE ||
        number(p + 14, 2) != 16)
        return unsupported("the file has another format");
    return OK;
}

int wave_samples(const unsigned char *bytes, size_t length, const int16_t **samples, size_t *count)
{
    int format_seen = 0;
    if (length < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
        return unsupported("this is no WAV file");
    for (size_t at = 12; at + 8 <= length;) {
        const unsigned char *chunk = bytes + at;
        size_t left = length - at - 8, size = number(chunk + 4, 4);
        size_t here = size < left ? size : left;
        if (!memcmp(chunk, "fmt ", 4)) {
            int rc = check_format(chunk + 8, here);
            if (rc)
                return rc;
            format_seen = 1;
        } else if (!memcmp(chunk, "data", 4) && format_seen) {
            *samples = (const int16_t *)(const void *)(chunk + 8);
            *count = here / 2;
            return OK;
        }
        if (size > left)
            break;
        at += 8 + size + (size & 1);
    }
    return unsupported("it has no samples");
}
