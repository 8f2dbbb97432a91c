/*
 * sqlite_connection.h - one SQLite connection with its prepared statements, and errors as Aegis's.
 *
 * One thread at a time. Statements are prepared once per connection and found again by the address
 * of their text, which must therefore be a string constant.
 */
#ifndef AEGIS_DATABASE_SQLITE_CONNECTION_H
#define AEGIS_DATABASE_SQLITE_CONNECTION_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/arena.h"

enum { STATEMENT_SLOTS = 256 };

struct connection {
    sqlite3 *db;
    const char *path; /* for error texts; borrowed */
    int64_t busy_ms;
    struct {
        const char *sql;
        sqlite3_stmt *statement;
    } slots[STATEMENT_SLOTS];
};

/* A bound parameter. Texts and blobs are borrowed until the statement is done. */
struct sql_value {
    enum { SQL_INT, SQL_TEXT, SQL_BLOB, SQL_NULL } type;
    int64_t number; /* or the length */
    const void *bytes;
};
#define V_INT(n)      ((struct sql_value){.type = SQL_INT, .number = (n)})
#define V_TEXT(t)     ((struct sql_value){.type = SQL_TEXT, .bytes = (t), .number = -1})
#define V_TEXTN(t, n) ((struct sql_value){.type = SQL_TEXT, .bytes = (t), .number = (int64_t)(n)})
#define V_BLOB(p, n)  ((struct sql_value){.type = SQL_BLOB, .bytes = (p), .number = (int64_t)(n)})
#define V_NULL        ((struct sql_value){.type = SQL_NULL})

#define SQL_VALUES(...)                                                                            \
    (const struct sql_value[]){__VA_ARGS__},                                                       \
        sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)

/* Opens with the pragmas every connection has. `flags` are SQLite's. */
int connection_open(struct connection *c, const char *path, int flags, int64_t busy_ms);
/* For one that commits much: with synchronous=FULL and a log written in large pieces. */
int connection_open_writer(struct connection *c, const char *path, int flags, int64_t busy_ms);
void connection_close(struct connection *c); /* a zeroed one is fine */

/* Runs statements without parameters or rows. */
int connection_exec(struct connection *c, const char *sql);
/* Sets the journal mode, whoever else opens the file now; waits for at most c->busy_ms. */
int connection_use_wal(struct connection *c);

/* Sets the error for SQLite's `rc` and returns its code; `doing` completes "while ...". */
int connection_error(struct connection *c, int rc, const char *doing);

/* Binds and returns a statement ready for sql_next. */
int sql_begin(struct connection *c, sqlite3_stmt **out, const char *sql,
              const struct sql_value *values, size_t count);
/* *row false: no more, and the statement is done. */
int sql_next(struct connection *c, sqlite3_stmt *statement, bool *row);
/* Ends it early. NULL is fine. */
void sql_done(sqlite3_stmt *statement);

/* The first row only: *out is NULL if there is none, else to be ended with sql_done. */
int sql_first(struct connection *c, sqlite3_stmt **out, const char *sql,
              const struct sql_value *values, size_t count);
/* No rows wanted. */
int sql_run(struct connection *c, const char *sql, const struct sql_value *values, size_t count);
/* The first column of the first row as a number, `fallback` without a row. */
int sql_number(struct connection *c, int64_t *out, int64_t fallback, const char *sql,
               const struct sql_value *values, size_t count);

#define SQL_RUN(c, sql, ...)        sql_run((c), (sql), SQL_VALUES(__VA_ARGS__))
#define SQL_FIRST(c, out, sql, ...) sql_first((c), (out), (sql), SQL_VALUES(__VA_ARGS__))
#define SQL_BEGIN(c, out, sql, ...) sql_begin((c), (out), (sql), SQL_VALUES(__VA_ARGS__))
#define SQL_NUMBER(c, out, fall, sql, ...)                                                         \
    sql_number((c), (out), (fall), (sql), SQL_VALUES(__VA_ARGS__))

/* As sql_begin for text that is put together at run time; end with sql_drop. */
int sql_prepare(struct connection *c, sqlite3_stmt **out, const char *sql,
                const struct sql_value *values, size_t count);
void sql_drop(sqlite3_stmt *statement); /* NULL is fine */

/* Columns. sql_text: never NULL while there is memory; a copy in the arena. */
static inline int64_t sql_int(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}
const char *sql_text(sqlite3_stmt *statement, int column, struct arena *arena);
/* Borrowed until the statement moves; "" for NULL. */
const char *sql_peek(sqlite3_stmt *statement, int column);
/* Copies at most size - 1 bytes and a NUL. */
void sql_copy(sqlite3_stmt *statement, int column, char *out, size_t size);

#endif
