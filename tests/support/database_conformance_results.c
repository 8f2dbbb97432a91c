/* Checkpoints, spaces, results: shared, staged, swapped, let go; reprocessing. */
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

static const struct model_call CALL = {.provider = "openai",
                                       .model = "m1",
                                       .operation = MODEL_SUMMARISE,
                                       .input_tokens = 10,
                                       .output_tokens = 3,
                                       .cost_nanousd = 700,
                                       .http_status = 200};

static int put_checkpoint(struct fixture *f, int64_t job_id, const struct checkpoint_key *key,
                          const void *bytes, size_t length, const struct model_call *calls,
                          size_t call_count)
{
    struct checkpoint item = {.job_id = job_id,
                              .key = *key,
                              .bytes = bytes,
                              .length = length,
                              .calls = calls,
                              .call_count = call_count,
                              .rc = -1};
    int rc = DB(f, checkpoints_put, &item, 1);
    return rc ? rc : item.rc;
}

static void checkpoints_are_kept_and_found(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_key key = {
        .stage = "summarise", .input = digest_text("in"), .settings = digest_text("set")};
    struct checkpoint_key other = key;
    void *bytes;
    size_t length;
    int64_t job = upload(f, "a", "e", 1).job_id;
    assert_int_equal(DB(f, checkpoint_get, &key, &f->arena, &bytes, &length), ERR_NOT_FOUND);
    OKAY(put_checkpoint(f, job, &key, "a\0b", 3, &CALL, 1));
    OKAY(put_checkpoint(f, job, &key, "a\0b", 3, NULL, 0)); /* again is success */
    OKAY(DB(f, checkpoint_get, &key, &f->arena, &bytes, &length));
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "a\0b", 3);
    other.stage = "embed";
    assert_int_equal(DB(f, checkpoint_get, &other, &f->arena, &bytes, &length), ERR_NOT_FOUND);
    other = key;
    other.settings = digest_text("set2");
    assert_int_equal(DB(f, checkpoint_get, &other, &f->arena, &bytes, &length), ERR_NOT_FOUND);
    OKAY(put_checkpoint(f, job, &other, "", 0, NULL, 0));
    OKAY(DB(f, checkpoint_get, &other, &f->arena, &bytes, &length));
    assert_int_equal(length, 0);
    assert_int_equal(totals_of(f).cost_nanousd, 700);
    assert_int_equal(put_checkpoint(f, 424242, &key, "x", 1, NULL, 0), ERR_NOT_FOUND);
}

static void checkpoints_are_kept_together(void **state)
{
    struct fixture *f = *state;
    struct checkpoint items[3] = {0};
    void *bytes;
    size_t length;
    for (int i = 0; i < 3; i++)
        items[i] = (struct checkpoint){
            .job_id = i == 1 ? 424242 : upload(f, i ? "b" : "a", "e", 1).job_id,
            .key = {.stage = "summarise", .input = digest_text(i ? i == 1 ? "1" : "2" : "0")},
            .bytes = "x",
            .length = 1,
            .calls = &CALL,
            .call_count = 1};
    OKAY(DB(f, checkpoints_put, items, 3));
    assert_int_equal(items[0].rc, OK);
    assert_int_equal(items[1].rc, ERR_NOT_FOUND);
    assert_int_equal(items[2].rc, OK);
    OKAY(DB(f, checkpoint_get, &items[0].key, &f->arena, &bytes, &length));
    OKAY(DB(f, checkpoint_get, &items[2].key, &f->arena, &bytes, &length));
    assert_int_equal(DB(f, checkpoint_get, &items[1].key, &f->arena, &bytes, &length),
                     ERR_NOT_FOUND);
    assert_int_equal(totals_of(f).cost_nanousd, 1400);

    items[0].key.input = digest_text("new");
    items[2].length = (size_t)CAP_CHECKPOINT + 1;
    assert_int_equal(DB(f, checkpoints_put, items, 3), ERR_TOO_LARGE);
    assert_int_equal(DB(f, checkpoint_get, &items[0].key, &f->arena, &bytes, &length),
                     ERR_NOT_FOUND);
    assert_int_equal(totals_of(f).cost_nanousd, 1400);
}

