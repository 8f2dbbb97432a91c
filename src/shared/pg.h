/*
 * pg.h - PostgreSQL through libpq: a pool of connections, prepared statements with typed binary
 * parameters, pipelines, transactions, and errors as Aegis's. It knows nothing of media.
 *
 * Round trips are what a networked database costs, so everything here is sent late and together:
 * BEGIN travels with the first statement, a statement is prepared by the message before its first
 * use, pg_send only queues, and pg_commit_sync sends the last statements and COMMIT as one.
 * Statements run in libpq's pipeline mode
 * (https://www.postgresql.org/docs/15/libpq-pipeline-mode.html): what lies between two pg_sync
 * outside of a transaction is one implicit transaction.
 *
 * Errors. Each carries a reason code:
 *   ERR_SYSTEMIC   database_unreachable (refused, lost, shut down, starting), database_read_only,
 *                  database_full, database_no_connections, database_access (password, rights, no
 *                  such database), database_schema (a table or column is missing: not migrated),
 *                  database_out_of_resources, database_io, database_corrupt, database_error
 *   ERR_TRANSIENT  database_conflict (40001, 40P01), database_lock_timeout (55P03),
 *                  database_timeout (57014, 25P03), database_plan_changed (the schema changed under
 *                  a prepared statement: the connection is replaced)
 *   ERR_CONFLICT   database_constraint (23xxx)
 *   ERR_INVALID    database_value (22xxx: a NUL byte, text that is not UTF-8, out of range)
 *   ERR_TOO_LARGE  database_limit (54xxx)
 * One line that names host and database, never the password. A connection that was lost, or whose
 * server became read-only, is replaced on its release; a COMMIT whose answer was lost may have
 * happened, so what runs here must be repeatable.
 *
 * Threads: a pool is shared, a connection belongs to one thread from pg_acquire to pg_release.
 * Blocking: every wait for the server is bounded by statement_timeout_ms + grace_ms without a byte;
 * connecting by connect_timeout (of the URL, else of the settings) for each host named.
 */
#ifndef AEGIS_SHARED_PG_H
#define AEGIS_SHARED_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/arena.h"
#include "shared/cancel.h"

struct pg_pool;
struct pg;        /* one connection */
struct pg_result; /* libpq's PGresult */

/* ---- the pool ----------------------------------------------------------------------------------
 */

/*
 * Where the URL comes from, for a password that changes while the pool is open: asked once a login
 * was refused (SQLSTATE class 28), by one thread while the others that connect wait. Puts the URL
 * as it is now, of at most capacity - 1 bytes; if that is another one, the login is tried again
 * with it, and it is used from then on (pg_pool_name stays that of the first). An error leaves the
 * login's own. What it points to outlives the pool.
 */
struct pg_url_source {
    int (*get)(void *ctx, char *out, size_t capacity); /* NULL: the URL stays what it is */
    void *ctx;
};

struct pg_settings {                /* 0 or NULL: the default */
    int connections;                /* at a time: 8 */
    int64_t connect_timeout_ms;     /* for each host, in whole seconds, at least 2: 5 s */
    int64_t statement_timeout_ms;   /* on the server: 60 s; -1: none */
    int64_t lock_timeout_ms;        /* on the server: 10 s; -1: none */
    int64_t transaction_timeout_ms; /* idle in a transaction, on the server: 60 s; -1: none */
    int64_t grace_ms;               /* silence beyond the statement timeout: 15 s */
    int64_t check_idle_ms;          /* asks the server before reuse after so long: 15 s */
    int64_t close_idle_ms;          /* closes what idled so long: 5 min */
    const char *application_name;   /* in pg_stat_activity unless the URL says: "aegis" */
    const char *schema;             /* first in the search_path: "aegis" */
    struct pg_url_source source;
};

/*
 * `url`: postgresql://user:password@host:port/database?sslmode=verify-full or a libpq keyword
 * string; libpq's environment (PGPASSWORD, PGSSLROOTCERT, ~/.pgpass ...) is honoured, several hosts
 * too. Parameters that only other clients know (schema, connection_limit, pool_timeout,
 * socket_timeout, pgbouncer, statement_cache_size, sslaccept) are passed over, so that DATABASE_URL
 * can be shared with them. Does not connect. ERR_INVALID: not such a URL (its text is not
 * repeated: it may hold a password).
 */
