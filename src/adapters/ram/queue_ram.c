#include "adapters/ram/queue_ram.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/ram/queue_ram_list.h"
#include "shared/caps.h"
#include "shared/condition.h"
#include "shared/error.h"

enum {
    MAX_BATCH = 1000,
    MAX_DELAY_MS = 7 * 24 * 60 * 60 * 1000,
    MAX_VISIBILITY_MS = 7 * 24 * 60 * 60 * 1000,
    DEFAULT_MAX_RECEIVES = 20,
    RECEIPT_TEXT = 64,
};

struct ram_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something became visible, or the earliest due time moved */
    uint64_t changes;       /* counts those */
    struct ram_queue_options options;
    uint64_t last_id;
    uint64_t front; /* the highest rank received */
    size_t bytes;
    struct message_list ready, hidden, dead;
    struct message **slots; /* receipt -> message; a free slot is NULL */
    size_t slot_count, slot_free;
};

static void hide(struct ram_queue *q, struct message *m, int64_t visible_ms)
{
    struct message *after = q->hidden.tail;
    m->visible_ms = visible_ms;
    while (after && after->visible_ms > visible_ms)
        after = after->prev;
    message_list_insert(&q->hidden, after, m);
}

static int slots_reserve(struct ram_queue *q, size_t more)
{
    size_t need = (size_t)(q->ready.count + q->hidden.count) + more;
    if (need <= q->slot_count)
        return OK;
    size_t count = q->slot_count ? q->slot_count : 64;
    while (count < need)
        count *= 2;
    struct message **slots = realloc(q->slots, count * sizeof *slots);
    if (!slots)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu messages", count);
    memset(slots + q->slot_count, 0, (count - q->slot_count) * sizeof *slots);
    q->slots = slots;
    q->slot_count = count;
    return OK;
}

/* Room was made by slots_reserve. */
static void slot_take(struct ram_queue *q, struct message *m)
{
    while (q->slots[q->slot_free])
        q->slot_free = (q->slot_free + 1) % q->slot_count;
    m->slot = q->slot_free;
    q->slots[m->slot] = m;
}

/* One rank after the last of its group that waits, or after what is being received. (It walks over
 * other groups' messages: a queue in memory has few.) */
static uint64_t next_rank(const struct ram_queue *q, const struct message *m)
{
    const struct message *last = q->ready.tail;
    while (last && last->rank > q->front && strcmp(last->group, m->group) != 0)
        last = last->prev;
    return last && last->rank > q->front ? last->rank + 1 : q->front + 1;
}

static void make_ready(struct ram_queue *q, struct message *m)
{
    struct message *after = q->ready.tail;
    m->rank = next_rank(q, m);
    while (after && after->rank > m->rank)
        after = after->prev;
    message_list_insert(&q->ready, after, m);
}

static void enqueue(struct ram_queue *q, struct message *m, int64_t delay_ms)
{
    m->id = ++q->last_id;
    m->sent_ms = clock_now(q->options.clock);
    m->receives = 0;
    slot_take(q, m);
    if (delay_ms > 0)
        hide(q, m, m->sent_ms + delay_ms);
    else
        make_ready(q, m);
}

static void announce(struct ram_queue *q)
{
    q->changes++;
    pthread_cond_broadcast(&q->changed);
}

/* ---- send --------------------------------------------------------------------------------------
 */

static int check_send(const struct queue_send *messages, size_t count)
{
    if (count > MAX_BATCH)
        return error_set(ERR_INVALID, NULL, "%zu messages in one send; the limit is %d", count,
                         MAX_BATCH);
    for (size_t i = 0; i < count; i++) {
        if (messages[i].length > CAP_MESSAGE_BODY)
            return error_set(ERR_TOO_LARGE, "too_large",
                             "a message body of %zu bytes; the limit is %zu", messages[i].length,
                             (size_t)CAP_MESSAGE_BODY);
        if (messages[i].delay_ms < 0 || messages[i].delay_ms > MAX_DELAY_MS)
            return error_set(ERR_INVALID, NULL, "a delay of %" PRId64 " ms; the limit is %d ms",
                             messages[i].delay_ms, MAX_DELAY_MS);
    }
    return OK;
}

