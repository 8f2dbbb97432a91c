#include "adapters/local/queue_sqlite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/local/queue_sqlite_commit.h"
#include "adapters/local/queue_sqlite_store.h"
#include "adapters/local/queue_sqlite_wake.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

enum {
    MAX_DELAY_MS = 7 * 24 * 60 * 60 * 1000,
    ROW_BYTES = 64, /* about what a message costs beside its body */
};

#define DEFAULT_RESERVE (int64_t) MIB(32) /* the log, once more */

struct sqlite_queue {
    int64_t reserve;
    struct store store;
    struct committer committer;
    struct waker waker;
    struct checkpointer checkpointer;
};

static int check_count(size_t count, const char *what)
{
    if (count > QUEUE_MAX_BATCH)
        return error_set(ERR_INVALID, NULL, "%zu %s in one call; the limit is %d", count, what,
                         QUEUE_MAX_BATCH);
    return OK;
}

static int check_time(int64_t ms, const char *what)
{
    if (ms < 0 || ms > MAX_DELAY_MS)
        return error_set(ERR_INVALID, NULL, "a %s of %" PRId64 " ms; the limit is %d ms", what, ms,
                         MAX_DELAY_MS);
    return OK;
}

/* ---- send --------------------------------------------------------------------------------------
 */

struct send_args {
    const struct queue_send *messages;
    size_t count;
    char (*ids)[QUEUE_ID_TEXT];
};

static int run_send(struct store *s, void *args)
{
    struct send_args *a = args;
    return store_send(s, a->messages, a->count, a->ids);
}

static int check_send(const struct queue_send *messages, size_t count, size_t *bytes)
{
    *bytes = 0;
    int rc = check_count(count, "messages");
    for (size_t i = 0; !rc && i < count; i++) {
        if (messages[i].length > CAP_MESSAGE_BODY)
            return error_set(ERR_TOO_LARGE, "too_large",
                             "a message body of %zu bytes; the limit is %zu", messages[i].length,
                             (size_t)CAP_MESSAGE_BODY);
        if (messages[i].group && strlen(messages[i].group) >= QUEUE_GROUP_TEXT)
            return error_set(ERR_INVALID, NULL, "group '%.40s...' is longer than %d bytes",
                             messages[i].group, QUEUE_GROUP_TEXT - 1);
        rc = check_time(messages[i].delay_ms, "delay");
        *bytes += messages[i].length + ROW_BYTES;
    }
    return rc;
}

static int run_free_bytes(struct store *s, void *args)
{
    return store_free_bytes(s, args);
}

/* Room on the disk beyond the reserve, or else in pages that the file itself has free. */
static int check_room(struct sqlite_queue *q, size_t bytes)
{
    int64_t disk = 0, inside = 0, need = (int64_t)bytes;
    int rc = file_free_space(q->store.path, &disk);
    if (rc || disk - need >= q->reserve)
        return rc;
    struct operation op = {.run = run_free_bytes, .args = &inside};
    rc = committer_submit(&q->committer, &op);
    if (rc || inside >= 2 * need + (int64_t)MIB(1))
        return rc;
    return error_set(ERR_DISK_FULL, NULL,
                     "queue '%s' takes no more: %" PRId64 " MiB are left on its disk and %" PRId64
                     " MiB are kept for what it holds; free some and it goes on",
                     q->store.path, disk >> 20, q->reserve >> 20);
}

static int queue_send(void *ctx, const struct queue_send *messages, size_t count,
                      char (*ids)[QUEUE_ID_TEXT])
{
    struct sqlite_queue *q = ctx;
    struct send_args args = {.messages = messages, .count = count, .ids = ids};
    struct operation op = {.run = run_send, .args = &args, .durable = true};
    int rc = check_send(messages, count, &op.bytes);
    if (!rc)
        rc = check_room(q, op.bytes);
    if (rc || count == 0)
        return rc;
    rc = committer_submit(&q->committer, &op);
    if (!rc)
        waker_announce(&q->waker);
    return rc;
}

/* ---- receive -----------------------------------------------------------------------------------
 */

struct receive_args {
    size_t max, count;
    int64_t visibility_ms, next_due_ms;
    struct arena *arena;
    struct queue_message *out;
};

static int run_receive(struct store *s, void *args)
{
    struct receive_args *a = args;
    return store_receive(s, a->max, a->visibility_ms, a->arena, a->out, &a->count, &a->next_due_ms);
}

static int receive_once(struct sqlite_queue *q, struct receive_args *args)
{
    struct operation op = {.run = run_receive, .args = args, .bytes = args->max * ROW_BYTES};
    return committer_submit(&q->committer, &op);
}

