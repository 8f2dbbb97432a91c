#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/offline/offline.h"
#include "adapters/offline/summary.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/summary_json.h"
#include "support/seed.h"

static struct model_provider provider;
static struct arena arena;
static struct model_calls calls;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, MIB(96));
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

static int summarise(enum summary_part part, const char *text, size_t length, const char *hint,
                     struct summary *out)
{
    const struct summarise_request request = {
        .part = part, .text = text, .length = length, .title_hint = hint, .language = ""};
    return provider.ops->summarise(provider.ctx, &request, NULL, &arena, &calls, out);
}

static struct summary summary_of(const char *text, const char *hint)
{
    struct summary s;
    assert_int_equal(summarise(SUMMARY_WHOLE, text, strlen(text), hint, &s), 0);
    return s;
}

static bool holds(const char *const *items, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(items[i], wanted))
            return true;
    return false;
}

static struct summary summary_of_sample(const char *name)
{
    char path[1024];
    struct buffer text;
    struct summary s;
    snprintf(path, sizeof path, "%s/samples/texts/%s", TEST_SOURCE_DIR, name);
    buffer_init(&text, MIB(1));
    assert_int_equal(file_read(path, &text), 0);
    assert_int_equal(summarise(SUMMARY_WHOLE, buffer_string(&text), text.length, name, &s), 0);
    buffer_free(&text); /* what a summary says lives in the arena */
    return s;
}

static void minutes_of_a_meeting(void **state)
{
    (void)state;
    struct summary s = summary_of_sample("garden-minutes.md");
    assert_string_equal(s.title, "Minutes of the garden committee, 2 March");
    assert_string_equal(s.language, "en");
    assert_non_null(strstr(s.abstract, "pump"));
    assert_true(s.key_point_count >= 3);
    assert_true(holds(s.topics, s.topic_count, "pump"));
    assert_true(holds(s.topics, s.topic_count, "compost"));
    assert_true(holds(s.entities, s.entity_count, "Maria Alvarez"));
    assert_true(holds(s.entities, s.entity_count, "Lena Novak"));
    assert_int_equal(s.action_item_count, 5);
    assert_string_equal(s.action_items[0].owner, "Maria Alvarez");
    assert_non_null(strstr(s.action_items[0].text, "three suppliers by 16 March"));
    assert_string_equal(s.action_items[3].owner, "Samuel Okafor");
    for (size_t i = 0; i < s.action_item_count; i++) /* a ticked box is done */
        assert_null(strstr(s.action_items[i].text, "sign at the heap"));
}

static void prose_without_tasks(void **state)
{
    (void)state;
    struct summary s = summary_of_sample("podcast-tides.md");
    assert_string_equal(s.title, "Low Water, episode 12: The mill that ran on the moon");
    assert_true(holds(s.topics, s.topic_count, "mill"));
    assert_true(holds(s.entities, s.entity_count, "Noor Haddad"));
    assert_int_equal(s.action_item_count, 0);
}

static void abstract_and_points_do_not_repeat(void **state)
{
    (void)state;
    static const char *const names[] = {"garden-minutes.md", "waggle-dance.txt", "support-call.txt",
                                        "podcast-tides.md"};
    for (size_t n = 0; n < 4; n++) {
        struct summary s = summary_of_sample(names[n]);
        assert_true(s.key_point_count > 0 && *s.abstract);
        for (size_t i = 0; i < s.key_point_count; i++) {
            assert_null(strstr(s.abstract, s.key_points[i]));
            assert_null(strchr(s.key_points[i], '\n'));
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(s.key_points[i], s.key_points[j]);
        }
    }
}

static void a_draft_transcript(void **state)
{
    (void)state;
    struct summary s =
        summary_of("and oregon needs water every day last week the water pump was broken\n"
                   "he looked at a water pump on one or the old and was full of sand\n"
                   "the children of the fuel carried water after class\n"
                   "last i knew a water pump came to you that water is clean every fall",
                   "recordings/garden_radio.wav");
    assert_string_equal(s.title, "garden radio");
    assert_string_equal(s.language, "en");
    assert_string_equal(s.topics[0], "water pump");
    assert_int_equal(s.entity_count, 0);
    assert_true(*s.abstract && !strchr(s.abstract, '\n'));
}

static void titles(void **state)
{
    (void)state;
    assert_string_equal(summary_of("Plain text begins here. It goes on.", "").title,
                        "Plain text begins here.");
    assert_string_equal(summary_of("Plain text begins here. It goes on.", "a/My notes.txt").title,
                        "My notes");
    assert_string_equal(summary_of("The Title\n\nText begins here.", "x.txt").title, "The Title");
    assert_string_equal(summary_of("## A *heading*\nText.", "x.txt").title, "A *heading");
    assert_true(strlen(summary_of_sample("../speech/night-train.txt").title) < 100);
}

static void nothing_much(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      " \n", "x",  "Hello", "!!! ???",
                                        "1 2 3", "# ",  "- ", "日本"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct summary s = summary_of(texts[i], "");
        assert_non_null(s.title);
        assert_non_null(s.abstract);
        assert_non_null(s.language);
        assert_int_equal(s.action_item_count, 0);
    }
}

