#include "database/sqlite_writer.h"

#include <string.h>

enum {
    BATCH_CHANGES = 512, /* of one transaction at most: bounds how long a lock is held and how much
                          * is redone on an error */
    READERS_MS = 200,    /* longest wait for who reads the log */
};

struct change {
    int (*apply)(struct transaction *tx, void *arg);
    void *arg;
    struct change *next;
    int rc;
    struct error error;
    sem_t done;
};

/* A stretch of the list: `count` changes from `first` on. */
struct batch {
    struct change *first;
    size_t count;
};

/* ---- sums ---- */

static int write_usage(struct transaction *tx)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < tx->usage_count; i++) {
        const struct usage_sum *u = &tx->usage[i];
        rc = SQL_RUN(tx->c,
                     "INSERT INTO usage_day VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12) "
                     "ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, "
                     "input_tokens = input_tokens + excluded.input_tokens, "
                     "cached_tokens = cached_tokens + excluded.cached_tokens, "
                     "output_tokens = output_tokens + excluded.output_tokens, "
                     "audio_ms = audio_ms + excluded.audio_ms, "
                     "cost_nanousd = cost_nanousd + excluded.cost_nanousd, "
                     "unpriced_calls = unpriced_calls + excluded.unpriced_calls",
                     V_INT(u->day), V_INT(u->collection), V_INT(u->provider), V_INT(u->model),
                     V_INT(u->operation), V_INT(u->calls), V_INT(u->input), V_INT(u->cached),
                     V_INT(u->output), V_INT(u->audio), V_INT(u->cost), V_INT(u->unpriced));
    }
    tx->usage_count = 0;
    return rc;
}

static bool same_usage(const struct usage_sum *a, const struct usage_sum *b)
{
    return a->day == b->day && a->collection == b->collection && a->provider == b->provider &&
           a->model == b->model && a->operation == b->operation;
}

int usage_add(struct transaction *tx, const struct usage_sum *sum)
{
    for (size_t i = 0; i < tx->usage_count; i++) {
        struct usage_sum *u = &tx->usage[i];
        if (!same_usage(u, sum))
            continue;
        u->calls += sum->calls;
        u->input += sum->input;
        u->cached += sum->cached;
        u->output += sum->output;
        u->audio += sum->audio;
        u->cost += sum->cost;
        u->unpriced += sum->unpriced;
        return OK;
    }
    int rc = tx->usage_count == USAGE_SUMS ? write_usage(tx) : OK;
    if (!rc)
        tx->usage[tx->usage_count++] = *sum;
    return rc;
}

static int write_spaces(struct transaction *tx)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < tx->space_count; i++)
        if (tx->spaces[i].chunks)
            rc = SQL_RUN(tx->c,
                         "UPDATE embedding_space SET chunks = chunks + ?2 WHERE space_id = ?1",
                         V_INT(tx->spaces[i].space_id), V_INT(tx->spaces[i].chunks));
    tx->space_count = 0;
    return rc;
}

int space_add(struct transaction *tx, int64_t space_id, int64_t chunks)
{
    if (!space_id || !chunks)
        return OK;
    for (size_t i = 0; i < tx->space_count; i++) {
        if (tx->spaces[i].space_id == space_id) {
            tx->spaces[i].chunks += chunks;
            return OK;
        }
    }
    int rc = tx->space_count == SPACE_SUMS ? write_spaces(tx) : OK;
    if (!rc)
        tx->spaces[tx->space_count++] = (struct space_sum){.space_id = space_id, .chunks = chunks};
    return rc;
}

/* ---- one transaction ---- */

static int read_ledger(struct transaction *tx)
{
    sqlite3_stmt *s;
    int rc = sql_first(tx->c, &s, "SELECT * FROM ledger", NULL, 0);
    for (int i = 0; s && i < LEDGER_COLUMNS; i++)
        tx->ledger.value[i] = sql_int(s, i + 2);
    if (!rc && !s)
        rc = connection_error(tx->c, SQLITE_CORRUPT, "reading the ledger");
    sql_done(s);
    return rc;
}

