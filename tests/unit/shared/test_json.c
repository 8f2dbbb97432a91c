#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

static yyjson_doc *parse(const char *text)
{
    yyjson_doc *value;
    if (json_parse(text, strlen(text), "the text", &value))
        fail_msg("%s", error_last()->message);
    return value;
}

static void errors_name_the_place(void **state)
{
    yyjson_doc *value = (yyjson_doc *)1;
    (void)state;
    assert_int_equal(json_parse("{\n \"a\" 1}", 9, "the reply of 'x'", &value), ERR_INVALID);
    assert_null(value);
    assert_string_equal(error_last()->reason, "invalid_json");
    assert_non_null(strstr(error_last()->message, "the reply of 'x'"));
    assert_non_null(strstr(error_last()->message, "line 2"));
}

static void traps_are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "nul",
                                        "{\"a\":1,\"a\":2}",
                                        "[\"\\u0000\"]",
                                        "[\"\xff\"]",
                                        "[1] x",
                                        "[\"\\ud800\"]",
                                        "[1e999]"};
    yyjson_doc *value;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (json_parse(texts[i], strlen(texts[i]), "it", &value) != ERR_INVALID)
            fail_msg("'%s' was taken", texts[i]);
}

/* Both ways of parsing say the same code; the message of each is in `copied` and `placed`. */
static void refused_both_ways(const char *text, char copied[256], char placed[256])
{
    struct buffer body;
    yyjson_doc *value;
    buffer_init(&body, MIB(1));
    assert_int_equal(buffer_append_string(&body, text), OK);
    assert_int_equal(json_parse(text, strlen(text), "it", &value), ERR_INVALID);
    assert_null(value);
    snprintf(copied, 256, "%s", error_last()->message);
    assert_int_equal(json_parse_in_place(&body, "it", &value), ERR_INVALID);
    assert_null(value);
    snprintf(placed, 256, "%s", error_last()->message);
    buffer_free(&body);
}

/* A parser in place has undone escapes before it meets the error: lines cannot be counted then. */
static void positions_are_those_of_the_text(void **state)
{
    static const struct {
        const char *text, *line, *byte;
    } cases[] = {
        {"{\"a\":\"x\\ny\\nz\" 1}", "line 1, column 16", "byte 16"},
        {"{\"a\":\"x\\ny\",\n \"b\":1,\n \"b\":2}", "line 3, column 2", "byte 23"},
        {"[\"x\\ny\",\n\"\\u0000\"]", "line 2, column 1", "byte 10"},
    };
    char copied[256], placed[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refused_both_ways(cases[i].text, copied, placed);
        if (!strstr(copied, cases[i].line) || !strstr(placed, cases[i].byte))
            fail_msg("case %zu: '%s', '%s'", i, copied, placed);
    }
}

static char *nested(size_t levels, const char *open, const char *close)
{
    struct buffer text;
    buffer_init(&text, MIB(1));
    for (size_t i = 0; i < levels; i++)
        assert_int_equal(buffer_append_string(&text, open), OK);
    assert_int_equal(buffer_append_string(&text, "[]"), OK);
    for (size_t i = 0; i < levels; i++)
        assert_int_equal(buffer_append_string(&text, close), OK);
    return buffer_take(&text);
}

static void depth_is_capped(void **state)
{
    static const char *const wraps[][2] = {{"[", "]"}, {"[[],", ",{}]"}, {"{\"a\":", "}"}};
    char copied[256], placed[256];
    (void)state;
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++) {
        char *most = nested(CAP_JSON_DEPTH - 1, wraps[i][0], wraps[i][1]);
        char *more = nested(CAP_JSON_DEPTH, wraps[i][0], wraps[i][1]);
        char *far_more = nested(50000, wraps[i][0], wraps[i][1]);
        yyjson_doc_free(parse(most));
        refused_both_ways(more, copied, placed);
        assert_non_null(strstr(copied, "deep"));
        assert_non_null(strstr(placed, "deep"));
        refused_both_ways(far_more, copied, placed);
        free(most);
        free(more);
        free(far_more);
    }
}

/* Containers side by side are not inside each other. */
static void breadth_is_no_depth(void **state)
{
    struct buffer text;
    (void)state;
    buffer_init(&text, MIB(1));
    assert_int_equal(buffer_append_string(&text, "[0"), OK);
    for (int i = 0; i < 10 * CAP_JSON_DEPTH; i++)
        assert_int_equal(buffer_append_string(&text, ",[{}],{\"a\":[1,[]]}"), OK);
    assert_int_equal(buffer_append_char(&text, ']'), OK);
    yyjson_doc_free(parse(buffer_string(&text)));
    buffer_free(&text);
}

