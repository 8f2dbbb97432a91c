/*
 * sqlite.h - the database port on SQLite: one data directory, no server.
 *
 * Files in the directory, all made when missing:
 *   aegis.db (with -wal and -shm)     everything that matters
 *   lexical.db (with -wal and -shm)   the full-text index; a cache, may be deleted at any time
 *   vectors-<space>.index             one exact vector index per space (vector_index.h); a cache
 * too
 *
 * Writing: one writer thread per process. Callers hand it a change and sleep; it takes whatever is
 * waiting, applies it in one transaction, commits once (WAL, synchronous=FULL) and wakes them all.
 * An idle writer commits a single change at once: there is no batching delay. A change that fails
 * harms no other of its batch. Other processes on the same directory take turns through SQLite's
 * lock; whoever waits longer than busy_ms gets ERR_TRANSIENT "database_busy".
 *
 * Reading: a few connections; each read sees everything acknowledged before it began, by any
 * process.
 *
 * In the background one thread per process moves the write-ahead log into the database, brings the
 * full-text index up to date (a search brings it up to date first, so it never misses what was
 * acknowledged), deletes results that nothing points to in small steps, and trims the outbox.
 *
 * Choices where the port leaves one:
 *   - An event that orders strictly before the newest recorded event of its key is stale; on a tie
 *     the later arrival wins. Sequencers are compared as AWS documents for S3 ("right pad the
 * shorter value with zeros, then compare lexicographically",
 *     https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html);
 *     when either event has none, event_ms decides.
 *   - A removed medium is ERR_NOT_FOUND and in no list; its jobs and money stay.
 *   - usage: since_ms and until_ms select by the day (UTC) of the call, not of the upload.
 *   - The rows of a result in the making stay while its job is unfinished or dead, so that a
 * redrive goes on where it stopped; they are deleted once the job is finished otherwise.
 *   - Checkpoints are deleted with their medium, and those of older versions once a newer one is
 *     published.
 *   - The outbox keeps outbox_rows rows, and of those only what is younger than outbox_ms.
 *
 * Lexical search: a chunk that has all words of the query ranks before one that has only some;
 * inside each group BM25 decides, a match in title or key counting three times. "Quoted phrases"
 * must occur. English function words are left out where only some words need to match. Words are
 * stemmed (Porter) and lose their accents. No input is a syntax error.
 */
#ifndef AEGIS_DATABASE_SQLITE_H
#define AEGIS_DATABASE_SQLITE_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/database.h"
#include "shared/clock.h"

struct sqlite_database_options {
    const char *directory;     /* made if missing */
    const struct clock *clock; /* NULL: the system's */
    int readers;               /* connections for reading; 0: 4 */
    int64_t busy_ms;           /* longest wait for another process's lock; 0: 10 s */
    int64_t outbox_rows;       /* 0: 1,000,000 */
    int64_t outbox_ms;         /* 0: 7 days */
    int64_t max_pages; /* cap of aegis.db in pages of 4 KiB; 0: none. Beyond: ERR_DISK_FULL */
    int log_pages;     /* a log of so many pages begins anew even if readers have to be waited for
                        * (up to 200 ms); 0: 65,536, 256 MiB */
};

/* Opens, makes or migrates. ERR_SCHEMA: written by a newer Aegis, or by migrations that differ from
 * this program's; the files are untouched. ERR_SYSTEMIC: damaged or not accessible. ERR_DISK_FULL,
 * ERR_IO, ERR_TRANSIENT (another process holds it). Close with out->ops->close(out->ctx), which
 * waits for changes under way; threads must not call it any more by then. */
int sqlite_database_open(const struct sqlite_database_options *options, struct database *out);

/* Does the background work that is pending now and returns when none is left: for tests,
 * benchmarks, and before a backup. */
int sqlite_database_settle(struct database *database);

/* Reads every page of both files and cross-checks indexes. ERR_SYSTEMIC "database_corrupt" with the
 * first thing found. Takes long on a large database; blocks nobody. */
int sqlite_database_check(struct database *database);

#endif
