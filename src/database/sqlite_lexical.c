/*
 * The full-text index in a file of its own. It is derived from the chunks, so it needs no fsync for
 * each commit and does not hold up the jobs: chunks are indexed a little behind their commit, in
 * batches large enough that FTS5 writes a term once for many of them. `indexed_to` is stored in the
 * same transaction as the entries, so after a crash the work goes on where the file stands.
 *
 * An entry is taken out by telling FTS5 the very text it was made of. Therefore the collector first
 * takes the entries out, durably, and deletes the chunks afterwards. Chunks are indexed in the
 * order of their ids, each once, garbage too (a search under way may still show it): the collector
 * lets the index pass a chunk before it takes it out, so that it cannot come back.
 */
#include <string.h>
#include <unistd.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_words.h"

enum { LEXICAL_FORMAT = 3, LEXICAL_BATCH = 4096 };

/* pgsz and hashsize: measured with bench_database; the hash holds one batch. */
static const char SCHEMA[] =
    "DROP TABLE IF EXISTS passage; DROP TABLE IF EXISTS state;"
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, "
    "database_id BLOB NOT NULL, indexed_to INTEGER NOT NULL, removals INTEGER NOT NULL) STRICT;"
    "CREATE VIRTUAL TABLE passage USING fts5 (text, heading, content = '', "
    "tokenize = 'words porter unicode61 remove_diacritics 2');"
    "INSERT INTO passage (passage, rank) VALUES ('rank', 'bm25(1.0, 3.0)');"
    "INSERT INTO passage (passage, rank) VALUES ('hashsize', 8388608);"
    "INSERT INTO passage (passage, rank) VALUES ('automerge', 16);"
    "INSERT INTO passage (passage, rank) VALUES ('crisismerge', 64);"; /* not all at once */

/* ---- opening ---- */

static int lexical_connect(struct store *s, struct connection *c, int flags)
{
    int rc = connection_open(c, s->lexical_path, flags, s->busy_ms);
    int status = rc ? SQLITE_OK : words_register(c->db);
    if (status != SQLITE_OK)
        rc = connection_error(c, status, "registering the tokenizer");
    if (!rc)
        rc = connection_use_wal(c);
    if (!rc)
        rc = connection_exec(c, "PRAGMA synchronous=NORMAL;"
                                "PRAGMA journal_size_limit=33554432;"
                                "PRAGMA wal_autocheckpoint=2000");
    return rc;
}

static int make_schema(struct store *s, struct connection *c)
{
    int rc = connection_exec(c, SCHEMA);
    if (!rc)
        rc = SQL_RUN(c, "INSERT INTO state VALUES (1, ?1, ?2, 1, 0)", V_INT(LEXICAL_FORMAT),
                     V_BLOB(s->database_id.bytes, 16));
    return rc;
}

/* *fits: the file is an index of this database and not ahead of it. */
static int look(struct store *s, struct connection *c, bool *fits)
{
    int64_t exists;
    *fits = false;
    int rc = SQL_NUMBER(c, &exists, 0, "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                        V_TEXT("state"));
    if (rc || !exists)
        return rc;
    sqlite3_stmt *row;
    rc = sql_prepare(c, &row, "SELECT format, database_id, indexed_to FROM state", NULL, 0);
    bool more = false;
    if (!rc)
        rc = sql_next(c, row, &more);
    if (!rc && more)
        *fits = sql_int(row, 0) == LEXICAL_FORMAT && sqlite3_column_bytes(row, 1) == 16 &&
                !memcmp(sqlite3_column_blob(row, 1), s->database_id.bytes, 16) &&
                sql_int(row, 2) <= atomic_load(&s->keeper.next_chunk);
    if (*fits)
        atomic_store(&s->lexical.indexed_to, sql_int(row, 2));
    sql_drop(row);
    return rc;
}

static int prepare_file(struct store *s)
{
    struct connection *c = &s->lexical.c;
    bool fits = false;
    int rc = lexical_connect(s, c, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (!rc)
        rc = look(s, c, &fits);
    if (rc || fits)
        return rc;
    rc = connection_exec(c, "BEGIN IMMEDIATE");
    if (!rc)
        rc = look(s, c, &fits); /* another process may have been first */
    if (!rc && !fits)
        rc = make_schema(s, c);
    if (!rc)
        rc = connection_exec(c, "COMMIT");
    if (!sqlite3_get_autocommit(c->db))
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    if (!rc && !fits)
        atomic_store(&s->lexical.indexed_to, 1);
    atomic_store(&s->lexical.added_to, atomic_load(&s->lexical.indexed_to));
    return rc;
}

static void delete_file(struct store *s)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[4096];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(path, sizeof path, "%s%s", s->lexical_path, suffixes[i]);
        unlink(path);
    }
}

