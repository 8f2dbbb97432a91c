/* What several verbs do to the images of a batch. */
#include <string.h>

#include "database/postgres_batch.h"
#include "shared/json.h"

/* ---- the outbox ---- */

void event_note(struct batch *b, enum life_type type, const struct job_image *job,
                const char *detail)
{
    struct life_insert *row = list_add(b, &b->life, sizeof *row);
    *row = (struct life_insert){.at_ms = b->now_ms,
                                .job_id = job->job_id,
                                .media_id = job->media_id,
                                .attempt = job->attempt,
                                .type = type,
                                .detail = detail};
}

/* ---- jobs ---- */

int not_open(const struct job_image *job)
{
    return error_set(ERR_CONFLICT, "attempt_over", "job %lld is %s: this attempt is over",
                     (long long)job->job_id, job_state_name((enum job_state)job->state));
}

void job_move(struct batch *b, struct job_image *job, enum job_state state)
{
    b->sums.jobs[job->state]--;
    b->sums.jobs[state]++;
    job->state = state;
    job->dirty = true;
}

struct job_image *job_make(struct batch *b, struct media_image *media, int64_t version_id,
                           struct pg_bytes trace)
{
    struct job_image *job = job_new(b);
    job->media_id = media->media_id;
    job->version_id = version_id;
    job->queued_ms = job->wake_ms = b->now_ms;
    job->trace = trace;
    b->sums.jobs[JOB_QUEUED]++;
    media->job_id = job->job_id;
    media->dirty = true;
    event_note(b, LIFE_JOB_QUEUED, job, NULL);
    return job;
}

void job_attempt_end(struct batch *b, const struct job_image *job, enum closed_as closed,
                     const struct job_end *end)
{
    struct attempt_insert *row = list_add(b, &b->attempts, sizeof *row);
    *row = (struct attempt_insert){.job_id = job->job_id,
                                   .started_ms = job->started_ms,
                                   .ended_ms = b->now_ms,
                                   .ordinal = job->ordinal,
                                   .attempt = job->attempt,
                                   .outcome = closed,
                                   .worker = job->worker,
                                   .stage = text_or_empty(end->stage),
                                   .reason = text_or_empty(end->reason),
                                   .message = text_or_empty(end->message),
                                   .stage_times = text_or_empty(end->stage_times)};
}

static void content_release(struct batch *b, struct job_image *job)
{
    struct hold *hold = id_map_get(&b->holds_by_content, digest_hash(&job->content));
    for (; hold; hold = hold->next)
        if (hold->job_id == job->job_id)
            hold->lease_ms = 0;
    memset(&job->content, 0, sizeof job->content);
}

void job_finish(struct batch *b, struct job_image *job, const struct job_end *end)
{
    bool open = job_open((enum job_state)job->state), over = !job_unfinished(end->state);
    if (open)
        job_attempt_end(b, job, end->closed, end);
    event_note(b, end->event, job, end->detail);
    if (end->uncounted && open)
        job->attempt--;
    job->finished_ms = over ? b->now_ms : 0;
    job->due_ms = end->due_ms;
    job->wake_ms = end->state == JOB_RETRYING ? end->due_ms : b->now_ms;
    job->lease_ms = 0;
    job->wake_set = job->lease_set = true;
    job->stage = text_or_empty(end->stage);
    job->reason = text_or_empty(end->reason);
    job->message = text_or_empty(end->message);
    content_release(b, job);
    job_move(b, job, end->state);
    if (end->state == JOB_SUCCEEDED || end->state == JOB_CANCELLED)
        list_add_id(b, &b->closed, job->job_id);
}

/* ---- contents ---- */

static struct hold *find_hold(struct batch *b, const struct digest *content)
{
    struct hold *hold = id_map_get(&b->holds_by_content, digest_hash(content));
    while (hold && !digest_equal(&hold->content, content))
        hold = hold->next;
    return hold;
}

int content_free(struct batch *b, const struct job_image *job, const struct digest *content)
{
    const struct hold *hold = digest_known(content) ? find_hold(b, content) : NULL;
    if (!hold || hold->job_id == job->job_id || hold->lease_ms <= b->now_ms)
        return OK;
    return error_set(ERR_BUSY, "same_content", "job %lld works on the same content",
                     (long long)hold->job_id);
}

/* A content has one holder (a unique index): one whose lease has passed loses it. */
void content_hold(struct batch *b, struct job_image *job, const struct digest *content)
{
    if (!digest_known(content))
        return;
    struct hold *hold = find_hold(b, content);
    if (hold && hold->job_id != job->job_id) {
        struct job_image *other = job_image(b, hold->job_id);
        list_add_id(b, &b->released, hold->job_id);
        if (other && digest_equal(&other->content, content))
            memset(&other->content, 0, sizeof other->content);
    }
    if (!hold) {
        hold = batch_alloc(b, sizeof *hold);
        hold->content = *content;
        hold->next = id_map_get(&b->holds_by_content, digest_hash(content));
        id_map_put(b, &b->holds_by_content, digest_hash(content), hold);
    }
    hold->job_id = job->job_id;
    hold->lease_ms = job->lease_ms;
    job->content = *content;
    job->dirty = true;
}

bool content_ready(struct batch *b, const struct digest *content)
{
    return id_map_get(&b->ready_contents, digest_hash(content));
}