static void large_checkpoint_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_key key = {.stage = "transcribe", .input = digest_text("in")};
    size_t size = MIB(3), length;
    unsigned char *big = malloc(size);
    void *bytes;
    assert_non_null(big);
    for (size_t i = 0; i < size; i++)
        big[i] = (unsigned char)(i * 31 >> 3);
    OKAY(put_checkpoint(f, upload(f, "a", "e", 1).job_id, &key, big, size, NULL, 0));
    OKAY(DB(f, checkpoint_get, &key, &f->arena, &bytes, &length));
    assert_int_equal(length, size);
    assert_memory_equal(bytes, big, size);
    free(big);
}

static void checkpoints_go_with_their_medium(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_key key = {.stage = "summarise", .input = digest_text("in")};
    void *bytes;
    size_t length;
    OKAY(put_checkpoint(f, upload(f, "a", "e", 1).job_id, &key, "x", 1, NULL, 0));
    remove_key(f, "a", 2);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(DB(f, checkpoint_get, &key, &f->arena, &bytes, &length), ERR_NOT_FOUND);
}

static void spaces_are_made_once(void **state)
{
    struct fixture *f = *state;
    struct embedding_space a = {.provider = "p", .model = "m", .revision = "r", .dimension = 16},
                           b = a, c = a, bad = a;
    struct space_use *uses;
    size_t n;
    OKAY(DB(f, space_ensure, &a));
    OKAY(DB(f, space_ensure, &b));
    c.dimension = 32;
    OKAY(DB(f, space_ensure, &c));
    assert_true(a.id > 0);
    assert_int_equal(a.id, b.id);
    assert_int_not_equal(a.id, c.id);
    bad.dimension = 0;
    assert_int_equal(DB(f, space_ensure, &bad), ERR_INVALID);
    OKAY(DB(f, spaces, &f->arena, &uses, &n));
    assert_int_equal(n, 0); /* not used by any result */
    put_text(f, "k", "text");
    OKAY(DB(f, spaces, &f->arena, &uses, &n));
    assert_int_equal(n, 1);
    assert_int_equal(uses[0].space.id, f->space_id);
    assert_int_equal(uses[0].space.dimension, FIXTURE_DIMENSION);
    assert_string_equal(uses[0].space.model, "hash");
    assert_int_equal(uses[0].chunks, 1);
}

static void publishing_makes_it_visible(void **state)
{
    struct fixture *f = *state;
    const char *chunks[] = {"the quick fox", "the lazy dog"};
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    atomic_fetch_add(&f->now_ms, 250);
    struct simple_result r = {.chunks = chunks,
                              .chunk_count = 2,
                              .kind = "audio",
                              .language = "de",
                              .title = "A talk",
                              .calls = &CALL,
                              .call_count = 1};
    OKAY(publish_result(f, &w, &r));
    struct media_row m = media_of(f, out.media_id);
    assert_true(m.result_id > 0);
    assert_int_equal(m.state, JOB_SUCCEEDED);
    assert_int_equal(m.published_ms, atomic_load(&f->now_ms));
    assert_string_equal(m.kind, "audio");
    assert_string_equal(m.format, "utf-8");
    assert_string_equal(m.language, "de");
    assert_string_equal(m.title, "A talk");
    assert_string_equal(m.stages_json, "{\"embed\":{\"provider\":\"offline\"}}");
    assert_int_equal(m.outcome, OUTCOME_CONTENT);
    assert_int_equal(m.duration_ms, -1);
    assert_int_equal(m.text_bytes, 4096);
    assert_int_equal(m.chunk_count, 2);
    assert_int_equal(m.segment_count, 2);
    assert_int_equal(m.summary_coverage_permille, 1000);
    assert_int_equal(m.cost_nanousd, 700);
    assert_true(m.cost_known);
    struct attempt_row *a;
    struct job_row j;
    size_t n;
    OKAY(DB(f, job_get, out.job_id, &f->arena, &j, &a, &n));
    assert_int_equal(j.state, JOB_SUCCEEDED);
    assert_int_equal(j.finished_ms, atomic_load(&f->now_ms));
    assert_string_equal(j.reason, "");
    assert_int_equal(n, 1);
    assert_string_equal(a[0].outcome, "succeeded");
    assert_string_equal(a[0].stage_times_json, "{\"fetch\":1}");
    assert_int_equal(lexical_best(f, "lazy", NULL), out.media_id);
    assert_int_equal(vector_best(f, "the lazy dog", NULL), out.media_id);
    assert_int_equal(publish_result(f, &w, &r), ERR_CONFLICT); /* the attempt is over */
    struct totals t = totals_of(f);
    assert_int_equal(t.published, 1);
    assert_int_equal(t.results, 1);
    assert_int_equal(t.chunks, 2);
    assert_int_equal(t.segments, 2);
    assert_int_equal(t.jobs[JOB_SUCCEEDED], 1);
    assert_int_equal(t.cost_nanousd, 1400); /* the refused publication was paid for too */
}