static void other_languages(void **state)
{
    (void)state;
    struct summary s = summary_of(
        "Die Versammlung tagte am Montag. Die alte Pumpe im Garten ist defekt, und eine Reparatur "
        "der Pumpe wäre zu teuer. Anna Weber holt drei Angebote für eine neue Pumpe ein. Der "
        "Kompost zieht Ratten an, deshalb wird ein geschlossener Kompost gebaut.",
        "");
    assert_string_equal(s.language, "de");
    assert_true(holds(s.entities, s.entity_count, "Anna Weber"));
    assert_false(holds(s.entities, s.entity_count, "Garten")); /* a noun, no name */
    assert_non_null(strstr(s.abstract, "Pumpe"));
    s = summary_of(
        "東京の地下鉄は一日に何百万人もの乗客を運んでいます。朝のラッシュ時には駅員が乗客を車内に押"
        "し込むこともあります。地下鉄の路線は十三あります。",
        "");
    assert_string_equal(s.language, "ja");
    assert_non_null(strstr(s.abstract, "地下鉄"));
}

/* Thousands of sentences: bounded work, and still a summary. */
static void a_long_text_is_bounded(void **state)
{
    (void)state;
    struct buffer text;
    struct summary s;
    buffer_init(&text, MIB(1));
    srand48(7);
    while (text.length < SUMMARY_MAX_INPUT - 200) {
        static const char *const words[] = {"turbine", "reactor", "pipeline", "engine", "valve",
                                            "sensor",  "cable",   "pressure", "signal", "motor"};
        buffer_printf(&text, "The %s of the %s was %ld. ", words[lrand48() % 10],
                      words[lrand48() % 10], lrand48() % 1000);
    }
    int64_t began = clock_monotonic_ms();
    assert_int_equal(summarise(SUMMARY_WHOLE, text.data, text.length, "", &s), 0);
    print_message("%zu bytes in %lld ms\n", text.length, (long long)(clock_monotonic_ms() - began));
    assert_true(*s.abstract && s.topic_count > 0);
    assert_true(strlen(s.abstract) < 1500);
    buffer_free(&text);
}

static void parts_are_reduced(void **state)
{
    (void)state;
    struct buffer lines;
    static const char *const names[] = {"garden-minutes.md", "waggle-dance.txt",
                                        "garden-minutes.md"};
    buffer_init(&lines, MIB(1));
    for (size_t i = 0; i < 3; i++) {
        struct summary part = summary_of_sample(names[i]);
        assert_int_equal(summary_json_append(&lines, &part), 0);
        buffer_append_char(&lines, '\n');
    }
    struct summary s;
    assert_int_equal(summarise(SUMMARY_REDUCE, lines.data, lines.length, "", &s), 0);
    buffer_free(&lines);
    assert_string_equal(s.title, "Minutes of the garden committee, 2 March");
    assert_string_equal(s.language, "en");
    assert_true(*s.abstract && s.key_point_count > 0);
    assert_string_equal(s.entities[0], "Tom Becker"); /* named by two parts */
    assert_int_equal(s.topic_count, SUMMARY_TOPICS);
    assert_int_equal(s.action_item_count, 10);
    assert_int_equal(summarise(SUMMARY_REDUCE, "no json\n", 8, "", &s), ERR_INVALID);
    assert_int_equal(summarise(SUMMARY_REDUCE, "", 0, "", &s), 0);
    assert_string_equal(s.abstract, "");
}

static void any_bytes_are_safe(void **state)
{
    (void)state;
    srand48((long)test_seed());
    for (int round = 0; round < 60; round++) {
        size_t length = (size_t)lrand48() % 4000;
        char *text = malloc(length + 1);
        struct summary s;
        assert_non_null(text);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(lrand48() % 3 ? lrand48() : " .A\n#-[]:"[lrand48() % 9]);
        assert_int_equal(summarise(SUMMARY_WHOLE, text, length, "", &s), 0);
        free(text);
    }
}

static void answers_quote_and_cite(void **state)
{
    (void)state;
    static const struct answer_passage passages[] = {
        {.text = "Bees dance. The duration of the run stands for distance.", .source = "a"},
        {.text = "The heap attracts rats. A new water pump costs two thousand dollars and comes "
                 "with a guarantee of ten years. Nobody objected.",
         .source = "b"},
        {.text = "The pump was repaired.", .source = "c"},
    };
    const struct answer_request request = {
        .question = "What does a new pump cost?", .passages = passages, .count = 3};
    struct answer_result answer;
    assert_int_equal(provider.ops->answer(provider.ctx, &request, NULL, &arena, &calls, &answer),
                     0);
    assert_true(answer.quoted);
    assert_string_equal(answer.text,
                        "“A new water pump costs two thousand dollars and comes with a "
                        "guarantee of ten years.” [2]\n“The pump was repaired.” [3]");
    const struct answer_request none = {.question = "?", .passages = NULL, .count = 0};
    assert_int_equal(provider.ops->answer(provider.ctx, &none, NULL, &arena, &calls, &answer), 0);
    assert_string_equal(answer.text, "");
    const struct answer_request strange = {.question = "zebras?", .passages = passages, .count = 3};
    assert_int_equal(provider.ops->answer(provider.ctx, &strange, NULL, &arena, &calls, &answer),
                     0);
    assert_string_equal(answer.text,
                        "“Bees dance. The duration of the run stands for distance.” [1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minutes_of_a_meeting),
        cmocka_unit_test(prose_without_tasks),
        cmocka_unit_test(abstract_and_points_do_not_repeat),
        cmocka_unit_test(a_draft_transcript),
        cmocka_unit_test(titles),
        cmocka_unit_test(nothing_much),
        cmocka_unit_test(other_languages),
        cmocka_unit_test(a_long_text_is_bounded),
        cmocka_unit_test(parts_are_reduced),
        cmocka_unit_test(any_bytes_are_safe),
        cmocka_unit_test(answers_quote_and_cite),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
