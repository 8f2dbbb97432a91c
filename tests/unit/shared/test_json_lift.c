/* Long strings lifted out of JSON documents, and the list of model calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ports/model_provider.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/json_lift.h"

struct fixture {
    struct json_lifted lifted;
    json_t *root;
};

static int lift(struct fixture *f, const char *text)
{
    f->root = NULL;
    int rc = json_lift(text, strlen(text), 16, 4096, &f->lifted);
    return rc ? rc : json_lifted_parse(&f->lifted, "the document", &f->root);
}

static void drop(struct fixture *f)
{
    json_decref(f->root);
    json_lifted_free(&f->lifted);
}

static void check_string(struct fixture *f, const char *key, const char *expected)
{
    struct json_slice s;
    assert_true(json_lifted_string(&f->lifted, json_object_get(f->root, key), &s));
    assert_int_equal(s.length, strlen(expected));
    assert_memory_equal(s.text, expected, s.length);
}

static void test_long_strings_stay_where_they_are(void **state)
{
    (void)state;
    struct fixture f;
    const char *text = "{\"a\":\"short\",\"b\":\"0123456789abcdef\",\"c\":[1,\"x\"],"
                       "\"d\":\"a \\\"quoted\\\" word and \\\\\",\"e\":true}";
    assert_int_equal(lift(&f, text), 0);
    assert_int_equal(f.lifted.count, 2);
    check_string(&f, "a", "short");
    check_string(&f, "b", "0123456789abcdef");
    check_string(&f, "d", "a \\\"quoted\\\" word and \\\\");
    assert_false(f.lifted.strings[0].escaped);
    assert_true(f.lifted.strings[1].escaped);
    assert_ptr_equal(f.lifted.strings[0].text, strstr(text, "0123456789abcdef"));
    assert_int_equal(json_array_size(json_object_get(f.root, "c")), 2);
    struct json_slice s;
    assert_false(json_lifted_string(&f.lifted, json_object_get(f.root, "e"), &s));
    assert_false(json_lifted_string(&f.lifted, NULL, &s));
    drop(&f);
}

static void test_broken_documents_are_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "{\"a\":\"0123456789abcdef",
        "{\"a\":\"0123456789abcdef\\\"}",
        "{\"a\" \"0123456789abcdef\"}",
        "{\"0123456789abcdef\":1,}",
        "\"0123456789abcdef\" \"0123456789abcdef\"",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct fixture f;
        assert_int_equal(lift(&f, broken[i]), ERR_INVALID);
        drop(&f);
    }
}

/* A document may hold what looks like a stand-in: it gets its own text or nothing foreign. */
static void test_forged_stand_in(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(lift(&f, "{\"a\":\"\\u00019\",\"b\":\"\\u0001x\",\"c\":\"\\u0001\"}"), 0);
    check_string(&f, "a", "\0019");
    check_string(&f, "b", "\001x");
    check_string(&f, "c", "\001");
    drop(&f);
}

static void test_cap(void **state)
{
    (void)state;
    struct json_lifted lifted;
    assert_int_equal(json_lift("[1,2,3,4]", 9, 16, 8, &lifted), ERR_TOO_LARGE);
    json_lifted_free(&lifted);
}

/* What is lifted and put back reads as the parser reads it; what it refuses is not accepted. */
static void test_lifting_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool lifted;
    } table[] = {
        {"{\"a\":\"0123456789abcdef\",\"b\":[\"0123456789abcdef\",1]}", true},
        {"[\"\\\"quoted\\\" \\\\ \\/ \\b\\f\\n\\r\\t and more\"]", true},
        {"[\"caf\\u00e9 \\ud83d\\ude00 caf\xc3\xa9 0123456789\"]", true},
        {"[\"a NUL \\u0000 0123456789abcdef\"]", false},
        {"[\"half a pair \\ud83d 0123456789\"]", false},
        {"[\"half a pair \\ud83d\\u0041 0123456789\"]", false},
        {"[\"half a pair \\ude00 0123456789\"]", false},
        {"[\"cut 0123456789abcdef \\u12\"]", false},
        {"[\"no escape 0123456789 \\x41\"]", false},
        {"[\"a line\nbreak 0123456789abcdef\"]", false},
        {"[\"broken caf\xc3 0123456789abcdef\"]", false},
        {"{\"0123456789abcdef\":1}", false},
        {"[\"\\u00010\",\"0123456789abcdef\"]", false},
        {"[\"0123456789abcdef\"", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *text = table[i].text;
        json_t *lifted, *whole;
        assert_int_equal(json_parse_lifted(text, strlen(text), 16, &lifted), table[i].lifted);
        if (!lifted)
            continue;
        assert_int_equal(json_parse_whole(text, strlen(text), "it", &whole), 0);
        assert_true(json_equal(lifted, whole));
        json_decref(lifted);
        json_decref(whole);
    }
}

static void test_validity(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } table[] = {
        {"plain text", true},    {"caf\xc3\xa9", true}, {"caf\xc3", false}, {"line\nbreak", false},
        {"\\n\\t\\u00e9", true}, {"\\x41", false},      {"\\u12g4", false}, {"\\", false},
        {"\\\\", true},          {"a\\\\u12", true},    {"\\u12", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct json_slice s = {table[i].text, strlen(table[i].text),
                               strchr(table[i].text, '\\') != NULL};
        assert_int_equal(json_lifted_valid(&s), table[i].valid);
    }
}

static void test_model_calls_grow(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct model_calls calls = {.arena = &arena};
    for (int i = 0; i < 100; i++) {
        struct model_call call = {.input_tokens = i};
        assert_int_equal(model_calls_add(&calls, &call), 0);
    }
    assert_int_equal(calls.count, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(calls.items[i].input_tokens, i);
    arena_free(&arena);

    arena_init(&arena, 16);
    calls = (struct model_calls){.arena = &arena};
    assert_int_equal(model_calls_add(&calls, &(struct model_call){0}), ERR_NO_MEMORY);
    assert_int_equal(calls.count, 0);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_strings_stay_where_they_are),
        cmocka_unit_test(test_broken_documents_are_refused),
        cmocka_unit_test(test_forged_stand_in),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_lifting_changes_nothing),
        cmocka_unit_test(test_validity),
        cmocka_unit_test(test_model_calls_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
