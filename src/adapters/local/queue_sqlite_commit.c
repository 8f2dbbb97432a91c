#include "adapters/local/queue_sqlite_commit.h"

#include "shared/caps.h"

/* A group ends where the next operation would take it past this. */
#define GROUP_BYTES MIB(8)

/* In bytes: from the first on the log is copied back in the background; at the second the leader
 * does what is left of it, after which the log starts over. */
#define LOG_SOFT MIB(8)
#define LOG_HARD STORE_LOG_BYTES

void committer_init(struct committer *c, struct store *store, struct checkpointer *checkpointer)
{
    *c = (struct committer){.store = store, .checkpointer = checkpointer};
    c->tail = &c->head;
    pthread_mutex_init(&c->lock, NULL);
}

void committer_fini(struct committer *c)
{
    pthread_mutex_destroy(&c->lock);
}

/* ---- one transaction ---------------------------------------------------------------------------
 */

static int run_all(struct store *s, struct operation *group)
{
    bool durable = false;
    for (struct operation *op = group; op; op = op->next)
        durable |= op->durable;
    int rc = store_begin(s, durable);
    for (struct operation *op = group; !rc && op; op = op->next)
        rc = op->run(s, op->args);
    if (!rc)
        rc = store_commit(s);
    if (rc)
        store_rollback(s);
    return rc;
}

/* On a full disk the log can still start over in the room it has, once the file has taken in what
 * is in it: so deletes, and sends into the pages they free, go on. */
static int run_with_room(struct store *s, struct operation *group)
{
    int rc = run_all(s, group);
    if (rc != ERR_DISK_FULL || !store_checkpoint(s))
        return rc;
    return run_all(s, group);
}

static void finish_group(struct operation *group, int rc)
{
    for (struct operation *op = group; op; op = op->next) {
        op->rc = rc;
        if (rc)
            op->error = *error_last();
    }
}

/* One failing operation must not fail its neighbours, nor a large one on a full disk the small:
 * they are run again one by one, unless the file could not be had at all. */
static void run_group(struct store *s, struct operation *group)
{
    int rc = run_with_room(s, group);
    if (rc == OK || rc == ERR_TRANSIENT || !group->next) {
        finish_group(group, rc);
        return;
    }
    for (struct operation *op = group, *next; op; op = next) {
        next = op->next;
        op->next = NULL;
        finish_group(op, run_with_room(s, op));
        op->next = next;
    }
}

/* ---- the lead ----------------------------------------------------------------------------------
 */

/* Detaches the first operations that fit into one group; there is at least one. Locked. */
static struct operation *take_group(struct committer *c)
{
    struct operation *group = c->head, *last = group;
    size_t bytes = group->bytes;
    while (last->next && bytes + last->next->bytes <= GROUP_BYTES) {
        last = last->next;
        bytes += last->bytes;
    }
    c->head = last->next;
    if (!c->head)
        c->tail = &c->head;
    last->next = NULL;
    return group;
}

/* A posted operation belongs to its thread again and may be gone: nothing of it is touched after.
 */
static void wake_group(struct operation *group, const struct operation *own)
{
    struct operation *next;
    for (struct operation *op = group; op; op = next) {
        next = op->next;
        op->done = true;
        if (op != own)
            sem_post(&op->turn);
    }
}

static void pass_lead(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->head)
        sem_post(&c->head->turn);
    else
        c->led = false;
    pthread_mutex_unlock(&c->lock);
}

/* A lasting load never lets the background catch up, hence LOG_HARD. */
static void tend_log(struct committer *c)
{
    size_t bytes = (size_t)c->store->wal_frames * STORE_PAGE_BYTES;
    if (bytes >= LOG_HARD)
        store_checkpoint(c->store);
    else if (bytes >= LOG_SOFT)
        checkpointer_want(c->checkpointer);
    c->store->wal_frames = 0; /* until the next commit tells */
}

static void lead(struct committer *c, struct operation *own)
{
    pthread_mutex_lock(&c->lock);
    struct operation *group = take_group(c); /* `own` waits at the head, so it is in it */
    pthread_mutex_unlock(&c->lock);
    run_group(c->store, group);
    wake_group(group, own);
    tend_log(c);
    pass_lead(c);
}

int committer_submit(struct committer *c, struct operation *op)
{
    op->next = NULL;
    op->done = false;
    sem_init(&op->turn, 0, 0);
    pthread_mutex_lock(&c->lock);
    *c->tail = op;
    c->tail = &op->next;
    bool first = !c->led;
    c->led = true;
    pthread_mutex_unlock(&c->lock);
    if (!first)
        while (sem_wait(&op->turn))
            ; /* EINTR */
    if (!op->done)
        lead(c, op);
    sem_destroy(&op->turn);
    return op->rc ? error_restore(&op->error) : OK;
}
