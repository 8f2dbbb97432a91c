/*
 * The collector: deletes in small steps what nothing points to any more. A result is out of sight
 * the moment it is marked; what follows only gives the room back. Each step can be repeated, so a
 * crash in between, or another process doing the same, does no harm: words leave the index first,
 * then the chunks go, then the vectors; at last the result's own row and the note in `garbage`.
 */
#include <string.h>

#include "database/sqlite_internal.h"

enum {
    NOTES = 64,           /* notes of one step */
    SPANS = 64,           /* runs of chunks of one step */
    STEP_CHUNKS = 512,    /* chunks of one step, about: a search may wait for it */
    STEP_SEGMENTS = 4096, /* per result */
    STEP_CHECKPOINTS = 64,
};

struct note {
    int64_t garbage_id, id, arg;
    enum garbage_kind kind;
    bool all_spans; /* the spans of this step are the last of this result */
};

struct collection {
    struct note notes[NOTES];
    size_t note_count;
    struct chunk_span spans[SPANS];
    size_t span_count;
    int64_t chunks;
    bool full;
};

/* ---- finding ---- */

static int find_notes(struct connection *c, struct collection *g)
{
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(c, &row,
                       "SELECT garbage_id, kind, id, arg FROM garbage ORDER BY garbage_id LIMIT ?1",
                       V_INT(NOTES));
    while (!rc && !(rc = sql_next(c, row, &more)) && more)
        g->notes[g->note_count++] = (struct note){.garbage_id = sql_int(row, 0),
                                                  .kind = (enum garbage_kind)sql_int(row, 1),
                                                  .id = sql_int(row, 2),
                                                  .arg = sql_int(row, 3)};
    sql_done(row);
    return rc;
}

static int find_spans(struct connection *c, struct collection *g, struct note *note)
{
    sqlite3_stmt *row;
    bool more = true;
    int rc = SQL_BEGIN(c, &row,
                       "SELECT first_chunk, count, space_id FROM chunk_run WHERE result_id = ?1 "
                       "ORDER BY first_ordinal",
                       V_INT(note->id));
    while (!rc && g->span_count < SPANS && g->chunks < STEP_CHUNKS &&
           !(rc = sql_next(c, row, &more)) && more) {
        g->spans[g->span_count++] = (struct chunk_span){
            .first = sql_int(row, 0), .count = sql_int(row, 1), .space_id = sql_int(row, 2)};
        g->chunks += sql_int(row, 1);
    }
    sql_done(row);
    note->all_spans = !more;
    return rc;
}

/* A result that was cut off ends the step: the notes after it wait for the next. */
static int find_work(struct connection *c, struct collection *g)
{
    int rc = find_notes(c, g);
    for (size_t i = 0; !rc && i < g->note_count; i++) {
        if (g->notes[i].kind != GARBAGE_RESULT)
            continue;
        rc = find_spans(c, g, &g->notes[i]);
        if (!g->notes[i].all_spans)
            g->note_count = i + 1;
    }
    return rc;
}

/* ---- deleting ---- */

static int delete_spans(struct transaction *tx, const struct collection *g)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < g->span_count; i++) {
        const struct chunk_span *span = &g->spans[i];
        rc = SQL_RUN(tx->c, "DELETE FROM chunk WHERE chunk_id >= ?1 AND chunk_id < ?2",
                     V_INT(span->first), V_INT(span->first + span->count));
        if (!rc)
            rc =
                SQL_RUN(tx->c, "DELETE FROM space_run WHERE first_chunk >= ?1 AND first_chunk < ?2",
                        V_INT(span->first), V_INT(span->first + span->count));
        if (!rc)
            rc = SQL_RUN(tx->c, "DELETE FROM chunk_run WHERE first_chunk = ?1", V_INT(span->first));
    }
    return rc;
}

static int forget_note(struct transaction *tx, const struct note *note)
{
    return SQL_RUN(tx->c, "DELETE FROM garbage WHERE garbage_id = ?1", V_INT(note->garbage_id));
}

