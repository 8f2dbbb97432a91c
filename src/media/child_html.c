/* child_html.c - the child "html". */
#include <stdlib.h>
#include <string.h>

#include "media/decoder.h"
#include "media/frames.h"
#include "media/html.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/child.h"
#include "shared/libxml.h"

/* The parser pulls, the decoder pushes: what one step of it makes waits here. */
struct feeder {
    struct decoder *decoder;
    struct utf8_filter filter;
    struct buffer waiting;
    size_t taken;
};

static int keep(void *ctx, const char *text, size_t length)
{
    struct feeder *f = ctx;
    return buffer_append(&f->waiting, text, length);
}

static int pull(void *ctx, char *bytes, int capacity)
{
    struct feeder *f = ctx;
    while (f->taken == f->waiting.length) {
        bool more;
        f->taken = 0;
        buffer_clear(&f->waiting);
        if (decoder_step(f->decoder, true, &f->filter, &more))
            return -1;
        if (!more && f->waiting.length == 0)
            return 0;
    }
    size_t n = f->waiting.length - f->taken;
    if (n > (size_t)capacity)
        n = (size_t)capacity;
    memcpy(bytes, f->waiting.data + f->taken, n);
    f->taken += n;
    return (int)n;
}

static int send_text(void *ctx, const char *text, size_t length)
{
    (void)ctx;
    return child_send(FRAME_TEXT, text, (uint32_t)length);
}

int child_html_run(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct text_info_frame info;
    struct feeder *feeder = malloc(sizeof *feeder);
    int rc = feeder ? decoder_open(&feeder->decoder)
                    : error_set(ERR_NO_MEMORY, NULL, "out of memory to parse HTML");
    if (!rc)
        rc = libxml_load();
    if (!rc) {
        libxml.xmlInitParser();
        rc = child_lock_down(CHILD_PURE);
    }
    if (rc)
        return child_fail(error_last());
    buffer_init(&feeder->waiting, MIB(4));
    feeder->taken = 0;
    utf8_filter_init(&feeder->filter, keep, feeder, INT64_MAX);
    struct html_source source = {.read = pull, .ctx = feeder};
    rc = html_extract(&source, send_text, NULL, &info);
    if (rc)
        return child_fail(error_last());
    info.invalid = feeder->filter.invalid;
    return child_send(FRAME_TEXT_INFO, &info, sizeof info) ? 1 : 0;
}
