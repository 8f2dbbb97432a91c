#include "database/sqlite_connection.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "database/sqlite_wal_file.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/random.h"

/* Waits in short random steps: the other side's turns last milliseconds, and SQLite's own handler
 * with its growing steps would lose the race against a busy writer. */
static int on_busy(void *ctx, int tries)
{
    static _Thread_local int64_t since;
    struct connection *c = ctx;
    int64_t now = clock_monotonic_ms();
    if (tries == 0)
        since = now;
    if (now - since >= c->busy_ms)
        return 0;
    unsigned step = tries < 20 ? 300 : 3000;
    usleep((useconds_t)(100 + random_below(step)));
    return 1;
}

/* SQLite's counters of its own memory cost a mutex on every allocation, and nobody reads them. */
static void configure_once(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int open_with(struct connection *c, const char *path, int flags, int64_t busy_ms,
                     const char *(*vfs)(void))
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure_once);
    *c = (struct connection){.path = path, .busy_ms = busy_ms};
    int rc = sqlite3_open_v2(path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             vfs ? vfs() : NULL);
    if (rc != SQLITE_OK) {
        rc = connection_error(c, rc, "opening it");
        connection_close(c);
        return rc;
    }
    sqlite3_busy_handler(c->db, on_busy, c);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    rc = connection_exec(c, "PRAGMA secure_delete=0; PRAGMA wal_autocheckpoint=0;"
                            "PRAGMA trusted_schema=0");
    if (rc)
        connection_close(c);
    return rc;
}

int connection_open(struct connection *c, const char *path, int flags, int64_t busy_ms)
{
    return open_with(c, path, flags, busy_ms, NULL);
}

int connection_open_writer(struct connection *c, const char *path, int flags, int64_t busy_ms)
{
    int rc = open_with(c, path, flags, busy_ms, wal_file_vfs);
    return rc ? rc : connection_exec(c, "PRAGMA synchronous=FULL");
}

void connection_close(struct connection *c)
{
    for (size_t i = 0; i < STATEMENT_SLOTS; i++)
        sqlite3_finalize(c->slots[i].statement);
    sqlite3_close(c->db);
    memset(c, 0, sizeof *c);
}

static int full(struct connection *c, const char *doing)
{
    return error_set(ERR_DISK_FULL, "disk_full",
                     "no room for '%s' while %s: free some space; work goes on by itself", c->path,
                     doing);
}

static int corrupt(struct connection *c, const char *doing)
{
    return error_set(ERR_SYSTEMIC, "database_corrupt",
                     "'%s' is damaged (found while %s): stop Aegis, then restore it from a backup "
                     "or run: sqlite3 '%s' .recover",
                     c->path, doing, c->path);
}

static int io_error(struct connection *c, int rc, const char *doing)
{
    int e = c->db ? sqlite3_system_errno(c->db) : 0;
    if (e == 0)
        e = errno; /* SQLite does not pass it on when the write was the commit's */
    if (e == ENOSPC || e == EDQUOT || e == EFBIG)
        return full(c, doing);
    if (rc == SQLITE_IOERR_NOMEM)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for '%s' while %s", c->path, doing);
    return error_set(ERR_IO, "database_io",
                     "cannot read or write '%s' while %s: %s (SQLite code %d)", c->path, doing,
                     e ? strerror(e) : sqlite3_errstr(rc), rc);
}

int connection_error(struct connection *c, int rc, const char *doing)
{
    const char *text = c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return OK;
    case SQLITE_FULL:
        return full(c, doing);
    case SQLITE_IOERR:
        return io_error(c, rc, doing);
    case SQLITE_NOMEM:
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for '%s' while %s", c->path, doing);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return corrupt(c, doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
        return error_set(ERR_TRANSIENT, "database_busy",
                         "'%s' was held by another process for %lld ms while %s: try again",
                         c->path, (long long)c->busy_ms, doing);
    case SQLITE_TOOBIG:
        return error_set(ERR_TOO_LARGE, NULL, "a value is too large for '%s' while %s", c->path,
                         doing);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return error_set(ERR_SYSTEMIC, "database_unavailable",
                         "cannot use '%s' while %s: %s; check the folder and its permissions",
                         c->path, doing, text);
    default:
        return error_set(ERR_SYSTEMIC, "database_error", "'%s' failed while %s: %s", c->path, doing,
                         text);
    }
}

int connection_exec(struct connection *c, const char *sql)
{
    errno = 0;
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return OK;
    char doing[64];
    snprintf(doing, sizeof doing, "running %.48s", sql);
    return connection_error(c, rc, doing);
}

/* The first switch to WAL needs the file alone. Where waiting could deadlock (another process opens
 * it too) SQLite does not ask on_busy but gives up at once: then it is tried again. */
