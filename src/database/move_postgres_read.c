/* Reading a database of the schema "aegis" in PostgreSQL, table by table, in one snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/migrations.h"
#include "database/move_internal.h"
#include "database/postgres_migrate.h"
#include "database/vector_half.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/pg.h"

struct postgres_source {
    struct pg_pool *pool;
    struct pg *c;
    const struct move_table *table;
    struct arena arena; /* of the open table */
    struct pg_rows page;
    int at;
    bool last; /* page */
    char fetch[64];
    uint16_t *halves;
    float *floats;
    size_t room; /* of both, in numbers */
};

static const char *expression(const struct move_column *c, struct arena *arena)
{
    if (c->postgres_read)
        return c->postgres_read;
    if (c->type == MOVE_HEX)
        return arena_printf(arena, "encode(%s, 'hex')", c->name);
    return c->type == MOVE_ID ? arena_printf(arena, "coalesce(%s, 0)", c->name) : c->name;
}

/* The tables of all spaces as one. A row is in one of them. */
static char *all_embeddings(struct postgres_source *s)
{
    static const char LIST[] =
        "SELECT relname::text, substring(relname FROM '\\d+')::bigint FROM pg_catalog.pg_class "
        "WHERE relnamespace = 'aegis'::regnamespace AND relkind = 'r' AND relname ~ "
        "'^embedding_\\d+(_fresh)?$' ORDER BY 1";
    const char *type = pg_server(s->c)->has_halfvec ? "halfvec" : "vector";
    struct pg_rows rows;
    char *text = NULL;
    if (pg_query(s->c, &rows, LIST, NULL, 0))
        return NULL;
    for (int i = 0; i < rows.count && (i == 0 || text); i++)
        text = arena_printf(&s->arena,
                            "%s%sSELECT %lld::bigint AS space_id, chunk_id, result_id, "
                            "embedding::%s AS embedding FROM \"%s\"",
                            i ? text : "", i ? " UNION ALL " : "", (long long)pg_int(&rows, i, 1),
                            type, pg_peek(&rows, i, 0));
    if (!rows.count)
        text = arena_strdup(&s->arena, "SELECT 0::bigint AS space_id, 0::bigint AS chunk_id, "
                                       "0::bigint AS result_id, NULL::bytea AS embedding WHERE "
                                       "false");
    pg_rows_free(&rows);
    return text;
}

/* Chunks with those of their result's own space; or those of further ones. */
static char *embeddings_from(struct postgres_source *s, const struct move_table *table)
{
    char *text = all_embeddings(s);
    const char *format =
        table->embeddings_only
            ? "(SELECT e.* FROM (%s) e JOIN result x ON x.result_id = e.result_id WHERE e.space_id "
              "<> x.space_id) f"
            : "chunk c LEFT JOIN result x ON x.result_id = c.result_id LEFT JOIN (%s) e ON "
              "e.chunk_id = c.chunk_id AND e.space_id = x.space_id";
    const char *mark = strstr(format, "%s");
    return text ? arena_printf(&s->arena, "%.*s%s%s", (int)(mark - format), format, text, mark + 2)
                : NULL;
}

static void done(void *ctx)
{
    struct postgres_source *s = ctx;
    struct error e = *error_last();
    pg_rows_free(&s->page);
    if (s->table && pg_in_transaction(s->c) && pg_query_once(s->c, NULL, "CLOSE moved", NULL, 0))
        pg_rollback(s->c);
    s->table = NULL;
    arena_free(&s->arena);
    error_restore(&e);
}

