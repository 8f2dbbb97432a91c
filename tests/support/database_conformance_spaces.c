/* Several embedding spaces: what is missing, filling, serving, switching back, dropping. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

enum { PAGE = 4, OTHER_DIMENSION = 12 };

static int64_t other_space(struct fixture *f)
{
    struct embedding_space space = {
        .provider = "openai", .model = "other", .revision = "2", .dimension = OTHER_DIMENSION};
    OKAY(DB(f, space_ensure, &space));
    return space.id;
}

/* A unit vector of the text in the other space. */
static void other_vector(const char *text, size_t length, float *out)
{
    struct digest d = digest_of(text, length);
    double norm = 0;
    for (int i = 0; i < OTHER_DIMENSION; i++) {
        out[i] = 100.0f - (float)d.bytes[31 - i];
        norm += (double)out[i] * out[i];
    }
    for (int i = 0; i < OTHER_DIMENSION; i++)
        out[i] /= (float)sqrt(norm);
}

static int64_t serving(struct fixture *f)
{
    struct serving_space s;
    int rc = f->db.ops->space_serving(f->db.ctx, &s);
    assert_true(rc == OK || rc == ERR_NOT_FOUND);
    return rc ? 0 : s.space.id;
}

static int64_t chunks_in(struct fixture *f, int64_t space_id)
{
    struct space_use *uses;
    size_t n;
    OKAY(DB(f, spaces, &f->arena, &uses, &n));
    for (size_t i = 0; i < n; i++)
        if (uses[i].space.id == space_id)
            return uses[i].chunks;
    return 0;
}

static size_t missing(struct fixture *f, int64_t space_id)
{
    struct missing_chunk *chunks, last = {0};
    size_t n, total = 0;
    do {
        OKAY(DB(f, space_missing, space_id, total ? &last : NULL, PAGE, &f->arena, &chunks, &n));
        for (size_t i = 0; i < n; i++) {
            bool rises =
                chunks[i].result_id > last.result_id ||
                (chunks[i].result_id == last.result_id && chunks[i].chunk_id > last.chunk_id);
            assert_true(rises);
            last = chunks[i];
        }
        total += n;
    } while (n == PAGE);
    return total;
}

static void append(struct fixture *f, int64_t space_id, const struct missing_chunk *chunks,
                   size_t n)
{
    float vectors[PAGE * OTHER_DIMENSION];
    for (size_t i = 0; i < n; i++)
        if (space_id == f->space_id) {
            char *text = arena_strndup(&f->arena, chunks[i].text, chunks[i].length);
            vector_of(text, vectors + i * FIXTURE_DIMENSION);
        } else {
            other_vector(chunks[i].text, chunks[i].length, vectors + i * OTHER_DIMENSION);
        }
    OKAY(DB(f, space_append, space_id, chunks, n, vectors));
}

/* At most `pages` of what is missing; the chunks that were filled. */
static size_t fill(struct fixture *f, int64_t space_id, int pages)
{
    struct missing_chunk *chunks, last = {0};
    size_t n, total = 0;
    do {
        OKAY(DB(f, space_missing, space_id, total ? &last : NULL, PAGE, &f->arena, &chunks, &n));
        append(f, space_id, chunks, n);
        if (n)
            last = chunks[n - 1];
        total += n;
    } while (n == PAGE && --pages > 0);
    return total;
}

static void prepare(struct fixture *f, int64_t space_id)
{
    bool more = true;
    while (more)
        OKAY(DB(f, space_prepare, space_id, &more));
}

static void drop(struct fixture *f, int64_t space_id)
{
    struct space_drop_place place = {0};
    bool more = true;
    while (more)
        OKAY(DB(f, space_drop, space_id, &place, &more));
}

static int64_t other_best(struct fixture *f, int64_t space_id, const char *text)
{
    float query[OTHER_DIMENSION];
    struct arm_hit *hits;
    struct passage *passages;
    size_t n, count;
    other_vector(text, strlen(text), query);
    OKAY(DB(f, search_vector, space_id, query, NULL, 100, &f->arena, &hits, &n));
    if (!n)
        return 0;
    OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &passages, &count));
    assert_true(fabs(hits[0].score - 1) < 0.01);
    return count ? passages[0].media_id : 0;
}

