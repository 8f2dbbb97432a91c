#include "adapters/local/store_folder_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "adapters/local/store_folder_internal.h"
#include "shared/file.h"

/* Newer versions come after this one: add a step that takes each older schema one further, and
 * raise STORE_SCHEMA_VERSION. */
static const char schema[] =
    "CREATE TABLE sequence(value INTEGER NOT NULL);"
    "INSERT INTO sequence VALUES(0);"
    "CREATE TABLE object("
    " bucket TEXT NOT NULL, key TEXT NOT NULL, sequencer INTEGER NOT NULL,"
    " version_id TEXT NOT NULL, etag TEXT NOT NULL, content_type TEXT NOT NULL,"
    " size INTEGER NOT NULL, modified_ms INTEGER NOT NULL, digest BLOB NOT NULL,"
    " superseded_ms INTEGER," /* NULL: the newest */
    " PRIMARY KEY(bucket, key, sequencer)) WITHOUT ROWID;"
    "CREATE INDEX object_digest ON object(digest);"
    "CREATE INDEX object_superseded ON object(superseded_ms) WHERE superseded_ms IS NOT NULL;"
    "CREATE TABLE bytes(digest BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL);";

#define INFO_COLUMNS                                                                               \
    "o.bucket, o.key, o.version_id, o.etag, o.sequencer, o.content_type, o.size, o.modified_ms, "  \
    "o.digest"
#define WITH_BYTES " FROM object o LEFT JOIN bytes b ON b.digest = o.digest"

