/* vector_internal.h - for tests and benchmarks of the vector index. */
#ifndef AEGIS_DATABASE_VECTOR_INTERNAL_H
#define AEGIS_DATABASE_VECTOR_INTERNAL_H

#include "database/vector_index.h"
#include "database/vector_kernel.h"

/* Searches with this kernel and at most so many threads. Not while another thread searches. */
void vector_index_tune(struct vector_index *index, const struct vector_kernel *kernel,
                       size_t threads);

#endif
