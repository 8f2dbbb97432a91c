/*
 * The collector: deletes in small steps what nothing points to any more. A result is out of sight
 * the moment it is marked; what follows only gives the room back. Each step is one transaction
 * under an advisory lock, so that two processes do not do it at once.
 */
#include <string.h>

#include "database/postgres_keeper.h"

enum {
    NOTES = 64,        /* notes of one step */
    STEP_CHUNKS = 512, /* rows of a kind in one step */
    STEP_SEGMENTS = 4096,
    STEP_CHECKPOINTS = 64,
    TRIM_ROWS = 20000,
    MOVE_ROWS = 100,     /* embeddings of one step: a fraction of a second */
    FRESH_MOST = 100000, /* of a space, moved even while it is not quiet: a search reads them all */
    MOVE_CHUNKS = 1000,
    CALM_CHUNKS = 2000, /* made between two looks: fewer do not keep words from being indexed */
};

static const int64_t FRESH_BYTES = 256 << 20;

/* ---- locks ---- */

static const char TRY_LOCK[] = "SELECT pg_try_advisory_xact_lock(hashtext('aegis.collect'))::int";
static const char LOCK[] = "SELECT pg_advisory_xact_lock(hashtext('aegis.collect'))";

static int take_lock(struct pg *c, bool wait, bool *mine)
{
    int64_t got = 1;
    int rc = wait ? pg_query(c, NULL, LOCK, NULL, 0) : pg_number(c, &got, 0, TRY_LOCK, NULL, 0);
    *mine = !rc && got;
    return rc;
}

/* ---- results ---- */

struct collecting {
    struct store *s;
    bool wait, more;
    int64_t ids[NOTES]; /* of notes, then of what they name */
    size_t count;
};

/* The chunks of one step, oldest results first. */
static const char CHUNKS[] =
    "SELECT c.chunk_id, r.space_id FROM unnest($1::bigint[]) g JOIN result r ON r.result_id = g "
    "JOIN chunk c ON c.result_id = g LIMIT $2";
static const char FURTHER_SPACES[] =
    "SELECT DISTINCT space_id FROM result_space WHERE result_id = ANY($1)";
static const char DELETE_CHUNKS[] = "DELETE FROM chunk WHERE chunk_id = ANY($1)";
static const char DELETE_EMBEDDINGS[] = "DELETE FROM embedding_%lld WHERE chunk_id = ANY($1)";
static const char DELETE_FRESH[] = "DELETE FROM embedding_%lld_fresh WHERE chunk_id = ANY($1)";
static const char DELETE_SEGMENTS[] =
    "DELETE FROM segment s USING (SELECT result_id, ordinal FROM segment WHERE result_id = "
    "ANY($1) LIMIT $2) d WHERE s.result_id = d.result_id AND s.ordinal = d.ordinal";
/* Those that have no rows any more, with their notes. */
static const char DELETE_EMPTY[] =
    "WITH gone AS (SELECT g.garbage_id, g.id FROM garbage g WHERE g.kind = 1 AND g.id = ANY($1) "
    "AND NOT EXISTS (SELECT FROM chunk c WHERE c.result_id = g.id) AND NOT EXISTS (SELECT FROM "
    "segment s WHERE s.result_id = g.id)), spaces AS (DELETE FROM result_space WHERE result_id IN "
    "(SELECT id FROM gone)), results AS (DELETE FROM result WHERE state = 2 AND "
    "result_id IN (SELECT id FROM gone)) "
    "DELETE FROM garbage WHERE garbage_id IN (SELECT garbage_id FROM gone)";

static void delete_of_space(struct store *s, struct pg *c, int64_t space_id, const int64_t *chunks,
                            size_t count)
{
    const char *kept = space_sql(s, space_id, DELETE_EMBEDDINGS),
               *fresh = space_sql(s, space_id, DELETE_FRESH);
    if (!count || !space_id || !kept || !fresh)
        return;
    PG_SEND(c, kept, P_INTS(chunks, count));
    PG_SEND(c, fresh, P_INTS(chunks, count));
}

