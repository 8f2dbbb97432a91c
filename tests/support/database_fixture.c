#include "support/database_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* 2026-03-01T12:00:00Z */
static const int64_t START_MS = 1772366400000;

static int64_t fixture_now(void *ctx)
{
    struct fixture *f = ctx;
    return atomic_load(&f->now_ms);
}

int fixture_open(void **state)
{
    const struct database_harness *harness = *state;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->harness = harness;
    atomic_store(&f->now_ms, START_MS);
    f->clock = (struct clock){.now = fixture_now, .ctx = f};
    arena_init(&f->arena, MIB(256));
    OKAY(harness->open(harness->ctx, &f->clock, &f->db));
    *state = f;
    return 0;
}

int fixture_close(void **state)
{
    struct fixture *f = *state;
    *state = (void *)(uintptr_t)f->harness;
    f->db.ops->close(f->db.ctx);
    f->harness->destroy(f->harness->ctx);
    arena_free(&f->arena);
    free(f);
    return 0;
}

void assert_okay(int rc, const char *what, const char *file, int line)
{
    if (rc)
        print_error("%s: %s: %s\n", what, error_code_name((enum error_code)rc),
                    error_last()->message);
    _assert_int_equal((LargestIntegralType)rc, 0, file, line);
}

/* ---- events ---- */

struct media_event event_of(const char *key, const char *etag, int64_t event_ms)
{
    return (struct media_event){.kind = EVENT_CREATED,
                                .bucket = "media",
                                .key = key,
                                .object_version = "",
                                .etag = etag,
                                .sequencer = "",
                                .content_type = "text/plain",
                                .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                                .size = 100,
                                .event_ms = event_ms};
}

struct event_outcome record(struct fixture *f, struct media_event event)
{
    struct event_outcome out;
    memset(&out, 0xee, sizeof out);
    OKAY(DB(f, record_events, &event, 1, &out));
    return out;
}

struct event_outcome upload(struct fixture *f, const char *key, const char *etag, int64_t event_ms)
{
    struct event_outcome out = record(f, event_of(key, etag, event_ms));
    assert_int_equal(out.result, EVENT_JOB_QUEUED);
    assert_true(out.media_id > 0 && out.version_id > 0 && out.job_id > 0);
    return out;
}

struct event_outcome remove_key(struct fixture *f, const char *key, int64_t event_ms)
{
    struct media_event e = event_of(key, "", event_ms);
    e.kind = EVENT_REMOVED;
    return record(f, e);
}

/* ---- jobs ---- */

int start_rc(struct fixture *f, int64_t job_id, int receive_count, int64_t lease_until_ms,
             struct job_work *work)
{
    struct job_start s = {.job_id = job_id, .receive_count = receive_count, .rc = -1, .work = work};
    OKAY(DB(f, start_attempts, &s, 1, "host:1", lease_until_ms));
    return s.rc;
}

struct job_work start(struct fixture *f, int64_t job_id)
{
    struct job_work work;
    memset(&work, 1, sizeof work); /* what is not filled in shows: a bool as true */
    assert_int_equal(start_rc(f, job_id, 1, atomic_load(&f->now_ms) + 60000, &work), 0);
    return work;
}

int end_with(struct fixture *f, const struct job_work *work, enum attempt_outcome outcome,
             const char *reason)
{
    struct attempt_end end = {.job_id = work->job_id,
                              .attempt = work->attempt,
                              .outcome = outcome,
                              .stage = "extract",
                              .reason = reason,
                              .message = "it said \"no\"",
                              .due_ms = atomic_load(&f->now_ms) + 5000};
    return DB(f, end_attempt, &end);
}

struct job_row job_of(struct fixture *f, int64_t job_id)
{
    struct job_row row;
    struct attempt_row *attempts;
    size_t n;
    OKAY(DB(f, job_get, job_id, &f->arena, &row, &attempts, &n));
    return row;
}

