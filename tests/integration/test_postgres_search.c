/* Searching on PostgreSQL beyond what all engines share: the index of vectors and what to do where
 * it falls short, stems of a passage's own language, and the plans that large tables need. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "database/postgres_internal.h"
#include "database/postgres_vectors.h"
#include "database/postgres_words.h"
#include "shared/arena.h"
#include "shared/buffer.h"
#include "shared/clock.h"
#include "support/pg_test.h"

enum { DIMENSION = 16, ROWS = 3000, SOME = 40 };

static struct database db;
static struct arena arena;
static int64_t space_id;

static int open_all(void **state)
{
    set_up(state);
    arena_init(&arena, MIB(256));
    struct postgres_database_options options = {.url = fixture.url, .no_background = true};
    char sql[256]; /* so that small tables are searched by their index, too */
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET enable_seqscan = off", fixture.name);
    pg_fixture_script(&fixture, sql);
    ok(postgres_database_open(&options, &db));
    return 0;
}

static int close_all(void **state)
{
    db.ops->close(db.ctx);
    arena_free(&arena);
    return tear_down(state);
}

/* ---- rows ---- */

static struct words_pool stemmers;

/* A medium with one passage, whose id is the medium's. */
static void put(const char *key, const char *collection, const char *language, const char *heading,
                const char *text)
{
    struct pg *c = take();
    struct passage_words *w;
    struct buffer words;
    int64_t id;
    buffer_init(&words, PASSAGE_WORDS_BYTES);
    ok(words_pool_take(&stemmers, language, &w));
    ok(passage_words_write(w, heading, text, strlen(text), &words));
    words_pool_give(&stemmers, w);
    ok(PG_NUMBER(c, &id, 0,
                 "WITH n AS (SELECT coalesce(max(media_id), 0) + 1 AS id FROM media), "
                 "r AS (INSERT INTO result (result_id, state, content, settings, text_settings, "
                 "chunk_count, language) SELECT id, 1, sha256($1::text::bytea), '', '', 1, $3 FROM "
                 "n), k AS (INSERT INTO chunk (chunk_id, result_id, start_ms, end_ms, byte_offset, "
                 "ordinal, text, words) SELECT id, id, -1, -1, 0, 0, $4, $5 FROM n) "
                 "INSERT INTO media (media_id, version_id, job_id, result_id, uploaded_ms, "
                 "event_ms, bucket, key, collection, language) SELECT id, id, id, id, id, id, 'b', "
                 "$1, $2, $3 FROM n RETURNING media_id",
                 P_TEXT(key), P_TEXT(collection), P_TEXT(language), P_TEXT(text),
                 P_TSVECTOR(buffer_string(&words), words.length)));
    assert_true(id > 0);
    buffer_free(&words);
    pg_release(c);
}

static uint64_t seed = 7;

