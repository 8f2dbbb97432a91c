/*
 * Filling an empty schema "aegis" of PostgreSQL. Two tables more are there while an import is
 * unfinished: import_progress, written in the transaction of each batch, and import_index, the
 * definitions of the HNSW indexes, which are built at once at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/migrations.h"
#include "database/move_internal.h"
#include "database/postgres_migrate.h"
#include "database/postgres_words.h"
#include "database/vector_half.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/pg.h"

struct column_batch {
    int64_t *numbers;
    struct pg_bytes *bytes;
};

struct postgres_target {
    struct pg_pool *pool;
    struct pg *c;
    char *url, *import_id;
    struct arena lasting; /* SQL: pg.h finds statements by their address */
    struct arena batch;
    const struct move_table *table;
    const char *insert[MOVE_TABLES_MAX];
    struct column_batch columns[MOVE_COLUMNS_MAX];
    struct pg_bytes *words; /* of chunks */
    size_t rows, room;
    struct words_pool stemmers;
    struct buffer lexemes;
};

/* ---- the statement of a table ---- */

static bool is_number(enum move_type type)
{
    return type == MOVE_INT || type == MOVE_BOOL || type == MOVE_ID;
}

static bool is_bytea(enum move_type type)
{
    return type == MOVE_BLOB || type == MOVE_KEY;
}

static bool is_chunk(const struct move_table *table)
{
    return strcmp(table->name, "chunk") == 0;
}

static bool is_written(const struct move_table *t, const struct move_column *c)
{
    return move_column_stored(c) && c->type != MOVE_VECTOR &&
           !(is_chunk(t) && !strcmp(c->name, "space_id"));
}

static const char *into(const struct move_column *c, struct arena *arena)
{
    const char *format = c->type == MOVE_BOOL  ? "%s <> 0"
                         : c->type == MOVE_ID  ? "nullif(%s, 0)"
                         : c->type == MOVE_HEX ? "decode(%s, 'hex')"
                                               : "%s";
    char text[128];
    const char *mark = strstr(format, "%s");
    snprintf(text, sizeof text, "%.*s%s%s", (int)(mark - format), format, c->name, mark + 2);
    return arena_strdup(arena, text);
}

/* INSERT INTO t (a, b) SELECT a, b <> 0 FROM unnest($1::bigint[], $2::bigint[]) AS u (a, b) */
static const char *insert_text(const struct move_table *t, struct arena *arena)
{
    const char *names = "", *values = "", *arrays = "";
    int n = 0;
    for (size_t i = 0; names && values && arrays && i < t->count; i++) {
        const struct move_column *c = &t->columns[i];
        if (!is_written(t, c))
            continue;
        const char *comma = n++ ? ", " : "", *value = into(c, arena);
        names = arena_printf(arena, "%s%s%s", names, comma, c->name);
        values = arena_printf(arena, "%s%s%s", values, comma, value ? value : "");
        arrays = arena_printf(arena, "%s%s$%d::%s[]", arrays, comma, n,
                              is_number(c->type)  ? "bigint"
                              : is_bytea(c->type) ? "bytea"
                                                  : "text");
    }
    const char *words = is_chunk(t) ? ", words" : "";
    const char *zero = t->postgres_zero ? t->postgres_zero : "";
    if (names && values && arrays && is_chunk(t))
        arrays = arena_printf(arena, "%s, $%d::tsvector[]", arrays, n + 1);
    if (!names || !values || !arrays)
        return NULL;
    return arena_printf(arena,
                        "INSERT INTO %s (%s%s%s%s) SELECT %s%s%s FROM unnest(%s) AS u (%s%s)",
                        t->name, names, words, *zero ? ", " : "", zero, values, words,
                        *zero ? ", 0" : "", arrays, names, words);
}

static const char SET_SEQUENCES[] =
    "SELECT setval((CASE name WHEN 'call' THEN 'model_call_call_id_seq' ELSE name || '_' || name "
    "|| '_id_seq' END)::regclass, greatest(next - 1, 1), next > 1) FROM unnest($1::text[], "
    "$2::bigint[]) AS u (name, next)";

