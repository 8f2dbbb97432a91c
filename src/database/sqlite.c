#include "database/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_migrate.h"
#include "shared/file.h"

enum {
    DEFAULT_READERS = 4,
    DEFAULT_BUSY_MS = 10000,
    DEFAULT_OUTBOX_ROWS = 1000000,
    DEFAULT_LOG_PAGES = 65536
};
static const int64_t DEFAULT_OUTBOX_MS = 7LL * 24 * 3600 * 1000;

/* ---- readers ---- */

int readers_open(struct store *s, int count)
{
    pthread_mutex_init(&s->readers.lock, NULL);
    pthread_cond_init(&s->readers.freed, NULL);
    s->readers.all = calloc((size_t)count, sizeof *s->readers.all);
    if (!s->readers.all)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %d connections", count);
    for (int i = 0; i < count; i++) {
        struct reader *r = &s->readers.all[i];
        int rc = connection_open(&r->main, s->path, SQLITE_OPEN_READWRITE, s->busy_ms);
        s->readers.count = i + 1;
        if (!rc)
            rc = connection_exec(&r->main, "PRAGMA query_only=1; PRAGMA cache_size=-1024");
        if (rc)
            return rc;
        r->next = s->readers.free;
        s->readers.free = r;
    }
    return OK;
}

void readers_close(struct store *s)
{
    for (int i = 0; i < s->readers.count; i++) {
        connection_close(&s->readers.all[i].main);
        connection_close(&s->readers.all[i].lexical);
    }
    free(s->readers.all);
    pthread_cond_destroy(&s->readers.freed);
    pthread_mutex_destroy(&s->readers.lock);
}

struct reader *reader_hold(struct store *s)
{
    pthread_mutex_lock(&s->readers.lock);
    while (!s->readers.free)
        pthread_cond_wait(&s->readers.freed, &s->readers.lock);
    struct reader *r = s->readers.free;
    s->readers.free = r->next;
    pthread_mutex_unlock(&s->readers.lock);
    return r;
}

void reader_release(struct store *s, struct reader *r)
{
    pthread_mutex_lock(&s->readers.lock);
    r->next = s->readers.free;
    s->readers.free = r;
    pthread_cond_signal(&s->readers.freed);
    pthread_mutex_unlock(&s->readers.lock);
}

int snapshot_begin(struct connection *c)
{
    return sql_run(c, "BEGIN", NULL, 0);
}

void snapshot_end(struct connection *c)
{
    if (!sqlite3_get_autocommit(c->db)) {
        sqlite3_stmt *s;
        bool row;
        struct error e = *error_last();
        if (sql_begin(c, &s, "COMMIT", NULL, 0) || sql_next(c, s, &row))
            sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        error_restore(&e);
    }
}

/* ---- opening ---- */

static int make_paths(struct store *s, const char *directory)
{
    s->directory = strdup(directory);
    if (asprintf(&s->path, "%s/aegis.db", directory) < 0)
        s->path = NULL;
    if (asprintf(&s->lexical_path, "%s/lexical.db", directory) < 0)
        s->lexical_path = NULL;
    if (!s->directory || !s->path || !s->lexical_path)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the name of '%s'", directory);
    return OK;
}

/* A database of a newer Aegis must stay untouched, so the journal mode is set only after the check;
 * a new file gets it before its first table. */
static int open_writer(struct store *s, int64_t max_pages)
{
    struct connection *c = &s->writer.c;
    char cap[64];
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int rc = connection_open_writer(c, s->path, flags, s->busy_ms);
    if (!rc)
        rc = sqlite_migrate(c, migrations_sqlite, migrations_sqlite_count, clock_now(s->clock));
    if (!rc)
        rc = connection_use_wal(c);
    if (!rc)
        rc = connection_exec(c, "PRAGMA cache_size=-6144; PRAGMA journal_size_limit=67108864");
    snprintf(cap, sizeof cap, "PRAGMA max_page_count=%lld", (long long)max_pages);
    if (!rc && max_pages > 0)
        rc = connection_exec(c, cap);
    return rc;
}

/* What `aegis import` keeps its place in is there until it is done (move_sqlite_write.c). */
static int check_import(struct store *s)
{
    int64_t unfinished;
    int rc =
        SQL_NUMBER(&s->writer.c, &unfinished, 0,
                   "SELECT count(*) FROM sqlite_schema WHERE name = ?1", V_TEXT("import_progress"));
    if (rc || !unfinished)
        return rc;
    return error_set(ERR_SYSTEMIC, "import_unfinished",
                     "'%s' holds a part of an import only: run `aegis import` with its file again",
                     s->path);
}

static int read_identity(struct store *s)
{
    sqlite3_stmt *row;
    struct connection *c = &s->writer.c;
    int rc = sql_first(c, &row, "SELECT database_id, next_chunk FROM ledger", NULL, 0);
    if (row && sqlite3_column_bytes(row, 0) == 16) {
        memcpy(s->database_id.bytes, sqlite3_column_blob(row, 0), 16);
        atomic_store(&s->keeper.next_chunk, sql_int(row, 1));
        s->keeper.vectors_to = sql_int(row, 1); /* what was missed before waits for idle times */
    } else if (!rc) {
        rc = connection_error(c, SQLITE_CORRUPT, "reading the ledger");
    }
    sql_done(row);
    return rc;
}

