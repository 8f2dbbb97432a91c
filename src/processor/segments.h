/*
 * segments.h - a growing list of transcript segments, and how a job takes it as its text.
 */
#ifndef AEGIS_PROCESSOR_SEGMENTS_H
#define AEGIS_PROCESSOR_SEGMENTS_H

#include "processor/internal.h"

struct segment_list {
    struct arena *arena; /* of the texts */
    struct segment_row *rows;
    size_t count, capacity;
};

void segments_init(struct segment_list *list, struct arena *arena);
void segments_fini(struct segment_list *list); /* frees the rows, not the texts */

/* Copies the trimmed text and the speaker; a segment without text is left out. ERR_TOO_LARGE past
 * CAP_SEGMENTS. */
int segments_add(struct segment_list *list, int64_t start_ms, int64_t end_ms, const char *speaker,
                 const char *text);

/* The job's segments become these (copied to its arena,
 * ordered by start), its text their texts joined by newlines, its
 * duration at least the end of the last one. */
int job_take_segments(struct job *job, const struct segment_list *list);

#endif
