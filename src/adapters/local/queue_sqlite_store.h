/*
 * queue_sqlite_store.h - the tables of the embedded queue and the verbs on them, each of which runs
 * inside a transaction that its caller opens and closes (queue_sqlite_commit.c). One thread uses a
 * store at a time.
 *
 * Tables, laid out so that the hot path appends to and cuts from the ends of two B-trees and keeps
 * no secondary index:
 *
 *   message  every live message, by id; ids rise and are never used twice
 *   lease    a row for each live message that was received or sent with a delay: when it is visible
 *            (again) and how often it was received
 *   timer    "at due_ms look at the leases from first to last": for each lease there is a timer
 * with its visible_ms over its id. Timers may outlive what they were made for; a stale one is
 *            dropped when it is due.
 *   dead     dead letters, by the id they had
 *   ledger   one row: last_id (the last id given out), head_id (messages after it without a delay
 *            were never received), and the counts of those and of the dead
 *
 * So a claim of fresh messages reads the next rows after head_id, appends as many leases and one
 * timer; deleting them again cuts two ranges. A receipt is "<id>.<receives>": it is void exactly
 * when that lease is gone or its count has moved on.
 *
 * Changing the tables: raise SCHEMA_VERSION, add a step to queue_sqlite_schema.c that brings the
 * older version up inside one transaction; an older Aegis refuses the file by its version.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_STORE_H
#define AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "adapters/local/queue_sqlite.h"
#include "shared/caps.h"

enum { QUEUE_MAX_BATCH = 1000, STORE_PAGE_BYTES = 8192 };

/* The write-ahead log is kept at this size, to be written over and over. */
#define STORE_LOG_BYTES MIB(32)

enum statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_LEDGER_GET,
    ST_LEDGER_PUT,
    ST_MESSAGE_ADD,
    ST_MESSAGE_GET,
    ST_MESSAGE_NEXT,
    ST_MESSAGE_CUT,
    ST_MESSAGE_OLDEST,
    ST_LEASE_ADD,
    ST_LEASE_SET,
    ST_LEASE_CLAIM,
    ST_LEASE_DUE,
    ST_LEASE_RANGE,
    ST_LEASE_CUT,
    ST_LEASE_COUNT,
    ST_LEASE_ANY,
    ST_LEASE_OLDEST,
    ST_TIMER_ADD,
    ST_TIMER_FIRST,
    ST_TIMER_DROP,
    ST_TIMER_CUT,
    ST_DEAD_ADD,
    ST_DEAD_LIST,
    ST_DEAD_REVIVE,
    ST_DEAD_NEXT,
    ST_DEAD_DROP,
    ST_FREE_PAGES,
    STATEMENTS
};

struct ledger {
    int64_t last_id, head_id, fresh, dead;
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    char *path;
    const char *vfs;
    const struct clock *clock;
    int max_receives;
    bool full_sync;         /* the connection's present setting */
    int wal_frames;         /* as of the last commit */
    int64_t busy_since_us;  /* monotonic */
    struct ledger ledger;   /* of the transaction */
    struct ledger recorded; /* as in the file */
};

/* A parsed receipt; `index` says which of the batch it was. */
struct receipt_ref {
    int64_t id;
    int receives;
    size_t index;
};

/* 0 or ERR_INVALID, without text. */
int receipt_parse(const char *text, struct receipt_ref *out);

/* A connection with the queue's settings, ready for a checkpoint but without statements. */
int store_connect(const char *path, const char *vfs, sqlite3 **out);
int store_open(struct store *s, const struct sqlite_queue_options *options);
void store_close(struct store *s);

/* Records SQLite's last error as ours and returns its code. */
int store_error(struct store *s, const char *doing);

/* `durable`: the commit returns when the disk has it. On any error the transaction is undone with
 * store_rollback. */
int store_begin(struct store *s, bool durable);
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* Copies the log back into the file as far as readers allow; true if all of it was, so that the
 * next commit starts the log over. Not inside a transaction. */
bool store_checkpoint(struct store *s);

int store_send(struct store *s, const struct queue_send *messages, size_t count,
               char (*ids)[QUEUE_ID_TEXT]);

/* *next_due_ms: when nothing was received, the time at which something may be (now, if the call had
 * its hands full with burying); else INT64_MAX. */
int store_receive(struct store *s, size_t max, int64_t visibility_ms, struct arena *arena,
                  struct queue_message *out, size_t *count, int64_t *next_due_ms);

/* `refs` are sorted by id; outcomes go to receipts[refs[i].index].rc. */
int store_delete(struct store *s, const struct receipt_ref *refs, size_t count,
                 struct queue_receipt *receipts);
int store_change_visibility(struct store *s, const struct receipt_ref *refs, size_t count,
                            int64_t visibility_ms, struct queue_receipt *receipts);

/* *valid: whether the receipt was. */
int store_bury(struct store *s, const struct receipt_ref *ref, const char *reason,
               const char *detail, bool *valid);
int store_dead_list(struct store *s, int64_t after, int64_t since_ms, size_t limit,
                    struct arena *arena, struct queue_dead_letter *out, size_t *count);

/* What to take: the listed ids, or (ids NULL) the first QUEUE_MAX_BATCH of those up to last_id. */
struct dead_slice {
    const char *const *ids;
    size_t count;
    int64_t last_id;
    int64_t taken;
};
int store_dead_redrive(struct store *s, struct dead_slice *slice);
int store_dead_drop(struct store *s, struct dead_slice *slice);

/* Room in the file that deleted messages left. */
int store_free_bytes(struct store *s, int64_t *bytes);

int store_stats(struct store *s, struct queue_stats *out);
int store_pending(struct store *s, bool *visible, bool *any);

#endif
