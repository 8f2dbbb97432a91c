/*
 * What is carried: one line for each column. A column added to both schemas is added here, and
 * test_move fails until it is.
 *
 * Jobs: the message of an unfinished one is not carried, so it is stranded (wake_ms) and gets a new
 * one. A job that runs or is paused becomes queued; the attempt that was open does not count.
 */
#include "database/move_internal.h"

#define COLUMN(column, kind, ...)                                                                  \
    {                                                                                              \
        .name = (column), .type = MOVE_##kind, ##__VA_ARGS__                                       \
    }
#define BOTH(expression) .sqlite_read = (expression), .postgres_read = (expression)
#define COUNT(a)         (sizeof(a) / sizeof *(a))
#define OPEN_TO(is)      "CASE WHEN state IN (1, 3) THEN " is " ELSE "

static const struct move_column embedding_space[] = {
    COLUMN("space_id", INT),  COLUMN("provider", TEXT), COLUMN("model", TEXT),
    COLUMN("revision", TEXT), COLUMN("dimension", INT), COLUMN("dropping", BOOL),
};

/* Whoever holds publications up is not carried. */
static const struct move_column serving_space[] = {
    COLUMN("id", INT),
    COLUMN("space_id", INT),
    COLUMN("held_until_ms", INT, BOTH("0")),
};

static const struct move_column media[] = {
    COLUMN("media_id", INT),     COLUMN("version_id", INT),   COLUMN("job_id", INT),
    COLUMN("result_id", ID),     COLUMN("uploaded_ms", INT),  COLUMN("published_ms", INT),
    COLUMN("event_ms", INT),     COLUMN("cost_nanousd", INT), COLUMN("unpriced_calls", INT),
    COLUMN("removed", BOOL),     COLUMN("bucket", NAME),      COLUMN("key", TEXT),
    COLUMN("collection", FACET), COLUMN("kind", FACET),       COLUMN("language", FACET),
    COLUMN("sequencer", TEXT),
};

static const struct move_column version[] = {
    COLUMN("version_id", INT), COLUMN("media_id", INT),      COLUMN("event_ms", INT),
    COLUMN("size", INT),       COLUMN("content", BLOB),      COLUMN("object_version", TEXT),
    COLUMN("etag", TEXT),      COLUMN("content_type", TEXT),
};

static const struct move_column job[] = {
    COLUMN("job_id", INT),
    COLUMN("media_id", INT),
    COLUMN("version_id", INT),
    COLUMN("state", INT, BOTH(OPEN_TO("0") "state END")),
    COLUMN("attempt", INT, BOTH(OPEN_TO("attempt - 1") "attempt END")),
    COLUMN("ordinal", INT),
    COLUMN("receive_count", INT, BOTH("CASE WHEN state < 4 THEN 0 ELSE receive_count END")),
    COLUMN("queued_ms", INT),
    COLUMN("started_ms", INT),
    COLUMN("finished_ms", INT),
    COLUMN("due_ms", INT, BOTH(OPEN_TO("0") "due_ms END")),
    COLUMN("wake_ms", INT, BOTH("CASE WHEN state = 2 THEN due_ms ELSE 0 END")),
    COLUMN("lease_ms", INT, BOTH("0")),
    COLUMN("trace", BLOB),
    COLUMN("worker", TEXT),
    COLUMN("stage", TEXT, BOTH(OPEN_TO("''") "stage END")),
    COLUMN("reason", TEXT, BOTH(OPEN_TO("''") "reason END")),
    COLUMN("message", TEXT, BOTH(OPEN_TO("''") "message END")),
};

static const struct move_column attempt[] = {
    COLUMN("job_id", INT),   COLUMN("ordinal", INT),      COLUMN("attempt", INT),
    COLUMN("outcome", INT),  COLUMN("started_ms", INT),   COLUMN("ended_ms", INT),
    COLUMN("worker", TEXT),  COLUMN("stage", TEXT),       COLUMN("reason", TEXT),
    COLUMN("message", TEXT), COLUMN("stage_times", TEXT),
};

static const struct move_column life_event[] = {
    COLUMN("event_id", INT), COLUMN("at_ms", INT), COLUMN("job_id", INT), COLUMN("media_id", INT),
    COLUMN("attempt", INT),  COLUMN("type", INT),  COLUMN("trace", BLOB), COLUMN("detail", TEXT),
};

