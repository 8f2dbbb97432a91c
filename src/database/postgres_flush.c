/*
 * The second round trip of a batch: what changed, one statement a table.
 */
#include <stdlib.h>
#include <string.h>

#include "database/postgres_columns.h"

/* ---- media and versions ---- */

static const struct column media_columns[] = {
    AT(COLUMN_INT, struct media_image, media_id),
    AT(COLUMN_INT, struct media_image, version_id),
    AT(COLUMN_INT, struct media_image, job_id),
    AT(COLUMN_INT, struct media_image, result_id),
    AT(COLUMN_INT, struct media_image, uploaded_ms),
    AT(COLUMN_INT, struct media_image, published_ms),
    AT(COLUMN_INT, struct media_image, event_ms),
    AT(COLUMN_INT, struct media_image, cost_nanousd),
    AT(COLUMN_INT, struct media_image, unpriced_calls),
    AT(COLUMN_BOOL, struct media_image, removed),
    AT(COLUMN_TEXT, struct media_image, collection),
    AT(COLUMN_TEXT, struct media_image, kind),
    AT(COLUMN_TEXT, struct media_image, language),
    AT(COLUMN_TEXT, struct media_image, sequencer),
    AT(COLUMN_TEXT, struct media_image, bucket),
    AT(COLUMN_TEXT, struct media_image, key),
};

static const struct table insert_media = TABLE(
    "INSERT INTO media (media_id, version_id, job_id, result_id, uploaded_ms, published_ms, "
    "event_ms, cost_nanousd, unpriced_calls, removed, collection, kind, language, sequencer, "
    "bucket, key) SELECT a, b, c, nullif(d, 0), e, f, g, h, i, j <> 0, k, l, m, n, o, p FROM "
    "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], "
    "$7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], "
    "$13::text[], $14::text[], $15::text[], $16::text[]) "
    "u(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)",
    media_columns);

static const struct table update_media = {
    .sql = "UPDATE media SET version_id = b, job_id = c, result_id = nullif(d, 0), "
           "uploaded_ms = e, published_ms = f, event_ms = g, cost_nanousd = h, unpriced_calls = i, "
           "removed = j <> 0, collection = k, kind = l, language = m, sequencer = n FROM "
           "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], "
           "$6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], "
           "$12::text[], $13::text[], $14::text[]) u(a, b, c, d, e, f, g, h, i, j, k, l, m, n) "
           "WHERE media_id = a",
    .columns = media_columns,
    .count = 14,
};

static const struct column version_columns[] = {
    AT(COLUMN_INT, struct version_image, version_id),
    AT(COLUMN_INT, struct version_image, event_ms),
    AT(COLUMN_DIGEST, struct version_image, content),
    AT(COLUMN_TEXT, struct version_image, object_version),
    AT(COLUMN_TEXT, struct version_image, etag),
    AT(COLUMN_TEXT, struct version_image, content_type),
    AT(COLUMN_INT, struct version_image, media_id),
    AT(COLUMN_INT, struct version_image, size),
};

static const struct table insert_version =
    TABLE("INSERT INTO version (version_id, event_ms, content, object_version, etag, content_type, "
          "media_id, size) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], "
          "$4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[])",
          version_columns);

static const struct table update_version = {
    .sql = "UPDATE version SET event_ms = b, content = c, object_version = d, etag = e, "
           "content_type = f FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], "
           "$5::text[], $6::text[]) u(a, b, c, d, e, f) WHERE version_id = a",
    .columns = version_columns,
    .count = 6,
};

#define WANTED(name, type, condition)                                                              \
    static bool name(const void *image)                                                            \
    {                                                                                              \
        const type *it = image;                                                                    \
        return condition;                                                                          \
    }
WANTED(new_media_row, struct media_image, it->fresh)
WANTED(changed_media_row, struct media_image, it->dirty && !it->fresh)
WANTED(new_version_row, struct version_image, it->fresh)
WANTED(changed_version_row, struct version_image, it->dirty && !it->fresh)
WANTED(new_job_row, struct job_image, it->fresh)
WANTED(changed_job_row, struct job_image, it->dirty && !it->fresh)
WANTED(new_result_row, struct result_image, it->fresh)
WANTED(changed_result_row, struct result_image, it->dirty && !it->fresh)
WANTED(counted_result_row, struct result_image, it->counts_dirty && !it->dirty && !it->fresh)

