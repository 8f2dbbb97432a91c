/* The text decoder and the UTF-8 filter: whatever goes in, valid UTF-8 without NUL or CR comes out,
 * and it does not depend on where the input was cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/decoder.h"
#include "media/title.h"
#include "media/utf8.h"
#include "shared/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct utf8_filter filter;
static struct title_finder titles;

static int keep(void *ctx, const char *text, size_t length)
{
    title_feed(&titles, text, length);
    return buffer_append(ctx, text, length);
}

static void check(const struct buffer *out)
{
    if (!utf8_valid(buffer_string(out), out->length, false) ||
        memchr(buffer_string(out), '\0', out->length) ||
        memchr(buffer_string(out), '\r', out->length))
        abort();
}

static void in_steps(const uint8_t *data, size_t size, size_t step, struct buffer *out)
{
    buffer_clear(out);
    utf8_filter_init(&filter, keep, out, 1 << 24);
    for (size_t at = 0; at < size; at += step)
        utf8_filter_feed(&filter, data + at, size - at < step ? size - at : step);
    utf8_filter_flush(&filter);
    check(out);
}

static void decode(const uint8_t *data, size_t size, bool markup, struct buffer *out)
{
    static struct decoder *decoder;
    if (!decoder && (dup2(memfd_create("fuzz", 0), 0) || decoder_open(&decoder)))
        abort();
    if (ftruncate(0, 0) || pwrite(0, data, size, 0) != (ssize_t)size || lseek(0, 0, SEEK_SET))
        abort();
    decoder_restart(decoder);
    buffer_clear(out);
    utf8_filter_init(&filter, keep, out, 1 << 24);
    decoder_run(decoder, markup, &filter);
    check(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buffer whole = {.limit = 1 << 24}, parts = {.limit = 1 << 24};
    char title[512] = "";
    if (size < 1 || size > 1 << 20)
        return 0;
    title_init(&titles);
    in_steps(data + 1, size - 1, size, &whole);
    title_of_markdown(&titles, title, sizeof title);
    if (!utf8_valid(title, strlen(title), false))
        abort();
    in_steps(data + 1, size - 1, 1 + data[0] % 32, &parts);
    if (whole.length != parts.length ||
        memcmp(buffer_string(&whole), buffer_string(&parts), whole.length) != 0)
        abort();
    decode(data + 1, size - 1, data[0] & 1, &whole);
    return 0;
}
