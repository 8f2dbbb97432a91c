#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/local/store_folder_internal.h"
#include "shared/random.h"

enum { EXPIRE_AT_ONCE = 64, GARBAGE_AT_ONCE = 256 };

/* A put or a removal that waits for the writer. */
struct store_change {
    bool removal;
    const struct blob_draft *draft;
    const void *small;
    struct object_info *info;
    bool linked; /* the draft's bytes were not there before */
    bool done;
    int rc;
    struct error error;
    struct store_change *next;
};

/* Digests that may have lost their last version. What does not fit is found by a later sweep. */
struct garbage {
    struct digest digests[GARBAGE_AT_ONCE];
    size_t count;
};

static const char *const texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    /* Microseconds of the clock or one more than the last: rising even if the clock goes back, and
     * above everything handed out before should the index be lost and begun anew. */
    [SQL_NEXT_SEQUENCER] = "UPDATE sequence SET value = max(value + 1, ?1) RETURNING value",
    [SQL_SUPERSEDE] = "UPDATE object SET superseded_ms = ?3"
                      " WHERE bucket = ?1 AND key = ?2 AND superseded_ms IS NULL",
    [SQL_INSERT] = "INSERT INTO object(bucket, key, sequencer, version_id, etag, content_type,"
                   " size, modified_ms, digest) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [SQL_INSERT_BYTES] = "INSERT OR IGNORE INTO bytes(digest, bytes) VALUES(?1, ?2)",
    [SQL_REMOVE] = "DELETE FROM object WHERE bucket = ?1 AND key = ?2 RETURNING digest",
    [SQL_EXPIRE] = "DELETE FROM object WHERE (bucket, key, sequencer) IN"
                   " (SELECT bucket, key, sequencer FROM object WHERE superseded_ms <= ?1 LIMIT ?2)"
                   " RETURNING digest",
    [SQL_REFERENCED] = "SELECT 1 FROM object WHERE digest = ?1 LIMIT 1",
    [SQL_DELETE_BYTES] = "DELETE FROM bytes WHERE digest = ?1",
    [SQL_SWEEP_BYTES] = "DELETE FROM bytes WHERE digest >= ?1 AND digest < ?2 AND NOT EXISTS"
                        " (SELECT 1 FROM object o WHERE o.digest = bytes.digest)"
                        " RETURNING length(bytes)",
};

int store_writer_open(struct store_index *index)
{
    int rc = OK;
    for (int i = 0; !rc && i < SQL_COUNT; i++)
        rc = store_prepare(index, index->db, texts[i], &index->sql[i]);
    return rc;
}

void store_writer_close(struct store_index *index)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(index->sql[i]);
}

/* ---- one statement ---- */

static void bind_digest(sqlite3_stmt *statement, int parameter, const struct digest *digest)
{
    sqlite3_bind_blob(statement, parameter, digest->bytes, DIGEST_BYTES, SQLITE_STATIC);
}

static void bind_name(sqlite3_stmt *statement, const struct object_info *info)
{
    sqlite3_bind_text(statement, 1, info->bucket, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, info->key, -1, SQLITE_STATIC);
}

/* The error is read before the reset, which would clear it. */
static int finish(struct store_index *index, sqlite3_stmt *statement, int status)
{
    int rc = OK;
    if (status != SQLITE_DONE && status != SQLITE_ROW)
        rc = store_sqlite_error(index, index->db, "write");
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc;
}

static int run(struct store_index *index, enum store_sql which)
{
    return finish(index, index->sql[which], sqlite3_step(index->sql[which]));
}

static void add_garbage(struct garbage *garbage, const struct digest *digest)
{
    if (garbage->count < GARBAGE_AT_ONCE)
        garbage->digests[garbage->count++] = *digest;
}

/* Runs a statement that returns digests. */
static int run_deletion(struct store_index *index, enum store_sql which, struct garbage *garbage)
{
    sqlite3_stmt *statement = index->sql[which];
    struct digest digest;
    int status;
    while ((status = sqlite3_step(statement)) == SQLITE_ROW)
        if (store_digest(statement, 0, &digest))
            add_garbage(garbage, &digest);
    return finish(index, statement, status);
}

