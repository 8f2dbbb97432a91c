#include <stdio.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_results.h"
#include "shared/summary_json.h"

/* A publication with what the caller's thread prepared. */
struct publishing {
    const struct publication *p;
    struct prepared_batch batch;
    struct buffer summary;
};

struct current {
    int64_t facet_id, result_id, version_id;
    bool removed;
    char key[CAP_KEY + 1];
};

static int load_current(struct transaction *tx, int64_t media_id, struct current *out)
{
    sqlite3_stmt *s;
    int rc = SQL_FIRST(tx->c, &s,
                       "SELECT facet_id, result_id, version_id, removed, key FROM media WHERE "
                       "media_id = ?1",
                       V_INT(media_id));
    if (rc)
        return rc;
    if (!s)
        return error_set(ERR_SYSTEMIC, "database_corrupt", "medium %lld of a job is missing",
                         (long long)media_id);
    out->facet_id = sql_int(s, 0);
    out->result_id = sql_int(s, 1);
    out->version_id = sql_int(s, 2);
    out->removed = sql_int(s, 3);
    sql_copy(s, 4, out->key, sizeof out->key);
    sql_done(s);
    return OK;
}

static const char *summary_text(const struct publishing *pub)
{
    return pub->summary.length ? pub->summary.data : NULL;
}

static int info_names(struct transaction *tx, const struct result_info *info,
                      struct ready_result *out)
{
    int rc = name_id(tx->names, tx->c, text_or_empty(info->kind), true, &out->kind_id);
    return rc ? rc
              : name_id(tx->names, tx->c, text_or_empty(info->language), true, &out->language_id);
}

static int count_ready(struct transaction *tx, int64_t space_id, int64_t chunks, int64_t segments)
{
    tx->ledger.value[TOTAL_RESULTS]++;
    tx->ledger.value[TOTAL_CHUNKS] += chunks;
    tx->ledger.value[TOTAL_SEGMENTS] += segments;
    return space_add(tx, space_id, chunks);
}

/* ---- the three ways to a ready result ---- */

static int make_result(struct transaction *tx, const struct publishing *pub,
                       const struct current *media, struct ready_result *out)
{
    const struct publication *p = pub->p;
    const struct prepared_batch *b = &pub->batch;
    char heading[CAP_TITLE + CAP_KEY + 2];
    snprintf(heading, sizeof heading, "%.*s\n%s", CAP_TITLE, text_or_empty(p->info->title),
             media->key);
    int rc = serving_check(tx, b->vectors ? b->space_id : 0);
    if (!rc)
        rc = info_names(tx, p->info, out);
    struct new_result new = {.state = RESULT_READY,
                             .space_id = b->vectors ? b->space_id : 0,
                             .chunk_count = (int64_t)b->chunk_count,
                             .segment_count = (int64_t)b->segment_count,
                             .kind_id = out->kind_id,
                             .language_id = out->language_id,
                             .key = &p->key,
                             .info = *p->info,
                             .heading = heading,
                             .summary = summary_text(pub)};
    if (!rc)
        rc = result_insert(tx, &new, &out->result_id);
    if (!rc)
        rc = batch_insert(tx, out->result_id, b);
    return rc ? rc : count_ready(tx, new.space_id, new.chunk_count, new.segment_count);
}

static int ready_staged(struct transaction *tx, const struct publishing *pub,
                        struct staged_result *staged, struct ready_result *out)
{
    const struct result_info *info = pub->p->info;
    int rc = serving_check(tx, staged->space_id     ? staged->space_id
                               : pub->batch.vectors ? pub->batch.space_id
                                                    : 0);
    if (!rc)
        rc = staged_append(tx, pub->p->result_id, staged, &pub->batch);
    if (!rc)
        rc = info_names(tx, info, out);
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE result SET state = 1, kind_id = ?2, language_id = ?3, outcome = ?4, "
                     "draft = ?5, duration_ms = ?6, text_bytes = ?7, summary_coverage = ?8, "
                     "format = ?9, title = ?10, stages = ?11, summary = ?12, missing_ms = ?13, "
                     "summary_key = ?14 WHERE result_id = ?1",
                     V_INT(pub->p->result_id), V_INT(out->kind_id), V_INT(out->language_id),
                     V_INT(info->outcome), V_INT(info->draft), V_INT(info->duration_ms),
                     V_INT(info->text_bytes), V_INT(info->summary_coverage_permille),
                     V_TEXT(text_or_empty(info->format)), V_TEXT(text_or_empty(info->title)),
                     V_TEXT(text_or_empty(info->stages_json)), V_TEXT(summary_text(pub)),
                     V_INT(info->missing_ms),
                     V_INT(summary_text(pub) ? digest_key(&pub->p->key.summary) : 0));
    out->result_id = pub->p->result_id;
    return rc ? rc : count_ready(tx, staged->space_id, staged->chunks, staged->segments);
}

static int given_result(struct transaction *tx, const struct publishing *pub,
                        struct ready_result *out)
{
    const struct publication *p = pub->p;
    struct staged_result r;
    int rc = staged_load(tx, p->result_id, &r);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    if (!rc && r.state == RESULT_READY) {
        *out = (struct ready_result){
            .result_id = p->result_id, .kind_id = r.kind_id, .language_id = r.language_id};
        return OK;
    }
    if (!rc && r.state == RESULT_STAGED && r.job_id == p->job_id) {
        rc = result_ready(tx->names, tx->c, &p->key, out);
        return rc || out->result_id ? rc : ready_staged(tx, pub, &r, out);
    }
    return error_set(ERR_TRANSIENT, "result_gone",
                     "result %lld was deleted before it could be published: it is made again",
                     (long long)p->result_id);
}

