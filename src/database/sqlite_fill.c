/*
 * Filling a space that does not serve: what it lacks, and adding to it.
 *
 * A result's own embeddings are in chunk_run; those of further spaces are in space_run, stretch by
 * stretch as they come, and result_space counts them. A stretch never goes beyond its chunk_run.
 */
#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_results.h"
#include "database/vector_half.h"

/* ---- what is missing ---- */

enum { RESULTS_PAGE = 256 };

struct lacking {
    struct connection *c;
    int64_t space_id;
    int64_t result_id, chunk_id; /* behind these */
    size_t limit;
    struct arena *arena;
    struct missing_chunk *out;
    size_t count;
};

static const char LACKING_RESULTS[] =
    "SELECT r.result_id FROM result r WHERE r.result_id >= ?1 AND r.state = 1 AND r.chunk_count > "
    "0 AND r.space_id <> ?2 AND NOT EXISTS (SELECT 1 FROM result_space x WHERE x.result_id = "
    "r.result_id AND x.space_id = ?2 AND x.chunks >= r.chunk_count) ORDER BY r.result_id LIMIT ?3";

static const char LACKING_CHUNKS[] =
    "SELECT c.chunk_id, c.text FROM chunk_run u CROSS JOIN chunk c ON c.chunk_id BETWEEN "
    "u.first_chunk AND u.first_chunk + u.count - 1 WHERE u.result_id = ?1 AND c.chunk_id > ?3 AND "
    "NOT EXISTS (SELECT 1 FROM space_run x WHERE x.first_chunk BETWEEN u.first_chunk AND "
    "c.chunk_id AND x.space_id = ?2 AND x.first_chunk + x.count > c.chunk_id) "
    "ORDER BY u.first_ordinal, c.chunk_id";

static int take_chunks(struct lacking *l, int64_t result_id)
{
    sqlite3_stmt *row;
    bool more;
    int64_t behind = result_id == l->result_id ? l->chunk_id : 0;
    int rc =
        SQL_BEGIN(l->c, &row, LACKING_CHUNKS, V_INT(result_id), V_INT(l->space_id), V_INT(behind));
    while (!rc && l->count < l->limit && !(rc = sql_next(l->c, row, &more)) && more) {
        struct missing_chunk *chunk = &l->out[l->count];
        size_t length = (size_t)sqlite3_column_bytes(row, 1);
        *chunk = (struct missing_chunk){.result_id = result_id,
                                        .chunk_id = sql_int(row, 0),
                                        .text = arena_strndup(l->arena, sql_peek(row, 1), length),
                                        .length = length};
        rc = chunk->text ? OK : ERR_NO_MEMORY;
        l->count++;
    }
    sql_done(row);
    return rc;
}

/* *last: the greatest of a full page, 0: there are no more. */
static int take_results(struct lacking *l, int64_t from, int64_t *last)
{
    int64_t ids[RESULTS_PAGE];
    size_t n = 0;
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(l->c, &row, LACKING_RESULTS, V_INT(from), V_INT(l->space_id),
                       V_INT(RESULTS_PAGE));
    while (!rc && n < RESULTS_PAGE && !(rc = sql_next(l->c, row, &more)) && more)
        ids[n++] = sql_int(row, 0);
    sql_done(row);
    for (size_t i = 0; !rc && i < n && l->count < l->limit; i++)
        rc = take_chunks(l, ids[i]);
    *last = n == RESULTS_PAGE ? ids[n - 1] : 0;
    return rc;
}

static int find_lacking(struct lacking *l)
{
    int64_t from = l->result_id, last;
    int rc = space_check(l->c, l->space_id);
    do {
        if (!rc)
            rc = take_results(l, from, &last);
        from = rc ? 0 : last + 1;
    } while (!rc && last && l->count < l->limit);
    return rc;
}

int sqlite_space_missing(void *ctx, int64_t space_id, const struct missing_chunk *after,
                         size_t limit, struct arena *arena, struct missing_chunk **out,
                         size_t *count)
{
    struct store *s = ctx;
    struct lacking l = {.space_id = space_id,
                        .result_id = after ? after->result_id : 0,
                        .chunk_id = after ? after->chunk_id : 0,
                        .limit = limit,
                        .arena = arena,
                        .out = arena_array(arena, limit + 1, sizeof **out)};
    *count = 0;
    *out = l.out;
    if (!l.out)
        return ERR_NO_MEMORY;
    struct reader *r = reader_hold(s);
    l.c = &r->main;
    int rc = snapshot_begin(l.c);
    if (!rc)
        rc = find_lacking(&l);
    snapshot_end(l.c);
    reader_release(s, r);
    *count = rc ? 0 : l.count;
    return rc;
}

/* ---- adding ---- */

struct filling {
    int64_t space_id;
    int dimension;
    const struct missing_chunk *chunks;
    size_t count;
    uint16_t *vectors;
    int64_t least; /* chunk that was added, 0: none */
};

/* The chunk_run that a chunk is in. */
struct run {
    int64_t first, count, result_id;
    bool wanted;          /* of a ready result, and of another space */
    bool has[RUN_CHUNKS]; /* an embedding in this space */
};

static int mark_filled(struct transaction *tx, const struct filling *f, struct run *run)
{
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(tx->c, &row,
                       "SELECT first_chunk, count FROM space_run WHERE first_chunk >= ?1 AND "
                       "first_chunk < ?2 AND space_id = ?3",
                       V_INT(run->first), V_INT(run->first + run->count), V_INT(f->space_id));
    while (!rc && !(rc = sql_next(tx->c, row, &more)) && more)
        for (int64_t at = sql_int(row, 0) - run->first, n = sql_int(row, 1);
             n > 0 && at < RUN_CHUNKS; at++, n--)
            run->has[at] = true;
    sql_done(row);
    return rc;
}

