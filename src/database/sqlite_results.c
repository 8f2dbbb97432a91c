#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_results.h"
#include "database/vector_half.h"

/* ---- finding ---- */

int result_ready(struct names *names, struct connection *c, const struct result_key *key,
                 struct ready_result *out)
{
    char settings[DIGEST_TEXT];
    int64_t settings_id;
    sqlite3_stmt *s;
    *out = (struct ready_result){0};
    digest_format(&key->settings, settings);
    int rc = name_id(names, c, settings, false, &settings_id);
    if (rc)
        return rc == ERR_NOT_FOUND ? OK : rc;
    rc = SQL_FIRST(c, &s,
                   "SELECT result_id, kind_id, language_id FROM result WHERE content_key = ?1 AND "
                   "state = 1 AND settings_id = ?2 AND content = ?3",
                   V_INT(digest_key(&key->content)), V_INT(settings_id),
                   V_BLOB(key->content.bytes, DIGEST_BYTES));
    if (s)
        *out = (struct ready_result){
            .result_id = sql_int(s, 0), .kind_id = sql_int(s, 1), .language_id = sql_int(s, 2)};
    sql_done(s);
    return rc;
}

int sqlite_result_find(void *ctx, const struct result_key *key, int64_t *result_id)
{
    struct store *s = ctx;
    struct ready_result ready;
    struct reader *r = reader_hold(s);
    int rc = result_ready(&s->names, &r->main, key, &ready);
    reader_release(s, r);
    *result_id = ready.result_id;
    if (!rc && !*result_id)
        rc = error_set(ERR_NOT_FOUND, NULL, "there is no ready result under this key");
    return rc;
}

/* ---- rows ---- */

int result_insert(struct transaction *tx, const struct new_result *new, int64_t *result_id)
{
    const struct result_key *key = new->key;
    char settings[DIGEST_TEXT];
    int64_t settings_id;
    digest_format(&key->settings, settings);
    int rc = name_id(tx->names, tx->c, settings, true, &settings_id);
    *result_id = take_id(tx, NEXT_RESULT);
    return rc ? rc
              : SQL_RUN(tx->c,
                        "INSERT INTO result VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
                        "?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
                        V_INT(*result_id), V_INT(new->state), V_INT(digest_key(&key->content)),
                        V_INT(settings_id), V_INT(new->job_id), V_INT(new->space_id),
                        V_INT(new->chunk_count), V_INT(new->segment_count), V_INT(new->kind_id),
                        V_INT(new->language_id), V_INT(new->info.outcome), V_INT(new->info.draft),
                        V_INT(new->info.duration_ms), V_INT(new->info.text_bytes),
                        V_INT(new->info.summary_coverage_permille),
                        V_BLOB(key->content.bytes, DIGEST_BYTES),
                        V_TEXT(text_or_empty(new->info.format)),
                        V_TEXT(text_or_empty(new->info.title)), V_TEXT(text_or_empty(new->heading)),
                        V_TEXT(text_or_empty(new->info.stages_json)), V_TEXT(new->summary),
                        V_INT(digest_key(&key->text)), V_INT(new->info.missing_ms),
                        V_INT(new->summary ? digest_key(&key->summary) : 0));
}

static int insert_segments(struct transaction *tx, int64_t result_id,
                           const struct prepared_batch *p)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < p->segment_count; i++) {
        const struct segment_row *g = &p->segments[i];
        rc = SQL_RUN(tx->c, "INSERT INTO segment VALUES (?1, ?2, ?3, ?4, ?5, ?6)", V_INT(result_id),
                     V_INT(g->ordinal), V_INT(g->start_ms), V_INT(g->end_ms),
                     V_TEXT(text_or_empty(g->speaker)), V_TEXT(text_or_empty(g->text)));
    }
    return rc;
}

static int insert_run(struct transaction *tx, int64_t result_id, const struct prepared_batch *p,
                      size_t from, size_t count, int64_t first_chunk)
{
    size_t row = (size_t)p->dimension * sizeof(uint16_t);
    const uint16_t *vectors = p->vectors ? p->vectors + from * (size_t)p->dimension : NULL;
    int rc =
        SQL_RUN(tx->c, "INSERT INTO chunk_run VALUES (?1, ?2, ?3, ?4, ?5, ?6)", V_INT(first_chunk),
                V_INT(result_id), V_INT(p->chunks[from].ordinal), V_INT((int64_t)count),
                V_INT(p->vectors ? p->space_id : 0), V_BLOB(vectors, count * row));
    for (size_t i = 0; !rc && i < count; i++) {
        const struct chunk_row *chunk = &p->chunks[from + i];
        rc = SQL_RUN(tx->c, "INSERT INTO chunk VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                     V_INT(first_chunk + (int64_t)i), V_INT(result_id), V_INT(chunk->start_ms),
                     V_INT(chunk->end_ms), V_INT(chunk->offset),
                     V_TEXTN(chunk->text ? chunk->text : "", chunk->length));
    }
    return rc;
}