int connection_use_wal(struct connection *c)
{
    int64_t deadline_ms = clock_monotonic_ms() + c->busy_ms;
    int rc;
    while ((rc = connection_exec(c, "PRAGMA journal_mode=WAL")) == ERR_TRANSIENT &&
           clock_monotonic_ms() < deadline_ms)
        usleep((useconds_t)(1000 + random_below(4000)));
    return rc;
}

static int prepare(struct connection *c, sqlite3_stmt **out, const char *sql, unsigned flags)
{
    int rc = sqlite3_prepare_v3(c->db, sql, -1, flags, out, NULL);
    return rc == SQLITE_OK ? OK : connection_error(c, rc, "preparing a statement");
}

/* Open addressing by the text's address; the table is never near full (some 120 statements). */
static int cached(struct connection *c, sqlite3_stmt **out, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u >> 56;
    for (size_t probe = 0; probe < STATEMENT_SLOTS; probe++, at++) {
        size_t i = at % STATEMENT_SLOTS;
        if (c->slots[i].sql == sql) {
            *out = c->slots[i].statement;
            return OK;
        }
        if (!c->slots[i].sql) {
            int rc = prepare(c, out, sql, SQLITE_PREPARE_PERSISTENT);
            if (!rc) {
                c->slots[i].sql = sql;
                c->slots[i].statement = *out;
            }
            return rc;
        }
    }
    return error_set(ERR_SYSTEMIC, "database_error", "more than %d prepared statements",
                     STATEMENT_SLOTS);
}

static int bind(sqlite3_stmt *s, int i, const struct sql_value *v)
{
    switch (v->type) {
    case SQL_INT:
        return sqlite3_bind_int64(s, i, v->number);
    case SQL_TEXT:
        if (!v->bytes)
            return sqlite3_bind_null(s, i);
        return sqlite3_bind_text64(s, i, v->bytes,
                                   v->number < 0 ? strlen(v->bytes) : (sqlite3_uint64)v->number,
                                   SQLITE_STATIC, SQLITE_UTF8);
    case SQL_BLOB:
        if (!v->bytes)
            return sqlite3_bind_null(s, i);
        return sqlite3_bind_blob64(s, i, v->bytes, (sqlite3_uint64)v->number, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(s, i);
    }
}

static int bind_all(struct connection *c, sqlite3_stmt *s, const struct sql_value *values,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = bind(s, (int)i + 1, &values[i]);
        if (rc != SQLITE_OK)
            return connection_error(c, rc, "binding a value");
    }
    return OK;
}

int sql_begin(struct connection *c, sqlite3_stmt **out, const char *sql,
              const struct sql_value *values, size_t count)
{
    int rc = cached(c, out, sql);
    return rc ? rc : bind_all(c, *out, values, count);
}

int sql_prepare(struct connection *c, sqlite3_stmt **out, const char *sql,
                const struct sql_value *values, size_t count)
{
    *out = NULL;
    int rc = prepare(c, out, sql, 0);
    if (!rc)
        rc = bind_all(c, *out, values, count);
    if (rc) {
        sqlite3_finalize(*out);
        *out = NULL;
    }
    return rc;
}

void sql_drop(sqlite3_stmt *statement)
{
    sqlite3_finalize(statement);
}

int sql_next(struct connection *c, sqlite3_stmt *statement, bool *row)
{
    errno = 0;
    int rc = sqlite3_step(statement);
    *row = rc == SQLITE_ROW;
    if (*row)
        return OK;
    int code = rc == SQLITE_DONE ? OK : connection_error(c, rc, "running a statement");
    sqlite3_reset(statement);
    return code;
}

void sql_done(sqlite3_stmt *statement)
{
    if (statement)
        sqlite3_reset(statement);
}

int sql_first(struct connection *c, sqlite3_stmt **out, const char *sql,
              const struct sql_value *values, size_t count)
{
    sqlite3_stmt *s;
    bool row = false;
    *out = NULL;
    int rc = sql_begin(c, &s, sql, values, count);
    if (!rc)
        rc = sql_next(c, s, &row);
    if (row)
        *out = s;
    return rc;
}

int sql_run(struct connection *c, const char *sql, const struct sql_value *values, size_t count)
{
    sqlite3_stmt *s;
    int rc = sql_first(c, &s, sql, values, count);
    sql_done(s);
    return rc;
}

int sql_number(struct connection *c, int64_t *out, int64_t fallback, const char *sql,
               const struct sql_value *values, size_t count)
{
    sqlite3_stmt *s;
    int rc = sql_first(c, &s, sql, values, count);
    *out = s ? sql_int(s, 0) : fallback;
    sql_done(s);
    return rc;
}

const char *sql_text(sqlite3_stmt *statement, int column, struct arena *arena)
{
    const char *text = sql_peek(statement, column);
    return arena_strndup(arena, text, (size_t)sqlite3_column_bytes(statement, column));
}

const char *sql_peek(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

void sql_copy(sqlite3_stmt *statement, int column, char *out, size_t size)
{
    snprintf(out, size, "%s", sql_peek(statement, column));
}
