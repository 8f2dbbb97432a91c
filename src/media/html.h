/* html.h - the text of an HTML page, as a stream. */
#ifndef AEGIS_MEDIA_HTML_H
#define AEGIS_MEDIA_HTML_H

#include <stddef.h>

#include "media/frames.h"

/* Where the page comes from: valid UTF-8 into `bytes`; the length, 0 at the end, -1 with an error
 * set. */
struct html_source {
    int (*read)(void *ctx, char *bytes, int capacity);
    void *ctx;
};

/* Writes the text and fills title and language of *info. Scripts, styles, navigation, forms'
 * controls and hidden parts are left out. "too_deep" past CAP_MARKUP_DEPTH, "parser_memory". */
int html_extract(const struct html_source *source,
                 int (*write)(void *ctx, const char *text, size_t length), void *ctx,
                 struct text_info_frame *info);

#endif