static size_t other_count(struct fixture *f, int64_t space_id)
{
    float query[OTHER_DIMENSION];
    struct arm_hit *hits;
    size_t n;
    other_vector("x", 1, query);
    OKAY(DB(f, search_vector, space_id, query, NULL, 1000, &f->arena, &hits, &n));
    return n;
}

/* Three media, of one, three and seven chunks. */
static void put_some(struct fixture *f, int64_t media[3])
{
    static const char *const seven[] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6"};
    media[0] = put_text(f, "one", "the first passage");
    media[1] = put_media(
        f, "three", NULL,
        &(struct simple_result){.chunks = (const char *const[]){"a", "b", "c"}, .chunk_count = 3});
    media[2] =
        put_media(f, "seven", NULL, &(struct simple_result){.chunks = seven, .chunk_count = 7});
}

/* ---- tests ---- */

static void the_first_publication_decides(void **state)
{
    struct fixture *f = *state;
    struct serving_space s;
    assert_int_equal(f->db.ops->space_serving(f->db.ctx, &s), ERR_NOT_FOUND);
    fixture_space(f);
    int64_t other = other_space(f);
    assert_int_equal(serving(f), 0);
    put_text(f, "a", "passage");
    OKAY(f->db.ops->space_serving(f->db.ctx, &s));
    assert_int_equal(s.space.id, f->space_id);
    assert_string_equal(s.space.provider, "offline");
    assert_string_equal(s.space.model, "hash");
    assert_string_equal(s.space.revision, "1");
    assert_int_equal(s.space.dimension, FIXTURE_DIMENSION);
    assert_int_equal(s.chunks, 1);
    assert_int_equal(s.missing, 0);
    assert_int_equal(missing(f, f->space_id), 0);
    assert_int_equal(missing(f, other), 1);
}

static void nothing_published_needs_nothing(void **state)
{
    struct fixture *f = *state;
    int64_t own = fixture_space(f), other = other_space(f);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(serving(f), other);
    OKAY(DB(f, space_serve, own));
    assert_int_equal(serving(f), own);
    put_text(f, "a", "passage");
    assert_int_equal(DB(f, space_serve, other), ERR_BUSY);
    assert_string_equal(error_last()->reason, "space_incomplete");
    assert_int_equal(serving(f), own);
}

static void another_space_is_refused(void **state)
{
    struct fixture *f = *state;
    struct totals before, after;
    put_text(f, "a", "passage");
    int64_t own = f->space_id, other = other_space(f);
    struct event_outcome out = upload(f, "b", "e", 1);
    struct job_work w = start(f, out.job_id);
    struct model_call call = {.provider = "p", .model = "m", .cost_nanousd = 5};
    static const char *const text[] = {"late"};
    struct simple_result r = {.chunks = text, .chunk_count = 1, .calls = &call, .call_count = 1};
    fill(f, other, 1);
    OKAY(DB(f, space_serve, other));
    before = totals_of(f);
    assert_int_equal(publish_result(f, &w, &r), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "space_switched");
    after = totals_of(f);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(state_of(f, out.job_id), JOB_RUNNING);
    /* nothing came in between: back at once, and the publication goes through */
    OKAY(DB(f, space_serve, own));
    OKAY(publish_result(f, &w, &r));
    assert_int_equal(totals_of(f).cost_nanousd, before.cost_nanousd + 5);
    assert_int_equal(missing(f, other), 1);
}

static void publications_are_held_up(void **state)
{
    struct fixture *f = *state;
    static const char *const text[] = {"held"};
    struct simple_result r = {.chunks = text, .chunk_count = 1}, none = {0};
    int64_t first = put_text(f, "a", "passage");
    struct event_outcome out = upload(f, "b", "e", 1), empty = upload(f, "c", "e", 1);
    struct job_work w = start(f, out.job_id), we = start(f, empty.job_id);
    OKAY(DB(f, space_hold, 5000));
    assert_int_equal(publish_result(f, &w, &r), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "space_held");
    OKAY(publish_result(f, &we, &none)); /* has nothing embedded */
    atomic_fetch_add(&f->now_ms, 5001);  /* whoever held it died */
    OKAY(publish_result(f, &w, &r));
    OKAY(DB(f, space_hold, 60000));
    OKAY(DB(f, space_hold, 0));
    put_text(f, "d", "again");
    OKAY(DB(f, space_hold, 60000));
    int64_t other = other_space(f);
    assert_int_equal(fill(f, other, 9), 3);
    OKAY(DB(f, space_serve, other)); /* ends it */
    assert_int_equal(other_best(f, other, "passage"), first);
}

