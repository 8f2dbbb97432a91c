/* sqlite_results.h - results as rows, shared by the files that make, swap and collect them. */
#ifndef AEGIS_DATABASE_SQLITE_RESULTS_H
#define AEGIS_DATABASE_SQLITE_RESULTS_H

#include "database/sqlite_internal.h"

/* Chunks whose embeddings share a row: small enough to read and delete in one go. */
enum { RUN_CHUNKS = 128 };

/* A batch made ready on the caller's thread; borrows the caller's rows. */
struct prepared_batch {
    const struct segment_row *segments;
    size_t segment_count;
    const struct chunk_row *chunks;
    size_t chunk_count;
    int64_t space_id;
    int dimension;
    uint16_t *owned;         /* NULL if there are no embeddings */
    const uint16_t *vectors; /* of chunks[0], within `owned` */
    const struct model_call *calls;
    size_t call_count;
};
int batch_prepare(struct store *s, const struct result_batch *b, struct prepared_batch *out);
void batch_free(struct prepared_batch *p);
/* Leaves out rows that are stored already. ERR_INVALID: there is a gap. */
int batch_skip(struct prepared_batch *p, int64_t chunks_done, int64_t segments_done);
int batch_insert(struct transaction *tx, int64_t result_id, const struct prepared_batch *p);

struct new_result {
    enum result_state state;
    int64_t job_id, space_id, chunk_count, segment_count, kind_id, language_id;
    const struct result_key *key;
    struct result_info info; /* zero for one in the making */
    const char *heading, *summary;
};
int result_insert(struct transaction *tx, const struct new_result *new, int64_t *result_id);

struct ready_result {
    int64_t result_id, kind_id, language_id; /* result_id 0: there is none */
};
int result_ready(struct names *names, struct connection *c, const struct result_key *key,
                 struct ready_result *out);

struct staged_result {
    enum result_state state;
    int64_t job_id, space_id, chunks, segments, kind_id, language_id;
};
int staged_load(struct transaction *tx, int64_t result_id, struct staged_result *out);
int staged_append(struct transaction *tx, int64_t result_id, struct staged_result *staged,
                  const struct prepared_batch *prepared);

#endif
