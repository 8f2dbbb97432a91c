#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "adapters/local/queue_sqlite_store.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/random.h"

enum {
    SCHEMA_VERSION = 1,
    APPLICATION_ID = 0x41655175, /* "AeQu" */
    CACHE_KIB = 8192,
    BUSY_LIMIT_US = 30 * 1000 * 1000,
};

/* A file that a drained backlog left with so many free pages and so few others is made small again
 * at the next open: quickly, as there is little to copy. */
#define SHRINK_FREE_BYTES (int64_t) MIB(64)
#define SHRINK_USED_BYTES (int64_t) MIB(4)

static const char schema_sql[] =
    "CREATE TABLE message(id INTEGER PRIMARY KEY, sent_ms INTEGER NOT NULL,"
    " delayed INTEGER NOT NULL, fair_group TEXT, body TEXT NOT NULL);"
    "CREATE TABLE lease(id INTEGER PRIMARY KEY, visible_ms INTEGER NOT NULL,"
    " receives INTEGER NOT NULL);"
    "CREATE TABLE timer(due_ms INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " PRIMARY KEY(due_ms, first, last)) WITHOUT ROWID;"
    "CREATE TABLE dead(id INTEGER PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL,"
    " receives INTEGER NOT NULL, sent_ms INTEGER NOT NULL, dead_ms INTEGER NOT NULL,"
    " fair_group TEXT, body TEXT NOT NULL);"
    "CREATE TABLE ledger(one INTEGER PRIMARY KEY CHECK(one = 1), last_id INTEGER NOT NULL,"
    " head_id INTEGER NOT NULL, fresh INTEGER NOT NULL, dead INTEGER NOT NULL);"
    "INSERT INTO ledger VALUES(1, 0, 0, 0, 0);";

static const char *const statement_sql[STATEMENTS] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_LEDGER_GET] = "SELECT last_id, head_id, fresh, dead FROM ledger WHERE one = 1",
    [ST_LEDGER_PUT] = "UPDATE ledger SET last_id = ?1, head_id = ?2, fresh = ?3, dead = ?4"
                      " WHERE one = 1",
    [ST_MESSAGE_ADD] = "INSERT INTO message VALUES(?1, ?2, ?3, ?4, ?5)",
    [ST_MESSAGE_GET] = "SELECT sent_ms, body FROM message WHERE id = ?1",
    [ST_MESSAGE_NEXT] = "SELECT id, delayed, sent_ms, body FROM message WHERE id > ?1 ORDER BY id",
    [ST_MESSAGE_CUT] = "DELETE FROM message WHERE id BETWEEN ?1 AND ?2",
    [ST_MESSAGE_OLDEST] = "SELECT sent_ms FROM message WHERE id > ?1 AND NOT delayed"
                          " ORDER BY id LIMIT 1",
    [ST_LEASE_ADD] = "INSERT INTO lease VALUES(?1, ?2, ?3)",
    [ST_LEASE_SET] = "UPDATE lease SET visible_ms = ?3 WHERE id = ?1 AND receives = ?2",
    [ST_LEASE_CLAIM] = "UPDATE lease SET visible_ms = ?2, receives = ?3 WHERE id = ?1",
    [ST_LEASE_DUE] = "SELECT id, receives FROM lease"
                     " WHERE id BETWEEN ?1 AND ?2 AND visible_ms <= ?3 ORDER BY id LIMIT ?4",
    [ST_LEASE_RANGE] = "SELECT id, receives, visible_ms FROM lease WHERE id BETWEEN ?1 AND ?2"
                       " ORDER BY id",
    [ST_LEASE_CUT] = "DELETE FROM lease WHERE id BETWEEN ?1 AND ?2",
    [ST_LEASE_COUNT] = "SELECT coalesce(sum(visible_ms <= ?1), 0),"
                       " coalesce(sum(visible_ms > ?1 AND receives > 0), 0),"
                       " coalesce(sum(visible_ms > ?1 AND receives = 0), 0) FROM lease",
    [ST_LEASE_ANY] = "SELECT EXISTS (SELECT 1 FROM lease WHERE visible_ms <= ?1),"
                     " EXISTS (SELECT 1 FROM lease)",
    [ST_LEASE_OLDEST] = "SELECT sent_ms FROM message WHERE id ="
                        " (SELECT id FROM lease WHERE visible_ms <= ?1 ORDER BY id LIMIT 1)",
    [ST_TIMER_ADD] = "INSERT OR IGNORE INTO timer VALUES(?1, ?2, ?3)",
    [ST_TIMER_FIRST] = "SELECT due_ms, first, last FROM timer ORDER BY due_ms, first LIMIT 1",
    [ST_TIMER_DROP] = "DELETE FROM timer WHERE due_ms = ?1 AND first = ?2 AND last = ?3",
    [ST_TIMER_CUT] = "DELETE FROM timer WHERE due_ms = ?1 AND first >= ?2 AND last <= ?3",
    [ST_DEAD_ADD] = "INSERT INTO dead SELECT id, ?2, ?3, ?4, sent_ms, ?5, fair_group, body"
                    " FROM message WHERE id = ?1",
    [ST_DEAD_LIST] = "SELECT id, reason, detail, receives, sent_ms, dead_ms, body FROM dead"
                     " WHERE id > ?1 AND dead_ms >= ?3 ORDER BY id LIMIT ?2",
    [ST_DEAD_REVIVE] = "INSERT INTO message SELECT ?2, ?3, 0, fair_group, body FROM dead"
                       " WHERE id = ?1",
    [ST_DEAD_NEXT] = "SELECT id FROM dead WHERE id <= ?1 ORDER BY id LIMIT ?2",
    [ST_FREE_PAGES] = "PRAGMA freelist_count",
    [ST_DEAD_DROP] = "DELETE FROM dead WHERE id = ?1",
};

