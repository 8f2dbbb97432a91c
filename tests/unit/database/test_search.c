/* Hybrid search above a fake database: fusion, failing arms, diversity, what is passed through. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "database/search.h"
#include "shared/caps.h"
#include "shared/error.h"

/* ---- a database whose arms find what a test says ---- */

enum { MANY = 2000 };

struct fake {
    struct arm_hit lexical[MANY], vector[MANY];
    size_t lexical_count, vector_count;
    int lexical_rc, vector_rc, serving_rc, passages_rc, embed_rc, identify_rc;
    struct serving_space serving;
    bool other_embeds; /* somebody else embeds for the model "large" */
    struct passage passages[MANY];
    size_t passage_count;
    /* what was asked */
    struct media_filter filter;
    char query[64];
    size_t k, lexical_calls, vector_calls, embed_calls;
    float seen[2];
    /* the embedding model */
    int dimension, reply_dimension;
    struct cancel cancel;
    bool cancel_on_embed;
    struct arena arena;
    struct database db;
    struct model_providers providers;
};

static int give(const struct arm_hit *from, size_t have, size_t k, struct arena *arena,
                struct arm_hit **out, size_t *count)
{
    *count = have < k ? have : k;
    *out = arena_array(arena, *count + 1, sizeof **out);
    memcpy(*out, from, *count * sizeof **out);
    return 0;
}

static int fake_lexical(void *ctx, const char *query, const struct media_filter *filter, size_t k,
                        struct arena *arena, struct arm_hit **out, size_t *count)
{
    struct fake *f = ctx;
    f->lexical_calls++;
    f->filter = *filter;
    f->k = k;
    snprintf(f->query, sizeof f->query, "%s", query);
    if (f->lexical_rc)
        return error_set(f->lexical_rc, NULL, "the words are on strike");
    return give(f->lexical, f->lexical_count, k, arena, out, count);
}

static int fake_vector(void *ctx, int64_t space, const float *query,
                       const struct media_filter *filter, size_t k, struct arena *arena,
                       struct arm_hit **out, size_t *count)
{
    struct fake *f = ctx;
    assert_int_equal(space, f->serving.space.id);
    f->vector_calls++;
    f->filter = *filter;
    memcpy(f->seen, query, sizeof f->seen);
    if (f->vector_rc)
        return error_set(f->vector_rc, NULL, "the vectors are gone");
    return give(f->vector, f->vector_count, k, arena, out, count);
}

static int fake_serving(void *ctx, struct serving_space *out)
{
    struct fake *f = ctx;
    *out = f->serving;
    return f->serving_rc ? error_set(f->serving_rc, NULL, "nothing serves") : 0;
}

static int fake_passages(void *ctx, const int64_t *ids, size_t n, const struct media_filter *filter,
                         struct arena *arena, struct passage **out, size_t *count)
{
    struct fake *f = ctx;
    f->filter = *filter;
    *out = arena_array(arena, f->passage_count + 1, sizeof **out);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < f->passage_count; p++)
            if (f->passages[p].chunk_id == ids[i])
                (*out)[(*count)++] = f->passages[p];
    return f->passages_rc ? error_set(f->passages_rc, NULL, "no passages") : 0;
}

static int fake_identify(void *ctx, enum model_operation operation, struct model_identity *out)
{
    struct fake *f = ctx;
    assert_int_equal(operation, MODEL_EMBED);
    *out = (struct model_identity){
        .provider = "openai", .model = "small", .revision = "1", .dimension = f->dimension};
    return f->identify_rc ? error_set(f->identify_rc, NULL, "does not embed") : 0;
}

static int other_identify(void *ctx, enum model_operation operation, struct model_identity *out)
{
    int rc = fake_identify(ctx, operation, out);
    snprintf(out->model, sizeof out->model, "large");
    return rc;
}

