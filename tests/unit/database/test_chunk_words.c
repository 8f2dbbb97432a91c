#include "database/postgres_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/pg.h"

static unsigned get(const unsigned char **p, int bytes)
{
    unsigned n = 0;
    while (bytes-- > 0)
        n = n << 8 | *(*p)++;
    return n;
}

/* A tsvector's binary form as the server prints it, with a blank behind each lexeme. */
static void print(struct pg_bytes vector, struct buffer *out)
{
    const unsigned char *p = vector.data, *end = p + vector.length;
    const char *before = "";
    for (unsigned left = get(&p, 4); left; left--) {
        const char *lexeme = (const char *)p;
        assert_true(strcmp(before, lexeme) < 0); /* else the server sorts */
        p += strlen(lexeme) + 1;
        unsigned positions = get(&p, 2);
        buffer_printf(out, "'%s':", lexeme);
        for (unsigned i = 0; i < positions; i++) {
            unsigned place = get(&p, 2);
            buffer_printf(out, "%s%u%s", i ? "," : "", place & TSVECTOR_LAST_POSITION,
                          place >> 14 == WEIGHT_A ? "A" : "");
        }
        buffer_append_char(out, ' ');
        before = lexeme;
    }
    assert_ptr_equal(p, end);
}

static struct pg_bytes bytes_of(const struct buffer *b)
{
    return (struct pg_bytes){b->data, b->length};
}

static const char *printed(struct pg_bytes vector)
{
    static char kept[4096];
    struct buffer text;
    buffer_init(&text, KIB(64));
    print(vector, &text);
    snprintf(kept, sizeof kept, "%s", buffer_string(&text));
    buffer_free(&text);
    return kept;
}

static const char *passage(const char *language, const char *heading, const char *text)
{
    struct words_pool pool;
    struct passage_words *w;
    struct buffer b;
    words_pool_init(&pool);
    buffer_init(&b, KIB(64));
    for (int known = 0; known < 2; known++) {
        buffer_clear(&b);
        assert_int_equal(words_pool_take(&pool, language, &w), 0);
        assert_int_equal(passage_words_write(w, heading, text, strlen(text), &b), 0);
        words_pool_give(&pool, w);
    }
    words_pool_free(&pool);
    const char *out = printed(bytes_of(&b));
    buffer_free(&b);
    return out;
}

static const char *query(const char *const *languages, size_t count, const char *term)
{
    static char kept[4096];
    struct query_words *q;
    struct buffer b;
    bool empty;
    buffer_init(&b, KIB(64));
    assert_int_equal(query_words_open(languages, count, &q), 0);
    assert_int_equal(query_words_write(q, QUERY_ANY, term, strlen(term), &b, &empty), 0);
    assert_int_equal(empty, b.length == 0);
    query_words_close(q);
    strncpy(kept, buffer_string(&b), sizeof kept - 1);
    buffer_free(&b);
    return kept;
}

static void words_are_folded_unaccented_and_stemmed(void **state)
{
    (void)state;
    assert_string_equal(passage("", "", "The RUNNING Éclairs"), "'eclair':4 'run':3 'the':2 ");
    assert_string_equal(passage("en", "", "running"), "'run':2 ");
    assert_string_equal(passage("", "", ""), "");
    assert_string_equal(passage("", "", "... !?"), "");
}

static void what_joins_words_splits_them(void **state)
{
    (void)state;
    assert_string_equal(passage("", "", "talks/keynote-2026.mp3"),
                        "'2026':4 'keynot':3 'mp3':5 'talk':2 ");
    assert_string_equal(passage("", "", "a.b don't x_y"), "'a':2 'b':3 'don':4 't':5 'x':6 'y':7 ");
}