static int queue_receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                         const struct cancel *cancel, struct arena *arena,
                         struct queue_message **out, size_t *count)
{
    struct sqlite_queue *q = ctx;
    *out = NULL;
    *count = 0;
    int rc = max == 0 ? error_set(ERR_INVALID, NULL, "a receive of no messages")
                      : check_count(max, "messages");
    if (!rc)
        rc = check_time(visibility_ms, "visibility timeout");
    if (rc)
        return rc;
    struct receive_args args = {.max = max,
                                .visibility_ms = visibility_ms,
                                .arena = arena,
                                .out = arena_array(arena, max, sizeof **out)};
    if (!args.out)
        return ERR_NO_MEMORY;
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    for (;;) {
        uint64_t seen = waker_arrivals(&q->waker);
        do
            rc = receive_once(q, &args);
        while (!rc && args.count == 0 && args.next_due_ms <= clock_now(q->store.clock));
        if (rc || args.count || wait_ms <= 0 || clock_monotonic_ms() >= deadline)
            break;
        rc = waker_wait(&q->waker, seen, args.next_due_ms, deadline, cancel);
        if (rc)
            break;
    }
    *out = args.out;
    *count = rc ? 0 : args.count;
    return rc;
}

/* ---- receipts ----------------------------------------------------------------------------------
 */

struct receipt_args {
    struct receipt_ref refs[QUEUE_MAX_BATCH];
    size_t count;
    struct queue_receipt *receipts;
    int64_t visibility_ms;
};

static int compare_refs(const void *a, const void *b)
{
    const struct receipt_ref *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* What cannot be parsed has its outcome at once; the rest is sorted for the store. */
static void parse_receipts(struct receipt_args *a, struct queue_receipt *receipts, size_t count)
{
    bool sorted = true;
    a->receipts = receipts;
    a->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct receipt_ref *ref = &a->refs[a->count];
        receipts[i].rc = receipt_parse(receipts[i].receipt, ref);
        if (receipts[i].rc)
            continue;
        ref->index = i;
        sorted = sorted && (a->count == 0 || ref[-1].id <= ref->id);
        a->count++;
    }
    if (!sorted)
        qsort(a->refs, a->count, sizeof *a->refs, compare_refs);
}

static int run_delete(struct store *s, void *args)
{
    struct receipt_args *a = args;
    return store_delete(s, a->refs, a->count, a->receipts);
}

static int run_change_visibility(struct store *s, void *args)
{
    struct receipt_args *a = args;
    return store_change_visibility(s, a->refs, a->count, a->visibility_ms, a->receipts);
}

static int submit_receipts(struct sqlite_queue *q, struct queue_receipt *receipts, size_t count,
                           int64_t visibility_ms, int (*run)(struct store *, void *))
{
    struct receipt_args args = {.visibility_ms = visibility_ms};
    struct operation op = {.run = run, .args = &args, .bytes = count * ROW_BYTES, .durable = true};
    int rc = check_count(count, "receipts");
    if (rc)
        return rc;
    parse_receipts(&args, receipts, count);
    return args.count ? committer_submit(&q->committer, &op) : OK;
}

static int queue_delete(void *ctx, struct queue_receipt *receipts, size_t count)
{
    return submit_receipts(ctx, receipts, count, 0, run_delete);
}

static int queue_change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                                   int64_t visibility_ms)
{
    struct sqlite_queue *q = ctx;
    int rc = check_time(visibility_ms, "visibility timeout");
    if (!rc)
        rc = submit_receipts(q, receipts, count, visibility_ms, run_change_visibility);
    if (!rc)
        waker_announce(&q->waker);
    return rc;
}

/* ---- dead letters ------------------------------------------------------------------------------
 */

struct bury_args {
    struct receipt_ref ref;
    const char *reason, *detail;
    bool valid;
};

static int run_bury(struct store *s, void *args)
{
    struct bury_args *a = args;
    return store_bury(s, &a->ref, a->reason, a->detail, &a->valid);
}

static int queue_bury(void *ctx, const char *receipt, const char *reason, const char *detail)
{
    struct sqlite_queue *q = ctx;
    char code[QUEUE_REASON_TEXT];
    snprintf(code, sizeof code, "%s", reason);
    struct bury_args args = {.reason = code, .detail = detail ? detail : ""};
    struct operation op = {.run = run_bury, .args = &args, .durable = true};
    if (receipt_parse(receipt, &args.ref))
        return error_set(ERR_INVALID, NULL, "'%.64s' is not a receipt of this queue",
                         receipt ? receipt : "");
    int rc = committer_submit(&q->committer, &op);
    if (!rc && !args.valid)
        return error_set(ERR_CONFLICT, NULL,
                         "receipt '%s' is void: its message was received again or is gone",
                         receipt);
    return rc;
}

struct list_args {
    int64_t after, since_ms;
    size_t limit, count;
    struct arena *arena;
    struct queue_dead_letter *out;
};

static int run_dead_list(struct store *s, void *args)
{
    struct list_args *a = args;
    return store_dead_list(s, a->after, a->since_ms, a->limit, a->arena, a->out, &a->count);
}

static int queue_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                            struct arena *arena, struct queue_dead_letter **out, size_t *count)
{
    struct sqlite_queue *q = ctx;
    struct list_args args = {.after = after ? strtoll(after, NULL, 10) : 0,
                             .since_ms = since_ms,
                             .limit = limit < QUEUE_MAX_BATCH ? limit : QUEUE_MAX_BATCH,
                             .arena = arena};
    struct operation op = {.run = run_dead_list, .args = &args};
    args.out = arena_array(arena, args.limit, sizeof **out);
    int rc = args.out ? committer_submit(&q->committer, &op) : ERR_NO_MEMORY;
    *out = args.out;
    *count = rc ? 0 : args.count;
    return rc;
}

