/* The lexical arm: which words are found, in what order, and what a query may be. */
#include <stdio.h>

#include "database/search_snippet.h"
#include "support/database_fixture.h"
#include "support/database_suite.h"

static void words_are_found_in_any_form(void **state)
{
    struct fixture *f = *state;
    int64_t a = put_text(f, "a", "The runners were running past the Éclair shop.");
    int64_t b = put_text(f, "b", "Quantum mechanics, explained slowly.");
    assert_int_equal(lexical_best(f, "run", NULL), a);
    assert_int_equal(lexical_best(f, "RUNNING", NULL), a);
    assert_int_equal(lexical_best(f, "eclair", NULL), a);
    assert_int_equal(lexical_best(f, "éclairs", NULL), a);
    assert_int_equal(lexical_best(f, "explain quantum", NULL), b);
    assert_int_equal(lexical_count(f, "absent", NULL), 0);
}

static void all_words_rank_before_some(void **state)
{
    struct fixture *f = *state;
    put_text(f, "a", "budget budget budget budget");
    int64_t both = put_text(f, "b",
                            "a longer text in which the budget is said once, and later on, "
                            "after many other words, the word deadline comes too");
    put_text(f, "c", "deadline deadline deadline");
    assert_int_equal(lexical_best(f, "budget deadline", NULL), both);
    assert_int_equal(lexical_count(f, "budget deadline", NULL), 3);
    /* function words do not bring in what has nothing else */
    assert_int_equal(lexical_count(f, "what is the deadline of it", NULL), 2);
}

static void quoted_phrases_must_occur(void **state)
{
    struct fixture *f = *state;
    int64_t a = put_text(f, "a", "the annual report was late");
    put_text(f, "b", "report the annual");
    assert_int_equal(lexical_count(f, "\"annual report\"", NULL), 1);
    assert_int_equal(lexical_best(f, "\"annual report\"", NULL), a);
    assert_int_equal(lexical_best(f, "\"annual report\" missing", NULL), a);
    assert_int_equal(lexical_count(f, "\"annual report\" the", NULL), 1);
    assert_int_equal(lexical_count(f, "\"annual holiday\" report", NULL), 0);
}

static void titles_and_keys_are_found(void **state)
{
    struct fixture *f = *state;
    const char *text = "nothing of note inside";
    int64_t a = put_media(
        f, "talks/keynote-2026.mp3", NULL,
        &(struct simple_result){.chunks = &text, .chunk_count = 1, .title = "Walking on glaciers"});
    put_text(f, "b", "somebody once went to a glacier while walking");
    assert_int_equal(lexical_best(f, "keynote", NULL), a);
    assert_int_equal(lexical_count(f, "glacier", NULL), 2);
    assert_int_equal(lexical_count(f, "glaciers note", NULL), 2);
}

static void better_matches_rank_first(void **state)
{
    struct fixture *f = *state;
    put_text(f, "a",
             "somebody mentions a glacier once in a long text that is about many other things, of "
             "trains and of timetables and of the weather in the valley, and that goes on like "
             "this for quite a while without coming back to it");
    int64_t often = put_text(f, "b", "glacier after glacier, and one more glacier");
    assert_int_equal(lexical_best(f, "glacier", NULL), often);
    assert_int_equal(lexical_count(f, "glacier", NULL), 2);
}

/* Of two words that no passage has together, the rarer one tells more. */
static void rare_words_rank_before_frequent_ones(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 12; i++) {
        char key[16];
        snprintf(key, sizeof key, "m%d", i);
        put_text(f, key, arena_printf(&f->arena, "meeting notes of team number %d", i));
    }
    int64_t rare = put_text(f, "rare", "glacier notes of team number none");
    assert_int_equal(lexical_best(f, "meeting glacier", NULL), rare);
    assert_int_equal(lexical_count(f, "meeting glacier", NULL), 13);
}

static void a_title_counts_more_than_the_text(void **state)
{
    struct fixture *f = *state;
    const char *text = "what was seen on the way up, and what was not";
    put_text(f, "b", "what was seen of the glacier on the way up");
    int64_t titled =
        put_media(f, "a", NULL,
                  &(struct simple_result){.chunks = &text, .chunk_count = 1, .title = "A glacier"});
    put_text(f, "c", "what was seen on the way down to the glacier");
    assert_int_equal(lexical_best(f, "glacier", NULL), titled);
}

