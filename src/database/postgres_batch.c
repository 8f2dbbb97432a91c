#include "database/postgres_batch.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/postgres_keeper.h"
#include "shared/random.h"

enum {
    BATCH_CHANGES = 256,   /* of one transaction: bounds how long its locks are held */
    BATCH_BYTES = 8 << 20, /* about, of what its changes send */
    TRIES = 12,            /* after conflicts with other processes */
    SECOND_LEADER = 48,    /* changes that wait, to be worth a second transaction at a time */
};

struct change {
    const struct change_verbs *verbs;
    void *arg;
    size_t bytes;
    struct change *next;
    int rc;
    bool in_doubt;
    struct error error;
    sem_t woken;
    size_t wakes;     /* posts of it, made or about to be made; final once done */
    atomic_bool done; /* its caller may go, when all of them have come */
};

/* ---- the memory of one run ---- */

static void batch_init(struct batch *b, struct store *s, int slot)
{
    memset(b, 0, sizeof *b);
    b->s = s;
    b->slot = slot;
    b->now_ms = store_now(s);
    arena_init(&b->arena, GIB(2));
}

static void batch_fini(struct batch *b)
{
    struct list *lists[] = {&b->needs.jobs,
                            &b->needs.media,
                            &b->needs.keys,
                            &b->needs.results,
                            &b->needs.result_keys,
                            &b->needs.contents,
                            &b->needs.starting,
                            &b->needs.versions_of,
                            &b->needs.staged,
                            &b->needs.checkpoints,
                            &b->media,
                            &b->versions,
                            &b->jobs,
                            &b->results,
                            &b->attempts,
                            &b->life,
                            &b->segments,
                            &b->chunk_rows,
                            &b->checkpoints,
                            &b->garbage,
                            &b->calls,
                            &b->usage,
                            &b->spaces,
                            &b->result_spaces,
                            &b->released,
                            &b->closed,
                            &b->outdated};
    struct id_map *maps[] = {&b->media_by_id,          &b->versions_by_id, &b->jobs_by_id,
                             &b->results_by_id,        &b->keys_by_hash,   &b->results_by_key,
                             &b->holds_by_content,     &b->ready_contents, &b->kept_contents,
                             &b->checkpoints_by_digest};
    struct embedding_insert *embeddings = b->embeddings.items;
    for (size_t i = 0; i < b->embeddings.count; i++) {
        list_free(&embeddings[i].chunk_ids);
        list_free(&embeddings[i].result_ids);
        list_free(&embeddings[i].values);
    }
    list_free(&b->embeddings);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_free(lists[i]);
    for (size_t i = 0; i < ID_KINDS; i++)
        list_free(&b->ids[i]);
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        free(maps[i]->slots);
    pg_rows_free_all(b->held, b->held_count);
    arena_free(&b->arena);
}

/* ---- one transaction ---- */

static void fail(struct change *change, int rc)
{
    change->rc = rc;
    change->error = *error_last();
}

static void ask_all(struct batch *b, struct change *const *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct change *change = changes[i];
        change->rc = change->verbs->need ? change->verbs->need(b, change->arg) : OK;
        if (change->rc)
            change->error = *error_last();
    }
}

/* One that failed its `need` has its error already. */
static void apply_all(struct batch *b, struct change *const *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct change *change = changes[i];
        if (change->rc)
            continue;
        change->rc = change->verbs->apply(b, change->arg);
        if (change->rc)
            change->error = *error_last();
    }
}

enum phase { BEFORE_COMMIT, AT_COMMIT };

static int standby(struct batch *b)
{
    return error_set(ERR_SYSTEMIC, "database_read_only",
                     "PostgreSQL '%s' is a standby and takes no writes: name the primary in "
                     "database.url",
                     pg_pool_name(b->s->pool));
}

static int run_once(struct batch *b, struct change *const *changes, size_t count, enum phase *phase)
{
    *phase = BEFORE_COMMIT;
    int rc = pg_server(b->c)->in_recovery ? standby(b) : pg_begin(b->c, PG_READ_WRITE);
    ask_all(b, changes, count);
    if (!rc)
        rc = b->broken ? b->broken : batch_load(b);
    if (!rc) {
        apply_all(b, changes, count);
        results_settle(b);
        rc = batch_send(b);
    }
    if (rc) {
        pg_rollback(b->c);
        return rc;
    }
    if (!pg_queued(b->c)) { /* all refused, or nothing to do */
        pg_rollback(b->c);
        return OK;
    }
    *phase = AT_COMMIT;
    return pg_commit_sync(b->c, NULL, 0);
}