/* Copies of all bodies, made before anything is sent, so that a send is all or nothing. */
static int copy_all(const struct queue_send *messages, size_t count, struct message_list *out)
{
    for (size_t i = 0; i < count; i++) {
        struct message *m = message_new(&messages[i]);
        if (!m)
            return ERR_NO_MEMORY;
        message_list_insert(out, out->tail, m);
    }
    return OK;
}

static int reserve_room(struct ram_queue *q, const struct message_list *messages)
{
    size_t bytes = q->bytes;
    for (const struct message *m = messages->head; m; m = m->next)
        bytes += message_bytes(m);
    if (bytes > q->options.max_bytes)
        return error_set(ERR_DISK_FULL, NULL, "the queue in memory is full (%zu bytes)",
                         q->options.max_bytes);
    int rc = slots_reserve(q, (size_t)messages->count);
    if (!rc)
        q->bytes = bytes;
    return rc;
}

static int ram_send(void *ctx, const struct queue_send *messages, size_t count,
                    char (*ids)[QUEUE_ID_TEXT])
{
    struct ram_queue *q = ctx;
    struct message_list fresh = {0};
    int rc = check_send(messages, count);
    if (!rc)
        rc = copy_all(messages, count, &fresh);
    pthread_mutex_lock(&q->lock);
    if (!rc)
        rc = reserve_room(q, &fresh);
    for (size_t i = 0; !rc && i < count; i++) {
        struct message *m = fresh.head;
        message_list_remove(&fresh, m);
        enqueue(q, m, messages[i].delay_ms);
        if (ids)
            snprintf(ids[i], QUEUE_ID_TEXT, "%" PRIu64, m->id);
    }
    announce(q);
    pthread_mutex_unlock(&q->lock);
    message_list_free(&fresh);
    return rc;
}

/* ---- receive -----------------------------------------------------------------------------------
 */

static void let_die(struct ram_queue *q, struct message *m, const char *reason)
{
    q->slots[m->slot] = NULL;
    m->dead_ms = clock_now(q->options.clock);
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    struct message *after = q->dead.tail;
    while (after && after->id > m->id)
        after = after->prev;
    message_list_insert(&q->dead, after, m);
}

/* The message to be received next, still in its list; NULL if none is visible. */
static struct message *next_visible(struct ram_queue *q, int64_t now)
{
    struct message *m;
    while ((m = q->hidden.head) && m->visible_ms <= now) {
        if (m->receives < q->options.max_receives)
            return m;
        message_list_remove(&q->hidden, m);
        let_die(q, m, "max_receives");
    }
    return q->ready.head;
}

static int copy_out(const struct message *m, struct arena *arena, struct queue_message *out)
{
    char *body = arena_strndup(arena, m->body, m->length);
    char *receipt = body ? arena_alloc(arena, RECEIPT_TEXT) : NULL;
    if (!receipt)
        return ERR_NO_MEMORY;
    snprintf(receipt, RECEIPT_TEXT, "%zu.%" PRIu64 ".%d", m->slot, m->id, m->receives + 1);
    snprintf(out->id, sizeof out->id, "%" PRIu64, m->id);
    out->receipt = receipt;
    out->body = body;
    out->length = m->length;
    out->receive_count = m->receives + 1;
    out->sent_ms = m->sent_ms;
    return OK;
}

