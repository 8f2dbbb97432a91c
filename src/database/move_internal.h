/*
 * move_internal.h - what the files of move.h share: the tables as both engines have them, and how
 * rows are read and written.
 */
#ifndef AEGIS_DATABASE_MOVE_INTERNAL_H
#define AEGIS_DATABASE_MOVE_INTERNAL_H

#include <stdbool.h>

#include "database/move.h"
#include "shared/arena.h"
#include "shared/error.h"

/* ---- tables ---- */

/* What a value is, and how the engines differ in keeping it. */
enum move_type {
    MOVE_INT,
    MOVE_BOOL,   /* PostgreSQL: boolean */
    MOVE_ID,     /* 0 is NULL in both */
    MOVE_TEXT,   /* may be NULL */
    MOVE_BLOB,   /* may be NULL */
    MOVE_NAME,   /* a text; SQLite: <name>_id, a row of the table name, 0 for "" */
    MOVE_FACET,  /* as MOVE_NAME, but a part of the medium's facet */
    MOVE_HEX,    /* a digest as 64 hex digits; PostgreSQL: bytea; SQLite: as MOVE_NAME */
    MOVE_KEY,    /* the first 8 bytes of a digest as a number; PostgreSQL: bytea of all of them */
    MOVE_VECTOR, /* float16, little-endian; NULL: none */
    MOVE_FOR_WORDS, /* a text from which the lexemes of a chunk are made: of no table itself */
};

struct move_column {
    const char *name; /* in PostgreSQL, and in SQLite unless told */
    enum move_type type;
    const char *sqlite;                      /* its name in SQLite */
    const char *sqlite_key, *sqlite_key63;   /* SQLite's column with digest_key (63 bits) of it */
    const char *sqlite_read, *postgres_read; /* expressions instead of the column */
};

enum { MOVE_COLUMNS_MAX = 24 };

struct move_table {
    const char *name;
    const struct move_column *columns;
    size_t count;
    const char *order;    /* the key */
    int page;             /* rows to hold at a time; 0: MOVE_PAGE */
    bool sequences;       /* not a table: the next ids (name, next) */
    bool settings;        /* one row that is always there */
    bool embeddings_only; /* of no table itself: (chunk, space, result, vector) */
    const char *sqlite_from, *postgres_from; /* instead of the name */
    const char *sqlite_zero, *postgres_zero; /* a column that is 0 at first, or always */
};

/* Columns of embeddings_only. */
enum { FURTHER_CHUNK, FURTHER_SPACE, FURTHER_RESULT, FURTHER_VECTOR };

enum { MOVE_PAGE = 1000, MOVE_BATCH_BYTES = 8 << 20 };

/* In the order in which they are written. */
extern const struct move_table move_tables[];
extern const size_t move_table_count;

/* ---- rows ---- */

struct move_value {
    int64_t number;    /* MOVE_INT, MOVE_BOOL, MOVE_ID, MOVE_KEY */
    const void *bytes; /* else, NULL: NULL; of MOVE_KEY the whole digest, if it is known */
    size_t length;
};

/* A database that is read. Values are borrowed until the next call. */
struct move_reader {
    const struct move_reader_ops *ops;
    void *ctx;
};
struct move_reader_ops {
    int (*open)(void *ctx, const struct move_table *table, int64_t skip);
    int (*next)(void *ctx, struct move_value *row, bool *more);
    void (*done)(void *ctx); /* ends what open began; keeps the last error */
    void (*close)(void *ctx);
};

/* A database that is written: begin, row ..., commit, for each batch. */
struct move_writer {
    const struct move_writer_ops *ops;
    void *ctx;
};
struct move_writer_ops {
    /* Rows of this table that are already there. */
    int (*progress)(void *ctx, const struct move_table *table, int64_t *rows);
    int (*begin)(void *ctx, const struct move_table *table);
    int (*row)(void *ctx, const struct move_value *row);
    /* Durable; `rows` of the table are there now. */
    int (*commit)(void *ctx, int64_t rows);
    int (*finish)(void *ctx);                          /* derives totals and ids; may be repeated */
    int (*reader)(void *ctx, struct move_reader *out); /* of what was written */
    int (*complete)(void *ctx); /* all is there and right: forget the progress */
    void (*close)(void *ctx);   /* keeps the last error */
};

/* ---- the engines ---- */

/* A database in use: one snapshot. */
int move_sqlite_reader(const char *path, struct move_reader *out);
/* The tables of a connection that is open for something else (struct connection *). */
struct connection;
int move_sqlite_reader_on(struct connection *c, struct move_reader *out);
int move_postgres_reader(const char *url, struct move_reader *out);

/* Makes `path` + `suffix`, or goes on with it if its import has this name; `complete` renames it to
 * `path`. `keep_digests`: the table export_digest is filled (an export). */
struct move_sqlite_target {
    const char *path, *suffix;
    const char *import_id;         /* "": whatever is there is replaced */
    const char *engine, *database; /* of the source, for export_info; NULL: not an export */
};
int move_sqlite_writer(const struct move_sqlite_target *target, struct move_writer *out);
/* Deletes what an export that failed had made. */
void move_sqlite_discard(const struct move_sqlite_target *target);
/* "user@host:port/database", borrowed from the reader. */
const char *move_postgres_name(const struct move_reader *reader);
int move_postgres_writer(const char *url, const char *import_id, struct move_writer *out);

/* ---- shared ---- */

/* Writes the manifest into a file that move_sqlite_writer made (before `complete`). */
int move_manifest_write(struct move_writer *writer, const struct move_report *report);

/* The SELECT of a table: `expression` of each column is what the engine reads. */
int move_select(const struct move_table *table, const char *from,
                const char *(*expression)(const struct move_column *, struct arena *),
                struct arena *arena, char **out);

bool move_column_stored(const struct move_column *column); /* not MOVE_FOR_WORDS */

#endif
