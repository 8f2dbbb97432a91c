#include "shared/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "shared/digest.h"

void random_bytes(void *out, size_t length)
{
    unsigned char *p = out;
    while (length > 0) {
        ssize_t n = getrandom(p, length, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            abort(); /* ENOSYS or EFAULT: not a kernel Aegis runs on */
        }
        p += n;
        length -= (size_t)n;
    }
}

uint64_t random_below(uint64_t bound)
{
    static _Thread_local uint64_t state;
    if (bound == 0)
        return 0;
    while (state == 0)
        random_bytes(&state, sizeof state);
    /* xorshift64*, Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators" */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint64_t word = state * 2685821657736338717ull;
    return (uint64_t)(((unsigned __int128)word * bound) >> 64);
}

void random_trace_id(char out[TRACE_ID_TEXT])
{
    unsigned char bytes[16];
    random_bytes(bytes, sizeof bytes);
    bytes[15] |= 1;
    hex_encode(bytes, sizeof bytes, out);
}