int batch_insert(struct transaction *tx, int64_t result_id, const struct prepared_batch *p)
{
    int rc = insert_segments(tx, result_id, p);
    for (size_t from = 0; !rc && from < p->chunk_count; from += RUN_CHUNKS) {
        size_t count = p->chunk_count - from < RUN_CHUNKS ? p->chunk_count - from : RUN_CHUNKS;
        int64_t first = tx->ledger.value[NEXT_CHUNK];
        tx->ledger.value[NEXT_CHUNK] += (int64_t)count;
        rc = insert_run(tx, result_id, p, from, count, first);
    }
    return rc;
}

/* ---- preparing on the caller's thread ---- */

static int check_order(const struct result_batch *b)
{
    for (size_t i = 1; i < b->chunk_count; i++)
        if (b->chunks[i].ordinal != b->chunks[i - 1].ordinal + 1)
            return error_set(ERR_INVALID, NULL,
                             "chunk %d follows chunk %d: ordinals must rise by 1",
                             b->chunks[i].ordinal, b->chunks[i - 1].ordinal);
    for (size_t i = 1; i < b->segment_count; i++)
        if (b->segments[i].ordinal != b->segments[i - 1].ordinal + 1)
            return error_set(ERR_INVALID, NULL,
                             "segment %d follows segment %d: ordinals must rise by 1",
                             b->segments[i].ordinal, b->segments[i - 1].ordinal);
    return OK;
}

/* A space never changes, so a few are remembered. */
int space_dimension(struct store *s, int64_t space_id, int *dimension)
{
    atomic_int *known = space_id > 0 && space_id < SPACES_KNOWN ? &s->dimensions[space_id] : NULL;
    if (known && (*dimension = atomic_load(known)) != 0)
        return OK;
    struct reader *r = reader_hold(s);
    int64_t n;
    int rc =
        SQL_NUMBER(&r->main, &n, 0, "SELECT dimension FROM embedding_space WHERE space_id = ?1",
                   V_INT(space_id));
    reader_release(s, r);
    *dimension = (int)n;
    if (known)
        atomic_store(known, *dimension);
    if (!rc && !n)
        rc = error_set(ERR_INVALID, NULL, "there is no embedding space %lld", (long long)space_id);
    return rc;
}

int batch_prepare(struct store *s, const struct result_batch *b, struct prepared_batch *out)
{
    *out = (struct prepared_batch){.segments = b->segments,
                                   .segment_count = b->segment_count,
                                   .chunks = b->chunks,
                                   .chunk_count = b->chunk_count,
                                   .calls = b->calls,
                                   .call_count = b->call_count};
    int rc = check_order(b);
    if (rc || !b->embeddings || !b->chunk_count)
        return rc;
    out->space_id = b->space_id;
    rc = space_dimension(s, b->space_id, &out->dimension);
    if (rc)
        return rc;
    size_t values = b->chunk_count * (size_t)out->dimension;
    out->owned = malloc(values * sizeof *out->owned);
    if (!out->owned)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu embeddings", b->chunk_count);
    half_from_floats(b->embeddings, values, out->owned);
    out->vectors = out->owned;
    return OK;
}

void batch_free(struct prepared_batch *p)
{
    free(p->owned);
    p->owned = NULL;
}

/* Leaves out what is stored already, so that an append can be repeated. */
int batch_skip(struct prepared_batch *p, int64_t chunks_done, int64_t segments_done)
{
    while (p->chunk_count && p->chunks[0].ordinal < chunks_done) {
        p->chunks++;
        p->chunk_count--;
        if (p->vectors)
            p->vectors += p->dimension;
    }
    while (p->segment_count && p->segments[0].ordinal < segments_done) {
        p->segments++;
        p->segment_count--;
    }
    if (p->chunk_count && p->chunks[0].ordinal != chunks_done)
        return error_set(ERR_INVALID, NULL, "chunk %d was appended, %lld was expected",
                         p->chunks[0].ordinal, (long long)chunks_done);
    if (p->segment_count && p->segments[0].ordinal != segments_done)
        return error_set(ERR_INVALID, NULL, "segment %d was appended, %lld was expected",
                         p->segments[0].ordinal, (long long)segments_done);
    return OK;
}

