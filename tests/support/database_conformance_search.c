/* The search arms: filters, hostile queries, exactness, passages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"
#include "support/seed.h"

/* Whatever is typed is a search, never an error. */
static void no_query_is_a_syntax_error(void **state)
{
    struct fixture *f = *state;
    static const char *const queries[] = {"",
                                          " ",
                                          "\"",
                                          "\"\"",
                                          "\"\"\"",
                                          "*",
                                          "a*",
                                          "AND",
                                          "OR NOT",
                                          "NEAR(a b)",
                                          "text:x",
                                          "heading : y",
                                          "(",
                                          ")",
                                          "a AND (b",
                                          "^a",
                                          "-a",
                                          "+",
                                          "a\"b",
                                          "\"open",
                                          "{a b}:c",
                                          "'; DROP",
                                          "a,b;c",
                                          "!!! ???",
                                          "\xff\xfe",
                                          "a\xc3",
                                          "\xe2\x80\x9c"
                                          "q"
                                          "\xe2\x80\x9d",
                                          "日本語",
                                          "a - b",
                                          "\\",
                                          "a\tb\nc",
                                          "\"a\" \"b",
                                          "NOT",
                                          "x NOT y",
                                          "passage MATCH 'x'",
                                          "0",
                                          "%s%n",
                                          "rank:1"};
    put_text(f, "a", "a text with b and c and x and q and 0");
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        lexical_count(f, queries[i], NULL);
    unsigned seed = test_seed();
    for (int i = 0; i < 3000; i++) {
        static const char alphabet[] = "ab \"'()*:^-+{}ANDORNOT.,\\\xc3\xa4\xff\n";
        char query[48];
        size_t n = (size_t)rand_r(&seed) % (sizeof query - 1);
        for (size_t j = 0; j < n; j++)
            query[j] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        query[n] = '\0';
        lexical_count(f, query, NULL);
    }
    char *huge = malloc(CAP_QUERY * 2 + 1);
    assert_non_null(huge);
    memset(huge, 'w', CAP_QUERY * 2);
    for (size_t i = 0; i < CAP_QUERY * 2; i += 3)
        huge[i] = ' ';
    huge[CAP_QUERY * 2] = '\0';
    lexical_count(f, huge, NULL);
    free(huge);
}

/* 60 media of three chunks; the filter must be inside the search, so that k hits still come. */
static void make_sixty(struct fixture *f, int64_t media[60])
{
    for (int i = 0; i < 60; i++) {
        char key[32];
        const char *chunks[3];
        snprintf(key, sizeof key, "%s/%02d", i % 10 ? "common" : "rare", i);
        for (int c = 0; c < 3; c++)
            chunks[c] = arena_printf(&f->arena, "common word%d chunk%d", i, c);
        media[i] = put_media(f, key, i % 10 ? "c1" : "c2",
                             &(struct simple_result){.chunks = chunks,
                                                     .chunk_count = 3,
                                                     .kind = i % 10 ? "text" : "audio",
                                                     .language = i % 20 ? "en" : "fr"});
        atomic_fetch_add(&f->now_ms, 1000);
    }
}