static void a_space_is_filled_beside_the_serving_one(void **state)
{
    struct fixture *f = *state;
    int64_t media[3], late;
    put_some(f, media);
    int64_t own = f->space_id, other = other_space(f);
    assert_int_equal(missing(f, other), 11);
    assert_int_equal(fill(f, other, 1), PAGE);
    assert_int_equal(missing(f, other), 11 - PAGE);
    assert_int_equal(chunks_in(f, other), PAGE);
    assert_int_equal(DB(f, space_serve, other), ERR_BUSY);
    late = put_text(f, "late", "came meanwhile"); /* in the serving space */
    assert_int_equal(vector_best(f, "came meanwhile", NULL), late);
    assert_int_equal(vector_count(f, "x", NULL), 12);
    assert_int_equal(fill(f, other, 100), 12 - PAGE);
    prepare(f, other);
    assert_int_equal(serving(f), own);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(serving(f), other);
    assert_int_equal(chunks_in(f, own), 12);
    assert_int_equal(chunks_in(f, other), 12);
    assert_int_equal(other_count(f, other), 12);
    assert_int_equal(other_best(f, other, "came meanwhile"), late);
    assert_int_equal(other_best(f, other, "the first passage"), media[0]);
    assert_int_equal(other_best(f, other, "s5"), media[2]);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(other_count(f, other), 12);
    assert_int_equal(vector_count(f, "x", NULL), 12); /* the old one is still there */
}

static void filling_again_changes_nothing(void **state)
{
    struct fixture *f = *state;
    int64_t media[3];
    struct missing_chunk *chunks;
    size_t n;
    put_some(f, media);
    int64_t other = other_space(f);
    OKAY(DB(f, space_missing, other, NULL, PAGE, &f->arena, &chunks, &n));
    assert_int_equal(n, PAGE);
    append(f, other, chunks + 1, 2);
    append(f, other, chunks, PAGE);
    append(f, other, chunks, PAGE);
    assert_int_equal(chunks_in(f, other), PAGE);
    OKAY(f->harness->settle(f->harness->ctx, &f->db)); /* rows may move */
    append(f, other, chunks, PAGE);
    assert_int_equal(chunks_in(f, other), PAGE);
    assert_int_equal(missing(f, other), 11 - PAGE);
    append(f, f->space_id, chunks, PAGE); /* they have these */
    assert_int_equal(chunks_in(f, f->space_id), 11);
    struct missing_chunk foreign = {
        .result_id = chunks[0].result_id, .chunk_id = 424242, .text = "x", .length = 1};
    append(f, other, &foreign, 1);
    foreign = chunks[0];
    foreign.result_id = 424242;
    append(f, other, &foreign, 1);
    assert_int_equal(chunks_in(f, other), PAGE);
}

static void what_is_gone_is_not_filled(void **state)
{
    struct fixture *f = *state;
    int64_t media[3];
    struct missing_chunk *chunks;
    size_t n;
    put_some(f, media);
    int64_t other = other_space(f);
    OKAY(DB(f, space_missing, other, NULL, PAGE, &f->arena, &chunks, &n));
    append(f, other, chunks, PAGE);
    remove_key(f, "three", INT64_MAX / 2); /* filled, but for nothing */
    assert_int_equal(chunks_in(f, other), 1);
    assert_int_equal(chunks_in(f, f->space_id), 8);
    append(f, other, chunks, PAGE); /* not collected yet */
    assert_int_equal(chunks_in(f, other), 1);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    append(f, other, chunks, PAGE);
    assert_int_equal(chunks_in(f, other), 1);
    assert_int_equal(missing(f, other), 7);
    fill(f, other, 100);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(other_count(f, other), 8);
    remove_key(f, "seven", INT64_MAX / 2);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(other_count(f, other), 1);
    assert_int_equal(chunks_in(f, other), 1);
    assert_int_equal(chunks_in(f, f->space_id), 1);
}

