/*
 * The first round trip of a batch: locks, and images of what its changes need.
 *
 * A statement that waited for a lock sees the locked row as it is now, but other rows as they were
 * when it began. So what hangs on a row is read by statements behind the one that locks it.
 */
#include <string.h>

#include "database/postgres_batch.h"

/* The planner also takes a partial index for small that was empty when the plan was made: "state +
 * 0" keeps it from reading one whole. */
static const char XID[] = "SELECT pg_current_xact_id()::text::bigint";

#define MEDIA_COLUMNS                                                                              \
    "m.media_id, m.version_id, m.job_id, m.result_id, m.uploaded_ms, m.published_ms, "             \
    "m.event_ms, m.cost_nanousd, m.unpriced_calls, m.removed, m.bucket, m.key, m.collection, "     \
    "m.kind, m.language, m.sequencer"

/* Of the media under these keys, one look into the index each: OFFSET keeps the planner from
 * turning the join round. */
#define OF_KEYS(column, buckets, keys)                                                             \
    "ARRAY(SELECT f." column " FROM unnest(" buckets "::text[], " keys                             \
    "::text[]) k(bucket, key), "                                                                   \
    "LATERAL (SELECT m." column " FROM media m WHERE m.bucket = k.bucket AND m.key = k.key "       \
    "OFFSET 0) f)"

static const char LOCK_MEDIA[] =
    "SELECT " MEDIA_COLUMNS " FROM media m WHERE m.media_id = ANY(ARRAY("
    "SELECT j.media_id FROM job j WHERE j.job_id = ANY($1)) || $2 || " OF_KEYS(
        "media_id", "$3", "$4") ") ORDER BY m.media_id FOR NO KEY UPDATE";

#define VERSION_COLUMNS                                                                            \
    "v.version_id, v.media_id, v.event_ms, v.size, v.content, v.object_version, v.etag, "          \
    "v.content_type"

static const char KEY_VERSIONS[] = "SELECT " VERSION_COLUMNS " FROM version v WHERE v.version_id = "
                                   "ANY(" OF_KEYS("version_id", "$1", "$2") ")";

#define JOB_COLUMNS                                                                                \
    "j.job_id, j.media_id, j.version_id, j.queued_ms, j.started_ms, j.finished_ms, j.due_ms, "     \
    "j.wake_ms, j.lease_ms, j.attempt, j.ordinal, j.receive_count, j.state, j.trace, j.content, "  \
    "j.worker, j.stage, j.reason, j.message"

static const char JOBS[] = "SELECT " JOB_COLUMNS " FROM job j WHERE j.job_id = ANY($1 || ARRAY("
                           "SELECT m.job_id FROM media m WHERE m.media_id = ANY($2)) || " OF_KEYS(
                               "job_id", "$3", "$4") ")";

static const char JOB_VERSIONS[] =
    "SELECT " VERSION_COLUMNS " FROM version v WHERE v.version_id = ANY(ARRAY("
    "SELECT j.version_id FROM job j WHERE j.job_id = ANY($1)))";

#define RESULT_COLUMNS                                                                             \
    "r.result_id, r.job_id, r.space_id, r.chunk_count, r.segment_count, r.state, r.content, "      \
    "r.settings, r.kind, r.language, r.heading"

static const char RESULTS[] = "SELECT " RESULT_COLUMNS " FROM result r WHERE r.result_id = ANY($1) "
                              "ORDER BY r.result_id FOR KEY SHARE";

static const char KEY_RESULTS[] =
    "SELECT " RESULT_COLUMNS " FROM result r WHERE r.result_id = ANY(ARRAY(SELECT f.result_id FROM "
    "unnest($1::bytea[], $2::bytea[]) k(content, settings), LATERAL (SELECT i.result_id FROM "
    "result i WHERE i.content = k.content AND i.settings = k.settings AND i.state = 1 OFFSET 0) "
    "f)) AND r.state + 0 = 1 ORDER BY r.result_id FOR KEY SHARE";