static uint64_t next(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void random_vector(float *out)
{
    double square = 0;
    for (int i = 0; i < DIMENSION; i++) {
        out[i] = (float)((double)(next() >> 11) / (1ULL << 52) - 1);
        square += (double)out[i] * out[i];
    }
    for (int i = 0; i < DIMENSION; i++)
        out[i] /= (float)sqrt(square);
}

/* `count` media of one passage each, every hundredth in the collection "rare", all in the index;
 * of these the last SOME are not current any more. */
static void put_vectors(size_t count)
{
    struct pg *c = take();
    struct embedding_space space = {.provider = "p", .model = "m", .dimension = DIMENSION};
    float *v = malloc(count * DIMENSION * sizeof *v);
    int64_t *ids = malloc(count * sizeof *ids);
    char sql[256];
    assert_non_null(v);
    assert_non_null(ids);
    ok(postgres_space_ensure(db.ctx, &space));
    space_id = space.id;
    for (size_t i = 0; i < count; i++) {
        ids[i] = (int64_t)i + 1;
        random_vector(v + i * DIMENSION);
    }
    ok(PG_RUN(c,
              "WITH r AS (INSERT INTO result (result_id, state, content, settings, text_settings, "
              "chunk_count, space_id) SELECT i, 1, int8send(i), '', '', 1, $2 FROM "
              "unnest($1::bigint[]) i), k AS (INSERT INTO chunk (chunk_id, result_id, start_ms, "
              "end_ms, byte_offset, ordinal, text, words) SELECT i, i, -1, -1, 0, 0, 'x', '' FROM "
              "unnest($1::bigint[]) i), t AS (INSERT INTO space_total (space_id, slot, chunks) "
              "SELECT $2, 0, count(*) FROM unnest($1::bigint[])) "
              "INSERT INTO media (media_id, version_id, job_id, result_id, uploaded_ms, event_ms, "
              "bucket, key, collection) SELECT i, i, i, i, i, i, 'b', i, CASE WHEN i % 100 = 0 "
              "THEN 'rare' ELSE 'common' END FROM unnest($1::bigint[]) i",
              P_INTS(ids, count), P_INT(space_id)));
    snprintf(sql, sizeof sql,
             "INSERT INTO embedding_%lld SELECT i, i, v FROM unnest($1::bigint[], $2::vector[]) "
             "x(i, v)",
             (long long)space_id);
    ok(pg_query_once(c, NULL, sql, PG_VALUES(P_INTS(ids, count), P_VECTORS(v, count, DIMENSION))));
    ok(PG_RUN(c, "UPDATE media SET result_id = NULL WHERE media_id > $1",
              P_INT((int64_t)count - SOME)));
    ok(pg_script(c, "ANALYZE"));
    pg_release(c);
    free(v);
    free(ids);
}

/* ---- vectors ---- */

struct answer {
    struct arm_hit *hits;
    size_t count;
    enum vector_way way;
};

static struct answer ask(const struct vector_tuning *tuning, const float *query,
                         const struct media_filter *filter, size_t k)
{
    struct answer a;
    ok(postgres_search_vector_tuned(db.ctx, tuning, space_id, query, filter, k, &arena, &a.hits,
                                    &a.count, &a.way));
    for (size_t i = 0; i < a.count; i++) {
        assert_true(a.hits[i].chunk_id <= ROWS - SOME);
        assert_true(!i || a.hits[i - 1].score >= a.hits[i].score);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(a.hits[i].chunk_id, a.hits[j].chunk_id);
    }
    return a;
}

static size_t shared(const struct answer *a, const struct answer *b)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            n += a->hits[i].chunk_id == b->hits[j].chunk_id;
    return n;
}

static const struct vector_tuning exact = {.exact_rows = INT64_MAX};
static const struct vector_tuning index_only = {
    .exact_rows = 10, .ef_search = 200, .scan_rows = 100000};
static const struct vector_tuning old = {
    .exact_rows = 10, .ef_search = 40, .scan_rows = 100000, .one_scan = true};

static void index_and_exact_search_agree(void **state)
{
    (void)state;
    size_t found = 0;
    put_vectors(ROWS);
    for (int q = 0; q < 20; q++) {
        float query[DIMENSION];
        random_vector(query);
        struct answer all = ask(&exact, query, NULL, 10), near = ask(&index_only, query, NULL, 10);
        assert_int_equal(all.way, VECTOR_EXACT);
        assert_int_equal(near.way, VECTOR_INDEX);
        assert_int_equal(all.count, 10);
        assert_int_equal(near.count, 10);
        found += shared(&all, &near);
        for (size_t i = 0; i < near.count; i++)
            for (size_t j = 0; j < all.count; j++)
                if (near.hits[i].chunk_id == all.hits[j].chunk_id)
                    assert_true(near.hits[i].score == all.hits[j].score);
    }
    print_message("recall@10: %zu of 200\n", found);
    assert_true(found >= 190);
}

/* What an index alone does for a filter that few pass: before 0.8 it needs help. */
static enum vector_way index_way(void)
{
    struct pg *c = take();
    bool iterative = pg_server(c)->vector_version >= 800;
    pg_release(c);
    return iterative ? VECTOR_INDEX : VECTOR_INDEX_THEN_EXACT;
}

