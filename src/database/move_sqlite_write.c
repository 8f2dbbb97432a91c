/*
 * Writing a database of the embedded schema under a name of its own, which `complete` turns into
 * the final one: a file of an export, or the target of an import.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database/migrations.h"
#include "database/move_internal.h"
#include "database/sqlite_connection.h"
#include "database/sqlite_migrate.h"
#include "database/sqlite_names.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/file.h"

enum { RUN_CHUNKS = 128 }; /* chunks whose embeddings stand together, as sqlite_results.h has it */

struct sqlite_target {
    struct connection c;
    char *path, *final; /* `path` is renamed to `final` */
    struct names names;
    struct arena arena;
    bool is_export;
    const struct move_table *table;
    sqlite3_stmt *insert;
    /* the run that is open: chunks first .. first + count - 1 of one result; a further one ends
     * before the chunk `end`, where its chunk_run does */
    struct {
        int64_t first, count, result_id, ordinal, space_id, end;
        struct buffer vectors;
    } run;
};

/* ---- the statement of a table ---- */

static bool is_name(const struct move_column *c)
{
    return c->type == MOVE_NAME || c->type == MOVE_HEX;
}

/* What SQLite has of a column: nothing, itself, or itself and the key made of it. */
static char *column_names(const struct move_column *c, char *list, struct arena *arena)
{
    const char *key = c->sqlite_key ? c->sqlite_key : c->sqlite_key63;
    if (!move_column_stored(c) || c->type == MOVE_FACET || c->type == MOVE_VECTOR)
        return list;
    return arena_printf(arena, "%s%s%s%s%s%s", list, *list ? ", " : "",
                        c->sqlite ? c->sqlite : c->name, is_name(c) ? "_id" : "", key ? ", " : "",
                        key ? key : "");
}

static bool in_chunk_run(const struct move_table *t, const struct move_column *c)
{
    return !strcmp(t->name, "chunk") &&
           (!strcmp(c->name, "ordinal") || !strcmp(c->name, "space_id"));
}

static char *insert_text(const struct move_table *t, struct arena *arena)
{
    char *list = arena_strdup(arena, ""), *marks = arena_strdup(arena, "");
    bool facet = false;
    for (size_t i = 0; list && i < t->count; i++) {
        facet |= t->columns[i].type == MOVE_FACET;
        if (!in_chunk_run(t, &t->columns[i]))
            list = column_names(&t->columns[i], list, arena);
    }
    if (list && facet)
        list = arena_printf(arena, "%s, facet_id", list);
    for (const char *p = list; marks && p; p = strchr(p, ',')) {
        marks = arena_printf(arena, "%s%s?", marks, *marks ? ", " : "");
        p += *p == ',';
    }
    if (!list || !marks)
        return NULL;
    return arena_printf(arena, "INSERT INTO %s (%s%s%s) VALUES (%s%s)", t->name, list,
                        t->sqlite_zero ? ", " : "", t->sqlite_zero ? t->sqlite_zero : "", marks,
                        t->sqlite_zero ? ", 0" : "");
}

static int begin(void *ctx, const struct move_table *table)
{
    struct sqlite_target *t = ctx;
    int rc = connection_exec(&t->c, "BEGIN IMMEDIATE");
    if (rc || t->table == table)
        return rc;
    sql_drop(t->insert);
    t->insert = NULL;
    t->table = table;
    if (table->sequences || table->embeddings_only)
        return OK;
    const char *sql = insert_text(table, &t->arena);
    return sql ? sql_prepare(&t->c, &t->insert, sql, NULL, 0) : ERR_NO_MEMORY;
}

/* ---- rows ---- */

static int64_t key_of(const struct move_value *v)
{
    int64_t key = 0;
    if (v->length >= sizeof key)
        memcpy(&key, v->bytes, sizeof key);
    return key ? key : 1; /* as digest_key */
}

static int64_t key_of_63(const struct move_value *v)
{
    return key_of(v) & INT64_MAX;
}

static int intern(struct sqlite_target *t, const struct move_value *v, int64_t *id)
{
    char text[KIB(2)];
    *id = 0;
    if (!v->length)
        return OK;
    if (v->length >= sizeof text || memchr(v->bytes, 0, v->length))
        return error_set(ERR_INVALID, NULL, "a name of %zu bytes does not fit", v->length);
    memcpy(text, v->bytes, v->length);
    text[v->length] = '\0';
    return name_id(&t->names, &t->c, text, true, id);
}

static int bind_number(struct sqlite_target *t, int at, int64_t number)
{
    return connection_error(&t->c, sqlite3_bind_int64(t->insert, at, number), "binding a number");
}