/* ---- jobs ---- */

static const struct column job_columns[] = {
    AT(COLUMN_INT, struct job_image, job_id),     AT(COLUMN_INT, struct job_image, queued_ms),
    AT(COLUMN_INT, struct job_image, started_ms), AT(COLUMN_INT, struct job_image, finished_ms),
    AT(COLUMN_INT, struct job_image, due_ms),     AT(COLUMN_INT, struct job_image, wake_ms),
    AT(COLUMN_INT, struct job_image, lease_ms),   AT(COLUMN_INT, struct job_image, attempt),
    AT(COLUMN_INT, struct job_image, ordinal),    AT(COLUMN_INT, struct job_image, receive_count),
    AT(COLUMN_INT, struct job_image, state),      AT(COLUMN_DIGEST, struct job_image, content),
    AT(COLUMN_TEXT, struct job_image, worker),    AT(COLUMN_TEXT, struct job_image, stage),
    AT(COLUMN_TEXT, struct job_image, reason),    AT(COLUMN_TEXT, struct job_image, message),
    AT(COLUMN_BOOL, struct job_image, wake_set),  AT(COLUMN_BOOL, struct job_image, lease_set),
};

static const struct table update_job =
    TABLE("UPDATE job SET queued_ms = b, started_ms = c, finished_ms = d, due_ms = e, "
          "wake_ms = CASE WHEN q <> 0 THEN f ELSE wake_ms END, "
          "lease_ms = CASE WHEN r <> 0 THEN g ELSE lease_ms END, attempt = h, ordinal = i, "
          "receive_count = j, state = k, content = l, worker = m, stage = n, reason = o, "
          "message = p FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], "
          "$5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], "
          "$11::bigint[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::text[], "
          "$17::bigint[], $18::bigint[]) u(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r) "
          "WHERE job_id = a",
          job_columns);

/* A new job may have been cancelled in the batch that made it. */
static const struct column new_job_columns[] = {
    AT(COLUMN_INT, struct job_image, job_id),      AT(COLUMN_INT, struct job_image, media_id),
    AT(COLUMN_INT, struct job_image, version_id),  AT(COLUMN_INT, struct job_image, queued_ms),
    AT(COLUMN_INT, struct job_image, finished_ms), AT(COLUMN_INT, struct job_image, wake_ms),
    AT(COLUMN_INT, struct job_image, state),       AT(COLUMN_BYTES, struct job_image, trace),
    AT(COLUMN_TEXT, struct job_image, reason),     AT(COLUMN_TEXT, struct job_image, message),
};

static const struct table insert_job =
    TABLE("INSERT INTO job (job_id, media_id, version_id, queued_ms, finished_ms, wake_ms, state, "
          "trace, reason, message) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], "
          "$4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::text[], "
          "$10::text[])",
          new_job_columns);

static const char RELEASE[] = "UPDATE job SET content = NULL WHERE job_id = ANY($1)";

static const struct column attempt_columns[] = {
    AT(COLUMN_INT, struct attempt_insert, job_id),
    AT(COLUMN_INT, struct attempt_insert, started_ms),
    AT(COLUMN_INT, struct attempt_insert, ended_ms),
    AT(COLUMN_INT, struct attempt_insert, ordinal),
    AT(COLUMN_INT, struct attempt_insert, attempt),
    AT(COLUMN_INT, struct attempt_insert, outcome),
    AT(COLUMN_TEXT, struct attempt_insert, worker),
    AT(COLUMN_TEXT, struct attempt_insert, stage),
    AT(COLUMN_TEXT, struct attempt_insert, reason),
    AT(COLUMN_TEXT, struct attempt_insert, message),
    AT(COLUMN_TEXT, struct attempt_insert, stage_times),
};

static const struct table insert_attempt =
    TABLE("INSERT INTO attempt (job_id, started_ms, ended_ms, ordinal, attempt, outcome, worker, "
          "stage, reason, message, stage_times) SELECT * FROM unnest($1::bigint[], $2::bigint[], "
          "$3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], "
          "$9::text[], $10::text[], $11::text[])",
          attempt_columns);

/* ---- results ---- */

