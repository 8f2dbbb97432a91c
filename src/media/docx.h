/* docx.h - the text of a Word document (ECMA-376 part 1), as a stream. */
#ifndef AEGIS_MEDIA_DOCX_H
#define AEGIS_MEDIA_DOCX_H

#include <stddef.h>

#include "media/frames.h"

/* The package is read from `fd`, which must be seekable, with lseek and read alone. Paragraphs,
 * lists, tables (cells separated by " | "), text boxes, then footnotes and endnotes. Deleted
 * revisions and field instructions are left out. Title and language come from the core properties.
 * Errors: "unreadable", "password_protected", "archive_bomb", "too_deep", "parser_memory". */
int docx_extract(int fd, int (*write)(void *ctx, const char *text, size_t length), void *ctx,
                 struct text_info_frame *info);

#endif