int lexical_open(struct store *s)
{
    pthread_mutex_init(&s->lexical.lock, NULL);
    int rc = prepare_file(s);
    if (rc == ERR_SYSTEMIC && !strcmp(error_last()->reason, "database_corrupt")) {
        connection_close(&s->lexical.c);
        delete_file(s); /* only a cache: made anew */
        rc = prepare_file(s);
    }
    if (!rc)
        rc = connection_exec(&s->lexical.c, "PRAGMA cache_size=-3072");
    if (!rc)
        rc = connection_open(&s->lexical.source, s->path, SQLITE_OPEN_READWRITE, s->busy_ms);
    if (!rc)
        rc = connection_exec(&s->lexical.source, "PRAGMA query_only=1; PRAGMA cache_size=-1024");
    return rc;
}

void lexical_close(struct store *s)
{
    connection_close(&s->lexical.c);
    connection_close(&s->lexical.source);
    pthread_mutex_destroy(&s->lexical.lock);
}

int lexical_reader(struct store *s, struct reader *r)
{
    if (r->lexical.db)
        return OK;
    int rc = lexical_connect(s, &r->lexical, SQLITE_OPEN_READWRITE);
    if (!rc)
        rc = connection_exec(&r->lexical, "PRAGMA query_only=1; PRAGMA cache_size=-1024");
    if (rc)
        connection_close(&r->lexical);
    return rc;
}

/* ---- adding ---- */

static int add_entry(struct connection *c, int64_t id, const char *text, size_t length,
                     const char *heading)
{
    return SQL_RUN(c, "INSERT INTO passage (rowid, text, heading) VALUES (?1, ?2, ?3)", V_INT(id),
                   V_TEXTN(text, length), V_TEXT(heading));
}

static int remove_entry(struct connection *c, int64_t id, const char *text, size_t length,
                        const char *heading)
{
    int64_t there;
    int rc = SQL_NUMBER(c, &there, 0, "SELECT 1 FROM passage_docsize WHERE id = ?1", V_INT(id));
    if (rc || !there)
        return rc;
    return SQL_RUN(c,
                   "INSERT INTO passage (passage, rowid, text, heading) VALUES ('delete', ?1, ?2, "
                   "?3)",
                   V_INT(id), V_TEXTN(text, length), V_TEXT(heading));
}

/* Each chunk of a run with its heading, which only the first chunk of a result has. */
static int each_entry(struct lexical *l, int64_t first, int64_t count, const char *heading,
                      int (*entry)(struct connection *, int64_t, const char *, size_t,
                                   const char *))
{
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(&l->source, &row,
                       "SELECT chunk_id, text FROM chunk WHERE chunk_id >= ?1 AND chunk_id < ?2",
                       V_INT(first), V_INT(first + count));
    while (!rc && !(rc = sql_next(&l->source, row, &more)) && more)
        rc = entry(&l->c, sql_int(row, 0), sql_peek(row, 1), (size_t)sqlite3_column_bytes(row, 1),
                   sql_int(row, 0) == first ? heading : "");
    sql_done(row);
    return rc;
}

