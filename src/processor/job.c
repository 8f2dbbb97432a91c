/*
 * One job, from top to bottom: the stage table, and what becomes of the attempt at its end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "processor/internal.h"
#include "shared/json.h"
#include "shared/log.h"
#include "shared/random.h"

static const struct {
    enum stage id;
    int (*run)(struct job *job);
} stages[] = {
    {STAGE_FETCH, stage_fetch},     {STAGE_IDENTIFY, stage_identify},
    {STAGE_EXTRACT, stage_extract}, {STAGE_TRANSCRIBE, stage_transcribe},
    {STAGE_CHUNK, stage_chunk},     {STAGE_SUMMARISE, stage_summarise},
    {STAGE_EMBED, stage_embed},     {STAGE_PUBLISH, stage_publish},
};

void job_progress(struct job *job, int permille)
{
    const struct processor_observer *o = &job->processor->observer;
    if (!o->progress)
        return;
    struct job_progress progress = {.job_id = job->work->job_id,
                                    .media_id = job->work->media_id,
                                    .key = job->work->key,
                                    .stage = job->stage,
                                    .permille = permille};
    o->progress(o->ctx, &progress);
}

bool job_is_recording(const struct job *job)
{
    return job->identity.kind == MEDIA_AUDIO || job->identity.kind == MEDIA_VIDEO;
}

static void init(struct job *job, struct processor *p, struct delivery *d)
{
    *job = (struct job){.processor = p,
                        .delivery = d,
                        .work = &d->work,
                        .cancel = &d->cancel,
                        .object = {.fd = -1}};
    arena_init(&job->arena, CAP_JOB_ARENA);
    text_source_init(&job->text, p->settings.spool_directory);
    job->calls.arena = &job->arena;
    job->content = d->work.content;
    job->report = (struct attempt_report){.work = &d->work,
                                          .type = "job.succeeded",
                                          .reason = "",
                                          .message = "",
                                          .began_us = clock_monotonic_us()};
}

static void tell_end(struct job *job)
{
    const struct processor_observer *o = &job->processor->observer;
    job->report.stage = job->stage;
    job->report.ended_us = clock_monotonic_us();
    if (o->ended)
        o->ended(o->ctx, &job->report);
}

static void fini(struct job *job)
{
    object_close(&job->object);
    text_source_fini(&job->text);
    free(job->chunks);
    arena_free(&job->arena);
}

/* A stage, tried again for as long as its failure is systemic. */
static int run_stage(struct job *job, int (*run)(struct job *job))
{
    struct processor *p = job->processor;
    int64_t began = clock_monotonic_ms();
    job_progress(job, 0);
    for (;;) {
        int rc = cancel_requested(job->cancel)
                     ? error_set(ERR_CANCELLED, NULL, "stopped before the stage %s",
                                 stage_name(job->stage))
                     : run(job);
        if (rc == OK || error_class(error_last()) != ERR_SYSTEMIC) {
            pause_probe_ended(p, job->delivery, rc);
            job->stage_ms[job->stage] = clock_monotonic_ms() - began;
            return rc;
        }
        rc = pause_hold(p, job->delivery, error_last());
        if (rc)
            return rc;
    }
}

static int run_stages(struct job *job)
{
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        if (job->ready_result && stages[i].id != STAGE_PUBLISH)
            continue;
        job->stage = stages[i].id;
        job->report.stage_began_us[job->stage] = clock_monotonic_us();
        int rc = run_stage(job, stages[i].run);
        job->report.stage_ended_us[job->stage] = clock_monotonic_us();
        if (rc)
            return rc;
    }
    return OK;
}

/* ---- the end of an attempt ---- */

/* The life event that each is recorded as. */
static const char *const end_types[] = {
    [ATTEMPT_RETRY] = "job.retrying",
    [ATTEMPT_DEAD] = "job.dead",
    [ATTEMPT_GIVEN_BACK] = "job.given_back",
    [ATTEMPT_CANCELLED] = "job.cancelled",
};

