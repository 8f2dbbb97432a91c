/* What a recording states of its own length: any bytes, and any bytes behind one of the beginnings
 * that containers have, so that the fuzzer gets past the choice. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/extent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *bytes;
    size_t length;
} beginnings[] = {
    {"", 0},
    {"RIFF\xff\0\0\0WAVEfmt ", 16},
    {"RF64\xff\xff\xff\xffWAVEds64", 16},
    {"FORM\0\0\0\xff"
     "AIFFCOMM",
     16},
    {"\0\0\0\x10"
     "ftypM4A \0\0\0\0",
     16},
    {"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", 9},
    {"OggS\0\2", 6},
    {"fLaC\0\0\0\x22\x10\0\x10\0", 12},
    {"ID3\4\0\0\0\0\0\0", 10},
    {"\xff\xfb\x50\xc4", 4},
};
enum { BEGINNINGS = sizeof beginnings / sizeof beginnings[0] };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t kind = data[0] % BEGINNINGS;
    if (fd < 0 || write(fd, beginnings[kind].bytes, beginnings[kind].length) < 0 ||
        write(fd, data + 1, size - 1) < 0)
        abort();
    if (lseek(fd, 0, SEEK_SET) != 0)
        abort();
    struct extent x = extent_of(fd);
    if (x.size != (int64_t)(beginnings[kind].length + size - 1) || x.verdict > EXTENT_CUT ||
        lseek(fd, 0, SEEK_CUR) != 0)
        abort();
    if (x.verdict == EXTENT_CUT && x.stated >= 0 && x.stated <= x.size)
        abort();
    if (x.stated_ms < -1 || x.present_ms < -1 || x.present_ms > x.stated_ms)
        abort();
    close(fd);
    return 0;
}