static const char RUNS_FROM[] =
    "SELECT u.first_chunk, u.count, CASE u.first_ordinal WHEN 0 THEN r.heading ELSE '' END FROM "
    "chunk_run u CROSS JOIN result r ON r.result_id = u.result_id WHERE u.first_chunk >= ?1 AND "
    "u.first_chunk < ?2 ORDER BY u.first_chunk";

/* Indexes from *at on until a batch is full, `target` is reached, or the log waits for what this
 * reads. */
static int add_runs(struct store *s, int64_t *at, int64_t target)
{
    struct lexical *l = &s->lexical;
    sqlite3_stmt *row;
    bool more = true;
    int rc = SQL_BEGIN(&l->source, &row, RUNS_FROM, V_INT(*at), V_INT(target));
    while (!rc && l->batch < LEXICAL_BATCH && !(rc = sql_next(&l->source, row, &more)) && more) {
        rc = each_entry(l, sql_int(row, 0), sql_int(row, 1), sql_peek(row, 2), add_entry);
        l->batch += sql_int(row, 1);
        *at = sql_int(row, 0) + sql_int(row, 1);
        if (atomic_load(&s->writer.log_waits))
            break;
    }
    sql_done(row);
    if (!rc && !more && *at < target)
        *at = target; /* what is missing in between was deleted */
    return rc;
}

/* ---- the open batch ----
 *
 * FTS5 keeps the words of a transaction in memory and writes them, sorted, at its end. So chunks
 * are added as they come, in one transaction, until it holds a batch: there is never much left to
 * do at once, and still few, large pieces to write. While it is open other processes wait
 * (busy_ms). */

static void forget_batch(struct lexical *l)
{
    if (!sqlite3_get_autocommit(l->c.db))
        sqlite3_exec(l->c.db, "ROLLBACK", NULL, NULL, NULL);
    l->batch = 0;
    atomic_store(&l->open_ms, 0);
    atomic_store(&l->added_to, atomic_load(&l->indexed_to));
}

static int begin_batch(struct lexical *l)
{
    int64_t at = 0;
    if (!sqlite3_get_autocommit(l->c.db))
        return OK;
    int rc = sql_run(&l->c, "BEGIN IMMEDIATE", NULL, 0);
    if (!rc) /* another process may have gone on */
        rc = sql_number(&l->c, &at, 1, "SELECT indexed_to FROM state", NULL, 0);
    if (rc)
        return rc;
    atomic_store(&l->open_ms, clock_monotonic_ms());
    atomic_store(&l->indexed_to, at);
    atomic_store(&l->added_to, at);
    return OK;
}

static int end_batch(struct lexical *l)
{
    int64_t at = atomic_load(&l->added_to);
    if (sqlite3_get_autocommit(l->c.db))
        return OK;
    int rc = OK;
    if (at != atomic_load(&l->indexed_to))
        rc = SQL_RUN(&l->c, "UPDATE state SET indexed_to = ?1", V_INT(at));
    if (!rc)
        rc = sql_run(&l->c, "COMMIT", NULL, 0);
    if (rc)
        return rc;
    l->batch = 0;
    atomic_store(&l->open_ms, 0);
    atomic_store(&l->indexed_to, at);
    return OK;
}

/* Adds the chunks below `target`; what is done is left in the open batch if there is room in it. */
static int add_up_to(struct store *s, int64_t target)
{
    struct lexical *l = &s->lexical;
    int rc = OK;
    while (!rc && atomic_load(&l->added_to) < target) {
        int64_t at;
        rc = begin_batch(l);
        at = atomic_load(&l->added_to);
        if (!rc && at < target)
            rc = snapshot_begin(&l->source);
        if (!rc && at < target)
            rc = add_runs(s, &at, target);
        snapshot_end(&l->source);
        if (!rc)
            atomic_store(&l->added_to, at);
        if (!rc && l->batch >= LEXICAL_BATCH)
            rc = end_batch(l);
    }
    return rc;
}