static int bind_bytes(struct sqlite_target *t, int at, const struct move_value *v, bool text)
{
    int rc;
    if (!v->bytes)
        rc = sqlite3_bind_null(t->insert, at);
    else if (text)
        rc = sqlite3_bind_text64(t->insert, at, v->bytes, v->length, SQLITE_STATIC, SQLITE_UTF8);
    else
        rc = sqlite3_bind_blob64(t->insert, at, v->bytes, v->length, SQLITE_STATIC);
    return connection_error(&t->c, rc, "binding a value");
}

/* An export keeps whole digests beside: PostgreSQL has room for them. */
static int keep_digest(struct sqlite_target *t, const struct move_value *v)
{
    if (!t->is_export || v->length != DIGEST_BYTES)
        return OK;
    return SQL_RUN(&t->c, "INSERT OR IGNORE INTO export_digest VALUES (?1, ?2)", V_INT(v->number),
                   V_BLOB(v->bytes, v->length));
}

static int bind_column(struct sqlite_target *t, const struct move_column *c,
                       const struct move_value *v, int *at)
{
    int64_t id;
    int rc;
    switch (c->type) {
    case MOVE_ID:
        if (!v->number)
            return connection_error(&t->c, sqlite3_bind_null(t->insert, (*at)++), "binding");
        return bind_number(t, (*at)++, v->number);
    case MOVE_KEY:
        rc = keep_digest(t, v);
        return rc ? rc : bind_number(t, (*at)++, v->number);
    case MOVE_INT:
    case MOVE_BOOL:
        return bind_number(t, (*at)++, v->number);
    case MOVE_NAME:
    case MOVE_HEX:
        rc = intern(t, v, &id);
        return rc ? rc : bind_number(t, (*at)++, id);
    default:
        rc = bind_bytes(t, (*at)++, v, c->type == MOVE_TEXT);
        if (!rc && c->sqlite_key)
            rc = bind_number(t, (*at)++, key_of(v));
        if (!rc && c->sqlite_key63)
            rc = bind_number(t, (*at)++, key_of_63(v));
        return rc;
    }
}

static int bind_facet(struct sqlite_target *t, const int64_t ids[3], int at)
{
    int64_t id;
    int rc =
        facet_id(&t->names, &t->c,
                 &(struct facet){.collection = ids[0], .kind = ids[1], .language = ids[2]}, &id);
    return rc ? rc : bind_number(t, at, id);
}

static int insert(struct sqlite_target *t, const struct move_value *row)
{
    int rc = OK, at = 1, facets = 0;
    int64_t ids[3] = {0};
    bool more;
    for (size_t i = 0; !rc && i < t->table->count; i++) {
        const struct move_column *c = &t->table->columns[i];
        if (c->type == MOVE_FACET)
            rc = intern(t, &row[i], &ids[facets++]);
        else if (move_column_stored(c) && c->type != MOVE_VECTOR && !in_chunk_run(t->table, c))
            rc = bind_column(t, c, &row[i], &at);
    }
    if (!rc && facets)
        rc = bind_facet(t, ids, at);
    if (!rc)
        rc = sql_next(&t->c, t->insert, &more);
    sqlite3_reset(t->insert);
    return rc;
}

/* ---- runs of chunks ---- */

enum { CHUNK_ID, CHUNK_RESULT, CHUNK_ORDINAL, CHUNK_SPACE = 7, CHUNK_VECTOR };

static int further_flush(struct sqlite_target *t)
{
    int rc =
        SQL_RUN(&t->c,
                "INSERT INTO space_run (first_chunk, count, space_id, vectors) VALUES (?1, ?2, "
                "?3, ?4)",
                V_INT(t->run.first), V_INT(t->run.count), V_INT(t->run.space_id),
                V_BLOB(t->run.vectors.data, t->run.vectors.length));
    t->run.count = 0;
    buffer_clear(&t->run.vectors);
    return rc;
}

static int run_flush(struct sqlite_target *t)
{
    if (!t->run.count)
        return OK;
    if (t->table->embeddings_only)
        return further_flush(t);
    bool embedded = t->run.vectors.length > 0;
    int rc = SQL_RUN(&t->c, "INSERT INTO chunk_run VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                     V_INT(t->run.first), V_INT(t->run.result_id), V_INT(t->run.ordinal),
                     V_INT(t->run.count), V_INT(embedded ? t->run.space_id : 0),
                     embedded ? V_BLOB(t->run.vectors.data, t->run.vectors.length) : V_NULL);
    t->run.count = 0;
    buffer_clear(&t->run.vectors);
    return rc;
}

