#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"

/* ---- looking ---- */

int sqs_dead_receive(struct sqs_queue *q, yyjson_doc **doc, struct sqs_message out[SQS_BATCH],
                     size_t *count)
{
    /* A short poll asks a part of SQS's servers, so its nothing may mean something. */
    return sqs_receive(q, q->dead_url, SQS_BATCH, SQS_DEAD_HIDE_S, q->short_dead_poll ? 0 : 1, NULL,
                       doc, out, count);
}

int sqs_handles_add(struct sqs_handles *h, const char *handle)
{
    if (h->count == h->capacity) {
        size_t capacity = h->capacity ? 2 * h->capacity : 64;
        char **items = realloc(h->items, capacity * sizeof *items);
        if (!items)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for dead letters");
        h->items = items;
        h->capacity = capacity;
    }
    char *copy = strdup(handle);
    if (!copy)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for dead letters");
    h->items[h->count++] = copy;
    return OK;
}

void sqs_handles_release(struct sqs_queue *q, struct sqs_handles *h)
{
    struct error before = *error_last();
    int rcs[SQS_BATCH], rc = OK;
    for (size_t at = 0; !rc && at < h->count; at += SQS_BATCH) {
        size_t n = h->count - at < SQS_BATCH ? h->count - at : SQS_BATCH;
        rc = sqs_hide_handles(q, q->dead_url, (const char *const *)h->items + at, n, 0, rcs);
    }
    for (size_t i = 0; i < h->count; i++)
        free(h->items[i]);
    free(h->items);
    *h = (struct sqs_handles){0};
    error_restore(&before);
}

/* ---- the page that is asked for ---- */

struct letter {
    char id[QUEUE_ID_TEXT], reason[QUEUE_REASON_TEXT];
    char *body, *detail;
    size_t length;
    int receive_count;
    int64_t sent_ms, dead_ms;
    bool payload;
};

struct page {
    struct sqs_queue *queue;
    int64_t since_ms, now_ms;
    struct sqs_dead_position after; /* id "": from the start */
    struct letter *items;           /* in order, the first `limit` of those seen */
    size_t count, capacity, limit;
};

static int compare(int64_t sent_a, const char *a, int64_t sent_b, const char *b)
{
    return sent_a != sent_b ? (sent_a > sent_b) - (sent_a < sent_b) : strcmp(a, b);
}

static void letter_free(struct letter *l)
{
    free(l->body);
    free(l->detail);
}

static int letter_make(const struct page *p, const struct sqs_message *m, struct letter *l)
{
    bool buried = *m->reason;
    *l = (struct letter){
        .length = m->length,
        .receive_count = buried ? m->dead_count : p->queue->max_receives,
        .sent_ms = m->sent_ms,
        .dead_ms = buried ? m->arrived_ms : p->now_ms,
        .payload = m->payload,
    };
    memcpy(l->id, m->id, sizeof l->id);
    snprintf(l->reason, sizeof l->reason, "%s", buried ? m->reason : "max_receives");
    l->body = strdup(m->body);
    l->detail = strdup(m->detail);
    if (l->body && l->detail)
        return OK;
    letter_free(l);
    return error_set(ERR_NO_MEMORY, NULL, "out of memory for dead letters");
}

static bool is_wanted(const struct page *p, const struct sqs_message *m)
{
    if (m->newer || (*m->reason && m->arrived_ms < p->since_ms))
        return false;
    return !*p->after.id || compare(m->sent_ms, m->id, p->after.sent_ms, p->after.id) > 0;
}

static int make_room(struct page *p)
{
    if (p->count < p->capacity)
        return OK;
    size_t capacity = p->capacity ? 2 * p->capacity : 16;
    struct letter *items = realloc(p->items, capacity * sizeof *items);
    if (!items)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for dead letters");
    p->items = items;
    p->capacity = capacity;
    return OK;
}

/* The last one falls off a full page. What is seen twice is kept once. */
static int page_offer(struct page *p, const struct sqs_message *m)
{
    size_t at = p->count;
    int order = -1;
    while (at > 0 &&
           (order = compare(m->sent_ms, m->id, p->items[at - 1].sent_ms, p->items[at - 1].id)) < 0)
        at--;
    if (!is_wanted(p, m) || (at > 0 && order == 0) || at == p->limit)
        return OK;
    struct letter l;
    int rc = make_room(p);
    if (!rc)
        rc = letter_make(p, m, &l);
    if (rc)
        return rc;
    if (p->count == p->limit)
        letter_free(&p->items[--p->count]);
    memmove(&p->items[at + 1], &p->items[at], (p->count - at) * sizeof l);
    p->items[at] = l;
    p->count++;
    return OK;
}

