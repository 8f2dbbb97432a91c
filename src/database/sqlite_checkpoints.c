#include <string.h>

#include "database/sqlite_internal.h"

static struct digest checkpoint_digest(const struct checkpoint_key *key)
{
    char input[DIGEST_TEXT], settings[DIGEST_TEXT];
    digest_format(&key->input, input);
    digest_format(&key->settings, settings);
    return digest_of_strings(key->stage, input, settings, NULL);
}

/* 63 bits of the digest: should two ever collide, the newer takes the older's place, which then is
 * made again. */
static int64_t checkpoint_id(const struct digest *d)
{
    return digest_key(d) & INT64_MAX;
}

int sqlite_checkpoint_get(void *ctx, const struct checkpoint_key *key, struct arena *arena,
                          void **bytes, size_t *length)
{
    struct store *s = ctx;
    struct digest d = checkpoint_digest(key);
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    int rc = SQL_FIRST(&r->main, &row,
                       "SELECT bytes FROM checkpoint WHERE checkpoint_id = ?1 AND digest = ?2",
                       V_INT(checkpoint_id(&d)), V_BLOB(d.bytes, DIGEST_BYTES));
    if (row) {
        *length = (size_t)sqlite3_column_bytes(row, 0);
        *bytes = arena_alloc(arena, *length + 1);
        if (!*bytes)
            rc = ERR_NO_MEMORY;
        else if (*length)
            memcpy(*bytes, sqlite3_column_blob(row, 0), *length);
        sql_done(row);
    } else if (!rc) {
        rc =
            error_set(ERR_NOT_FOUND, NULL, "there is no such checkpoint of stage '%s'", key->stage);
    }
    reader_release(s, r);
    return rc;
}

struct checkpoint_change {
    int64_t job_id;
    struct digest digest;
    const void *bytes;
    size_t length;
    const struct model_call *calls;
    size_t call_count;
};

/* Of a medium removed meanwhile nothing is kept but what it cost. */
static int insert_checkpoint(struct transaction *tx, const struct checkpoint_change *change,
                             const struct job_head *job)
{
    return SQL_RUN(tx->c,
                   "INSERT INTO checkpoint SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS "
                   "(SELECT 1 FROM media WHERE media_id = ?3 AND removed = 0) "
                   "ON CONFLICT DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, "
                   "media_id = excluded.media_id, version_id = excluded.version_id "
                   "WHERE digest <> excluded.digest",
                   V_INT(checkpoint_id(&change->digest)),
                   V_BLOB(change->digest.bytes, DIGEST_BYTES), V_INT(job->media_id),
                   V_INT(job->version_id), V_INT(tx->now_ms),
                   V_BLOB(change->length ? change->bytes : "", change->length));
}

static int put(struct transaction *tx, void *arg)
{
    const struct checkpoint_change *change = arg;
    struct job_head job;
    int rc = job_load(tx, change->job_id, &job);
    if (!rc)
        rc = insert_checkpoint(tx, change, &job);
    return rc ? rc : calls_record(tx, job.media_id, job.job_id, change->calls, change->call_count);
}

int sqlite_checkpoint_put(void *ctx, int64_t job_id, const struct checkpoint_key *key,
                          const void *bytes, size_t length, const struct model_call *calls,
                          size_t call_count)
{
    struct store *s = ctx;
    if (length > CAP_CHECKPOINT)
        return error_set(ERR_TOO_LARGE, NULL, "a checkpoint of stage '%s' has %zu bytes, above %zu",
                         key->stage, length, (size_t)CAP_CHECKPOINT);
    struct checkpoint_change change = {.job_id = job_id,
                                       .digest = checkpoint_digest(key),
                                       .bytes = bytes,
                                       .length = length,
                                       .calls = calls,
                                       .call_count = call_count};
    return writer_run(&s->writer, put, &change);
}