static int queue_dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                           struct queue_dead_letter **out, size_t *count)
{
    return queue_dead_since(ctx, INT64_MIN, after, limit, arena, out, count);
}

static int run_redrive(struct store *s, void *args)
{
    return store_dead_redrive(s, args);
}

static int run_drop(struct store *s, void *args)
{
    return store_dead_drop(s, args);
}

static int run_last_id(struct store *s, void *args)
{
    *(int64_t *)args = s->ledger.last_id;
    return OK;
}

/* In slices, so that a million dead letters do not make one transaction. Those that die while this
 * runs are not taken: their ids are past last_id only if they were sent later, and a redriven one
 * has a new id. */
static int take_dead(struct sqlite_queue *q, const char *const *ids, size_t count, int64_t *taken,
                     int (*run)(struct store *, void *))
{
    struct dead_slice slice = {0};
    struct operation last = {.run = run_last_id, .args = &slice.last_id};
    *taken = 0;
    int rc = committer_submit(&q->committer, &last);
    for (size_t at = 0; !rc && (!ids || at < count); at += slice.count) {
        struct operation op = {.run = run, .args = &slice, .durable = true};
        slice.ids = ids ? ids + at : NULL;
        slice.count = count - at < QUEUE_MAX_BATCH ? count - at : QUEUE_MAX_BATCH;
        rc = committer_submit(&q->committer, &op);
        if (!rc)
            *taken += slice.taken;
        if (!ids && slice.taken == 0)
            break;
    }
    return rc;
}

static int queue_dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved)
{
    struct sqlite_queue *q = ctx;
    int rc = take_dead(q, ids, count, moved, run_redrive);
    waker_announce(&q->waker);
    return rc;
}

static int queue_dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped)
{
    return take_dead(ctx, ids, count, dropped, run_drop);
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

static int run_stats(struct store *s, void *args)
{
    return store_stats(s, args);
}

static int queue_stats(void *ctx, struct queue_stats *out)
{
    struct sqlite_queue *q = ctx;
    struct operation op = {.run = run_stats, .args = out};
    return committer_submit(&q->committer, &op);
}

struct pending_args {
    bool *visible, *any;
};

static int run_pending(struct store *s, void *args)
{
    struct pending_args *a = args;
    return store_pending(s, a->visible, a->any);
}

static int queue_pending(void *ctx, bool *visible, bool *any)
{
    struct sqlite_queue *q = ctx;
    struct pending_args args = {.visible = visible, .any = any};
    struct operation op = {.run = run_pending, .args = &args};
    return committer_submit(&q->committer, &op);
}

static void queue_limits(void *ctx, struct queue_limits *out)
{
    struct sqlite_queue *q = ctx;
    *out = (struct queue_limits){.max_batch = QUEUE_MAX_BATCH,
                                 .max_body = CAP_MESSAGE_BODY,
                                 .max_delay_ms = MAX_DELAY_MS,
                                 .max_visibility_ms = MAX_DELAY_MS,
                                 .max_receives = q->store.max_receives};
}

static void queue_close(void *ctx)
{
    struct sqlite_queue *q = ctx;
    if (!q)
        return;
    waker_close(&q->waker);
    checkpointer_close(&q->checkpointer);
    committer_fini(&q->committer);
    store_close(&q->store);
    free(q);
}

static const struct job_queue_ops sqlite_ops = {
    .name = "sqlite",
    .close = queue_close,
    .limits = queue_limits,
    .send = queue_send,
    .receive = queue_receive,
    .delete = queue_delete,
    .change_visibility = queue_change_visibility,
    .bury = queue_bury,
    .dead_list = queue_dead_list,
    .dead_since = queue_dead_since,
    .dead_redrive = queue_dead_redrive,
    .dead_drop = queue_dead_drop,
    .stats = queue_stats,
    .pending = queue_pending,
};

int sqlite_queue_open(const struct sqlite_queue_options *options, struct job_queue *out)
{
    struct sqlite_queue *q = calloc(1, sizeof *q);
    if (!q)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for queue '%s'", options->path);
    q->reserve = options->reserve ? options->reserve : DEFAULT_RESERVE;
    int rc = store_open(&q->store, options);
    if (rc)
        goto no_store;
    rc = checkpointer_open(&q->checkpointer, q->store.path, q->store.vfs);
    if (rc)
        goto no_checkpointer;
    rc = waker_open(&q->waker, q->store.path, q->store.clock);
    if (rc)
        goto no_waker;
    committer_init(&q->committer, &q->store, &q->checkpointer);
    *out = (struct job_queue){.ops = &sqlite_ops, .ctx = q};
    return OK;
no_waker:
    checkpointer_close(&q->checkpointer);
no_checkpointer:
    store_close(&q->store);
no_store:
    free(q);
    return rc;
}
