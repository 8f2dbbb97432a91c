/*
 * vector_scan.h - one exact scan over published slots, on several threads.
 *
 * Internal to the vector index.
 */
#ifndef AEGIS_DATABASE_VECTOR_SCAN_H
#define AEGIS_DATABASE_VECTOR_SCAN_H

#include "database/vector_file.h"
#include "ports/database.h"

/* Adjacent slots within one block. */
struct slot_run {
    uint64_t first;
    uint32_t count;
};

struct vector_scan {
    const struct vector_file *file;
    const struct vector_kernel *kernel;
    const struct code_query *query;
    const struct slot_run *runs; /* what to look at */
    size_t run_count;
    size_t threads;
    size_t k;
};

/* The min(k, living) best, best first, equal scores by rising id. *hits is malloc'd; the caller
 * frees it. ERR_NO_MEMORY, ERR_CONFLICT (damaged). */
int vector_scan_run(const struct vector_scan *scan, struct arm_hit **hits, size_t *count);

#endif