static int next_sequencer(struct store_index *index, int64_t now, int64_t *value)
{
    sqlite3_stmt *statement = index->sql[SQL_NEXT_SEQUENCER];
    sqlite3_bind_int64(statement, 1, now * 1000);
    int status = sqlite3_step(statement);
    if (status == SQLITE_ROW)
        *value = sqlite3_column_int64(statement, 0);
    while (status == SQLITE_ROW)
        status = sqlite3_step(statement);
    return finish(index, statement, status);
}

/* ---- one change, inside the transaction ---- */

static int insert_bytes(struct store_index *index, const struct store_change *change)
{
    sqlite3_stmt *statement = index->sql[SQL_INSERT_BYTES];
    bind_digest(statement, 1, &change->info->content);
    sqlite3_bind_blob(statement, 2, change->info->size ? change->small : "",
                      (int)change->info->size, SQLITE_STATIC);
    return run(index, SQL_INSERT_BYTES);
}

static int insert_version(struct store_index *index, const struct object_info *info, int64_t number)
{
    sqlite3_stmt *statement = index->sql[SQL_INSERT];
    bind_name(statement, info);
    sqlite3_bind_int64(statement, 3, number);
    sqlite3_bind_text(statement, 4, info->version_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, info->etag, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 6, info->content_type, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 7, info->size);
    sqlite3_bind_int64(statement, 8, info->modified_ms);
    bind_digest(statement, 9, &info->content);
    return run(index, SQL_INSERT);
}

static int apply_put(struct store_index *index, struct store_change *change, int64_t number)
{
    struct object_info *info = change->info;
    random_trace_id(info->version_id);
    sqlite3_stmt *supersede = index->sql[SQL_SUPERSEDE];
    bind_name(supersede, info);
    sqlite3_bind_int64(supersede, 3, clock_now(index->clock));
    int rc = run(index, SQL_SUPERSEDE);
    if (!rc && change->small)
        rc = insert_bytes(index, change);
    return rc ? rc : insert_version(index, info, number);
}

static int apply(struct store_index *index, struct store_change *change, struct garbage *garbage)
{
    int64_t number = 0;
    int rc = next_sequencer(index, clock_now(index->clock), &number);
    if (rc)
        return rc;
    snprintf(change->info->sequencer, sizeof change->info->sequencer, "%016" PRIX64,
             (uint64_t)number);
    if (!change->removal)
        return apply_put(index, change, number);
    bind_name(index->sql[SQL_REMOVE], change->info);
    return run_deletion(index, SQL_REMOVE, garbage);
}

static int expire(struct store_index *index, struct garbage *garbage)
{
    sqlite3_stmt *statement = index->sql[SQL_EXPIRE];
    sqlite3_bind_int64(statement, 1, clock_now(index->clock) - index->keep_superseded_ms);
    sqlite3_bind_int(statement, 2, EXPIRE_AT_ONCE);
    return run_deletion(index, SQL_EXPIRE, garbage);
}

/* ---- bytes that no version names ---- */

static int is_referenced(struct store_index *index, const struct digest *digest, bool *referenced)
{
    sqlite3_stmt *statement = index->sql[SQL_REFERENCED];
    bind_digest(statement, 1, digest);
    int status = sqlite3_step(statement);
    *referenced = status == SQLITE_ROW;
    return finish(index, statement, status);
}

/* Small bytes go in the transaction that took their last version; what is left in the list are
 * blobs. */
static int delete_small(struct store_index *index, struct garbage *garbage)
{
    int rc = OK;
    size_t left = 0;
    for (size_t i = 0; !rc && i < garbage->count; i++) {
        struct digest digest = garbage->digests[i];
        bool referenced = true;
        rc = is_referenced(index, &digest, &referenced);
        if (rc || referenced)
            continue;
        bind_digest(index->sql[SQL_DELETE_BYTES], 1, &digest);
        rc = run(index, SQL_DELETE_BYTES);
        if (!rc && sqlite3_changes(index->db) == 0)
            garbage->digests[left++] = digest;
    }
    garbage->count = left;
    return rc;
}