static const char STAGED_RESULTS[] =
    "SELECT " RESULT_COLUMNS " FROM result r WHERE r.job_id = ANY($1) AND r.state = 0";

static const char OLD_RESULTS[] =
    "SELECT " RESULT_COLUMNS " FROM result r WHERE r.result_id = ANY($1) "
    "ORDER BY r.result_id FOR UPDATE";

static const char USED_ELSEWHERE[] =
    "SELECT r FROM unnest($1::bigint[]) r WHERE EXISTS (SELECT FROM media m "
    "WHERE m.result_id = r AND m.media_id <> ALL($2))";

static const char RESULT_SPACES[] =
    "SELECT result_id, space_id, chunks FROM result_space WHERE result_id = ANY($1)";

/* Behind SERVING_SHARE: what it waited for has committed. */
static const char SERVING[] = "SELECT space_id, held_until_ms FROM serving_space";

static const char HOLDS[] =
    "SELECT j.job_id, j.lease_ms, j.content FROM job j WHERE j.content = ANY($1 || ARRAY("
    "SELECT v.content FROM job s JOIN version v ON v.version_id = s.version_id "
    "WHERE s.job_id = ANY($2) AND v.content IS NOT NULL))";

static const char READY_CONTENTS[] =
    "SELECT DISTINCT r.content FROM result r WHERE r.state = 1 AND r.content = ANY(ARRAY("
    "SELECT v.content FROM job s JOIN version v ON v.version_id = s.version_id "
    "WHERE s.job_id = ANY($1) AND v.content IS NOT NULL))";

static const char KEPT_CONTENTS[] =
    "SELECT DISTINCT c.content FROM checkpoint c WHERE c.content = ANY(ARRAY("
    "SELECT v.content FROM job s JOIN version v ON v.version_id = s.version_id "
    "WHERE s.job_id = ANY($1) AND v.content IS NOT NULL))";

static const char CHECKPOINTS[] =
    "SELECT c.digest, c.bytes FROM checkpoint c WHERE c.digest = ANY($1)";

static const char IDS[] =
    "SELECT 0, nextval('media_media_id_seq') FROM generate_series(1, $1) UNION ALL "
    "SELECT 1, nextval('version_version_id_seq') FROM generate_series(1, $2) UNION ALL "
    "SELECT 2, nextval('job_job_id_seq') FROM generate_series(1, $3) UNION ALL "
    "SELECT 3, nextval('result_result_id_seq') FROM generate_series(1, $4) UNION ALL "
    "SELECT 4, nextval('chunk_chunk_id_seq') FROM generate_series(1, $5)";

/* ---- rows to images ---- */

static struct digest digest_at(const struct pg_rows *rows, int row, int column)
{
    struct digest d = {0};
    pg_bytes(rows, row, column, d.bytes, DIGEST_BYTES);
    return d;
}

static void read_nothing(struct batch *b, const struct pg_rows *rows)
{
    (void)b;
    (void)rows;
}

static void read_begin(struct batch *b, const struct pg_rows *rows)
{
    b->xid = pg_int(rows, 0, 0);
}

static void read_serving(struct batch *b, const struct pg_rows *rows)
{
    b->serving_space = rows->count ? pg_int(rows, 0, 0) : 0;
    b->held_until_ms = rows->count ? pg_int(rows, 0, 1) : 0;
}

static void read_media(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        struct media_image *m = media_image_add(b, pg_int(rows, i, 0));
        m->version_id = pg_int(rows, i, 1);
        m->job_id = pg_int(rows, i, 2);
        m->result_id = pg_int(rows, i, 3);
        m->uploaded_ms = pg_int(rows, i, 4);
        m->published_ms = pg_int(rows, i, 5);
        m->event_ms = pg_int(rows, i, 6);
        m->cost_nanousd = pg_int(rows, i, 7);
        m->unpriced_calls = pg_int(rows, i, 8);
        m->removed = pg_int(rows, i, 9);
        m->bucket = pg_peek(rows, i, 10);
        m->key = pg_peek(rows, i, 11);
        m->collection = pg_peek(rows, i, 12);
        m->kind = pg_peek(rows, i, 13);
        m->language = pg_peek(rows, i, 14);
        m->sequencer = pg_peek(rows, i, 15);
        key_found(b, m);
    }
}