static const struct column result_columns[] = {
    AT(COLUMN_INT, struct result_image, result_id),
    AT(COLUMN_INT, struct result_image, space_id),
    AT(COLUMN_INT, struct result_image, chunks),
    AT(COLUMN_INT, struct result_image, segments),
    AT(COLUMN_INT, struct result_image, state),
    AT(COLUMN_INT, struct result_image, duration_ms),
    AT(COLUMN_INT, struct result_image, missing_ms),
    AT(COLUMN_INT, struct result_image, text_bytes),
    AT(COLUMN_INT, struct result_image, coverage),
    AT(COLUMN_INT, struct result_image, outcome),
    AT(COLUMN_BOOL, struct result_image, draft),
    AT(COLUMN_DIGEST, struct result_image, summary_settings),
    AT(COLUMN_TEXT, struct result_image, kind),
    AT(COLUMN_TEXT, struct result_image, format),
    AT(COLUMN_TEXT, struct result_image, language),
    AT(COLUMN_TEXT, struct result_image, title),
    AT(COLUMN_TEXT, struct result_image, stages),
    AT(COLUMN_TEXT, struct result_image, summary),
    AT(COLUMN_TEXT, struct result_image, heading),
    AT(COLUMN_INT, struct result_image, job_id),
    AT(COLUMN_DIGEST, struct result_image, content),
    AT(COLUMN_DIGEST, struct result_image, settings),
    AT(COLUMN_DIGEST, struct result_image, text_settings),
};

#define DIGEST_OF(column) "coalesce(" column ", ''::bytea)"

static const struct table insert_result =
    TABLE("INSERT INTO result (result_id, space_id, chunk_count, segment_count, state, "
          "duration_ms, missing_ms, text_bytes, summary_coverage, outcome, draft, "
          "summary_settings, kind, format, language, title, stages, summary, heading, job_id, "
          "content, settings, text_settings) SELECT a, b, c, d, e, f, g, h, i, j, k <> "
          "0, " DIGEST_OF("l") ", m, n, o, p, q, r, s, t, " DIGEST_OF("u") ", " DIGEST_OF(
              "v") ", " DIGEST_OF("w") " FROM "
                                       "unnest($1::bigint[], $2::bigint[], $3::bigint[], "
                                       "$4::bigint[], $5::bigint[], "
                                       "$6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], "
                                       "$10::bigint[], $11::bigint[], "
                                       "$12::bytea[], $13::text[], $14::text[], $15::text[], "
                                       "$16::text[], $17::text[], "
                                       "$18::text[], $19::text[], $20::bigint[], $21::bytea[], "
                                       "$22::bytea[], $23::bytea[]) "
                                       "x(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, "
                                       "t, u, v, w)",
          result_columns);

static const struct table update_result = {
    .sql =
        "UPDATE result SET space_id = b, chunk_count = c, segment_count = d, state = e, "
        "duration_ms = f, missing_ms = g, text_bytes = h, summary_coverage = i, outcome = j, "
        "draft = k <> 0, summary_settings = " DIGEST_OF(
            "l") ", kind = m, format = n, "
                 "language = o, title = p, stages = q, summary = r FROM "
                 "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], "
                 "$6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], "
                 "$11::bigint[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::text[], "
                 "$17::text[], $18::text[]) x(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, "
                 "r) "
                 "WHERE result_id = a",
    .columns = result_columns,
    .count = 18,
};

static const struct table count_result = {
    .sql = "UPDATE result SET space_id = b, chunk_count = c, segment_count = d, state = e FROM "
           "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) "
           "x(a, b, c, d, e) WHERE result_id = a",
    .columns = result_columns,
    .count = 5,
};

/* What is left in the making of jobs that are over. */
static const char DISCARD[] =
    "WITH gone AS (UPDATE result SET state = 2 WHERE state = 0 AND job_id = ANY($1) "
    "RETURNING result_id) INSERT INTO garbage (kind, id, arg) SELECT 1, result_id, 0 FROM gone";

static const struct column segment_columns[] = {
    AT(COLUMN_INT, struct segment_insert, result_id),
    AT(COLUMN_INT, struct segment_insert, start_ms),
    AT(COLUMN_INT, struct segment_insert, end_ms),
    AT(COLUMN_INT, struct segment_insert, ordinal),
    AT(COLUMN_TEXT, struct segment_insert, speaker),
    AT(COLUMN_TEXT, struct segment_insert, text),
};

