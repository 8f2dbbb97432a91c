/* Embedding spaces: which there are, and the one that serves. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_results.h"

/* ---- spaces ---- */

static int ensure_space(struct transaction *tx, void *arg)
{
    struct embedding_space *space = arg;
    int rc = SQL_NUMBER(tx->c, &space->id, 0,
                        "SELECT space_id FROM embedding_space WHERE provider = ?1 AND model = ?2 "
                        "AND revision = ?3 AND dimension = ?4",
                        V_TEXT(space->provider), V_TEXT(space->model), V_TEXT(space->revision),
                        V_INT(space->dimension));
    if (rc || space->id)
        return rc;
    rc = SQL_RUN(tx->c,
                 "INSERT INTO embedding_space (provider, model, revision, dimension, chunks) "
                 "VALUES (?1, ?2, ?3, ?4, 0)",
                 V_TEXT(space->provider), V_TEXT(space->model), V_TEXT(space->revision),
                 V_INT(space->dimension));
    space->id = sqlite3_last_insert_rowid(tx->c->db);
    return rc;
}

int sqlite_space_ensure(void *ctx, struct embedding_space *space)
{
    struct store *s = ctx;
    if (space->dimension < 1 || space->dimension > VECTOR_MAX_DIMENSION)
        return error_set(ERR_INVALID, NULL, "embeddings of '%s' have %d dimensions, not 1 to %d",
                         space->model, space->dimension, VECTOR_MAX_DIMENSION);
    struct reader *r = reader_hold(s);
    int rc = SQL_NUMBER(&r->main, &space->id, 0,
                        "SELECT space_id FROM embedding_space WHERE provider = ?1 AND model = ?2 "
                        "AND revision = ?3 AND dimension = ?4",
                        V_TEXT(space->provider), V_TEXT(space->model), V_TEXT(space->revision),
                        V_INT(space->dimension));
    reader_release(s, r);
    return rc || space->id ? rc : writer_run(&s->writer, ensure_space, space);
}

static const char SPACES[] =
    "SELECT space_id, provider, model, revision, dimension, chunks, space_id = (SELECT "
    "s.space_id FROM serving_space s), dropping FROM embedding_space WHERE chunks > 0 OR dropping "
    "ORDER BY chunks DESC, space_id";

static void read_use(sqlite3_stmt *row, struct space_use *use)
{
    use->space.id = sql_int(row, 0);
    sql_copy(row, 1, use->space.provider, sizeof use->space.provider);
    sql_copy(row, 2, use->space.model, sizeof use->space.model);
    sql_copy(row, 3, use->space.revision, sizeof use->space.revision);
    use->space.dimension = (int)sql_int(row, 4);
    use->chunks = sql_int(row, 5);
    use->serves = sql_int(row, 6);
    use->dropping = sql_int(row, 7);
}

