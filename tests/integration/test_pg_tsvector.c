/* A tsvector's binary form against a real server: what it makes of the same words as text. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "database/tsvector.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "support/pg_test.h"
#include "support/seed.h"

enum { ROUNDS = 50, MOST_WORDS = 600, VOCABULARY = 300, TEXT = 64 };

static unsigned seed;

/* Prefixes of each other, lengths around eight bytes, bytes above 127, many that differ only behind
 * their eighth byte. */
static void word(char out[TEXT])
{
    unsigned n = (unsigned)rand_r(&seed) % VOCABULARY;
    if (n % 2) {
        snprintf(out, TEXT, "beginning%u", n * n);
        return;
    }
    int length =
        snprintf(out, TEXT, "%s%.*s", n % 3 ? "w" : "\xc3\xa9", (int)(n % 12), "abcdefghijklm");
    snprintf(out + length, (size_t)(TEXT - length), "%s", n % 5 ? "" : "\xc3\xbc");
}

/* The same words in both forms. */
static void make(size_t words, enum tsvector_weight weight, struct tsvector *v, struct buffer *form,
                 struct buffer *text)
{
    size_t position = 0;
    char w[TEXT];
    buffer_clear(form);
    buffer_clear(text);
    tsvector_clear(v);
    for (size_t i = 0; i < words; i++) {
        position += 1 + (size_t)rand_r(&seed) % 3;
        word(w);
        ok(tsvector_add(v, w, strlen(w), position, weight));
        ok(buffer_printf(text, "'%s':%zu%s ", w, position, weight == WEIGHT_A ? "A" : ""));
    }
    ok(tsvector_write(v, form));
}

static struct pg_value form_of(const struct buffer *b)
{
    return P_TSVECTOR(b->data, b->length);
}

static void the_server_agrees(void **state)
{
    (void)state;
    struct buffer forms[2], texts[2];
    struct tsvector *v;
    struct pg *c = take();
    ok(tsvector_open(&v));
    for (int i = 0; i < 2; i++) {
        buffer_init(&forms[i], MIB(1));
        buffer_init(&texts[i], MIB(1));
    }
    for (int round = 0; round < ROUNDS; round++) {
        make((size_t)rand_r(&seed) % (MOST_WORDS / 10), WEIGHT_A, v, &forms[0], &texts[0]);
        make((size_t)rand_r(&seed) % MOST_WORDS, WEIGHT_D, v, &forms[1], &texts[1]);
        int64_t same = 0;
        ok(PG_NUMBER(c, &same, 0,
                     "SELECT (($1 = $3::text::tsvector)::int + "
                     "($2 = $4::text::tsvector)::int)::bigint",
                     form_of(&forms[0]), form_of(&forms[1]), P_TEXT(buffer_string(&texts[0])),
                     P_TEXT(buffer_string(&texts[1]))));
        assert_int_equal(same, 2);
    }
    for (int i = 0; i < 2; i++) {
        buffer_free(&forms[i]);
        buffer_free(&texts[i]);
    }
    tsvector_close(v);
    pg_release(c);
}

/* More positions, higher positions and more bytes than the server takes are left out. */
static void limits_are_the_servers(void **state)
{
    (void)state;
    struct buffer form;
    struct tsvector *v;
    struct pg *c = take();
    int64_t words = 0, positions = 0, last = 0;
    char w[600];
    memset(w, 'x', sizeof w);
    ok(tsvector_open(&v));
    buffer_init(&form, MIB(2));
    for (size_t i = 1; i <= 20000; i++) {
        ok(tsvector_add(v, "often", 5, i, WEIGHT_D));
        int at = snprintf(w, sizeof w, "%zu", i);
        w[at] = 'x';
        ok(tsvector_add(v, w, sizeof w, i, WEIGHT_D));
    }
    ok(tsvector_write(v, &form));
    ok(PG_NUMBER(c, &words, 0, "SELECT length($1)::bigint", form_of(&form)));
    ok(PG_NUMBER(c, &positions, 0,
                 "SELECT cardinality(positions)::bigint FROM unnest($1) WHERE lexeme = 'often'",
                 form_of(&form)));
    assert_int_equal(positions, TSVECTOR_POSITIONS);
    assert_true(words > 1600 && words < 1800);
    buffer_clear(&form);
    ok(tsvector_add(v, "a", 1, 16000, WEIGHT_D));
    ok(tsvector_add(v, "b", 1, 20000, WEIGHT_D));
    ok(tsvector_write(v, &form));
    ok(PG_NUMBER(c, &last, 0, "SELECT max(p)::bigint FROM unnest($1), unnest(positions) p",
                 form_of(&form)));
    assert_int_equal(last, TSVECTOR_LAST_POSITION);
    tsvector_close(v);
    buffer_free(&form);
    pg_release(c);
}

static void arrays_keep_their_order(void **state)
{
    (void)state;
    struct buffer form;
    struct tsvector *v;
    struct pg *c = take();
    int64_t right = 0;
    ok(tsvector_open(&v));
    buffer_init(&form, KIB(1));
    ok(tsvector_write(v, &form)); /* an empty one */
    size_t first = form.length;
    ok(tsvector_add(v, "word", 4, 1, WEIGHT_A));
    ok(tsvector_write(v, &form));
    const struct pg_bytes items[] = {
        {form.data, first}, {NULL, 0}, {form.data + first, form.length - first}};
    ok(PG_NUMBER(c, &right, 0,
                 "SELECT ($1[1] = '' AND $1[2] IS NULL AND $1[3] = 'word:1A' AND "
                 "cardinality($1) = 3 AND cardinality($2) = 0)::int::bigint",
                 P_TSVECTORS(items, 3), P_TSVECTORS(NULL, 0)));
    assert_int_equal(right, 1);
    tsvector_close(v);
    buffer_free(&form);
    pg_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_agrees),
        cmocka_unit_test(limits_are_the_servers),
        cmocka_unit_test(arrays_keep_their_order),
    };
    seed = test_seed();
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
