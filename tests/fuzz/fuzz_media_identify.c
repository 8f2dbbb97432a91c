/* media_identify on any bytes, from a file and from memory. The first byte chooses the name. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"", "a.txt", "a.md", "a.mp3"};
    static int fd = -1;
    struct media_identity identity, same;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (size < 1 || ftruncate(fd, 0) || pwrite(fd, data + 1, size - 1, 0) != (ssize_t)(size - 1))
        return 0;
    int rc = media_identify(fd, (int64_t)size - 1, names[data[0] % 4], &identity);
    if (!rc && identity.kind == MEDIA_UNKNOWN)
        abort();
    if (media_identify_bytes(data + 1, size - 1, names[data[0] % 4], &same) != rc ||
        (!rc && memcmp(&identity, &same, sizeof same)))
        abort();
    return 0;
}