/* Wherever in a word it stands: eight bytes are looked at at once. */
static void letters_and_digits_make_a_word(void **state)
{
    (void)state;
    for (int c = 1; c < 0x80; c++)
        for (int at = 1; at < 11; at++) {
            char text[] = "xxxxxxxxxxxx zzzzzzzzzzzzzzzzzzzz";
            bool letter =
                (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            text[at] = (char)c;
            assert_non_null(strstr(passage("", "", text), letter ? "z':3 " : "z':4 "));
        }
}

static void a_heading_has_its_weight_and_a_gap_behind_it(void **state)
{
    (void)state;
    assert_string_equal(passage("", "Two words", "text"), "'text':4 'two':1A 'word':2A ");
}

static void a_language_adds_its_own_stems(void **state)
{
    (void)state;
    assert_string_equal(passage("de", "", "Häuser"), "'de/haus':2 'hauser':2 ");
    assert_string_equal(passage("xx", "", "Häuser"), "'hauser':2 ");
    assert_true(words_stemmed_apart("de"));
    assert_false(words_stemmed_apart("en"));
    assert_false(words_stemmed_apart(""));
    assert_false(words_stemmed_apart("german"));
}

static void queries_ask_for_any_stem(void **state)
{
    (void)state;
    const char *const languages[] = {"en", "de", "xx", ""};
    assert_string_equal(query(NULL, 0, "Running"), "(('run'))");
    assert_string_equal(query(languages, 4, "Haus"), "(('hau'|'de/haus'))");
    assert_string_equal(query(NULL, 0, "co-operate now"), "(('co')<->('oper')<->('now'))");
    assert_string_equal(query(NULL, 0, "?!"), "");
}

static void one_language_can_be_asked_alone(void **state)
{
    (void)state;
    const char *const languages[] = {"de"};
    struct query_words *q;
    struct buffer b;
    bool empty;
    buffer_init(&b, KIB(64));
    assert_int_equal(query_words_open(languages, 1, &q), 0);
    assert_int_equal(query_words_languages(q), 2);
    assert_int_equal(query_words_write(q, 0, "Haus", 4, &b, &empty), 0);
    assert_string_equal(buffer_string(&b), "(('hau'))");
    buffer_clear(&b);
    assert_int_equal(query_words_write(q, 1, "Haus", 4, &b, &empty), 0);
    assert_string_equal(buffer_string(&b), "(('de/haus'))");
    query_words_close(q);
    buffer_free(&b);
}

/* Compatibility forms unfold to spaces, which do not end the lexeme. */
static void what_unfolds_stays_one_lexeme(void **state)
{
    (void)state;
    const char *text = passage("", "", "\xef\xb7\xba"); /* U+FDFA: four Arabic words */
    assert_int_equal(text[0], '\'');
    assert_non_null(strchr(text, ' '));
    assert_true(strchr(text, ' ') < strstr(text, "':2 "));
    assert_null(strstr(passage("", "", "a\\b'c"), "\\"));
}

static void long_passages_and_queries_are_bounded(void **state)
{
    (void)state;
    size_t length = 100000;
    char *text = malloc(length + 1);
    struct words_pool pool;
    struct passage_words *w;
    struct query_words *q;
    struct buffer b;
    bool empty;
    words_pool_init(&pool);
    assert_non_null(text);
    for (size_t i = 0; i < length; i++)
        text[i] = i % 2 ? ' ' : 'x';
    text[length] = '\0';
    memcpy(text + 2 * 7997, "last but ", 9); /* the word before 8000, and two words */
    buffer_init(&b, PASSAGE_WORDS_BYTES);
    assert_int_equal(words_pool_take(&pool, "", &w), 0);
    assert_int_equal(passage_words_write(w, "", text, length, &b), 0);
    assert_non_null(strstr(printed(bytes_of(&b)), "'last':7999 "));
    assert_non_null(strstr(printed(bytes_of(&b)), "'but':8000 "));
    assert_non_null(strstr(printed(bytes_of(&b)), "'x':2,3,4,"));
    assert_non_null(strstr(printed(bytes_of(&b)), ",256 ")); /* the 255th position */
    words_pool_give(&pool, w);
    words_pool_free(&pool);
    buffer_clear(&b);
    assert_int_equal(query_words_open(NULL, 0, &q), 0);
    assert_int_equal(query_words_write(q, QUERY_ANY, text, length, &b, &empty), 0);
    assert_int_equal(b.length, 64 * strlen("('x')") + 63 * strlen("<->") + 2);
    query_words_close(q);
    buffer_free(&b);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_folded_unaccented_and_stemmed),
        cmocka_unit_test(what_joins_words_splits_them),
        cmocka_unit_test(letters_and_digits_make_a_word),
        cmocka_unit_test(a_heading_has_its_weight_and_a_gap_behind_it),
        cmocka_unit_test(a_language_adds_its_own_stems),
        cmocka_unit_test(queries_ask_for_any_stem),
        cmocka_unit_test(one_language_can_be_asked_alone),
        cmocka_unit_test(what_unfolds_stays_one_lexeme),
        cmocka_unit_test(long_passages_and_queries_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