static void empty_outcome_is_published_too(void **state)
{
    struct fixture *f = *state;
    struct summary summary;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(publish_result(f, &w, &(struct simple_result){.kind = "empty"}));
    struct media_row m = media_of(f, out.media_id);
    assert_int_equal(m.outcome, OUTCOME_EMPTY);
    assert_int_equal(m.chunk_count, 0);
    assert_int_equal(DB(f, summary_get, out.media_id, &f->arena, &summary), ERR_NOT_FOUND);
}

static void identical_content_is_shared(void **state)
{
    struct fixture *f = *state;
    int64_t one = put_text(f, "a", "shared words"), two = put_text(f, "b", "shared words");
    struct arm_hit *hits;
    struct passage *p;
    size_t n;
    assert_int_not_equal(one, two);
    int64_t result = media_of(f, one).result_id;
    assert_int_equal(media_of(f, two).result_id, result);
    assert_int_equal(totals_of(f).results, 1);
    assert_int_equal(totals_of(f).chunks, 1);
    assert_int_equal(totals_of(f).published, 2);
    OKAY(DB(f, search_lexical, "shared", NULL, 10, &f->arena, &hits, &n));
    assert_int_equal(n, 1); /* one chunk, */
    OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &p, &n));
    assert_int_equal(n, 2); /* shown by two media */
    remove_key(f, "a", atomic_load(&f->now_ms) + 1);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(lexical_best(f, "shared", NULL), two);
    assert_int_equal(vector_best(f, "shared words", NULL), two);
    remove_key(f, "b", atomic_load(&f->now_ms) + 1);
    assert_int_equal(lexical_count(f, "shared", NULL), 0);
    assert_int_equal(totals_of(f).results, 0);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(vector_count(f, "shared words", NULL), 0);
    /* made anew after it was let go */
    assert_int_not_equal(media_of(f, put_text(f, "c", "shared words")).result_id, result);
    assert_int_equal(lexical_count(f, "shared", NULL), 1);
}

static void other_settings_make_another_result(void **state)
{
    struct fixture *f = *state;
    const char *text = "same text";
    int64_t one = put_media(
        f, "a", NULL, &(struct simple_result){.chunks = &text, .chunk_count = 1, .settings = "s1"});
    int64_t two = put_media(
        f, "b", NULL, &(struct simple_result){.chunks = &text, .chunk_count = 1, .settings = "s2"});
    assert_int_not_equal(media_of(f, one).result_id, media_of(f, two).result_id);
    assert_int_equal(totals_of(f).results, 2);
}

static struct result_key key_of(const char *content)
{
    return (struct result_key){.content = digest_text(content), .settings = digest_text("s")};
}

static struct publication bare(const struct job_work *w, const struct result_key *key,
                               const struct result_info *info)
{
    return (struct publication){.job_id = w->job_id,
                                .attempt = w->attempt,
                                .key = *key,
                                .info = info,
                                .stage_times_json = "{}"};
}

static const struct result_info INFO = {.kind = "text",
                                        .format = "utf-8",
                                        .language = "en",
                                        .title = "T",
                                        .duration_ms = -1,
                                        .stages_json = "{}"};

