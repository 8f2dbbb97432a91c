/*
 * text_source.h - the text of one medium: in memory while it is short, in an unlinked spool file
 * beyond CAP_TEXT_IN_MEMORY, so that a 1 GB text runs in constant memory.
 *
 * One thread at a time. Written first, read afterwards.
 */
#ifndef AEGIS_PROCESSOR_TEXT_SOURCE_H
#define AEGIS_PROCESSOR_TEXT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"

struct text_source {
    const char *spool_directory;
    struct buffer memory; /* everything, while fd is -1; then the bytes not yet written */
    int fd;
    int64_t spooled; /* bytes in the file */
};

void text_source_init(struct text_source *t, const char *spool_directory);
void text_source_fini(struct text_source *t);

int text_source_write(struct text_source *t, const char *text, size_t length);
int text_source_finish(struct text_source *t);         /* no more writes */
bool text_source_spooled(const struct text_source *t); /* false: all of it is in `memory` */
int64_t text_source_length(const struct text_source *t);

/* `length` bytes at `offset`: *text points into memory or into *scratch (cleared and filled). The
 * range must lie within the text. */
int text_source_read(const struct text_source *t, int64_t offset, size_t length,
                     struct buffer *scratch, const char **text);

#endif
