/*
 * publish. Repeating one whose COMMIT was never answered: the attempt's number tells. Only the
 * attempt that succeeded leaves its job succeeded at its number, so if that is what a doubted
 * publication finds, it was the one, and nothing is written again.
 */
#include <stdio.h>
#include <string.h>

#include "database/postgres_results.h"
#include "shared/summary_json.h"

/* A publication with what the caller's thread prepared. */
struct publishing {
    const struct publication *p;
    struct prepared slice;
    struct buffer summary;
    bool doubted;
};

/* ---- doubts ---- */

static void doubt_add(struct store *s, const struct publication *p)
{
    struct doubts *d = &s->doubts;
    pthread_mutex_lock(&d->lock);
    d->items[d->next] = (struct doubt){.job_id = p->job_id, .attempt = p->attempt};
    d->next = (d->next + 1) % DOUBTS; /* the oldest is forgotten */
    d->count += d->count < DOUBTS;
    pthread_mutex_unlock(&d->lock);
}

static bool doubt_take(struct store *s, const struct publication *p)
{
    struct doubts *d = &s->doubts;
    bool found = false;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; !found && i < d->count; i++)
        if (d->items[i].job_id == p->job_id && d->items[i].attempt == p->attempt) {
            d->items[i].job_id = 0;
            found = true;
        }
    pthread_mutex_unlock(&d->lock);
    return found;
}

/* ---- the three ways to a ready result ---- */

static void describe(struct result_image *r, const struct publishing *pub)
{
    const struct result_info *info = pub->p->info;
    r->state = RESULT_READY;
    r->duration_ms = info->duration_ms;
    r->missing_ms = info->missing_ms;
    r->text_bytes = info->text_bytes;
    r->coverage = info->summary_coverage_permille;
    r->outcome = info->outcome;
    r->draft = info->draft;
    r->kind = text_or_empty(info->kind);
    r->format = text_or_empty(info->format);
    r->language = text_or_empty(info->language);
    r->title = text_or_empty(info->title);
    r->stages = text_or_empty(info->stages_json);
    r->summary = pub->summary.length ? pub->summary.data : NULL;
    if (r->summary)
        r->summary_settings = pub->p->key.summary;
}

static void count_ready(struct batch *b, const struct result_image *r)
{
    b->sums.results++;
    b->sums.chunks += r->chunks;
    b->sums.segments += r->segments;
    space_count(b, r->space_id, r->chunks);
}

static struct result_image *make_result(struct batch *b, const struct publishing *pub,
                                        const struct media_image *media)
{
    struct result_image *r = result_new(b, &pub->p->key);
    struct buffer heading;
    buffer_init(&heading, HEADING_BYTES);
    char *kept = heading_write(&heading, text_or_empty(pub->p->info->title), media->key)
                     ? NULL
                     : arena_strdup(&b->arena, heading.data);
    buffer_free(&heading);
    describe(r, pub);
    r->heading = text_or_empty(kept);
    if (!kept)
        b->broken = ERR_NO_MEMORY;
    slice_insert(b, r, &pub->slice);
    count_ready(b, r);
    return r;
}

/* May embeddings of this space (0: none) be published now? */
static int check_space(const struct batch *b, int64_t space_id)
{
    if (space_id && b->held_until_ms > b->now_ms)
        return error_set(ERR_TRANSIENT, "space_held",
                         "publishing waits a moment: the embedding model is being changed");
    if (space_id && space_id != b->serving_space)
        return error_set(
            ERR_TRANSIENT, "space_switched",
            "embeddings of space %lld came, but space %lld serves: they are made again",
            (long long)space_id, (long long)b->serving_space);
    return OK;
}

static int ready_staged(struct batch *b, const struct publishing *pub, struct result_image *r)
{
    int rc = check_space(b, r->space_id ? r->space_id : pub->slice.space.id);
    if (!rc)
        rc = slice_append(b, r, &pub->slice);
    if (rc)
        return rc;
    describe(r, pub);
    r->dirty = true;
    count_ready(b, r);
    return OK;
}

static int given_result(struct batch *b, const struct publishing *pub, struct result_image **out)
{
    const struct publication *p = pub->p;
    struct result_image *r = result_image(b, p->result_id);
    *out = r;
    if (r && r->state == RESULT_READY)
        return OK;
    if (r && r->state == RESULT_STAGED && r->job_id == p->job_id) {
        *out = result_by_key(b, &p->key);
        if (*out)
            return OK;
        *out = r;
        return ready_staged(b, pub, r);
    }
    return error_set(ERR_TRANSIENT, "result_gone",
                     "result %lld was deleted before it could be published: it is made again",
                     (long long)p->result_id);
}