static int table_insert(struct postgres_target *t, const char **out)
{
    size_t i = (size_t)(t->table - move_tables);
    if (t->table->sequences)
        t->insert[i] = SET_SEQUENCES;
    if (!t->insert[i])
        t->insert[i] = insert_text(t->table, &t->lasting);
    *out = t->insert[i];
    return *out ? OK : ERR_NO_MEMORY;
}

/* ---- rows ---- */

static int make_room(struct postgres_target *t)
{
    t->room = (size_t)(t->table->page ? t->table->page : MOVE_PAGE);
    t->rows = 0;
    t->words = arena_array(&t->batch, t->room, sizeof *t->words);
    for (size_t i = 0; t->words && i < t->table->count; i++) {
        struct column_batch *b = &t->columns[i];
        b->numbers = arena_array(&t->batch, t->room, sizeof *b->numbers);
        b->bytes = arena_array(&t->batch, t->room, sizeof *b->bytes);
        if (!b->numbers || !b->bytes)
            return ERR_NO_MEMORY;
    }
    return t->words ? OK : ERR_NO_MEMORY;
}

/* What adding a vector to an HNSW index costs, building it whole at the end costs a tenth of; as
 * long as its graph fits into maintenance_work_mem, which is therefore raised. Parallel workers
 * would share that memory in /dev/shm, of which a container has little: only as many as somebody
 * set with memory enough. */
static const char PUT_INDEXES_OFF[] =
    "DO $$ DECLARE r record; BEGIN FOR r IN SELECT tablename, indexname, indexdef FROM pg_indexes "
    "WHERE schemaname = 'aegis' AND tablename ~ '^embedding_\\d+$' AND indexdef ~ 'USING hnsw' "
    "LOOP "
    "INSERT INTO aegis.import_index VALUES (r.tablename, r.indexdef); EXECUTE format('DROP INDEX "
    "aegis.%I', r.indexname); END LOOP; END $$";
static const char BUILD_INDEXES[] =
    "DO $$ DECLARE r record; wanted bigint; BEGIN "
    "FOR r IN SELECT indexed, definition FROM aegis.import_index LOOP "
    "wanted := least(pg_table_size(format('aegis.%I', r.indexed)) * 2, 512 * 1048576); "
    "IF wanted > pg_size_bytes(current_setting('maintenance_work_mem')) THEN "
    "PERFORM set_config('maintenance_work_mem', wanted / 1024 || 'kB', true), "
    "set_config('max_parallel_maintenance_workers', '0', true); END IF; "
    "EXECUTE r.definition; END LOOP; DELETE FROM aegis.import_index; END $$";

static int begin(void *ctx, const struct move_table *table)
{
    struct postgres_target *t = ctx;
    bool first = t->table != table;
    t->table = table;
    arena_free(&t->batch);
    int rc = make_room(t);
    if (!rc && first && is_chunk(table))
        rc = pg_script(t->c, PUT_INDEXES_OFF);
    if (!rc)
        rc = pg_begin(t->c, PG_READ_WRITE);
    return rc;
}

static int keep_bytes(struct postgres_target *t, const void *bytes, size_t length,
                      struct pg_bytes *out)
{
    *out = (struct pg_bytes){0};
    if (!bytes)
        return OK;
    char *copy = arena_alloc(&t->batch, length + 1);
    if (!copy)
        return ERR_NO_MEMORY;
    memcpy(copy, bytes, length);
    *out = (struct pg_bytes){.data = copy, .length = length};
    return OK;
}

/* The whole digest, or what is known of it; nothing for 0. */
static int keep_key(struct postgres_target *t, const struct move_value *v, struct pg_bytes *out)
{
    if (v->length)
        return keep_bytes(t, v->bytes, v->length, out);
    return keep_bytes(t, &v->number, v->number ? sizeof v->number : 0, out);
}