static void ready_result_is_found_and_reused(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("c");
    int64_t result;
    assert_int_equal(DB(f, result_find, &key, &result), ERR_NOT_FOUND);
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1);
    struct job_work w = start(f, a.job_id);
    struct publication p = bare(&w, &key, &INFO);
    OKAY(DB(f, publish, &p));
    OKAY(DB(f, result_find, &key, &result));
    assert_int_equal(result, media_of(f, a.media_id).result_id);
    w = start(f, b.job_id);
    p = bare(&w, &key, NULL);
    p.result_id = result;
    OKAY(DB(f, publish, &p));
    assert_int_equal(media_of(f, b.media_id).result_id, result);
    assert_string_equal(media_of(f, b.media_id).kind, "text");
    assert_int_equal(totals_of(f).results, 1);
}

static void result_that_went_meanwhile_is_transient(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("c");
    int64_t result;
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1);
    struct job_work w = start(f, a.job_id);
    struct publication p = bare(&w, &key, &INFO);
    OKAY(DB(f, publish, &p));
    OKAY(DB(f, result_find, &key, &result));
    remove_key(f, "a", 2);
    assert_int_equal(DB(f, result_find, &key, &result), ERR_NOT_FOUND);
    w = start(f, b.job_id);
    p = bare(&w, &key, NULL);
    p.result_id = 1;
    assert_int_equal(DB(f, publish, &p), ERR_TRANSIENT);
    assert_int_equal(state_of(f, b.job_id), JOB_RUNNING);
}

/* ---- results in the making ---- */

static struct result_batch batch_of(struct fixture *f, int from, int count, bool segments)
{
    struct chunk_row *chunks = arena_array(&f->arena, (size_t)count, sizeof *chunks);
    struct segment_row *rows = arena_array(&f->arena, (size_t)count, sizeof *rows);
    float *vectors = arena_array(&f->arena, (size_t)count * FIXTURE_DIMENSION, sizeof *vectors);
    for (int i = 0; i < count; i++) {
        char *text = arena_printf(&f->arena, "staged number%d", from + i);
        chunks[i] = (struct chunk_row){.ordinal = from + i,
                                       .start_ms = -1,
                                       .end_ms = -1,
                                       .offset = (from + i) * 10,
                                       .text = text,
                                       .length = strlen(text)};
        rows[i] = (struct segment_row){
            .ordinal = from + i, .start_ms = i, .end_ms = i + 1, .speaker = "", .text = text};
        vector_of(text, vectors + (size_t)i * FIXTURE_DIMENSION);
    }
    return (struct result_batch){.chunks = chunks,
                                 .chunk_count = (size_t)count,
                                 .segments = segments ? rows : NULL,
                                 .segment_count = segments ? (size_t)count : 0,
                                 .space_id = fixture_space(f),
                                 .embeddings = vectors,
                                 .calls = &CALL,
                                 .call_count = 1};
}

struct walk {
    int next;
    int64_t bytes;
    int stop_at;
};

static int see_chunk(void *arg, const struct chunk_row *row)
{
    struct walk *w = arg;
    char expected[64];
    assert_int_equal(row->ordinal, w->next);
    snprintf(expected, sizeof expected, "staged number%d", w->next);
    assert_int_equal(row->length, strlen(expected));
    assert_memory_equal(row->text, expected, row->length);
    assert_int_equal(row->offset, w->next * 10);
    return ++w->next == w->stop_at ? 77 : 0;
}

