#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/offline/embedding.h"
#include "adapters/offline/offline.h"
#include "shared/caps.h"
#include "shared/digest.h"
#include "shared/error.h"

static const char *const passages[] = {
    "The committee met on Monday to decide about the old water pump. Repairing it would cost nine "
    "hundred dollars, while a new pump costs two thousand but comes with a guarantee of ten years. "
    "Maria will ask three suppliers for offers before Friday, and until then the gardeners take "
    "water from the river with buckets.",
    "Sourdough bread needs flour, water, salt and patience. Mix the starter with the flour in the "
    "evening, let the dough rise overnight in a cool kitchen, and shape the loaf in the morning. A "
    "hot oven with steam gives a thick, crackling crust.",
    "A lighthouse keeper's day began before sunset, when the lamp had to be cleaned, filled with "
    "oil and lit. Through the night he wound the clockwork that turned the lens, every four hours, "
    "and wrote ships and weather into the log.",
    "Honey bees tell each other where flowers are by dancing. Karl von Frisch found that the angle "
    "of the waggle run to the vertical matches the angle between the sun and the food, and that "
    "its duration grows with the distance.",
    "Caller: my router loses the connection every evening. Agent: please tell me which lights are "
    "on. Caller: the power light is green and the internet light is blinking red. Agent: let us "
    "restart the router and move it to another channel.",
    "Die Versammlung hat beschlossen, dass die Mauer am Hafen noch in diesem Jahr erneuert werden "
    "soll, weil die Häuser dahinter bei Sturm nicht mehr sicher sind.",
    "東京の地下鉄は一日に何百万人もの乗客を運んでいます。朝のラッシュ時には駅員が乗客を車内に押し"
    "込むこともあります。",
};
enum { PASSAGES = sizeof passages / sizeof passages[0] };

static struct model_provider provider;
static struct arena arena;
static struct model_calls calls;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, MIB(64));
    calls = (struct model_calls){.arena = &arena};
    return offline_provider_open(NULL, &provider);
}

static int close_all(void **state)
{
    (void)state;
    provider.ops->close(provider.ctx);
    arena_free(&arena);
    return 0;
}

static const float *embed(enum embed_purpose purpose, const char *text, size_t length)
{
    const struct embed_request request = {
        .purpose = purpose, .texts = &text, .lengths = &length, .count = 1};
    struct embed_result result;
    assert_int_equal(provider.ops->embed(provider.ctx, &request, NULL, &arena, &calls, &result), 0);
    assert_int_equal(result.dimension, EMBEDDING_DIMENSION);
    return result.vectors;
}

static double cosine(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < EMBEDDING_DIMENSION; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void right_passages_rank_first(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        int passage;
    } queries[] = {
        {"how do I bake bread", 1},
        {"shaping a loaf", 1},
        {"offers of suppliers", 0},
        {"guaranteed for ten years", 0},
        {"lighthouses", 2},
        {"cleaning the lamp", 2},
        {"dance of the honeybee", 3},
        {"flowers and the sun", 3},
        {"internet connection keeps dropping", 4},
        {"router restarted", 4},
        {"Sind die Häuser am Hafen sicher?", 5},
        {"地下鉄の乗客", 6},
    };
    const float *vectors[PASSAGES];
    for (int i = 0; i < PASSAGES; i++)
        vectors[i] = embed(EMBED_DOCUMENT, passages[i], strlen(passages[i]));
    for (size_t q = 0; q < sizeof queries / sizeof queries[0]; q++) {
        const float *query = embed(EMBED_QUERY, queries[q].query, strlen(queries[q].query));
        int best = 0;
        for (int i = 1; i < PASSAGES; i++)
            if (cosine(query, vectors[i]) > cosine(query, vectors[best]))
                best = i;
        if (best != queries[q].passage)
            print_message("'%s' found %d\n", queries[q].query, best);
        assert_int_equal(best, queries[q].passage);
    }
}

static void unrelated_texts_are_near_zero(void **state)
{
    (void)state;
    for (int i = 0; i < PASSAGES; i++)
        for (int j = 0; j < i; j++) {
            double similarity = cosine(embed(EMBED_DOCUMENT, passages[i], strlen(passages[i])),
                                       embed(EMBED_DOCUMENT, passages[j], strlen(passages[j])));
            assert_true(fabs(similarity) < 0.15);
        }
}

static void inflections_and_case_are_alike(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"The pumps were repaired and the gardeners watered their roses.",
         "THE PUMP IS REPAIRING, the gardener is watering a rose."},
        {"Die Häuser wurden verkauft und die Gärten bepflanzt, weil das so war.",
         "Das Haus ist zu verkaufen, der Garten ist nicht bepflanzt und das war es."},
    };
    for (size_t i = 0; i < 2; i++)
        assert_true(cosine(embed(EMBED_DOCUMENT, pairs[i][0], strlen(pairs[i][0])),
                           embed(EMBED_DOCUMENT, pairs[i][1], strlen(pairs[i][1]))) > 0.5);
}