/* ---- errors ------------------------------------------------------------------------------------
 */

static int disk_is_full(sqlite3 *db, int rc)
{
    int errnum = sqlite3_system_errno(db);
    return rc == SQLITE_FULL || ((rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN) &&
                                 (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG));
}

static int error_of(sqlite3 *db, const char *path, const char *doing)
{
    int rc = sqlite3_errcode(db) & 0xff;
    const char *text = sqlite3_errmsg(db);
    if (disk_is_full(db, rc))
        return error_set(ERR_DISK_FULL, NULL,
                         "%s queue '%s': no room on its disk; free some and it goes on", doing,
                         path);
    switch (rc) {
    case SQLITE_NOMEM:
        return error_set(ERR_NO_MEMORY, NULL, "%s queue '%s': out of memory", doing, path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return error_set(ERR_TRANSIENT, "queue_busy",
                         "%s queue '%s': another process has held it for %d s", doing, path,
                         BUSY_LIMIT_US / 1000000);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(ERR_SYSTEMIC, "queue_corrupt",
                         "%s queue '%s': %s; move the file away or restore it", doing, path, text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return error_set(ERR_SYSTEMIC, "queue_read_only",
                         "%s queue '%s': %s; make the file and its directory writable", doing, path,
                         text);
    default:
        return error_set(ERR_IO, NULL, "%s queue '%s': %s", doing, path, text);
    }
}

int store_error(struct store *s, const char *doing)
{
    return error_of(s->db, s->path, doing);
}

/* ---- connections -------------------------------------------------------------------------------
 */

static void sleep_us(int64_t us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* Other processes hold the write lock for a commit, a millisecond or so: look again soon, with
 * jitter so that none is shut out. */
static int on_busy(void *arg, int tries)
{
    struct store *s = arg;
    int64_t now = clock_monotonic_us();
    if (tries == 0)
        s->busy_since_us = now;
    if (now - s->busy_since_us > BUSY_LIMIT_US)
        return 0;
    sleep_us(tries < 20 ? 100 + (int64_t)random_below(400) : 1000 + (int64_t)random_below(4000));
    return 1;
}

int store_connect(const char *path, const char *vfs, sqlite3 **out)
{
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, out, flags, vfs) == SQLITE_OK)
        return OK;
    int rc = *out ? error_of(*out, path, "cannot open")
                  : error_set(ERR_NO_MEMORY, NULL, "out of memory for queue '%s'", path);
    sqlite3_close(*out);
    *out = NULL;
    return rc;
}

static int execute(struct store *s, const char *sql, const char *doing)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? store_error(s, doing) : OK;
}

static int read_number(struct store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *q;
    *out = 0;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL))
        return store_error(s, "cannot read");
    int step = sqlite3_step(q);
    if (step == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    int rc = step == SQLITE_ROW ? OK : store_error(s, "cannot read");
    sqlite3_finalize(q);
    return rc;
}

/* ---- schema ------------------------------------------------------------------------------------
 */

/* Inside a transaction, or another process's creating of the tables would be seen in part. Reads
 * only: a file that is not ours is left as it is. */
static int check_version(struct store *s, int64_t *version)
{
    int64_t application = 0, objects = 0;
    int rc = read_number(s, "PRAGMA user_version", version);
    if (!rc)
        rc = read_number(s, "PRAGMA application_id", &application);
    if (!rc)
        rc = read_number(s, "SELECT count(*) FROM sqlite_schema", &objects);
    if (rc)
        return rc;
    if (*version > SCHEMA_VERSION && application == APPLICATION_ID)
        return error_set(ERR_SCHEMA, NULL,
                         "queue '%s' was written by a newer Aegis (schema %" PRId64
                         ", this one knows %d): upgrade, or use another data directory",
                         s->path, *version, SCHEMA_VERSION);
    if (application != APPLICATION_ID && (objects > 0 || application != 0))
        return error_set(ERR_INVALID, NULL, "'%s' is a database, but not a queue of Aegis",
                         s->path);
    return OK;
}

