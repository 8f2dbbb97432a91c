#include <string.h>

#include "database/postgres_batch.h"

static struct digest checkpoint_digest(const struct checkpoint_key *key)
{
    char input[DIGEST_TEXT], settings[DIGEST_TEXT];
    digest_format(&key->input, input);
    digest_format(&key->settings, settings);
    return digest_of_strings(key->stage, input, settings, NULL);
}

static int copy_bytes(const struct pg_rows *rows, struct arena *arena, void **bytes, size_t *length)
{
    *length = pg_length(rows, 0, 0);
    *bytes = arena_alloc(arena, *length + 1);
    if (!*bytes)
        return ERR_NO_MEMORY;
    memcpy(*bytes, pg_peek(rows, 0, 0), *length);
    return OK;
}

int postgres_checkpoint_get(void *ctx, const struct checkpoint_key *key, struct arena *arena,
                            void **bytes, size_t *length)
{
    struct digest d = checkpoint_digest(key);
    struct pg_rows rows;
    struct pg *c;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = PG_QUERY(c, &rows, "SELECT bytes FROM checkpoint WHERE digest = $1",
                  P_BYTES(d.bytes, DIGEST_BYTES));
    pg_release(c);
    if (!rc && rows.count)
        rc = copy_bytes(&rows, arena, bytes, length);
    else if (!rc)
        rc =
            error_set(ERR_NOT_FOUND, NULL, "there is no such checkpoint of stage '%s'", key->stage);
    pg_rows_free(&rows);
    return rc;
}

/* ---- checkpoints_put ---- */

struct checkpoints {
    struct checkpoint *items;
    size_t count;
};

static int need_items(struct batch *b, void *arg)
{
    const struct checkpoints *c = arg;
    for (size_t i = 0; i < c->count; i++)
        need_job(b, c->items[i].job_id);
    return OK;
}

/* Of a medium removed meanwhile nothing is kept but what it cost. */
static int put_one(struct batch *b, struct checkpoint *item)
{
    struct job_image *job;
    struct media_image *media;
    int rc = item->rc = job_find(b, item->job_id, &job, &media);
    if (rc)
        return rc == ERR_NOT_FOUND ? OK : rc;
    calls_add(b, media, job->job_id, item->calls, item->call_count);
    if (media->removed)
        return OK;
    struct checkpoint_insert *row = list_add(b, &b->checkpoints, sizeof *row);
    *row = (struct checkpoint_insert){
        .digest = checkpoint_digest(&item->key),
        .media_id = job->media_id,
        .version_id = job->version_id,
        .created_ms = b->now_ms,
        .bytes = {.data = item->length ? item->bytes : "", .length = item->length}};
    return OK;
}

static int put_all(struct batch *b, void *arg)
{
    const struct checkpoints *c = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < c->count; i++)
        rc = put_one(b, &c->items[i]);
    return rc;
}

int postgres_checkpoints_put(void *ctx, struct checkpoint *items, size_t count)
{
    static const struct change_verbs verbs = {.need = need_items, .apply = put_all};
    struct checkpoints c = {.items = items, .count = count};
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].length > CAP_CHECKPOINT)
            return error_set(ERR_TOO_LARGE, NULL,
                             "a checkpoint of stage '%s' has %zu bytes, above %zu",
                             items[i].key.stage, items[i].length, (size_t)CAP_CHECKPOINT);
        bytes += items[i].length + 512;
    }
    return count ? change_run(ctx, &verbs, &c, bytes, NULL) : OK;
}
