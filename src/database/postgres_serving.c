/*
 * The space that serves, changing it, and dropping others.
 *
 * A transaction that publishes, or lets a result go, takes the lock "aegis.serving" shared before
 * it reads which space serves; who changes that takes it exclusively. So whatever was published
 * before the change was published under the old space, and is seen by who changes it.
 */
#include <string.h>

#include "database/postgres_internal.h"

const char SERVING_SHARE[] = "SELECT pg_advisory_xact_lock_shared(hashtext('aegis.serving'))";
const char SERVING_LOCK[] = "SELECT pg_advisory_xact_lock(hashtext('aegis.serving'))";

/* ---- reading ---- */

static const char READ_SERVING[] =
    "SELECT e.space_id, e.provider, e.model, e.revision, e.dimension, t.chunks, (SELECT "
    "sum(chunks)::bigint FROM total) - t.chunks FROM serving_space s JOIN embedding_space e ON "
    "e.space_id = s.space_id, LATERAL (SELECT coalesce(sum(u.chunks), 0)::bigint AS chunks FROM "
    "space_total u WHERE u.space_id = e.space_id) t";

int postgres_space_serving(void *ctx, struct serving_space *out)
{
    struct pg_rows rows;
    struct pg *c;
    *out = (struct serving_space){0};
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = pg_query(c, &rows, READ_SERVING, NULL, 0);
    pg_release(c);
    if (!rc && rows.count) {
        out->space.id = pg_int(&rows, 0, 0);
        pg_copy(&rows, 0, 1, out->space.provider, sizeof out->space.provider);
        pg_copy(&rows, 0, 2, out->space.model, sizeof out->space.model);
        pg_copy(&rows, 0, 3, out->space.revision, sizeof out->space.revision);
        out->space.dimension = (int)pg_int(&rows, 0, 4);
        out->chunks = pg_int(&rows, 0, 5);
        out->missing = pg_int(&rows, 0, 6);
    } else if (!rc) {
        rc = error_set(ERR_NOT_FOUND, NULL, "nothing was ever embedded");
    }
    pg_rows_free(&rows);
    return rc;
}

int space_usable(struct pg *c, int64_t space_id)
{
    int64_t dropping;
    int rc =
        PG_NUMBER(c, &dropping, -1, "SELECT dropping::int FROM embedding_space WHERE space_id = $1",
                  P_INT(space_id));
    return rc ? rc : space_usable_as(dropping, space_id);
}

/* ---- the first one ---- */

static int begin(struct pg *c, void *arg)
{
    const int64_t *space_id = arg;
    pg_send(c, SERVING_LOCK, NULL, 0);
    return PG_RUN(c, "UPDATE serving_space SET space_id = $1 WHERE space_id = 0", P_INT(*space_id));
}

int serving_begin(struct store *s, int64_t space_id)
{
    struct pg *c;
    int64_t serves = 0;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = pg_number(c, &serves, 0, "SELECT space_id FROM serving_space", NULL, 0);
    if (!rc && !serves)
        rc = pg_transaction_on(c, PG_READ_WRITE, begin, &space_id);
    pg_release(c);
    if (!rc)
        atomic_store(&s->serving_seen, true);
    return rc;
}

/* ---- the switch ---- */

static int hold(struct pg *c, void *arg)
{
    const int64_t *until_ms = arg;
    pg_send(c, SERVING_LOCK, NULL, 0);
    return PG_RUN(c, "UPDATE serving_space SET held_until_ms = $1", P_INT(*until_ms));
}

int postgres_space_hold(void *ctx, int64_t hold_ms)
{
    struct store *s = ctx;
    int64_t until_ms = hold_ms > 0 ? store_now(s) + hold_ms : 0;
    return store_transaction(s, PG_READ_WRITE, hold, &until_ms);
}

/* What is ready and not in the space, by the sums: what publications add and the collector takes
 * changes it by exactly that. Looking at every result takes too long while all others wait, so
 * that is done before, and the sum tells whether anything came since. */
struct switching {
    int64_t space_id, gap;
};

