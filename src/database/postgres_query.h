/* postgres_query.h - SQL put together at run time, and a media_filter as conditions in it. */
#ifndef AEGIS_DATABASE_POSTGRES_QUERY_H
#define AEGIS_DATABASE_POSTGRES_QUERY_H

#include "database/postgres_internal.h"

enum { QUERY_VALUES = 24 };

/* Each step returns an error code; after one the others do nothing and return it too, so that only
 * the last needs a look. */
struct query_sql {
    struct buffer sql;
    struct pg_value values[QUERY_VALUES];
    size_t count;
    int rc;
    char upper[CAP_KEY + 1]; /* end of the prefix's range */
    bool nothing;            /* a text that is in no row: nothing can match */
};

void query_begin(struct query_sql *f, const char *sql);
int query_text(struct query_sql *f, const char *sql);
int query_value(struct query_sql *f, struct pg_value value); /* "$n" */
int query_both(struct query_sql *f, const char *sql, struct pg_value value);
/* " AND ..." over media m; removed media are the caller's. */
int query_add_filter(struct query_sql *f, const struct media_filter *filter);
/* Runs it; no rows, and no round trip, if nothing can match. */
int query_run(struct query_sql *f, struct pg *c, struct pg_rows *rows);
void query_end(struct query_sql *f);

bool filter_is_any(const struct media_filter *filter); /* true: lets everything pass */
/* Exclusive upper end of the range of texts with this prefix, which is UTF-8, in the order of their
 * bytes; false if there is none. */
bool prefix_end(const char *prefix, char *out, size_t size);
/* Can it be in a row? Texts of the database are UTF-8. */
bool text_valid(const char *text);

#endif