/* ---- results in the making ---- */

struct beginning {
    int64_t job_id;
    const struct result_key *key;
    int64_t space_id;
    int64_t result_id, chunks, segments;
};

static int find_staged(struct transaction *tx, struct beginning *b)
{
    char settings[DIGEST_TEXT];
    int64_t settings_id;
    sqlite3_stmt *s;
    digest_format(&b->key->settings, settings);
    int rc = name_id(tx->names, tx->c, settings, true, &settings_id);
    if (!rc)
        rc =
            SQL_FIRST(tx->c, &s,
                      "SELECT result_id, chunk_count, segment_count FROM result WHERE job_id = ?1 "
                      "AND state = 0 AND settings_id = ?2 AND content = ?3 AND space_id IN (0, ?4)",
                      V_INT(b->job_id), V_INT(settings_id),
                      V_BLOB(b->key->content.bytes, DIGEST_BYTES), V_INT(b->space_id));
    if (rc)
        return rc;
    b->result_id = s ? sql_int(s, 0) : 0;
    b->chunks = s ? sql_int(s, 1) : 0;
    b->segments = s ? sql_int(s, 2) : 0;
    sql_done(s);
    return OK;
}

/* The heading is fixed now, as its first chunks are soon indexed with it; its title is not known.
 */
static int insert_staged(struct transaction *tx, struct beginning *b, const struct job_head *job)
{
    sqlite3_stmt *s;
    char key[CAP_KEY + 1] = "";
    int rc =
        SQL_FIRST(tx->c, &s, "SELECT key FROM media WHERE media_id = ?1", V_INT(job->media_id));
    if (s)
        sql_copy(s, 0, key, sizeof key);
    sql_done(s);
    return rc ? rc
              : result_insert(
                    tx,
                    &(struct new_result){
                        .state = RESULT_STAGED, .job_id = b->job_id, .key = b->key, .heading = key},
                    &b->result_id);
}

static int begin_result(struct transaction *tx, void *arg)
{
    struct beginning *b = arg;
    struct job_head job;
    int rc = job_load(tx, b->job_id, &job);
    if (!rc && !job_open(job.state))
        rc = error_set(ERR_CONFLICT, "attempt_over", "job %lld is %s: this attempt is over",
                       (long long)b->job_id, job_state_name(job.state));
    if (!rc)
        rc = find_staged(tx, b);
    if (!rc)
        rc = results_discard_staged(tx, b->job_id, b->result_id);
    return rc || b->result_id ? rc : insert_staged(tx, b, &job);
}

int sqlite_result_begin(void *ctx, int64_t job_id, const struct result_key *key, int64_t space_id,
                        int64_t *result_id, int64_t *chunks_done, int64_t *segments_done)
{
    struct store *s = ctx;
    struct beginning b = {.job_id = job_id, .key = key, .space_id = space_id};
    int rc = writer_run(&s->writer, begin_result, &b);
    *result_id = b.result_id;
    *chunks_done = b.chunks;
    *segments_done = b.segments;
    return rc;
}

int staged_load(struct transaction *tx, int64_t result_id, struct staged_result *out)
{
    sqlite3_stmt *s;
    int rc = SQL_FIRST(tx->c, &s,
                       "SELECT state, job_id, space_id, chunk_count, segment_count, kind_id, "
                       "language_id FROM result WHERE result_id = ?1",
                       V_INT(result_id));
    if (rc)
        return rc;
    if (!s)
        return error_set(ERR_NOT_FOUND, NULL, "there is no result %lld", (long long)result_id);
    *out = (struct staged_result){.state = (enum result_state)sql_int(s, 0),
                                  .job_id = sql_int(s, 1),
                                  .space_id = sql_int(s, 2),
                                  .chunks = sql_int(s, 3),
                                  .segments = sql_int(s, 4),
                                  .kind_id = sql_int(s, 5),
                                  .language_id = sql_int(s, 6)};
    sql_done(s);
    return OK;
}

