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

/* Of a medium removed meanwhile nothing is kept but what it cost. */
static int insert_checkpoint(struct transaction *tx, const struct checkpoint *item,
                             const struct job_head *job)
{
    struct digest digest = checkpoint_digest(&item->key);
    return SQL_RUN(tx->c,
                   "INSERT INTO checkpoint SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS "
                   "(SELECT 1 FROM media WHERE media_id = ?3 AND removed = 0) "
                   "ON CONFLICT DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, "
                   "media_id = excluded.media_id, version_id = excluded.version_id "
                   "WHERE digest <> excluded.digest",
                   V_INT(checkpoint_id(&digest)), V_BLOB(digest.bytes, DIGEST_BYTES),
                   V_INT(job->media_id), V_INT(job->version_id), V_INT(tx->now_ms),
                   V_BLOB(item->length ? item->bytes : "", item->length));
}

static int put_one(struct transaction *tx, struct checkpoint *item)
{
    struct job_head job;
    int rc = item->rc = job_load(tx, item->job_id, &job);
    if (rc)
        return rc == ERR_NOT_FOUND ? OK : rc;
    rc = insert_checkpoint(tx, item, &job);
    return rc ? rc : calls_record(tx, job.media_id, job.job_id, item->calls, item->call_count);
}

struct checkpoints {
    struct checkpoint *items;
    size_t count;
};

static int put(struct transaction *tx, void *arg)
{
    const struct checkpoints *c = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < c->count; i++)
        rc = put_one(tx, &c->items[i]);
    return rc;
}

int sqlite_checkpoints_put(void *ctx, struct checkpoint *items, size_t count)
{
    struct store *s = ctx;
    for (size_t i = 0; i < count; i++)
        if (items[i].length > CAP_CHECKPOINT)
            return error_set(ERR_TOO_LARGE, NULL,
                             "a checkpoint of stage '%s' has %zu bytes, above %zu",
                             items[i].key.stage, items[i].length, (size_t)CAP_CHECKPOINT);
    return writer_run(&s->writer, put, &(struct checkpoints){.items = items, .count = count});
}
