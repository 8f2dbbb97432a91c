/* child_text.c - the child "text": plain text in any encoding. */
#include <stdlib.h>
#include <string.h>

#include "media/decoder.h"
#include "media/frames.h"
#include "media/media.h"
#include "shared/caps.h"

static int send_text(void *ctx, const char *text, size_t length)
{
    (void)ctx;
    return child_send(FRAME_TEXT, text, (uint32_t)length);
}

int child_text_run(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct decoder *decoder;
    struct utf8_filter *filter = malloc(sizeof *filter);
    int rc = filter ? decoder_open(&decoder)
                    : error_set(ERR_NO_MEMORY, NULL, "out of memory to decode text");
    if (!rc)
        rc = child_lock_down(CHILD_PURE);
    if (rc)
        return child_fail(error_last()); /* cppcheck-suppress memleak; NOLINT: the child ends */
    utf8_filter_init(filter, send_text, NULL, (int64_t)CAP_TEXT_BYTES);
    rc = decoder_run(decoder, false, filter);
    if (rc)
        return child_fail(error_last());
    struct text_info_frame info = {.invalid = filter->invalid};
    return child_send(FRAME_TEXT_INFO, &info, sizeof info) ? 1 : 0;
}