static void paths_reach_members(void **state)
{
    (void)state;
    yyjson_doc *o_doc =
        parse("{\"a\":{\"b\":{\"c\":\"x\"},\"n\":3,\"r\":2.5,\"t\":true},\"s\":[1]}");
    yyjson_val *o = yyjson_doc_get_root(o_doc);
    assert_string_equal(json_string_at(o, "a.b.c", "-"), "x");
    assert_string_equal(json_string_at(o, "a.b.d", "-"), "-");
    assert_string_equal(json_string_at(o, "a.n", "-"), "-"); /* of another type */
    assert_string_equal(json_string_at(o, "s.0", "-"), "-");
    assert_int_equal(json_int_at(o, "a.n", 9), 3);
    assert_int_equal(json_int_at(o, "a.r", 9), 9);
    assert_int_equal(json_int_at(o, "a.b.c.d.e", 9), 9);
    assert_true(json_number_at(o, "a.r", 0) == 2.5);
    assert_true(json_number_at(o, "a.n", 0) == 3);
    assert_ptr_equal(json_at(o, ""), o);
    assert_null(json_at(NULL, "a"));
    assert_null(json_at(o, "a..b"));
    yyjson_doc_free(o_doc);
}

static void assert_written(const char *text, size_t length, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 1000);
    assert_int_equal(json_append_string(&out, text, length), OK);
    assert_string_equal(buffer_string(&out), expected);
    buffer_free(&out);
}

static void writes_strings(void **state)
{
    (void)state;
    assert_written("", 0, "\"\"");
    assert_written("plain", 5, "\"plain\"");
    assert_written("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
    assert_written("\n\t\r\x01\x1f\0.", 7, "\"\\n\\t\\r\\u0001\\u001f\\u0000.\"");
    assert_written("caf\xc3\xa9 \xf0\x9f\x98\x80", 10, "\"caf\xc3\xa9 \xf0\x9f\x98\x80\"");
}

static void invalid_utf8_is_replaced(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe0\x80\x80",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[16];
        struct buffer out;
        buffer_init(&out, 1000);
        snprintf(text, sizeof text, "a%sb", bad[i]);
        assert_int_equal(json_append_string(&out, text, strlen(text)), OK);
        yyjson_doc *doc = yyjson_read(out.data, out.length, 0);
        yyjson_val *value = yyjson_doc_get_root(doc);
        if (!value)
            fail_msg("sequence %zu is not JSON", i);
        assert_non_null(strstr(yyjson_get_str(value), "\xef\xbf\xbd"));
        assert_true(yyjson_get_str(value)[0] == 'a');
        assert_true(yyjson_get_str(value)[yyjson_get_len(value) - 1] == 'b');
        yyjson_doc_free(doc);
        buffer_free(&out);
    }
    assert_written("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""); /* cut off by the length */
}

static void a_string_that_does_not_fit_leaves_nothing(void **state)
{
    struct buffer out;
    (void)state;
    for (size_t room = 0; room < 12; room++) {
        buffer_init(&out, 4 + room);
        assert_int_equal(buffer_append_string(&out, "head"), OK);
        assert_int_equal(json_append_string(&out, "ab\n\"cd\x01", 7), ERR_TOO_LARGE);
        assert_string_equal(buffer_string(&out), "head");
        buffer_free(&out);
    }
}

static void many_keys_are_told_apart(void **state)
{
    struct buffer text;
    yyjson_doc *doc;
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        buffer_init(&text, KIB(64));
        buffer_append_string(&text, "[{\"k\":0}, {");
        for (int i = 0; i < 1000; i++)
            assert_int_equal(buffer_printf(&text, "%s\"k%d\":%d", i ? "," : "", i, i), OK);
        buffer_append_string(&text, twice ? ",\"k77\":0}]" : "}]");
        assert_int_equal(json_parse(buffer_string(&text), text.length, "it", &doc),
                         twice ? ERR_INVALID : OK);
        yyjson_doc_free(doc);
        buffer_free(&text);
    }
}

static void parses_in_place(void **state)
{
    static const char text[] = "{\"a\":\"x\\/y\",\"b\":[1,2]}";
    (void)state;
    for (size_t room = 0; room < 8; room++) { /* with none left it is copied */
        struct buffer body;
        yyjson_doc *doc;
        buffer_init(&body, sizeof text + room);
        assert_int_equal(buffer_append_string(&body, text), OK);
        assert_int_equal(json_parse_in_place(&body, "it", &doc), OK);
        assert_string_equal(json_string_at(yyjson_doc_get_root(doc), "a", ""), "x/y");
        yyjson_doc_free(doc);
        buffer_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(traps_are_refused),
        cmocka_unit_test(positions_are_those_of_the_text),
        cmocka_unit_test(depth_is_capped),
        cmocka_unit_test(breadth_is_no_depth),
        cmocka_unit_test(paths_reach_members),
        cmocka_unit_test(writes_strings),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(a_string_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(many_keys_are_told_apart),
        cmocka_unit_test(parses_in_place),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