static int load_run(struct transaction *tx, const struct filling *f, int64_t chunk_id,
                    struct run *run)
{
    sqlite3_stmt *row;
    *run = (struct run){0};
    int rc = SQL_FIRST(tx->c, &row,
                       "SELECT u.first_chunk, u.count, u.result_id, r.state = 1 AND u.space_id <> "
                       "?2 FROM chunk_run u JOIN result r ON r.result_id = u.result_id WHERE "
                       "u.first_chunk <= ?1 ORDER BY u.first_chunk DESC LIMIT 1",
                       V_INT(chunk_id), V_INT(f->space_id));
    if (row && chunk_id < sql_int(row, 0) + sql_int(row, 1)) {
        run->first = sql_int(row, 0);
        run->count = sql_int(row, 1) < RUN_CHUNKS ? sql_int(row, 1) : RUN_CHUNKS;
        run->result_id = sql_int(row, 2);
        run->wanted = sql_int(row, 3);
    }
    sql_done(row);
    return rc || !run->wanted ? rc : mark_filled(tx, f, run);
}

static bool takes(const struct run *run, const struct missing_chunk *chunk)
{
    return run->wanted && chunk->result_id == run->result_id && chunk->chunk_id >= run->first &&
           chunk->chunk_id < run->first + run->count && !run->has[chunk->chunk_id - run->first];
}

/* Chunks from `from` on that follow each other within the run. */
static size_t stretch(const struct filling *f, const struct run *run, size_t from)
{
    size_t n = 0;
    while (from + n < f->count && takes(run, &f->chunks[from + n]) &&
           f->chunks[from + n].chunk_id == f->chunks[from].chunk_id + (int64_t)n)
        n++;
    return n;
}

static int add_stretch(struct transaction *tx, struct filling *f, const struct run *run,
                       size_t from, size_t n)
{
    const uint16_t *vectors = f->vectors + from * (size_t)f->dimension;
    int64_t first = f->chunks[from].chunk_id;
    f->least = !f->least || first < f->least ? first : f->least;
    int rc =
        SQL_RUN(tx->c,
                "INSERT INTO space_run (first_chunk, count, space_id, vectors) VALUES (?1, ?2, "
                "?3, ?4)",
                V_INT(first), V_INT((int64_t)n), V_INT(f->space_id),
                V_BLOB(vectors, n * (size_t)f->dimension * sizeof *vectors));
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "INSERT INTO result_space VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET "
                     "chunks = chunks + excluded.chunks",
                     V_INT(run->result_id), V_INT(f->space_id), V_INT((int64_t)n));
    return rc ? rc : space_add(tx, f->space_id, (int64_t)n);
}

/* What is added where an index may have passed makes it useless: it is made anew under another
 * name, at once or, lest searches do so for each batch, when the space is next made the serving one
 * (it may be already: then it lacked something from before). */
static int note_filled(struct transaction *tx, const struct filling *f)
{
    return SQL_RUN(
        tx->c,
        "UPDATE embedding_space SET filled = filled + 1, "
        "generation = generation + (?2 <= tail AND embedding_space.space_id <> s.space_id), "
        "tail = CASE WHEN embedding_space.space_id = s.space_id THEN ?3 WHEN ?2 <= tail "
        "THEN 0 ELSE tail END FROM serving_space s WHERE embedding_space.space_id = ?1",
        V_INT(f->space_id), V_INT(f->least), V_INT(SPACE_TAIL_STALE));
}

static int fill(struct transaction *tx, void *arg)
{
    struct filling *f = arg;
    struct run run = {0};
    f->least = 0;
    int rc = space_check(tx->c, f->space_id);
    for (size_t i = 0; !rc && i < f->count;) {
        rc = load_run(tx, f, f->chunks[i].chunk_id, &run);
        size_t n = rc ? 0 : stretch(f, &run, i);
        if (!rc && n)
            rc = add_stretch(tx, f, &run, i, n);
        i += n ? n : 1;
    }
    return rc || !f->least ? rc : note_filled(tx, f);
}

int sqlite_space_append(void *ctx, int64_t space_id, const struct missing_chunk *chunks,
                        size_t count, const float *vectors)
{
    struct store *s = ctx;
    struct filling f = {.space_id = space_id, .chunks = chunks, .count = count};
    int rc = space_dimension(s, space_id, &f.dimension);
    if (rc == ERR_INVALID)
        rc = space_unknown(space_id);
    if (rc || !count)
        return rc;
    size_t values = count * (size_t)f.dimension;
    f.vectors = malloc(values * sizeof *f.vectors);
    if (!f.vectors)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu embeddings", count);
    half_from_floats(vectors, values, f.vectors);
    rc = writer_run(&s->writer, fill, &f);
    free(f.vectors);
    return rc;
}

/* ---- letting go ---- */

int spaces_leave(struct transaction *tx, int64_t result_id)
{
    sqlite3_stmt *row;
    bool more;
    int rc =
        SQL_BEGIN(tx->c, &row, "SELECT space_id, chunks FROM result_space WHERE result_id = ?1",
                  V_INT(result_id));
    while (!rc && !(rc = sql_next(tx->c, row, &more)) && more)
        rc = space_add(tx, sql_int(row, 0), -sql_int(row, 1));
    sql_done(row);
    return rc ? rc
              : SQL_RUN(tx->c, "DELETE FROM result_space WHERE result_id = ?1", V_INT(result_id));
}