int pg_pool_open(const char *url, const struct pg_settings *settings, struct pg_pool **out);
/* All connections must be back. NULL is fine. */
void pg_pool_close(struct pg_pool *pool);

/* "user@host:port/database", for people; borrowed. */
const char *pg_pool_name(const struct pg_pool *pool);

/*
 * A connection with this pool's session settings: a free one that is alive, or a new one. While all
 * are in use, or the server does not answer, waits up to wait_ms for one (0: one try); after a
 * failed connect the next is tried after a backoff of 0.1 s, doubling to 5 s, with jitter, and
 * callers in between get the same error. ERR_SYSTEMIC, ERR_TRANSIENT "database_pool" (all in use),
 * ERR_CANCELLED. Wrong passwords, rights or database names are returned at once.
 */
int pg_acquire(struct pg_pool *pool, int64_t wait_ms, const struct cancel *cancel, struct pg **out);
/* Unsent statements are dropped, an open transaction is rolled back. Keeps the last error. NULL is
 * fine. */
void pg_release(struct pg *c);

/* What a connection told when it was made. */
struct pg_server {
    int version;        /* 150018 for 15.18 */
    int vector_version; /* of pgvector in this database, 800 for 0.8.0; 0: the extension is not
                         * there (a session made before CREATE EXTENSION goes on saying so) */
    bool has_halfvec;   /* pgvector 0.7 and later */
    bool in_recovery;   /* a standby */
    int64_t pid;        /* of the backend */
};
const struct pg_server *pg_server(const struct pg *c);
const char *pg_name(const struct pg *c); /* as pg_pool_name */

/* ---- parameters --------------------------------------------------------------------------------
 */

enum pg_type {
    PG_INT8,
    PG_BOOL,
    PG_FLOAT8,
    PG_TEXT,
    PG_BYTEA,
    PG_VECTOR,   /* float32 */
    PG_HALFVEC,  /* IEEE binary16 in the machine's byte order (database/vector_half.h) */
    PG_TSVECTOR, /* in the server's binary form (database/tsvector.h) */
    PG_INT8_ARRAY,
    PG_FLOAT8_ARRAY,
    PG_TEXT_ARRAY,
    PG_BYTEA_ARRAY,
    PG_VECTOR_ARRAY,
    PG_HALFVEC_ARRAY,
    PG_TSVECTOR_ARRAY,
    PG_TYPES
};

struct pg_bytes {
    const void *data; /* NULL: NULL */
    size_t length;
};

/* $1, $2, ... in order. Borrowed for the call only. A statement's parameters have the same types in
 * every call, which is why even NULL has one. The P_ macros make them. */
struct pg_value {
    enum pg_type type;
    bool null;
    int64_t number; /* or the length of a text, -1: its strlen; or of a bytea */
    double real;
    const void *data; /* of anything but numbers; NULL is NULL but for empty arrays */
    size_t count;     /* of an array */
    size_t dimension; /* of vectors */
};
#define P_INT(n)      ((struct pg_value){.type = PG_INT8, .number = (n)})
#define P_BOOL(b)     ((struct pg_value){.type = PG_BOOL, .number = (b)})
#define P_REAL(x)     ((struct pg_value){.type = PG_FLOAT8, .real = (x)})
#define P_TEXT(t)     ((struct pg_value){.type = PG_TEXT, .data = (t), .number = -1})
#define P_TEXTN(t, n) ((struct pg_value){.type = PG_TEXT, .data = (t), .number = (int64_t)(n)})
#define P_BYTES(p, n) ((struct pg_value){.type = PG_BYTEA, .data = (p), .number = (int64_t)(n)})
#define P_NULL(t)     ((struct pg_value){.type = (t), .null = true})
/* float32 or half[d] */
#define P_VECTOR(v, d)  ((struct pg_value){.type = PG_VECTOR, .data = (v), .dimension = (d)})
#define P_HALFVEC(v, d) ((struct pg_value){.type = PG_HALFVEC, .data = (v), .dimension = (d)})
/* int64_t[n], double[n], const char *[n] (NULL: NULL), struct pg_bytes[n] (of texts or byteas) */
#define P_INTS(a, n)  ((struct pg_value){.type = PG_INT8_ARRAY, .data = (a), .count = (n)})
#define P_REALS(a, n) ((struct pg_value){.type = PG_FLOAT8_ARRAY, .data = (a), .count = (n)})
#define P_TEXTS(a, n) ((struct pg_value){.type = PG_TEXT_ARRAY, .data = (a), .count = (n)})
#define P_TEXTNS(a, n)                                                                             \
    ((struct pg_value){.type = PG_TEXT_ARRAY, .data = (a), .count = (n), .number = 1})