static void filters_still_give_k_hits(void **state)
{
    struct fixture *f = *state;
    int64_t media[60], first = atomic_load(&f->now_ms);
    make_sixty(f, media);
    const struct {
        struct media_filter filter;
        size_t expected;
    } table[] = {
        {.filter = {.collection = "c2"}, .expected = 18},
        {.filter = {.kind = "audio"}, .expected = 18},
        {.filter = {.language = "fr"}, .expected = 9},
        {.filter = {.prefix = "rare/"}, .expected = 18},
        {.filter = {.since_ms = first + 50000}, .expected = 30},
        {.filter = {.until_ms = first + 4000}, .expected = 12},
        {.filter = {.media_id = media[33]}, .expected = 3},
        {.filter = {.media_id = media[33], .kind = "audio"}, .expected = 0},
        {.filter = {.collection = "c2", .language = "fr", .prefix = "rare/"}, .expected = 9},
        {.filter = {.collection = "none"}, .expected = 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(lexical_count(f, "common", &table[i].filter), table[i].expected);
        assert_int_equal(vector_count(f, "common", &table[i].filter), table[i].expected);
    }
    assert_int_equal(lexical_best(f, "word33", &(struct media_filter){.media_id = media[33]}),
                     media[33]);
}

static void k_bounds_the_hits(void **state)
{
    struct fixture *f = *state;
    int64_t media[60];
    struct arm_hit *hits;
    float query[FIXTURE_DIMENSION];
    size_t n;
    make_sixty(f, media);
    vector_of("x", query);
    OKAY(DB(f, search_lexical, "common", NULL, 7, &f->arena, &hits, &n));
    assert_int_equal(n, 7);
    OKAY(DB(f, search_vector, f->space_id, query, NULL, 7, &f->arena, &hits, &n));
    assert_int_equal(n, 7);
    OKAY(DB(f, search_lexical, "common", NULL, 0, &f->arena, &hits, &n));
    assert_int_equal(n, 0);
    OKAY(DB(f, search_lexical, "common", NULL, 1000000, &f->arena, &hits, &n));
    assert_int_equal(n, 180);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(hits[i].chunk_id, hits[j].chunk_id);
}

/* Against the definition: the k greatest dot products of all vectors. */
static void vector_search_is_exact(void **state)
{
    struct fixture *f = *state;
    int64_t media[60];
    struct arm_hit *hits;
    struct passage *p;
    size_t n, m;
    make_sixty(f, media);
    for (int q = 0; q < 20; q++) {
        char text[32];
        float query[FIXTURE_DIMENSION];
        double all[180];
        snprintf(text, sizeof text, "query %d", q);
        vector_of(text, query);
        OKAY(DB(f, search_vector, f->space_id, query, NULL, 10, &f->arena, &hits, &n));
        assert_int_equal(n, 10);
        for (int i = 0; i < 180; i++) {
            char chunk[64];
            float v[FIXTURE_DIMENSION];
            snprintf(chunk, sizeof chunk, "common word%d chunk%d", i / 3, i % 3);
            vector_of(chunk, v);
            all[i] = 0;
            for (int d = 0; d < FIXTURE_DIMENSION; d++)
                all[i] += (double)v[d] * query[d];
        }
        for (int rank = 0; rank < 10; rank++) {
            int best = 0;
            for (int i = 1; i < 180; i++)
                if (all[i] > all[best])
                    best = i;
            assert_true(fabs(hits[rank].score - all[best]) < 0.003); /* half precision */
            all[best] = -2;
        }
        OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &p, &m));
        assert_int_equal(m, 1);
    }
}

static void unknown_space_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct arm_hit *hits;
    float query[FIXTURE_DIMENSION] = {1};
    size_t n;
    assert_int_equal(DB(f, search_vector, 424242, query, NULL, 5, &f->arena, &hits, &n),
                     ERR_NOT_FOUND);
    OKAY(DB(f, search_vector, fixture_space(f), query, NULL, 5, &f->arena, &hits, &n));
    assert_int_equal(n, 0);
}

static void spaces_do_not_mix(void **state)
{
    struct fixture *f = *state;
    struct embedding_space other = {.provider = "p", .model = "other", .dimension = 4};
    const char *text = "in the first space";
    float vector[4] = {0, 1, 0, 0};
    struct missing_chunk *missing;
    put_text(f, "a", text);
    put_text(f, "b", "b");
    OKAY(DB(f, space_ensure, &other));
    size_t n;
    OKAY(DB(f, space_missing, other.id, NULL, 5, &f->arena, &missing, &n));
    assert_int_equal(n, 2);
    OKAY(DB(f, space_append, other.id, &missing[1], 1, vector));
    struct arm_hit *hits;
    struct space_use *uses;
    OKAY(DB(f, search_vector, other.id, vector, NULL, 5, &f->arena, &hits, &n));
    assert_int_equal(n, 1);
    assert_true(fabs(hits[0].score - 1) < 0.001);
    assert_int_equal(vector_count(f, text, NULL), 2);
    OKAY(DB(f, spaces, &f->arena, &uses, &n));
    assert_int_equal(n, 2);
}

