/* sqlite_visible.h - may a search show this chunk? Some medium's current result must hold it, and
 * the medium must match the filter. */
#ifndef AEGIS_DATABASE_SQLITE_VISIBLE_H
#define AEGIS_DATABASE_SQLITE_VISIBLE_H

#include "database/sqlite_internal.h"

struct visible {
    struct connection *c;
    sqlite3_stmt *statement;
    struct filter_sql filter; /* holds the values bound */
    bool nothing;             /* nothing can match */
};

/* Inside a snapshot. visible_end also after an error, and for a zeroed one. */
int visible_begin(struct visible *v, struct store *s, struct connection *c,
                  const struct media_filter *filter);
int visible_check(struct visible *v, int64_t chunk_id, bool *shown);
void visible_end(struct visible *v);

/* The runs of chunks that matching media show, if they are at most `most`: sorted and disjoint, to
 * be freed by the caller. *too_many otherwise. */
int visible_ranges(struct store *s, struct connection *c, const struct media_filter *filter,
                   size_t most, struct vector_range **ranges, size_t *count, bool *too_many);

#endif