static const struct table insert_segment =
    TABLE("INSERT INTO segment (result_id, start_ms, end_ms, ordinal, speaker, text) SELECT * FROM "
          "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])",
          segment_columns);

static const struct column chunk_columns[] = {
    AT(COLUMN_INT, struct chunk_insert, chunk_id), AT(COLUMN_INT, struct chunk_insert, result_id),
    AT(COLUMN_INT, struct chunk_insert, start_ms), AT(COLUMN_INT, struct chunk_insert, end_ms),
    AT(COLUMN_INT, struct chunk_insert, offset),   AT(COLUMN_INT, struct chunk_insert, ordinal),
    AT(COLUMN_TEXTN, struct chunk_insert, text),   AT(COLUMN_WORDS, struct chunk_insert, words),
};

#define INSERT_CHUNK(table)                                                                        \
    TABLE("INSERT INTO " table " (chunk_id, result_id, start_ms, end_ms, byte_offset, ordinal, "   \
          "text, words) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], "           \
          "$4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::tsvector[])",                 \
          chunk_columns)
static const struct table insert_chunk = INSERT_CHUNK("chunk");
static const struct table insert_fresh = INSERT_CHUNK("chunk_fresh");

static const char EMBED_HALF[] =
    "INSERT INTO embedding_%lld_fresh (chunk_id, result_id, embedding) "
    "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::halfvec[])";
static const char EMBED_FULL[] =
    "INSERT INTO embedding_%lld_fresh (chunk_id, result_id, embedding) "
    "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::vector[])";

static void send_embeddings(struct batch *b)
{
    struct embedding_insert *all = b->embeddings.items;
    for (size_t i = 0; i < b->embeddings.count; i++) {
        struct embedding_insert *e = &all[i];
        size_t count = e->chunk_ids.count, d = (size_t)e->space.dimension;
        const char *sql = space_sql(b->s, e->space.id, e->space.half ? EMBED_HALF : EMBED_FULL);
        const struct pg_value values[] = {P_INTS(e->chunk_ids.items, count),
                                          P_INTS(e->result_ids.items, count),
                                          e->space.half ? P_HALFVECS(e->values.items, count, d)
                                                        : P_VECTORS(e->values.items, count, d)};
        if (sql)
            pg_send(b->c, sql, values, 3);
        else
            b->broken = ERR_NO_MEMORY;
    }
}

/* ---- checkpoints and garbage ---- */

static const struct column checkpoint_columns[] = {
    AT(COLUMN_DIGEST, struct checkpoint_insert, digest),
    AT(COLUMN_INT, struct checkpoint_insert, media_id),
    AT(COLUMN_INT, struct checkpoint_insert, version_id),
    AT(COLUMN_INT, struct checkpoint_insert, created_ms),
    AT(COLUMN_BYTES, struct checkpoint_insert, bytes),
};

static const struct table insert_checkpoint =
    TABLE("INSERT INTO checkpoint (digest, media_id, version_id, created_ms, bytes) SELECT * FROM "
          "unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) "
          "ON CONFLICT DO NOTHING",
          checkpoint_columns);

static const struct column garbage_columns[] = {
    AT(COLUMN_INT, struct garbage_insert, kind),
    AT(COLUMN_INT, struct garbage_insert, id),
    AT(COLUMN_INT, struct garbage_insert, arg),
};

static const struct table insert_garbage =
    TABLE("INSERT INTO garbage (kind, id, arg) SELECT * FROM unnest($1::bigint[], $2::bigint[], "
          "$3::bigint[])",
          garbage_columns);

static const struct table insert_outdated =
    TABLE("INSERT INTO garbage (kind, id, arg) SELECT k, m, v FROM unnest($1::bigint[], "
          "$2::bigint[], $3::bigint[]) u(k, m, v) WHERE EXISTS (SELECT FROM checkpoint c WHERE "
          "c.media_id = m AND c.version_id < v)",
          garbage_columns);

/* ---- money and totals ---- */

