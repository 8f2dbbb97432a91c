#include <string.h>

#include "database/sqlite_internal.h"

/* What is known of a key before an event: the newest event's order, and its version's identity. */
struct media_head {
    int64_t media_id, facet_id, version_id, job_id, result_id, event_ms;
    bool removed;
    struct digest content; /* unknown before the fetch, if the event did not tell */
    char sequencer[CAP_SEQUENCER + 1];
    char object_version[CAP_VERSION_ID + 1];
    char etag[CAP_ETAG + 1];
};

struct recording {
    const struct media_event *events;
    size_t count;
    struct event_outcome *out;
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

static int compare_order(const struct media_event *e, const struct media_head *head)
{
    const char *sequencer = text_or_empty(e->sequencer);
    if (*sequencer && *head->sequencer)
        return compare_sequencers(sequencer, head->sequencer);
    return (e->event_ms > head->event_ms) - (e->event_ms < head->event_ms);
}

/* Do both tell of the same version? */
static bool same_version(const struct media_event *e, const struct media_head *head)
{
    const char *version = text_or_empty(e->object_version), *etag = text_or_empty(e->etag);
    if (head->removed || !head->version_id)
        return false;
    if (*version || *head->object_version)
        return !strcmp(version, head->object_version);
    if (*etag || *head->etag)
        return !strcmp(etag, head->etag);
    return compare_order(e, head) == 0;
}

/* ---- reading and writing the medium ---- */

static int load_head(struct transaction *tx, int64_t bucket, const char *key,
                     struct media_head *head)
{
    sqlite3_stmt *s;
    int rc = SQL_FIRST(tx->c, &s,
                       "SELECT m.media_id, m.facet_id, m.version_id, m.job_id, m.result_id, "
                       "m.event_ms, m.removed, m.sequencer, v.object_version, v.etag, "
                       "v.content "
                       "FROM media m LEFT JOIN version v ON v.version_id = m.version_id "
                       "WHERE m.bucket_id = ?1 AND m.key = ?2",
                       V_INT(bucket), V_TEXT(key));
    head->media_id = 0;
    if (rc || !s)
        return rc;
    head->media_id = sql_int(s, 0);
    head->facet_id = sql_int(s, 1);
    head->version_id = sql_int(s, 2);
    head->job_id = sql_int(s, 3);
    head->result_id = sql_int(s, 4);
    head->event_ms = sql_int(s, 5);
    head->removed = sql_int(s, 6);
    sql_copy(s, 7, head->sequencer, sizeof head->sequencer);
    sql_copy(s, 8, head->object_version, sizeof head->object_version);
    sql_copy(s, 9, head->etag, sizeof head->etag);
    memset(&head->content, 0, sizeof head->content);
    if (sqlite3_column_bytes(s, 10) == DIGEST_BYTES)
        memcpy(head->content.bytes, sqlite3_column_blob(s, 10), DIGEST_BYTES);
    sql_done(s);
    return OK;
}

static void trace_of(const struct media_event *e, unsigned char out[16])
{
    const char *hex = text_or_empty(e->trace_id);
    if (strlen(hex) != 32 || !hex_decode(hex, 16, out))
        memset(out, 0, 16);
}

/* The facet for the event's collection; kind and language stay those of the current result. */
static int event_facet(struct transaction *tx, const struct media_event *e,
                       const struct media_head *head, int64_t *out)
{
    struct facet facet = {0};
    int rc = OK;
    if (head->media_id && head->result_id)
        rc = facet_get(tx->names, tx->c, head->facet_id, &facet);
    if (!rc)
        rc = name_id(tx->names, tx->c, e->collection ? e->collection : e->bucket, true,
                     &facet.collection);
    return rc ? rc : facet_id(tx->names, tx->c, &facet, out);
}

static int insert_version(struct transaction *tx, const struct media_event *e, int64_t media_id,
                          int64_t *version_id)
{
    *version_id = take_id(tx, NEXT_VERSION);
    return SQL_RUN(tx->c, "INSERT INTO version VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                   V_INT(*version_id), V_INT(media_id), V_INT(e->event_ms), V_INT(e->size),
                   digest_known(&e->content) ? V_BLOB(e->content.bytes, DIGEST_BYTES) : V_NULL,
                   V_TEXT(text_or_empty(e->object_version)), V_TEXT(text_or_empty(e->etag)),
                   V_TEXT(text_or_empty(e->content_type)));
}

static int insert_media(struct transaction *tx, const struct media_event *e, int64_t bucket,
                        const struct event_outcome *out, int64_t facet, bool removed)
{
    return SQL_RUN(tx->c,
                   "INSERT INTO media VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, ?7, 0, ?7, 0, 0, ?8, "
                   "?9)",
                   V_INT(out->media_id), V_INT(bucket), V_INT(facet), V_INT(out->version_id),
                   V_INT(out->job_id), V_INT(removed), V_INT(e->event_ms),
                   V_TEXT(text_or_empty(e->sequencer)), V_TEXT(e->key));
}

/* A later event of the same version, or of nothing new: what is older than it is stale from now on.
 */
static int advance_order(struct transaction *tx, const struct media_event *e, int64_t media_id)
{
    return SQL_RUN(tx->c, "UPDATE media SET event_ms = ?2, sequencer = ?3 WHERE media_id = ?1",
                   V_INT(media_id), V_INT(e->event_ms), V_TEXT(text_or_empty(e->sequencer)));
}

/* A dead one could not be sent round again any more: its letter goes. */
static int cancel_newest(struct transaction *tx, int64_t job_id, const char *reason,
                         const char *message, const char *detail)
{
    struct job_head job;
    if (!job_id)
        return OK;
    int rc = job_load(tx, job_id, &job);
    if (!rc && job.state == JOB_DEAD)
        return job_drop(tx, &job, detail);
    if (rc || !job_unfinished(job.state))
        return rc;
    return job_close(tx, &job,
                     &(struct job_end){.state = JOB_CANCELLED,
                                       .closed = CLOSED_CANCELLED,
                                       .event = LIFE_JOB_CANCELLED,
                                       .reason = reason,
                                       .message = message,
                                       .detail = detail});
}

/* ---- a creation ---- */

static int new_version(struct transaction *tx, const struct media_event *e, int64_t bucket,
                       const struct media_head *head, struct event_outcome *out)
{
    unsigned char trace[16];
    int64_t facet;
    trace_of(e, trace);
    out->result = EVENT_JOB_QUEUED;
    out->media_id = head->media_id ? head->media_id : take_id(tx, NEXT_MEDIA);
    int rc = event_facet(tx, e, head, &facet);
    if (!rc && head->media_id)
        rc = cancel_newest(tx, head->job_id, "superseded", "a newer version was uploaded",
                           "{\"reason\":\"superseded\"}");
    if (!rc)
        rc = insert_version(tx, e, out->media_id, &out->version_id);
    if (!rc)
        rc = job_insert(tx,
                        &(struct new_job){.media_id = out->media_id,
                                          .version_id = out->version_id,
                                          .trace = trace},
                        &out->job_id);
    if (!rc && head->media_id)
        rc = SQL_RUN(tx->c,
                     "UPDATE media SET facet_id = ?2, version_id = ?3, job_id = ?4, removed = 0, "
                     "uploaded_ms = ?5, event_ms = ?5, sequencer = ?6 WHERE media_id = ?1",
                     V_INT(out->media_id), V_INT(facet), V_INT(out->version_id), V_INT(out->job_id),
                     V_INT(e->event_ms), V_TEXT(text_or_empty(e->sequencer)));
    else if (!rc)
        rc = insert_media(tx, e, bucket, out, facet, false);
    if (!head->media_id || head->removed)
        tx->ledger.value[TOTAL_MEDIA]++;
    return rc;
}

static int rename_version(struct transaction *tx, const struct media_event *e,
                          const struct media_head *head)
{
    int rc = SQL_RUN(tx->c,
                     "UPDATE version SET event_ms = ?2, object_version = ?3, etag = ?4, "
                     "content_type = ?5 WHERE version_id = ?1",
                     V_INT(head->version_id), V_INT(e->event_ms),
                     V_TEXT(text_or_empty(e->object_version)), V_TEXT(text_or_empty(e->etag)),
                     V_TEXT(text_or_empty(e->content_type)));
    return rc ? rc : advance_order(tx, e, head->media_id);
}

/* The same bytes were uploaded again while their job is not done, as by two processes at once. To
 * supersede the job would pay for its work twice: it goes on, for the version as it is now named.
 */
static int carry_on(struct transaction *tx, const struct media_event *e,
                    const struct media_head *head, struct event_outcome *out, bool *carried)
{
    struct job_head job;
    int64_t facet = 0;
    *carried = false;
    if (head->removed || !head->job_id || !digest_known(&e->content) ||
        !digest_equal(&e->content, &head->content))
        return OK;
    int rc = job_load(tx, head->job_id, &job);
    if (!rc)
        rc = event_facet(tx, e, head, &facet);
    if (rc || !job_unfinished(job.state) || facet != head->facet_id)
        return rc;
    *carried = true;
    *out = (struct event_outcome){.result = EVENT_DUPLICATE,
                                  .media_id = head->media_id,
                                  .version_id = head->version_id,
                                  .job_id = head->job_id};
    return rename_version(tx, e, head);
}

static int created(struct transaction *tx, const struct media_event *e, int64_t bucket,
                   const struct media_head *head, struct event_outcome *out)
{
    int order = head->media_id ? compare_order(e, head) : 1;
    bool carried = false;
    *out = (struct event_outcome){.media_id = head->media_id};
    if (head->media_id && same_version(e, head)) {
        out->result = EVENT_DUPLICATE;
        out->version_id = head->version_id;
        out->job_id = head->job_id;
        return order > 0 ? advance_order(tx, e, head->media_id) : OK;
    }
    if (order < 0) {
        out->result = EVENT_STALE;
        return OK;
    }
    int rc = head->media_id ? carry_on(tx, e, head, out, &carried) : OK;
    if (rc || carried)
        return rc;
    return new_version(tx, e, bucket, head, out);
}

/* ---- a removal ---- */

/* Remembered even for a key never heard of: its creation may be late, and must then be stale. */
static int remember_removal(struct transaction *tx, const struct media_event *e, int64_t bucket,
                            const struct media_head *head)
{
    int64_t facet;
    if (head->media_id)
        return advance_order(tx, e, head->media_id);
    int rc = event_facet(tx, e, head, &facet);
    struct event_outcome row = {.media_id = take_id(tx, NEXT_MEDIA)};
    return rc ? rc : insert_media(tx, e, bucket, &row, facet, true);
}

static int remove_media(struct transaction *tx, const struct media_event *e,
                        const struct media_head *head)
{
    unsigned char trace[16];
    trace_of(e, trace);
    int rc = cancel_newest(tx, head->job_id, "removed", "the object was removed",
                           "{\"reason\":\"removed\"}");
    if (!rc)
        rc =
            SQL_RUN(tx->c,
                    "UPDATE media SET removed = 1, result_id = NULL, published_ms = 0, "
                    "event_ms = ?2, sequencer = ?3 WHERE media_id = ?1",
                    V_INT(head->media_id), V_INT(e->event_ms), V_TEXT(text_or_empty(e->sequencer)));
    if (!rc && head->result_id) {
        tx->ledger.value[TOTAL_PUBLISHED]--;
        rc = result_unreference(tx, head->result_id);
    }
    if (!rc)
        rc = garbage_add(tx, GARBAGE_CHECKPOINTS, head->media_id, INT64_MAX);
    if (!rc)
        rc = life_write(tx, &(struct life_row){.type = LIFE_MEDIA_REMOVED,
                                               .media_id = head->media_id,
                                               .trace = trace});
    tx->ledger.value[TOTAL_MEDIA]--;
    return rc;
}

static int removed(struct transaction *tx, const struct media_event *e, int64_t bucket,
                   const struct media_head *head, struct event_outcome *out)
{
    *out = (struct event_outcome){.media_id = head->media_id};
    if (head->media_id && compare_order(e, head) < 0) {
        out->result = EVENT_STALE;
        return OK;
    }
    /* One version was deleted for good, and it is not the one that is shown. */
    const char *version = text_or_empty(e->object_version);
    if (*version && head->media_id && !head->removed && strcmp(version, head->object_version)) {
        out->result = EVENT_NOTHING_TO_REMOVE;
        return OK;
    }
    if (!head->media_id || head->removed) {
        out->result = EVENT_NOTHING_TO_REMOVE;
        return remember_removal(tx, e, bucket, head);
    }
    out->result = EVENT_MEDIA_REMOVED;
    return remove_media(tx, e, head);
}

/* ---- the verb ---- */

static int record_one(struct transaction *tx, const struct media_event *e,
                      struct event_outcome *out)
{
    struct media_head head;
    int64_t bucket;
    int rc = name_id(tx->names, tx->c, e->bucket, true, &bucket);
    if (!rc)
        rc = load_head(tx, bucket, e->key, &head);
    if (rc)
        return rc;
    return e->kind == EVENT_CREATED ? created(tx, e, bucket, &head, out)
                                    : removed(tx, e, bucket, &head, out);
}

static int record_all(struct transaction *tx, void *arg)
{
    const struct recording *r = arg;
    int rc = OK;
    for (size_t i = 0; !rc && i < r->count; i++)
        rc = record_one(tx, &r->events[i], &r->out[i]);
    return rc;
}

int sqlite_record_events(void *ctx, const struct media_event *events, size_t count,
                         struct event_outcome *out)
{
    struct store *s = ctx;
    for (size_t i = 0; i < count; i++) {
        int rc = event_check(&events[i]);
        if (rc)
            return rc;
    }
    struct recording r = {.events = events, .count = count, .out = out};
    return count ? writer_run(&s->writer, record_all, &r) : OK;
}
