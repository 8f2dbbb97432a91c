/* Reading a database of the embedded schema, one in use or a file of an export, table by table. */
#include <stdlib.h>
#include <string.h>

#include "database/migrations.h"
#include "database/move_internal.h"
#include "database/sqlite_connection.h"
#include "database/sqlite_migrate.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/clock.h"

enum { BUSY_MS = 10000, KEYS_MAX = 10000 };

struct whole_digest {
    int64_t key;
    uint8_t bytes[DIGEST_BYTES];
};

struct sqlite_source {
    struct connection *c, own;
    char *path;
    const struct move_table *table;
    sqlite3_stmt *rows;
    struct arena arena; /* of the open table */
    struct buffer run;  /* the embeddings of the run that run_key names */
    int64_t run_key, run_first, run_count;
    struct whole_digest *digests;
    size_t digest_count;
};

/* ---- digests of which the schema keeps a part ---- */

static int load_digests(struct sqlite_source *s)
{
    sqlite3_stmt *row;
    bool more = false;
    int64_t n = 0;
    int rc = SQL_NUMBER(s->c, &n, 0, "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                        V_TEXT("export_digest"));
    if (rc || !n)
        return rc;
    s->digests = calloc(KEYS_MAX, sizeof *s->digests);
    if (!s->digests)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the digests of '%s'", s->c->path);
    rc = sql_prepare(s->c, &row,
                     "SELECT key, digest FROM export_digest WHERE length(digest) = 32 LIMIT 10000",
                     NULL, 0);
    while (!rc && !(rc = sql_next(s->c, row, &more)) && more) {
        struct whole_digest *d = &s->digests[s->digest_count++];
        d->key = sql_int(row, 0);
        memcpy(d->bytes, sqlite3_column_blob(row, 1), sizeof d->bytes);
    }
    sql_drop(row);
    return rc;
}

static void key_value(const struct sqlite_source *s, int64_t key, struct move_value *out)
{
    *out = (struct move_value){.number = key};
    for (size_t i = 0; i < s->digest_count; i++)
        if (s->digests[i].key == key) {
            out->bytes = s->digests[i].bytes;
            out->length = DIGEST_BYTES;
        }
}

/* ---- embeddings ---- */

/* A run of chunk_run is named by its first chunk, one of space_run by its own number. */
static int load_run(struct sqlite_source *s, int64_t key)
{
    sqlite3_stmt *row;
    const char *sql =
        s->table->embeddings_only
            ? "SELECT count, vectors, first_chunk FROM space_run WHERE run_id = ?1"
            : "SELECT count, vectors, first_chunk FROM chunk_run WHERE first_chunk = ?1";
    int rc = sql_first(s->c, &row, sql, SQL_VALUES(V_INT(key)));
    s->run_key = 0;
    s->run_count = row ? sql_int(row, 0) : 0;
    s->run_first = row ? sql_int(row, 2) : 0;
    buffer_clear(&s->run);
    if (!rc && row && sqlite3_column_type(row, 1) != SQLITE_NULL)
        rc = buffer_append(&s->run, sqlite3_column_blob(row, 1),
                           (size_t)sqlite3_column_bytes(row, 1));
    sql_done(row);
    if (!rc)
        s->run_key = key;
    return rc;
}

static int vector_value(struct sqlite_source *s, int64_t key, int64_t chunk, struct move_value *out)
{
    int rc = s->run_key == key ? OK : load_run(s, key);
    *out = (struct move_value){0};
    if (rc || !s->run.length || s->run_count <= 0)
        return rc;
    size_t each = s->run.length / (size_t)s->run_count, at = (size_t)(chunk - s->run_first) * each;
    if (each == 0 || each * (size_t)s->run_count != s->run.length || at + each > s->run.length)
        return error_set(ERR_SYSTEMIC, "database_corrupt",
                         "'%s' is damaged: the embeddings of chunk %lld have no whole length",
                         s->c->path, (long long)chunk);
    out->bytes = s->run.data + at;
    out->length = each;
    return OK;
}

/* ---- rows ---- */

static const char *expression(const struct move_column *c, struct arena *arena)
{
    const char *from = c->type == MOVE_FACET ? "f." : "";
    if (c->sqlite_read)
        return c->sqlite_read;
    if (c->type == MOVE_NAME || c->type == MOVE_FACET || c->type == MOVE_HEX)
        return arena_printf(arena, "coalesce((SELECT text FROM name WHERE name_id = %s%s_id), '')",
                            from, c->name);
    return c->sqlite ? c->sqlite : c->name;
}

static void done(void *ctx)
{
    struct sqlite_source *s = ctx;
    sql_drop(s->rows);
    s->rows = NULL;
    arena_free(&s->arena);
}

static int open_table(void *ctx, const struct move_table *table, int64_t skip)
{
    struct sqlite_source *s = ctx;
    char *sql;
    s->table = table;
    s->run_key = 0;
    int rc = move_select(table, table->sqlite_from ? table->sqlite_from : table->name, expression,
                         &s->arena, &sql);
    if (!rc && !(sql = arena_printf(&s->arena, "%s LIMIT -1 OFFSET ?1", sql)))
        rc = ERR_NO_MEMORY;
    return rc ? rc : sql_prepare(s->c, &s->rows, sql, SQL_VALUES(V_INT(skip)));
}

static int value(struct sqlite_source *s, int i, struct move_value *out)
{
    switch (s->table->columns[i].type) {
    case MOVE_INT:
    case MOVE_BOOL:
    case MOVE_ID:
        *out = (struct move_value){.number = sql_int(s->rows, i)};
        return OK;
    case MOVE_KEY:
        key_value(s, sql_int(s->rows, i), out);
        return OK;
    case MOVE_VECTOR:
        return vector_value(s, sql_int(s->rows, i), sql_int(s->rows, 0), out);
    default:
        *out = (struct move_value){0};
        if (sqlite3_column_type(s->rows, i) == SQLITE_NULL)
            return OK;
        out->bytes = sqlite3_column_blob(s->rows, i);
        out->length = (size_t)sqlite3_column_bytes(s->rows, i);
        if (!out->bytes) /* of no length */
            out->bytes = "";
        return OK;
    }
}

static int next(void *ctx, struct move_value *row, bool *more)
{
    struct sqlite_source *s = ctx;
    int rc = sql_next(s->c, s->rows, more);
    for (size_t i = 0; !rc && *more && i < s->table->count; i++)
        rc = value(s, (int)i, &row[i]);
    return rc;
}

static void source_close(void *ctx)
{
    struct sqlite_source *s = ctx;
    done(s);
    if (s->c == &s->own)
        connection_close(&s->own);
    buffer_free(&s->run);
    free(s->digests);
    free(s->path);
    free(s);
}

static const struct move_reader_ops ops = {
    .open = open_table, .next = next, .done = done, .close = source_close};

static struct sqlite_source *source_make(void)
{
    struct sqlite_source *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory for reading a database");
        return NULL;
    }
    arena_init(&s->arena, MIB(1));
    buffer_init(&s->run, MIB(64));
    return s;
}

