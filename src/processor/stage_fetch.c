/*
 * fetch: the object's bytes, checked to be the version the job is about; its digest.
 * identify: what it is; and whether a result of this very content and these settings exists
 * already.
 */
#include <unistd.h>

#include "processor/internal.h"
#include "shared/file.h"

static int open_object(struct job *job)
{
    const struct object_store *store = &job->processor->ports.store;
    const struct job_work *w = job->work;
    int rc = store->ops->open(store->ctx, w->bucket, w->key, w->object_version, w->etag,
                              job->cancel, &job->object);
    if (rc == ERR_NOT_FOUND)
        return error_set(ERR_PERMANENT, "object_missing",
                         "'%s' is no longer in bucket '%s': it was deleted before it could be read",
                         w->key, w->bucket);
    if (rc == ERR_CONFLICT)
        return error_set(ERR_CONFLICT, "superseded",
                         "'%s' was replaced by a newer version before it could be read", w->key);
    if (rc)
        job->object = (struct object){.fd = -1};
    return rc;
}

static bool is_open(const struct job *job)
{
    return job->object.fd >= 0 || job->object.bytes;
}

static int digest_object(struct job *job)
{
    if (job->object.bytes) {
        job->content = digest_of(job->object.bytes, (size_t)job->object.info.size);
        return OK;
    }
    char *bytes = arena_alloc(&job->arena, KIB(64));
    struct digest_stream *stream = bytes ? digest_begin(false) : NULL;
    if (!stream)
        return ERR_NO_MEMORY;
    int64_t offset = 0;
    size_t got = 1;
    int rc = OK;
    while (!rc && got > 0) {
        rc = cancel_requested(job->cancel)
                 ? error_set(ERR_CANCELLED, NULL, "stopped while reading")
                 : file_read_at(job->object.fd, job->work->key, bytes, KIB(64), offset, &got);
        if (!rc)
            digest_update(stream, bytes, got);
        offset += (int64_t)got;
    }
    job->content = digest_end(stream, NULL);
    return rc;
}

int stage_fetch(struct job *job)
{
    const struct database *db = &job->processor->ports.database;
    int rc = is_open(job) ? OK : open_object(job);
    if (rc || digest_known(&job->work->content))
        return rc;
    if (digest_known(&job->object.info.content))
        job->content = job->object.info.content;
    else
        rc = digest_object(job);
    return rc ? rc : db->ops->set_content(db->ctx, job->work->job_id, &job->content);
}

int stage_identify(struct job *job)
{
    const struct database *db = &job->processor->ports.database;
    const struct object *o = &job->object;
    int rc = o->bytes ? media_identify_bytes(o->bytes, (size_t)o->info.size, job->work->key,
                                             &job->identity)
                      : media_identify(o->fd, o->info.size, job->work->key, &job->identity);
    if (!rc)
        rc = job_fill_key(job);
    if (rc || job->work->content_is_new)
        return rc;
    rc = db->ops->result_find(db->ctx, &job->key, &job->ready_result);
    if (rc == ERR_NOT_FOUND) {
        job->ready_result = 0;
        rc = OK;
    }
    return rc;
}