/* Does the chunk follow the open run's last one? */
static bool run_goes_on(const struct sqlite_target *t, const struct move_value *row)
{
    size_t each = t->run.count ? t->run.vectors.length / (size_t)t->run.count : 0;
    return t->run.count > 0 && t->run.count < RUN_CHUNKS &&
           row[CHUNK_ID].number == t->run.first + t->run.count &&
           row[CHUNK_RESULT].number == t->run.result_id &&
           row[CHUNK_ORDINAL].number == t->run.ordinal + t->run.count &&
           row[CHUNK_SPACE].number == t->run.space_id && row[CHUNK_VECTOR].length == each;
}

static int run_add(struct sqlite_target *t, const struct move_value *row)
{
    int rc = run_goes_on(t, row) ? OK : run_flush(t);
    if (rc)
        return rc;
    if (!t->run.count) {
        t->run.first = row[CHUNK_ID].number;
        t->run.result_id = row[CHUNK_RESULT].number;
        t->run.ordinal = row[CHUNK_ORDINAL].number;
        t->run.space_id = row[CHUNK_SPACE].number;
    }
    t->run.count++;
    return row[CHUNK_VECTOR].length
               ? buffer_append(&t->run.vectors, row[CHUNK_VECTOR].bytes, row[CHUNK_VECTOR].length)
               : OK;
}

static bool further_goes_on(const struct sqlite_target *t, const struct move_value *row)
{
    size_t each = t->run.count ? t->run.vectors.length / (size_t)t->run.count : 0;
    return t->run.count > 0 && row[FURTHER_CHUNK].number == t->run.first + t->run.count &&
           row[FURTHER_CHUNK].number < t->run.end && row[FURTHER_SPACE].number == t->run.space_id &&
           row[FURTHER_VECTOR].length == each;
}

static int further_add(struct sqlite_target *t, const struct move_value *row)
{
    int rc = OK;
    if (!further_goes_on(t, row)) {
        rc = run_flush(t);
        t->run.first = row[FURTHER_CHUNK].number;
        t->run.space_id = row[FURTHER_SPACE].number;
        if (!rc)
            rc = SQL_NUMBER(&t->c, &t->run.end, 0,
                            "SELECT first_chunk + count FROM chunk_run WHERE first_chunk <= ?1 "
                            "ORDER BY first_chunk DESC LIMIT 1",
                            V_INT(t->run.first));
    }
    if (rc)
        return rc;
    t->run.count++;
    return buffer_append(&t->run.vectors, row[FURTHER_VECTOR].bytes, row[FURTHER_VECTOR].length);
}

static int set_sequence(struct sqlite_target *t, const struct move_value *row)
{
    char name[32], sql[96];
    snprintf(name, sizeof name, "%.*s", (int)row[0].length, (const char *)row[0].bytes);
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz") != strlen(name))
        return error_set(ERR_INVALID, NULL, "there is no sequence '%s'", name);
    snprintf(sql, sizeof sql, "UPDATE ledger SET next_%s = %lld", name, (long long)row[1].number);
    return connection_exec(&t->c, sql);
}

static int write_row(void *ctx, const struct move_value *row)
{
    struct sqlite_target *t = ctx;
    if (t->table->sequences)
        return set_sequence(t, row);
    char sql[64];
    int rc = OK;
    if (t->table->embeddings_only)
        return further_add(t, row);
    snprintf(sql, sizeof sql, "DELETE FROM %s", t->table->name);
    if (t->table->settings)
        rc = connection_exec(&t->c, sql);
    else if (strcmp(t->table->name, "chunk") == 0)
        rc = run_add(t, row);
    return rc ? rc : insert(t, row);
}

static int commit(void *ctx, int64_t rows)
{
    struct sqlite_target *t = ctx;
    int rc = run_flush(t);
    if (!rc)
        rc = SQL_RUN(&t->c, "INSERT OR REPLACE INTO import_progress VALUES (?1, ?2)",
                     V_TEXT(t->table->name), V_INT(rows));
    return rc ? rc : connection_exec(&t->c, "COMMIT");
}

static int progress(void *ctx, const struct move_table *table, int64_t *rows)
{
    struct sqlite_target *t = ctx;
    return SQL_NUMBER(&t->c, rows, 0, "SELECT rows FROM import_progress WHERE table_name = ?1",
                      V_TEXT(table->name));
}

/* ---- at the end ---- */

