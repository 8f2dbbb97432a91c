#include <stdlib.h>
#include <string.h>

#include "database/postgres_batch.h"

struct recording {
    const struct media_event *events;
    size_t count;
    struct event_outcome *out;
    struct key_need **keys; /* of each event, in this run */
};

/* ---- order ---- */

/* As AWS documents: right pad the shorter with zeros, then compare lexicographically. Hex digits
 * may come in either case. */
static int compare_sequencers(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), n = la > lb ? la : lb;
    for (size_t i = 0; i < n; i++) {
        int x = i < la ? a[i] : '0', y = i < lb ? b[i] : '0';
        x = x >= 'A' && x <= 'Z' ? x + 32 : x;
        y = y >= 'A' && y <= 'Z' ? y + 32 : y;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

static int compare_order(const struct media_event *e, const struct media_image *m)
{
    const char *sequencer = text_or_empty(e->sequencer);
    if (*sequencer && *m->sequencer)
        return compare_sequencers(sequencer, m->sequencer);
    return (e->event_ms > m->event_ms) - (e->event_ms < m->event_ms);
}

/* Do both tell of the same version? */
static bool same_version(struct batch *b, const struct media_event *e, const struct media_image *m)
{
    const char *version = text_or_empty(e->object_version), *etag = text_or_empty(e->etag);
    const struct version_image *known = version_image(b, m->version_id);
    if (m->removed || !known)
        return false;
    if (*version || *known->object_version)
        return !strcmp(version, known->object_version);
    if (*etag || *known->etag)
        return !strcmp(etag, known->etag);
    return compare_order(e, m) == 0;
}

/* ---- parts ---- */

static struct pg_bytes trace_of(struct batch *b, const struct media_event *e)
{
    unsigned char *trace = batch_alloc(b, 16);
    const char *hex = text_or_empty(e->trace_id);
    if (strlen(hex) != 32 || !hex_decode(hex, 16, trace))
        memset(trace, 0, 16);
    return (struct pg_bytes){.data = trace, .length = 16};
}

/* A later event of the same version, or of nothing new: what is older than it is stale from now on.
 */
static void advance_order(const struct media_event *e, struct media_image *m)
{
    m->event_ms = e->event_ms;
    m->sequencer = text_or_empty(e->sequencer);
    m->dirty = true;
}

static struct media_image *new_media(struct batch *b, const struct media_event *e,
                                     struct key_need *key, bool removed)
{
    struct media_image *m = media_new(b, key);
    m->removed = removed;
    m->uploaded_ms = m->event_ms = e->event_ms;
    m->sequencer = text_or_empty(e->sequencer);
    m->collection = e->collection ? e->collection : e->bucket;
    return m;
}

/* A dead one could not be sent round again any more: its letter goes. */
static void cancel_newest(struct batch *b, int64_t job_id, const char *reason, const char *message,
                          const char *detail)
{
    struct job_image *job = job_id ? job_image(b, job_id) : NULL;
    if (job && job->state == JOB_DEAD)
        job_give_up(b, job, detail);
    else if (job && job_unfinished((enum job_state)job->state))
        job_finish(b, job,
                   &(struct job_end){.state = JOB_CANCELLED,
                                     .closed = CLOSED_CANCELLED,
                                     .event = LIFE_JOB_CANCELLED,
                                     .reason = reason,
                                     .message = message,
                                     .detail = detail});
}

/* ---- a creation ---- */

static int64_t add_version(struct batch *b, const struct media_event *e, int64_t media_id)
{
    struct version_image *v = version_new(b);
    v->media_id = media_id;
    v->event_ms = e->event_ms;
    v->size = e->size;
    v->content = e->content;
    v->object_version = text_or_empty(e->object_version);
    v->etag = text_or_empty(e->etag);
    v->content_type = text_or_empty(e->content_type);
    return v->version_id;
}

static void new_version(struct batch *b, const struct media_event *e, struct key_need *key,
                        struct event_outcome *out)
{
    struct media_image *m = key->media;
    if (!m || m->removed)
        b->sums.media++;
    if (m)
        cancel_newest(b, m->job_id, "superseded", "a newer version was uploaded",
                      "{\"reason\":\"superseded\"}");
    else
        m = new_media(b, e, key, false);
    m->removed = false;
    m->collection = e->collection ? e->collection : e->bucket;
    m->uploaded_ms = e->event_ms;
    advance_order(e, m);
    m->version_id = add_version(b, e, m->media_id);
    job_make(b, m, m->version_id, trace_of(b, e));
    *out = (struct event_outcome){.result = EVENT_JOB_QUEUED,
                                  .media_id = m->media_id,
                                  .version_id = m->version_id,
                                  .job_id = m->job_id};
}

/* The same bytes were uploaded again while their job is not done, as by two processes at once. To
 * supersede the job would pay for its work twice: it goes on, for the version as it is now named.
 */
static bool carry_on(struct batch *b, const struct media_event *e, struct media_image *m)
{
    struct version_image *v = version_image(b, m->version_id);
    const struct job_image *job = m->job_id ? job_image(b, m->job_id) : NULL;
    const char *collection = e->collection ? e->collection : e->bucket;
    if (m->removed || !job || !v || !digest_known(&e->content) ||
        !digest_equal(&e->content, &v->content) || !job_unfinished((enum job_state)job->state) ||
        strcmp(collection, m->collection) != 0)
        return false;
    v->event_ms = e->event_ms;
    v->object_version = text_or_empty(e->object_version);
    v->etag = text_or_empty(e->etag);
    v->content_type = text_or_empty(e->content_type);
    v->dirty = true;
    advance_order(e, m);
    return true;
}

static void duplicate(const struct media_image *m, struct event_outcome *out)
{
    *out = (struct event_outcome){.result = EVENT_DUPLICATE,
                                  .media_id = m->media_id,
                                  .version_id = m->version_id,
                                  .job_id = m->job_id};
}

static void created(struct batch *b, const struct media_event *e, struct key_need *key,
                    struct event_outcome *out)
{
    struct media_image *m = key->media;
    int order = m ? compare_order(e, m) : 1;
    if (m && same_version(b, e, m)) {
        duplicate(m, out);
        if (order > 0)
            advance_order(e, m);
    } else if (order < 0) {
        *out = (struct event_outcome){.result = EVENT_STALE, .media_id = m->media_id};
    } else if (m && carry_on(b, e, m)) {
        duplicate(m, out);
    } else {
        new_version(b, e, key, out);
    }
}

/* ---- a removal ---- */

static void remove_media(struct batch *b, const struct media_event *e, struct media_image *m)
{
    struct pg_bytes trace = trace_of(b, e);
    cancel_newest(b, m->job_id, "removed", "the object was removed", "{\"reason\":\"removed\"}");
    media_show(b, m, NULL);
    m->removed = true;
    advance_order(e, m);
    garbage_note(b, GARBAGE_CHECKPOINTS, m->media_id, INT64_MAX);
    struct life_insert *row = list_add(b, &b->life, sizeof *row);
    *row = (struct life_insert){
        .at_ms = b->now_ms, .media_id = m->media_id, .type = LIFE_MEDIA_REMOVED, .trace = trace};
    b->sums.media--;
}

/* A removal is remembered even for a key never heard of: its creation may be late, and must then
 * be stale. */
static void removed(struct batch *b, const struct media_event *e, struct key_need *key,
                    struct event_outcome *out)
{
    struct media_image *m = key->media;
    const char *version = text_or_empty(e->object_version);
    const struct version_image *shown = m && !m->removed ? version_image(b, m->version_id) : NULL;
    *out = (struct event_outcome){.media_id = m ? m->media_id : 0};
    if (m && compare_order(e, m) < 0) {
        out->result = EVENT_STALE;
    } else if (*version && shown && strcmp(version, shown->object_version) != 0) {
        out->result = EVENT_NOTHING_TO_REMOVE; /* another version was deleted for good */
    } else if (!m) {
        out->result = EVENT_NOTHING_TO_REMOVE;
        new_media(b, e, key, true);
    } else if (m->removed) {
        out->result = EVENT_NOTHING_TO_REMOVE;
        advance_order(e, m);
    } else {
        out->result = EVENT_MEDIA_REMOVED;
        remove_media(b, e, m);
    }
}

/* ---- the verb ---- */

static int need_keys(struct batch *b, void *arg)
{
    struct recording *r = arg;
    for (size_t i = 0; i < r->count; i++) {
        const struct media_event *e = &r->events[i];
        r->keys[i] = need_key(b, e->bucket, e->key);
        b->needs.ids[ID_MEDIA]++;
        b->needs.ids[ID_VERSION] += e->kind == EVENT_CREATED;
        b->needs.ids[ID_JOB] += e->kind == EVENT_CREATED;
        b->needs.old_results |= e->kind == EVENT_REMOVED;
    }
    return OK;
}

static int record_all(struct batch *b, void *arg)
{
    struct recording *r = arg;
    for (size_t i = 0; i < r->count; i++)
        (r->events[i].kind == EVENT_CREATED ? created : removed)(b, &r->events[i], r->keys[i],
                                                                 &r->out[i]);
    return OK;
}

int postgres_record_events(void *ctx, const struct media_event *events, size_t count,
                           struct event_outcome *out)
{
    static const struct change_verbs verbs = {.need = need_keys, .apply = record_all};
    for (size_t i = 0; i < count; i++) {
        int rc = event_check(&events[i]);
        if (rc)
            return rc;
    }
    if (!count)
        return OK;
    struct recording r = {.events = events, .count = count, .out = out};
    r.keys = calloc(count, sizeof *r.keys);
    if (!r.keys)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu events", count);
    int rc = change_run(ctx, &verbs, &r, count * 512, NULL);
    free(r.keys);
    return rc;
}