static void large_result_is_made_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("large");
    int64_t result, again, chunks, segments;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    assert_int_equal(chunks, 0);
    assert_int_equal(segments, 0);
    struct result_batch b = batch_of(f, 0, 300, true);
    OKAY(DB(f, result_append, w.job_id, result, &b));
    b = batch_of(f, 300, 50, false);
    OKAY(DB(f, result_append, w.job_id, result, &b));
    assert_int_equal(lexical_count(f, "number7", NULL), 0); /* no search sees it */
    assert_int_equal(vector_count(f, "staged number7", NULL), 0);
    assert_int_equal(totals_of(f).chunks, 0);
    assert_int_equal(DB(f, result_find, &key, &again), ERR_NOT_FOUND);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &again, &chunks, &segments));
    assert_int_equal(again, result);
    assert_int_equal(chunks, 350);
    assert_int_equal(segments, 300);
    b = batch_of(f, 340, 20, false); /* ten of them once more */
    OKAY(DB(f, result_append, w.job_id, result, &b));
    b = batch_of(f, 400, 1, false);
    assert_int_equal(DB(f, result_append, w.job_id, result, &b), ERR_INVALID);
    struct publication p = bare(&w, &key, &INFO);
    p.result_id = result;
    p.batch = batch_of(f, 360, 5, false);
    OKAY(DB(f, publish, &p));
    assert_int_equal(lexical_best(f, "number7", NULL), out.media_id);
    assert_int_equal(lexical_count(f, "number362", NULL), 1);
    assert_int_equal(vector_best(f, "staged number362", NULL), out.media_id);
    assert_int_equal(media_of(f, out.media_id).chunk_count, 365);
    assert_int_equal(media_of(f, out.media_id).segment_count, 300);
    assert_int_equal(totals_of(f).chunks, 365);
    struct walk walk = {.stop_at = -1}, part = {.stop_at = 5};
    OKAY(DB(f, chunks_each, result, see_chunk, &walk));
    assert_int_equal(walk.next, 365);
    assert_int_equal(DB(f, chunks_each, result, see_chunk, &part), 77);
    assert_int_equal(part.next, 5);
    assert_int_equal(DB(f, chunks_each, 424242, see_chunk, &walk), ERR_NOT_FOUND);
}

enum { HOUSES = 6 };
static const char *const houses[HOUSES] = {
    "Die Häuser standen leer.",           "Zwei Häuser am Fluss.",
    "Häuser ohne Dächer, eins bis drei.", "Nachbarn verkauften Häuser.",
    "Alte Häuser, neue Dächer.",          "Drei Häuser blieben stehen."};

static struct result_batch some_houses(struct fixture *f, int from, int count)
{
    struct result_batch b = batch_of(f, from, count, false);
    struct chunk_row *rows = arena_array(&f->arena, (size_t)count, sizeof *rows);
    memcpy(rows, b.chunks, (size_t)count * sizeof *rows);
    for (int i = 0; i < count; i++) {
        rows[i].text = houses[from + i];
        rows[i].length = strlen(houses[from + i]);
    }
    b.chunks = rows;
    b.language = "de";
    return b;
}

/* Whatever words a query takes for one, a long text that came in parts is found by the same ones as
 * a short text. */