static int open_parts(struct store *s, const struct sqlite_database_options *o)
{
    int rc = file_make_directory(o->directory);
    if (!rc)
        rc = names_init(&s->names);
    if (!rc)
        rc = open_writer(s, o->max_pages);
    if (!rc)
        rc = check_import(s);
    if (!rc)
        rc = read_identity(s);
    if (!rc)
        rc = readers_open(s, o->readers > 0 ? o->readers : DEFAULT_READERS);
    if (!rc)
        rc = lexical_open(s);
    if (!rc)
        rc = writer_start(&s->writer);
    return rc ? rc : keeper_start(s);
}

static void store_close(void *ctx)
{
    struct store *s = ctx;
    sqlite_space_fill_end(s);
    keeper_stop(s);
    writer_stop(&s->writer);
    lexical_close(s);
    vectors_close(s);
    if (s->readers.all)
        readers_close(s);
    keeper_fini(s);
    names_fini(&s->names);
    pthread_rwlock_destroy(&s->removal);
    free(s->lexical_path);
    free(s->path);
    free(s->directory);
    free(s);
}

static const struct database_ops ops = {
    .name = "sqlite",
    .close = store_close,
    .record_events = sqlite_record_events,
    .start_attempts = sqlite_start_attempts,
    .extend_leases = sqlite_extend_leases,
    .set_content = sqlite_set_content,
    .set_paused = sqlite_set_paused,
    .end_attempt = sqlite_end_attempt,
    .checkpoint_get = sqlite_checkpoint_get,
    .checkpoints_put = sqlite_checkpoints_put,
    .calls_record = sqlite_calls_record,
    .space_ensure = sqlite_space_ensure,
    .spaces = sqlite_spaces,
    .space_serving = sqlite_space_serving,
    .space_fill_begin = sqlite_space_fill_begin,
    .space_fill_end = sqlite_space_fill_end,
    .space_missing = sqlite_space_missing,
    .space_append = sqlite_space_append,
    .space_prepare = sqlite_space_prepare,
    .space_hold = sqlite_space_hold,
    .space_serve = sqlite_space_serve,
    .space_drop = sqlite_space_drop,
    .result_find = sqlite_result_find,
    .embeddings_find = sqlite_embeddings_find,
    .summary_find = sqlite_summary_find,
    .result_begin = sqlite_result_begin,
    .result_append = sqlite_result_append,
    .publish = sqlite_publish,
    .reprocess = sqlite_reprocess,
    .redrive = sqlite_redrive,
    .drop = sqlite_drop,
    .mark_dead = sqlite_mark_dead,
    .stranded = sqlite_stranded,
    .touch = sqlite_touch,
    .pause_set = sqlite_pause_set,
    .pause_get = sqlite_pause_get,
    .media_list = sqlite_media_list,
    .media_get = sqlite_media_get,
    .media_find = sqlite_media_find,
    .summary_get = sqlite_summary_get,
    .segments_each = sqlite_segments_each,
    .chunks_each = sqlite_chunks_each,
    .job_list = sqlite_job_list,
    .job_get = sqlite_job_get,
    .usage = sqlite_usage,
    .life_events = sqlite_life_events,
    .totals = sqlite_totals,
    .search_lexical = sqlite_search_lexical,
    .search_vector = sqlite_search_vector,
    .passages = sqlite_passages,
};

/* A waiting collector goes before new searches, else it might never get its turn. */
static void init_removal(struct store *s)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->removal, &attr);
    pthread_rwlockattr_destroy(&attr);
}

int sqlite_database_open(const struct sqlite_database_options *options, struct database *out)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the database");
    s->clock = options->clock ? options->clock : clock_system();
    s->busy_ms = options->busy_ms > 0 ? options->busy_ms : DEFAULT_BUSY_MS;
    s->writer.log_pages = options->log_pages > 0 ? options->log_pages : DEFAULT_LOG_PAGES;
    s->outbox_rows = options->outbox_rows > 0 ? options->outbox_rows : DEFAULT_OUTBOX_ROWS;
    s->outbox_ms = options->outbox_ms > 0 ? options->outbox_ms : DEFAULT_OUTBOX_MS;
    s->writer.names = &s->names;
    s->writer.clock = s->clock;
    s->writer.on_commit = keeper_notify;
    s->writer.ctx = s;
    init_removal(s);
    keeper_init(s);
    vectors_init(s);
    int rc = make_paths(s, options->directory);
    if (!rc)
        rc = open_parts(s, options);
    if (rc) {
        struct error e = *error_last();
        store_close(s);
        return error_restore(&e);
    }
    *out = (struct database){.ops = &ops, .ctx = s};
    return OK;
}

int sqlite_database_settle(struct database *database)
{
    return keeper_settle(database->ctx);
}

/* ---- check ---- */

int sqlite_database_check(struct database *database)
{
    struct store *s = database->ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    int rc = sql_first(&r->main, &row, "PRAGMA integrity_check(1)", NULL, 0);
    if (!rc && row && strcmp(sql_peek(row, 0), "ok") != 0)
        rc = error_set(ERR_SYSTEMIC, "database_corrupt",
                       "'%s' is damaged: %.200s; restore it from a backup", s->path,
                       sql_peek(row, 0));
    sql_done(row);
    reader_release(s, r);
    return rc ? rc : lexical_check(s);
}