/* In the text and in the query, whichever way they are written. */
static void case_and_accents_do_not_matter(void **state)
{
    struct fixture *f = *state;
    int64_t a = put_text(f, "a", "Naïve art in a CAFÉ"); /* composed */
    int64_t b = put_text(f, "b", "crème brûlée");        /* decomposed */
    int64_t c = put_text(f, "c", "Übermut tut selten gut");
    int64_t d = put_text(f, "d", "Москва");
    assert_int_equal(lexical_best(f, "naive cafe", NULL), a);
    assert_int_equal(lexical_best(f, "NAÏVE café", NULL), a);
    assert_int_equal(lexical_best(f, "crème brûlée", NULL), b);
    assert_int_equal(lexical_best(f, "creme brulee", NULL), b);
    assert_int_equal(lexical_best(f, "übermut", NULL), c);
    assert_int_equal(lexical_best(f, "ubermut", NULL), c);
    assert_int_equal(lexical_best(f, "мОСква", NULL), d);
}

/* Porter's stems are found in passages of any language, known or not. */
static void english_words_are_found_in_any_language(void **state)
{
    struct fixture *f = *state;
    static const char *const languages[] = {"en", "de", "fr", "ja", "", "xx"};
    static const char *const texts[] = {"runners meetings 1", "runners meetings 2",
                                        "runners meetings 3", "runners meetings 4",
                                        "runners meetings 5", "runners meetings 6"};
    for (int i = 0; i < 6; i++)
        put_media(f, texts[i], NULL,
                  &(struct simple_result){
                      .chunks = &texts[i], .chunk_count = 1, .language = languages[i]});
    assert_int_equal(lexical_count(f, "meeting", NULL), 6);
    assert_int_equal(lexical_count(f, "runner", NULL), 6);
    assert_int_equal(lexical_count(f, "\"runner meeting\"", NULL), 6);
}

/* There are no operators: what looks like one is a word or nothing. */
static void signs_are_no_operators(void **state)
{
    struct fixture *f = *state;
    put_text(f, "a", "budget and deadline");
    put_text(f, "b", "budget alone");
    put_text(f, "c", "a glacier");
    assert_int_equal(lexical_count(f, "budget -deadline", NULL), 2);
    assert_int_equal(lexical_count(f, "deadline OR glacier", NULL), 2);
    assert_int_equal(lexical_count(f, "budget NOT deadline", NULL), 2);
    assert_int_equal(lexical_count(f, "glac*", NULL), 0);
    assert_int_equal(lexical_count(f, "text:glacier", NULL), 0);
    assert_int_equal(lexical_count(f, "(glacier)", NULL), 1);
    assert_int_equal(lexical_count(f, "glacier?!", NULL), 1);
}

/* Stop words are words: a query of nothing else finds what has them. */
static void only_function_words_are_a_query_too(void **state)
{
    struct fixture *f = *state;
    int64_t a = put_text(f, "a", "to be or not to be");
    put_text(f, "b", "ohne solche Worte");
    assert_int_equal(lexical_best(f, "to be or not to be", NULL), a);
    assert_int_equal(lexical_count(f, "\"not to be\"", NULL), 1);
    assert_int_equal(lexical_count(f, "the or", NULL), 1);
}

static void joined_words_are_phrases(void **state)
{
    struct fixture *f = *state;
    int64_t a = put_text(f, "a", "they co-operate on report_2026-final.pdf today");
    put_text(f, "b", "operate the co machine");
    assert_int_equal(lexical_best(f, "co-operate", NULL), a);
    assert_int_equal(lexical_count(f, "co-operate", NULL), 1);
    assert_int_equal(lexical_count(f, "co operate", NULL), 2);
    assert_int_equal(lexical_best(f, "2026", NULL), a);
    assert_int_equal(lexical_best(f, "report 2026 final pdf", NULL), a);
    assert_int_equal(lexical_best(f, "\"final pdf\"", NULL), a);
}