static const struct move_column result[] = {
    COLUMN("result_id", INT),
    COLUMN("job_id", INT),
    COLUMN("space_id", INT),
    COLUMN("chunk_count", INT),
    COLUMN("segment_count", INT),
    COLUMN("duration_ms", INT),
    COLUMN("missing_ms", INT),
    COLUMN("text_bytes", INT),
    COLUMN("summary_coverage", INT),
    COLUMN("state", INT),
    COLUMN("outcome", INT),
    COLUMN("draft", BOOL),
    COLUMN("content", BLOB, .sqlite_key = "content_key"),
    COLUMN("settings", HEX),
    COLUMN("text_settings", KEY, .sqlite = "text_key"),
    COLUMN("summary_settings", KEY, .sqlite = "summary_key"),
    COLUMN("kind", NAME),
    COLUMN("format", TEXT),
    COLUMN("language", NAME),
    COLUMN("title", TEXT),
    COLUMN("heading", TEXT),
    COLUMN("stages", TEXT),
    COLUMN("summary", TEXT),
};

/* SQLite has the embeddings in chunk_run, one behind the other; PostgreSQL in tables of their own,
 * which its reader joins as e. Ordinals count from the run's first. */
static const struct move_column chunk[] = {
    COLUMN("chunk_id", INT, BOTH("c.chunk_id")),
    COLUMN("result_id", INT, BOTH("c.result_id")),
    COLUMN("ordinal", INT, .sqlite_read = "r.first_ordinal + c.chunk_id - r.first_chunk"),
    COLUMN("start_ms", INT),
    COLUMN("end_ms", INT),
    COLUMN("byte_offset", INT),
    COLUMN("text", TEXT, BOTH("c.text")),
    COLUMN("space_id", INT, .sqlite_read = "CASE WHEN r.vectors IS NULL THEN 0 ELSE r.space_id END",
           .postgres_read = "coalesce(e.space_id, 0)"),
    COLUMN("embedding", VECTOR, .sqlite_read = "r.first_chunk", .postgres_read = "e.embedding"),
    COLUMN("heading", FOR_WORDS,
           .sqlite_read =
               "CASE WHEN r.first_ordinal + c.chunk_id = r.first_chunk THEN (SELECT heading "
               "FROM result WHERE result_id = c.result_id) ELSE '' END",
           .postgres_read = "''"),
    COLUMN("language", FOR_WORDS,
           .sqlite_read =
               "(SELECT text FROM name JOIN result ON name_id = language_id WHERE result_id = "
               "c.result_id)",
           .postgres_read = "''"),
};

/* Embeddings in further spaces than a result's own: SQLite has them in space_run, PostgreSQL where
 * all are. Neither has a table of this name. */
static const struct move_column further_embedding[] = {
    COLUMN("chunk_id", INT, .sqlite_read = "c.chunk_id"),
    COLUMN("space_id", INT, .sqlite_read = "r.space_id"),
    COLUMN("result_id", INT, .sqlite_read = "c.result_id"),
    COLUMN("embedding", VECTOR, .sqlite_read = "r.run_id"),
};

static const struct move_column result_space[] = {
    COLUMN("result_id", INT),
    COLUMN("space_id", INT),
    COLUMN("chunks", INT),
};

static const struct move_column segment[] = {
    COLUMN("result_id", INT), COLUMN("ordinal", INT),  COLUMN("start_ms", INT),
    COLUMN("end_ms", INT),    COLUMN("speaker", TEXT), COLUMN("text", TEXT),
};

static const struct move_column checkpoint[] = {
    COLUMN("digest", BLOB, .sqlite_key63 = "checkpoint_id"),
    COLUMN("media_id", INT),
    COLUMN("version_id", INT),
    COLUMN("created_ms", INT),
    COLUMN("bytes", BLOB),
};

static const struct move_column garbage[] = {
    COLUMN("garbage_id", INT),
    COLUMN("kind", INT),
    COLUMN("id", INT),
    COLUMN("arg", INT),
};

static const struct move_column model_call[] = {
    COLUMN("media_id", INT),      COLUMN("call_id", INT),       COLUMN("job_id", INT),
    COLUMN("at_ms", INT),         COLUMN("collection", NAME),   COLUMN("provider", NAME),
    COLUMN("model", NAME),        COLUMN("operation", INT),     COLUMN("input_tokens", INT),
    COLUMN("cached_tokens", INT), COLUMN("output_tokens", INT), COLUMN("audio_ms", INT),
    COLUMN("cost_nanousd", INT),  COLUMN("duration_ms", INT),   COLUMN("http_status", INT),
};

static const struct move_column usage_day[] = {
    COLUMN("day", INT),          COLUMN("collection", NAME),   COLUMN("provider", NAME),
    COLUMN("model", NAME),       COLUMN("operation", INT),     COLUMN("calls", INT),
    COLUMN("input_tokens", INT), COLUMN("cached_tokens", INT), COLUMN("output_tokens", INT),
    COLUMN("audio_ms", INT),     COLUMN("cost_nanousd", INT),  COLUMN("unpriced_calls", INT),
};

static const struct move_column pipeline[] = {
    COLUMN("id", INT),
    COLUMN("reason", TEXT),
    COLUMN("message", TEXT),
    COLUMN("since_ms", INT),
};