static const struct move_value *find(const struct postgres_target *t, const struct move_value *row,
                                     const char *name, enum move_type type)
{
    for (size_t i = 0; i < t->table->count; i++)
        if (t->table->columns[i].type == type && !strcmp(t->table->columns[i].name, name))
            return &row[i];
    return NULL;
}

static int keep_words(struct postgres_target *t, const struct move_value *row)
{
    const struct move_value *text = find(t, row, "text", MOVE_TEXT);
    const struct move_value *heading = find(t, row, "heading", MOVE_FOR_WORDS);
    const struct move_value *language = find(t, row, "language", MOVE_FOR_WORDS);
    struct passage_words *stemmers = NULL;
    char *head = arena_strndup(&t->batch, heading->length ? heading->bytes : "", heading->length);
    char *name =
        arena_strndup(&t->batch, language->length ? language->bytes : "", language->length);
    int rc = head && name ? words_pool_take(&t->stemmers, name, &stemmers) : ERR_NO_MEMORY;
    buffer_clear(&t->lexemes);
    if (!rc)
        rc = passage_words_write(stemmers, head, text->length ? text->bytes : "", text->length,
                                 &t->lexemes);
    words_pool_give(&t->stemmers, stemmers);
    return rc ? rc
              : keep_bytes(t, t->lexemes.length ? t->lexemes.data : "", t->lexemes.length,
                           &t->words[t->rows]);
}

static int write_row(void *ctx, const struct move_value *row)
{
    struct postgres_target *t = ctx;
    int rc = OK;
    for (size_t i = 0; !rc && i < t->table->count; i++) {
        struct column_batch *b = &t->columns[i];
        enum move_type type = t->table->columns[i].type;
        b->numbers[t->rows] = row[i].number;
        if (type == MOVE_KEY)
            rc = keep_key(t, &row[i], &b->bytes[t->rows]);
        else if (!is_number(type))
            rc = keep_bytes(t, row[i].bytes, row[i].length, &b->bytes[t->rows]);
    }
    if (!rc && is_chunk(t->table))
        rc = keep_words(t, row);
    t->rows++;
    return rc;
}

/* ---- embeddings ---- */

enum { CHUNK_ID, CHUNK_RESULT, CHUNK_SPACE = 7, CHUNK_VECTOR };

/* Of chunks, or of the table that has embeddings only. */
static const struct column_batch *column_of(const struct postgres_target *t, int chunk_column)
{
    static const int further[] = {[CHUNK_ID] = FURTHER_CHUNK,
                                  [CHUNK_RESULT] = FURTHER_RESULT,
                                  [CHUNK_SPACE] = FURTHER_SPACE,
                                  [CHUNK_VECTOR] = FURTHER_VECTOR};
    return &t->columns[t->table->embeddings_only ? further[chunk_column] : chunk_column];
}

struct embeddings {
    int64_t space_id, *chunks, *results;
    uint16_t *halves;
    size_t count, dimension;
};

static int send_vectors(struct postgres_target *t, const struct embeddings *e)
{
    bool half = pg_server(t->c)->has_halfvec;
    const char *sql = arena_printf(&t->batch,
                                   "INSERT INTO embedding_%lld (chunk_id, result_id, embedding) "
                                   "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::%s[])",
                                   (long long)e->space_id, half ? "halfvec" : "vector");
    float *floats = half ? NULL : arena_array(&t->batch, e->count * e->dimension, sizeof *floats);
    if (!sql || (!half && !floats))
        return ERR_NO_MEMORY;
    if (floats)
        half_to_floats(e->halves, e->count * e->dimension, floats);
    return pg_send_once(t->c, sql,
                        PG_VALUES(P_INTS(e->chunks, e->count), P_INTS(e->results, e->count),
                                  half ? P_HALFVECS(e->halves, e->count, e->dimension)
                                       : P_VECTORS(floats, e->count, e->dimension)));
}