static void switched_back_with_what_came_since(void **state)
{
    struct fixture *f = *state;
    int64_t media[3], own, other;
    float vector[OTHER_DIMENSION];
    put_some(f, media);
    own = f->space_id;
    other = other_space(f);
    fill(f, other, 100);
    prepare(f, other);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(other_count(f, other), 11);
    assert_int_equal(vector_count(f, "x", NULL), 11);
    /* one that is embedded in the space that serves now */
    struct event_outcome out = upload(f, "new", "e", 1);
    struct job_work w = start(f, out.job_id);
    other_vector("brand new", 9, vector);
    struct chunk_row chunk = {.start_ms = -1, .end_ms = -1, .text = "brand new", .length = 9};
    struct result_info info = {.kind = "text", .outcome = OUTCOME_CONTENT, .duration_ms = -1};
    struct publication p = {
        .job_id = w.job_id,
        .attempt = w.attempt,
        .key = {.content = digest_text("brand new"), .settings = digest_text("s1")},
        .info = &info,
        .batch = {.chunks = &chunk, .chunk_count = 1, .space_id = other, .embeddings = vector},
        .stage_times_json = "{}"};
    OKAY(DB(f, publish, &p));
    assert_int_equal(other_best(f, other, "brand new"), out.media_id);
    assert_int_equal(DB(f, space_serve, own), ERR_BUSY);
    assert_int_equal(missing(f, own), 1);
    assert_int_equal(fill(f, own, 100), 1);
    prepare(f, own);
    OKAY(DB(f, space_serve, own));
    assert_int_equal(vector_count(f, "x", NULL), 12);
    assert_int_equal(vector_best(f, "brand new", NULL), out.media_id);
    assert_int_equal(vector_best(f, "s6", NULL), media[2]);
    /* and once more, without anything to do */
    assert_int_equal(missing(f, other), 0);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(other_count(f, other), 12);
}

/* Chunks with lower numbers than those filled already: a long text that was in the making. */
static void what_comes_late_is_found(void **state)
{
    struct fixture *f = *state;
    int64_t result, chunks, segments, other = other_space(f);
    static const struct result_info info = {
        .kind = "text", .outcome = OUTCOME_CONTENT, .duration_ms = -1};
    struct result_key key = {.content = digest_text("long"), .settings = digest_text("s1")};
    float vectors[3 * FIXTURE_DIMENSION];
    struct chunk_row rows[3];
    static const char *const texts[] = {"long 0", "long 1", "long 2"};
    put_text(f, "first", "serves");
    struct event_outcome out = upload(f, "long", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, f->space_id, &result, &chunks, &segments));
    for (int i = 0; i < 3; i++) {
        rows[i] = (struct chunk_row){
            .ordinal = i, .start_ms = -1, .end_ms = -1, .text = texts[i], .length = 6};
        vector_of(texts[i], vectors + (size_t)i * FIXTURE_DIMENSION);
    }
    OKAY(DB(f, result_append, w.job_id, result,
            &(struct result_batch){
                .chunks = rows, .chunk_count = 3, .space_id = f->space_id, .embeddings = vectors}));
    int64_t after = put_text(f, "after", "higher numbers");
    assert_int_equal(fill(f, other, 100), 2); /* the long one is not ready */
    prepare(f, other);
    assert_int_equal(other_best(f, other, "higher numbers"), after);
    struct publication p = {.job_id = w.job_id,
                            .attempt = w.attempt,
                            .result_id = result,
                            .key = key,
                            .info = &info,
                            .stage_times_json = "{}"};
    OKAY(DB(f, publish, &p));
    assert_int_equal(DB(f, space_serve, other), ERR_BUSY);
    assert_int_equal(fill(f, other, 100), 3);
    prepare(f, other);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(other_count(f, other), 5);
    assert_int_equal(other_best(f, other, "long 1"), out.media_id);
}

/* Brought over from before everything had to be in the serving space. */
static void what_the_serving_space_lacks_is_filled(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"lacks 0", "lacks 1"};
    put_text(f, "first", "serves");
    int64_t lacks =
        put_media(f, "lacks", NULL,
                  &(struct simple_result){.chunks = texts, .chunk_count = 2, .no_vectors = true});
    put_text(f, "last", "higher numbers");
    struct serving_space s;
    OKAY(f->db.ops->space_serving(f->db.ctx, &s));
    assert_int_equal(s.chunks, 2);
    assert_int_equal(s.missing, 2);
    assert_int_equal(vector_count(f, "x", NULL), 2);
    assert_int_equal(DB(f, space_serve, f->space_id), ERR_BUSY);
    assert_int_equal(fill(f, f->space_id, 100), 2);
    prepare(f, f->space_id);
    OKAY(DB(f, space_serve, f->space_id));
    assert_int_equal(vector_count(f, "x", NULL), 4);
    assert_int_equal(vector_best(f, "lacks 1", NULL), lacks);
    OKAY(f->db.ops->space_serving(f->db.ctx, &s));
    assert_int_equal(s.missing, 0);
    put_text(f, "more", "and more");
    assert_int_equal(vector_count(f, "x", NULL), 5);
}