static void read_versions(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        if (version_image(b, pg_int(rows, i, 0)))
            continue;
        struct version_image *v = version_image_add(b, pg_int(rows, i, 0));
        v->media_id = pg_int(rows, i, 1);
        v->event_ms = pg_int(rows, i, 2);
        v->size = pg_int(rows, i, 3);
        v->content = digest_at(rows, i, 4);
        v->object_version = pg_peek(rows, i, 5);
        v->etag = pg_peek(rows, i, 6);
        v->content_type = pg_peek(rows, i, 7);
    }
}

static void read_jobs(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        if (job_image(b, pg_int(rows, i, 0)))
            continue;
        struct job_image *j = job_image_add(b, pg_int(rows, i, 0));
        j->media_id = pg_int(rows, i, 1);
        j->version_id = pg_int(rows, i, 2);
        j->queued_ms = pg_int(rows, i, 3);
        j->started_ms = pg_int(rows, i, 4);
        j->finished_ms = pg_int(rows, i, 5);
        j->due_ms = pg_int(rows, i, 6);
        j->wake_ms = pg_int(rows, i, 7);
        j->lease_ms = pg_int(rows, i, 8);
        j->attempt = pg_int(rows, i, 9);
        j->ordinal = pg_int(rows, i, 10);
        j->receive_count = pg_int(rows, i, 11);
        j->state = pg_int(rows, i, 12);
        j->trace =
            (struct pg_bytes){.data = pg_peek(rows, i, 13), .length = pg_length(rows, i, 13)};
        j->content = digest_at(rows, i, 14);
        j->worker = pg_peek(rows, i, 15);
        j->stage = pg_peek(rows, i, 16);
        j->reason = pg_peek(rows, i, 17);
        j->message = pg_peek(rows, i, 18);
    }
}

static void read_results(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        struct digest content = digest_at(rows, i, 6), settings = digest_at(rows, i, 7);
        if (result_image(b, pg_int(rows, i, 0)))
            continue;
        struct result_image *r = result_image_add(b, pg_int(rows, i, 0), &content, &settings);
        r->job_id = pg_int(rows, i, 1);
        r->space_id = pg_int(rows, i, 2);
        r->chunks = pg_int(rows, i, 3);
        r->segments = pg_int(rows, i, 4);
        r->state = pg_int(rows, i, 5);
        r->kind = pg_peek(rows, i, 8);
        r->language = pg_peek(rows, i, 9);
        r->heading = pg_peek(rows, i, 10);
    }
}

static void read_used(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        struct result_image *r = result_image(b, pg_int(rows, i, 0));
        if (r)
            r->used_elsewhere = true;
    }
}

static void read_holds(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        struct hold *hold = batch_alloc(b, sizeof *hold);
        hold->job_id = pg_int(rows, i, 0);
        hold->lease_ms = pg_int(rows, i, 1);
        hold->content = digest_at(rows, i, 2);
        hold->next = id_map_get(&b->holds_by_content, digest_hash(&hold->content));
        id_map_put(b, &b->holds_by_content, digest_hash(&hold->content), hold);
    }
}

static void read_contents(struct batch *b, const struct pg_rows *rows, struct id_map *out)
{
    for (int i = 0; i < rows->count; i++) {
        struct digest content = digest_at(rows, i, 0);
        id_map_put(b, out, digest_hash(&content), b);
    }
}

static void read_ready(struct batch *b, const struct pg_rows *rows)
{
    read_contents(b, rows, &b->ready_contents);
}

static void read_kept(struct batch *b, const struct pg_rows *rows)
{
    read_contents(b, rows, &b->kept_contents);
}

