#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/output.h"
#include "commands/subtitles.h"
#include "shared/caps.h"

static int setup(void **state)
{
    struct arena *arena = calloc(1, sizeof *arena);
    arena_init(arena, MIB(1));
    *state = arena;
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    free(*state);
    return 0;
}

static void test_nothing_reaches_the_terminal_but_text(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"plain", "plain"},
        {"caf\xc3\xa9 \xe2\x82\xac", "caf\xc3\xa9 \xe2\x82\xac"},
        {"a\033[31mred", "a\xef\xbf\xbd[31mred"},
        {"a\nb\tc\rd", "a b c d"},
        {"\x7f\x01", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc2\x9b"
         "5n",
         "\xef\xbf\xbd"
         "5n"},                               /* C1: CSI */
        {"x\xe2\x80\xaey", "x\xef\xbf\xbdy"}, /* right-to-left override */
        {"bad\xff\xfe", "bad\xef\xbf\xbd\xef\xbf\xbd"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(text_clean(*state, rows[i].from), rows[i].to);
    assert_string_equal(text_clean(*state, NULL), "");
    assert_string_equal(text_clean_lines(*state, "a\nb\033"), "a\nb\xef\xbf\xbd");
}

static void test_columns_not_bytes(void **state)
{
    assert_int_equal(text_columns("abc"), 3);
    assert_int_equal(text_columns("caf\xc3\xa9"), 4);
    assert_int_equal(text_columns("\xe6\x97\xa5\xe6\x9c\xac"), 4); /* two wide characters */
    assert_int_equal(text_columns("e\xcc\x81"), 1);                /* combining accent */
    assert_string_equal(text_truncate(*state, "hello", 5), "hello");
    assert_string_equal(text_truncate(*state, "hello world", 6), "hello\xe2\x80\xa6");
    const char *cut = text_truncate(*state, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 4);
    assert_true(text_columns(cut) <= 4);
    assert_string_equal(cut, "\xe6\x97\xa5\xe2\x80\xa6");
}

static void wraps(const char *text, int indent, int width, const char *expected)
{
    char *got = NULL;
    size_t length;
    FILE *out = open_memstream(&got, &length);
    print_wrapped(out, text, indent, width);
    fclose(out);
    assert_string_equal(got, expected);
    free(got);
}

static void test_wrapping(void **state)
{
    (void)state;
    wraps("one two three four five six", 2, 25, "  one two three four five\n  six\n");
    wraps("", 2, 24, "");
    wraps("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b", 0, 20, "aaaaaaaaaaaaaaaaaaaa\naaaaaaaaaa b\n");
}

static void test_numbers_for_people(void **state)
{
    (void)state;
    char t[HUMAN_TEXT];
    assert_string_equal(human_bytes(0, t), "0 B");
    assert_string_equal(human_bytes(1023, t), "1023 B");
    assert_string_equal(human_bytes(1024, t), "1.0 KiB");
    assert_string_equal(human_bytes(1536 * 1024, t), "1.5 MiB");
    assert_string_equal(human_bytes(1048575, t), "1.0 MiB");
    assert_string_equal(human_bytes(-1, t), "-");
    assert_string_equal(human_cost(0, true, t), "$0");
    assert_string_equal(human_cost(0, false, t), "unknown price");
    assert_string_equal(human_cost(1200000, true, t), "$0.0012");
    assert_string_equal(human_cost(123450000000, true, t), "$123.45");
    assert_string_equal(human_cost(100000000, false, t), "$0.100+");
    assert_string_equal(human_duration(850, t), "850 ms");
    assert_string_equal(human_duration(1500, t), "1.5 s");
    assert_string_equal(human_duration(12000, t), "12 s");
    assert_string_equal(human_duration(185000, t), "3 min 5 s");
    assert_string_equal(human_duration(7260000, t), "2 h 1 min");
    assert_string_equal(human_count(1234567, t), "1,234,567");
    assert_string_equal(human_count(-12, t), "-12");
    assert_string_equal(human_ago(1000, 400000, t), "6 min ago");
    assert_string_equal(human_ago(0, 400000, t), "-");
}