bool content_kept(struct batch *b, const struct digest *content)
{
    return id_map_get(&b->kept_contents, digest_hash(content));
}

/* ---- money ---- */

enum { DAY_MS = 86400000 };

static int64_t day_of(int64_t ms)
{
    return ms >= 0 ? ms / DAY_MS : -((-ms + DAY_MS - 1) / DAY_MS);
}

static bool same_usage(const struct usage_sum *a, const struct usage_sum *b)
{
    return a->day == b->day && a->operation == b->operation && !strcmp(a->model, b->model) &&
           !strcmp(a->collection, b->collection) && !strcmp(a->provider, b->provider);
}

static struct usage_sum *usage_row(struct batch *b, const struct usage_sum *like)
{
    struct usage_sum *rows = b->usage.items;
    for (size_t i = b->usage.count; i-- > 0;)
        if (same_usage(&rows[i], like))
            return &rows[i];
    struct usage_sum *row = list_add(b, &b->usage, sizeof *row);
    *row = *like;
    return row;
}

static void usage_add(struct batch *b, const char *collection, const struct model_call *call)
{
    bool priced = call->cost_nanousd >= 0;
    struct usage_sum *sum = usage_row(b, &(struct usage_sum){.day = day_of(b->now_ms),
                                                             .operation = call->operation,
                                                             .collection = collection,
                                                             .provider = call->provider,
                                                             .model = call->model});
    sum->calls++;
    sum->input += call->input_tokens;
    sum->cached += call->cached_tokens;
    sum->output += call->output_tokens;
    sum->audio_ms += call->audio_ms;
    sum->cost += priced ? call->cost_nanousd : 0;
    sum->unpriced += !priced;
    b->sums.cost += priced ? call->cost_nanousd : 0;
    b->sums.unpriced += !priced;
}

void calls_add(struct batch *b, struct media_image *media, int64_t job_id,
               const struct model_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct model_call *call = &calls[i];
        struct call_insert *row = list_add(b, &b->calls, sizeof *row);
        *row = (struct call_insert){.media_id = media ? media->media_id : 0,
                                    .job_id = job_id,
                                    .at_ms = b->now_ms,
                                    .input = call->input_tokens,
                                    .cached = call->cached_tokens,
                                    .output = call->output_tokens,
                                    .audio_ms = call->audio_ms,
                                    .cost = call->cost_nanousd,
                                    .duration_ms = call->duration_ms,
                                    .status = call->http_status,
                                    .operation = call->operation,
                                    .collection = media ? media->collection : "",
                                    .provider = call->provider,
                                    .model = call->model};
        usage_add(b, row->collection, call);
        if (!media)
            continue;
        media->cost_nanousd += call->cost_nanousd >= 0 ? call->cost_nanousd : 0;
        media->unpriced_calls += call->cost_nanousd < 0;
        media->dirty = true;
    }
}

/* ---- results ---- */

void garbage_note(struct batch *b, enum garbage_kind kind, int64_t id, int64_t arg)
{
    struct garbage_insert *row = list_add(b, &b->garbage, sizeof *row);
    *row = (struct garbage_insert){.kind = kind, .id = id, .arg = arg};
}

void space_count(struct batch *b, int64_t space_id, int64_t chunks)
{
    struct space_sum *rows = b->spaces.items;
    if (!space_id || !chunks)
        return;
    for (size_t i = 0; i < b->spaces.count; i++)
        if (rows[i].space_id == space_id) {
            rows[i].chunks += chunks;
            return;
        }
    struct space_sum *row = list_add(b, &b->spaces, sizeof *row);
    *row = (struct space_sum){.space_id = space_id, .chunks = chunks};
}

void media_show(struct batch *b, struct media_image *media, const struct result_image *result)
{
    int64_t id = result ? result->result_id : 0;
    struct result_image *old = media->result_id ? result_image(b, media->result_id) : NULL;
    if (old && old->result_id != id)
        old->let_go = true;
    b->sums.published += (id != 0) - (media->result_id != 0);
    media->result_id = id;
    media->published_ms = id ? b->now_ms : 0;
    media->kind = result ? result->kind : "";
    media->language = result ? result->language : "";
    media->dirty = true;
}

static bool shown(struct batch *b, const struct result_image *r)
{
    bool used = r->used_elsewhere;
    for (size_t i = 0; !used && i < b->media.count; i++)
        used = ((struct media_image **)b->media.items)[i]->result_id == r->result_id;
    return used;
}

static void leave_spaces(struct batch *b, const struct result_image *r)
{
    space_count(b, r->space_id, -r->chunks);
    for (size_t i = 0; i < b->result_spaces.count; i++) {
        const struct result_space *row = &((struct result_space *)b->result_spaces.items)[i];
        if (row->result_id == r->result_id)
            space_count(b, row->space_id, -row->chunks);
    }
}

void results_settle(struct batch *b)
{
    for (size_t i = 0; i < b->results.count; i++) {
        struct result_image *r = ((struct result_image **)b->results.items)[i];
        if (!r->let_go || r->state != RESULT_READY || shown(b, r))
            continue;
        r->state = RESULT_GARBAGE;
        r->counts_dirty = true;
        b->sums.results--;
        b->sums.chunks -= r->chunks;
        b->sums.segments -= r->segments;
        leave_spaces(b, r);
        garbage_note(b, GARBAGE_RESULT, r->result_id, 0);
    }
}