/* One in a hundred passes: an iterative scan finds k of them, and so does an older pgvector. */
static void rare_filters_still_give_k(void **state)
{
    (void)state;
    const struct media_filter rare = {.collection = "rare"}, none = {.collection = "no such"};
    put_vectors(ROWS);
    for (int q = 0; q < 10; q++) {
        float query[DIMENSION];
        random_vector(query);
        struct answer all = ask(&exact, query, &rare, 25);
        struct answer near = ask(&index_only, query, &rare, 25);
        struct answer once = ask(&old, query, &rare, 25);
        assert_int_equal(all.count, 25);
        assert_int_equal(near.way, index_way());
        assert_int_equal(near.count, 25);
        assert_true(shared(&all, &near) >= 23);
        assert_int_equal(once.way, VECTOR_INDEX_THEN_EXACT);
        assert_int_equal(once.count, 25);
        assert_int_equal(shared(&all, &once), 25);
        assert_int_equal(ask(&index_only, query, &none, 25).count, 0);
    }
}

static void few_that_pass_are_compared_all(void **state)
{
    (void)state;
    const struct media_filter rare = {.collection = "rare"};
    struct vector_tuning tuning = index_only;
    float query[DIMENSION];
    put_vectors(ROWS);
    random_vector(query);
    tuning.exact_rows = 29; /* there are thirty, the thirtieth is not current */
    struct answer few = ask(&tuning, query, &rare, 50);
    assert_int_equal(few.way, VECTOR_EXACT_FILTERED);
    assert_int_equal(few.count, 29);
    tuning.exact_rows = 28;
    struct answer more = ask(&tuning, query, &rare, 50);
    assert_int_equal(more.way, index_way());
    assert_int_equal(more.count, 29);
    assert_int_equal(shared(&few, &more), 29);
}

static void what_is_not_in_the_index_yet_is_found(void **state)
{
    (void)state;
    struct pg *c = take();
    char sql[256];
    put_vectors(ROWS);
    snprintf(sql, sizeof sql,
             "WITH m AS (DELETE FROM embedding_%lld WHERE chunk_id %% 3 = 0 RETURNING *) INSERT "
             "INTO embedding_%lld_fresh SELECT * FROM m",
             (long long)space_id, (long long)space_id);
    ok(pg_script(c, sql));
    pg_release(c);
    const struct vector_tuning *const ways[] = {&exact, &index_only, &old};
    size_t found = 0;
    for (int q = 0; q < 10; q++) {
        float query[DIMENSION];
        random_vector(query);
        struct answer all = ask(&exact, query, NULL, 30);
        size_t fresh = 0;
        for (size_t i = 0; i < all.count; i++)
            fresh += all.hits[i].chunk_id % 3 == 0;
        assert_true(fresh > 0);
        for (int w = 0; w < 3; w++) {
            struct answer a = ask(ways[w], query, NULL, 30);
            assert_int_equal(a.count, 30);
            for (size_t i = 0; i < a.count; i++)
                found += a.hits[i].chunk_id % 3 == 0;
            if (w)
                assert_true(shared(&all, &a) >= 27);
        }
        (void)found;
    }
}

/* Above what the index can hold there is none, and all is compared. */
static void wide_spaces_are_exact(void **state)
{
    (void)state;
    enum { WIDE = 4001 };
    struct embedding_space space = {.provider = "p", .model = "wide", .dimension = WIDE};
    struct pg *c = take();
    char sql[256];
    float *v = calloc(3 * WIDE, sizeof *v);
    struct answer a;
    assert_non_null(v);
    v[0] = v[WIDE + 1] = v[2 * WIDE + 2] = 1;
    put("a", "c", "", "", "one");
    put("b", "c", "", "", "two");
    put("c", "c", "", "", "three");
    ok(postgres_space_ensure(db.ctx, &space));
    snprintf(sql, sizeof sql,
             "INSERT INTO embedding_%lld SELECT i, i, v FROM unnest($1::bigint[], $2::vector[]) "
             "x(i, v)",
             (long long)space.id);
    const int64_t ids[] = {1, 2, 3};
    ok(pg_query_once(c, NULL, sql, PG_VALUES(P_INTS(ids, 3), P_VECTORS(v, 3, WIDE))));
    ok(PG_RUN(c, "INSERT INTO space_total (space_id, slot, chunks) VALUES ($1, 0, 100)",
              P_INT(space.id)));
    pg_release(c);
    space_id = space.id;
    ok(postgres_search_vector_tuned(db.ctx, &index_only, space.id, v + WIDE, NULL, 2, &arena,
                                    &a.hits, &a.count, &a.way));
    assert_int_equal(a.way, VECTOR_EXACT);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.hits[0].chunk_id, 2);
    assert_true(fabs(a.hits[0].score - 1) < 0.001);
    free(v);
}

