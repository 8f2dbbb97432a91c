#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"

/* What is done with up to SQS_BATCH letters; *done counts, also after an error. */
typedef int (*act_fn)(struct sqs_queue *q, const struct sqs_message *const *letters, size_t count,
                      size_t *done);

static int delete_letters(struct sqs_queue *q, const struct sqs_message *const *letters,
                          size_t count, size_t *done)
{
    const char *handles[SQS_BATCH];
    int rcs[SQS_BATCH];
    for (size_t i = 0; i < count; i++)
        handles[i] = letters[i]->handle;
    int rc = count ? sqs_delete_handles(q, q->dead_url, handles, count, rcs) : OK;
    *done = 0;
    for (size_t i = 0; !rc && i < count; i++)
        *done += rcs[i] == OK;
    return rc;
}

static int drop_letters(struct sqs_queue *q, const struct sqs_message *const *letters, size_t count,
                        size_t *done)
{
    int rc = delete_letters(q, letters, count, done);
    for (size_t i = 0; !rc && i < count; i++)
        sqs_payload_remove(q, letters[i]);
    return rc;
}

/* Those that were sent are deleted even if others could not be. */
static int redrive_letters(struct sqs_queue *q, const struct sqs_message *const *letters,
                           size_t count, size_t *done)
{
    struct sqs_outgoing entries[SQS_BATCH] = {0};
    const struct sqs_message *gone[SQS_BATCH];
    char ids[SQS_BATCH][QUEUE_ID_TEXT] = {{0}};
    size_t n = 0, sent;
    for (size_t i = 0; i < count; i++) {
        entries[i] = sqs_again_entry(letters[i]);
        entries[i].not_before_ms = 0;
    }
    *done = 0;
    int rc = sqs_send_entries(q, q->url, q->fifo, entries, count, ids, &sent);
    struct error failed = *error_last();
    for (size_t i = 0; i < count; i++)
        if (ids[i][0])
            gone[n++] = letters[i];
    int deleted = delete_letters(q, gone, n, done);
    return rc ? error_restore(&failed) : deleted;
}

/* ---- finding them ---- */

struct taking {
    struct sqs_queue *queue;
    act_fn act;
    const char *const *ids; /* NULL: all */
    size_t count;           /* of ids */
    bool *found;
    size_t left; /* ids that were not found yet */
    int64_t taken;
    struct sqs_handles others;
};

static bool is_wanted(struct taking *t, const struct sqs_message *m)
{
    if (m->newer)
        return false;
    if (!t->ids)
        return true;
    bool wanted = false;
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->ids[i], m->id) != 0)
            continue;
        wanted = true;
        t->left -= !t->found[i];
        t->found[i] = true;
    }
    return wanted;
}

static int take_batch(struct taking *t, const struct sqs_message *m, size_t count)
{
    const struct sqs_message *wanted[SQS_BATCH];
    size_t n = 0, done = 0;
    int rc = OK;
    for (size_t i = 0; !rc && i < count; i++) {
        if (is_wanted(t, &m[i]))
            wanted[n++] = &m[i];
        else
            rc = sqs_handles_add(&t->others, m[i].handle);
    }
    if (!rc && n > 0)
        rc = t->act(t->queue, wanted, n, &done);
    t->taken += (int64_t)done;
    return rc;
}

/* Those of no interest stay hidden for the time it takes, else they would come again and again. */
static bool goes_on(const struct taking *t, int64_t start)
{
    if (t->ids && t->left == 0)
        return false;
    return t->others.count < SQS_DEAD_CAP &&
           (t->others.count == 0 || clock_monotonic_ms() - start < SQS_DEAD_LOOK_MS);
}

static int take_all(struct taking *t)
{
    int64_t start = clock_monotonic_ms();
    size_t count = 1;
    int rc = OK;
    while (!rc && count > 0 && goes_on(t, start)) {
        struct sqs_message m[SQS_BATCH];
        yyjson_doc *doc;
        rc = sqs_dead_receive(t->queue, &doc, m, &count);
        if (!rc)
            rc = take_batch(t, m, count);
        yyjson_doc_free(doc);
    }
    sqs_handles_release(t->queue, &t->others);
    return rc;
}

static int take(struct sqs_queue *q, const char *const *ids, size_t count, act_fn act,
                int64_t *taken)
{
    struct taking t = {.queue = q, .act = act, .ids = ids, .count = count, .left = count};
    *taken = 0;
    if (ids && count == 0)
        return OK;
    t.found = calloc(count ? count : 1, sizeof *t.found);
    if (!t.found)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu dead letters", count);
    pthread_mutex_lock(&q->dead_lock);
    int rc = take_all(&t);
    pthread_mutex_unlock(&q->dead_lock);
    free(t.found);
    *taken = t.taken;
    return rc;
}

int sqs_dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved)
{
    return take(ctx, ids, count, redrive_letters, moved);
}

int sqs_dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped)
{
    return take(ctx, ids, count, drop_letters, dropped);
}
