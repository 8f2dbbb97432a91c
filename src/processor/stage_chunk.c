/*
 * chunk: the text becomes a list of places; the text itself stays where it is.
 */
#include <stdlib.h>
#include <string.h>

#include "processor/chunker.h"
#include "processor/internal.h"

struct chunk_list {
    struct chunk_ref *refs;
    size_t count, capacity;
};

static int add(void *ctx, const struct text_chunk *span)
{
    struct chunk_list *list = ctx;
    if (list->count == CAP_CHUNKS)
        return error_set(ERR_TOO_LARGE, "too_large",
                         "the text makes more than %d chunks: raise chunk.bytes or split it",
                         CAP_CHUNKS);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct chunk_ref *refs = realloc(list->refs, capacity * sizeof *refs);
        if (!refs)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu chunks", capacity);
        list->refs = refs;
        list->capacity = capacity;
    }
    list->refs[list->count++] = (struct chunk_ref){.offset = span->offset,
                                                   .length = (uint32_t)span->length,
                                                   .start_ms = span->start_ms,
                                                   .end_ms = span->end_ms};
    return OK;
}

static int chunk_text(struct job *job, const struct chunk_sink *sink)
{
    struct chunker *c;
    struct buffer scratch;
    const char *text;
    int64_t length = text_source_length(&job->text);
    int rc = chunker_open(job->processor->settings.chunk_bytes, sink, &c);
    if (rc)
        return rc;
    buffer_init(&scratch, KIB(64));
    for (int64_t at = 0; !rc && at < length;) {
        size_t n = length - at < (int64_t)KIB(64) ? (size_t)(length - at) : KIB(64);
        rc = text_source_read(&job->text, at, n, &scratch, &text);
        if (!rc)
            rc = chunker_push(c, text, n);
        at += (int64_t)n;
        if (!rc && cancel_requested(job->cancel))
            rc = error_set(ERR_CANCELLED, NULL, "stopped while chunking");
    }
    if (!rc)
        rc = chunker_finish(c);
    buffer_free(&scratch);
    chunker_close(c);
    return rc;
}

static int chunk_segments(struct job *job, const struct chunk_sink *sink)
{
    struct segment_chunker *c;
    int rc = segment_chunker_open(job->processor->settings.chunk_bytes, sink, &c);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < job->segment_count; i++) {
        const struct segment_row *s = &job->segments[i];
        rc = segment_chunker_push(c, s->start_ms, s->end_ms, s->speaker, s->text, strlen(s->text));
    }
    if (!rc)
        rc = segment_chunker_finish(c);
    segment_chunker_close(c);
    return rc;
}

int stage_chunk(struct job *job)
{
    struct chunk_list list = {0};
    struct chunk_sink sink = {.chunk = add, .ctx = &list};
    free(job->chunks);
    job->chunks = NULL;
    job->chunk_count = 0;
    int rc = job->segment_count > 0 ? chunk_segments(job, &sink) : chunk_text(job, &sink);
    job->chunks = list.refs;
    job->chunk_count = rc ? 0 : list.count;
    return rc;
}
