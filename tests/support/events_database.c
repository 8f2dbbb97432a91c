#include "support/events_database.h"

#include <stdio.h>
#include <string.h>

#include "shared/error.h"

static struct known_media *find(struct events_database *db, const char *bucket, const char *key)
{
    for (size_t i = 0; i < db->count; i++)
        if (!strcmp(db->media[i].bucket, bucket) && !strcmp(db->media[i].key, key))
            return &db->media[i];
    return NULL;
}

static struct known_media *add(struct events_database *db, const struct media_event *e)
{
    struct known_media *m = &db->media[db->count++];
    *m = (struct known_media){.removed = true};
    snprintf(m->bucket, sizeof m->bucket, "%s", e->bucket);
    snprintf(m->key, sizeof m->key, "%s", e->key);
    return m;
}

static void remember(struct known_media *m, const struct media_event *e)
{
    snprintf(m->version, sizeof m->version, "%s", e->object_version);
    snprintf(m->etag, sizeof m->etag, "%s", e->etag);
    snprintf(m->sequencer, sizeof m->sequencer, "%s", e->sequencer);
    snprintf(m->collection, sizeof m->collection, "%s", e->collection ? e->collection : e->bucket);
    m->size = e->size;
    m->content = e->content;
    m->removed = e->kind == EVENT_REMOVED;
}

static void record(struct events_database *db, const struct media_event *e,
                   struct event_outcome *out)
{
    struct known_media *m = find(db, e->bucket, e->key);
    bool known = m != NULL;
    m = m ? m : add(db, e);
    int64_t media_id = m - db->media + 1;
    *out = (struct event_outcome){.media_id = media_id};
    if (known && strcmp(e->sequencer, m->sequencer) < 0) {
        out->result = EVENT_STALE;
    } else if (e->kind == EVENT_REMOVED) {
        out->result = m->removed ? EVENT_NOTHING_TO_REMOVE : EVENT_MEDIA_REMOVED;
        remember(m, e);
    } else if (known && !m->removed && !strcmp(m->version, e->object_version) &&
               !strcmp(m->etag, e->etag)) {
        out->result = EVENT_DUPLICATE;
        out->job_id = m->job_id;
    } else {
        out->result = EVENT_JOB_QUEUED;
        out->job_id = m->job_id = ++db->jobs;
        remember(m, e);
    }
}

static int record_events(void *ctx, const struct media_event *events, size_t count,
                         struct event_outcome *out)
{
    struct events_database *db = ctx;
    int rc = OK;
    pthread_mutex_lock(&db->lock);
    db->calls++;
    if (db->fail_with)
        rc = error_set(db->fail_with, NULL, "the database was told to fail");
    for (size_t i = 0; !rc && i < count; i++) {
        if (db->count == EVENTS_DATABASE_MEDIA)
            rc = error_set(ERR_NO_MEMORY, NULL, "the test's database is full");
        else
            record(db, &events[i], &out[i]);
    }
    pthread_mutex_unlock(&db->lock);
    return rc;
}

static int touch(void *ctx, const int64_t *job_ids, size_t count, int64_t due_ms)
{
    struct events_database *db = ctx;
    (void)job_ids;
    (void)due_ms;
    pthread_mutex_lock(&db->lock);
    db->touched += (int64_t)count;
    pthread_mutex_unlock(&db->lock);
    return OK;
}

static const struct database_ops events_ops = {
    .name = "events", .record_events = record_events, .touch = touch};

void events_database_init(struct events_database *db, struct database *out)
{
    memset(db, 0, sizeof *db);
    pthread_mutex_init(&db->lock, NULL);
    *out = (struct database){.ops = &events_ops, .ctx = db};
}

void events_database_fini(struct events_database *db)
{
    pthread_mutex_destroy(&db->lock);
}

const struct known_media *events_database_find(struct events_database *db, const char *key)
{
    const struct known_media *found = NULL;
    pthread_mutex_lock(&db->lock);
    for (size_t i = 0; !found && i < db->count; i++)
        if (!strcmp(db->media[i].key, key))
            found = &db->media[i];
    pthread_mutex_unlock(&db->lock);
    return found;
}