static int page_fill(struct page *p)
{
    struct sqs_handles seen = {0};
    int64_t start = clock_monotonic_ms();
    size_t count = 1;
    int rc = OK;
    while (!rc && count > 0 && seen.count < SQS_DEAD_CAP &&
           clock_monotonic_ms() - start < SQS_DEAD_LOOK_MS) {
        struct sqs_message m[SQS_BATCH];
        yyjson_doc *doc;
        rc = sqs_dead_receive(p->queue, &doc, m, &count);
        for (size_t i = 0; !rc && i < count; i++) {
            rc = sqs_handles_add(&seen, m[i].handle);
            if (!rc)
                rc = page_offer(p, &m[i]);
        }
        yyjson_doc_free(doc);
    }
    sqs_handles_release(p->queue, &seen);
    return rc;
}

/* ---- positions ---- */

/* An id does not tell when its message was sent. */
static void find_position(const struct sqs_queue *q, const char *after,
                          struct sqs_dead_position *out)
{
    *out = (struct sqs_dead_position){0};
    for (size_t i = 0; *after && i < SQS_DEAD_SEEN; i++)
        if (!strcmp(q->dead_seen[i].id, after))
            *out = q->dead_seen[i];
}

static void note_position(struct sqs_queue *q, const struct letter *l)
{
    struct sqs_dead_position known;
    find_position(q, l->id, &known);
    if (*known.id)
        return;
    struct sqs_dead_position *p = &q->dead_seen[q->dead_seen_next++ % SQS_DEAD_SEEN];
    memcpy(p->id, l->id, sizeof p->id);
    p->sent_ms = l->sent_ms;
}

/* ---- the port ---- */

/* A body that is kept elsewhere and cannot be had is shown as what says where. */
static int copy_out(struct sqs_queue *q, const struct letter *l, struct arena *arena,
                    struct queue_dead_letter *out)
{
    out->receive_count = l->receive_count;
    out->sent_ms = l->sent_ms;
    out->dead_ms = l->dead_ms;
    memcpy(out->id, l->id, sizeof out->id);
    memcpy(out->reason, l->reason, sizeof out->reason);
    out->detail = arena_strdup(arena, l->detail);
    if (!out->detail)
        return ERR_NO_MEMORY;
    if (l->payload && !sqs_payload_get(q, l->body, l->length, arena, &out->body, &out->length))
        return OK;
    out->length = l->length;
    out->body = arena_strndup(arena, l->body, l->length);
    return out->body ? OK : ERR_NO_MEMORY;
}

static int page_copy(struct page *p, struct arena *arena, struct queue_dead_letter **out,
                     size_t *count)
{
    *out = arena_array(arena, p->count, sizeof **out);
    int rc = *out || p->count == 0 ? OK : ERR_NO_MEMORY;
    for (size_t i = 0; !rc && i < p->count; i++) {
        rc = copy_out(p->queue, &p->items[i], arena, &(*out)[i]);
        if (!rc)
            note_position(p->queue, &p->items[i]);
    }
    *count = rc ? 0 : p->count;
    return rc;
}

int sqs_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                   struct arena *arena, struct queue_dead_letter **out, size_t *count)
{
    struct sqs_queue *q = ctx;
    struct page p = {.queue = q,
                     .since_ms = since_ms,
                     .now_ms = clock_now(q->clock),
                     .limit = limit < SQS_DEAD_CAP ? limit : SQS_DEAD_CAP};
    *out = NULL;
    *count = 0;
    if (limit == 0)
        return OK;
    pthread_mutex_lock(&q->dead_lock);
    find_position(q, after, &p.after);
    int rc = page_fill(&p);
    if (!rc)
        rc = page_copy(&p, arena, out, count);
    pthread_mutex_unlock(&q->dead_lock);
    for (size_t i = 0; i < p.count; i++)
        letter_free(&p.items[i]);
    free(p.items);
    return rc;
}

int sqs_dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                  struct queue_dead_letter **out, size_t *count)
{
    return sqs_dead_since(ctx, 0, after, limit, arena, out, count);
}