/* Rows come with their spaces, in runs mostly; `further` are those that some of them were filled
 * into. */
static void delete_chunks(struct store *s, struct pg *c, const struct pg_rows *rows,
                          const struct pg_rows *further)
{
    int64_t chunks[STEP_CHUNKS], space = 0;
    size_t run = 0, count = 0;
    for (int i = 0; i < rows->count; i++) {
        if (pg_int(rows, i, 1) != space) {
            delete_of_space(s, c, space, chunks + run, count - run);
            space = pg_int(rows, i, 1);
            run = count;
        }
        chunks[count++] = pg_int(rows, i, 0);
    }
    delete_of_space(s, c, space, chunks + run, count - run);
    for (int i = 0; i < further->count; i++)
        delete_of_space(s, c, pg_int(further, i, 0), chunks, count);
    if (count)
        PG_SEND(c, DELETE_CHUNKS, P_INTS(chunks, count));
}

static int collect_results(struct store *s, struct pg *c, const int64_t *results, size_t count)
{
    struct pg_rows rows[2];
    if (!count)
        return OK;
    PG_SEND(c, CHUNKS, P_INTS(results, count), P_INT(STEP_CHUNKS));
    PG_SEND(c, FURTHER_SPACES, P_INTS(results, count));
    int rc = pg_sync(c, rows, 2);
    if (rc)
        return rc;
    delete_chunks(s, c, &rows[0], &rows[1]);
    pg_rows_free_all(rows, 2);
    PG_SEND(c, DELETE_SEGMENTS, P_INTS(results, count), P_INT(STEP_SEGMENTS));
    PG_SEND(c, DELETE_EMPTY, P_INTS(results, count));
    return pg_sync(c, NULL, 0);
}

/* ---- checkpoints ---- */

static const char DELETE_CHECKPOINTS[] =
    "DELETE FROM checkpoint WHERE digest = ANY(ARRAY(SELECT digest FROM checkpoint WHERE "
    "media_id = $1 AND version_id < $2 LIMIT $3))";

static int collect_checkpoints(struct pg *c, int64_t note, int64_t media_id, int64_t version_id)
{
    struct pg_rows rows;
    int rc = PG_QUERY(c, &rows, DELETE_CHECKPOINTS, P_INT(media_id), P_INT(version_id),
                      P_INT(STEP_CHECKPOINTS));
    bool all = !rc && rows.affected < STEP_CHECKPOINTS;
    pg_rows_free(&rows);
    return rc || !all ? rc : PG_RUN(c, "DELETE FROM garbage WHERE garbage_id = $1", P_INT(note));
}

/* ---- a step ---- */

static int work_off(struct store *s, struct pg *c, const struct pg_rows *notes)
{
    int64_t results[NOTES];
    size_t count = 0;
    int rc = OK;
    for (int i = 0; !rc && i < notes->count; i++) {
        if (pg_int(notes, i, 1) == GARBAGE_RESULT)
            results[count++] = pg_int(notes, i, 2);
        else
            rc = collect_checkpoints(c, pg_int(notes, i, 0), pg_int(notes, i, 2),
                                     pg_int(notes, i, 3));
    }
    return rc ? rc : collect_results(s, c, results, count);
}

static int collect(struct pg *c, void *arg)
{
    struct collecting *g = arg;
    struct pg_rows notes;
    bool mine;
    g->more = false;
    int rc = take_lock(c, g->wait, &mine);
    if (rc || !mine)
        return rc;
    rc = PG_QUERY(c, &notes,
                  "SELECT garbage_id, kind, id, arg FROM garbage ORDER BY garbage_id LIMIT $1",
                  P_INT(NOTES));
    if (rc)
        return rc;
    g->more = notes.count > 0;
    rc = work_off(g->s, c, &notes);
    pg_rows_free(&notes);
    return rc ? error_prefix("while deleting old results") : OK;
}

