#include <string.h>

#include "database/postgres_batch.h"

static struct digest checkpoint_digest(const struct checkpoint_key *key)
{
    char input[DIGEST_TEXT], settings[DIGEST_TEXT];
    digest_format(&key->input, input);
    digest_format(&key->settings, settings);
    return digest_of_strings(key->stage, input, settings, NULL);
}

/* ---- checkpoint_get ---- */

struct getting {
    struct digest digest;
    const char *stage;
    struct arena *arena;
    void **bytes;
    size_t *length;
};

static int give(const struct getting *g, const struct pg_bytes *found)
{
    if (!found)
        return error_set(ERR_NOT_FOUND, NULL, "there is no such checkpoint of stage '%s'",
                         g->stage);
    *g->length = found->length;
    *g->bytes = arena_strndup(g->arena, found->data, found->length);
    return *g->bytes ? OK : ERR_NO_MEMORY;
}

static int get_alone(struct store *s, const struct getting *g)
{
    struct pg_rows rows;
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = PG_QUERY(c, &rows, "SELECT bytes FROM checkpoint WHERE digest = $1",
                  P_BYTES(g->digest.bytes, DIGEST_BYTES));
    pg_release(c);
    if (!rc) {
        struct pg_bytes found = {0};
        if (rows.count)
            found = (struct pg_bytes){pg_peek(&rows, 0, 0), pg_length(&rows, 0, 0)};
        rc = give(g, rows.count ? &found : NULL);
    }
    pg_rows_free(&rows);
    return rc;
}

static int need_getting(struct batch *b, void *arg)
{
    const struct getting *g = arg;
    *(struct digest *)list_add(b, &b->needs.checkpoints, sizeof(struct digest)) = g->digest;
    return OK;
}

static int get_with_others(struct batch *b, void *arg)
{
    const struct getting *g = arg;
    const struct stored_checkpoint *found = checkpoint_stored(b, &g->digest);
    return give(g, found ? &found->bytes : NULL);
}

/* While there is a crowd a question rides along with its changes: a round trip of its own costs
 * more than all else about it. */
int postgres_checkpoint_get(void *ctx, const struct checkpoint_key *key, struct arena *arena,
                            void **bytes, size_t *length)
{
    static const struct change_verbs verbs = {.need = need_getting, .apply = get_with_others};
    struct getting g = {.digest = checkpoint_digest(key),
                        .stage = key->stage,
                        .arena = arena,
                        .bytes = bytes,
                        .length = length};
    return change_waits(ctx) ? change_run(ctx, &verbs, &g, 64, NULL) : get_alone(ctx, &g);
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
