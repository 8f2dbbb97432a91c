#include "database/postgres_results.h"

#include <stdlib.h>
#include <string.h>

#include "database/postgres_words.h"
#include "database/vector_half.h"

/* ---- finding ---- */

int postgres_result_find(void *ctx, const struct result_key *key, int64_t *result_id)
{
    struct pg *c;
    int rc = store_hold(ctx, &c);
    *result_id = 0;
    if (rc)
        return rc;
    rc = PG_NUMBER(c, result_id, 0,
                   "SELECT result_id FROM result WHERE content = $1 AND settings = $2 AND "
                   "state = 1",
                   digest_value(&key->content), digest_value(&key->settings));
    pg_release(c);
    if (!rc && !*result_id)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no ready result under this key");
    return rc;
}

/* ---- preparing on the caller's thread ---- */

static int check_order(const struct result_batch *slice)
{
    for (size_t i = 1; i < slice->chunk_count; i++)
        if (slice->chunks[i].ordinal != slice->chunks[i - 1].ordinal + 1)
            return error_set(ERR_INVALID, NULL,
                             "chunk %d follows chunk %d: ordinals must rise by 1",
                             slice->chunks[i].ordinal, slice->chunks[i - 1].ordinal);
    for (size_t i = 1; i < slice->segment_count; i++)
        if (slice->segments[i].ordinal != slice->segments[i - 1].ordinal + 1)
            return error_set(ERR_INVALID, NULL,
                             "segment %d follows segment %d: ordinals must rise by 1",
                             slice->segments[i].ordinal, slice->segments[i - 1].ordinal);
    return OK;
}

static int find_space(struct store *s, int64_t space_id, struct space_known *out)
{
    struct pg *c;
    if (space_recall(s, space_id, out))
        return OK;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = space_known(s, c, space_id, out);
    pg_release(c);
    return rc;
}

static int prepare_vectors(struct prepared *p, const float *embeddings)
{
    size_t values = p->chunk_count * (size_t)p->space.dimension;
    p->vector_size =
        (size_t)p->space.dimension * (p->space.half ? sizeof(uint16_t) : sizeof(float));
    p->vectors = (const char *)embeddings;
    if (!p->space.half || !values)
        return OK;
    p->owned = malloc(values * sizeof(uint16_t));
    if (!p->owned)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu embeddings", p->chunk_count);
    half_from_floats(embeddings, values, p->owned);
    p->vectors = p->owned;
    return OK;
}

int heading_write(struct buffer *out, const char *title, const char *key)
{
    return title ? buffer_printf(out, "%.*s\n%s", CAP_TITLE, title, key)
                 : buffer_append_string(out, key);
}

static const char *heading_of(const struct prepared *p, const struct chunk_row *chunk)
{
    return chunk->ordinal ? "" : buffer_string(&p->heading);
}

/* The words' places are known once the buffer has ceased to grow. */
static int prepare_words(struct store *s, struct prepared *p)
{
    struct passage_words *w = NULL;
    int rc = words_pool_take(&s->words, p->language, &w);
    size_t *ends = calloc(p->chunk_count + 1, sizeof *ends);
    p->words = p->owned_words = calloc(p->chunk_count + 1, sizeof *p->owned_words);
    if (!rc && (!ends || !p->words))
        rc = error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu chunks", p->chunk_count);
    for (size_t i = 0; !rc && i < p->chunk_count; i++) {
        rc = passage_words_write(w, heading_of(p, &p->chunks[i]), text_or_empty(p->chunks[i].text),
                                 p->chunks[i].length, &p->word_text);
        ends[i + 1] = p->word_text.length;
    }
    for (size_t i = 0; !rc && i < p->chunk_count; i++)
        p->owned_words[i] = (struct pg_bytes){.data = buffer_string(&p->word_text) + ends[i],
                                              .length = ends[i + 1] - ends[i]};
    words_pool_give(&s->words, w);
    free(ends);
    return rc;
}

int prepare_slice(struct store *s, const struct result_batch *slice, const char *language,
                  const char *title, struct prepared *out)
{
    *out = (struct prepared){.segments = slice->segments,
                             .language = language,
                             .segment_count = slice->segment_count,
                             .chunks = slice->chunks,
                             .chunk_count = slice->chunk_count,
                             .calls = slice->calls,
                             .call_count = slice->call_count};
    buffer_init(&out->word_text, GIB(1));
    buffer_init(&out->heading, HEADING_BYTES);
    int rc = check_order(slice);
    if (!rc && slice->key)
        rc = heading_write(&out->heading, title, slice->key);
    if (!rc && slice->chunk_count)
        rc = prepare_words(s, out);
    if (!rc && slice->embeddings && slice->chunk_count)
        rc = find_space(s, slice->space_id, &out->space);
    if (!rc && out->space.id)
        rc = prepare_vectors(out, slice->embeddings);
    for (size_t i = 0; i < slice->chunk_count; i++)
        out->bytes += slice->chunks[i].length + 64 + out->vector_size;
    for (size_t i = 0; i < slice->segment_count; i++)
        out->bytes += strlen(text_or_empty(slice->segments[i].text)) + 64;
    return rc;
}

