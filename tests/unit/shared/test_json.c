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

static json_t *parse(const char *text)
{
    json_t *value;
    if (json_parse(text, strlen(text), "the text", &value))
        fail_msg("%s", error_last()->message);
    return value;
}

static void errors_name_the_place(void **state)
{
    json_t *value = (json_t *)1;
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
    json_t *value;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (json_parse(texts[i], strlen(texts[i]), "it", &value) != ERR_INVALID)
            fail_msg("'%s' was taken", texts[i]);
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    assert_int_equal(json_parse(deep, 100000, "it", &value), ERR_INVALID);
    free(deep);
}

static void paths_reach_members(void **state)
{
    (void)state;
    json_t *o = parse("{\"a\":{\"b\":{\"c\":\"x\"},\"n\":3,\"r\":2.5,\"t\":true},\"s\":[1]}");
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
    json_decref(o);
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
        json_error_t e;
        buffer_init(&out, 1000);
        snprintf(text, sizeof text, "a%sb", bad[i]);
        assert_int_equal(json_append_string(&out, text, strlen(text)), OK);
        json_t *value = json_loadb(out.data, out.length, JSON_DECODE_ANY, &e);
        if (!value)
            fail_msg("sequence %zu: %s", i, e.text);
        assert_non_null(strstr(json_string_value(value), "\xef\xbf\xbd"));
        assert_true(json_string_value(value)[0] == 'a');
        assert_true(json_string_value(value)[json_string_length(value) - 1] == 'b');
        json_decref(value);
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

static void dumps_into_the_arena(void **state)
{
    struct arena arena;
    (void)state;
    json_t *o = parse("{\"z\": 1, \"a\": [true, null, \"x\"]}");
    arena_init(&arena, 1000);
    assert_string_equal(json_text(o, &arena), "{\"z\":1,\"a\":[true,null,\"x\"]}");
    assert_string_equal(json_text(json_at(o, "z"), &arena), "1");
    arena_free(&arena);
    arena_init(&arena, 8);
    assert_null(json_text(o, &arena));
    assert_int_equal(error_last()->code, ERR_NO_MEMORY);
    arena_free(&arena);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(traps_are_refused),
        cmocka_unit_test(paths_reach_members),
        cmocka_unit_test(writes_strings),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(a_string_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(dumps_into_the_arena),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
