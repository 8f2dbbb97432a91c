/* The DOCX extractor: the first byte chooses whether the rest is the whole archive or its main
 * part. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/docx.h"
#include "media/utf8.h"
#include "shared/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int keep(void *ctx, const char *text, size_t length)
{
    return buffer_append(ctx, text, length);
}

static void little(uint8_t *p, uint32_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(n >> (8 * i));
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A ZIP archive of one stored member (APPNOTE.TXT 4.3). */
static void store(int fd, const uint8_t *data, size_t size)
{
    static const char name[] = "word/document.xml";
    enum { NAME = sizeof name - 1 };
    uint8_t local[30 + NAME] = "PK\3\4\x14", central[46 + NAME] = "PK\1\2\x14\0\x14",
                       end[22] = "PK\5\6";
    uint8_t *sums[] = {local + 14, central + 16};
    for (int i = 0; i < 2; i++) {
        little(sums[i], crc32_of(data, size), 4);
        little(sums[i] + 4, (uint32_t)size, 4);
        little(sums[i] + 8, (uint32_t)size, 4);
        little(sums[i] + 12, NAME, 2);
    }
    memcpy(local + 30, name, NAME);
    memcpy(central + 46, name, NAME);
    little(end + 8, 1, 2);
    little(end + 10, 1, 2);
    little(end + 12, sizeof central, 4);
    little(end + 16, (uint32_t)(sizeof local + size), 4);
    if (write(fd, local, sizeof local) < 0 || write(fd, data, size) < 0 ||
        write(fd, central, sizeof central) < 0 || write(fd, end, sizeof end) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static struct buffer out = {.limit = 1 << 24};
    struct text_info_frame info;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (size < 1 || ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
        return 0;
    if (data[0] & 1)
        store(fd, data + 1, size - 1);
    else if (write(fd, data + 1, size - 1) < 0)
        return 0;
    buffer_clear(&out);
    int rc = docx_extract(fd, keep, &out, &info);
    if (!rc && !utf8_valid(buffer_string(&out), out.length, false))
        abort();
    return 0;
}
