/*
 * Giving back the room of a space, in steps: a search or a publication waits for one at most. What
 * is left by a process that died is found again by the space's mark, and the steps are the same.
 */
#include "database/sqlite_internal.h"

enum { STEP_ROWS = 64, STEP_RESULTS = 1000 };

enum phase { MARK, RESULTS, OWN_RUNS, FURTHER_RUNS, COUNTS, END };

struct dropping {
    int64_t space_id, generation;
    int64_t ids[STEP_RESULTS];
    size_t count;
};

/* ---- finding, in a reader ---- */

/* The rows of a step, and what deletes one. */
static const struct rows {
    const char *find, *free;
    size_t limit;
} rows[] = {
    [RESULTS] = {"SELECT result_id FROM result WHERE result_id > ?1 AND space_id = ?2 ORDER BY "
                 "result_id LIMIT ?3",
                 "UPDATE result SET space_id = 0 WHERE result_id = ?1 AND space_id = ?2",
                 STEP_RESULTS},
    [OWN_RUNS] = {"SELECT first_chunk FROM chunk_run WHERE first_chunk > ?1 AND space_id = ?2 "
                  "ORDER BY first_chunk LIMIT ?3",
                  "UPDATE chunk_run SET space_id = 0, vectors = NULL WHERE first_chunk = ?1 AND "
                  "space_id = ?2",
                  STEP_ROWS},
    [FURTHER_RUNS] = {"SELECT first_chunk FROM space_run WHERE first_chunk > ?1 AND space_id = ?2 "
                      "ORDER BY first_chunk LIMIT ?3",
                      "DELETE FROM space_run WHERE first_chunk = ?1 AND space_id = ?2", STEP_ROWS},
    [COUNTS] = {"SELECT result_id FROM result_space WHERE result_id > ?1 AND space_id = ?2 ORDER "
                "BY result_id LIMIT ?3",
                "DELETE FROM result_space WHERE result_id = ?1 AND space_id = ?2", STEP_RESULTS},
};

static int find(struct store *s, const struct rows *what, int64_t after, struct dropping *d)
{
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    bool more;
    d->count = 0;
    int rc = SQL_BEGIN(&r->main, &row, what->find, V_INT(after), V_INT(d->space_id),
                       V_INT((int64_t)what->limit));
    while (!rc && d->count < what->limit && !(rc = sql_next(&r->main, row, &more)) && more)
        d->ids[d->count++] = sql_int(row, 0);
    sql_done(row);
    reader_release(s, r);
    return rc;
}

/* ---- changing ---- */

static int mark(struct transaction *tx, void *arg)
{
    const struct dropping *d = arg;
    int64_t serves, known;
    int rc = SQL_NUMBER(tx->c, &serves, 0, "SELECT 1 FROM serving_space WHERE space_id = ?1",
                        V_INT(d->space_id));
    if (!rc && serves)
        rc = space_serves(d->space_id);
    if (!rc)
        rc = SQL_NUMBER(tx->c, &known, 0, "SELECT 1 FROM embedding_space WHERE space_id = ?1",
                        V_INT(d->space_id));
    if (!rc && !known)
        rc = space_unknown(d->space_id);
    return rc ? rc
              : SQL_RUN(tx->c, "UPDATE embedding_space SET dropping = 1 WHERE space_id = ?1",
                        V_INT(d->space_id));
}

struct freeing {
    const struct rows *what;
    const struct dropping *d;
};

static int free_rows(struct transaction *tx, void *arg)
{
    const struct freeing *f = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < f->d->count; i++)
        rc = SQL_RUN(tx->c, f->what->free, V_INT(f->d->ids[i]), V_INT(f->d->space_id));
    return rc;
}

/* The row stays, for its number must not come back for another model. What the collector took off
 * the count meanwhile, in this transaction too, is void. */
static int finish(struct transaction *tx, void *arg)
{
    struct dropping *d = arg;
    for (size_t i = 0; i < tx->space_count; i++)
        if (tx->spaces[i].space_id == d->space_id)
            tx->spaces[i].chunks = 0;
    int rc = SQL_NUMBER(tx->c, &d->generation, 0,
                        "SELECT generation FROM embedding_space WHERE space_id = ?1",
                        V_INT(d->space_id));
    return rc ? rc
              : SQL_RUN(tx->c,
                        "UPDATE embedding_space SET dropping = 0, chunks = 0, tail = 0, filled = "
                        "filled + 1, generation = generation + 1 WHERE space_id = ?1",
                        V_INT(d->space_id));
}

static int step(struct store *s, struct dropping *d, struct space_drop_place *place)
{
    const struct rows *what = &rows[place->phase];
    int rc = find(s, what, place->at, d);
    if (!rc && d->count)
        rc = writer_run(&s->writer, free_rows, &(struct freeing){.what = what, .d = d});
    if (rc)
        return rc;
    bool all = d->count < what->limit;
    place->at = all ? 0 : d->ids[d->count - 1];
    place->phase += all;
    return OK;
}

int sqlite_space_drop(void *ctx, int64_t space_id, struct space_drop_place *place, bool *more)
{
    struct store *s = ctx;
    struct dropping d = {.space_id = space_id};
    int rc;
    *more = false;
    if (place->phase == MARK) {
        rc = writer_run(&s->writer, mark, &d);
        place->phase += !rc;
    } else if (place->phase < END) {
        rc = step(s, &d, place);
    } else {
        rc = writer_run(&s->writer, finish, &d);
        if (!rc)
            vectors_forget(s, space_id, d.generation);
        return rc;
    }
    *more = !rc;
    return rc;
}
