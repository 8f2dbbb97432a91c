/*
 * postgres_vectors.h - the vector arm on PostgreSQL.
 *
 * A space's embeddings are in two tables (postgres_internal.h), of which the larger has an HNSW
 * index on cosine distance. The search is
 *
 *   exact        in a space of at most `exact_rows` chunks; where the filter leaves at most so
 * many; where there is no index (more than 4,000 dimensions of halfvec, 2,000 of vector); and where
 * the index gave fewer hits than there must be; approximate  else: candidates of the index, twice
 * as many as are wanted, together with those not in the index yet, in the order of their exact
 * distances.
 *
 * A filter, and that only current results of media not removed may be shown, is applied while the
 * index is walked: pgvector from 0.8 on goes on until there are enough (iterative scans). Older
 * ones look at as many as ef_search allows (1,000) and give what is left of them: if that is too
 * few, the search is done again exactly, which reads the whole space.
 *
 * Distances are those of the query in float32 to the embeddings as they are stored.
 */
#ifndef AEGIS_DATABASE_POSTGRES_VECTORS_H
#define AEGIS_DATABASE_POSTGRES_VECTORS_H

#include "ports/database.h"

struct vector_tuning {
    int64_t exact_rows;
    int64_t ef_search; /* candidates the index keeps in view, at least; measured by bench/run
                        * vector-postgres: recall@10 against what it costs */
    int64_t scan_rows; /* the index gives up after so many (pgvector's own limit is 20,000) */
    bool one_scan;     /* as if pgvector were older than 0.8 */
};
extern const struct vector_tuning vector_tuning_default;

enum vector_way { VECTOR_EXACT, VECTOR_EXACT_FILTERED, VECTOR_INDEX, VECTOR_INDEX_THEN_EXACT };

/* postgres_search_vector with another tuning, for tests and benchmarks; *way (NULL: not wanted)
 * tells how it was done. */
int postgres_search_vector_tuned(void *ctx, const struct vector_tuning *tuning, int64_t space_id,
                                 const float *query, const struct media_filter *filter, size_t k,
                                 struct arena *arena, struct arm_hit **out, size_t *count,
                                 enum vector_way *way);

#endif
