/* sqlite_job_rows.h - job ids to rows. */
#ifndef AEGIS_DATABASE_SQLITE_JOB_ROWS_H
#define AEGIS_DATABASE_SQLITE_JOB_ROWS_H

#include "database/sqlite_internal.h"

/* In the order of the ids; those that do not exist are left out. `out` has room for n. */
int job_rows(struct store *s, struct connection *c, const int64_t *ids, size_t n,
             struct arena *arena, struct job_row *out, size_t *count);

#endif