static void read_checkpoints(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        struct stored_checkpoint *c = batch_alloc(b, sizeof *c);
        c->digest = digest_at(rows, i, 0);
        c->bytes = (struct pg_bytes){.data = pg_peek(rows, i, 1), .length = pg_length(rows, i, 1)};
        c->next = id_map_get(&b->checkpoints_by_digest, digest_hash(&c->digest));
        id_map_put(b, &b->checkpoints_by_digest, digest_hash(&c->digest), c);
    }
}

static void read_ids(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++)
        list_add_id(b, &b->ids[pg_int(rows, i, 0)], pg_int(rows, i, 1));
}

/* ---- sending ---- */

struct loading {
    void (*read[BATCH_ROWS])(struct batch *b, const struct pg_rows *rows);
    size_t count;
};

static void ask(struct batch *b, struct loading *l, const char *sql, const struct pg_value *values,
                size_t count, void (*read)(struct batch *b, const struct pg_rows *rows))
{
    pg_send(b->c, sql, values, count); /* pg_sync tells its error */
    l->read[l->count++] = read;
}

static int answer(struct batch *b, const struct loading *l)
{
    struct pg_rows *rows = &b->held[b->held_count];
    int rc = pg_sync(b->c, rows, l->count);
    if (rc)
        return rc;
    b->held_count += l->count;
    for (size_t i = 0; i < l->count; i++)
        l->read[i](b, &rows[i]);
    return b->broken;
}

static struct pg_value ints(const struct list *list)
{
    return P_INTS(list->items, list->count);
}

static void ask_media(struct batch *b, struct loading *l)
{
    const struct needs *n = &b->needs;
    size_t count = n->keys.count;
    const char **buckets = batch_alloc(b, (count + 1) * sizeof *buckets),
               **names = batch_alloc(b, (count + 1) * sizeof *names);
    if (b->broken || (!n->jobs.count && !n->media.count && !count))
        return;
    for (size_t i = 0; i < count; i++) {
        const struct key_need *key = ((struct key_need **)n->keys.items)[i];
        buckets[i] = key->bucket;
        names[i] = key->key;
    }
    const struct pg_value values[] = {ints(&n->jobs), ints(&n->media), P_TEXTS(buckets, count),
                                      P_TEXTS(names, count)};
    ask(b, l, LOCK_MEDIA, values, 4, read_media);
    ask(b, l, JOBS, values, 4, read_jobs);
    if (count)
        ask(b, l, KEY_VERSIONS, &values[2], 2, read_versions);
}

static struct pg_bytes bytes_of(const struct digest *d)
{
    return (struct pg_bytes){.data = d->bytes, .length = digest_known(d) ? DIGEST_BYTES : 0};
}

static void ask_results(struct batch *b, struct loading *l)
{
    const struct needs *n = &b->needs;
    size_t count = n->result_keys.count;
    struct pg_bytes *contents = batch_alloc(b, (count + 1) * sizeof *contents),
                    *settings = batch_alloc(b, (count + 1) * sizeof *settings);
    if (b->broken)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct result_key *key = ((const struct result_key **)n->result_keys.items)[i];
        contents[i] = bytes_of(&key->content);
        settings[i] = bytes_of(&key->settings);
    }
    const struct pg_value keys[] = {P_BYTEAS(contents, count), P_BYTEAS(settings, count)};
    const struct pg_value ids = ints(&n->results), staged = ints(&n->staged);
    if (n->results.count)
        ask(b, l, RESULTS, &ids, 1, read_results);
    if (count)
        ask(b, l, KEY_RESULTS, keys, 2, read_results);
    if (n->staged.count)
        ask(b, l, STAGED_RESULTS, &staged, 1, read_results);
}

/* Who holds a content is read before what is ready or kept of it: the holder lets go in the
 * transaction that makes it ready, and after all that it keeps. */
