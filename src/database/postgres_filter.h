/* postgres_filter.h - SQL put together at run time, and a media_filter as conditions in it. */
#ifndef AEGIS_DATABASE_POSTGRES_FILTER_H
#define AEGIS_DATABASE_POSTGRES_FILTER_H

#include "database/postgres_internal.h"

enum { FILTER_VALUES = 24 };

/* Each step returns an error code; after one the others do nothing and return it too, so that only
 * the last needs a look. */
struct filter_sql {
    struct buffer sql;
    struct pg_value values[FILTER_VALUES];
    size_t count;
    int rc;
    char upper[CAP_KEY + 1]; /* end of the prefix's range */
    bool nothing;            /* a text that is in no row: nothing can match */
};

void filter_begin(struct filter_sql *f, const char *sql);
int filter_text(struct filter_sql *f, const char *sql);
int filter_value(struct filter_sql *f, struct pg_value value); /* "$n" */
int filter_both(struct filter_sql *f, const char *sql, struct pg_value value);
/* " AND ..." over media m; removed media are the caller's. */
int filter_add(struct filter_sql *f, const struct media_filter *filter);
/* Runs it; no rows, and no round trip, if nothing can match. */
int filter_query(struct filter_sql *f, struct pg *c, struct pg_rows *rows);
void filter_end(struct filter_sql *f);

bool filter_any(const struct media_filter *filter); /* true: lets everything pass */
/* Exclusive upper end of the range of texts with this prefix, which is UTF-8, in the order of their
 * bytes; false if there is none. */
bool prefix_upper(const char *prefix, char *out, size_t size);
/* Can it be in a row? Texts of the database are UTF-8. */
bool text_valid(const char *text);

#endif