/* ---- words ---- */

static struct answer words(const char *query, const struct media_filter *filter)
{
    struct answer a = {0};
    ok(postgres_search_lexical(db.ctx, query, filter, 50, &arena, &a.hits, &a.count));
    return a;
}

static void a_language_s_own_stems_are_found(void **state)
{
    (void)state;
    put("a", "c", "de", "", "Die Häuser standen leer.");
    put("b", "c", "fr", "", "Elles mangeaient ensemble.");
    put("c", "c", "", "", "The houses were empty.");
    assert_int_equal(words("Haus", NULL).count, 1);
    assert_int_equal(words("Haus", NULL).hits[0].chunk_id, 1);
    assert_int_equal(words("haeuser", NULL).count, 0);
    assert_int_equal(words("manger", NULL).count, 1);
    assert_int_equal(words("manger", NULL).hits[0].chunk_id, 2);
    assert_int_equal(words("house", NULL).hits[0].chunk_id, 3);
    /* and what every language has is found in each as before */
    assert_int_equal(words("Häuser", NULL).count, 1);
    assert_int_equal(words("haus", &(struct media_filter){.language = "de"}).count, 1);
    assert_int_equal(words("haus", &(struct media_filter){.language = "fr"}).count, 0);
}

/* A passage that is found by two stems is no better than one that has only the first. */
static void two_stems_count_once(void **state)
{
    (void)state;
    put("a", "c", "de", "", "budget plan");
    put("b", "c", "en", "", "budget plan");
    struct answer a = words("budget", NULL);
    assert_int_equal(a.count, 2);
    assert_true(fabs(a.hits[0].score - a.hits[1].score) < 1e-9);
}

/* Whatever the server's text search is set to. */
static void the_server_s_own_words_do_not_matter(void **state)
{
    (void)state;
    char sql[256];
    snprintf(sql, sizeof sql,
             "ALTER DATABASE %s SET default_text_search_config = 'pg_catalog.german'",
             fixture.name);
    pg_fixture_script(&fixture, sql);
    put("to-be.txt", "c", "", "to-be.txt", "to be or not to be");
    assert_int_equal(words("be", NULL).count, 1);
    assert_int_equal(words("\"to be or not\"", NULL).count, 1);
    assert_int_equal(words("\"not or\"", NULL).count, 0);
    assert_int_equal(words("\"txt to\"", NULL).count, 0); /* no phrase across the heading's end */
    assert_int_equal(words("txt", NULL).count, 1);
}

/* Rare words tell more than frequent ones: BM25 says so on SQLite. */
static void rare_words_weigh_more(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put(key, "c", "en", "", "meeting notes of the team");
    }
    put("rare", "c", "en", "", "glacier notes of the team");
    ok(0);
    struct answer a = words("meeting glacier", NULL);
    assert_int_equal(a.count, 31);
    assert_int_equal(a.hits[0].chunk_id, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(index_and_exact_search_agree, open_all, close_all),
        cmocka_unit_test_setup_teardown(rare_filters_still_give_k, open_all, close_all),
        cmocka_unit_test_setup_teardown(few_that_pass_are_compared_all, open_all, close_all),
        cmocka_unit_test_setup_teardown(what_is_not_in_the_index_yet_is_found, open_all, close_all),
        cmocka_unit_test_setup_teardown(wide_spaces_are_exact, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_language_s_own_stems_are_found, open_all, close_all),
        cmocka_unit_test_setup_teardown(two_stems_count_once, open_all, close_all),
        cmocka_unit_test_setup_teardown(the_server_s_own_words_do_not_matter, open_all, close_all),
        cmocka_unit_test_setup_teardown(rare_words_weigh_more, open_all, close_all),
    };
    words_pool_init(&stemmers);
    int rc = pg_fixture_start();
    if (!rc)
        rc = cmocka_run_group_tests(tests, NULL, NULL);
    words_pool_free(&stemmers);
    return rc;
}