static void appended_passages_have_their_language_s_words(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("long houses");
    int64_t result, chunks, segments;
    int64_t at_once = put_media(
        f, "short", NULL,
        &(struct simple_result){.language = "de", .chunks = houses, .chunk_count = HOUSES});
    struct event_outcome out = upload(f, "long", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    for (int i = 0; i < 4; i += 2) {
        struct result_batch b = some_houses(f, i, 2);
        OKAY(DB(f, result_append, w.job_id, result, &b));
    }
    struct result_info info = INFO;
    info.language = "de";
    struct publication p = bare(&w, &key, &info);
    p.result_id = result;
    p.batch = some_houses(f, 4, 2);
    OKAY(DB(f, publish, &p));
    static const char *const queries[] = {"Häuser",  "Haus", "Dach",    "Fluss",    "flüsse",
                                          "Nachbar", "neu",  "stehend", "verkauft", "house"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        struct media_filter shorter = {.media_id = at_once}, longer = {.media_id = out.media_id};
        size_t expected = lexical_count(f, queries[i], &shorter);
        if (lexical_count(f, queries[i], &longer) != expected)
            fail_msg("'%s' finds %zu passages of the long text, not %zu", queries[i],
                     lexical_count(f, queries[i], &longer), expected);
    }
    assert_int_equal(lexical_count(f, "Häuser", NULL), 2 * HOUSES);
}

/* "Draft" and "incomplete" reach everything that shows a transcript, however it was published. */
static void labels_of_a_recording(void **state)
{
    struct fixture *f = *state;
    struct result_info info = INFO;
    struct result_key key = key_of("whole"), made = key_of("in pieces");
    struct passage *passages;
    struct arm_hit *hits;
    size_t n;
    int64_t result, chunks, segments;
    info.draft = true;
    info.missing_ms = 4200;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    struct publication p = bare(&w, &key, &info);
    p.batch = batch_of(f, 0, 2, false);
    OKAY(DB(f, publish, &p));
    assert_true(media_of(f, out.media_id).draft);
    assert_int_equal(media_of(f, out.media_id).missing_ms, 4200);
    OKAY(DB(f, search_lexical, "number1", NULL, 10, &f->arena, &hits, &n));
    OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &passages, &n));
    assert_int_equal(n, 1);
    assert_true(passages[0].draft && passages[0].incomplete);

    info = INFO;
    info.missing_ms = -1;
    out = upload(f, "b", "e", 1);
    w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &made, fixture_space(f), &result, &chunks, &segments));
    p = bare(&w, &made, &info);
    p.result_id = result;
    p.batch = batch_of(f, 0, 7, false);
    OKAY(DB(f, publish, &p));
    assert_false(media_of(f, out.media_id).draft);
    assert_int_equal(media_of(f, out.media_id).missing_ms, -1);
    OKAY(DB(f, search_lexical, "number6", NULL, 10, &f->arena, &hits, &n));
    OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &passages, &n));
    assert_true(!passages[0].draft && passages[0].incomplete);

    assert_int_equal(media_of(f, put_text(f, "c", "all of it")).missing_ms, 0);
    OKAY(DB(f, search_lexical, "\"all of it\"", NULL, 10, &f->arena, &hits, &n));
    OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &passages, &n));
    assert_false(passages[0].incomplete);
}

static void summary_of_the_same_content_is_found(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("c"), other_settings = key, other_summary = key,
                      other_content = key;
    key.summary = other_settings.summary = other_content.summary = digest_text("summary 1");
    other_settings.settings = digest_text("another embedding model");
    other_summary.summary = digest_text("summary 2");
    other_content.content = digest_text("d");
    struct summary summary = {.title = "S", .abstract = "About it.", .language = "en"}, found;
    struct result_info info = INFO;
    int64_t coverage = 0;
    info.summary_coverage_permille = 640;
    struct job_work w = start(f, upload(f, "a", "e", 1).job_id);
    struct publication p = bare(&w, &key, &info);
    p.summary = &summary;
    assert_int_equal(DB(f, summary_find, &key, &f->arena, &found, &coverage), ERR_NOT_FOUND);
    OKAY(DB(f, publish, &p));
    OKAY(DB(f, summary_find, &other_settings, &f->arena, &found, &coverage));
    assert_string_equal(found.abstract, "About it.");
    assert_int_equal(coverage, 640);
    assert_int_equal(DB(f, summary_find, &other_summary, &f->arena, &found, &coverage),
                     ERR_NOT_FOUND);
    assert_int_equal(DB(f, summary_find, &other_content, &f->arena, &found, &coverage),
                     ERR_NOT_FOUND);

    struct result_key none = key_of("without");
    none.summary = digest_text("summary 1");
    w = start(f, upload(f, "b", "e", 1).job_id);
    p = bare(&w, &none, &INFO);
    OKAY(DB(f, publish, &p));
    assert_int_equal(DB(f, summary_find, &none, &f->arena, &found, &coverage), ERR_NOT_FOUND);
}