/* What is kept so that nobody counts: sqlite_writer.h has the same sums. */
static const char TOTALS[] =
    "UPDATE embedding_space SET chunks = (SELECT coalesce(sum(chunk_count), 0) FROM result WHERE "
    "result.space_id = embedding_space.space_id AND state = 1) + (SELECT coalesce(sum(x.chunks), "
    "0) FROM result_space x JOIN result r USING (result_id) WHERE x.space_id = "
    "embedding_space.space_id AND r.state = 1);"
    "UPDATE ledger SET media = (SELECT count(*) FROM media WHERE removed = 0),"
    "published = (SELECT count(*) FROM media WHERE result_id IS NOT NULL),"
    "(results, chunks, segments) = (SELECT count(*), coalesce(sum(chunk_count), 0), "
    "coalesce(sum(segment_count), 0) FROM result WHERE state = 1),"
    "(cost_nanousd, unpriced_calls) = (SELECT coalesce(sum(cost_nanousd), 0), "
    "coalesce(sum(unpriced_calls), 0) FROM usage_day),"
    "(jobs_queued, jobs_running, jobs_retrying, jobs_paused, jobs_succeeded, jobs_dead, "
    "jobs_cancelled) = (SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = "
    "1), count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3), count(*) FILTER "
    "(WHERE state = 4), count(*) FILTER (WHERE state = 5), count(*) FILTER (WHERE state = 6) FROM "
    "job)";

static int finish(void *ctx)
{
    struct sqlite_target *t = ctx;
    int rc = connection_exec(&t->c, "BEGIN IMMEDIATE");
    if (!rc)
        rc = connection_exec(&t->c, TOTALS);
    return rc ? rc : connection_exec(&t->c, "COMMIT");
}

static int own_reader(void *ctx, struct move_reader *out)
{
    struct sqlite_target *t = ctx;
    return move_sqlite_reader_on(&t->c, out);
}

static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) ? error_set_errno(errno, "cannot write '%s'", path) : OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Replaces nothing that somebody made meanwhile. Not every file system can do that at once. */
static int rename_durably(const char *from, const char *to)
{
    char directory[4096];
    int failed = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (failed && errno == EINVAL)
        failed = link(from, to) || unlink(from);
    if (failed)
        return errno == EEXIST ? error_set(ERR_CONFLICT, NULL, "'%s' exists already", to)
                               : error_set_errno(errno, "cannot rename '%s' to '%s'", from, to);
    snprintf(directory, sizeof directory, "%s", to);
    char *slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory] = '\0';
    return file_sync_directory(slash ? directory : ".");
}

static const char FORGET[] = "DROP TABLE IF EXISTS import_progress; DROP TABLE IF EXISTS import_id";

/* One file without a log beside it. An import forgets its progress last: killed before, it is found
 * complete by its name or goes on by its progress. */