int sqlite_spaces(void *ctx, struct arena *arena, struct space_use **out, size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    bool more;
    int64_t n;
    *count = 0;
    int rc =
        sql_number(&r->main, &n, 0,
                   "SELECT count(*) FROM embedding_space WHERE chunks > 0 OR dropping", NULL, 0);
    if (!rc && !(*out = arena_array(arena, (size_t)n, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc)
        rc = sql_begin(&r->main, &row, SPACES, NULL, 0);
    while (!rc && *count < (size_t)n && !(rc = sql_next(&r->main, row, &more)) && more)
        read_use(row, &(*out)[(*count)++]);
    if (!rc)
        sql_done(row);
    reader_release(s, r);
    return rc;
}

/* ---- the one that serves ---- */

int sqlite_space_serving(void *ctx, struct serving_space *out)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    *out = (struct serving_space){0};
    int rc = sql_first(
        &r->main, &row,
        "SELECT e.space_id, e.provider, e.model, e.revision, e.dimension, e.chunks, "
        "l.chunks - e.chunks, 0 FROM serving_space s JOIN embedding_space e ON e.space_id = "
        "s.space_id JOIN ledger l",
        NULL, 0);
    if (row) {
        struct space_use use = {0};
        read_use(row, &use);
        *out = (struct serving_space){
            .space = use.space, .chunks = use.chunks, .missing = sql_int(row, 6)};
    } else if (!rc) {
        rc = error_set(ERR_NOT_FOUND, NULL, "nothing was ever embedded");
    }
    sql_done(row);
    reader_release(s, r);
    return rc;
}

static int read_serving(struct transaction *tx)
{
    sqlite3_stmt *row;
    if (tx->serving.known)
        return OK;
    int rc = sql_first(tx->c, &row, "SELECT space_id, held_until_ms FROM serving_space", NULL, 0);
    if (row) {
        tx->serving.space_id = sql_int(row, 0);
        tx->serving.held_until_ms = sql_int(row, 1);
        tx->serving.known = true;
    } else if (!rc) {
        rc = connection_error(tx->c, SQLITE_CORRUPT, "reading which space serves");
    }
    sql_done(row);
    return rc;
}

static int set_serving(struct transaction *tx, int64_t space_id, int64_t held_until_ms)
{
    tx->serving.known = false;
    return SQL_RUN(tx->c, "UPDATE serving_space SET space_id = ?1, held_until_ms = ?2",
                   V_INT(space_id), V_INT(held_until_ms));
}

int serving_check(struct transaction *tx, int64_t space_id)
{
    int rc = space_id ? read_serving(tx) : OK;
    if (rc || !space_id)
        return rc;
    if (!tx->serving.space_id)
        return set_serving(tx, space_id, 0);
    if (tx->serving.held_until_ms > tx->now_ms)
        return error_set(ERR_TRANSIENT, "space_held",
                         "publishing waits a moment: the embedding model is being changed");
    if (tx->serving.space_id != space_id)
        return error_set(
            ERR_TRANSIENT, "space_switched",
            "embeddings of space %lld came, but space %lld serves: they are made again",
            (long long)space_id, (long long)tx->serving.space_id);
    return OK;
}

int space_check(struct connection *c, int64_t space_id)
{
    int64_t dropping;
    int rc =
        SQL_NUMBER(c, &dropping, -1, "SELECT dropping FROM embedding_space WHERE space_id = ?1",
                   V_INT(space_id));
    return rc ? rc : space_usable_as(dropping, space_id);
}

static int hold(struct transaction *tx, void *arg)
{
    const int64_t *hold_ms = arg;
    tx->serving.known = false;
    return SQL_RUN(tx->c, "UPDATE serving_space SET held_until_ms = ?1",
                   V_INT(*hold_ms > 0 ? tx->now_ms + *hold_ms : 0));
}

int sqlite_space_hold(void *ctx, int64_t hold_ms)
{
    struct store *s = ctx;
    return writer_run(&s->writer, hold, &hold_ms);
}

/* ---- the switch ---- */

/* What is ready and not in the space, by the sums: what publications add and the collector takes
 * changes it by exactly that. Looking at every result takes too long for the writer, so a reader
 * does, and the sum tells whether anything came since. */
struct switching {
    int64_t space_id, gap;
};

static int incomplete(int64_t space_id)
{
    return error_set(ERR_BUSY, "space_incomplete",
                     "not everything is embedded in space %lld yet: run `aegis reprocess "
                     "--embed-model` again",
                     (long long)space_id);
}

static int read_gap(struct connection *c, int64_t space_id, int64_t *gap)
{
    return SQL_NUMBER(c, gap, 0,
                      "SELECT l.chunks - e.chunks FROM ledger l JOIN embedding_space e WHERE "
                      "e.space_id = ?1",
                      V_INT(space_id));
}

static int look(struct connection *c, struct switching *w)
{
    int64_t lacks;
    int rc = snapshot_begin(c);
    if (!rc)
        rc = space_check(c, w->space_id);
    if (!rc)
        rc = read_gap(c, w->space_id, &w->gap);
    if (!rc)
        rc = SQL_NUMBER(c, &lacks, 0,
                        "SELECT 1 FROM result r WHERE r.state = 1 AND r.chunk_count > 0 AND "
                        "r.space_id <> ?1 AND NOT EXISTS (SELECT 1 FROM result_space x WHERE "
                        "x.result_id = r.result_id AND x.space_id = ?1 AND x.chunks >= "
                        "r.chunk_count) LIMIT 1",
                        V_INT(w->space_id));
    if (!rc && lacks)
        rc = incomplete(w->space_id);
    snapshot_end(c);
    return rc;
}

/* From here on indexes of the others may hold all there is so far. */
static int serve(struct transaction *tx, void *arg)
{
    const struct switching *w = arg;
    int64_t gap;
    /* what this batch has done so far is not in the rows yet */
    int64_t ready = tx->ledger.value[TOTAL_CHUNKS], in_it = 0;
    int rc = space_check(tx->c, w->space_id);
    if (!rc)
        rc = SQL_NUMBER(tx->c, &in_it, 0, "SELECT chunks FROM embedding_space WHERE space_id = ?1",
                        V_INT(w->space_id));
    for (size_t i = 0; i < tx->space_count; i++)
        in_it += tx->spaces[i].space_id == w->space_id ? tx->spaces[i].chunks : 0;
    gap = ready - in_it;
    if (!rc && gap != w->gap)
        rc = incomplete(w->space_id);
    if (!rc)
        rc = set_serving(tx, w->space_id, 0);
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE embedding_space SET generation = generation + 1, tail = 0 WHERE "
                     "space_id = ?1 AND tail = ?2",
                     V_INT(w->space_id), V_INT(SPACE_TAIL_STALE));
    return rc ? rc
              : SQL_RUN(tx->c,
                        "UPDATE embedding_space SET tail = max(tail, ?2) WHERE space_id <> ?1",
                        V_INT(w->space_id), V_INT(tx->ledger.value[NEXT_CHUNK] - 1));
}

int sqlite_space_serve(void *ctx, int64_t space_id)
{
    struct store *s = ctx;
    struct switching w = {.space_id = space_id};
    struct reader *r = reader_hold(s);
    int rc = look(&r->main, &w);
    reader_release(s, r);
    return rc ? rc : writer_run(&s->writer, serve, &w);
}

/* ---- one that fills at a time ---- */

int sqlite_space_fill_begin(void *ctx)
{
    struct store *s = ctx;
    char path[4096];
    snprintf(path, sizeof path, "%s/spaces.lock", s->directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), none = 0;
    if (fd < 0)
        return error_set_errno(errno, "cannot open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        atomic_compare_exchange_strong(&s->filling, &none, fd + 1))
        return OK;
    close(fd);
    return error_set(ERR_BUSY, "space_busy",
                     "another process is filling or dropping an embedding space of '%s'",
                     s->directory);
}

void sqlite_space_fill_end(void *ctx)
{
    struct store *s = ctx;
    int fd = atomic_exchange(&s->filling, 0) - 1;
    if (fd >= 0)
        close(fd);
}
