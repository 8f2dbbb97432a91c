/*
 * publish: everything becomes visible in one transaction, and the job is done.
 */
#include <string.h>

#include "processor/internal.h"
#include "shared/json.h"
#include "shared/random.h"

enum { PUBLISH_TRIES = 4, SWITCH_TRIES = 4 };

/* {"transcribe":{"provider":"openai","model":"gpt-transcribe"},...}: what made the result.
 * Its embeddings are not of one model for good (database.h). */
static const char *stages_json(struct job *job)
{
    static const struct {
        const char *stage;
        enum model_operation operation;
    } made[] = {{"transcribe", MODEL_TRANSCRIBE}, {"summarise", MODEL_SUMMARISE}};
    struct buffer b;
    buffer_init(&b, KIB(4));
    buffer_append_char(&b, '{');
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        struct model_identity m;
        bool used =
            made[i].operation == MODEL_TRANSCRIBE ? job_is_recording(job) : job->chunk_count > 0;
        if (!used || provider_identify(job->processor, made[i].operation, &m))
            continue;
        buffer_printf(&b, "%s\"%s\":{\"provider\":", b.length > 1 ? "," : "", made[i].stage);
        json_append_string(&b, m.provider, strlen(m.provider));
        buffer_append_string(&b, ",\"model\":");
        json_append_string(&b, m.model, strlen(m.model));
        buffer_append_char(&b, '}');
    }
    buffer_append_char(&b, '}');
    char *text = arena_strdup(&job->arena, buffer_string(&b));
    buffer_free(&b);
    return text;
}

static const char *times_json(struct job *job)
{
    char text[STAGES * 32] = "{";
    size_t n = 1;
    for (int i = 0; i < STAGES; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s\"%s\":%lld", n > 1 ? "," : "",
                              stage_name((enum stage)i), (long long)job->stage_ms[i]);
    snprintf(text + n, sizeof text - n, "}");
    return arena_strdup(&job->arena, text);
}

const char *job_language(const struct job *job)
{
    if (job->language[0])
        return job->language;
    return job->has_summary && job->summary.language ? job->summary.language : "";
}

/* The model's title beats the document's own only where there is none; its language likewise. */
static void settle_info(struct job *job)
{
    struct result_info *info = &job->info;
    const struct summary *s = job->has_summary ? &job->summary : NULL;
    if (!info->title || !info->title[0])
        info->title = s && s->title ? s->title : "";
    info->language = job_language(job);
    info->text_bytes = text_source_length(&job->text);
    if (job->chunk_count == 0 && info->outcome == OUTCOME_CONTENT)
        info->outcome = OUTCOME_EMPTY;
}

static int publish_new(struct job *job, struct publication *publication)
{
    struct chunk_row *rows = arena_array(&job->arena, job->chunk_count + 1, sizeof *rows);
    if (!rows)
        return ERR_NO_MEMORY;
    int rc = job_load_chunks(job, 0, job->chunk_count, rows, NULL);
    publication->batch = (struct result_batch){.segments = job->segments,
                                               .segment_count = job->segment_count,
                                               .chunks = rows,
                                               .chunk_count = job->chunk_count,
                                               .space_id = job->space.id,
                                               .embeddings = job->vectors,
                                               .key = job->work->key};
    return rc;
}

/* While the embedding model is being changed publications wait, for seconds at most. */
static int publish_once(struct job *job, const struct publication *publication)
{
    enum { HELD_MS = 100 };
    const struct database *db = &job->processor->ports.database;
    int rc;
    while ((rc = db->ops->publish(db->ctx, publication)) == ERR_TRANSIENT &&
           !strcmp(error_last()->reason, "space_held")) {
        struct error e = *error_last();
        if (clock_sleep(HELD_MS, job->cancel))
            return error_restore(&e);
    }
    job->switched = rc == ERR_TRANSIENT && !strcmp(error_last()->reason, "space_switched");
    return rc;
}

/* What the attempt paid for hangs on this one call: a database that is busy is asked again before
 * the attempt is given up. */
static int publish_patiently(struct job *job, const struct publication *publication)
{
    int rc = publish_once(job, publication);
    for (int tries = 1; rc && !job->switched && error_class(error_last()) == ERR_TRANSIENT &&
                        tries < PUBLISH_TRIES;
         tries++) {
        struct error e = *error_last();
        uint64_t word;
        random_bytes(&word, sizeof word);
        if (clock_sleep(retry_delay(&job->processor->settings.retry, tries, 0, word), job->cancel))
            return error_restore(&e);
        rc = publish_once(job, publication);
    }
    return rc;
}

static int publish_job(struct job *job)
{
    struct publication publication = {.job_id = job->work->job_id,
                                      .attempt = job->work->attempt,
                                      .result_id =
                                          job->ready_result ? job->ready_result : job->result_id,
                                      .key = job->key,
                                      .info = &job->info,
                                      .summary = job->has_summary ? &job->summary : NULL,
                                      .stage_times_json = times_json(job)};
    int rc = OK;
    if (!job->ready_result) {
        settle_info(job);
        job->info.stages_json = stages_json(job);
        if (!job->result_id)
            rc = publish_new(job, &publication);
    }
    pending_drop(job);
    publication.batch.calls = job->calls.items;
    publication.batch.call_count = job->calls.count;
    if (rc || !publication.stage_times_json)
        return rc ? rc : ERR_NO_MEMORY;
    rc = publish_patiently(job, &publication);
    if (rc == OK || rc == ERR_CONFLICT)
        job->calls.count = 0; /* recorded in either case */
    return rc;
}

/* Another space serves since the chunks were embedded: they are embedded in that one. */
int stage_publish(struct job *job)
{
    int rc = OK;
    for (int tries = 0; tries < SWITCH_TRIES; tries++) {
        rc = job->switched ? stage_embed(job) : OK;
        if (!rc)
            rc = publish_job(job);
        if (!rc || !job->switched)
            return rc;
        if (strcmp(error_last()->reason, "space_switched") != 0)
            return rc; /* embedding failed: this goes on from there */
    }
    return rc;
}