/* ---- a COMMIT without an answer ---- */

enum verdict { DONE, UNDONE, UNKNOWN };

/* The server may go on with what it has received while its client is gone. An error is that of the
 * connection: then nothing is known yet. */
static int ask_status(struct pg *c, int64_t xid, int64_t until_ms, enum verdict *verdict)
{
    struct pg_rows rows;
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)xid);
    for (;;) {
        int rc = PG_QUERY(c, &rows, "SELECT pg_xact_status($1::text::xid8)", P_TEXT(text));
        if (rc)
            return rc;
        bool known = rows.count && !pg_is_null(&rows, 0, 0);
        const char *status = known ? pg_peek(&rows, 0, 0) : "";
        bool waits = !strcmp(status, "in progress");
        if (known && !waits)
            *verdict = !strcmp(status, "committed") ? DONE : UNDONE;
        pg_rows_free(&rows);
        if (!waits || clock_monotonic_ms() >= until_ms)
            return OK;
        usleep(20000);
    }
}

/* What cut the connection may have cut those that idle in the pool, too, which shows when they are
 * used: each is tried once, until one answers. */
static enum verdict look_up(struct store *s, int64_t xid)
{
    struct error kept = *error_last();
    int64_t until_ms = clock_monotonic_ms() + s->wait_ms;
    enum verdict verdict = UNKNOWN;
    struct pg *c;
    int rc;
    do {
        rc = store_hold(s, &c);
        if (rc)
            break;
        rc = ask_status(c, xid, until_ms, &verdict);
        pg_release(c);
    } while (rc && clock_monotonic_ms() < until_ms);
    error_restore(&kept);
    return verdict;
}

/* ---- until it is decided ---- */

/* Two inserted the same at once; the second now sees what the first did. */
static bool was_second(int rc)
{
    return rc == ERR_CONFLICT && !strcmp(error_last()->reason, "database_constraint");
}

static bool lost(int rc)
{
    return rc == ERR_SYSTEMIC && !strcmp(error_last()->reason, "database_unreachable");
}

static void pause_before(int try)
{
    usleep((useconds_t)(200 + random_below(1000u << (try < 7 ? try : 7))));
}

static void fail_all(struct change *const *changes, size_t count, int rc)
{
    for (size_t i = 0; i < count; i++)
        fail(changes[i], rc);
}

enum next { DECIDED, AGAIN, APART };

/* What to do about an error of the whole. */
static enum next judge(struct batch *b, struct change *const *changes, size_t count, int rc,
                       enum phase phase, int try)
{
    bool conflict = pg_worth_again() || was_second(rc);
    if (conflict && try < TRIES)
        return AGAIN;
    if (conflict)
        rc = error_set(ERR_TRANSIENT, "database_conflict",
                       "changes of other processes to '%s' came in between too often: try again",
                       pg_pool_name(b->s->pool));
    if (lost(rc)) {
        enum verdict verdict = phase == AT_COMMIT ? look_up(b->s, b->xid) : UNDONE;
        if (verdict == DONE)
            return DECIDED; /* with what apply told each */
        if (verdict == UNDONE && try == 0)
            return AGAIN;
        for (size_t i = 0; i < count; i++)
            changes[i]->in_doubt |= verdict == UNKNOWN;
    }
    if (count > 1 && rc != ERR_SYSTEMIC && rc != ERR_TRANSIENT)
        return APART;
    fail_all(changes, count, rc);
    return DECIDED;
}

/* Acquires anew each time: a lost connection must go back first. */
static enum next run_try(struct store *s, int slot, struct change *const *changes, size_t count,
                         int try, bool *garbage)
{
    struct batch b;
    struct pg *c;
    enum phase phase;
    enum next next = DECIDED;
    int rc = store_hold(s, &c);
    if (rc) {
        fail_all(changes, count, rc);
        return DECIDED;
    }
    batch_init(&b, s, slot);
    b.c = c;
    rc = run_once(&b, changes, count, &phase);
    if (!rc)
        *garbage |= b.garbage.count || b.outdated.count;
    else {
        if (lost(rc)) { /* back before another is taken: the pool may be small */
            struct error kept = *error_last();
            pg_release(c);
            b.c = c = NULL;
            error_restore(&kept);
        }
        next = judge(&b, changes, count, rc, phase, try);
    }
    pg_release(c);
    batch_fini(&b);
    return next;
}

