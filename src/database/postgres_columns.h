/*
 * postgres_columns.h - rows in memory to the parameters of one statement: an array for each column,
 * taken apart again by unnest($1::bigint[], $2::text[], ...).
 */
#ifndef AEGIS_DATABASE_POSTGRES_COLUMNS_H
#define AEGIS_DATABASE_POSTGRES_COLUMNS_H

#include "database/postgres_batch.h"

enum column_kind {
    COLUMN_INT,    /* int64_t */
    COLUMN_BOOL,   /* bool, as 0 and 1 */
    COLUMN_TEXT,   /* const char *, NULL is NULL */
    COLUMN_TEXTN,  /* struct pg_bytes */
    COLUMN_BYTES,  /* struct pg_bytes, NULL is NULL */
    COLUMN_DIGEST, /* struct digest, NULL if not known */
    COLUMN_WORDS   /* struct pg_bytes: a tsvector (tsvector.h) */
};

struct column {
    enum column_kind kind;
    size_t offset;
};

struct table {
    const char *sql;
    const struct column *columns;
    size_t count;
};

enum { COLUMNS = 24 };

#define AT(kind_, type, member)                                                                    \
    {                                                                                              \
        .kind = (kind_), .offset = offsetof(type, member)                                          \
    }
#define TABLE(sql_, columns_)                                                                      \
    {                                                                                              \
        .sql = (sql_), .columns = (columns_), .count = sizeof(columns_) / sizeof(columns_)[0]      \
    }

/* Queue the statement for all rows of a list; for those of a list of pointers to images that
 * `wanted` picks. Nothing if there are none. */
void send_list(struct batch *b, const struct table *table, const struct list *list);
void send_images(struct batch *b, const struct table *table, const struct list *images,
                 bool (*wanted)(const void *image));

#endif