static int fake_embed(void *ctx, const struct embed_request *request, const struct cancel *cancel,
                      struct arena *arena, struct model_calls *calls, struct embed_result *out)
{
    struct fake *f = ctx;
    struct model_call call = {.provider = "openai", .model = "small", .cost_nanousd = 7};
    (void)cancel;
    f->embed_calls++;
    assert_int_equal(request->purpose, EMBED_QUERY);
    assert_int_equal(request->count, 1);
    assert_int_equal(request->lengths[0], strlen(request->texts[0]));
    if (f->cancel_on_embed)
        cancel_request(&f->cancel);
    if (f->embed_rc)
        return error_set(f->embed_rc, "invalid_key", "the key is refused");
    assert_int_equal(model_calls_add(calls, &call), 0);
    out->dimension = f->reply_dimension;
    out->vectors = arena_array(arena, 2, sizeof *out->vectors);
    out->vectors[0] = 0.6F;
    out->vectors[1] = 0.8F;
    return 0;
}

static const struct database_ops database_ops = {
    .name = "fake",
    .search_lexical = fake_lexical,
    .search_vector = fake_vector,
    .space_serving = fake_serving,
    .passages = fake_passages,
};

static const struct model_provider_ops provider_ops = {
    .name = "fake", .identify = fake_identify, .embed = fake_embed};

static const struct model_provider_ops other_ops = {
    .name = "other", .identify = other_identify, .embed = fake_embed};

static int fake_embedder(void *ctx, const char *provider, const char *model, int dimension,
                         struct model_provider *out)
{
    struct fake *f = ctx;
    assert_string_equal(provider, "openai");
    assert_true(dimension > 0);
    if (!f->other_embeds || strcmp(model, "large") != 0)
        return error_set(ERR_NOT_FOUND, NULL, "nobody does");
    *out = (struct model_provider){.ops = &other_ops, .ctx = f};
    return 0;
}

static void serve(struct fake *f, int64_t id, const char *model, int64_t chunks, int64_t missing)
{
    f->serving = (struct serving_space){
        .space = {.id = id, .dimension = 2}, .chunks = chunks, .missing = missing};
    snprintf(f->serving.space.provider, sizeof f->serving.space.provider, "openai");
    snprintf(f->serving.space.model, sizeof f->serving.space.model, "%s", model);
    snprintf(f->serving.space.revision, sizeof f->serving.space.revision, "1");
}

