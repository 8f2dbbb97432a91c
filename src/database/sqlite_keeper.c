/*
 * The background thread: checkpoints of the write-ahead log, the full-text index, the collector,
 * the outbox. Everything it does is either derived or already out of sight, so it may stop at any
 * point.
 */
#include <string.h>

#include "database/sqlite_internal.h"
#include "shared/condition.h"
#include "shared/log.h"

enum {
    CHECKPOINT_PAGES = 4000, /* of the log, 16 MiB */
    STEP_CHUNKS = 8192,      /* at once to the index of words */
    ADD_CHUNKS = 512,        /* worth adding to the index of words while commits keep coming */
    BEHIND_CHUNKS = 32768,   /* writers wait when the index is further behind */
    OPEN_MS = 500,           /* then they are committed, for others wait */
    QUIET_MS = 60,           /* without a commit: index what there is, and commit it */
    IDLE_MS = 500,           /* without a commit: bring vector indexes up to date */
    VECTOR_CHUNKS = 65536,   /* without a pause: when they are so far behind; the first search takes
                              * in what is left (docs/performance.md) */
    TRIM_MS = 300000,
    ERROR_MS = 2000,
    PACE_MS = 5000,
};

void keeper_init(struct store *s)
{
    struct keeper *k = &s->keeper;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wanted, NULL);
    pthread_cond_init(&k->caught_up, NULL);
    k->garbage = true; /* perhaps from before */
    k->activity_ms = clock_monotonic_ms();
}

static int64_t behind(struct store *s)
{
    return atomic_load(&s->keeper.next_chunk) - atomic_load(&s->lexical.indexed_to);
}

static int64_t not_added(struct store *s)
{
    return atomic_load(&s->keeper.next_chunk) - atomic_load(&s->lexical.added_to);
}

void keeper_notify(void *ctx, const struct writer_news *news)
{
    struct store *s = ctx;
    struct keeper *k = &s->keeper;
    pthread_mutex_lock(&k->lock);
    bool was_behind = behind(s) > 0;
    if (news->next_chunk > atomic_load(&k->next_chunk)) {
        atomic_store(&k->next_chunk, news->next_chunk);
        k->added = true;
    }
    k->activity_ms = clock_monotonic_ms();
    k->wal_pages = news->wal_pages;
    k->garbage |= news->garbage;
    if (news->garbage || news->wal_pages >= CHECKPOINT_PAGES || not_added(s) >= ADD_CHUNKS ||
        (!was_behind && behind(s) > 0))
        pthread_cond_signal(&k->wanted);
    pthread_mutex_unlock(&k->lock);
}

/* A failing index must not stop the jobs for good: the wait has an end. */
void keeper_pace(struct store *s)
{
    struct keeper *k = &s->keeper;
    if (behind(s) <= BEHIND_CHUNKS)
        return;
    int64_t until = clock_monotonic_ms() + PACE_MS;
    pthread_mutex_lock(&k->lock);
    while (!k->stop && behind(s) > BEHIND_CHUNKS && clock_monotonic_ms() < until)
        condition_wait_until(&k->caught_up, &k->lock, until);
    pthread_mutex_unlock(&k->lock);
}

/* ---- the chores ---- */

struct chores {
    bool checkpoint, collect, add, index, vectors, trim;
    int64_t target;
};