void prepared_free(struct prepared *p)
{
    free(p->owned);
    free(p->owned_words);
    buffer_free(&p->heading);
    buffer_free(&p->word_text);
    p->owned = p->owned_words = NULL;
}

/* ---- rows ---- */

static struct embedding_insert *embeddings_of(struct batch *b, const struct space_known *space)
{
    struct embedding_insert *all = b->embeddings.items;
    for (size_t i = 0; i < b->embeddings.count; i++)
        if (all[i].space.id == space->id)
            return &all[i];
    struct embedding_insert *e = list_add(b, &b->embeddings, sizeof *e);
    e->space = *space;
    return e;
}

static struct pg_bytes words_anew(struct batch *b, const struct result_image *result,
                                  const struct prepared *p, const struct chunk_row *chunk)
{
    struct passage_words *w = NULL;
    struct buffer words;
    buffer_init(&words, PASSAGE_WORDS_BYTES);
    int rc = words_pool_take(&b->s->words, p->language, &w);
    if (!rc)
        rc = passage_words_write(w, result->heading, text_or_empty(chunk->text), chunk->length,
                                 &words);
    words_pool_give(&b->s->words, w);
    struct pg_bytes out = {.data = rc ? NULL : arena_memdup(&b->arena, words.data, words.length),
                           .length = words.length};
    if (!out.data) {
        b->broken = ERR_NO_MEMORY;
        out = (struct pg_bytes){.data = ""};
    }
    buffer_free(&words);
    return out;
}

/* Those made beforehand, unless the caller did not know the key then. */
static struct pg_bytes words_of(struct batch *b, const struct result_image *result,
                                const struct prepared *p, size_t i)
{
    bool fit = p->chunks[i].ordinal || !strcmp(buffer_string(&p->heading), result->heading);
    return fit ? p->words[i] : words_anew(b, result, p, &p->chunks[i]);
}

static void insert_chunks(struct batch *b, const struct result_image *result,
                          const struct prepared *p)
{
    struct embedding_insert *e = p->space.id ? embeddings_of(b, &p->space) : NULL;
    char *vectors = e ? list_add_many(b, &e->values, p->vector_size, p->chunk_count) : NULL;
    if (vectors)
        memcpy(vectors, p->vectors, p->chunk_count * p->vector_size);
    for (size_t i = 0; i < p->chunk_count; i++) {
        const struct chunk_row *chunk = &p->chunks[i];
        struct chunk_insert *row = list_add(b, &b->chunk_rows, sizeof *row);
        *row = (struct chunk_insert){
            .chunk_id = id_take(b, ID_CHUNK),
            .result_id = result->result_id,
            .start_ms = chunk->start_ms,
            .end_ms = chunk->end_ms,
            .offset = chunk->offset,
            .ordinal = chunk->ordinal,
            .words = words_of(b, result, p, i),
            .text = {.data = chunk->length ? chunk->text : "", .length = chunk->length}};
        if (e) {
            list_add_id(b, &e->chunk_ids, row->chunk_id);
            list_add_id(b, &e->result_ids, row->result_id);
        }
    }
}

void slice_insert(struct batch *b, struct result_image *result, const struct prepared *p)
{
    for (size_t i = 0; i < p->segment_count; i++) {
        const struct segment_row *segment = &p->segments[i];
        struct segment_insert *row = list_add(b, &b->segments, sizeof *row);
        *row = (struct segment_insert){.result_id = result->result_id,
                                       .start_ms = segment->start_ms,
                                       .end_ms = segment->end_ms,
                                       .ordinal = segment->ordinal,
                                       .speaker = text_or_empty(segment->speaker),
                                       .text = text_or_empty(segment->text)};
    }
    if (p->chunk_count)
        insert_chunks(b, result, p);
    if (p->space.id)
        result->space_id = p->space.id;
    result->chunks += (int64_t)p->chunk_count;
    result->segments += (int64_t)p->segment_count;
}

/* Leaves out what is stored already, so that an append can be repeated. */
static int skip_stored(struct prepared *p, const struct result_image *result)
{
    while (p->chunk_count && p->chunks[0].ordinal < result->chunks) {
        p->chunks++;
        p->words++;
        p->chunk_count--;
        if (p->space.id)
            p->vectors += p->vector_size;
    }
    while (p->segment_count && p->segments[0].ordinal < result->segments) {
        p->segments++;
        p->segment_count--;
    }
    if (p->chunk_count && p->chunks[0].ordinal != result->chunks)
        return error_set(ERR_INVALID, NULL, "chunk %d was appended, %lld was expected",
                         p->chunks[0].ordinal, (long long)result->chunks);
    if (p->segment_count && p->segments[0].ordinal != result->segments)
        return error_set(ERR_INVALID, NULL, "segment %d was appended, %lld was expected",
                         p->segments[0].ordinal, (long long)result->segments);
    return OK;
}