/* A long text that was begun in the space that served then is begun anew. */
static void a_result_in_the_making_of_the_old_space(void **state)
{
    struct fixture *f = *state;
    int64_t result, again, chunks, segments, other = other_space(f);
    struct result_key key = {.content = digest_text("long"), .settings = digest_text("s1")};
    struct chunk_row row = {.start_ms = -1, .end_ms = -1, .text = "long", .length = 4};
    float vector[FIXTURE_DIMENSION];
    static const struct result_info info = {
        .kind = "text", .outcome = OUTCOME_CONTENT, .duration_ms = -1};
    put_text(f, "first", "serves");
    struct event_outcome out = upload(f, "long", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, f->space_id, &result, &chunks, &segments));
    vector_of("long", vector);
    struct result_batch b = {
        .chunks = &row, .chunk_count = 1, .space_id = f->space_id, .embeddings = vector};
    OKAY(DB(f, result_append, w.job_id, result, &b));
    fill(f, other, 100);
    OKAY(DB(f, space_serve, other));
    struct publication p = {.job_id = w.job_id,
                            .attempt = w.attempt,
                            .result_id = result,
                            .key = key,
                            .info = &info,
                            .stage_times_json = "{}"};
    assert_int_equal(DB(f, publish, &p), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "space_switched");
    OKAY(DB(f, result_begin, w.job_id, &key, other, &again, &chunks, &segments));
    assert_int_not_equal(again, result);
    assert_int_equal(chunks, 0);
}

static void a_space_is_dropped(void **state)
{
    struct fixture *f = *state;
    int64_t media[3], own, other = other_space(f);
    struct space_drop_place place = {0};
    struct missing_chunk *chunks;
    size_t n;
    bool more;
    put_some(f, media);
    own = f->space_id;
    assert_int_equal(DB(f, space_drop, own, &place, &more), ERR_CONFLICT);
    assert_string_equal(error_last()->reason, "space_serves");
    assert_int_equal(DB(f, space_drop, 424242, &place, &more), ERR_NOT_FOUND);
    fill(f, other, 100);
    OKAY(DB(f, space_serve, other));
    /* begun and left: it has to be finished first */
    OKAY(DB(f, space_drop, own, &place, &more));
    assert_true(more);
    assert_int_equal(DB(f, space_missing, own, NULL, 1, &f->arena, &chunks, &n), ERR_CONFLICT);
    assert_string_equal(error_last()->reason, "space_dropping");
    assert_int_equal(DB(f, space_serve, own), ERR_CONFLICT);
    remove_key(f, "three", INT64_MAX / 2); /* meanwhile */
    drop(f, own);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(chunks_in(f, own), 0);
    assert_int_equal(vector_count(f, "x", NULL), 0);
    assert_int_equal(other_count(f, other), 8);
    assert_int_equal(missing(f, own), 8);
    drop(f, own); /* again is success */
    /* it can be filled again, as the first time */
    assert_int_equal(fill(f, own, 100), 8);
    assert_int_equal(chunks_in(f, own), 8);
    OKAY(DB(f, space_serve, own));
    assert_int_equal(vector_count(f, "x", NULL), 8);
    assert_int_equal(vector_best(f, "s3", NULL), media[2]);
    drop(f, other);
    assert_int_equal(other_count(f, other), 0);
    assert_int_equal(vector_best(f, "s3", NULL), media[2]);
    remove_key(f, "seven", INT64_MAX / 2);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(chunks_in(f, own), 1);
    assert_int_equal(totals_of(f).chunks, 1);
}