static int resolve(struct transaction *tx, const struct publishing *pub,
                   const struct current *media, struct ready_result *out)
{
    *out = (struct ready_result){0};
    if (pub->p->result_id)
        return given_result(tx, pub, out);
    int rc = result_ready(tx->names, tx->c, &pub->p->key, out);
    return rc || out->result_id ? rc : make_result(tx, pub, media, out);
}

/* ---- the swap ---- */

static int point_to(struct transaction *tx, const struct job_head *job, const struct current *media,
                    const struct ready_result *result, const struct call_sums *sums)
{
    struct facet facet;
    int64_t facet_row = 0;
    int rc = facet_get(tx->names, tx->c, media->facet_id, &facet);
    facet.kind = result->kind_id;
    facet.language = result->language_id;
    if (!rc)
        rc = facet_id(tx->names, tx->c, &facet, &facet_row);
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE media SET facet_id = ?2, result_id = ?3, published_ms = ?4, "
                     "cost_nanousd = cost_nanousd + ?5, unpriced_calls = unpriced_calls + ?6 "
                     "WHERE media_id = ?1",
                     V_INT(job->media_id), V_INT(facet_row), V_INT(result->result_id),
                     V_INT(tx->now_ms), V_INT(sums->cost), V_INT(sums->unpriced));
    return rc;
}

static int let_go(struct transaction *tx, const struct job_head *job, const struct current *media,
                  int64_t result_id)
{
    int64_t old;
    if (!media->result_id) {
        tx->ledger.value[TOTAL_PUBLISHED]++;
        return OK;
    }
    int rc = media->result_id != result_id ? result_unreference(tx, media->result_id) : OK;
    if (!rc)
        rc = SQL_NUMBER(tx->c, &old, 0,
                        "SELECT 1 FROM checkpoint WHERE media_id = ?1 AND version_id < ?2 LIMIT 1",
                        V_INT(job->media_id), V_INT(job->version_id));
    if (!rc && old)
        rc = garbage_add(tx, GARBAGE_CHECKPOINTS, job->media_id, job->version_id);
    return rc;
}

static int refuse(struct transaction *tx, const struct publishing *pub, const struct job_head *job)
{
    int rc = calls_record(tx, job->media_id, job->job_id, pub->batch.calls, pub->batch.call_count);
    if (rc)
        return rc;
    tx->keep = true; /* the calls were made all the same */
    return error_set(ERR_CONFLICT, "attempt_over",
                     "job %lld is %s, attempt %d is over: its results are not published",
                     (long long)job->job_id, job_state_name(job->state), pub->p->attempt);
}

static int publish(struct transaction *tx, void *arg)
{
    const struct publishing *pub = arg;
    const struct publication *p = pub->p;
    struct job_head job;
    struct current media;
    struct ready_result result;
    struct call_sums sums = {0};
    struct facet facet = {0};
    int rc = job_load(tx, p->job_id, &job);
    if (!rc)
        rc = load_current(tx, job.media_id, &media);
    if (rc)
        return rc;
    if (!job_open(job.state) || job.attempt != p->attempt || media.removed ||
        media.version_id != job.version_id)
        return refuse(tx, pub, &job);
    rc = resolve(tx, pub, &media, &result);
    if (!rc)
        rc = facet_get(tx->names, tx->c, media.facet_id, &facet);
    if (!rc)
        rc = calls_write(tx, job.media_id, job.job_id, facet.collection, pub->batch.calls,
                         pub->batch.call_count, &sums);
    if (!rc)
        rc = point_to(tx, &job, &media, &result, &sums);
    if (!rc)
        rc = let_go(tx, &job, &media, result.result_id);
    return rc ? rc
              : job_close(tx, &job,
                          &(struct job_end){.state = JOB_SUCCEEDED,
                                            .closed = CLOSED_SUCCEEDED,
                                            .event = LIFE_JOB_SUCCEEDED,
                                            .stage_times = p->stage_times_json});
}

static int prepare(struct store *s, struct publishing *pub)
{
    const struct publication *p = pub->p;
    if (!p->result_id && !p->info)
        return error_set(ERR_INVALID, NULL, "job %lld publishes a new result without its info",
                         (long long)p->job_id);
    int rc = batch_prepare(s, &p->batch, &pub->batch);
    if (!rc && !p->result_id && p->batch.chunk_count && p->batch.chunks[0].ordinal != 0)
        rc = error_set(ERR_INVALID, NULL, "a new result starts with chunk %d, not 0",
                       p->batch.chunks[0].ordinal);
    if (!rc && p->summary)
        rc = summary_json_append(&pub->summary, p->summary);
    return rc;
}

int sqlite_publish(void *ctx, const struct publication *publication)
{
    struct store *s = ctx;
    struct publishing pub = {.p = publication};
    buffer_init(&pub.summary, CAP_SUMMARY_JSON);
    int rc = prepare(s, &pub);
    if (!rc)
        rc = writer_run(&s->writer, publish, &pub);
    batch_free(&pub.batch);
    buffer_free(&pub.summary);
    if (!rc)
        keeper_pace(s);
    return rc;
}
