/*
 * queue_sqlite_statement.h - running the store's prepared statements.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_STATEMENT_H
#define AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_STATEMENT_H

#include "adapters/local/queue_sqlite_store.h"

/* Binds integers to ?1, ?2, ... and returns the statement, ready to step. */
#define STORE_BIND(s, statement, ...)                                                              \
    store_bind((s), (statement), (const int64_t[]){__VA_ARGS__},                                   \
               (int)(sizeof(const int64_t[]){__VA_ARGS__} / sizeof(int64_t)))
sqlite3_stmt *store_bind(struct store *s, enum statement statement, const int64_t *values,
                         int count);

/* Steps a bound statement to its end (it gives no row) and resets it. */
int store_run(struct store *s, sqlite3_stmt *q, const char *doing);

/* Steps to the next row: *row false at the end. Resets at the end and on error. */
int store_next(struct store *s, sqlite3_stmt *q, const char *doing, bool *row);

/* Timers for messages (ids sorted) that are due at one time: one for each stretch of near ids. */
int store_add_timers(struct store *s, int64_t due_ms, const int64_t *ids, size_t count);

/* Takes a received message to the dead letters. */
int store_kill(struct store *s, int64_t id, int receives, const char *reason, const char *detail,
               int64_t now);

#endif