enum job_state state_of(struct fixture *f, int64_t job_id)
{
    return job_of(f, job_id).state;
}

struct media_row media_of(struct fixture *f, int64_t media_id)
{
    struct media_row row;
    OKAY(DB(f, media_get, media_id, &f->arena, &row));
    return row;
}

struct totals totals_of(struct fixture *f)
{
    struct totals t;
    OKAY(f->db.ops->totals(f->db.ctx, &t));
    return t;
}

size_t life_count(struct fixture *f, const char *type, int64_t job_id)
{
    size_t n, found = 0;
    int64_t after = 0;
    struct life_event *events;
    do {
        OKAY(DB(f, life_events, after, 100, &f->arena, &events, &n));
        for (size_t i = 0; i < n; i++) {
            assert_true(events[i].id > after);
            after = events[i].id;
            found += !strcmp(events[i].type, type) && (!job_id || events[i].job_id == job_id);
        }
    } while (n > 0);
    return found;
}

/* ---- results ---- */

int64_t fixture_space(struct fixture *f)
{
    struct embedding_space space = {
        .provider = "offline", .model = "hash", .revision = "1", .dimension = FIXTURE_DIMENSION};
    if (!f->space_id) {
        OKAY(DB(f, space_ensure, &space));
        f->space_id = space.id;
    }
    return f->space_id;
}

void vector_of(const char *text, float *out)
{
    struct digest d = digest_of(text, strlen(text));
    double norm = 0;
    for (int i = 0; i < FIXTURE_DIMENSION; i++) {
        out[i] = (float)d.bytes[i] - 127.5f;
        norm += (double)out[i] * out[i];
    }
    for (int i = 0; i < FIXTURE_DIMENSION; i++)
        out[i] /= (float)sqrt(norm);
}

struct digest digest_text(const char *text)
{
    return digest_of(text, strlen(text));
}

static struct digest content_of(const struct simple_result *r)
{
    struct digest_stream *s = digest_begin(false);
    assert_non_null(s);
    for (size_t i = 0; i < r->chunk_count; i++)
        digest_update(s, r->chunks[i], strlen(r->chunks[i]) + 1);
    return digest_end(s, NULL);
}

static void fill_rows(struct fixture *f, const struct simple_result *r, const char *key,
                      struct publication *p)
{
    struct chunk_row *chunks = arena_array(&f->arena, r->chunk_count, sizeof *chunks);
    struct segment_row *segments = arena_array(&f->arena, r->chunk_count, sizeof *segments);
    float *vectors = arena_array(&f->arena, r->chunk_count * FIXTURE_DIMENSION, sizeof *vectors);
    for (size_t i = 0; i < r->chunk_count; i++) {
        int64_t at = (int64_t)i * 1000;
        chunks[i] = (struct chunk_row){.ordinal = (int)i,
                                       .start_ms = at,
                                       .end_ms = at + 1000,
                                       .offset = (int64_t)i * 50,
                                       .text = r->chunks[i],
                                       .length = strlen(r->chunks[i])};
        segments[i] = (struct segment_row){.ordinal = (int)i,
                                           .start_ms = at,
                                           .end_ms = at + 900,
                                           .speaker = i % 2 ? "B" : "",
                                           .text = r->chunks[i]};
        vector_of(r->chunks[i], vectors + i * FIXTURE_DIMENSION);
    }
    p->batch = (struct result_batch){.segments = segments,
                                     .segment_count = r->chunk_count,
                                     .chunks = chunks,
                                     .chunk_count = r->chunk_count,
                                     .space_id = r->no_vectors ? 0 : fixture_space(f),
                                     .embeddings = r->no_vectors ? NULL : vectors,
                                     .calls = r->calls,
                                     .call_count = r->call_count,
                                     .key = r->key_untold ? NULL : key};
}