/* Those of one space among the batch's chunks from `from` on; *more: there are other spaces. */
static int send_space(struct postgres_target *t, size_t from, bool *sent)
{
    const int64_t *spaces = column_of(t, CHUNK_SPACE)->numbers;
    const struct pg_bytes *vectors = column_of(t, CHUNK_VECTOR)->bytes;
    struct embeddings e = {.space_id = spaces[from],
                           .dimension = vectors[from].length / sizeof *e.halves};
    e.chunks = arena_array(&t->batch, t->rows, sizeof *e.chunks);
    e.results = arena_array(&t->batch, t->rows, sizeof *e.results);
    e.halves = arena_array(&t->batch, t->rows * e.dimension, sizeof *e.halves);
    if (!e.chunks || !e.results || !e.halves)
        return ERR_NO_MEMORY;
    for (size_t i = from; i < t->rows; i++) {
        if (sent[i] || spaces[i] != e.space_id || vectors[i].length != vectors[from].length)
            continue;
        e.chunks[e.count] = column_of(t, CHUNK_ID)->numbers[i];
        e.results[e.count] = column_of(t, CHUNK_RESULT)->numbers[i];
        memcpy(e.halves + e.count++ * e.dimension, vectors[i].data, vectors[i].length);
        sent[i] = true;
    }
    return send_vectors(t, &e);
}

static int send_embeddings(struct postgres_target *t)
{
    bool *sent = arena_array(&t->batch, t->rows, sizeof *sent);
    int rc = sent ? OK : ERR_NO_MEMORY;
    for (size_t i = 0; !rc && i < t->rows; i++)
        if (!sent[i] && column_of(t, CHUNK_VECTOR)->bytes[i].length)
            rc = send_space(t, i, sent);
    return rc;
}

/* ---- a batch ---- */

static int send_rows(struct postgres_target *t)
{
    struct pg_value values[MOVE_COLUMNS_MAX + 1];
    const char *sql;
    size_t n = 0;
    for (size_t i = 0; i < t->table->count; i++) {
        const struct move_column *c = &t->table->columns[i];
        const struct column_batch *b = &t->columns[i];
        if (is_written(t->table, c))
            values[n++] = is_number(c->type)  ? P_INTS(b->numbers, t->rows)
                          : is_bytea(c->type) ? P_BYTEAS(b->bytes, t->rows)
                                              : P_TEXTNS(b->bytes, t->rows);
    }
    if (is_chunk(t->table))
        values[n++] = P_TSVECTORS(t->words, t->rows);
    int rc = table_insert(t, &sql);
    return rc ? rc : pg_send(t->c, sql, values, n);
}

static int open_spaces(struct postgres_target *t)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < t->rows; i++)
        rc = PG_SEND(t->c, "SELECT open_embedding_space($1)", P_INT(t->columns[0].numbers[i]));
    return rc;
}

static int commit(void *ctx, int64_t rows)
{
    struct postgres_target *t = ctx;
    int rc = OK;
    const char *empty = arena_printf(&t->batch, "DELETE FROM %s", t->table->name);
    if (!empty)
        return ERR_NO_MEMORY;
    if (t->table->settings && t->rows)
        rc = pg_send_once(t->c, empty, NULL, 0);
    if (!rc && !t->table->embeddings_only)
        rc = send_rows(t);
    if (!rc && (is_chunk(t->table) || t->table->embeddings_only))
        rc = send_embeddings(t);
    if (!rc && !strcmp(t->table->name, "embedding_space"))
        rc = open_spaces(t);
    if (!rc)
        rc = PG_SEND(t->c,
                     "INSERT INTO import_progress VALUES ($1, $2, $3) ON CONFLICT (table_name) DO "
                     "UPDATE SET rows = excluded.rows",
                     P_TEXT(t->import_id), P_TEXT(t->table->name), P_INT(rows));
    return rc ? rc : pg_commit_sync(t->c, NULL, 0);
}

static int progress(void *ctx, const struct move_table *table, int64_t *rows)
{
    struct postgres_target *t = ctx;
    return PG_NUMBER(t->c, rows, 0, "SELECT rows FROM import_progress WHERE table_name = $1",
                     P_TEXT(table->name));
}