#define P_BYTEAS(a, n) ((struct pg_value){.type = PG_BYTEA_ARRAY, .data = (a), .count = (n)})
/* The server checks their form; see PG_TSVECTOR. */
#define P_TSVECTOR(p, n)                                                                           \
    ((struct pg_value){.type = PG_TSVECTOR, .data = (p), .number = (int64_t)(n)})
#define P_TSVECTORS(a, n) ((struct pg_value){.type = PG_TSVECTOR_ARRAY, .data = (a), .count = (n)})
/* count x d, row after row; unnest($1::vector[]) gives them back in order. On NULL: all NULL. */
#define P_VECTORS(v, n, d)                                                                         \
    ((struct pg_value){.type = PG_VECTOR_ARRAY, .data = (v), .count = (n), .dimension = (d)})
#define P_HALFVECS(v, n, d)                                                                        \
    ((struct pg_value){.type = PG_HALFVEC_ARRAY, .data = (v), .count = (n), .dimension = (d)})

#define PG_VALUES(...)                                                                             \
    (const struct pg_value[]){__VA_ARGS__},                                                        \
        sizeof((const struct pg_value[]){__VA_ARGS__}) / sizeof(struct pg_value)

/* ---- rows --------------------------------------------------------------------------------------
 */

/* Rows come in binary: sum(bigint) is numeric, cast it ("sum(x)::bigint"). The getters assert that
 * row and column exist. A zeroed one is empty. */
struct pg_rows {
    struct pg_result *result;
    int count;
    int64_t affected; /* rows inserted, updated, deleted or selected */
};
void pg_rows_free(struct pg_rows *rows); /* empty afterwards */
void pg_rows_free_all(struct pg_rows *rows, size_t count);

bool pg_is_null(const struct pg_rows *rows, int row, int column);
/* smallint, integer, bigint, bool, oid; 0 for NULL */
int64_t pg_int(const struct pg_rows *rows, int row, int column);
double pg_real(const struct pg_rows *rows, int row, int column); /* float4, float8; 0 for NULL */
/* Borrowed from the rows; "" for NULL. pg_length: its bytes. */
const char *pg_peek(const struct pg_rows *rows, int row, int column);
size_t pg_length(const struct pg_rows *rows, int row, int column);
/* A copy in the arena, "" for NULL; NULL with ERR_NO_MEMORY set. */
const char *pg_text(const struct pg_rows *rows, int row, int column, struct arena *arena);
/* Copies at most size - 1 bytes and a NUL. */
void pg_copy(const struct pg_rows *rows, int row, int column, char *out, size_t size);
/* Copies exactly `length` bytes of a bytea; false (out zeroed) if it has another length or is NULL.
 */
bool pg_bytes(const struct pg_rows *rows, int row, int column, void *out, size_t length);
/* A vector or halfvec of exactly this dimension in its own width; false if it is not that. */
bool pg_floats(const struct pg_rows *rows, int row, int column, float *out, size_t dimension);
bool pg_halves(const struct pg_rows *rows, int row, int column, uint16_t *out, size_t dimension);
/* A bigint[]: its length, at most `max` are copied; NULL elements are 0. */
size_t pg_ints(const struct pg_rows *rows, int row, int column, int64_t *out, size_t max);

/* ---- statements --------------------------------------------------------------------------------
 */

/* Sends what is queued and this statement, waits, and gives its rows (NULL: not wanted). `sql` is a
 * string constant with $1.. : it is prepared once for the connection and found again by its
 * address. On an error *rows is empty. */
int pg_query(struct pg *c, struct pg_rows *rows, const char *sql, const struct pg_value *values,
             size_t count);
/* The first column of the first row as a number, `fallback` without a row or for NULL. */
int pg_number(struct pg *c, int64_t *out, int64_t fallback, const char *sql,
              const struct pg_value *values, size_t count);
/* As pg_query for text that is put together at run time: parsed each time. */
int pg_query_once(struct pg *c, struct pg_rows *rows, const char *sql,
                  const struct pg_value *values, size_t count);