int garbage_collect(struct store *s, bool wait, bool *more)
{
    struct collecting g = {.s = s, .wait = wait};
    int rc = store_transaction(s, PG_READ_WRITE, collect, &g);
    *more = g.more;
    return rc;
}

/* ---- the outbox ---- */

struct trim {
    int64_t rows, before_ms;
    bool wait, more;
};

/* The newest row always stays. Ids have gaps, so the number of rows is an upper bound. */
static const char TRIM[] =
    "DELETE FROM life_event WHERE event_id = ANY(ARRAY(SELECT event_id FROM life_event, "
    "(SELECT max(event_id) AS newest FROM life_event) n WHERE event_id < newest AND "
    "(event_id <= newest - $1 OR at_ms < $2) ORDER BY event_id LIMIT $3))";

static int trim(struct pg *c, void *arg)
{
    struct trim *t = arg;
    struct pg_rows rows;
    bool mine;
    t->more = false;
    int rc = take_lock(c, t->wait, &mine);
    if (rc || !mine)
        return rc;
    rc = PG_QUERY(c, &rows, TRIM, P_INT(t->rows), P_INT(t->before_ms), P_INT(TRIM_ROWS));
    t->more = !rc && rows.affected == TRIM_ROWS;
    pg_rows_free(&rows);
    return rc;
}

int garbage_trim(struct store *s, bool wait, bool *more)
{
    struct trim t = {
        .wait = wait, .rows = s->outbox_rows, .before_ms = store_now(s) - s->outbox_ms};
    int rc = store_transaction(s, PG_READ_WRITE, trim, &t);
    *more = t.more;
    return rc;
}

/* ---- what is indexed behind: embeddings and words ---- */

static const char MOVE[] =
    "WITH d AS (DELETE FROM embedding_%lld_fresh WHERE chunk_id = ANY(ARRAY(SELECT chunk_id FROM "
    "embedding_%lld_fresh ORDER BY chunk_id LIMIT $1)) RETURNING chunk_id, result_id, embedding) "
    "INSERT INTO embedding_%lld (chunk_id, result_id, embedding) SELECT * FROM d";
static const char MOVE_WORDS[] =
    "WITH d AS (DELETE FROM chunk_fresh WHERE chunk_id = ANY(ARRAY(SELECT chunk_id FROM "
    "chunk_fresh ORDER BY chunk_id LIMIT $1)) RETURNING chunk_id, result_id, start_ms, end_ms, "
    "byte_offset, ordinal, text, words) INSERT INTO chunk (chunk_id, result_id, start_ms, end_ms, "
    "byte_offset, ordinal, text, words) SELECT * FROM d";
static const char CROWDED[] = "SELECT 1 FROM embedding_%lld_fresh OFFSET $1 LIMIT 1";

struct moving {
    struct store *s;
    int64_t *last_chunk; /* NULL: move in any case */
    bool quiet, calm;    /* none, or few chunks were added since the last look, by any process */
    bool more;
};

static int look_quiet(struct moving *m, struct pg *c)
{
    int64_t last = 0;
    m->quiet = m->calm = true;
    if (!m->last_chunk)
        return OK;
    int rc = pg_number(c, &last, 0, "SELECT pg_sequence_last_value('chunk_chunk_id_seq')", NULL, 0);
    m->quiet = last == *m->last_chunk;
    m->calm = last - *m->last_chunk < CALM_CHUNKS;
    *m->last_chunk = last;
    return rc;
}

/* A search reads all of chunk_fresh, also what is left of deleted rows. Once it is this large
 * further chunks go to chunk at once, at what that costs. */
static int look_crowded(struct store *s, struct pg *c)
{
    int64_t bytes;
    int rc = pg_number(c, &bytes, 0, "SELECT pg_relation_size('chunk_fresh')", NULL, 0);
    if (!rc)
        atomic_store(&s->crowded, bytes > FRESH_BYTES);
    return rc;
}

