/*
 * vector_index.h - exact nearest neighbours by cosine: a memory-mapped file beside the database.
 *
 * One file per embedding space. It is a pure cache of the embeddings table: it may be deleted at
 * any time, and is filled again by appending every row. The caller's part is:
 *
 *     vector_index_open(path, dimension, identity, &index);
 *     before a search, and after a commit if it likes:
 *         rows = SELECT chunk_id, vector WHERE chunk_id > vector_index_last_id(index) ORDER BY
 * chunk_id vector_index_append(index, ids, rows, count);
 *
 * Ids must rise in commit order and never be used twice (in SQLite: one writer, AUTOINCREMENT).
 *
 * Layout: for each vector an int8 code per dimension with one scale and one error norm (the part a
 * search scans: dimension bytes, rounded up to 64, and 16 more) and the float16 row (read for the
 * few that the codes cannot decide; stays on disk otherwise). vector_index.c derives the bound that
 * makes the result exact. 1,536 dimensions: 1.5 KB scanned and 3 KB resting per vector.
 *
 * Processes: any number may open the same file; appends and removals take an flock, searches take
 * none and see a consistent prefix. Threads: all functions are thread-safe, but close.
 * Crashes: a killed process loses nothing. After a power cut the rows not known to have reached the
 * disk are forgotten on open (last_id is then lower) and come back with the next append. A damaged
 * or foreign file is replaced by an empty one.
 *
 * All functions that can fail return 0 or ERR_IO, ERR_DISK_FULL (nothing was appended),
 * ERR_NO_MEMORY or what they name. All may block on the disk.
 */
#ifndef AEGIS_DATABASE_VECTOR_INDEX_H
#define AEGIS_DATABASE_VECTOR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ports/database.h"
#include "shared/arena.h"

enum { VECTOR_MAX_DIMENSION = 8192 };

struct vector_index;

/* Opens or makes the file. `identity` says what it caches ("<database id>/<space id>", at most 127
 * bytes): a file with another identity, dimension or format is replaced. ERR_INVALID: dimension not
 * in 1..VECTOR_MAX_DIMENSION. */
int vector_index_open(const char *path, int dimension, const char *identity,
                      struct vector_index **out);
void vector_index_close(struct vector_index *index); /* NULL is fine */

/* The greatest id ever appended, 0 if none. */
int64_t vector_index_last_id(struct vector_index *index);

/* Vectors that a search looks at: appended and not removed. */
int64_t vector_index_count(struct vector_index *index);

/* Appends rows (count x dimension, float16 in the machine's byte order). Ids are positive and
 * strictly rising (else ERR_INVALID); those not above last_id are skipped, so that two processes
 * may append the same rows. Rows need not be normalised. A zero row, or one with a NaN or an
 * infinity, is taken but never found. */
int vector_index_append(struct vector_index *index, const int64_t *ids, const uint16_t *rows,
                        size_t count);

/* Takes ids (sorted or not) out of searches. Unknown ids are skipped. This is housekeeping: after a
 * power cut, or when it races with an append in another process, an id may come back, so a caller
 * that must not show it says so in `accept`. Once more than half of the file is dead the next
 * append rewrites it. */
int vector_index_remove(struct vector_index *index, const int64_t *ids, size_t count);

/* Empties the index (the database was restored from a backup: rows under the same ids differ). */
int vector_index_reset(struct vector_index *index);

/* Copies the float16 row of `id`, to be compared with the database's. ERR_NOT_FOUND. */
int vector_index_row(struct vector_index *index, int64_t id, uint16_t *row);

/* Recomputes every code from its row. ERR_CONFLICT if one differs: the file is damaged; reset it.
 */
int vector_index_verify(struct vector_index *index);

/* Ids first..last, both inclusive. */
struct vector_range {
    int64_t first, last;
};

/* What a search may return. Both parts may be left out; a candidate must pass both.
 *
 * `ranges`: sorted and disjoint; only these vectors are read, so a narrow filter makes the search
 * cheaper. NULL: all.
 *
 * `accept` is asked, from the calling thread, about the best candidates in batches, best first, and
 * sets accepted[i]; it must not call this index. A non-zero return ends the search with it. When
 * too few pass, the search widens until k passed or nothing is left: right for a filter that lets
 * most through (a row that was superseded a moment ago), dear for one that lets almost nothing
 * through; give ranges then. NULL: all are accepted. */
struct vector_filter {
    const struct vector_range *ranges;
    size_t range_count;
    int (*accept)(void *ctx, const int64_t *ids, size_t count, bool *accepted);
    void *ctx;
};

/* The k best by cosine of `query` (float32, any length but zero) with the float16 rows, exactly:
 * best first, equal scores by rising id; score is the cosine, computed in double precision.
 * `filter` may be NULL. Uses up to one thread per processor when there is enough to scan. Sees what
 * any process appended before the call. ERR_INVALID: the query is zero or not finite. ERR_CONFLICT:
 * a row contradicts its code, the file is damaged; reset it. */
int vector_index_search(struct vector_index *index, const float *query, size_t k,
                        const struct vector_filter *filter, struct arena *arena,
                        struct arm_hit **out, size_t *count);

#endif