static void every_text_has_unit_length(void **state)
{
    (void)state;
    static const char *const texts[] = {"a",        "the and of", "!!!",  "🎉🎉",   "1 2 3",
                                        "\xff\xfe", "日",         "word", "  x  "};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (int purpose = EMBED_DOCUMENT; purpose <= EMBED_QUERY; purpose++) {
            const float *v = embed((enum embed_purpose)purpose, texts[i], strlen(texts[i]));
            assert_true(fabs(cosine(v, v) - 1) < 1e-5);
        }
    char *endless = malloc(300000);
    assert_non_null(endless);
    for (size_t i = 0; i < 300000; i++)
        endless[i] = (char)(i % 7 == 6 ? ' ' : 'a' + i * i % 26);
    const float *v = embed(EMBED_DOCUMENT, endless, 300000);
    assert_true(fabs(cosine(v, v) - 1) < 1e-5);
    assert_memory_equal(v, embed(EMBED_DOCUMENT, endless, EMBEDDING_TEXT),
                        EMBEDDING_DIMENSION * sizeof *v);
    free(endless);
}

/* The vectors that are stored must never change without a new revision. */
static void vectors_are_those_of_this_revision(void **state)
{
    (void)state;
    char text[DIGEST_TEXT];
    assert_string_equal(EMBEDDING_REVISION, "stem+4gram-1");
    const float *v = embed(EMBED_DOCUMENT, passages[0], strlen(passages[0]));
    struct digest digest = digest_of(v, EMBEDDING_DIMENSION * sizeof *v);
    digest_format(&digest, text);
    assert_string_equal(text, "ca856b91bf7e61dabe205c3f91fe317501fd30d324a398f716b8bcc5b70fc637");
}

static void a_batch_is_what_its_texts_are_alone(void **state)
{
    (void)state;
    size_t lengths[PASSAGES];
    for (int i = 0; i < PASSAGES; i++)
        lengths[i] = strlen(passages[i]);
    const struct embed_request request = {
        .purpose = EMBED_DOCUMENT, .texts = passages, .lengths = lengths, .count = PASSAGES};
    struct embed_result all;
    size_t before = calls.count;
    assert_int_equal(provider.ops->embed(provider.ctx, &request, NULL, &arena, &calls, &all), 0);
    for (int i = 0; i < PASSAGES; i++)
        assert_memory_equal(all.vectors + (size_t)i * EMBEDDING_DIMENSION,
                            embed(EMBED_DOCUMENT, passages[i], lengths[i]),
                            EMBEDDING_DIMENSION * sizeof(float));
    assert_string_equal(calls.items[before].provider, "offline");
    assert_int_equal(calls.items[before].operation, MODEL_EMBED);
    assert_int_equal(calls.items[before].cost_nanousd, 0);
    assert_int_equal(calls.items[before].input_tokens, 0);
}

static void cancelled_is_cancelled(void **state)
{
    (void)state;
    struct cancel cancel = {0};
    cancel_request(&cancel);
    size_t length = strlen(passages[0]);
    const struct embed_request request = {
        .purpose = EMBED_DOCUMENT, .texts = passages, .lengths = &length, .count = 1};
    struct embed_result result;
    assert_int_equal(provider.ops->embed(provider.ctx, &request, &cancel, &arena, &calls, &result),
                     ERR_CANCELLED);
}

static void *embed_many(void *arg)
{
    struct arena own;
    struct model_calls none = {.arena = &own};
    float *out = arg;
    arena_init(&own, MIB(64));
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < PASSAGES; i++) {
            size_t length = strlen(passages[i]);
            const struct embed_request request = {
                .purpose = EMBED_DOCUMENT, .texts = &passages[i], .lengths = &length, .count = 1};
            struct embed_result result;
            if (provider.ops->embed(provider.ctx, &request, NULL, &own, &none, &result) == 0)
                memcpy(out + i * EMBEDDING_DIMENSION, result.vectors,
                       EMBEDDING_DIMENSION * sizeof *out);
        }
    arena_free(&own);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    static float out[THREADS][PASSAGES * EMBEDDING_DIMENSION];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, embed_many, out[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i < THREADS; i++)
        assert_memory_equal(out[0], out[i], sizeof out[0]);
}

static void says_what_it_is(void **state)
{
    (void)state;
    struct model_identity id;
    for (int operation = 0; operation < MODEL_OPERATIONS; operation++) {
        assert_int_equal(provider.ops->identify(provider.ctx, (enum model_operation)operation, &id),
                         0);
        assert_string_equal(id.provider, "offline");
        assert_true(id.model[0] && id.revision[0] && id.max_input > 0);
        assert_int_equal(id.dimension, operation == MODEL_EMBED ? EMBEDDING_DIMENSION : 0);
        assert_int_equal(id.draft, operation == MODEL_TRANSCRIBE);
        assert_int_equal(id.cpu_heavy, operation == MODEL_TRANSCRIBE);
        if (operation != MODEL_TRANSCRIBE)
            assert_int_equal(
                provider.ops->check(provider.ctx, (enum model_operation)operation, NULL), 0);
    }
    assert_int_equal(provider.ops->identify(provider.ctx, MODEL_OPERATIONS, &id), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_passages_rank_first),
        cmocka_unit_test(unrelated_texts_are_near_zero),
        cmocka_unit_test(inflections_and_case_are_alike),
        cmocka_unit_test(every_text_has_unit_length),
        cmocka_unit_test(vectors_are_those_of_this_revision),
        cmocka_unit_test(a_batch_is_what_its_texts_are_alone),
        cmocka_unit_test(cancelled_is_cancelled),
        cmocka_unit_test(threads_do_not_disturb_each_other),
        cmocka_unit_test(says_what_it_is),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