static const struct column call_columns[] = {
    AT(COLUMN_INT, struct call_insert, media_id),
    AT(COLUMN_INT, struct call_insert, job_id),
    AT(COLUMN_INT, struct call_insert, at_ms),
    AT(COLUMN_INT, struct call_insert, input),
    AT(COLUMN_INT, struct call_insert, cached),
    AT(COLUMN_INT, struct call_insert, output),
    AT(COLUMN_INT, struct call_insert, audio_ms),
    AT(COLUMN_INT, struct call_insert, cost),
    AT(COLUMN_INT, struct call_insert, duration_ms),
    AT(COLUMN_INT, struct call_insert, status),
    AT(COLUMN_INT, struct call_insert, operation),
    AT(COLUMN_TEXT, struct call_insert, collection),
    AT(COLUMN_TEXT, struct call_insert, provider),
    AT(COLUMN_TEXT, struct call_insert, model),
};

static const struct table insert_call =
    TABLE("INSERT INTO model_call (media_id, job_id, at_ms, input_tokens, cached_tokens, "
          "output_tokens, audio_ms, cost_nanousd, duration_ms, http_status, operation, collection, "
          "provider, model) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], "
          "$4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], "
          "$10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::text[])",
          call_columns);

/* One row a sum: they are few. */
static const char ADD_USAGE[] =
    "INSERT INTO usage_day AS u (day, slot, operation, collection, provider, model, calls, "
    "input_tokens, cached_tokens, output_tokens, audio_ms, cost_nanousd, unpriced_calls) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (day, "
    "collection, provider, model, operation, slot) DO UPDATE SET calls = u.calls + "
    "excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens, "
    "cached_tokens = u.cached_tokens + excluded.cached_tokens, "
    "output_tokens = u.output_tokens + excluded.output_tokens, "
    "audio_ms = u.audio_ms + excluded.audio_ms, "
    "cost_nanousd = u.cost_nanousd + excluded.cost_nanousd, "
    "unpriced_calls = u.unpriced_calls + excluded.unpriced_calls";

/* The same order everywhere, so that two that share a slot do not wait for each other in a ring. */
static int usage_order(const void *a, const void *b)
{
    const struct usage_sum *x = a, *y = b;
    int order = (x->day > y->day) - (x->day < y->day);
    if (!order)
        order = strcmp(x->collection, y->collection);
    if (!order)
        order = strcmp(x->provider, y->provider);
    if (!order)
        order = strcmp(x->model, y->model);
    return order ? order : (x->operation > y->operation) - (x->operation < y->operation);
}

static void send_usage(struct batch *b)
{
    struct usage_sum *sums = b->usage.items;
    if (b->usage.count)
        qsort(sums, b->usage.count, sizeof *sums, usage_order);
    for (size_t i = 0; i < b->usage.count; i++) {
        const struct usage_sum *u = &sums[i];
        PG_SEND(b->c, ADD_USAGE, P_INT(u->day), P_INT(b->slot), P_INT(u->operation),
                P_TEXT(u->collection), P_TEXT(u->provider), P_TEXT(u->model), P_INT(u->calls),
                P_INT(u->input), P_INT(u->cached), P_INT(u->output), P_INT(u->audio_ms),
                P_INT(u->cost), P_INT(u->unpriced));
    }
}

static const char ADD_SPACE[] =
    "INSERT INTO space_total AS t (space_id, slot, chunks) VALUES ($1, $2, $3) "
    "ON CONFLICT (space_id, slot) DO UPDATE SET chunks = t.chunks + excluded.chunks";

static int space_order(const void *a, const void *b)
{
    const struct space_sum *x = a, *y = b;
    return (x->space_id > y->space_id) - (x->space_id < y->space_id);
}

static void send_spaces(struct batch *b)
{
    struct space_sum *sums = b->spaces.items;
    if (b->spaces.count)
        qsort(sums, b->spaces.count, sizeof *sums, space_order);
    for (size_t i = 0; i < b->spaces.count; i++)
        if (sums[i].chunks)
            PG_SEND(b->c, ADD_SPACE, P_INT(sums[i].space_id), P_INT(b->slot),
                    P_INT(sums[i].chunks));
}