int move_sqlite_reader_on(struct connection *c, struct move_reader *out)
{
    struct sqlite_source *s = source_make();
    if (!s)
        return ERR_NO_MEMORY;
    s->c = c;
    int rc = load_digests(s);
    if (rc)
        source_close(s);
    else
        *out = (struct move_reader){.ops = &ops, .ctx = s};
    return rc;
}

static int check_dropping(struct connection *c)
{
    int64_t space_id;
    int rc =
        sql_number(c, &space_id, 0, "SELECT space_id FROM embedding_space WHERE dropping", NULL, 0);
    return rc || !space_id ? rc
                           : error_set(ERR_CONFLICT, "space_dropping",
                                       "embedding space %lld is being dropped: finish that with "
                                       "`aegis spaces drop %lld` first",
                                       (long long)space_id, (long long)space_id);
}

/* A database of an older Aegis is brought up to date, as every other command does. */
static int open_snapshot(struct sqlite_source *s)
{
    int rc = connection_open(&s->own, s->path, SQLITE_OPEN_READWRITE, BUSY_MS);
    s->c = &s->own;
    if (!rc)
        rc = sqlite_migrate(s->c, migrations_sqlite, migrations_sqlite_count,
                            clock_now(clock_system()));
    if (!rc)
        rc = connection_exec(s->c, "PRAGMA query_only=1; PRAGMA cache_size=-16384; BEGIN; "
                                   "SELECT database_id FROM ledger");
    return rc ? rc : check_dropping(s->c);
}

int move_sqlite_reader(const char *path, struct move_reader *out)
{
    struct sqlite_source *s = source_make();
    if (!s)
        return ERR_NO_MEMORY;
    int rc = (s->path = strdup(path))
                 ? open_snapshot(s)
                 : error_set(ERR_NO_MEMORY, NULL, "out of memory for reading '%s'", path);
    if (rc)
        source_close(s);
    else
        *out = (struct move_reader){.ops = &ops, .ctx = s};
    return rc;
}