static void end(struct job *job, const struct attempt_end *how, enum disposition disposition,
                int64_t delay_ms)
{
    struct delivery *d = job->delivery;
    const struct database *db = &job->processor->ports.database;
    struct attempt_end e = *how;
    e.job_id = job->work->job_id;
    e.attempt = job->work->attempt;
    e.stage = stage_name(job->stage);
    e.calls = job->calls.items;
    e.call_count = job->calls.count;
    d->disposition = disposition;
    d->delay_ms = delay_ms;
    snprintf(d->reason, sizeof d->reason, "%s", e.reason);
    snprintf(d->detail, sizeof d->detail, "%s", e.message);
    job->report.type = end_types[e.outcome];
    job->report.reason = d->reason;
    job->report.message = d->detail;
    int rc = db->ops->end_attempt(db->ctx, &e);
    if (rc)
        job->report.type = "job.lost";
    if (rc && rc != ERR_CONFLICT) {
        /* Nothing is recorded: the message must come back, and finds the attempt lost then. */
        log_write(LOG_ERROR, "database.failed", LOG_INT("job", e.job_id),
                  LOG_STR("message", error_last()->message), LOG_END);
        d->disposition = DISPOSE_DELAY;
        d->delay_ms = job->processor->settings.visibility_ms;
    }
}

static void end_transient(struct job *job, const struct error *e)
{
    const struct retry_policy *policy = &job->processor->settings.retry;
    struct attempt_end how = {.reason = e->reason[0] ? e->reason : error_code_name(e->code),
                              .message = e->message};
    if (job->work->attempt >= policy->max_attempts) {
        how.outcome = ATTEMPT_DEAD;
        end(job, &how, DISPOSE_BURY, 0);
        return;
    }
    uint64_t word;
    random_bytes(&word, sizeof word);
    int64_t delay = retry_delay(policy, job->work->attempt, e->retry_after_ms, word);
    how.outcome = ATTEMPT_RETRY;
    how.due_ms = clock_now(job->processor->ports.clock) + delay;
    end(job, &how, DISPOSE_DELAY, delay);
}

static void end_permanent(struct job *job, const struct error *e)
{
    struct attempt_end how = {.outcome = ATTEMPT_DEAD,
                              .reason = e->reason[0] ? e->reason : error_code_name(e->code),
                              .message = e->message};
    end(job, &how, DISPOSE_BURY, 0);
}

static void end_stopped(struct job *job, const struct error *e)
{
    if (atomic_load(&job->delivery->lost)) {
        job->delivery->disposition = DISPOSE_LEAVE;
        job->report.type = "job.lost";
        job->report.reason = "lost";
        return;
    }
    struct attempt_end how = {
        .outcome = ATTEMPT_GIVEN_BACK, .reason = "stopped", .message = e->message};
    end(job, &how, DISPOSE_DELAY, 0);
}

static void end_superseded(struct job *job, const struct error *e)
{
    struct attempt_end how = {
        .outcome = ATTEMPT_CANCELLED, .reason = "superseded", .message = e->message};
    end(job, &how, DISPOSE_DELETE, 0);
}

/* Identical content is in the works elsewhere: come back when its result can be shared. */
static void end_busy(struct job *job, const struct error *e)
{
    struct attempt_end how = {
        .outcome = ATTEMPT_GIVEN_BACK, .reason = "same_content", .message = e->message};
    end(job, &how, DISPOSE_DELAY, 500 + (int64_t)random_below(1000));
}

static void end_failed(struct job *job)
{
    struct error e = *error_last();
    if (pending_flush(job))
        log_write(LOG_WARN, "checkpoint.failed", LOG_INT("job", job->work->job_id),
                  LOG_STR("message", error_last()->message), LOG_END);
    switch (e.code) {
    case ERR_CANCELLED:
        end_stopped(job, &e);
        return;
    case ERR_CONFLICT:
        end_superseded(job, &e);
        return;
    case ERR_BUSY:
        end_busy(job, &e);
        return;
    default:
        if (error_class(&e) == ERR_PERMANENT)
            end_permanent(job, &e);
        else
            end_transient(job, &e);
    }
}

void job_run(struct processor *p, struct delivery *d)
{
    struct job job;
    init(&job, p, d);
    if (run_stages(&job) == OK)
        d->disposition = DISPOSE_DELETE;
    else
        end_failed(&job);
    tell_end(&job);
    fini(&job);
}