static int complete(void *ctx)
{
    struct sqlite_target *t = ctx;
    sql_drop(t->insert);
    t->insert = NULL;
    int rc = t->is_export ? connection_exec(&t->c, FORGET) : OK;
    if (!rc)
        rc = connection_exec(&t->c, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE");
    connection_close(&t->c);
    if (!rc)
        rc = sync_path(t->path);
    if (!rc)
        rc = rename_durably(t->path, t->final);
    if (!rc && !t->is_export)
        rc = connection_open(&t->c, t->final, SQLITE_OPEN_READWRITE, 10000);
    return rc || t->is_export ? rc : connection_exec(&t->c, FORGET);
}

/* ---- opening ---- */

static void target_close(void *ctx)
{
    struct sqlite_target *t = ctx;
    struct error e = *error_last();
    sql_drop(t->insert);
    connection_close(&t->c);
    names_fini(&t->names);
    buffer_free(&t->run.vectors);
    arena_free(&t->arena);
    free(t->path);
    free(t->final);
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

static void remove_files(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[4200];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static int make_empty(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(errno, "cannot make '%s'", path);
    close(fd);
    return OK;
}

/* Alone: a second import finds it locked. */
static int open_database(struct sqlite_target *t)
{
    int rc = connection_open(&t->c, t->path, SQLITE_OPEN_READWRITE, 1000);
    if (!rc)
        rc = connection_exec(&t->c, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-65536;"
                                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                                    "PRAGMA wal_autocheckpoint=4000; BEGIN IMMEDIATE; COMMIT");
    if (rc == ERR_TRANSIENT)
        rc = error_set(ERR_BUSY, "import_running", "another process is writing '%s'", t->path);
    return rc ? rc
              : sqlite_migrate(&t->c, migrations_sqlite, migrations_sqlite_count,
                               clock_now(clock_system()));
}

/* Of an export that was killed; not of one that is running. */
static int remove_leftover(struct sqlite_target *t)
{
    int rc = access(t->path, F_OK) == 0 ? open_database(t) : OK;
    connection_close(&t->c);
    if (rc == ERR_BUSY)
        return rc;
    remove_files(t->path);
    return OK;
}

static int make_progress(struct sqlite_target *t, const char *import_id)
{
    int rc = connection_exec(&t->c, "BEGIN IMMEDIATE; CREATE TABLE import_id (id TEXT NOT NULL);"
                                    "CREATE TABLE import_progress (table_name TEXT PRIMARY KEY, "
                                    "rows INTEGER NOT NULL) STRICT");
    if (!rc)
        rc = SQL_RUN(&t->c, "INSERT INTO import_id VALUES (?1)", V_TEXT(import_id));
    return rc ? rc : connection_exec(&t->c, "COMMIT");
}

static int make_export_tables(struct sqlite_target *t, const struct move_sqlite_target *target)
{
    int rc = connection_exec(
        &t->c, "CREATE TABLE export_digest (key INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT;"
               "CREATE TABLE export_info (format INTEGER NOT NULL, program TEXT NOT NULL, engine "
               "TEXT NOT NULL, database TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;"
               "CREATE TABLE export_manifest (table_name TEXT PRIMARY KEY, rows INTEGER NOT NULL, "
               "digest BLOB NOT NULL) STRICT, WITHOUT ROWID");
    return rc ? rc
              : SQL_RUN(&t->c, "INSERT INTO export_info VALUES (?1, ?2, ?3, ?4, ?5)",
                        V_INT(MOVE_FORMAT), V_TEXT(AEGIS_VERSION), V_TEXT(target->engine),
                        V_TEXT(target->database), V_INT(clock_now(clock_system())));
}

/* What is there: the rest of an import of this file, of another one, or of nothing. */
static int look(struct sqlite_target *t, const char *import_id, bool *mine)
{
    int64_t known = 0, same = 0;
    int rc = SQL_NUMBER(&t->c, &known, 0, "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                        V_TEXT("import_id"));
    if (!rc && known)
        rc = SQL_NUMBER(&t->c, &same, 0, "SELECT count(*) FROM import_id WHERE id = ?1",
                        V_TEXT(import_id));
    *mine = same > 0;
    if (!rc && known && !same)
        rc = error_set(ERR_CONFLICT, "not_empty",
                       "'%s' is what another import left unfinished: go on with that file, or "
                       "delete it",
                       t->path);
    return rc;
}

static int open_target(struct sqlite_target *t, const struct move_sqlite_target *target)
{
    bool mine = false;
    if (asprintf(&t->path, "%s%s", target->path, target->suffix) < 0)
        t->path = NULL;
    t->final = strdup(target->path);
    if (!t->path || !t->final)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for '%s'", target->path);
    if (access(t->final, F_OK) == 0)
        return error_set(ERR_CONFLICT, "not_empty",
                         target->engine ? "'%s' exists already: choose another name"
                                        : "'%s' exists already: import into a directory of its own",
                         t->final);
    int rc = names_init(&t->names);
    if (!rc && target->engine)
        rc = remove_leftover(t);
    if (!rc)
        rc = make_empty(t->path);
    if (!rc)
        rc = open_database(t);
    if (!rc)
        rc = look(t, target->import_id, &mine);
    if (!rc && !mine)
        rc = make_progress(t, target->import_id);
    if (!rc && target->engine)
        rc = make_export_tables(t, target);
    return rc;
}

int move_sqlite_writer(const struct move_sqlite_target *target, struct move_writer *out)
{
    struct sqlite_target *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for writing '%s'", target->path);
    arena_init(&t->arena, MIB(4));
    buffer_init(&t->run.vectors, MIB(64));
    t->is_export = target->engine != NULL;
    int rc = open_target(t, target);
    if (rc)
        target_close(t);
    else
        *out = (struct move_writer){.ops = &ops, .ctx = t};
    return rc;
}

void move_sqlite_discard(const struct move_sqlite_target *target)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", target->path, target->suffix);
    remove_files(path);
}

int move_manifest_write(struct move_writer *writer, const struct move_report *report)
{
    struct sqlite_target *t = writer->ctx;
    int rc = connection_exec(&t->c, "BEGIN IMMEDIATE");
    for (size_t i = 0; !rc && i < report->count; i++)
        rc = SQL_RUN(&t->c, "INSERT INTO export_manifest VALUES (?1, ?2, ?3)",
                     V_TEXT(report->tables[i].table), V_INT(report->tables[i].rows),
                     V_BLOB(report->tables[i].digest.bytes, DIGEST_BYTES));
    return rc ? rc : connection_exec(&t->c, "COMMIT");
}
