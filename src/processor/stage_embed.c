/*
 * embed: one vector per chunk. A medium of a few chunks keeps them for publish; a large one is
 * stored batch by batch under a result in the making, from where a retry goes on.
 */
#include <stdlib.h>

#include "processor/internal.h"
#include "shared/file.h"

enum { EMBED_BATCH = 128 }; /* chunks of one call: a reply of about 1 MB at 1,536 dimensions */

/* Chunk by chunk: what lies between two chunks is white space, and there may be gigabytes of it. */
static int load_spooled(const struct text_source *text, const struct chunk_ref *refs, size_t count,
                        struct chunk_row *rows, struct buffer *scratch)
{
    size_t total = 0, at = 0, got;
    for (size_t i = 0; i < count; i++)
        total += refs[i].length;
    buffer_clear(scratch);
    int rc = buffer_reserve(scratch, total);
    for (size_t i = 0; !rc && i < count; i++) {
        rc = file_read_at(text->fd, "spool file", scratch->data + at, refs[i].length,
                          refs[i].offset, &got);
        if (!rc && got < refs[i].length)
            rc = error_set(ERR_IO, NULL, "the spool file ended early");
        rows[i].text = scratch->data + at;
        at += refs[i].length;
    }
    return rc;
}

int job_load_chunks(struct job *job, size_t first, size_t count, struct chunk_row *rows,
                    struct buffer *scratch)
{
    const struct text_source *text = &job->text;
    const char *memory = text_source_spooled(text) ? "" : buffer_string(&text->memory);
    for (size_t i = 0; i < count; i++) {
        const struct chunk_ref *c = &job->chunks[first + i];
        rows[i] = (struct chunk_row){.ordinal = (int)(first + i),
                                     .start_ms = c->start_ms,
                                     .end_ms = c->end_ms,
                                     .offset = c->offset,
                                     .text = memory + c->offset,
                                     .length = c->length};
    }
    if (!text_source_spooled(text))
        return OK;
    if (!scratch)
        return error_set(ERR_INVALID, NULL, "a spooled text needs room to be read into");
    return load_spooled(text, job->chunks + first, count, rows, scratch);
}

/* From an earlier result of the same text: ERR_NOT_FOUND if there is none. */
static int find_vectors(struct job *job, const struct embedder *embedder, int first, size_t count,
                        struct arena *arena, float **vectors)
{
    const struct database *db = &job->processor->ports.database;
    if (job->work->content_is_new)
        return ERR_NOT_FOUND;
    *vectors = arena_array(arena, count * (size_t)embedder->model.dimension, sizeof **vectors);
    return *vectors
               ? db->ops->embeddings_find(db->ctx, &job->key, job->space.id, first, count, *vectors)
               : ERR_NO_MEMORY;
}

/* Vectors of `count` loaded chunks: found again, or from the model. */
static int embed_rows(struct job *job, const struct embedder *embedder,
                      const struct chunk_row *rows, size_t count, struct arena *arena,
                      float **vectors)
{
    struct model_calls calls = {.arena = &job->arena};
    int rc = find_vectors(job, embedder, rows[0].ordinal, count, arena, vectors);
    if (rc != ERR_NOT_FOUND)
        return rc;
    const char **texts = arena_array(arena, count, sizeof *texts);
    size_t *lengths = arena_array(arena, count, sizeof *lengths);
    if (!texts || !lengths)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        texts[i] = rows[i].text;
        lengths[i] = rows[i].length;
    }
    struct embed_request request = {
        .purpose = EMBED_DOCUMENT, .texts = texts, .lengths = lengths, .count = count};
    struct embed_result result = {0};
    rc = (count < EMBED_BATCH / 4 ? embed_together : provider_embed)(
        job->processor, embedder, &request, job->cancel, arena, &calls, &result);
    job_bill(job, &calls);
    *vectors = result.vectors;
    return rc;
}

static struct chunk_row *load_rows(struct job *job, size_t first, size_t count, struct arena *arena,
                                   struct buffer *scratch)
{
    struct chunk_row *rows = arena_array(arena, count, sizeof *rows);
    return rows && job_load_chunks(job, first, count, rows, scratch) == OK ? rows : NULL;
}

static int embed_small(struct job *job, const struct embedder *embedder)
{
    struct chunk_row *rows = load_rows(job, 0, job->chunk_count, &job->arena, NULL);
    return rows ? embed_rows(job, embedder, rows, job->chunk_count, &job->arena, &job->vectors)
                : (int)error_last()->code;
}

/* One batch of a large medium, embedded and stored. */
static int embed_batch(struct job *job, const struct embedder *embedder, size_t count,
                       struct buffer *scratch)
{
    const struct database *db = &job->processor->ports.database;
    struct arena arena;
    arena_init(&arena, CAP_JOB_ARENA);
    float *vectors = NULL;
    struct chunk_row *rows = load_rows(job, job->chunks_done, count, &arena, scratch);
    int rc =
        rows ? embed_rows(job, embedder, rows, count, &arena, &vectors) : (int)error_last()->code;
    struct result_batch batch = {
        .chunks = rows, .chunk_count = count, .space_id = job->space.id, .embeddings = vectors};
    batch.language = job_language(job);
    batch.key = job->work->key;
    batch.calls = job->calls.items;
    batch.call_count = job->calls.count;
    if (!rc)
        rc = db->ops->result_append(db->ctx, job->work->job_id, job->result_id, &batch);
    if (!rc) {
        job->calls.count = 0;
        job->chunks_done += count;
    }
    arena_free(&arena);
    return rc;
}

static int append_segments(struct job *job, int64_t done)
{
    const struct database *db = &job->processor->ports.database;
    if ((size_t)done >= job->segment_count)
        return OK;
    struct result_batch batch = {.segments = job->segments + done,
                                 .segment_count = job->segment_count - (size_t)done};
    return db->ops->result_append(db->ctx, job->work->job_id, job->result_id, &batch);
}

static int embed_large(struct job *job, const struct embedder *embedder)
{
    const struct database *db = &job->processor->ports.database;
    int64_t chunks_done, segments_done;
    struct buffer scratch;
    int rc = db->ops->result_begin(db->ctx, job->work->job_id, &job->key, job->space.id,
                                   &job->result_id, &chunks_done, &segments_done);
    if (!rc)
        rc = append_segments(job, segments_done);
    if (rc)
        return rc;
    job->chunks_done = (size_t)chunks_done;
    buffer_init(&scratch, CAP_TEXT_IN_MEMORY);
    size_t limit = embedder->model.max_batch;
    size_t most = limit > 0 && limit < EMBED_BATCH ? limit : EMBED_BATCH;
    while (!rc && job->chunks_done < job->chunk_count) {
        size_t left = job->chunk_count - job->chunks_done;
        rc = cancel_requested(job->cancel)
                 ? error_set(ERR_CANCELLED, NULL, "stopped while embedding")
                 : embed_batch(job, embedder, left < most ? left : most, &scratch);
        job_progress(job, (int)(job->chunks_done * 1000 / job->chunk_count));
    }
    buffer_free(&scratch);
    return rc;
}

int stage_embed(struct job *job)
{
    struct serving serving;
    if (job->chunk_count == 0)
        return OK;
    int rc = serving_find(job->processor, job->switched, &serving);
    if (rc)
        return rc;
    job->space = serving.space;
    job->result_id = 0;
    job->chunks_done = 0;
    bool small = job->chunk_count <= EMBED_BATCH && !text_source_spooled(&job->text);
    rc = small ? embed_small(job, &serving.embedder) : embed_large(job, &serving.embedder);
    if (!rc)
        job->switched = false;
    return rc;
}