static const char GAP[] =
    "SELECT (SELECT sum(chunks)::bigint FROM total) - (SELECT coalesce(sum(chunks), 0)::bigint "
    "FROM space_total WHERE space_id = $1)";

static const char LACKS[] =
    "SELECT 1 FROM result r WHERE r.state = 1 AND r.chunk_count > 0 AND r.space_id <> $1 AND NOT "
    "EXISTS (SELECT FROM result_space x WHERE x.result_id = r.result_id AND x.space_id = $1 AND "
    "x.chunks >= r.chunk_count) LIMIT 1";

static int incomplete(int64_t space_id)
{
    return error_set(ERR_BUSY, "space_incomplete",
                     "not everything is embedded in space %lld yet: run `aegis reprocess "
                     "--embed-model` again",
                     (long long)space_id);
}

static int look(struct pg *c, void *arg)
{
    struct switching *w = arg;
    int64_t lacks;
    int rc = space_usable(c, w->space_id);
    if (!rc)
        rc = PG_NUMBER(c, &w->gap, 0, GAP, P_INT(w->space_id));
    if (!rc)
        rc = PG_NUMBER(c, &lacks, 0, LACKS, P_INT(w->space_id));
    return rc || !lacks ? rc : incomplete(w->space_id);
}

static int serve(struct pg *c, void *arg)
{
    const struct switching *w = arg;
    int64_t gap;
    int rc = pg_query(c, NULL, SERVING_LOCK, NULL, 0);
    if (!rc)
        rc = space_usable(c, w->space_id);
    if (!rc)
        rc = PG_NUMBER(c, &gap, 0, GAP, P_INT(w->space_id));
    if (!rc && gap != w->gap)
        rc = incomplete(w->space_id);
    return rc ? rc
              : PG_RUN(c, "UPDATE serving_space SET space_id = $1, held_until_ms = 0",
                       P_INT(w->space_id));
}

int postgres_space_serve(void *ctx, int64_t space_id)
{
    struct store *s = ctx;
    struct switching w = {.space_id = space_id};
    int rc = store_transaction(s, PG_SNAPSHOT, look, &w);
    return rc ? rc : store_transaction(s, PG_READ_WRITE, serve, &w);
}

/* ---- one that fills at a time ---- */

static const char TRY_FILL[] = "SELECT pg_try_advisory_lock(hashtext('aegis.fill'))::int";

static int busy(struct store *s)
{
    return error_set(ERR_BUSY, "space_busy",
                     "another process is filling or dropping an embedding space of '%s'",
                     pg_pool_name(s->pool));
}

static int take_fill_lock(struct pg_pool *pool, struct store *s, struct pg **out)
{
    int64_t got = 0;
    int rc = pg_acquire(pool, s->wait_ms, NULL, out);
    if (!rc)
        rc = pg_number(*out, &got, 0, TRY_FILL, NULL, 0);
    return rc || got ? rc : busy(s);
}

/* The lock is a session's: a connection of its own, as the pool's may be few. */
int postgres_space_fill_begin(void *ctx)
{
    struct store *s = ctx;
    const struct pg_settings settings = {.connections = 1, .source = s->source};
    struct pg *c = NULL;
    struct pg_pool *pool = NULL;
    pthread_mutex_lock(&s->filling_lock);
    int rc = s->filling ? busy(s) : pg_pool_open(s->url, &settings, &pool);
    if (!rc)
        rc = take_fill_lock(pool, s, &c);
    if (!rc) {
        s->filling = c;
        s->filling_pool = pool;
    }
    pthread_mutex_unlock(&s->filling_lock);
    if (rc) {
        struct error kept = *error_last();
        pg_release(c);
        pg_pool_close(pool);
        error_restore(&kept);
    }
    return rc;
}

/* The server ends the lock with the session. */
void postgres_space_fill_end(void *ctx)
{
    struct store *s = ctx;
    struct error kept = *error_last();
    pthread_mutex_lock(&s->filling_lock);
    pg_release(s->filling);
    pg_pool_close(s->filling_pool);
    s->filling = NULL;
    s->filling_pool = NULL;
    pthread_mutex_unlock(&s->filling_lock);
    error_restore(&kept);
}