int staged_append(struct transaction *tx, int64_t result_id, struct staged_result *staged,
                  const struct prepared_batch *prepared)
{
    struct prepared_batch p = *prepared; /* the change may be applied again */
    int rc = batch_skip(&p, staged->chunks, staged->segments);
    if (!rc && p.vectors && staged->space_id && staged->space_id != p.space_id)
        rc = error_set(ERR_INVALID, NULL, "result %lld has embeddings of space %lld, not %lld",
                       (long long)result_id, (long long)staged->space_id, (long long)p.space_id);
    if (!rc)
        rc = batch_insert(tx, result_id, &p);
    staged->chunks += (int64_t)p.chunk_count;
    staged->segments += (int64_t)p.segment_count;
    if (p.vectors)
        staged->space_id = p.space_id;
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE result SET chunk_count = ?2, segment_count = ?3, space_id = ?4 WHERE "
                     "result_id = ?1",
                     V_INT(result_id), V_INT(staged->chunks), V_INT(staged->segments),
                     V_INT(staged->space_id));
    return rc;
}

struct appending {
    int64_t job_id, result_id;
    struct prepared_batch batch;
};

static int append(struct transaction *tx, void *arg)
{
    const struct appending *a = arg;
    struct staged_result staged;
    struct job_head job;
    int rc = job_load(tx, a->job_id, &job);
    if (!rc)
        rc = staged_load(tx, a->result_id, &staged);
    else
        return rc;
    if (rc == ERR_NOT_FOUND) { /* collected already */
        staged.state = RESULT_GARBAGE;
        rc = OK;
    }
    if (!rc && (staged.state != RESULT_STAGED || staged.job_id != a->job_id))
        rc = error_set(ERR_CONFLICT, "attempt_over",
                       "result %lld is not in the making by job %lld any more",
                       (long long)a->result_id, (long long)a->job_id);
    if (rc == ERR_CONFLICT) {
        tx->keep = true; /* the calls were made all the same */
        struct error e = *error_last();
        int failed =
            calls_record(tx, job.media_id, job.job_id, a->batch.calls, a->batch.call_count);
        tx->keep = !failed;
        return failed ? failed : error_restore(&e);
    }
    if (!rc)
        rc = staged_append(tx, a->result_id, &staged, &a->batch);
    return rc ? rc
              : calls_record(tx, job.media_id, job.job_id, a->batch.calls, a->batch.call_count);
}

int sqlite_result_append(void *ctx, int64_t job_id, int64_t result_id,
                         const struct result_batch *batch)
{
    struct store *s = ctx;
    struct appending a = {.job_id = job_id, .result_id = result_id};
    int rc = batch_prepare(s, batch, &a.batch);
    if (!rc)
        rc = writer_run(&s->writer, append, &a);
    batch_free(&a.batch);
    if (!rc)
        keeper_pace(s);
    return rc;
}

/* ---- letting go ---- */

int garbage_add(struct transaction *tx, enum garbage_kind kind, int64_t id, int64_t arg)
{
    tx->garbage = true;
    return SQL_RUN(tx->c, "INSERT INTO garbage (kind, id, arg) VALUES (?1, ?2, ?3)", V_INT(kind),
                   V_INT(id), V_INT(arg));
}

static int discard(struct transaction *tx, int64_t result_id)
{
    int rc = SQL_RUN(tx->c, "UPDATE result SET state = 2 WHERE result_id = ?1", V_INT(result_id));
    return rc ? rc : garbage_add(tx, GARBAGE_RESULT, result_id, 0);
}

int result_unreference(struct transaction *tx, int64_t result_id)
{
    struct staged_result r;
    int64_t used;
    int rc = SQL_NUMBER(tx->c, &used, 0, "SELECT 1 FROM media WHERE result_id = ?1 LIMIT 1",
                        V_INT(result_id));
    if (rc || used)
        return rc;
    rc = staged_load(tx, result_id, &r);
    if (rc)
        return rc;
    tx->ledger.value[TOTAL_RESULTS]--;
    tx->ledger.value[TOTAL_CHUNKS] -= r.chunks;
    tx->ledger.value[TOTAL_SEGMENTS] -= r.segments;
    rc = space_add(tx, r.space_id, -r.chunks);
    if (!rc)
        rc = spaces_leave(tx, result_id);
    return rc ? rc : discard(tx, result_id);
}

int results_discard_staged(struct transaction *tx, int64_t job_id, int64_t but)
{
    int64_t result_id;
    for (;;) {
        int rc = SQL_NUMBER(tx->c, &result_id, 0,
                            "SELECT result_id FROM result WHERE job_id = ?1 AND state = 0 AND "
                            "result_id <> ?2 LIMIT 1",
                            V_INT(job_id), V_INT(but));
        if (rc || !result_id)
            return rc;
        rc = discard(tx, result_id);
        if (rc)
            return rc;
    }
}