static const char ADD_TOTALS[] =
    "UPDATE total SET media = media + $2, published = published + $3, results = results + $4, "
    "chunks = chunks + $5, segments = segments + $6, cost_nanousd = cost_nanousd + $7, "
    "unpriced_calls = unpriced_calls + $8, jobs_queued = jobs_queued + $9, "
    "jobs_running = jobs_running + $10, jobs_retrying = jobs_retrying + $11, "
    "jobs_paused = jobs_paused + $12, jobs_succeeded = jobs_succeeded + $13, "
    "jobs_dead = jobs_dead + $14, jobs_cancelled = jobs_cancelled + $15 WHERE slot = $1";
/* All that a reader may do. */
static const char ADD_COST[] = "UPDATE total SET cost_nanousd = cost_nanousd + $2, "
                               "unpriced_calls = unpriced_calls + $3 WHERE slot = $1";

static void send_totals(struct batch *b)
{
    static const struct sums nothing;
    struct sums t = b->sums;
    t.cost = t.unpriced = 0;
    bool only_cost = !memcmp(&t, &nothing, sizeof t);
    t = b->sums;
    if (!only_cost)
        PG_SEND(b->c, ADD_TOTALS, P_INT(b->slot), P_INT(t.media), P_INT(t.published),
                P_INT(t.results), P_INT(t.chunks), P_INT(t.segments), P_INT(t.cost),
                P_INT(t.unpriced), P_INT(t.jobs[JOB_QUEUED]), P_INT(t.jobs[JOB_RUNNING]),
                P_INT(t.jobs[JOB_RETRYING]), P_INT(t.jobs[JOB_PAUSED]),
                P_INT(t.jobs[JOB_SUCCEEDED]), P_INT(t.jobs[JOB_DEAD]),
                P_INT(t.jobs[JOB_CANCELLED]));
    else if (t.cost || t.unpriced)
        PG_SEND(b->c, ADD_COST, P_INT(b->slot), P_INT(t.cost), P_INT(t.unpriced));
}

static const struct column life_columns[] = {
    AT(COLUMN_INT, struct life_insert, at_ms),    AT(COLUMN_INT, struct life_insert, job_id),
    AT(COLUMN_INT, struct life_insert, media_id), AT(COLUMN_INT, struct life_insert, attempt),
    AT(COLUMN_INT, struct life_insert, type),     AT(COLUMN_BYTES, struct life_insert, trace),
    AT(COLUMN_TEXT, struct life_insert, detail),
};

static const struct table insert_life =
    TABLE("INSERT INTO life_event (at_ms, job_id, media_id, attempt, type, trace, detail) "
          "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], "
          "$5::bigint[], $6::bytea[], $7::text[])",
          life_columns);

/* ---- all of it ---- */

static void send_ids(struct batch *b, const char *sql, const struct list *ids)
{
    const struct pg_value value = P_INTS(ids->items, ids->count);
    if (ids->count)
        pg_send(b->c, sql, &value, 1);
}

static void send_results(struct batch *b)
{
    send_images(b, &update_result, &b->results, changed_result_row);
    send_images(b, &count_result, &b->results, counted_result_row);
    send_images(b, &insert_result, &b->results, new_result_row);
    send_ids(b, DISCARD, &b->closed);
    send_list(b, &insert_segment, &b->segments);
    send_list(b, atomic_load(&b->s->crowded) ? &insert_chunk : &insert_fresh, &b->chunk_rows);
    send_embeddings(b);
}

/* Rows that many wait for come last, and the outbox at the very end: its readers pass over gaps
 * that stay open for long. */
int batch_send(struct batch *b)
{
    send_ids(b, RELEASE, &b->released);
    send_images(b, &insert_media, &b->media, new_media_row);
    send_images(b, &update_media, &b->media, changed_media_row);
    send_images(b, &insert_version, &b->versions, new_version_row);
    send_images(b, &update_version, &b->versions, changed_version_row);
    send_images(b, &insert_job, &b->jobs, new_job_row);
    send_images(b, &update_job, &b->jobs, changed_job_row);
    send_list(b, &insert_attempt, &b->attempts);
    send_results(b);
    send_list(b, &insert_checkpoint, &b->checkpoints);
    send_list(b, &insert_call, &b->calls);
    send_list(b, &insert_garbage, &b->garbage);
    send_list(b, &insert_outdated, &b->outdated);
    send_usage(b);
    send_spaces(b);
    send_totals(b);
    send_list(b, &insert_life, &b->life);
    return b->broken;
}