static int set_up(void **state)
{
    struct fake *f = calloc(1, sizeof *f);
    arena_init(&f->arena, MIB(64));
    f->db = (struct database){.ops = &database_ops, .ctx = f};
    f->providers.by_operation[MODEL_EMBED] =
        (struct model_provider){.ops = &provider_ops, .ctx = f};
    f->dimension = f->reply_dimension = 2;
    f->providers.embedder = fake_embedder;
    f->providers.ctx = f;
    serve(f, 1, "small", 100, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fake *f = *state;
    arena_free(&f->arena);
    free(f);
    return 0;
}

static void arm(struct arm_hit *list, size_t *count, const int64_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        list[i] = (struct arm_hit){.chunk_id = ids[i], .score = 100.0 - (double)i};
    *count = n;
}

static void show(struct fake *f, int64_t chunk_id, int64_t media_id, const char *text)
{
    f->passages[f->passage_count++] =
        (struct passage){.chunk_id = chunk_id,
                         .media_id = media_id,
                         .bucket = "b",
                         .key = arena_printf(&f->arena, "key%d", (int)media_id),
                         .collection = "c",
                         .kind = "text",
                         .language = "en",
                         .title = "t",
                         .text = text};
}

/* Passages 1..n, each of a medium of its own and with a text of its own. */
static void show_all(struct fake *f, int64_t n)
{
    for (int64_t id = 1; id <= n; id++)
        show(f, id, id, arena_printf(&f->arena, "passage number %d", (int)id));
}

static int search(struct fake *f, struct search_request request, struct search_answer *out)
{
    if (!request.query)
        request.query = "passages";
    return search_run(&f->db, &f->providers, &request, &f->cancel, &f->arena, out);
}

static void assert_ids(const struct search_answer *answer, const int64_t *ids, size_t n)
{
    assert_int_equal(answer->count, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(answer->hits[i].passage.chunk_id, ids[i]);
}

static bool warned(const struct search_answer *answer, const char *reason)
{
    for (size_t i = 0; i < answer->warning_count; i++)
        if (strcmp(answer->warnings[i].reason, reason) == 0)
            return true;
    return false;
}

#define IDS(...)       (int64_t[]){__VA_ARGS__}, sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t)
#define ARM(list, ...) arm(f->list, &f->list##_count, IDS(__VA_ARGS__))

/* ---- fusion ---- */

static void ranks_are_fused(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1, 2, 3);
    ARM(vector, 3, 4, 1);
    show_all(f, 4);
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_ids(&answer,
               IDS(1, 3, 2, 4)); /* 1 and 3 tie: ranks 1+3 and 3+1; the lexical rank decides */
    const struct search_hit *hit = &answer.hits[1];
    assert_true(fabs(hit->score - (1.0 / 63 + 1.0 / 61)) < 1e-15);
    assert_int_equal(hit->lexical.rank, 3);
    assert_int_equal(hit->vector.rank, 1);
    assert_true(hit->lexical.score == 98 && hit->vector.score == 100);
    assert_int_equal(answer.hits[2].vector.rank, 0);
    assert_int_equal(answer.hits[3].lexical.rank, 0);
    assert_int_equal(answer.warning_count, 0);
    assert_int_equal(answer.arms, SEARCH_LEXICAL | SEARCH_VECTOR);
    assert_string_equal(answer.hits[0].passage.key, "key1");
}

static void ties_are_settled(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 9, 5);
    ARM(vector, 7, 2);
    show_all(f, 9);
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_ids(&answer, IDS(9, 7, 5, 2));
}

static void limit_and_depth(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    for (int64_t i = 0; i < 300; i++) {
        f->lexical[i].chunk_id = i + 1;
        f->lexical_count++;
    }
    show_all(f, 300);
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_int_equal(answer.count, SEARCH_DEFAULT_LIMIT);
    assert_int_equal(f->k, 50);
    assert_int_equal(search(f, (struct search_request){.limit = 40}, &answer), 0);
    assert_int_equal(answer.count, 40);
    assert_int_equal(f->k, 160);
    assert_int_equal(search(f, (struct search_request){.limit = 1001}, &answer), ERR_TOO_LARGE);
}

static void one_arm_alone_can_be_asked(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    ARM(vector, 2);
    show_all(f, 2);
    assert_int_equal(search(f, (struct search_request){.arms = SEARCH_LEXICAL}, &answer), 0);
    assert_ids(&answer, IDS(1));
    assert_int_equal(f->embed_calls, 0);
    assert_int_equal(search(f, (struct search_request){.arms = SEARCH_VECTOR}, &answer), 0);
    assert_ids(&answer, IDS(2));
    assert_int_equal(f->lexical_calls, 1);
}

/* ---- nothing degrades in silence ---- */

static void a_failed_lexical_arm_is_told(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(vector, 2);
    show_all(f, 2);
    f->lexical_rc = ERR_IO;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_ids(&answer, IDS(2));
    assert_int_equal(answer.warning_count, 1);
    assert_true(warned(&answer, "lexical_failed"));
    assert_non_null(strstr(answer.warnings[0].message, "the words are on strike"));
    assert_int_equal(answer.arms, SEARCH_VECTOR);
}

static void a_failed_vector_arm_is_told(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    show_all(f, 2);
    f->vector_rc = ERR_IO;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_ids(&answer, IDS(1));
    assert_true(warned(&answer, "vector_failed"));
    f->serving_rc = ERR_IO;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_true(warned(&answer, "vector_failed"));
    f->serving_rc = 0;
    f->embed_rc = ERR_SYSTEMIC;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_true(warned(&answer, "embedding_failed"));
    assert_int_equal(answer.arms, SEARCH_LEXICAL);
    f->embed_rc = 0;
    f->reply_dimension = 3;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_true(warned(&answer, "embedding_failed"));
}