static int open_table(void *ctx, const struct move_table *table, int64_t skip)
{
    struct postgres_source *s = ctx;
    const char *from = table->postgres_from ? table->postgres_from : table->name;
    char *sql;
    (void)skip; /* what is read here is never a file that was partly read before */
    bool embeddings = table->embeddings_only || !strcmp(table->name, "chunk");
    if (embeddings && !(from = embeddings_from(s, table)))
        return error_last()->code;
    int rc = move_select(table, from, expression, &s->arena, &sql);
    if (!rc && !(sql = arena_printf(&s->arena, "DECLARE moved NO SCROLL CURSOR FOR %s", sql)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = pg_query_once(s->c, NULL, sql, NULL, 0);
    if (rc)
        return rc;
    s->table = table;
    s->at = 0;
    s->last = false;
    snprintf(s->fetch, sizeof s->fetch, "FETCH %d FROM moved",
             table->page ? table->page : MOVE_PAGE);
    return OK;
}

/* ---- values ---- */

static int vector_room(struct postgres_source *s, size_t dimension)
{
    if (dimension <= s->room)
        return OK;
    free(s->halves);
    free(s->floats);
    s->room = 0;
    s->halves = calloc(dimension, sizeof *s->halves);
    s->floats = calloc(dimension, sizeof *s->floats);
    if (!s->halves || !s->floats)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an embedding");
    s->room = dimension;
    return OK;
}

static int vector_value(struct postgres_source *s, int column, struct move_value *out)
{
    size_t length = pg_length(&s->page, s->at, column);
    bool half = pg_server(s->c)->has_halfvec;
    *out = (struct move_value){0};
    if (pg_is_null(&s->page, s->at, column) || length < 4)
        return OK;
    size_t dimension = (length - 4) / (half ? 2 : 4);
    int rc = vector_room(s, dimension);
    if (rc)
        return rc;
    if (half)
        pg_halves(&s->page, s->at, column, s->halves, dimension);
    else if (pg_floats(&s->page, s->at, column, s->floats, dimension))
        half_from_floats(s->floats, dimension, s->halves);
    *out = (struct move_value){.bytes = s->halves, .length = dimension * sizeof *s->halves};
    return OK;
}

static void key_value(const void *bytes, size_t length, struct move_value *out)
{
    *out = (struct move_value){.bytes = bytes, .length = length};
    if (length >= sizeof out->number) {
        memcpy(&out->number, bytes, sizeof out->number);
        out->number = out->number ? out->number : 1; /* as digest_key */
    }
}

static int value(struct postgres_source *s, int i, struct move_value *out)
{
    const void *bytes = pg_peek(&s->page, s->at, i);
    size_t length = pg_length(&s->page, s->at, i);
    switch (s->table->columns[i].type) {
    case MOVE_INT:
    case MOVE_BOOL:
    case MOVE_ID:
        *out = (struct move_value){.number = pg_int(&s->page, s->at, i)};
        return OK;
    case MOVE_KEY:
        key_value(bytes, length, out);
        return OK;
    case MOVE_VECTOR:
        return vector_value(s, i, out);
    default:
        *out = (struct move_value){.bytes = pg_is_null(&s->page, s->at, i) ? NULL : bytes,
                                   .length = length};
        return OK;
    }
}

static int turn_page(struct postgres_source *s)
{
    pg_rows_free(&s->page);
    int rc = pg_query_once(s->c, &s->page, s->fetch, NULL, 0);
    s->at = 0;
    s->last = s->page.count == 0;
    return rc;
}

static int next(void *ctx, struct move_value *row, bool *more)
{
    struct postgres_source *s = ctx;
    int rc = OK;
    s->at += s->page.count > 0;
    if (s->at >= s->page.count && !s->last)
        rc = turn_page(s);
    *more = !rc && s->at < s->page.count;
    for (size_t i = 0; !rc && *more && i < s->table->count; i++)
        rc = value(s, (int)i, &row[i]);
    return rc;
}

/* ---- opening ---- */

static void source_close(void *ctx)
{
    struct postgres_source *s = ctx;
    struct error e = *error_last();
    if (s->c)
        done(s);
    pg_release(s->c);
    pg_pool_close(s->pool);
    arena_free(&s->arena);
    free(s->halves);
    free(s->floats);
    free(s);
    error_restore(&e);
}

static const struct move_reader_ops ops = {
    .open = open_table, .next = next, .done = done, .close = source_close};

static int check_dropping(struct pg *c)
{
    int64_t space_id;
    int rc = pg_number(c, &space_id, 0,
                       "SELECT space_id FROM embedding_space WHERE dropping LIMIT 1", NULL, 0);
    return rc || !space_id ? rc
                           : error_set(ERR_CONFLICT, "space_dropping",
                                       "embedding space %lld is being dropped: finish that with "
                                       "`aegis spaces drop %lld` first",
                                       (long long)space_id, (long long)space_id);
}

static int open_snapshot(struct postgres_source *s, const char *url)
{
    static const struct pg_settings settings = {
        .connections = 1, .statement_timeout_ms = -1, .transaction_timeout_ms = -1};
    int rc = pg_pool_open(url, &settings, &s->pool);
    if (!rc)
        rc = pg_acquire(s->pool, 10000, NULL, &s->c);
    if (!rc)
        rc = postgres_schema_check(s->c, migrations_postgres, migrations_postgres_count);
    if (!rc)
        rc = pg_begin(s->c, PG_SNAPSHOT);
    return rc ? rc : check_dropping(s->c);
}

const char *move_postgres_name(const struct move_reader *reader)
{
    const struct postgres_source *s = reader->ctx;
    return pg_pool_name(s->pool);
}

int move_postgres_reader(const char *url, struct move_reader *out)
{
    struct postgres_source *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for reading a database");
    arena_init(&s->arena, MIB(4));
    int rc = open_snapshot(s, url);
    if (rc)
        source_close(s);
    else
        *out = (struct move_reader){.ops = &ops, .ctx = s};
    return rc;
}