/* In pieces the summary comes with the last one. */
static void summary_of_a_result_in_pieces_is_found(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("large");
    struct summary summary = {.title = "S", .abstract = "Long.", .language = "en"}, found;
    int64_t result, chunks, segments, coverage;
    key.summary = digest_text("summary 1");
    struct job_work w = start(f, upload(f, "a", "e", 1).job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    assert_int_equal(DB(f, summary_find, &key, &f->arena, &found, &coverage), ERR_NOT_FOUND);
    struct publication p = bare(&w, &key, &INFO);
    p.result_id = result;
    p.summary = &summary;
    OKAY(DB(f, publish, &p));
    OKAY(DB(f, summary_find, &key, &f->arena, &found, &coverage));
    assert_string_equal(found.abstract, "Long.");
}

static void embeddings_of_the_same_text_are_found(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("large"), other_text = key, other_settings = key;
    other_text.text = digest_text("cut differently");
    other_settings.settings = digest_text("another summary model");
    float found[200 * FIXTURE_DIMENSION], expected[FIXTURE_DIMENSION];
    int64_t result, chunks, segments, space = fixture_space(f);
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    struct result_batch b = batch_of(f, 0, 128, false);
    OKAY(DB(f, result_append, w.job_id, result, &b));
    assert_int_equal(DB(f, embeddings_find, &key, space, 0, 1, found), ERR_NOT_FOUND);
    struct publication p = bare(&w, &key, &INFO);
    p.result_id = result;
    p.batch = batch_of(f, 128, 100, false);
    OKAY(DB(f, publish, &p));

    OKAY(DB(f, embeddings_find, &other_settings, space, 28, 200, found)); /* over both batches */
    for (int i = 0; i < 200; i++) {
        vector_of(arena_printf(&f->arena, "staged number%d", 28 + i), expected);
        for (int d = 0; d < FIXTURE_DIMENSION; d++) /* they rested in half precision */
            assert_float_equal(found[i * FIXTURE_DIMENSION + d], expected[d], 0.001);
    }
    assert_int_equal(DB(f, embeddings_find, &key, space, 200, 29, found), ERR_NOT_FOUND);
    assert_int_equal(DB(f, embeddings_find, &key, space + 1, 0, 1, found), ERR_NOT_FOUND);
    assert_int_equal(DB(f, embeddings_find, &other_text, space, 0, 1, found), ERR_NOT_FOUND);
}

static void large_result_goes_away_whole(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("large");
    int64_t result, chunks, segments;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    for (int i = 0; i < 20; i++) {
        struct result_batch b = batch_of(f, i * 300, 300, true);
        OKAY(DB(f, result_append, w.job_id, result, &b));
    }
    struct publication p = bare(&w, &key, &INFO);
    p.result_id = result;
    OKAY(DB(f, publish, &p));
    int64_t other = put_text(f, "b", "staged bystander");
    assert_int_equal(lexical_count(f, "staged", NULL), 100);
    assert_int_equal(remove_key(f, "a", 2).result, EVENT_MEDIA_REMOVED);
    assert_int_equal(lexical_count(f, "staged", NULL), 1); /* at once */
    assert_int_equal(vector_count(f, "staged number7", NULL), 1);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    struct walk walk = {0};
    assert_int_equal(DB(f, chunks_each, result, see_chunk, &walk), ERR_NOT_FOUND);
    assert_int_equal(lexical_best(f, "staged", NULL), other);
    assert_int_equal(vector_best(f, "staged bystander", NULL), other);
    assert_int_equal(totals_of(f).chunks, 1);
    assert_int_equal(totals_of(f).segments, 1);
}

static void result_in_the_making_outlives_its_attempt(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("large"), other = key_of("other settings");
    int64_t result, again, chunks, segments;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    struct result_batch b = batch_of(f, 0, 10, true);
    OKAY(DB(f, result_append, w.job_id, result, &b));
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "crash"));
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &again, &chunks, &segments));
    assert_int_equal(again, result);
    assert_int_equal(chunks, 10);
    /* another key: the first is not wanted any more */
    OKAY(DB(f, result_begin, w.job_id, &other, fixture_space(f), &again, &chunks, &segments));
    assert_int_not_equal(again, result);
    assert_int_equal(chunks, 0);
    assert_int_equal(DB(f, result_append, w.job_id, result, &b), ERR_CONFLICT);
}