static void both_arms_failing_is_an_error(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    f->lexical_rc = ERR_IO;
    f->vector_rc = ERR_TRANSIENT;
    assert_int_equal(search(f, (struct search_request){0}, &answer), ERR_IO);
    assert_string_equal(error_last()->message, "the words are on strike");
    f->embed_rc = ERR_SYSTEMIC;
    assert_int_equal(search(f, (struct search_request){0}, &answer), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "invalid_key");
    f->embed_rc = 0;
    assert_int_equal(search(f, (struct search_request){.arms = SEARCH_VECTOR}, &answer),
                     ERR_TRANSIENT);
}

static void a_missing_provider_is_told(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    show_all(f, 1);
    f->identify_rc = ERR_NOT_FOUND;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_true(warned(&answer, "no_embedding_provider"));
    f->providers.by_operation[MODEL_EMBED].ops = NULL;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_true(warned(&answer, "no_embedding_provider"));
    assert_int_equal(search(f, (struct search_request){.arms = SEARCH_VECTOR}, &answer),
                     ERR_NOT_FOUND);
}

static void passages_out_of_the_space_are_told(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    ARM(vector, 2);
    show_all(f, 2);
    serve(f, 1, "small", 100, 321);
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.warning_count, 1);
    assert_true(warned(&answer, "other_space"));
    assert_non_null(
        strstr(answer.warnings[0].message, "321 passages are not embedded by openai small"));
}

/* The serving space decides who embeds the query, not the settings. */
static void another_model_than_the_set_one_serves(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    ARM(vector, 2);
    show_all(f, 2);
    serve(f, 7, "large", 100, 0);
    f->other_embeds = true;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_int_equal(answer.arms, SEARCH_LEXICAL | SEARCH_VECTOR);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.warning_count, 1);
    assert_true(warned(&answer, "other_model"));
    assert_non_null(strstr(answer.warnings[0].message, "openai large"));
    assert_non_null(strstr(answer.warnings[0].message, "aegis reprocess --embed-model small"));
    assert_int_equal(f->embed_calls, 1);
    f->dimension = 3; /* the same model at another dimension is another space */
    serve(f, 1, "small", 100, 0);
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_ids(&answer, IDS(1));
    assert_true(warned(&answer, "no_embedding_provider"));
    assert_int_equal(answer.arms, SEARCH_LEXICAL);
    assert_int_equal(search(f, (struct search_request){.arms = SEARCH_VECTOR}, &answer),
                     ERR_NOT_FOUND);
}

static void nothing_embedded_is_told(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    f->serving_rc = ERR_NOT_FOUND;
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_int_equal(answer.count, 0);
    assert_int_equal(answer.warning_count, 0); /* an empty database misses nothing */
    assert_int_equal(f->embed_calls, 0);
    ARM(lexical, 1);
    show_all(f, 1);
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_true(warned(&answer, "no_embeddings"));
}

static void a_cancelled_search_ends(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    show_all(f, 1);
    f->embed_rc = ERR_CANCELLED;
    assert_int_equal(search(f, (struct search_request){0}, &answer), ERR_CANCELLED);
    f->embed_rc = 0;
    f->cancel_on_embed = true;
    assert_int_equal(search(f, (struct search_request){0}, &answer), ERR_CANCELLED);
}

static void failing_passages_are_an_error(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    f->passages_rc = ERR_IO;
    assert_int_equal(search(f, (struct search_request){0}, &answer), ERR_IO);
}

/* ---- diversity ---- */

static void identical_passages_are_one_hit(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1, 2, 3);
    show(f, 1, 10, "the same text");
    show(f, 1, 11, "the same text"); /* a shared result */
    show(f, 2, 12, "the same text");
    show(f, 2, 10, "the same text"); /* again in the first medium */
    show(f, 3, 13, "another text");
    assert_int_equal(search(f, (struct search_request){0}, &answer), 0);
    assert_ids(&answer, IDS(1, 3));
    assert_int_equal(answer.hits[0].passage.media_id, 10);
    assert_int_equal(answer.hits[0].other_count, 2);
    assert_int_equal(answer.hits[0].others[0].media_id, 11);
    assert_string_equal(answer.hits[0].others[1].key, "key12");
}