static int delete_blob(struct store_index *index, const struct digest *digest, int64_t *freed)
{
    bool referenced = true;
    int rc = is_referenced(index, digest, &referenced);
    if (!rc && !referenced)
        blobs_unlink(index->blobs, digest, freed);
    return rc;
}

static int roll_back(struct store_index *index)
{
    struct error error = *error_last();
    if (!sqlite3_get_autocommit(index->db))
        run(index, SQL_ROLLBACK);
    return error_restore(&error);
}

/* After the transaction that took the versions out is durable: a crash in between leaves bytes too
 * many, never too few. The lock keeps others from naming them meanwhile. */
static int delete_blobs(struct store_index *index, const struct garbage *garbage, int64_t *freed)
{
    if (garbage->count == 0)
        return OK;
    int rc = run(index, SQL_BEGIN);
    for (size_t i = 0; !rc && i < garbage->count; i++)
        rc = delete_blob(index, &garbage->digests[i], freed);
    return rc ? roll_back(index) : run(index, SQL_COMMIT);
}

/* ---- one transaction for all changes that wait ---- */

/* Names drafts, and makes the names durable. A change that fails here fails alone. */
static int link_drafts(struct store_index *index, struct store_change *list)
{
    bool touched[BLOB_FANS] = {false};
    int rc = OK;
    for (struct store_change *c = list; c; c = c->next) {
        if (!c->draft)
            continue;
        c->rc = blobs_link(index->blobs, c->draft, &c->info->content, &c->linked);
        if (c->rc)
            c->error = *error_last();
        else
            touched[blobs_fan(&c->info->content)] = true;
    }
    for (unsigned fan = 0; !rc && fan < BLOB_FANS; fan++)
        if (touched[fan])
            rc = blobs_sync_fan(index->blobs, fan);
    return rc;
}

static int apply_all(struct store_index *index, struct store_change *list, struct garbage *garbage)
{
    int rc = link_drafts(index, list);
    for (struct store_change *c = list; !rc && c; c = c->next)
        if (!c->rc)
            rc = apply(index, c, garbage);
    if (!rc)
        rc = expire(index, garbage);
    if (!rc)
        rc = delete_small(index, garbage);
    return rc ? rc : run(index, SQL_COMMIT);
}

/* The transaction failed: nothing was stored, so nothing may be left behind. */
static void undo(struct store_index *index, struct store_change *list, struct garbage *garbage)
{
    int64_t freed = 0;
    roll_back(index);
    struct error error = *error_last();
    garbage->count = 0;
    for (struct store_change *c = list; c; c = c->next) {
        if (c->linked)
            add_garbage(garbage, &c->info->content);
        if (!c->rc) {
            c->rc = error.code;
            c->error = error;
        }
    }
    delete_blobs(index, garbage, &freed);
}

static void write_all(struct store_index *index, struct store_change *list)
{
    struct garbage garbage = {.count = 0};
    int64_t freed = 0;
    int rc = run(index, SQL_BEGIN);
    if (!rc)
        rc = apply_all(index, list, &garbage);
    if (rc)
        undo(index, list, &garbage);
    else
        delete_blobs(index, &garbage, &freed); /* what stays is found by a later sweep */
}