/* ---- dropping ---- */

enum { DROP_ROWS = 2000 };
enum phase { MARK, RESULTS, COUNTS, END };

struct dropping {
    int64_t space_id;
    struct space_drop_place *place;
    bool more;
};

static const char DROP_RESULTS[] =
    "WITH d AS (SELECT result_id FROM result WHERE result_id > $2 AND space_id = $1 ORDER BY "
    "result_id LIMIT $3 FOR NO KEY UPDATE), u AS (UPDATE result r SET space_id = 0 FROM d WHERE "
    "r.result_id = d.result_id) SELECT max(result_id), count(*) FROM d";
static const char DROP_COUNTS[] =
    "WITH d AS (SELECT result_id FROM result_space WHERE result_id > $2 AND space_id = $1 ORDER BY "
    "result_id LIMIT $3), u AS (DELETE FROM result_space x USING d WHERE x.result_id = d.result_id "
    "AND x.space_id = $1) SELECT max(result_id), count(*) FROM d";

static int check_drop(struct pg *c, int64_t space_id)
{
    int64_t serves;
    int rc = pg_query(c, NULL, SERVING_LOCK, NULL, 0);
    if (!rc)
        rc = PG_NUMBER(c, &serves, 0, "SELECT 1 FROM serving_space WHERE space_id = $1",
                       P_INT(space_id));
    if (!rc && serves)
        rc = space_serves(space_id);
    return rc;
}

static int mark(struct pg *c, struct dropping *d)
{
    struct pg_rows rows = {0};
    int rc = check_drop(c, d->space_id);
    if (!rc)
        rc = PG_QUERY(c, &rows, "UPDATE embedding_space SET dropping = true WHERE space_id = $1",
                      P_INT(d->space_id));
    if (!rc && !rows.affected)
        rc = space_unknown(d->space_id);
    pg_rows_free(&rows);
    d->more = true;
    d->place->phase = RESULTS;
    return rc;
}

static int drop_rows(struct pg *c, struct dropping *d)
{
    struct pg_rows rows;
    const char *sql = d->place->phase == RESULTS ? DROP_RESULTS : DROP_COUNTS;
    int rc = PG_QUERY(c, &rows, sql, P_INT(d->space_id), P_INT(d->place->at), P_INT(DROP_ROWS));
    if (rc)
        return rc;
    bool all = pg_int(&rows, 0, 1) < DROP_ROWS;
    d->place->at = all ? 0 : pg_int(&rows, 0, 0);
    d->place->phase += all;
    pg_rows_free(&rows);
    d->more = true;
    return OK;
}

/* The row and the empty tables stay, for what is remembered of a space never changes. Emptying may
 * have to wait for whoever reads a table, so the lock comes after it: that the space is marked
 * keeps it from serving. The collector may have counted down what is void now: it waits for the
 * lock. */
static int end(struct pg *c, struct dropping *d)
{
    int rc = PG_RUN(c, "SELECT clear_embedding_space($1)", P_INT(d->space_id));
    if (!rc)
        rc = check_drop(c, d->space_id);
    if (rc)
        return rc;
    PG_SEND(c, "DELETE FROM space_total WHERE space_id = $1", P_INT(d->space_id));
    PG_SEND(c, "UPDATE embedding_space SET dropping = false WHERE space_id = $1",
            P_INT(d->space_id));
    return pg_sync(c, NULL, 0);
}

static int drop(struct pg *c, void *arg)
{
    struct dropping *d = arg;
    d->more = false;
    if (d->place->phase == MARK)
        return mark(c, d);
    return d->place->phase == END ? end(c, d) : drop_rows(c, d);
}

int postgres_space_drop(void *ctx, int64_t space_id, struct space_drop_place *place, bool *more)
{
    struct space_drop_place next = *place;
    struct dropping d = {.space_id = space_id, .place = &next};
    int rc = store_transaction(ctx, PG_READ_WRITE, drop, &d);
    *more = !rc && d.more;
    if (!rc)
        *place = next;
    return rc;
}
