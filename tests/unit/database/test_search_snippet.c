/* Snippets: which words are marked, and where the window is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <unistr.h>

#include "database/search_snippet.h"
#include "shared/buffer.h"
#include "shared/caps.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, MIB(16));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* What holds for every snippet. */
static struct snippet make(const char *query, const char *language, const char *text)
{
    struct snippet s;
    size_t length = strlen(text), end = 0;
    assert_int_equal(snippet_make(query, language, text, length, &arena, &s), 0);
    assert_int_equal(strlen(s.text), s.length);
    assert_true(s.offset + s.length <= length);
    assert_true(s.length <= SNIPPET_BYTES + 60);
    assert_null(u8_check((const uint8_t *)s.text, s.length));
    for (size_t i = 0; i < s.length; i++)
        assert_true(s.text[i] == text[s.offset + i] || s.text[i] == ' ');
    for (size_t i = 0; i < s.highlight_count; i++) {
        assert_true(s.highlights[i].start >= end && s.highlights[i].end > s.highlights[i].start);
        end = s.highlights[i].end;
        assert_true(end <= s.length);
    }
    return s;
}

/* The marked words, each followed by a bar. */
static const char *marked(const struct snippet *s)
{
    struct buffer b;
    buffer_init(&b, KIB(64));
    for (size_t i = 0; i < s->highlight_count; i++) {
        struct text_range h = s->highlights[i];
        assert_int_equal(buffer_append(&b, s->text + h.start, h.end - h.start), 0);
        assert_int_equal(buffer_append_char(&b, '|'), 0);
    }
    const char *copy = arena_strdup(&arena, buffer_string(&b));
    buffer_free(&b);
    return copy;
}

static void assert_marks(const char *query, const char *language, const char *text,
                         const char *wanted)
{
    struct snippet s = make(query, language, text);
    assert_string_equal(marked(&s), wanted);
}

static void inflected_words_are_marked(void **state)
{
    (void)state;
    assert_marks("running tests", "en", "She runs; he ran. A test was run, testing went on.",
                 "runs|test|run|testing|");
    assert_marks("Budget", "", "The budgets of BUDGETING (budget's).",
                 "budgets|BUDGETING|budget's|");
    assert_marks("run", "en", "prune runtime rung", "");
    assert_marks("Häuser", "de", "Das Haus und die Häuser, der Häusern", "Haus|Häuser|Häusern|");
    assert_marks("manger", "fr", "Nous mangerons, ils mangeaient.", "mangerons|mangeaient|");
}

static void accents_and_case_do_not_matter(void **state)
{
    (void)state;
    assert_marks("eclair CAFE", "", "Un Éclair au café", "Éclair|café|");
    assert_marks("naïve", "en", "a naive NAIVE nai\xcc\x88ve", "naive|NAIVE|nai\xcc\x88ve|");
    assert_marks("ΣΊΣΥΦΟΣ", "", "ο Σίσυφος", "Σίσυφος|");
    assert_marks("日本", "", "私は日本語", "日|本|");
}

static void function_words_are_marked_only_alone(void **state)
{
    (void)state;
    assert_marks("what is the budget of this", "en", "This is the budget.", "budget|");
    assert_marks("to be or not to be", "en", "To be, or not", "To|be|or|not|");
}

static void hostile_queries_mark_nothing(void **state)
{
    (void)state;
    assert_marks("", "en", "some text", "");
    assert_marks("?!\" -- *", "en", "some text?!", "");
    assert_marks("text", "xx", "some text", "text|");
    assert_marks("text", NULL, "some text", "text|");
    struct snippet s = make("text", "en", "");
    assert_int_equal(s.length, 0);
    s = make("text", "en", " \n\t ");
    assert_int_equal(s.length, 0);
}

static const char *repeat(const char *text, int times, const char *end)
{
    struct buffer b;
    buffer_init(&b, MIB(1));
    for (int i = 0; i < times; i++)
        assert_int_equal(buffer_append_string(&b, text), 0);
    assert_int_equal(buffer_append_string(&b, end), 0);
    const char *copy = arena_strdup(&arena, buffer_string(&b));
    buffer_free(&b);
    return copy;
}

static void short_texts_are_shown_whole(void **state)
{
    (void)state;
    struct snippet s = make("beta", "en", "  alpha\nbeta\tgamma \n");
    assert_string_equal(s.text, "alpha beta gamma");
    assert_int_equal(s.offset, 2);
    assert_int_equal(s.highlights[0].start, 6);
}

static void the_window_goes_where_the_matches_are(void **state)
{
    (void)state;
    const char *filler = "Nothing of interest is being said in this sentence here. ";
    const char *text = arena_printf(&arena,
                                    "The pump is mentioned. %sThe pump lost its valve and "
                                    "the valve was mended. %s",
                                    repeat(filler, 20, ""), repeat(filler, 20, ""));
    struct snippet s = make("pump valve", "en", text);
    assert_string_equal(marked(&s), "pump|valve|valve|");
    /* from the start of a sentence to the end of one */
    assert_true(strncmp(s.text, "Nothing", 7) == 0 || strncmp(s.text, "The pump", 8) == 0);
    assert_int_equal(s.text[s.length - 1], '.');
    assert_true(s.length > SNIPPET_BYTES / 2);
}

static void without_matches_it_is_the_beginning(void **state)
{
    (void)state;
    struct snippet s = make("zebra", "en", repeat("One sentence stands here. ", 40, ""));
    assert_int_equal(s.offset, 0);
    assert_int_equal(s.highlight_count, 0);
    assert_int_equal(s.text[s.length - 1], '.');
}

static void without_sentences_words_stay_whole(void **state)
{
    (void)state;
    const char *text = repeat("words without any end ", 100, "");
    text = arena_printf(&arena, "%s needle %s", text, text);
    struct snippet s = make("needle", "en", text);
    assert_string_equal(marked(&s), "needle|");
    assert_true(s.offset == 0 || text[s.offset - 1] == ' ');
    assert_int_equal(text[s.offset + s.length], ' ');
}

static void unbroken_text_is_cut_between_characters(void **state)
{
    (void)state;
    make("x", "en", repeat("äöüßê", 500, ""));
    make("x", "en", repeat("a", 5000, ""));
    make("aaaa", "en", repeat("a", 5000, ""));
    make("日", "ja", repeat("日本語", 500, ""));
    make("\xf0\x9f\x8e\x89", "", repeat("\xf0\x9f\x8e\x89", 500, ""));
}

static void many_matches_are_capped(void **state)
{
    (void)state;
    struct snippet s = make("a b", "en", repeat("b ", 5000, ""));
    assert_true(s.highlight_count > 0 && s.highlight_count <= SNIPPET_HIGHLIGHTS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(inflected_words_are_marked),
        TEST(accents_and_case_do_not_matter),
        TEST(function_words_are_marked_only_alone),
        TEST(hostile_queries_mark_nothing),
        TEST(short_texts_are_shown_whole),
        TEST(the_window_goes_where_the_matches_are),
        TEST(without_matches_it_is_the_beginning),
        TEST(without_sentences_words_stay_whole),
        TEST(unbroken_text_is_cut_between_characters),
        TEST(many_matches_are_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