static int write_ledger(struct transaction *tx)
{
    struct sql_value values[LEDGER_COLUMNS];
    for (int i = 0; i < LEDGER_COLUMNS; i++)
        values[i] = V_INT(tx->ledger.value[i]);
    return sql_run(
        tx->c,
        "UPDATE ledger SET (next_media, next_version, next_job, next_result, next_chunk, "
        "next_call, media, published, results, chunks, segments, cost_nanousd, unpriced_calls, "
        "jobs_queued, jobs_running, jobs_retrying, jobs_paused, jobs_succeeded, jobs_dead, "
        "jobs_cancelled) = "
        "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)",
        values, LEDGER_COLUMNS);
}

static int begin(struct writer *w, struct transaction *tx)
{
    *tx = (struct transaction){.c = &w->c, .names = w->names};
    int rc = sql_run(&w->c, "BEGIN IMMEDIATE", NULL, 0);
    tx->now_ms = clock_now(w->clock);
    if (!rc)
        rc = read_ledger(tx);
    return rc;
}

static void rollback(struct writer *w)
{
    if (!sqlite3_get_autocommit(w->c.db))
        sqlite3_exec(w->c.db, "ROLLBACK", NULL, NULL, NULL);
    names_forget(w->names);
}

static int commit(struct writer *w, struct transaction *tx, const struct ledger *before)
{
    int rc = write_usage(tx);
    if (!rc)
        rc = write_spaces(tx);
    if (!rc && memcmp(before, &tx->ledger, sizeof *before))
        rc = write_ledger(tx);
    if (!rc)
        rc = sql_run(&w->c, "COMMIT", NULL, 0);
    return rc;
}

/* True if the change may stay in the transaction, successful or not. */
static bool apply_one(struct transaction *tx, struct change *change)
{
    struct ledger before = tx->ledger;
    int64_t changes = sqlite3_total_changes64(tx->c->db);
    tx->keep = false;
    change->rc = change->apply(tx, change->arg);
    if (!change->rc)
        return true;
    change->error = *error_last();
    if (sqlite3_get_autocommit(tx->c->db))
        return false;
    if (tx->keep)
        return true;
    tx->ledger = before;
    return sqlite3_total_changes64(tx->c->db) == changes;
}

static void fail_all(struct batch batch, int rc)
{
    struct change *change = batch.first;
    for (size_t i = 0; i < batch.count; i++, change = change->next) {
        change->rc = rc;
        change->error = *error_last();
    }
}

/* How it went: -1 committed; else the index of the change that must run alone, or batch.count when
 * the commit itself failed for want of room and smaller pieces may fit. */
static int64_t try_batch(struct writer *w, struct batch batch, struct writer_news *news)
{
    struct transaction tx;
    int rc = begin(w, &tx);
    if (rc) {
        rollback(w);
        fail_all(batch, rc);
        return -1;
    }
    struct ledger before = tx.ledger;
    struct change *change = batch.first;
    for (size_t i = 0; i < batch.count; i++, change = change->next) {
        if (!apply_one(&tx, change)) {
            rollback(w);
            return (int64_t)i;
        }
    }
    rc = commit(w, &tx, &before);
    if (rc) {
        struct error e = *error_last();
        rollback(w);
        error_restore(&e);
        if (rc == ERR_DISK_FULL && batch.count > 1)
            return (int64_t)batch.count;
        fail_all(batch, rc);
        return -1;
    }
    news->next_chunk = tx.ledger.value[NEXT_CHUNK];
    news->garbage |= tx.garbage;
    return -1;
}

static struct batch part(struct batch batch, size_t from, size_t count)
{
    struct change *change = batch.first;
    for (size_t i = 0; i < from; i++)
        change = change->next;
    return (struct batch){.first = change, .count = count};
}

static void run_batch(struct writer *w, struct batch batch, struct writer_news *news)
{
    while (batch.count > 0) {
        int64_t odd = try_batch(w, batch, news);
        if (odd < 0)
            return;
        if (batch.count == 1) /* it failed alone: its own error stands */
            return;
        size_t at = (size_t)odd < batch.count ? (size_t)odd : batch.count / 2;
        size_t alone = (size_t)odd < batch.count ? 1 : 0;
        run_batch(w, part(batch, 0, at), news);
        if (alone)
            run_batch(w, part(batch, at, 1), news);
        batch = part(batch, at + alone, batch.count - at - alone);
    }
}