static void test_json_takes_any_bytes(void **state)
{
    (void)state;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    assert_string_equal(yyjson_mut_get_str(js(doc, "ok\xff")), "ok\xef\xbf\xbd");
    assert_true(yyjson_mut_get_real(js_cost(doc, 1200000, true)) == 0.0012);
    assert_true(yyjson_mut_is_null(js_cost(doc, 0, false)));
    assert_true(yyjson_mut_is_null(js(doc, NULL)));
    assert_true(yyjson_mut_is_null(js_time(doc, 0)));
    yyjson_mut_doc_free(doc);
}

/* ---- subtitles ---- */

static const struct segment_row segments[] = {
    {.start_ms = 0, .end_ms = 1500, .speaker = "", .text = "Hello & <b>welcome</b>"},
    {.start_ms = 3661001, .end_ms = 3661001, .speaker = "Ann", .text = "A --> B\n\nnot a cue"},
};

static char *written(int (*row)(void *, const struct segment_row *), bool draft, bool plain)
{
    char *text = NULL;
    size_t length;
    struct subtitle_writer w = {
        .out = open_memstream(&text, &length), .draft = draft, .plain = plain};
    subtitles_begin(&w, row);
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++)
        assert_int_equal(row(&w, &segments[i]), 0);
    fclose(w.out);
    return text;
}

static void is_written(int (*row)(void *, const struct segment_row *), bool draft, bool plain,
                       const char *expected)
{
    char *text = written(row, draft, plain);
    assert_string_equal(text, expected);
    free(text);
}

static void test_srt(void **state)
{
    (void)state;
    is_written(subtitles_srt, true, false,
               "1\n00:00:00,000 --> 00:00:01,500\nHello & <b>welcome</b>\n\n"
               "2\n01:01:01,001 --> 01:01:01,002\nAnn: A -> B  not a cue\n");
}

static void test_vtt(void **state)
{
    (void)state;
    is_written(subtitles_vtt, true, false,
               "WEBVTT\n\nNOTE draft transcript\n\n"
               "00:00:00.000 --> 00:00:01.500\nHello &amp; &lt;b&gt;welcome&lt;/b&gt;\n\n"
               "01:01:01.001 --> 01:01:01.002\n<v Ann>A --&gt; B  not a cue\n");
}

static void test_txt(void **state)
{
    (void)state;
    is_written(subtitles_txt, false, true, "Hello & <b>welcome</b>\nA --> B  not a cue\n");
    is_written(subtitles_txt, true, false,
               "[draft transcript]\n   0:00  Hello & <b>welcome</b>\n"
               "1:01:01  Ann: A --> B  not a cue\n");
}

static void test_labels(void **state)
{
    (void)state;
    static const struct {
        bool draft, incomplete;
        const char *txt, *vtt;
    } rows[] = {
        {false, false, "", "WEBVTT\n\n"},
        {false, true, "[incomplete transcript]\n", "WEBVTT\n\nNOTE incomplete transcript\n\n"},
        {true, true, "[draft, incomplete transcript]\n",
         "WEBVTT\n\nNOTE draft, incomplete transcript\n\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int vtt = 0; vtt < 2; vtt++) {
            char *text = NULL;
            size_t length;
            struct subtitle_writer w = {.out = open_memstream(&text, &length),
                                        .draft = rows[i].draft,
                                        .incomplete = rows[i].incomplete};
            subtitles_begin(&w, vtt ? subtitles_vtt : subtitles_txt);
            fclose(w.out);
            assert_string_equal(text, vtt ? rows[i].vtt : rows[i].txt);
            free(text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_reaches_the_terminal_but_text, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_columns_not_bytes, setup, teardown),
        cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_numbers_for_people),
        cmocka_unit_test(test_json_takes_any_bytes),
        cmocka_unit_test(test_srt),
        cmocka_unit_test(test_vtt),
        cmocka_unit_test(test_txt),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