static void ask_contents(struct batch *b, struct loading *l)
{
    const struct needs *n = &b->needs;
    size_t count = n->contents.count;
    struct pg_bytes *contents = batch_alloc(b, (count + 1) * sizeof *contents);
    if (b->broken || (!count && !n->starting.count))
        return;
    for (size_t i = 0; i < count; i++)
        contents[i] = bytes_of(&((const struct digest *)n->contents.items)[i]);
    const struct pg_value values[] = {P_BYTEAS(contents, count), ints(&n->starting)};
    ask(b, l, HOLDS, values, 2, read_holds);
    if (!n->starting.count)
        return;
    ask(b, l, READY_CONTENTS, &values[1], 1, read_ready);
    ask(b, l, KEPT_CONTENTS, &values[1], 1, read_kept);
}

static void ask_checkpoints(struct batch *b, struct loading *l)
{
    const struct list *digests = &b->needs.checkpoints;
    struct pg_bytes *keys = batch_alloc(b, (digests->count + 1) * sizeof *keys);
    if (b->broken || !digests->count)
        return;
    for (size_t i = 0; i < digests->count; i++)
        keys[i] = bytes_of(&((const struct digest *)digests->items)[i]);
    const struct pg_value value = P_BYTEAS(keys, digests->count);
    ask(b, l, CHECKPOINTS, &value, 1, read_checkpoints);
}

static void ask_versions(struct batch *b, struct loading *l)
{
    const struct pg_value jobs = ints(&b->needs.versions_of);
    if (b->needs.versions_of.count)
        ask(b, l, JOB_VERSIONS, &jobs, 1, read_versions);
}

static void ask_ids(struct batch *b, struct loading *l)
{
    const int64_t *n = b->needs.ids;
    const struct pg_value values[] = {P_INT(n[ID_MEDIA]), P_INT(n[ID_VERSION]), P_INT(n[ID_JOB]),
                                      P_INT(n[ID_RESULT]), P_INT(n[ID_CHUNK])};
    if (n[ID_MEDIA] + n[ID_VERSION] + n[ID_JOB] + n[ID_RESULT] + n[ID_CHUNK])
        ask(b, l, IDS, values, ID_KINDS, read_ids);
}

/* ---- results that may be let go ---- */

static void read_result_spaces(struct batch *b, const struct pg_rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        struct result_space *row = list_add(b, &b->result_spaces, sizeof *row);
        *row = (struct result_space){.result_id = pg_int(rows, i, 0),
                                     .space_id = pg_int(rows, i, 1),
                                     .chunks = pg_int(rows, i, 2)};
    }
}

static int load_old_results(struct batch *b)
{
    struct loading l = {0};
    struct list results = {0}, media = {0};
    for (size_t i = 0; i < b->media.count; i++) {
        struct media_image *m = ((struct media_image **)b->media.items)[i];
        list_add_id(b, &media, m->media_id);
        if (m->result_id)
            list_add_id(b, &results, m->result_id);
    }
    const struct pg_value values[] = {ints(&results), ints(&media)};
    int rc = b->broken;
    if (!rc && results.count) {
        ask(b, &l, OLD_RESULTS, values, 1, read_results);
        ask(b, &l, USED_ELSEWHERE, values, 2, read_used);
        ask(b, &l, RESULT_SPACES, values, 1, read_result_spaces);
        rc = answer(b, &l);
    }
    list_free(&results);
    list_free(&media);
    return rc;
}

int batch_load(struct batch *b)
{
    struct loading l = {0};
    ask(b, &l, POSTGRES_BY_INDEX, NULL, 0, read_nothing);
    ask(b, &l, XID, NULL, 0, read_begin);
    if (b->needs.old_results) {
        ask(b, &l, SERVING_SHARE, NULL, 0, read_nothing);
        ask(b, &l, SERVING, NULL, 0, read_serving);
    }
    ask_media(b, &l);
    ask_versions(b, &l);
    ask_results(b, &l);
    ask_contents(b, &l);
    ask_checkpoints(b, &l);
    ask_ids(b, &l);
    int rc = b->broken ? b->broken : answer(b, &l);
    return rc || !b->needs.old_results ? rc : load_old_results(b);
}