int publish_result(struct fixture *f, const struct job_work *work, const struct simple_result *r)
{
    struct summary summary = {
        .title = r->chunk_count ? r->chunks[0] : "", .abstract = "About it.", .language = "en"};
    struct result_info info = {.kind = r->kind ? r->kind : "text",
                               .format = "utf-8",
                               .language = r->language ? r->language : "en",
                               .title = r->title ? r->title : "",
                               .outcome = r->chunk_count ? OUTCOME_CONTENT : OUTCOME_EMPTY,
                               .duration_ms = -1,
                               .text_bytes = 4096,
                               .summary_coverage_permille = 1000,
                               .stages_json = "{\"embed\":{\"provider\":\"offline\"}}"};
    struct publication p = {.job_id = work->job_id,
                            .attempt = work->attempt,
                            .key = {.content = content_of(r),
                                    .settings = digest_text(r->settings ? r->settings : "s1")},
                            .info = &info,
                            .summary = r->chunk_count ? &summary : NULL,
                            .stage_times_json = "{\"fetch\":1}"};
    fill_rows(f, r, work->key, &p);
    return DB(f, publish, &p);
}

int64_t put_media(struct fixture *f, const char *key, const char *collection,
                  const struct simple_result *r)
{
    static _Atomic int64_t etag;
    char text[32];
    snprintf(text, sizeof text, "etag-%lld", (long long)atomic_fetch_add(&etag, 1));
    struct media_event e = event_of(key, text, atomic_load(&f->now_ms));
    e.collection = collection;
    struct event_outcome out = record(f, e);
    assert_int_equal(out.result, EVENT_JOB_QUEUED);
    struct job_work work = start(f, out.job_id);
    OKAY(publish_result(f, &work, r));
    return out.media_id;
}

int64_t put_text(struct fixture *f, const char *key, const char *text)
{
    return put_media(f, key, NULL, &(struct simple_result){.chunks = &text, .chunk_count = 1});
}

/* ---- search ---- */

static int64_t best(struct fixture *f, const struct arm_hit *hits, size_t n,
                    const struct media_filter *filter)
{
    struct passage *passages;
    size_t count;
    if (!n)
        return 0;
    OKAY(DB(f, passages, &hits[0].chunk_id, 1, filter, &f->arena, &passages, &count));
    return count ? passages[0].media_id : 0;
}

static size_t lexical(struct fixture *f, const char *query, const struct media_filter *filter,
                      struct arm_hit **hits)
{
    size_t n;
    OKAY(DB(f, search_lexical, query, filter, 100, &f->arena, hits, &n));
    for (size_t i = 1; i < n; i++)
        assert_true((*hits)[i - 1].score >= (*hits)[i].score);
    return n;
}

static size_t vector(struct fixture *f, const char *text, const struct media_filter *filter,
                     struct arm_hit **hits)
{
    float query[FIXTURE_DIMENSION];
    size_t n;
    vector_of(text, query);
    OKAY(DB(f, search_vector, fixture_space(f), query, filter, 100, &f->arena, hits, &n));
    for (size_t i = 1; i < n; i++)
        assert_true((*hits)[i - 1].score >= (*hits)[i].score);
    return n;
}

size_t lexical_count(struct fixture *f, const char *query, const struct media_filter *filter)
{
    struct arm_hit *hits;
    return lexical(f, query, filter, &hits);
}

size_t vector_count(struct fixture *f, const char *text, const struct media_filter *filter)
{
    struct arm_hit *hits;
    return vector(f, text, filter, &hits);
}

int64_t lexical_best(struct fixture *f, const char *query, const struct media_filter *filter)
{
    struct arm_hit *hits;
    size_t n = lexical(f, query, filter, &hits);
    return best(f, hits, n, filter);
}

int64_t vector_best(struct fixture *f, const char *text, const struct media_filter *filter)
{
    struct arm_hit *hits;
    size_t n = vector(f, text, filter, &hits);
    return best(f, hits, n, filter);
}