static int checkpoint(struct store *s)
{
    struct keeper *k = &s->keeper;
    int rc = sqlite3_wal_checkpoint_v2(k->c.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    atomic_store(&s->writer.checkpoint, true);
    pthread_mutex_lock(&k->lock);
    k->wal_pages = 0; /* until the next commit tells */
    pthread_mutex_unlock(&k->lock);
    if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return OK;
    return connection_error(&k->c, rc, "moving the log into the database");
}

static int collect(struct store *s)
{
    struct keeper *k = &s->keeper;
    bool more = false;
    int rc = collect_step(s, &k->c, &more);
    if (more || rc)
        return rc;
    pthread_mutex_lock(&k->lock);
    k->garbage = false;
    pthread_mutex_unlock(&k->lock);
    collect_step(s, &k->c, &more); /* what came between the look and the reset */
    if (more) {
        pthread_mutex_lock(&k->lock);
        k->garbage = true;
        pthread_mutex_unlock(&k->lock);
    }
    return OK;
}

/* A part of what is behind: the other chores wait. */
static int index_words(struct store *s, int64_t target, int (*index)(struct store *, int64_t))
{
    int64_t step = atomic_load(&s->lexical.added_to) + STEP_CHUNKS;
    int rc = index(s, target < step ? target : step);
    pthread_mutex_lock(&s->keeper.lock);
    pthread_cond_broadcast(&s->keeper.caught_up);
    pthread_mutex_unlock(&s->keeper.lock);
    return rc;
}

static int refresh_vectors(struct store *s)
{
    bool more = false;
    int64_t target = atomic_load(&s->keeper.next_chunk);
    int rc = vectors_refresh(s, &more);
    pthread_mutex_lock(&s->keeper.lock);
    s->keeper.vectors_behind = more;
    if (!rc && !more)
        s->keeper.vectors_to = target;
    pthread_mutex_unlock(&s->keeper.lock);
    return rc;
}

static int do_chores(struct store *s, const struct chores *todo)
{
    bool more = false;
    int rc = todo->checkpoint ? checkpoint(s) : OK;
    if (!rc && (todo->add || todo->index))
        rc = index_words(s, todo->target, todo->index ? lexical_index : lexical_add);
    if (!rc && todo->collect)
        rc = collect(s);
    if (!rc && todo->vectors)
        rc = refresh_vectors(s);
    if (!rc && todo->trim)
        do
            rc = outbox_trim(s, &s->keeper.c, &more);
        while (!rc && more);
    return rc;
}

/* ---- the thread ---- */

struct schedule {
    int64_t trim_ms;          /* when next */
    int64_t vectors_activity; /* the activity that vector indexes have followed */
    int64_t resume_ms;        /* after an error */
};

/* Fills in what is due now and returns when to look again (monotonic). Under the lock. */
static int64_t plan(struct store *s, const struct schedule *at, int64_t now, struct chores *todo)
{
    struct keeper *k = &s->keeper;
    int64_t quiet = k->activity_ms + QUIET_MS, idle = k->activity_ms + IDLE_MS;
    int64_t again = at->trim_ms, open_ms = atomic_load(&s->lexical.open_ms);
    *todo = (struct chores){.target = atomic_load(&k->next_chunk)};
    if (now < at->resume_ms)
        return at->resume_ms;
    todo->checkpoint = k->wal_pages >= CHECKPOINT_PAGES;
    todo->collect = k->garbage;
    todo->add = not_added(s) >= ADD_CHUNKS;
    todo->vectors = todo->target - k->vectors_to >= VECTOR_CHUNKS ||
                    (now >= idle && (k->vectors_behind || k->activity_ms > at->vectors_activity));
    todo->trim = now >= at->trim_ms;
    /* also a batch with nothing in it, and before anything long: others wait */
    todo->index = (behind(s) > 0 || open_ms) && now >= quiet;
    todo->index |= open_ms && (now >= open_ms + OPEN_MS || todo->vectors || todo->trim);
    if ((behind(s) > 0 || open_ms) && quiet < again)
        again = quiet;
    if (open_ms && open_ms + OPEN_MS < again)
        again = open_ms + OPEN_MS;
    if (k->activity_ms > at->vectors_activity && idle < again)
        again = idle;
    return again;
}

static bool any(const struct chores *c)
{
    return c->checkpoint || c->collect || c->add || c->index || c->vectors || c->trim;
}

/* False: stop. */
static bool next_chores(struct store *s, const struct schedule *at, struct chores *todo)
{
    struct keeper *k = &s->keeper;
    pthread_mutex_lock(&k->lock);
    for (;;) {
        int64_t now = clock_monotonic_ms();
        int64_t again = plan(s, at, now, todo);
        if (k->stop || any(todo))
            break;
        condition_wait_until(&k->wanted, &k->lock, again > now ? again : now + 1);
    }
    bool stop = k->stop;
    pthread_mutex_unlock(&k->lock);
    return !stop;
}

/* Who opens the database next finds every word of what this process added. A process that only
 * looked, or an index that is made anew, does not keep the end waiting. */
static void finish_words(struct store *s)
{
    int64_t before = -1;
    pthread_mutex_lock(&s->keeper.lock);
    bool added = s->keeper.added;
    pthread_mutex_unlock(&s->keeper.lock);
    if (!added || behind(s) > BEHIND_CHUNKS)
        return;
    while (behind(s) > 0 && atomic_load(&s->lexical.indexed_to) > before) {
        before = atomic_load(&s->lexical.indexed_to);
        if (index_words(s, atomic_load(&s->keeper.next_chunk), lexical_index))
            return; /* it goes on there at the next opening */
    }
}

static void *keeper_main(void *arg)
{
    struct store *s = arg;
    struct schedule at = {.trim_ms = clock_monotonic_ms() + 1000};
    struct chores todo;
    while (next_chores(s, &at, &todo)) {
        int64_t now = clock_monotonic_ms();
        if (todo.vectors)
            at.vectors_activity = now;
        if (todo.trim)
            at.trim_ms = now + TRIM_MS;
        int rc = do_chores(s, &todo);
        at.resume_ms = rc ? clock_monotonic_ms() + ERROR_MS : 0;
        if (rc)
            log_write(LOG_WARN, "database.background_failed",
                      LOG_STR("error", error_last()->message), LOG_END);
    }
    finish_words(s);
    return NULL;
}

int keeper_start(struct store *s)
{
    struct keeper *k = &s->keeper;
    int rc = connection_open(&k->c, s->path, SQLITE_OPEN_READWRITE, s->busy_ms);
    if (!rc)
        rc = connection_exec(&k->c, "PRAGMA synchronous=FULL; PRAGMA cache_size=-512");
    int e = rc ? 0 : pthread_create(&k->thread, NULL, keeper_main, s);
    if (!e && !rc)
        pthread_setname_np(k->thread, "db-keeper");
    if (e)
        rc = error_set_errno(e, "cannot start the database's background thread");
    k->running = !rc;
    return rc;
}

/* What this process wrote, beside the words that are being finished: closing the last connection
 * has to do it otherwise. Not done, it is done then. */
static void empty_log(struct store *s)
{
    struct reader *r = reader_hold(s);
    sqlite3_wal_checkpoint_v2(r->main.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    reader_release(s, r);
}

void keeper_stop(struct store *s)
{
    struct keeper *k = &s->keeper;
    if (k->running) {
        pthread_mutex_lock(&k->lock);
        k->stop = true;
        pthread_cond_broadcast(&k->wanted);
        pthread_cond_broadcast(&k->caught_up);
        bool wrote = k->wal_pages > 0;
        pthread_mutex_unlock(&k->lock);
        if (wrote)
            empty_log(s);
        pthread_join(k->thread, NULL);
        k->running = false;
    }
    connection_close(&k->c);
}

void keeper_fini(struct store *s)
{
    struct keeper *k = &s->keeper;
    pthread_cond_destroy(&k->wanted);
    pthread_cond_destroy(&k->caught_up);
    pthread_mutex_destroy(&k->lock);
}

/* With a connection of its own: the thread may be at work. */
int keeper_settle(struct store *s)
{
    struct connection c;
    bool more = true;
    int64_t target = 0;
    int rc = connection_open(&c, s->path, SQLITE_OPEN_READWRITE, s->busy_ms);
    if (!rc)
        rc = sql_number(&c, &target, 1, "SELECT next_chunk FROM ledger", NULL, 0);
    if (!rc)
        rc = lexical_index(s, target);
    while (!rc && more)
        rc = collect_step(s, &c, &more);
    for (more = true; !rc && more;)
        rc = outbox_trim(s, &c, &more);
    for (more = true; !rc && more;)
        rc = vectors_refresh(s, &more);
    if (!rc)
        sqlite3_wal_checkpoint_v2(c.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    connection_close(&c);
    return rc;
}