/* What the arm finds, the snippet shows. */
static void matches_are_highlighted(void **state)
{
    struct fixture *f = *state;
    static const char *const queries[] = {"run", "eclair", "éclairs shop", "\"running past\""};
    put_text(f, "a", "The runners were running past the Éclair shop.");
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct arm_hit *hits;
        struct passage *p;
        struct snippet snippet;
        size_t n;
        OKAY(DB(f, search_lexical, queries[i], NULL, 5, &f->arena, &hits, &n));
        assert_int_equal(n, 1);
        OKAY(DB(f, passages, &hits[0].chunk_id, 1, NULL, &f->arena, &p, &n));
        assert_int_equal(n, 1);
        OKAY(snippet_make(queries[i], p->language, p->text, strlen(p->text), &f->arena, &snippet));
        assert_true(snippet.highlight_count >= 1);
    }
}

static void filters_take_any_text(void **state)
{
    struct fixture *f = *state;
    const char *text = "common";
    int64_t a =
        put_media(f, "dir/ÿ/1", "café", &(struct simple_result){.chunks = &text, .chunk_count = 1});
    put_text(f, "dir/z", "common too");
    const struct {
        struct media_filter filter;
        size_t expected;
    } table[] = {
        {.filter = {.prefix = "dir/ÿ"}, .expected = 1},
        {.filter = {.prefix = "dir/\xc3"}, .expected = 0},
        {.filter = {.prefix = "dir/%"}, .expected = 0},
        {.filter = {.collection = "café"}, .expected = 1},
        {.filter = {.collection = "\xff\xfe"}, .expected = 0},
        {.filter = {.language = "';--"}, .expected = 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (i == 1) /* half a character: engines may differ, but it is no error */
            lexical_count(f, "common", &table[i].filter);
        else
            assert_int_equal(lexical_count(f, "common", &table[i].filter), table[i].expected);
    }
    assert_int_equal(lexical_best(f, "common", &table[0].filter), a);
}

/* At whatever point the index of words is. */
static void another_handle_finds_a_long_text_at_once(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 5, CHUNKS = 700 };
    static const char *chunks[CHUNKS];
    struct fixture second = {.harness = f->harness, .clock = f->clock};
    atomic_store(&second.now_ms, atomic_load(&f->now_ms));
    arena_init(&second.arena, MIB(16));
    OKAY(f->harness->open_again(f->harness->ctx, &f->clock, &second.db));
    for (int round = 0; round < ROUNDS; round++) {
        char key[16], text[64];
        snprintf(key, sizeof key, "long%d", round);
        snprintf(text, sizeof text, "walrus number%d", round);
        for (int i = 0; i < CHUNKS; i++)
            chunks[i] = text;
        int64_t media = put_media(f, key, NULL,
                                  &(struct simple_result){.chunks = chunks, .chunk_count = CHUNKS});
        snprintf(text, sizeof text, "number%d", round);
        assert_int_equal(lexical_best(&second, text, NULL), media);
    }
    second.db.ops->close(second.db.ctx);
    arena_free(&second.arena);
}

const struct suite_test database_word_tests[] = {
    SUITE_TEST(words_are_found_in_any_form),
    SUITE_TEST(all_words_rank_before_some),
    SUITE_TEST(quoted_phrases_must_occur),
    SUITE_TEST(titles_and_keys_are_found),
    SUITE_TEST(better_matches_rank_first),
    SUITE_TEST(rare_words_rank_before_frequent_ones),
    SUITE_TEST(a_title_counts_more_than_the_text),
    SUITE_TEST(case_and_accents_do_not_matter),
    SUITE_TEST(english_words_are_found_in_any_language),
    SUITE_TEST(signs_are_no_operators),
    SUITE_TEST(only_function_words_are_a_query_too),
    SUITE_TEST(joined_words_are_phrases),
    SUITE_TEST(matches_are_highlighted),
    SUITE_TEST(filters_take_any_text),
    SUITE_TEST(another_handle_finds_a_long_text_at_once),
};
const size_t database_word_test_count = sizeof database_word_tests / sizeof database_word_tests[0];