static void run_batch(struct store *s, int slot, struct change *const *changes, size_t count)
{
    bool garbage = false;
    enum next next;
    int try = 0;
    while ((next = run_try(s, slot, changes, count, try, &garbage)) == AGAIN)
        pause_before(try++);
    if (next == APART)
        for (size_t i = 0; i < count; i++)
            run_batch(s, slot, &changes[i], 1);
    if (garbage)
        background_notify(s);
}

/* ---- the queue ---- */

static size_t take(struct writer *w, struct change **changes)
{
    size_t count = 0, bytes = 0;
    while (w->head && count < BATCH_CHANGES && (!count || bytes + w->head->bytes <= BATCH_BYTES)) {
        bytes += w->head->bytes;
        changes[count++] = w->head;
        w->head = w->head->next;
    }
    w->waiting -= count;
    if (!w->head)
        w->tail = NULL;
    return count;
}

/* While one is at work the others gather: few large transactions cost the server less than many
 * small ones, and one that is under way does not make anybody wait for long. */
static int free_leader(const struct writer *w)
{
    bool idle = true;
    for (int i = 0; i < LEADERS; i++)
        idle &= !w->leading[i];
    if (!w->head || (!idle && w->waiting < SECOND_LEADER))
        return -1;
    for (int i = 0; i < LEADERS; i++)
        if (!w->leading[i])
            return i;
    return -1;
}

static void call_leader(struct writer *w)
{
    if (free_leader(w) < 0)
        return;
    w->head->wakes++;
    sem_post(&w->head->woken);
}

/* Those who are woken do not meet at the lock: they have nothing to do there. */
static void wake_all(struct change *const *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sem_post(&changes[i]->woken);
}

/* With the lock held on entry, not on return. */
static void lead(struct store *s, int leader)
{
    struct writer *w = &s->writer;
    struct change *changes[BATCH_CHANGES];
    w->leading[leader] = true;
    size_t count = take(w, changes);
    call_leader(w);
    pthread_mutex_unlock(&w->lock);
    run_batch(s, (s->slot + leader) % TOTAL_SLOTS, changes, count);
    pthread_mutex_lock(&w->lock);
    w->leading[leader] = false;
    call_leader(w);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < count; i++) {
        changes[i]->wakes++;
        atomic_store(&changes[i]->done, true);
    }
    wake_all(changes, count);
}

static void await(struct change *change)
{
    while (sem_wait(&change->woken) && errno == EINTR)
        ;
}

/* Until it is decided; its caller leads when called to. */
static void follow(struct store *s, struct change *change)
{
    struct writer *w = &s->writer;
    size_t woken = 0;
    for (;;) {
        await(change);
        woken++;
        if (atomic_load(&change->done))
            break;
        pthread_mutex_lock(&w->lock);
        int leader = free_leader(w);
        if (leader >= 0)
            lead(s, leader);
        else
            pthread_mutex_unlock(&w->lock);
    }
    while (woken++ < change->wakes)
        await(change);
}

bool change_waits(struct store *s)
{
    struct writer *w = &s->writer;
    bool waits = false;
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < LEADERS; i++)
        waits |= w->leading[i];
    pthread_mutex_unlock(&w->lock);
    return waits;
}

int change_run(struct store *s, const struct change_verbs *verbs, void *arg, size_t bytes,
               bool *in_doubt)
{
    struct writer *w = &s->writer;
    struct change change = {.verbs = verbs, .arg = arg, .bytes = bytes};
    sem_init(&change.woken, 0, 0);
    pthread_mutex_lock(&w->lock);
    if (w->tail)
        w->tail->next = &change;
    else
        w->head = &change; /* cppcheck-suppress autoVariables; off the list before we return */
    w->tail = &change;     /* cppcheck-suppress autoVariables */
    w->waiting++;
    int leader = free_leader(w);
    if (leader >= 0)
        lead(s, leader);
    else
        pthread_mutex_unlock(&w->lock);
    follow(s, &change);
    sem_destroy(&change.woken);
    if (in_doubt)
        *in_doubt = change.in_doubt;
    return change.rc ? error_restore(&change.error) : OK;
}