/* Waits until the change is written, writing it with all others that wait if nobody writes now. */
static int submit(struct store_index *index, struct store_change *change)
{
    pthread_mutex_lock(&index->lock);
    *index->waiting_end = change;
    index->waiting_end = &change->next;
    while (!change->done && index->writing)
        pthread_cond_wait(&index->written, &index->lock);
    if (!change->done) {
        struct store_change *list = index->waiting;
        index->waiting = NULL;
        index->waiting_end = &index->waiting;
        index->writing = true;
        pthread_mutex_unlock(&index->lock);
        write_all(index, list);
        pthread_mutex_lock(&index->lock);
        index->writing = false;
        for (struct store_change *c = list, *next; c; c = next) {
            next = c->next; /* c may be gone once it is done */
            c->done = true;
        }
        pthread_cond_broadcast(&index->written);
    }
    pthread_mutex_unlock(&index->lock);
    return change->rc ? error_restore(&change->error) : OK;
}

int store_index_put(struct store_index *index, const struct blob_draft *draft, const void *small,
                    struct object_info *info)
{
    struct store_change change = {.draft = draft, .small = draft ? NULL : small, .info = info};
    return submit(index, &change);
}

int store_index_remove(struct store_index *index, struct object_info *info)
{
    struct store_change change = {.removal = true, .info = info};
    return submit(index, &change);
}

/* ---- collecting ---- */

/* The writer's connection is one thread's at a time. */
static void hold_writer(struct store_index *index)
{
    pthread_mutex_lock(&index->lock);
    while (index->writing)
        pthread_cond_wait(&index->written, &index->lock);
    index->writing = true;
    pthread_mutex_unlock(&index->lock);
}

static void release_writer(struct store_index *index)
{
    pthread_mutex_lock(&index->lock);
    index->writing = false;
    pthread_cond_broadcast(&index->written);
    pthread_mutex_unlock(&index->lock);
}

/* *deleted counts versions. */
static int expire_some(struct store_index *index, size_t *deleted, int64_t *freed)
{
    struct garbage garbage = {.count = 0};
    int rc = run(index, SQL_BEGIN);
    if (!rc)
        rc = expire(index, &garbage);
    *deleted = garbage.count;
    if (!rc)
        rc = delete_small(index, &garbage);
    if (!rc)
        rc = run(index, SQL_COMMIT);
    return rc ? roll_back(index) : delete_blobs(index, &garbage, freed);
}

int store_index_expire(struct store_index *index, int64_t *freed)
{
    size_t deleted = 0;
    int rc;
    do {
        hold_writer(index);
        rc = expire_some(index, &deleted, freed);
        release_writer(index);
    } while (!rc && deleted == EXPIRE_AT_ONCE);
    return rc;
}

struct sweep {
    struct store_index *index;
    struct garbage garbage;
};

/* A first look without the write lock; delete_blobs looks again under it. */
static int sweep_blob(void *ctx, const struct digest *digest)
{
    struct sweep *sweep = ctx;
    bool referenced = true;
    int rc = is_referenced(sweep->index, digest, &referenced);
    if (!rc && !referenced)
        add_garbage(&sweep->garbage, digest);
    return rc;
}

/* Bytes in the index lose their last version and go in one transaction; this finds those that were
 * too many for its list. */
static int sweep_small(struct store_index *index, unsigned fan, int64_t *freed)
{
    unsigned char low = (unsigned char)fan, high[DIGEST_BYTES + 1];
    memset(high, fan < BLOB_FANS - 1 ? (int)fan + 1 : 0xff, sizeof high);
    sqlite3_stmt *statement = index->sql[SQL_SWEEP_BYTES];
    sqlite3_bind_blob(statement, 1, &low, 1, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 2, high, fan < BLOB_FANS - 1 ? 1 : sizeof high, SQLITE_STATIC);
    int status;
    while ((status = sqlite3_step(statement)) == SQLITE_ROW)
        *freed += sqlite3_column_int64(statement, 0);
    return finish(index, statement, status);
}

int store_index_sweep(struct store_index *index, unsigned fan, int64_t *freed)
{
    struct sweep sweep = {.index = index};
    hold_writer(index);
    int rc = sweep_small(index, fan, freed);
    if (!rc)
        rc = blobs_each(index->blobs, fan, sweep_blob, &sweep);
    if (!rc)
        rc = delete_blobs(index, &sweep.garbage, freed);
    release_writer(index);
    return rc;
}