static void result_in_the_making_is_collected_with_its_job(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("large");
    int64_t result, chunks, segments;
    struct walk walk = {.stop_at = -1};
    struct event_outcome out = upload(f, "a", "e1", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments));
    struct result_batch b = batch_of(f, 0, 10, true);
    OKAY(DB(f, result_append, w.job_id, result, &b));
    OKAY(DB(f, chunks_each, result, see_chunk, &walk));
    upload(f, "a", "e2", 2); /* supersedes */
    assert_int_equal(DB(f, result_append, w.job_id, result, &b), ERR_CONFLICT);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(DB(f, chunks_each, result, see_chunk, &walk), ERR_NOT_FOUND);
    assert_int_equal(
        DB(f, result_begin, w.job_id, &key, fixture_space(f), &result, &chunks, &segments),
        ERR_CONFLICT);
}

static void published_by_another_while_in_the_making(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("same");
    int64_t staged, chunks, segments;
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1);
    struct job_work wa = start(f, a.job_id), wb = start(f, b.job_id);
    OKAY(DB(f, result_begin, wa.job_id, &key, fixture_space(f), &staged, &chunks, &segments));
    struct result_batch batch = batch_of(f, 0, 3, false);
    OKAY(DB(f, result_append, wa.job_id, staged, &batch));
    struct publication p = bare(&wb, &key, &INFO);
    p.batch = batch;
    OKAY(DB(f, publish, &p));
    p = bare(&wa, &key, &INFO);
    p.result_id = staged;
    OKAY(DB(f, publish, &p));
    assert_int_equal(media_of(f, a.media_id).result_id, media_of(f, b.media_id).result_id);
    assert_int_equal(totals_of(f).results, 1);
    assert_int_equal(lexical_count(f, "number1", NULL), 1);
}

static void bad_batches_are_refused(void **state)
{
    struct fixture *f = *state;
    struct result_key key = key_of("x");
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    struct publication p = bare(&w, &key, &INFO);
    p.batch = batch_of(f, 5, 2, false); /* does not start at 0 */
    assert_int_equal(DB(f, publish, &p), ERR_INVALID);
    p.batch = batch_of(f, 0, 3, false);
    ((struct chunk_row *)(uintptr_t)p.batch.chunks)[2].ordinal = 9;
    assert_int_equal(DB(f, publish, &p), ERR_INVALID);
    p.batch = batch_of(f, 0, 3, false);
    p.batch.space_id = 424242;
    assert_int_equal(DB(f, publish, &p), ERR_INVALID);
    p.batch = batch_of(f, 0, 3, false);
    OKAY(DB(f, publish, &p));
    p.job_id = 424242;
    assert_int_equal(DB(f, publish, &p), ERR_NOT_FOUND);
}

const struct suite_test database_result_tests[] = {
    SUITE_TEST(checkpoints_are_kept_and_found),
    SUITE_TEST(checkpoints_are_kept_together),
    SUITE_TEST(large_checkpoint_comes_back_whole),
    SUITE_TEST(checkpoints_go_with_their_medium),
    SUITE_TEST(spaces_are_made_once),
    SUITE_TEST(publishing_makes_it_visible),
    SUITE_TEST(empty_outcome_is_published_too),
    SUITE_TEST(identical_content_is_shared),
    SUITE_TEST(other_settings_make_another_result),
    SUITE_TEST(ready_result_is_found_and_reused),
    SUITE_TEST(result_that_went_meanwhile_is_transient),
    SUITE_TEST(large_result_is_made_in_pieces),
    SUITE_TEST(appended_passages_have_their_language_s_words),
    SUITE_TEST(embeddings_of_the_same_text_are_found),
    SUITE_TEST(summary_of_the_same_content_is_found),
    SUITE_TEST(summary_of_a_result_in_pieces_is_found),
    SUITE_TEST(labels_of_a_recording),
    SUITE_TEST(large_result_goes_away_whole),
    SUITE_TEST(result_in_the_making_outlives_its_attempt),
    SUITE_TEST(result_in_the_making_is_collected_with_its_job),
    SUITE_TEST(published_by_another_while_in_the_making),
    SUITE_TEST(bad_batches_are_refused),
};
const size_t database_result_test_count =
    sizeof database_result_tests / sizeof database_result_tests[0];
