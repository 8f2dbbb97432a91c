/*
 * sqlite_writer.h - the one thread that changes the database: group commit.
 *
 * Callers prepare what they can on their own thread, hand over a change and sleep until it is
 * committed. The thread applies all waiting changes in one transaction. A change must check first
 * and write afterwards: if it returns an error without having written anything, the others go on.
 * If it fails after writing, the transaction is rolled back, and the batch runs again in pieces, so
 * that the failure stays its own; therefore a change may be applied more than once and must set its
 * outputs anew each time.
 */
#ifndef AEGIS_DATABASE_SQLITE_WRITER_H
#define AEGIS_DATABASE_SQLITE_WRITER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "database/sqlite_connection.h"
#include "database/sqlite_names.h"
#include "ports/database.h"
#include "shared/clock.h"
#include "shared/error.h"

/* The columns of table ledger, in its order. */
enum ledger_column {
    NEXT_MEDIA,
    NEXT_VERSION,
    NEXT_JOB,
    NEXT_RESULT,
    NEXT_CHUNK,
    NEXT_CALL,
    TOTAL_MEDIA,
    TOTAL_PUBLISHED,
    TOTAL_RESULTS,
    TOTAL_CHUNKS,
    TOTAL_SEGMENTS,
    TOTAL_COST,
    TOTAL_UNPRICED,
    TOTAL_JOBS, /* and one for each further state */
    LEDGER_COLUMNS = TOTAL_JOBS + JOB_STATES
};

struct ledger {
    int64_t value[LEDGER_COLUMNS];
};

/* Sums gathered over a batch and written once at its commit. */
enum { USAGE_SUMS = 32, SPACE_SUMS = 16 };
struct usage_sum {
    int64_t day, collection, provider, model, operation;
    int64_t calls, input, cached, output, audio, cost, unpriced;
};
struct space_sum {
    int64_t space_id, chunks;
};

struct transaction {
    struct connection *c;
    struct names *names;
    int64_t now_ms;
    struct ledger ledger;
    struct usage_sum usage[USAGE_SUMS];
    struct space_sum spaces[SPACE_SUMS];
    size_t usage_count, space_count;
    struct { /* once read (sqlite_spaces.c) */
        bool known;
        int64_t space_id, held_until_ms;
    } serving;
    bool keep;    /* set by a change that returns an error but wants what it wrote committed */
    bool garbage; /* there is work for the collector */
};

struct change;

/* What a batch tells the rest of the process after its commit. */
struct writer_news {
    int64_t next_chunk;
    int wal_pages;
    bool garbage;
};

struct writer {
    struct connection c;
    struct names *names;
    const struct clock *clock;
    void (*on_commit)(void *ctx, const struct writer_news *news);
    void *ctx;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct change *head, *tail;
    bool stop;
    int wal_pages;          /* in the log after the last commit */
    int log_pages;          /* as of sqlite_database_options */
    int restart_pages;      /* from so many on readers are waited for; 0: log_pages */
    atomic_bool log_waits;  /* asks the index of words to end its reading soon */
    atomic_bool checkpoint; /* asks the writer to finish a checkpoint between two batches */
};

/* Starts the thread on an open connection, which it owns from now on. */
int writer_start(struct writer *w);
/* Applies what is still waiting, then joins the thread and closes the connection. */
void writer_stop(struct writer *w);

/* Blocks until `apply` is durable (0) or failed (its error, or the commit's). */
int writer_run(struct writer *w, int (*apply)(struct transaction *tx, void *arg), void *arg);

/* ---- for changes ---- */

static inline int64_t take_id(struct transaction *tx, enum ledger_column column)
{
    return tx->ledger.value[column]++;
}
int usage_add(struct transaction *tx, const struct usage_sum *sum);
int space_add(struct transaction *tx, int64_t space_id, int64_t chunks);

#endif
