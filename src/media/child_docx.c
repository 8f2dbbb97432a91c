/* child_docx.c - the child "docx". */
#include "media/docx.h"
#include "media/libzip.h"
#include "shared/child.h"
#include "shared/error.h"
#include "shared/libxml.h"

static int send_text(void *ctx, const char *text, size_t length)
{
    (void)ctx;
    return child_send(FRAME_TEXT, text, (uint32_t)length);
}

int child_docx_run(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct text_info_frame info;
    if (libzip_load() || libxml_load())
        return child_fail(error_last());
    libxml.xmlInitParser();
    if (child_lock_down(CHILD_PURE) || docx_extract(0, send_text, NULL, &info))
        return child_fail(error_last());
    return child_send(FRAME_TEXT_INFO, &info, sizeof info) ? 1 : 0;
}