/* ---- at the end ---- */

static const char TOTALS[] =
    "DELETE FROM space_total;"
    "INSERT INTO space_total (space_id, slot, chunks) SELECT space_id, 0, sum(n) FROM (SELECT "
    "space_id, chunk_count AS n FROM result WHERE state = 1 AND space_id > 0 UNION ALL SELECT "
    "x.space_id, x.chunks FROM result_space x JOIN result r USING (result_id) WHERE r.state = 1) "
    "a GROUP BY space_id;"
    "DELETE FROM total; INSERT INTO total (slot) SELECT generate_series(0, 63);"
    "UPDATE total SET media = (SELECT count(*) FROM media WHERE NOT removed), "
    "published = (SELECT count(*) FROM media WHERE result_id IS NOT NULL), "
    "(results, chunks, segments) = (SELECT count(*), coalesce(sum(chunk_count), 0), "
    "coalesce(sum(segment_count), 0) FROM result WHERE state = 1), "
    "(cost_nanousd, unpriced_calls) = (SELECT coalesce(sum(cost_nanousd), 0), "
    "coalesce(sum(unpriced_calls), 0) FROM usage_day), "
    "(jobs_queued, jobs_running, jobs_retrying, jobs_paused, jobs_succeeded, jobs_dead, "
    "jobs_cancelled) = (SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = "
    "1), count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3), count(*) FILTER "
    "(WHERE state = 4), count(*) FILTER (WHERE state = 5), count(*) FILTER (WHERE state = 6) FROM "
    "job) WHERE slot = 0;"
    "SELECT setval('life_event_event_id_seq', (SELECT coalesce(max(event_id), 0) + 1 FROM "
    "life_event), false), setval('garbage_garbage_id_seq', (SELECT coalesce(max(garbage_id), 0) + "
    "1 FROM garbage), false), setval('embedding_space_space_id_seq', (SELECT "
    "coalesce(max(space_id), 0) + 1 FROM embedding_space), false)";

static const char ANALYZE[] =
    "DO $$ DECLARE r regclass; BEGIN FOR r IN SELECT oid FROM pg_class WHERE relnamespace = "
    "'aegis'::regnamespace AND relkind = 'r' LOOP EXECUTE 'ANALYZE ' || r; END LOOP; END $$";

static int finish(void *ctx)
{
    struct postgres_target *t = ctx;
    int rc = pg_script(t->c, TOTALS);
    if (!rc)
        rc = pg_script(t->c, BUILD_INDEXES);
    return rc ? rc : pg_script(t->c, ANALYZE);
}

static int own_reader(void *ctx, struct move_reader *out)
{
    struct postgres_target *t = ctx;
    return move_postgres_reader(t->url, out);
}

static int complete(void *ctx)
{
    struct postgres_target *t = ctx;
    return pg_script(t->c, "DROP TABLE aegis.import_progress, aegis.import_index");
}

/* ---- opening ---- */

static void target_close(void *ctx)
{
    struct postgres_target *t = ctx;
    struct error e = *error_last();
    pg_release(t->c);
    pg_pool_close(t->pool);
    words_pool_free(&t->stemmers);
    buffer_free(&t->lexemes);
    arena_free(&t->lasting);
    arena_free(&t->batch);
    free(t->url);
    free(t->import_id);
    free(t);
    error_restore(&e);
}

static const struct move_writer_ops ops = {
    .progress = progress,
    .begin = begin,
    .row = write_row,
    .commit = commit,
    .finish = finish,
    .reader = own_reader,
    .complete = complete,
    .close = target_close,
};

/* Only the schema's owner may make tables and set sequences. */
static const char ACT_AS_OWNER[] =
    "SELECT pg_catalog.set_config('role', r.rolname::text, false) FROM pg_catalog.pg_namespace n "
    "JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner WHERE n.nspname = 'aegis' AND "
    "pg_catalog.pg_has_role(r.oid, 'MEMBER') AND r.rolname <> current_user";