#define PG_QUERY(c, rows, sql, ...) pg_query((c), (rows), (sql), PG_VALUES(__VA_ARGS__))
#define PG_RUN(c, sql, ...)         pg_query((c), NULL, (sql), PG_VALUES(__VA_ARGS__))
#define PG_NUMBER(c, out, fall, sql, ...)                                                          \
    pg_number((c), (out), (fall), (sql), PG_VALUES(__VA_ARGS__))
#define PG_SEND(c, sql, ...) pg_send((c), (sql), PG_VALUES(__VA_ARGS__))

/* A script: any number of statements without parameters or rows (simple query protocol), one
 * implicit transaction unless it says otherwise. For migrations and SET. */
int pg_script(struct pg *c, const char *sql);

/* The five letters of the last error's SQLSTATE on this connection, "" if the server told none. */
const char *pg_sqlstate(const struct pg *c);

/* ---- pipelines ---------------------------------------------------------------------------------
 *
 *     pg_send(c, INSERT_JOBS, ...);             queued, nothing waits
 *     pg_send(c, INSERT_EVENTS, ...);
 *     rc = pg_sync(c, rows, 2);                 one round trip
 *
 * Outside of a transaction the statements of one sync are one transaction. After an error the
 * statements behind it did not run; pg_failed tells which one it was.
 */

/* Queues; the values are copied. Only ERR_NO_MEMORY, ERR_INVALID (vectors without pgvector) and
 * ERR_SYSTEMIC (lost before): pg_sync returns these too, so the result may be left unread. */
int pg_send(struct pg *c, const char *sql, const struct pg_value *values, size_t count);
int pg_send_once(struct pg *c, const char *sql, const struct pg_value *values, size_t count);

/* Sends all that is queued and reads the answers. rows[i]: those of the i-th pg_send since the last
 * sync, for i < count; NULL and 0: not wanted. Returns the first error (all rows are then empty).
 */
int pg_sync(struct pg *c, struct pg_rows *rows, size_t count);
/* The same with COMMIT behind it: ends the transaction, for good or (on an error) rolled back. */
int pg_commit_sync(struct pg *c, struct pg_rows *rows, size_t count);
/* Index of the pg_send that the last failed pg_sync failed at, -1: none of them (BEGIN, COMMIT, the
 * connection). */
int pg_failed(const struct pg *c);
/* Statements queued and not yet synced. */
size_t pg_queued(const struct pg *c);

/* ---- transactions ------------------------------------------------------------------------------
 */

enum pg_transaction_flags {
    PG_READ_WRITE = 0,  /* read committed */
    PG_SNAPSHOT = 1,    /* repeatable read, read only: many statements see one moment */
    PG_NOT_DURABLE = 2, /* synchronous_commit off: COMMIT does not wait for the disk */
};

/* Queues BEGIN: no round trip. */
int pg_begin(struct pg *c, unsigned flags);
int pg_commit(struct pg *c);
/* Keeps the last error. Without a transaction it does nothing. */
void pg_rollback(struct pg *c);
bool pg_in_transaction(const struct pg *c);

/*
 * Acquires a connection (waiting up to wait_ms), begins, runs body, commits unless body has done so
 * with pg_commit_sync; rolls back if body returns an error. On database_conflict the whole is run
 * again, up to 10 times with a random pause: so body sets its outputs anew each time.
 */
int pg_transaction(struct pg_pool *pool, unsigned flags, int64_t wait_ms,
                   const struct cancel *cancel, int (*body)(struct pg *c, void *arg), void *arg);
/* The same on a connection already held. */
int pg_transaction_on(struct pg *c, unsigned flags, int (*body)(struct pg *c, void *arg),
                      void *arg);
/* Was the last error a serialisation failure or deadlock, which running the transaction again
 * mends? */
bool pg_worth_again(void);

/* ---- notifications -----------------------------------------------------------------------------
 */

/*
 * Waits up to wait_ms for a NOTIFY on a channel this connection LISTENs to (pg_script "LISTEN x");
 * *came counts those taken (all that had arrived), 0 when the time is up. Payloads are not kept.
 * `wake_fd` (-1: none) ends the wait early when it becomes readable. ERR_CANCELLED, ERR_SYSTEMIC
 * (lost: acquire and LISTEN again). A pooler in transaction mode does not pass notifications on.
 */
int pg_wait_notify(struct pg *c, int64_t wait_ms, int wake_fd, const struct cancel *cancel,
                   int *came);

#endif