/* What no longer fits into the arena stays on the queue, if at least one message did. */
static int claim(struct ram_queue *q, size_t max, int64_t visibility_ms, struct arena *arena,
                 struct queue_message *out, size_t *count)
{
    int64_t now = clock_now(q->options.clock);
    struct message *m;
    *count = 0;
    /* What is hidden by this very call must not be seen again by it. */
    struct message_list claimed = {0};
    int rc = OK;
    while (*count < max && (m = next_visible(q, now))) {
        rc = copy_out(m, arena, &out[*count]);
        if (rc)
            break;
        if (m != q->hidden.head && m->rank > q->front)
            q->front = m->rank;
        message_list_remove(m == q->hidden.head ? &q->hidden : &q->ready, m);
        message_list_insert(&claimed, claimed.tail, m);
        m->receives++;
        ++*count;
    }
    while ((m = claimed.head)) {
        message_list_remove(&claimed, m);
        hide(q, m, now + visibility_ms);
    }
    if (rc && *count > 0) {
        error_clear();
        return OK;
    }
    return rc;
}

/* Returns at the next change, due message, deadline (monotonic) or cancellation. The clock may be a
 * test's, so time is looked at in slices. */
static void wait_for_change(struct ram_queue *q, int64_t deadline, const struct cancel *cancel)
{
    uint64_t seen = q->changes;
    while (q->changes == seen && !cancel_requested(cancel)) {
        int64_t real = clock_monotonic_ms(), until = real + CANCEL_POLL_MS;
        if (q->hidden.head) {
            int64_t due = q->hidden.head->visible_ms - clock_now(q->options.clock);
            if (due <= 0)
                return;
            if (due < CANCEL_POLL_MS)
                until = real + due;
        }
        if (real >= deadline)
            return;
        condition_wait_until(&q->changed, &q->lock, until < deadline ? until : deadline);
    }
}