static int resolve(struct batch *b, const struct publishing *pub, const struct media_image *media,
                   struct result_image **out)
{
    if (pub->p->result_id)
        return given_result(b, pub, out);
    *out = result_by_key(b, &pub->p->key);
    if (*out)
        return OK;
    int rc = check_space(b, pub->slice.space.id);
    if (!rc)
        *out = make_result(b, pub, media);
    return rc;
}

/* ---- the swap ---- */

static int need_publishing(struct batch *b, void *arg)
{
    const struct publishing *pub = arg;
    const struct publication *p = pub->p;
    need_job(b, p->job_id);
    if (p->result_id)
        list_add_id(b, &b->needs.results, p->result_id);
    *(const struct result_key **)list_add(b, &b->needs.result_keys, sizeof(void *)) = &p->key;
    b->needs.old_results = true;
    b->needs.ids[ID_RESULT] += !p->result_id;
    b->needs.ids[ID_CHUNK] += (int64_t)pub->slice.chunk_count;
    return OK;
}

static int refuse(struct batch *b, const struct publishing *pub, const struct job_image *job,
                  struct media_image *media)
{
    if (pub->doubted && job->state == JOB_SUCCEEDED && job->attempt == pub->p->attempt)
        return OK;
    calls_add(b, media, job->job_id, pub->slice.calls, pub->slice.call_count); /* made all the
                                                                                    same */
    return error_set(ERR_CONFLICT, "attempt_over",
                     "job %lld is %s, attempt %d is over: its results are not published",
                     (long long)job->job_id, job_state_name((enum job_state)job->state),
                     pub->p->attempt);
}

/* Checkpoints of the versions before serve nobody once this one is shown. */
static void outdate_checkpoints(struct batch *b, const struct job_image *job)
{
    struct garbage_insert *row = list_add(b, &b->outdated, sizeof *row);
    *row = (struct garbage_insert){
        .kind = GARBAGE_CHECKPOINTS, .id = job->media_id, .arg = job->version_id};
}

static int publish(struct batch *b, void *arg)
{
    const struct publishing *pub = arg;
    struct job_image *job;
    struct media_image *media;
    struct result_image *result;
    int rc = job_find(b, pub->p->job_id, &job, &media);
    if (rc)
        return rc;
    if (!job_open((enum job_state)job->state) || job->attempt != pub->p->attempt ||
        media->removed || media->version_id != job->version_id)
        return refuse(b, pub, job, media);
    rc = resolve(b, pub, media, &result);
    if (rc)
        return rc;
    calls_add(b, media, job->job_id, pub->slice.calls, pub->slice.call_count);
    if (media->result_id)
        outdate_checkpoints(b, job);
    media_show(b, media, result);
    job_finish(b, job,
               &(struct job_end){.state = JOB_SUCCEEDED,
                                 .closed = CLOSED_SUCCEEDED,
                                 .event = LIFE_JOB_SUCCEEDED,
                                 .stage_times = pub->p->stage_times_json});
    return OK;
}

static int prepare(struct store *s, struct publishing *pub)
{
    const struct publication *p = pub->p;
    if (!p->result_id && !p->info)
        return error_set(ERR_INVALID, NULL, "job %lld publishes a new result without its info",
                         (long long)p->job_id);
    int rc =
        prepare_slice(s, &p->batch, p->info ? text_or_empty(p->info->language) : "",
                      p->info && !p->result_id ? text_or_empty(p->info->title) : NULL, &pub->slice);
    if (!rc && !p->result_id && p->batch.chunk_count && p->batch.chunks[0].ordinal != 0)
        rc = error_set(ERR_INVALID, NULL, "a new result starts with chunk %d, not 0",
                       p->batch.chunks[0].ordinal);
    if (!rc && p->summary)
        rc = summary_json_append(&pub->summary, p->summary);
    if (!rc && pub->slice.space.id && !atomic_load(&s->serving_seen))
        rc = serving_begin(s, pub->slice.space.id);
    return rc;
}

int postgres_publish(void *ctx, const struct publication *publication)
{
    static const struct change_verbs verbs = {.need = need_publishing, .apply = publish};
    struct store *s = ctx;
    struct publishing pub = {.p = publication};
    bool in_doubt = false;
    buffer_init(&pub.summary, CAP_SUMMARY_JSON);
    pub.doubted = doubt_take(s, publication);
    int rc = prepare(s, &pub);
    if (!rc)
        rc = change_run(s, &verbs, &pub, pub.slice.bytes + pub.summary.length + 1024, &in_doubt);
    if (rc && (in_doubt || pub.doubted))
        doubt_add(s, publication);
    prepared_free(&pub.slice);
    buffer_free(&pub.summary);
    return rc;
}