static int delete_result(struct transaction *tx, const struct note *note)
{
    int rc = SQL_RUN(tx->c,
                     "DELETE FROM segment WHERE result_id = ?1 AND ordinal < (SELECT min(ordinal) "
                     "FROM segment WHERE result_id = ?1) + ?2",
                     V_INT(note->id), V_INT(STEP_SEGMENTS));
    int64_t left = 0;
    if (!rc)
        rc = SQL_NUMBER(tx->c, &left, 0, "SELECT 1 FROM segment WHERE result_id = ?1 LIMIT 1",
                        V_INT(note->id));
    if (!rc && !left && note->all_spans) {
        rc = SQL_RUN(tx->c, "DELETE FROM result WHERE result_id = ?1 AND state = 2",
                     V_INT(note->id));
        if (!rc)
            rc = forget_note(tx, note);
    }
    return rc;
}

static int delete_checkpoints(struct transaction *tx, const struct note *note)
{
    int rc = SQL_RUN(tx->c,
                     "DELETE FROM checkpoint WHERE checkpoint_id IN (SELECT checkpoint_id FROM "
                     "checkpoint WHERE media_id = ?1 AND version_id < ?2 LIMIT ?3)",
                     V_INT(note->id), V_INT(note->arg), V_INT(STEP_CHECKPOINTS));
    if (!rc && sqlite3_changes(tx->c->db) < STEP_CHECKPOINTS)
        rc = forget_note(tx, note);
    return rc;
}

static int delete_all(struct transaction *tx, void *arg)
{
    const struct collection *g = arg;
    int rc = delete_spans(tx, g);
    for (size_t i = 0; !rc && i < g->note_count; i++)
        rc = g->notes[i].kind == GARBAGE_RESULT ? delete_result(tx, &g->notes[i])
                                                : delete_checkpoints(tx, &g->notes[i]);
    return rc;
}

static int forget_words(struct store *s, const struct collection *g)
{
    int64_t end = 0;
    if (!g->span_count)
        return OK;
    for (size_t i = 0; i < g->span_count; i++)
        end = g->spans[i].first + g->spans[i].count > end ? g->spans[i].first + g->spans[i].count
                                                          : end;
    int rc = lexical_index(s, end);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&s->removal);
    rc = lexical_remove(s, g->spans, g->span_count);
    pthread_rwlock_unlock(&s->removal);
    return rc;
}

static void forget_vectors(struct store *s, const struct collection *g)
{
    if (!g->span_count)
        return;
    pthread_rwlock_wrlock(&s->removal);
    vectors_remove(s, g->spans, g->span_count);
    pthread_rwlock_unlock(&s->removal);
}

int collect_step(struct store *s, struct connection *c, bool *more)
{
    struct collection g = {0};
    int rc = snapshot_begin(c);
    if (!rc)
        rc = find_work(c, &g);
    snapshot_end(c);
    *more = g.note_count > 0;
    if (rc || !*more)
        return rc;
    rc = forget_words(s, &g);
    if (!rc)
        rc = writer_run(&s->writer, delete_all, &g);
    if (!rc)
        forget_vectors(s, &g);
    return rc ? error_prefix("while deleting old results") : OK;
}

/* ---- the outbox ---- */

enum { TRIM_ROWS = 20000 };

struct trim {
    int64_t below, before_ms;
};

/* The newest row always stays: ids must go on rising. */
static int trim(struct transaction *tx, void *arg)
{
    const struct trim *t = arg;
    return SQL_RUN(tx->c,
                   "DELETE FROM life_event WHERE event_id IN (SELECT event_id FROM life_event "
                   "WHERE (event_id <= ?1 OR at_ms < ?2) AND event_id < (SELECT max(event_id) FROM "
                   "life_event) ORDER BY event_id LIMIT ?3)",
                   V_INT(t->below), V_INT(t->before_ms), V_INT(TRIM_ROWS));
}

int outbox_trim(struct store *s, struct connection *c, bool *more)
{
    sqlite3_stmt *row;
    struct trim t = {.before_ms = clock_now(s->clock) - s->outbox_ms};
    int64_t oldest = 0, oldest_ms = 0;
    *more = false;
    int rc = sql_first(c, &row,
                       "SELECT event_id, at_ms, (SELECT max(event_id) FROM life_event) FROM "
                       "life_event ORDER BY event_id LIMIT 1",
                       NULL, 0);
    if (row) {
        oldest = sql_int(row, 0);
        oldest_ms = sql_int(row, 1);
        t.below = sql_int(row, 2) - s->outbox_rows;
        *more = (oldest <= t.below || oldest_ms < t.before_ms) && oldest < sql_int(row, 2);
    }
    sql_done(row);
    return rc || !*more ? rc : writer_run(&s->writer, trim, &t);
}