/* One medium fills the first lists: the search looks deeper for others. */
static void a_few_of_each_medium(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    for (int64_t id = 1; id <= 400; id++) {
        f->lexical[f->lexical_count++] = (struct arm_hit){.chunk_id = id};
        show(f, id, id <= 300 ? 1 : id, arena_printf(&f->arena, "text %d", (int)id));
    }
    struct search_request request = {.per_media = 2, .limit = 5};
    assert_int_equal(search(f, request, &answer), 0);
    assert_ids(&answer, IDS(1, 2, 301, 302, 303));
    assert_true(f->lexical_calls > 1);
    assert_int_equal(f->embed_calls, 1);
    assert_int_equal(answer.warning_count, 0);
}

static void passages_that_are_gone_are_left_out(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1, 2, 3);
    show(f, 1, 1, "one");
    show(f, 3, 3, "three");
    assert_int_equal(search(f, (struct search_request){.limit = 2}, &answer), 0);
    assert_ids(&answer, IDS(1, 3));
}

/* ---- what goes in ---- */

static void the_query_and_the_filter_are_passed_on(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    ARM(lexical, 1);
    show_all(f, 1);
    struct search_request request = {.query = " \n passage  numbers\t",
                                     .filter = {.collection = "talks", .since_ms = 5}};
    assert_int_equal(search(f, request, &answer), 0);
    assert_string_equal(f->query, "passage  numbers");
    assert_string_equal(f->filter.collection, "talks");
    assert_int_equal(f->filter.since_ms, 5);
    assert_true(f->seen[0] == 0.6F && f->seen[1] == 0.8F);
    assert_int_equal(answer.calls.count, 1);
    assert_int_equal(answer.calls.items[0].cost_nanousd, 7);
    assert_int_equal(answer.hits[0].snippet.highlight_count, 2);
    assert_string_equal(answer.hits[0].snippet.text, "passage number 1");
}

static void bad_queries_are_refused(void **state)
{
    struct fake *f = *state;
    struct search_answer answer;
    char long_query[CAP_QUERY + 2];
    memset(long_query, 'a', sizeof long_query - 1);
    long_query[sizeof long_query - 1] = '\0';
    assert_int_equal(search(f, (struct search_request){.query = ""}, &answer), ERR_INVALID);
    assert_int_equal(search(f, (struct search_request){.query = " \n"}, &answer), ERR_INVALID);
    assert_int_equal(search(f, (struct search_request){.query = "a\xff"}, &answer), ERR_INVALID);
    assert_int_equal(search(f, (struct search_request){.query = long_query}, &answer),
                     ERR_TOO_LARGE);
    assert_int_equal(f->lexical_calls + f->embed_calls, 0);
    long_query[CAP_QUERY] = '\0';
    assert_int_equal(search(f, (struct search_request){.query = long_query}, &answer), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ranks_are_fused),
        TEST(ties_are_settled),
        TEST(limit_and_depth),
        TEST(one_arm_alone_can_be_asked),
        TEST(a_failed_lexical_arm_is_told),
        TEST(a_failed_vector_arm_is_told),
        TEST(both_arms_failing_is_an_error),
        TEST(a_missing_provider_is_told),
        TEST(passages_out_of_the_space_are_told),
        TEST(another_model_than_the_set_one_serves),
        TEST(nothing_embedded_is_told),
        TEST(a_cancelled_search_ends),
        TEST(failing_passages_are_an_error),
        TEST(identical_passages_are_one_hit),
        TEST(a_few_of_each_medium),
        TEST(passages_that_are_gone_are_left_out),
        TEST(the_query_and_the_filter_are_passed_on),
        TEST(bad_queries_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