static int create_tables(struct store *s)
{
    int64_t version;
    int rc = execute(s, "BEGIN IMMEDIATE", "cannot create");
    if (rc)
        return rc;
    rc = check_version(s, &version); /* another process may have been first */
    if (!rc && version == 0)
        rc = execute(s, schema_sql, "cannot create");
    if (!rc && version == 0) {
        char sql[96];
        sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                         APPLICATION_ID, SCHEMA_VERSION);
        rc = execute(s, sql, "cannot create");
    }
    if (!rc)
        rc = execute(s, "COMMIT", "cannot create");
    if (rc)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* SQLite stays with a rollback journal, and says so only here, where WAL cannot be had. */
static int check_wal(struct store *s)
{
    sqlite3_stmt *q;
    if (sqlite3_prepare_v2(s->db, "PRAGMA journal_mode", -1, &q, NULL))
        return store_error(s, "cannot open");
    bool wal = sqlite3_step(q) == SQLITE_ROW &&
               sqlite3_stricmp((const char *)sqlite3_column_text(q, 0), "wal") == 0;
    sqlite3_finalize(q);
    if (wal)
        return OK;
    return error_set(ERR_SYSTEMIC, "queue_no_wal",
                     "the file system of queue '%s' lacks shared memory or locks that its log "
                     "needs: use a data directory on a local disk",
                     s->path);
}

/* secure_delete off: Debian's SQLite has it on, and would zero and write every page that a drained
 * queue frees. */
static int configure(struct store *s)
{
    char sql[256];
    sqlite3_snprintf(sizeof sql, sql,
                     "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                     "PRAGMA secure_delete=OFF; PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY;"
                     "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=%d",
                     STORE_PAGE_BYTES, CACHE_KIB, (int)STORE_LOG_BYTES);
    s->full_sync = true;
    int rc = execute(s, sql, "cannot open");
    return rc ? rc : check_wal(s);
}

static int shrink(struct store *s)
{
    int64_t pages = 0, unused = 0, bytes = 0;
    int rc = read_number(s, "PRAGMA page_count", &pages);
    if (!rc)
        rc = read_number(s, "PRAGMA freelist_count", &unused);
    if (!rc)
        rc = read_number(s, "PRAGMA page_size", &bytes);
    if (rc || unused * bytes < SHRINK_FREE_BYTES || (pages - unused) * bytes > SHRINK_USED_BYTES)
        return rc;
    sqlite3_exec(s->db, "VACUUM", NULL, NULL, NULL); /* a favour: without it all works as well */
    return OK;
}

static int prepare_statements(struct store *s)
{
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &s->statements[i], NULL))
            return store_error(s, "cannot prepare a statement for");
    return OK;
}

bool store_checkpoint(struct store *s)
{
    int frames = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    return rc == SQLITE_OK && frames == copied;
}

static int on_wal(void *arg, sqlite3 *db, const char *schema, int frames)
{
    (void)db;
    (void)schema;
    struct store *s = arg;
    s->wal_frames = frames;
    return SQLITE_OK;
}

static int try_open(struct store *s, const struct sqlite_queue_options *options)
{
    int64_t version = 0;
    *s = (struct store){.clock = options->clock ? options->clock : clock_system(),
                        .vfs = options->vfs,
                        .max_receives = options->max_receives > 0 ? options->max_receives : 20,
                        .path = strdup(options->path)};
    if (!s->path)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for queue '%s'", options->path);
    int rc = store_connect(s->path, s->vfs, &s->db);
    if (rc)
        goto cleanup;
    sqlite3_busy_handler(s->db, on_busy, s);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    rc = execute(s, "BEGIN", "cannot open");
    if (!rc)
        rc = check_version(s, &version);
    if (!rc)
        rc = execute(s, "COMMIT", "cannot open");
    if (rc)
        goto cleanup;
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    rc = configure(s);
    if (!rc && version == 0)
        rc = create_tables(s);
    if (!rc)
        rc = shrink(s);
    if (!rc)
        rc = prepare_statements(s);
    sqlite3_wal_hook(s->db, on_wal, s);
cleanup:
    if (rc)
        store_close(s);
    return rc;
}

/* Where waiting could deadlock (the first switch to WAL, while another process opens or recovers)
 * SQLite does not ask on_busy but gives up at once: then all of it is tried again. */
int store_open(struct store *s, const struct sqlite_queue_options *options)
{
    int64_t deadline = clock_monotonic_us() + BUSY_LIMIT_US;
    int rc;
    while ((rc = try_open(s, options)) == ERR_TRANSIENT && clock_monotonic_us() < deadline)
        sleep_us(1000 + (int64_t)random_below(4000));
    return rc;
}

void store_close(struct store *s)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s->path);
    *s = (struct store){0};
}