static void embeddings_of_any_space_are_reused(void **state)
{
    struct fixture *f = *state;
    int64_t media[3], other = other_space(f);
    struct result_key key = {.content = digest_text("x")};
    float got[3 * OTHER_DIMENSION], wanted[OTHER_DIMENSION];
    static const char *const three[] = {"a", "b", "c"};
    struct missing_chunk *chunks;
    size_t n;
    put_some(f, media);
    struct digest_stream *s = digest_begin(false);
    for (int i = 0; i < 3; i++)
        digest_update(s, three[i], 2);
    key.content = digest_end(s, NULL);
    OKAY(DB(f, space_missing, other, NULL, PAGE, &f->arena, &chunks, &n));
    append(f, other, chunks, 3); /* two of the three */
    assert_int_equal(DB(f, embeddings_find, &key, other, 0, 3, got), ERR_NOT_FOUND);
    append(f, other, chunks + 3, 1);
    OKAY(DB(f, embeddings_find, &key, other, 0, 3, got));
    for (int i = 0; i < 3; i++) {
        other_vector(three[i], 1, wanted);
        for (int k = 0; k < OTHER_DIMENSION; k++)
            assert_true(fabsf(got[i * OTHER_DIMENSION + k] - wanted[k]) < 0.002f);
    }
    OKAY(DB(f, embeddings_find, &key, other, 1, 1, got));
    other_vector("b", 1, wanted);
    assert_true(fabsf(got[0] - wanted[0]) < 0.002f);
    OKAY(DB(f, embeddings_find, &key, f->space_id, 0, 3, got));
}

static void one_fills_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct database second;
    OKAY(f->harness->open_again(f->harness->ctx, &f->clock, &second));
    OKAY(f->db.ops->space_fill_begin(f->db.ctx));
    assert_int_equal(f->db.ops->space_fill_begin(f->db.ctx), ERR_BUSY);
    assert_int_equal(second.ops->space_fill_begin(second.ctx), ERR_BUSY);
    assert_string_equal(error_last()->reason, "space_busy");
    f->db.ops->space_fill_end(f->db.ctx);
    OKAY(second.ops->space_fill_begin(second.ctx));
    assert_int_equal(f->db.ops->space_fill_begin(f->db.ctx), ERR_BUSY);
    second.ops->close(second.ctx); /* lets go */
    OKAY(f->db.ops->space_fill_begin(f->db.ctx));
    f->db.ops->space_fill_end(f->db.ctx);
}

/* Another process searches what this one fills and switches. */
static void other_processes_follow(void **state)
{
    struct fixture *f = *state;
    struct fixture g = *f;
    int64_t media[3], other = other_space(f);
    put_some(f, media);
    OKAY(f->harness->open_again(f->harness->ctx, &f->clock, &g.db));
    g.space_id = f->space_id;
    arena_init(&g.arena, MIB(16));
    assert_int_equal(vector_count(&g, "x", NULL), 11);
    fill(f, other, 1);
    assert_int_equal(other_count(&g, other), PAGE); /* it does not serve, but may be looked at */
    fill(f, other, 100);
    assert_int_equal(other_count(&g, other), 11);
    prepare(f, other);
    OKAY(DB(f, space_serve, other));
    assert_int_equal(serving(&g), other);
    assert_int_equal(other_best(&g, other, "s2"), media[2]);
    drop(f, f->space_id);
    assert_int_equal(vector_count(&g, "x", NULL), 0);
    fill(f, f->space_id, 100);
    assert_int_equal(vector_count(&g, "x", NULL), 11);
    assert_int_equal(vector_best(&g, "s2", NULL), media[2]);
    g.db.ops->close(g.db.ctx);
    arena_free(&g.arena);
}

const struct suite_test database_space_tests[] = {
    SUITE_TEST(the_first_publication_decides),
    SUITE_TEST(nothing_published_needs_nothing),
    SUITE_TEST(another_space_is_refused),
    SUITE_TEST(publications_are_held_up),
    SUITE_TEST(a_space_is_filled_beside_the_serving_one),
    SUITE_TEST(filling_again_changes_nothing),
    SUITE_TEST(what_is_gone_is_not_filled),
    SUITE_TEST(switched_back_with_what_came_since),
    SUITE_TEST(what_comes_late_is_found),
    SUITE_TEST(what_the_serving_space_lacks_is_filled),
    SUITE_TEST(a_result_in_the_making_of_the_old_space),
    SUITE_TEST(a_space_is_dropped),
    SUITE_TEST(embeddings_of_any_space_are_reused),
    SUITE_TEST(one_fills_at_a_time),
    SUITE_TEST(other_processes_follow),
};
const size_t database_space_test_count = sizeof database_space_tests / sizeof *database_space_tests;