static int finish(struct lexical *l, int rc)
{
    if (!rc)
        return OK;
    forget_batch(l);
    return error_prefix("while indexing words");
}

int lexical_index(struct store *s, int64_t target)
{
    struct lexical *l = &s->lexical;
    pthread_mutex_lock(&l->lock);
    int rc = add_up_to(s, target);
    if (!rc)
        rc = end_batch(l);
    rc = finish(l, rc);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int lexical_add(struct store *s, int64_t target)
{
    struct lexical *l = &s->lexical;
    pthread_mutex_lock(&l->lock);
    int rc = finish(l, add_up_to(s, target));
    pthread_mutex_unlock(&l->lock);
    return rc;
}

/* ---- removing ---- */

static int remove_span(struct lexical *l, const struct chunk_span *span)
{
    sqlite3_stmt *row;
    int rc = SQL_FIRST(&l->source, &row,
                       "SELECT CASE u.first_ordinal WHEN 0 THEN r.heading ELSE '' END FROM "
                       "chunk_run u JOIN result r ON r.result_id = u.result_id WHERE "
                       "u.first_chunk = ?1",
                       V_INT(span->first));
    if (!rc && row)
        rc = each_entry(l, span->first, span->count, sql_peek(row, 0), remove_entry);
    sql_done(row);
    return rc;
}

static int remove_spans(struct lexical *l, const struct chunk_span *spans, size_t count)
{
    int rc = sql_run(&l->c, "BEGIN IMMEDIATE", NULL, 0);
    if (!rc)
        rc = snapshot_begin(&l->source);
    for (size_t i = 0; !rc && i < count; i++)
        rc = remove_span(l, &spans[i]);
    snapshot_end(&l->source);
    if (!rc)
        rc = sql_run(&l->c, "UPDATE state SET removals = removals + 1", NULL, 0);
    if (!rc)
        rc = sql_run(&l->c, "COMMIT", NULL, 0);
    if (!sqlite3_get_autocommit(l->c.db))
        sqlite3_exec(l->c.db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int lexical_epoch(struct store *s, struct reader *r, int64_t *out)
{
    int rc = lexical_reader(s, r);
    return rc ? rc : sql_number(&r->lexical, out, 0, "SELECT removals FROM state", NULL, 0);
}

int lexical_remove(struct store *s, const struct chunk_span *spans, size_t count)
{
    struct lexical *l = &s->lexical;
    pthread_mutex_lock(&l->lock);
    int rc = finish(l, end_batch(l));
    if (!rc)
        rc = connection_exec(&l->c, "PRAGMA synchronous=FULL");
    if (!rc)
        rc = remove_spans(l, spans, count);
    sqlite3_exec(l->c.db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    pthread_mutex_unlock(&l->lock);
    return rc ? error_prefix("while taking words out of the index") : OK;
}

int lexical_check(struct store *s)
{
    struct lexical *l = &s->lexical;
    sqlite3_stmt *row = NULL;
    pthread_mutex_lock(&l->lock);
    int rc = finish(l, end_batch(l));
    if (!rc)
        rc = sql_first(&l->c, &row, "PRAGMA integrity_check(1)", NULL, 0);
    bool ok = rc || (row && !strcmp(sql_peek(row, 0), "ok"));
    sql_done(row);
    if (!rc && ok) /* contentless: FTS5 checks its own structure */
        rc = sql_run(&l->c, "INSERT INTO passage (passage) VALUES ('integrity-check')", NULL, 0);
    pthread_mutex_unlock(&l->lock);
    if (!ok || (rc == ERR_SYSTEMIC))
        rc = error_set(ERR_SYSTEMIC, "database_corrupt",
                       "'%s' is damaged: stop Aegis and delete it, it is made anew",
                       s->lexical_path);
    return rc;
}