static void passages_tell_all(void **state)
{
    struct fixture *f = *state;
    const char *chunks[] = {"first part", "second part"};
    int64_t uploaded = atomic_load(&f->now_ms);
    int64_t media = put_media(f, "talk.mp3", "talks",
                              &(struct simple_result){.chunks = chunks,
                                                      .chunk_count = 2,
                                                      .kind = "audio",
                                                      .language = "en",
                                                      .title = "The talk"});
    struct arm_hit *hits;
    struct passage *p;
    size_t n;
    OKAY(DB(f, search_lexical, "second", NULL, 5, &f->arena, &hits, &n));
    assert_int_equal(n, 1);
    int64_t ids[3] = {999999, hits[0].chunk_id, hits[0].chunk_id};
    OKAY(DB(f, passages, ids, 2, NULL, &f->arena, &p, &n));
    assert_int_equal(n, 1);
    assert_int_equal(p[0].chunk_id, hits[0].chunk_id);
    assert_int_equal(p[0].media_id, media);
    assert_string_equal(p[0].bucket, "media");
    assert_string_equal(p[0].key, "talk.mp3");
    assert_string_equal(p[0].collection, "talks");
    assert_string_equal(p[0].kind, "audio");
    assert_string_equal(p[0].language, "en");
    assert_string_equal(p[0].title, "The talk");
    assert_string_equal(p[0].text, "second part");
    assert_int_equal(p[0].start_ms, 1000);
    assert_int_equal(p[0].end_ms, 2000);
    assert_int_equal(p[0].offset, 50);
    assert_int_equal(p[0].uploaded_ms, uploaded);
    OKAY(DB(f, passages, ids, 3, &(struct media_filter){.collection = "other"}, &f->arena, &p, &n));
    assert_int_equal(n, 0);
}

static void other_processes_see_it_at_once(void **state)
{
    struct fixture *f = *state;
    struct fixture second = {.harness = f->harness, .clock = f->clock};
    arena_init(&second.arena, MIB(16));
    int64_t a = put_text(f, "a", "before it opened");
    OKAY(f->harness->open_again(f->harness->ctx, &f->clock, &second.db));
    second.space_id = fixture_space(f);
    assert_int_equal(lexical_best(&second, "opened", NULL), a);
    assert_int_equal(vector_best(&second, "before it opened", NULL), a);
    int64_t b = put_text(f, "b", "written afterwards");
    assert_int_equal(lexical_best(&second, "afterwards", NULL), b);
    assert_int_equal(vector_best(&second, "written afterwards", NULL), b);
    remove_key(f, "a", atomic_load(&f->now_ms) + 1);
    assert_int_equal(lexical_count(&second, "opened", NULL), 0);
    assert_int_equal(vector_count(&second, "before it opened", NULL), 1);
    OKAY(f->harness->settle(f->harness->ctx, &second.db));
    atomic_store(&second.now_ms, atomic_load(&f->now_ms));
    int64_t c = put_text(&second, "c", "from the second");
    assert_int_equal(lexical_best(f, "second", NULL), c);
    assert_int_equal(vector_best(f, "from the second", NULL), c);
    second.db.ops->close(second.db.ctx);
    arena_free(&second.arena);
    assert_int_equal(lexical_best(f, "second", NULL), c);
}

const struct suite_test database_search_tests[] = {
    SUITE_TEST(no_query_is_a_syntax_error), SUITE_TEST(filters_still_give_k_hits),
    SUITE_TEST(k_bounds_the_hits),          SUITE_TEST(vector_search_is_exact),
    SUITE_TEST(unknown_space_is_not_found), SUITE_TEST(spaces_do_not_mix),
    SUITE_TEST(passages_tell_all),          SUITE_TEST(other_processes_see_it_at_once),
};
const size_t database_search_test_count =
    sizeof database_search_tests / sizeof database_search_tests[0];
