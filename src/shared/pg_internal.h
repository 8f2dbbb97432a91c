/* pg_internal.h - what the files of pg.h share. Nobody else includes it. */
#ifndef AEGIS_SHARED_PG_INTERNAL_H
#define AEGIS_SHARED_PG_INTERNAL_H

#include <libpq-fe.h>
#include <pthread.h>

#include "shared/error.h"
#include "shared/pg.h"

enum {
    PG_SLOTS = 256,      /* statements prepared at a time on a connection */
    PG_PARAMETERS = 64,  /* of one statement */
    PG_OPTIONS = 64,     /* of a URL; libpq knows some 45 */
    PG_QUEUE_FIRST = 64, /* statements a queue first has room for */
    PG_HOSTS = 16,       /* of a URL */
    PG_TRANSACTION_TRIES = 10,
};

/* A statement prepared under the name "s<index>". */
struct pg_slot {
    const char *sql; /* NULL: free */
    uint64_t types;  /* a digest of its parameters' types */
    enum { SLOT_EMPTY, SLOT_SENT, SLOT_READY } state;
};

/* One message whose answer is awaited. */
struct pg_queued {
    enum { QUEUED_PREPARE, QUEUED_SETUP, QUEUED_STATEMENT, QUEUED_COMMIT } kind;
    int slot; /* QUEUED_PREPARE */
};

struct pg {
    PGconn *conn;
    struct pg_pool *pool;
    struct pg *next;
    struct pg_server server;
    Oid types[PG_TYPES]; /* 0: the server has no such type */
    struct pg_slot slots[PG_SLOTS];
    struct pg_queued *queue;
    size_t queue_count, queue_capacity;
    size_t statements; /* of them, those of pg_send */
    int pending;       /* the first error of pg_send since the last sync */
    struct error pending_error;
    int failed;
    unsigned flags;
    bool in_transaction;
    bool begin_waits; /* BEGIN goes out with the next statement */
    bool lost;        /* not to be used again */
    bool listened;
    bool pinging; /* asked whether it lives: silence is an answer, and soon */
    char sqlstate[6];
    unsigned char *scratch; /* encoded parameters */
    size_t scratch_size;
    int64_t idle_since_ms; /* monotonic */
};

/* A URL taken apart: libpq's keywords and values. */
struct pg_url {
    PQconninfoOption *options; /* owns the values */
    const char *keywords[PG_OPTIONS + 1], *values[PG_OPTIONS + 1];
    size_t host_at, hostaddr_at, port_at; /* their places in the arrays */
    int hosts;
    char name[320];
};

struct pg_pool {
    struct pg_settings settings;
    struct pg_url url; /* all but its name under url_lock, which who connects holds for reading */
    pthread_rwlock_t url_lock;
    unsigned url_changes;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pg *free;
    int open; /* in use, free, and being made */
    int in_use;
    int failures; /* to connect, in a row */
    int64_t next_try_ms;
    struct error last_error;
};

/* ---- pg_url.c ---- */

int pg_url_parse(const char *url, const struct pg_settings *settings, struct pg_url *out);
void pg_url_free(struct pg_url *url);
bool pg_url_equal(const struct pg_url *a, const struct pg_url *b);
/* Takes over everything of `fresh` but the name. */
void pg_url_replace(struct pg_url *url, struct pg_url *fresh);
/* The values for host number `i` alone, in `values` (PG_OPTIONS + 1) with its host and port in
 * `hold`. */
struct pg_host {
    char host[256], hostaddr[64], port[16];
};
void pg_url_host(const struct pg_url *url, int i, struct pg_host *hold, const char **values);

/* ---- pg_connect.c ---- */

int pg_connect(struct pg_pool *pool, const struct cancel *cancel, struct pg **out);
void pg_disconnect(struct pg *c);
/* A round trip that does nothing: is it alive? Sets no error. */
bool pg_ping(struct pg *c);

/* ---- pg_error.c ---- */

/* Sets the error for a SQLSTATE ("" or NULL: none, the connection failed) and returns its code. */
int pg_error_set(const struct pg_pool *pool, const char *sqlstate, const char *message);
/* From a result; marks the connection as lost where that is so. */
int pg_error_of_result(struct pg *c, const PGresult *result);
/* From what libpq says of the connection itself, which is lost. */
int pg_error_of_connection(struct pg *c);
/* libpq's text of a failed connect. `refused`: it was the login. */
int pg_error_of_connect(const struct pg_pool *pool, const char *text, bool *refused);
/* Are there other ways than waiting to mend this error of a connect? */
bool pg_error_is_final(const struct error *e);

/* ---- pg_value.c ---- */

struct pg_encoded {
    Oid types[PG_PARAMETERS];
    const char *values[PG_PARAMETERS];
    int lengths[PG_PARAMETERS], formats[PG_PARAMETERS];
};
/* Into the connection's scratch; valid until the next. */
int pg_encode(struct pg *c, const struct pg_value *values, size_t count, struct pg_encoded *out);

/* ---- pg_statement.c ---- */

/* Waits until the server has sent something libpq has not parsed yet, or libpq is no longer busy.
 */
int pg_wait_result(struct pg *c);
/* Sends the sync and reads all answers; rows of the pg_send number `first` and the count - 1 after
 * it. */
int pg_collect(struct pg *c, struct pg_rows *rows, size_t first, size_t count);
int pg_send_commit(struct pg *c);

static inline struct pg_result *pg_result_of(PGresult *r)
{
    return (struct pg_result *)r;
}
static inline const PGresult *pg_result(const struct pg_rows *rows)
{
    return (const PGresult *)rows->result;
}

#endif