static int ram_receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                       const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                       size_t *count)
{
    struct ram_queue *q = ctx;
    *count = 0;
    *out = NULL;
    if (max < 1 || max > MAX_BATCH || visibility_ms < 0 || visibility_ms > MAX_VISIBILITY_MS)
        return error_set(ERR_INVALID, NULL,
                         "receive of %zu messages for %" PRId64 " ms; the limits are %d and %d ms",
                         max, visibility_ms, MAX_BATCH, MAX_VISIBILITY_MS);
    *out = arena_array(arena, max, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    pthread_mutex_lock(&q->lock);
    int rc = claim(q, max, visibility_ms, arena, *out, count);
    while (!rc && *count == 0 && clock_monotonic_ms() < deadline) {
        wait_for_change(q, deadline, cancel);
        if (cancel_requested(cancel))
            rc = error_set(ERR_CANCELLED, NULL, "waiting for messages was cancelled");
        else
            rc = claim(q, max, visibility_ms, arena, *out, count);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

/* ---- receipts ----------------------------------------------------------------------------------
 */

/* 0, ERR_INVALID or ERR_CONFLICT, without error text: outcomes of a batch are codes. */
static int find_receipt(struct ram_queue *q, const char *receipt, struct message **out)
{
    size_t slot;
    uint64_t id;
    int receives, used = 0;
    if (!receipt || sscanf(receipt, "%zu.%" SCNu64 ".%d%n", &slot, &id, &receives, &used) != 3 ||
        receipt[used] != '\0')
        return ERR_INVALID;
    struct message *m = slot < q->slot_count ? q->slots[slot] : NULL;
    if (!m || m->id != id || m->receives != receives)
        return ERR_CONFLICT;
    *out = m;
    return OK;
}

static int check_batch(size_t count)
{
    if (count > MAX_BATCH)
        return error_set(ERR_INVALID, NULL, "%zu receipts in one call; the limit is %d", count,
                         MAX_BATCH);
    return OK;
}

static void forget(struct ram_queue *q, struct message *m)
{
    q->bytes -= message_bytes(m);
    message_free(m);
}

static int ram_delete(void *ctx, struct queue_receipt *receipts, size_t count)
{
    struct ram_queue *q = ctx;
    int rc = check_batch(count);
    if (rc)
        return rc;
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < count; i++) {
        struct message *m;
        receipts[i].rc = find_receipt(q, receipts[i].receipt, &m);
        if (receipts[i].rc)
            continue;
        message_list_remove(&q->hidden, m);
        q->slots[m->slot] = NULL;
        forget(q, m);
    }
    pthread_mutex_unlock(&q->lock);
    return OK;
}

static int ram_change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                                 int64_t visibility_ms)
{
    struct ram_queue *q = ctx;
    int rc = check_batch(count);
    if (rc)
        return rc;
    if (visibility_ms < 0 || visibility_ms > MAX_VISIBILITY_MS)
        return error_set(ERR_INVALID, NULL, "a visibility of %" PRId64 " ms; the limit is %d ms",
                         visibility_ms, MAX_VISIBILITY_MS);
    pthread_mutex_lock(&q->lock);
    int64_t now = clock_now(q->options.clock);
    for (size_t i = 0; i < count; i++) {
        struct message *m;
        receipts[i].rc = find_receipt(q, receipts[i].receipt, &m);
        if (receipts[i].rc)
            continue;
        message_list_remove(&q->hidden, m);
        hide(q, m, now + visibility_ms);
    }
    announce(q);
    pthread_mutex_unlock(&q->lock);
    return OK;
}

/* ---- dead letters ------------------------------------------------------------------------------
 */

static int ram_bury(void *ctx, const char *receipt, const char *reason, const char *detail)
{
    struct ram_queue *q = ctx;
    struct message *m;
    char *copy = detail && *detail ? strdup(detail) : NULL;
    if (detail && *detail && !copy)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a dead letter's detail");
    pthread_mutex_lock(&q->lock);
    int rc = find_receipt(q, receipt, &m);
    if (!rc) {
        message_list_remove(&q->hidden, m);
        let_die(q, m, reason);
        m->detail = copy;
        copy = NULL;
    }
    pthread_mutex_unlock(&q->lock);
    free(copy);
    if (rc == ERR_INVALID)
        return error_set(rc, NULL, "'%.64s' is not a receipt of this queue",
                         receipt ? receipt : "");
    if (rc)
        return error_set(rc, NULL,
                         "receipt '%.64s' is void: the message was received again or is "
                         "gone",
                         receipt);
    return OK;
}

static int copy_dead(const struct message *m, struct arena *arena, struct queue_dead_letter *out)
{
    out->body = arena_strndup(arena, m->body, m->length);
    out->detail = arena_strdup(arena, m->detail ? m->detail : "");
    if (!out->body || !out->detail)
        return ERR_NO_MEMORY;
    snprintf(out->id, sizeof out->id, "%" PRIu64, m->id);
    snprintf(out->reason, sizeof out->reason, "%s", m->reason);
    out->length = m->length;
    out->receive_count = m->receives;
    out->sent_ms = m->sent_ms;
    out->dead_ms = m->dead_ms;
    return OK;
}

static int ram_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                          struct arena *arena, struct queue_dead_letter **out, size_t *count)
{
    struct ram_queue *q = ctx;
    uint64_t past = after ? strtoull(after, NULL, 10) : 0;
    int rc = OK;
    pthread_mutex_lock(&q->lock);
    size_t room = (size_t)q->dead.count < limit ? (size_t)q->dead.count : limit;
    *count = 0;
    *out = arena_array(arena, room, sizeof **out);
    if (!*out)
        rc = ERR_NO_MEMORY;
    for (struct message *m = q->dead.head; !rc && m && *count < room; m = m->next)
        if (m->id > past && m->dead_ms >= since_ms && !(rc = copy_dead(m, arena, &(*out)[*count])))
            ++*count;
    pthread_mutex_unlock(&q->lock);
    return rc;
}

static int ram_dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                         struct queue_dead_letter **out, size_t *count)
{
    return ram_dead_since(ctx, INT64_MIN, after, limit, arena, out, count);
}