static int move_of_space(struct moving *m, struct pg *c, int64_t space_id)
{
    struct pg_rows rows;
    const char *sql = space_sql(m->s, space_id, MOVE),
               *crowded = space_sql(m->s, space_id, CROWDED);
    int64_t full = m->quiet;
    if (!sql || !crowded)
        return ERR_NO_MEMORY;
    int rc = m->quiet ? OK : PG_NUMBER(c, &full, 0, crowded, P_INT(FRESH_MOST));
    if (rc || !full)
        return rc;
    rc = PG_QUERY(c, &rows, sql, P_INT(MOVE_ROWS));
    m->more |= !rc && rows.affected == MOVE_ROWS;
    pg_rows_free(&rows);
    return rc;
}

static int move_chunks(struct moving *m, struct pg *c)
{
    struct pg_rows rows;
    int rc = m->calm ? PG_QUERY(c, &rows, MOVE_WORDS, P_INT(MOVE_CHUNKS)) : OK;
    if (rc || !m->calm)
        return rc;
    m->more |= rows.affected == MOVE_CHUNKS;
    pg_rows_free(&rows);
    return OK;
}

static int move_all(struct moving *m, struct pg *c)
{
    struct pg_rows spaces;
    int rc = pg_query(c, &spaces, "SELECT space_id FROM embedding_space", NULL, 0);
    if (rc)
        return rc;
    for (int i = 0; !rc && i < spaces.count; i++)
        rc = move_of_space(m, c, pg_int(&spaces, i, 0));
    pg_rows_free(&spaces);
    if (!rc)
        rc = move_chunks(m, c);
    if (!rc && m->quiet && !m->more)
        rc = pg_query(c, NULL, "SELECT settle_words()", NULL, 0);
    return rc;
}

static int move(struct pg *c, void *arg)
{
    struct moving *m = arg;
    bool mine = false;
    m->more = false;
    int rc = look_crowded(m->s, c);
    if (!rc)
        rc = take_lock(c, !m->last_chunk, &mine);
    if (!rc && mine)
        rc = look_quiet(m, c);
    return rc || !mine ? rc : move_all(m, c);
}

/* Not durable: undone by a crash, the rows are where they were. */
int index_step(struct store *s, int64_t *last_chunk, bool *more)
{
    struct moving m = {.s = s, .last_chunk = last_chunk};
    int rc = store_transaction(s, PG_NOT_DURABLE, move, &m);
    *more = m.more;
    return rc;
}

/* ---- a space that is filled ---- */

static const char FRESH_LEFT[] = "SELECT 1 FROM embedding_%lld_fresh LIMIT 1";

struct preparing {
    struct moving moving;
    int64_t space_id;
};

static int prepare(struct pg *c, void *arg)
{
    struct preparing *p = arg;
    bool mine;
    p->moving.more = false;
    int rc = take_lock(c, true, &mine);
    return rc ? rc : move_of_space(&p->moving, c, p->space_id);
}

int postgres_space_prepare(void *ctx, int64_t space_id, bool *more)
{
    struct store *s = ctx;
    struct preparing p = {.moving = {.s = s, .quiet = true}, .space_id = space_id};
    struct pg *c;
    int64_t left = 0;
    *more = false;
    const char *sql = space_sql(s, space_id, FRESH_LEFT);
    int rc = sql ? store_hold(s, &c) : ERR_NO_MEMORY;
    if (rc)
        return rc;
    rc = space_usable(c, space_id);
    if (!rc)
        rc = pg_number(c, &left, 0, sql, NULL, 0);
    pg_release(c);
    if (!rc && left)
        rc = store_transaction(s, PG_NOT_DURABLE, prepare, &p);
    *more = !rc && p.moving.more;
    return rc;
}