int store_sqlite_error(const struct store_index *index, sqlite3 *db, const char *doing)
{
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    switch (db ? sqlite3_errcode(db) : SQLITE_NOMEM) {
    case SQLITE_FULL:
        return error_set(ERR_DISK_FULL, "disk_full", "cannot %s '%s': the disk is full", doing,
                         index->path);
    case SQLITE_NOMEM:
        return error_set(ERR_NO_MEMORY, NULL, "cannot %s '%s': out of memory", doing, index->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(ERR_TRANSIENT, "index_busy",
                         "cannot %s '%s': another process holds its lock", doing, index->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(ERR_SYSTEMIC, "index_damaged", "cannot %s '%s': %s", doing, index->path,
                         text);
    default:
        if (db && sqlite3_system_errno(db) == ENOSPC) /* such as the shared memory file's growth */
            return error_set(ERR_DISK_FULL, "disk_full", "cannot %s '%s': the disk is full", doing,
                             index->path);
        return error_set(ERR_IO, NULL, "cannot %s '%s': %s", doing, index->path, text);
    }
}

int store_prepare(const struct store_index *index, sqlite3 *db, const char *text,
                  sqlite3_stmt **out)
{
    if (sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK)
        return OK;
    return store_sqlite_error(index, db, "use");
}

bool store_digest(sqlite3_stmt *statement, int column, struct digest *out)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    if (!bytes || sqlite3_column_bytes(statement, column) != DIGEST_BYTES)
        return false;
    memcpy(out->bytes, bytes, DIGEST_BYTES);
    return true;
}

/* ---- opening ---- */

static int schema_version(const struct store_index *index, sqlite3 *db, int *version)
{
    sqlite3_stmt *statement;
    int rc = store_prepare(index, db, "PRAGMA user_version", &statement);
    if (rc)
        return rc;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *version = sqlite3_column_int(statement, 0);
    else
        rc = store_sqlite_error(index, db, "read");
    sqlite3_finalize(statement);
    return rc;
}

static int connect_index(const struct store_index *index, int flags, sqlite3 **db)
{
    int status = sqlite3_open_v2(index->path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (status == SQLITE_OK) {
        sqlite3_busy_timeout(*db, STORE_BUSY_MS);
        return OK;
    }
    int rc = store_sqlite_error(index, *db, "open");
    sqlite3_close(*db);
    *db = NULL;
    return rc;
}

/* Looks first through a connection that cannot write, so that a newer index stays untouched. */
static int refuse_newer(const struct store_index *index)
{
    sqlite3 *db;
    int version = 0;
    if (access(index->path, F_OK))
        return OK;
    int rc = connect_index(index, SQLITE_OPEN_READONLY, &db);
    if (rc)
        return rc;
    rc = schema_version(index, db, &version);
    sqlite3_close(db);
    if (!rc && version > STORE_SCHEMA_VERSION)
        rc = error_set(ERR_SCHEMA, "newer_schema",
                       "'%s' has schema %d, written by a newer Aegis; this one knows schema %d: "
                       "upgrade Aegis",
                       index->path, version, STORE_SCHEMA_VERSION);
    return rc;
}

static int execute(const struct store_index *index, sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
        return OK;
    return store_sqlite_error(index, db, "set up");
}

static int set_up_schema(const struct store_index *index, sqlite3 *db)
{
    char version_text[48];
    int version = 0;
    int rc =
        execute(index, db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN IMMEDIATE");
    if (!rc)
        rc = schema_version(index, db, &version);
    if (!rc && version == 0) {
        snprintf(version_text, sizeof version_text, "PRAGMA user_version=%d", STORE_SCHEMA_VERSION);
        rc = execute(index, db, schema);
        if (!rc)
            rc = execute(index, db, version_text);
    }
    if (!rc)
        return execute(index, db, "COMMIT");
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* Processes that open the store at the same time go through here one by one: changing a new
 * database to WAL does not wait for others by itself. */
static int open_writer(struct store_index *index)
{
    int guard = open(index->blobs->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (guard < 0 || flock(guard, LOCK_EX)) {
        int rc = error_set_errno(errno, "cannot lock '%s'", index->blobs->directory);
        if (guard >= 0)
            close(guard);
        return rc;
    }
    int rc = refuse_newer(index);
    if (!rc)
        rc = connect_index(index, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &index->db);
    if (!rc)
        rc = set_up_schema(index, index->db);
    if (!rc)
        rc = store_writer_open(index);
    close(guard);
    return rc;
}

int store_index_open(const char *data, struct blobs *blobs, const struct clock *clock,
                     int64_t keep_superseded_ms, struct store_index **out)
{
    struct store_index *index = calloc(1, sizeof *index);
    if (!index || asprintf(&index->path, "%s/objects.db", data) < 0) {
        free(index);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    }
    index->blobs = blobs;
    index->clock = clock;
    index->keep_superseded_ms = keep_superseded_ms;
    index->waiting_end = &index->waiting;
    pthread_mutex_init(&index->lock, NULL);
    pthread_cond_init(&index->written, NULL);
    pthread_mutex_init(&index->readers_lock, NULL);
    pthread_cond_init(&index->reader_freed, NULL);
    int rc = open_writer(index);
    if (rc) {
        store_index_close(index);
        return rc;
    }
    *out = index;
    return OK;
}

/* ---- connections for reading ---- */

static void close_reader(struct store_reader *reader)
{
    sqlite3_finalize(reader->newest);
    sqlite3_finalize(reader->version);
    sqlite3_finalize(reader->list);
    sqlite3_close(reader->db);
    free(reader);
}

void store_index_close(struct store_index *index)
{
    if (!index)
        return;
    struct store_reader *next;
    for (struct store_reader *reader = index->readers; reader; reader = next) {
        next = reader->next;
        close_reader(reader);
    }
    store_writer_close(index);
    sqlite3_close(index->db);
    pthread_cond_destroy(&index->reader_freed);
    pthread_mutex_destroy(&index->readers_lock);
    pthread_cond_destroy(&index->written);
    pthread_mutex_destroy(&index->lock);
    free(index->path);
    free(index);
}

static int open_reader(struct store_index *index, struct store_reader **out)
{
    struct store_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc = connect_index(index, SQLITE_OPEN_READWRITE, &reader->db);
    if (!rc)
        rc = execute(index, reader->db, "PRAGMA cache_size=-512");
    if (!rc)
        rc = store_prepare(index, reader->db,
                           "SELECT " INFO_COLUMNS ", b.bytes" WITH_BYTES
                           " WHERE o.bucket = ?1 AND o.key = ?2 ORDER BY o.sequencer DESC LIMIT 1",
                           &reader->newest);
    if (!rc)
        rc = store_prepare(index, reader->db,
                           "SELECT " INFO_COLUMNS ", b.bytes" WITH_BYTES
                           " WHERE o.bucket = ?1 AND o.key = ?2 AND o.version_id = ?3",
                           &reader->version);
    if (!rc)
        rc = store_prepare(index, reader->db,
                           "SELECT " INFO_COLUMNS " FROM object o WHERE o.bucket = ?1"
                           " AND o.key >= ?2 AND o.key > ?3 AND o.superseded_ms IS NULL"
                           " ORDER BY o.key LIMIT ?4",
                           &reader->list);
    if (rc) {
        close_reader(reader);
        return rc;
    }
    *out = reader;
    return OK;
}

static int hold_reader(struct store_index *index, struct store_reader **out)
{
    pthread_mutex_lock(&index->readers_lock);
    while (!index->readers && index->reader_count == STORE_READERS)
        pthread_cond_wait(&index->reader_freed, &index->readers_lock);
    *out = index->readers;
    if (*out)
        index->readers = (*out)->next;
    else
        index->reader_count++;
    pthread_mutex_unlock(&index->readers_lock);
    int rc = *out ? OK : open_reader(index, out);
    if (rc) {
        pthread_mutex_lock(&index->readers_lock);
        index->reader_count--;
        pthread_cond_signal(&index->reader_freed);
        pthread_mutex_unlock(&index->readers_lock);
    }
    return rc;
}

static void release_reader(struct store_index *index, struct store_reader *reader)
{
    pthread_mutex_lock(&index->readers_lock);
    reader->next = index->readers;
    index->readers = reader;
    pthread_cond_signal(&index->reader_freed);
    pthread_mutex_unlock(&index->readers_lock);
}

/* ---- reading ---- */

static void copy_text(sqlite3_stmt *statement, int column, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s", store_text(statement, column));
}

static void read_info(sqlite3_stmt *statement, struct object_info *info)
{
    *info = (struct object_info){0};
    copy_text(statement, 0, info->bucket, sizeof info->bucket);
    copy_text(statement, 1, info->key, sizeof info->key);
    copy_text(statement, 2, info->version_id, sizeof info->version_id);
    copy_text(statement, 3, info->etag, sizeof info->etag);
    snprintf(info->sequencer, sizeof info->sequencer, "%016" PRIX64,
             (uint64_t)sqlite3_column_int64(statement, 4));
    copy_text(statement, 5, info->content_type, sizeof info->content_type);
    info->size = sqlite3_column_int64(statement, 6);
    info->modified_ms = sqlite3_column_int64(statement, 7);
    store_digest(statement, 8, &info->content);
}

static int not_found(const char *bucket, const char *key, const char *version_id)
{
    if (version_id[0])
        return error_set(ERR_NOT_FOUND, "object_not_found",
                         "version '%s' of object '%s' is not in bucket '%s'", version_id, key,
                         bucket);
    return error_set(ERR_NOT_FOUND, "object_not_found", "object '%s' is not in bucket '%s'", key,
                     bucket);
}

/* Opened while the row is still being read: the transaction of the read does not keep the blob, so
 * the caller looks again if it has gone meanwhile. */
static int open_bytes(struct store_index *index, sqlite3_stmt *row, struct object *out)
{
    if (sqlite3_column_type(row, 9) != SQLITE_BLOB)
        return blobs_read(index->blobs, &out->info.content, &out->fd);
    size_t length = (size_t)sqlite3_column_bytes(row, 9);
    out->bytes = malloc(length + 1);
    if (!out->bytes)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for object '%s'", out->info.key);
    if (length)
        memcpy(out->bytes, sqlite3_column_blob(row, 9), length);
    return OK;
}

static int find_once(struct store_index *index, const char *bucket, const char *key,
                     const char *version_id, bool open, struct object *out, bool *missing)
{
    struct store_reader *reader;
    int rc = hold_reader(index, &reader);
    if (rc)
        return rc;
    sqlite3_stmt *row = version_id[0] ? reader->version : reader->newest;
    sqlite3_bind_text(row, 1, bucket, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, key, -1, SQLITE_STATIC);
    if (version_id[0])
        sqlite3_bind_text(row, 3, version_id, -1, SQLITE_STATIC);
    int status = sqlite3_step(row);
    if (status == SQLITE_ROW) {
        read_info(row, &out->info);
        if (open)
            rc = open_bytes(index, row, out);
        *missing = rc == ERR_NOT_FOUND;
    } else if (status == SQLITE_DONE) {
        rc = not_found(bucket, key, version_id);
    } else {
        rc = store_sqlite_error(index, reader->db, "read");
    }
    sqlite3_reset(row);
    sqlite3_clear_bindings(row);
    release_reader(index, reader);
    return rc;
}

int store_index_find(struct store_index *index, const char *bucket, const char *key,
                     const char *version_id, bool open, struct object *out)
{
    bool missing = false;
    out->fd = -1;
    out->bytes = NULL;
    int rc = find_once(index, bucket, key, version_id, open, out, &missing);
    for (int again = 0; missing && again < 3; again++) {
        missing = false;
        rc = find_once(index, bucket, key, version_id, open, out, &missing);
    }
    return missing ? error_prefix("the bytes of object '%s' are lost, upload it again", key) : rc;
}

/* Room for what comes, doubled as rows arrive; what it outgrows stays in the arena. */
static struct object_info *grow(struct arena *arena, struct object_info *items, size_t count,
                                size_t *capacity, size_t limit)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    if (wanted > limit)
        wanted = limit;
    struct object_info *larger = arena_array(arena, wanted, sizeof *larger);
    if (larger && count)
        memcpy(larger, items, count * sizeof *items);
    *capacity = wanted;
    return larger;
}

int store_index_list(struct store_index *index, const char *bucket, const char *prefix,
                     const char *after, size_t limit, struct arena *arena, struct object_info **out,
                     size_t *count)
{
    struct store_reader *reader;
    struct object_info *items = NULL;
    size_t n = 0, capacity = 0;
    int status = SQLITE_ROW;
    int rc = hold_reader(index, &reader);
    if (rc)
        return rc;
    sqlite3_stmt *row = reader->list;
    sqlite3_bind_text(row, 1, bucket, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, prefix, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 3, after, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 4, limit > INT64_MAX ? -1 : (sqlite3_int64)limit);
    while (!rc && (status = sqlite3_step(row)) == SQLITE_ROW) {
        if (strncmp(store_text(row, 1), prefix, strlen(prefix)) != 0)
            break; /* keys come in order: the prefix is behind us */
        items = grow(arena, items, n, &capacity, limit);
        if (items)
            read_info(row, &items[n++]);
        else
            rc = ERR_NO_MEMORY;
    }
    if (!rc && status != SQLITE_ROW && status != SQLITE_DONE)
        rc = store_sqlite_error(index, reader->db, "read");
    sqlite3_reset(row);
    sqlite3_clear_bindings(row);
    release_reader(index, reader);
    *out = items;
    *count = rc ? 0 : n;
    return rc;
}