int slice_append(struct batch *b, struct result_image *result, const struct prepared *prepared)
{
    struct prepared p = *prepared; /* the change may be applied again */
    int rc = skip_stored(&p, result);
    if (!rc && p.space.id && result->space_id && result->space_id != p.space.id)
        rc = error_set(ERR_INVALID, NULL, "result %lld has embeddings of space %lld, not %lld",
                       (long long)result->result_id, (long long)result->space_id,
                       (long long)p.space.id);
    if (rc)
        return rc;
    slice_insert(b, result, &p);
    result->counts_dirty = true;
    return OK;
}

/* ---- result_begin ---- */

struct beginning {
    int64_t job_id;
    const struct result_key *key;
    int64_t space_id;
    int64_t result_id, chunks, segments;
};

static int need_beginning(struct batch *b, void *arg)
{
    const struct beginning *begin = arg;
    need_job(b, begin->job_id);
    list_add_id(b, &b->needs.staged, begin->job_id);
    b->needs.ids[ID_RESULT]++;
    return OK;
}

/* The one under this key; what else the job had in the making is not wanted any more. */
static struct result_image *keep_one(struct batch *b, const struct beginning *begin)
{
    struct result_image *kept = NULL;
    for (size_t i = 0; i < b->results.count; i++) {
        struct result_image *r = ((struct result_image **)b->results.items)[i];
        if (r->job_id != begin->job_id || r->state != RESULT_STAGED)
            continue;
        bool same_space = r->space_id == 0 || r->space_id == begin->space_id;
        if (!kept && same_space && digest_equal(&r->content, &begin->key->content) &&
            digest_equal(&r->settings, &begin->key->settings)) {
            kept = r;
            continue;
        }
        r->state = RESULT_GARBAGE;
        r->counts_dirty = true;
        garbage_note(b, GARBAGE_RESULT, r->result_id, 0);
    }
    return kept;
}

/* The heading is fixed now, as its first chunks are indexed with it; its title is not known. */
static struct result_image *new_staged(struct batch *b, const struct beginning *begin,
                                       const struct media_image *media)
{
    struct result_image *r = result_new(b, begin->key);
    r->state = RESULT_STAGED;
    r->job_id = begin->job_id;
    r->heading = media->key;
    return r;
}

static int begin_result(struct batch *b, void *arg)
{
    struct beginning *begin = arg;
    struct job_image *job;
    struct media_image *media;
    int rc = job_find(b, begin->job_id, &job, &media);
    if (!rc && !job_open((enum job_state)job->state))
        rc = not_open(job);
    if (rc)
        return rc;
    struct result_image *r = keep_one(b, begin);
    if (!r)
        r = new_staged(b, begin, media);
    begin->result_id = r->result_id;
    begin->chunks = r->chunks;
    begin->segments = r->segments;
    return OK;
}

int postgres_result_begin(void *ctx, int64_t job_id, const struct result_key *key, int64_t space_id,
                          int64_t *result_id, int64_t *chunks_done, int64_t *segments_done)
{
    static const struct change_verbs verbs = {.need = need_beginning, .apply = begin_result};
    struct beginning begin = {.job_id = job_id, .key = key, .space_id = space_id};
    int rc = change_run(ctx, &verbs, &begin, 512, NULL);
    *result_id = begin.result_id;
    *chunks_done = begin.chunks;
    *segments_done = begin.segments;
    return rc;
}

/* ---- result_append ---- */

struct appending {
    int64_t job_id, result_id;
    struct prepared slice;
};

static int need_appending(struct batch *b, void *arg)
{
    const struct appending *a = arg;
    need_job(b, a->job_id);
    list_add_id(b, &b->needs.results, a->result_id);
    b->needs.ids[ID_CHUNK] += (int64_t)a->slice.chunk_count;
    return OK;
}

static int append(struct batch *b, void *arg)
{
    const struct appending *a = arg;
    struct job_image *job;
    struct media_image *media;
    int rc = job_find(b, a->job_id, &job, &media);
    if (rc)
        return rc;
    struct result_image *r = result_image(b, a->result_id);
    bool ours = r && r->state == RESULT_STAGED && r->job_id == a->job_id;
    if (ours)
        rc = slice_append(b, r, &a->slice);
    if (!rc) /* made in any case */
        calls_add(b, media, job->job_id, a->slice.calls, a->slice.call_count);
    if (!ours)
        rc = error_set(ERR_CONFLICT, "attempt_over",
                       "result %lld is not in the making by job %lld any more",
                       (long long)a->result_id, (long long)a->job_id);
    return rc;
}

int postgres_result_append(void *ctx, int64_t job_id, int64_t result_id,
                           const struct result_batch *batch)
{
    static const struct change_verbs verbs = {.need = need_appending, .apply = append};
    struct appending a = {.job_id = job_id, .result_id = result_id};
    struct store *s = ctx;
    int rc = prepare_slice(s, batch, text_or_empty(batch->language), NULL, &a.slice);
    if (!rc && a.slice.space.id && !atomic_load(&s->serving_seen))
        rc = serving_begin(s, a.slice.space.id); /* its publication may come without embeddings */
    if (!rc)
        rc = change_run(ctx, &verbs, &a, a.slice.bytes, NULL);
    prepared_free(&a.slice);
    return rc;
}