static const struct move_column sequence[] = {
    COLUMN("name", TEXT),
    COLUMN("next", INT),
};

#define TABLE(table, key) .name = #table, .columns = table, .count = COUNT(table), .order = (key)
const struct move_table move_tables[] = {
    {TABLE(embedding_space, "space_id"), .sqlite_zero = "chunks"},
    {TABLE(media, "media_id"), .sqlite_from = "media JOIN facet f USING (facet_id)"},
    {TABLE(version, "version_id")},
    {TABLE(job, "job_id")},
    {TABLE(attempt, "job_id, ordinal")},
    {TABLE(life_event, "event_id")},
    {TABLE(result, "result_id")},
    {TABLE(chunk, "c.chunk_id"), .page = 256,
     .sqlite_from = "chunk_run r CROSS JOIN chunk c ON c.chunk_id BETWEEN r.first_chunk AND "
                    "r.first_chunk + r.count - 1"},
    {TABLE(further_embedding, "2, 1"), .page = 256, .embeddings_only = true,
     .sqlite_from = "space_run r CROSS JOIN chunk c ON c.chunk_id BETWEEN r.first_chunk AND "
                    "r.first_chunk + r.count - 1"},
    {TABLE(result_space, "result_id, space_id")},
    {TABLE(segment, "result_id, ordinal")},
    {TABLE(checkpoint, "media_id, version_id, digest"), .page = 16},
    {TABLE(garbage, "garbage_id")},
    {TABLE(model_call, "media_id, call_id")},
    {TABLE(usage_day, "day, collection, provider, model, operation"),
     .postgres_from =
         "(SELECT day, collection, provider, model, operation, sum(calls)::bigint AS calls, "
         "sum(input_tokens)::bigint AS input_tokens, sum(cached_tokens)::bigint AS cached_tokens, "
         "sum(output_tokens)::bigint AS output_tokens, sum(audio_ms)::bigint AS audio_ms, "
         "sum(cost_nanousd)::bigint AS cost_nanousd, sum(unpriced_calls)::bigint AS "
         "unpriced_calls FROM usage_day GROUP BY 1, 2, 3, 4, 5) u",
     .postgres_zero = "slot"},
    {TABLE(pipeline, "id"), .settings = true},
    {TABLE(serving_space, "id"), .settings = true},
    {TABLE(sequence, "name"), .sequences = true,
     .sqlite_from = "(SELECT 'call' AS name, next_call AS next FROM ledger UNION ALL "
                    "SELECT 'chunk', next_chunk FROM ledger UNION ALL "
                    "SELECT 'job', next_job FROM ledger UNION ALL "
                    "SELECT 'media', next_media FROM ledger UNION ALL "
                    "SELECT 'result', next_result FROM ledger UNION ALL "
                    "SELECT 'version', next_version FROM ledger)",
     /* last_value is NULL for a login that may not use the sequence: then the rows tell */
     .postgres_from =
         "(SELECT v.name COLLATE \"C\" AS name, greatest(v.last, (SELECT last_value FROM "
         "pg_sequences WHERE schemaname = 'aegis' AND sequencename = v.sequence)) + 1 AS next FROM "
         "(SELECT 'call' AS name, 'model_call_call_id_seq' AS sequence, (SELECT "
         "coalesce(max(call_id), 0) FROM model_call) AS last UNION ALL "
         "SELECT 'chunk', 'chunk_chunk_id_seq', (SELECT coalesce(max(chunk_id), 0) FROM chunk) "
         "UNION ALL SELECT 'job', 'job_job_id_seq', (SELECT coalesce(max(job_id), 0) FROM job) "
         "UNION ALL SELECT 'media', 'media_media_id_seq', (SELECT coalesce(max(media_id), 0) FROM "
         "media) UNION ALL SELECT 'result', 'result_result_id_seq', (SELECT "
         "coalesce(max(result_id), 0) FROM result) UNION ALL SELECT 'version', "
         "'version_version_id_seq', (SELECT coalesce(max(version_id), 0) FROM version)) v) s"},
};
const size_t move_table_count = COUNT(move_tables);

int move_select(const struct move_table *table, const char *from,
                const char *(*expression)(const struct move_column *, struct arena *),
                struct arena *arena, char **out)
{
    char *sql = arena_strdup(arena, "SELECT ");
    for (size_t i = 0; sql && i < table->count; i++) {
        const char *text = expression(&table->columns[i], arena);
        sql = text ? arena_printf(arena, "%s%s%s AS %s", sql, i ? ", " : "", text,
                                  table->columns[i].name)
                   : NULL;
    }
    if (sql)
        sql = arena_printf(arena, "%s FROM %s ORDER BY %s", sql, from, table->order);
    *out = sql;
    return sql ? OK : ERR_NO_MEMORY;
}

bool move_column_stored(const struct move_column *column)
{
    return column->type != MOVE_FOR_WORDS;
}