/* ---- the thread ---- */

static void wake(struct batch batch)
{
    struct change *next, *change = batch.first;
    for (size_t i = 0; i < batch.count; i++, change = next) {
        next = change->next; /* the change is gone once its owner wakes */
        sem_post(&change->done);
    }
}

static struct batch take(struct writer *w)
{
    struct batch batch = {0};
    pthread_mutex_lock(&w->lock);
    while (!w->head && !w->stop)
        pthread_cond_wait(&w->wanted, &w->lock);
    batch.first = w->head;
    for (; w->head && batch.count < BATCH_CHANGES; w->head = w->head->next)
        batch.count++;
    if (!w->head)
        w->tail = NULL;
    pthread_mutex_unlock(&w->lock);
    return batch;
}

static int on_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct writer *w = ctx;
    w->wal_pages = pages;
    return SQLITE_OK;
}

/* No more than a moment, and not again soon if somebody reads for long (a backup). Who begins to
 * read meanwhile finds all of it in the database and does not lengthen the wait. */
static void restart_log(struct writer *w)
{
    int64_t busy_ms = w->c.busy_ms;
    w->c.busy_ms = READERS_MS;
    atomic_store(&w->log_waits, true);
    int rc = sqlite3_wal_checkpoint_v2(w->c.db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    w->c.busy_ms = busy_ms;
    w->restart_pages = rc == SQLITE_OK ? 0 : w->wal_pages + w->log_pages / 4;
    atomic_store(&w->log_waits, false);
}

/* The rest of a checkpoint that the background has nearly done: with the whole log copied and no
 * reader in it, the next transaction starts the log from its beginning. With many readers there may
 * never be such a moment, and the background may be busy with words: before the log grows too
 * large, it is copied here and readers are waited for. */
static void finish_checkpoint(struct writer *w)
{
    bool asked = atomic_exchange(&w->checkpoint, false);
    if (w->wal_pages >= (w->restart_pages ? w->restart_pages : w->log_pages))
        restart_log(w);
    else if (asked)
        sqlite3_wal_checkpoint_v2(w->c.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct batch batch;
    while ((batch = take(w)).count > 0) {
        struct writer_news news = {0};
        run_batch(w, batch, &news);
        news.wal_pages = w->wal_pages;
        w->on_commit(w->ctx, &news); /* first: whoever wakes may close the database */
        wake(batch);
        finish_checkpoint(w);
    }
    return NULL;
}

int writer_start(struct writer *w)
{
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wanted, NULL);
    sqlite3_wal_hook(w->c.db, on_wal, w);
    int e = pthread_create(&w->thread, NULL, writer_main, w);
    if (!e)
        pthread_setname_np(w->thread, "db-writer");
    if (e)
        return error_set_errno(e, "cannot start the database's writer thread");
    w->running = true;
    return OK;
}

void writer_stop(struct writer *w)
{
    if (w->running) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_signal(&w->wanted);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
        pthread_cond_destroy(&w->wanted);
        pthread_mutex_destroy(&w->lock);
        w->running = false;
    }
    connection_close(&w->c);
}

int writer_run(struct writer *w, int (*apply)(struct transaction *tx, void *arg), void *arg)
{
    struct change change = {.apply = apply, .arg = arg};
    sem_init(&change.done, 0, 0);
    pthread_mutex_lock(&w->lock);
    bool was_empty = !w->head;
    if (w->tail)
        w->tail->next = &change;
    else
        w->head = &change; /* cppcheck-suppress autoVariables; off the list before we return */
    w->tail = &change;     /* cppcheck-suppress autoVariables */
    if (was_empty)
        pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    while (sem_wait(&change.done) != 0) {
    }
    sem_destroy(&change.done);
    return change.rc ? error_restore(&change.error) : OK;
}