/* Held until the connection ends. */
static int lock(struct postgres_target *t)
{
    int64_t got = 0;
    int rc = pg_number(t->c, &got, 0, "SELECT pg_try_advisory_lock(hashtext('aegis.import'))::int",
                       NULL, 0);
    if (!rc && !got)
        rc = error_set(ERR_BUSY, "import_running", "another import into '%s' is running",
                       pg_pool_name(t->pool));
    return rc;
}

static int table_with_rows(struct postgres_target *t, const char **name)
{
    int rc = OK;
    *name = NULL;
    for (size_t i = 0; !rc && !*name && i < move_table_count; i++) {
        const struct move_table *table = &move_tables[i];
        int64_t any = 0;
        const char *sql = arena_printf(&t->lasting, "SELECT 1 FROM %s LIMIT 1", table->name);
        if (!sql)
            return ERR_NO_MEMORY;
        if (!table->settings && !table->sequences && !table->embeddings_only)
            rc = pg_number(t->c, &any, 0, sql, NULL, 0);
        if (any)
            *name = table->name;
    }
    return rc;
}

static int begin_import(struct postgres_target *t)
{
    const char *name;
    int rc = table_with_rows(t, &name);
    if (!rc && name)
        rc = error_set(ERR_CONFLICT, "not_empty",
                       "'%s' is not empty (its table \"%s\" has rows): import into a database of "
                       "its own",
                       pg_pool_name(t->pool), name);
    const char *sql = arena_printf(
        &t->lasting,
        "CREATE TABLE aegis.import_index (indexed text NOT NULL, definition text NOT NULL);"
        "CREATE TABLE aegis.import_progress (import_id text NOT NULL, table_name text PRIMARY KEY, "
        "rows bigint NOT NULL); INSERT INTO aegis.import_progress VALUES ('%s', '', 0)",
        t->import_id);
    return rc ? rc : sql ? pg_script(t->c, sql) : ERR_NO_MEMORY;
}

static int go_on(struct postgres_target *t)
{
    int64_t same;
    int rc = PG_NUMBER(t->c, &same, 0, "SELECT 1 FROM import_progress WHERE import_id = $1 LIMIT 1",
                       P_TEXT(t->import_id));
    if (!rc && !same)
        rc = error_set(ERR_CONFLICT, "not_empty",
                       "'%s' has an unfinished import of another file: go on with that one, or "
                       "begin with a new database",
                       pg_pool_name(t->pool));
    return rc;
}

static int open_target(struct postgres_target *t, const char *url, const char *import_id)
{
    static const struct pg_settings settings = {
        .connections = 1, .statement_timeout_ms = -1, .transaction_timeout_ms = -1};
    int64_t begun;
    if (!(t->url = strdup(url)) || !(t->import_id = strdup(import_id)))
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an import");
    int rc = pg_pool_open(url, &settings, &t->pool);
    if (!rc)
        rc = pg_acquire(t->pool, 10000, NULL, &t->c);
    if (!rc)
        rc = postgres_schema_check(t->c, migrations_postgres, migrations_postgres_count);
    if (!rc)
        rc = pg_query_once(t->c, NULL, ACT_AS_OWNER, NULL, 0);
    if (!rc)
        rc = lock(t);
    if (!rc)
        rc = pg_number(t->c, &begun, 0,
                       "SELECT (to_regclass('aegis.import_progress') IS NOT NULL)::int", NULL, 0);
    if (rc)
        return rc;
    return begun ? go_on(t) : begin_import(t);
}

int move_postgres_writer(const char *url, const char *import_id, struct move_writer *out)
{
    struct postgres_target *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for writing a database");
    arena_init(&t->lasting, MIB(4));
    arena_init(&t->batch, GIB(1));
    buffer_init(&t->lexemes, PASSAGE_WORDS_BYTES);
    words_pool_init(&t->stemmers);
    int rc = open_target(t, url, import_id);
    if (rc)
        target_close(t);
    else
        *out = (struct move_writer){.ops = &ops, .ctx = t};
    return rc;
}