static bool listed(const struct message *m, const char *const *ids, size_t count)
{
    char id[QUEUE_ID_TEXT];
    if (!ids)
        return true;
    snprintf(id, sizeof id, "%" PRIu64, m->id);
    for (size_t i = 0; i < count; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return false;
}

static void revive(struct ram_queue *q, struct message *m)
{
    free(m->detail);
    m->detail = NULL;
    enqueue(q, m, 0);
}

/* Takes the listed dead letters away and hands each to `then`. */
static int64_t take_dead(struct ram_queue *q, const char *const *ids, size_t count,
                         void (*then)(struct ram_queue *, struct message *))
{
    int64_t taken = 0;
    struct message *next;
    for (struct message *m = q->dead.head; m; m = next) {
        next = m->next;
        if (!listed(m, ids, count))
            continue;
        message_list_remove(&q->dead, m);
        then(q, m);
        taken++;
    }
    return taken;
}

static int ram_dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved)
{
    struct ram_queue *q = ctx;
    *moved = 0;
    pthread_mutex_lock(&q->lock);
    int rc = slots_reserve(q, (size_t)q->dead.count);
    if (!rc)
        *moved = take_dead(q, ids, count, revive);
    announce(q);
    pthread_mutex_unlock(&q->lock);
    return rc;
}

static int ram_dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped)
{
    struct ram_queue *q = ctx;
    pthread_mutex_lock(&q->lock);
    *dropped = take_dead(q, ids, count, forget);
    pthread_mutex_unlock(&q->lock);
    return OK;
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

static int ram_stats(void *ctx, struct queue_stats *out)
{
    struct ram_queue *q = ctx;
    pthread_mutex_lock(&q->lock);
    int64_t now = clock_now(q->options.clock),
            oldest = q->ready.head ? q->ready.head->sent_ms : now;
    *out = (struct queue_stats){.visible = q->ready.count, .dead = q->dead.count};
    for (const struct message *m = q->hidden.head; m; m = m->next) {
        if (m->visible_ms > now) {
            ++*(m->receives ? &out->in_flight : &out->delayed);
            continue;
        }
        out->visible++;
        if (m->sent_ms < oldest)
            oldest = m->sent_ms;
    }
    out->oldest_age_ms = now - oldest;
    pthread_mutex_unlock(&q->lock);
    return OK;
}

static int ram_pending(void *ctx, bool *visible, bool *any)
{
    struct queue_stats stats;
    int rc = ram_stats(ctx, &stats);
    *visible = stats.visible > 0;
    *any = stats.visible + stats.in_flight + stats.delayed > 0;
    return rc;
}

static void ram_limits(void *ctx, struct queue_limits *out)
{
    struct ram_queue *q = ctx;
    *out = (struct queue_limits){.max_batch = MAX_BATCH,
                                 .max_body = CAP_MESSAGE_BODY,
                                 .max_delay_ms = MAX_DELAY_MS,
                                 .max_visibility_ms = MAX_VISIBILITY_MS,
                                 .max_receives = q->options.max_receives};
}

static void ram_close(void *ctx)
{
    struct ram_queue *q = ctx;
    if (!q)
        return;
    message_list_free(&q->ready);
    message_list_free(&q->hidden);
    message_list_free(&q->dead);
    free(q->slots);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static const struct job_queue_ops ram_ops = {
    .name = "ram",
    .close = ram_close,
    .limits = ram_limits,
    .send = ram_send,
    .receive = ram_receive,
    .delete = ram_delete,
    .change_visibility = ram_change_visibility,
    .bury = ram_bury,
    .dead_list = ram_dead_list,
    .dead_since = ram_dead_since,
    .dead_redrive = ram_dead_redrive,
    .dead_drop = ram_dead_drop,
    .stats = ram_stats,
    .pending = ram_pending,
};

int ram_queue_open(const struct ram_queue_options *options, struct job_queue *out)
{
    struct ram_queue *q = calloc(1, sizeof *q);
    if (!q)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a queue");
    q->options = *options;
    if (q->options.max_receives <= 0)
        q->options.max_receives = DEFAULT_MAX_RECEIVES;
    if (q->options.max_bytes == 0)
        q->options.max_bytes = MIB(256);
    if (!q->options.clock)
        q->options.clock = clock_system();
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    *out = (struct job_queue){.ops = &ram_ops, .ctx = q};
    return OK;
}
