/* pg.h against a real server: values to and from it. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "support/pg_test.h"

static void test_scalars(void **state)
{
    static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1234567890123};
    static const double reals[] = {0, -1.5, DBL_MAX, DBL_MIN, 1e-300};
    struct pg *c = take();
    struct pg_rows rows;
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ok(PG_QUERY(c, &rows, "SELECT $1, $1::text", P_INT(numbers[i])));
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)numbers[i]);
        assert_int_equal(pg_int(&rows, 0, 0), numbers[i]);
        assert_string_equal(pg_peek(&rows, 0, 1), text);
        pg_rows_free(&rows);
    }
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        ok(PG_QUERY(c, &rows, "SELECT $1", P_REAL(reals[i])));
        assert_true(pg_real(&rows, 0, 0) == reals[i]);
        pg_rows_free(&rows);
    }
    ok(PG_QUERY(c, &rows,
                "SELECT 1::int2, -2::int4, 'f'::bool, true, 1.25::float4, 7::oid, NULL::int8, "
                "$1::bool, $2::int8, $3::text",
                P_BOOL(true), P_NULL(PG_INT8), P_TEXT(NULL)));
    assert_int_equal(pg_int(&rows, 0, 0), 1);
    assert_int_equal(pg_int(&rows, 0, 1), -2);
    assert_int_equal(pg_int(&rows, 0, 2), 0);
    assert_int_equal(pg_int(&rows, 0, 3), 1);
    assert_true(pg_real(&rows, 0, 4) == 1.25);
    assert_int_equal(pg_int(&rows, 0, 5), 7);
    assert_true(pg_is_null(&rows, 0, 6));
    assert_int_equal(pg_int(&rows, 0, 6), 0);
    assert_int_equal(pg_int(&rows, 0, 7), 1);
    assert_true(pg_is_null(&rows, 0, 8));
    assert_true(pg_is_null(&rows, 0, 9));
    assert_string_equal(pg_peek(&rows, 0, 9), "");
    pg_rows_free(&rows);
    pg_release(c);
}

static void test_texts_and_bytes(void **state)
{
    static const char text[] = "gr\xc3\xbc\xc3\x9f dich, '\\\" \t\n \xf0\x9f\x8e\xb5";
    unsigned char bytes[256], back[256];
    struct pg *c = take();
    struct pg_rows rows;
    struct arena arena;
    char small[5];
    (void)state;
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    ok(PG_QUERY(c, &rows, "SELECT $1, $2, octet_length($2)::int8, $3, $4, length($4)::int8",
                P_TEXT(text), P_BYTES(bytes, 256), P_TEXTN("truncated here", 9), P_TEXT("")));
    assert_string_equal(pg_text(&rows, 0, 0, &arena), text);
    assert_true(pg_bytes(&rows, 0, 1, back, 256));
    assert_memory_equal(back, bytes, 256);
    assert_false(pg_bytes(&rows, 0, 1, back, 255));
    assert_int_equal(pg_int(&rows, 0, 2), 256);
    assert_string_equal(pg_peek(&rows, 0, 3), "truncated");
    pg_copy(&rows, 0, 3, small, sizeof small);
    assert_string_equal(small, "trun");
    assert_false(pg_is_null(&rows, 0, 4));
    assert_int_equal(pg_int(&rows, 0, 5), 0);
    assert_int_equal(pg_length(&rows, 0, 3), 9);
    pg_rows_free(&rows);
    arena_free(&arena);
    pg_release(c);
}

static void test_arrays(void **state)
{
    static const int64_t ints[] = {5, -6, INT64_MAX};
    static const double reals[] = {0.5, -2};
    static const char *const texts[] = {"one", NULL, "", "f\xc3\xbcnf"};
    static const struct pg_bytes byteas[] = {{"a\0b", 3}, {NULL, 0}, {"", 0}};
    static const struct pg_bytes cut[] = {{"onetwo", 3}, {NULL, 9}};
    struct pg *c = take();
    struct pg_rows rows;
    int64_t back[4];
    (void)state;
    ok(PG_QUERY(c, &rows,
                "SELECT $1, ($2)[2], $3 = ARRAY['one', NULL, '', 'f\xc3\xbcnf'], "
                "$4 = ARRAY['\\x610062', NULL, '\\x']::bytea[], $5 = ARRAY['one', NULL], "
                "cardinality($6)::int8, cardinality($7)::int8, ($1)[1]",
                P_INTS(ints, 3), P_REALS(reals, 2), P_TEXTS(texts, 4), P_BYTEAS(byteas, 3),
                P_TEXTNS(cut, 2), P_INTS(NULL, 0), P_TEXTS(NULL, 0)));
    assert_int_equal(pg_ints(&rows, 0, 0, back, 4), 3);
    assert_memory_equal(back, ints, sizeof ints);
    assert_int_equal(pg_ints(&rows, 0, 0, back, 1), 3);
    assert_true(pg_real(&rows, 0, 1) == -2);
    assert_int_equal(pg_int(&rows, 0, 2), 1);
    assert_int_equal(pg_int(&rows, 0, 3), 1);
    assert_int_equal(pg_int(&rows, 0, 4), 1);
    assert_int_equal(pg_int(&rows, 0, 5), 0);
    assert_int_equal(pg_int(&rows, 0, 6), 0);
    assert_int_equal(pg_int(&rows, 0, 7), 5);
    pg_rows_free(&rows);
    /* several columns at once, in order */
    ok(PG_QUERY(c, &rows,
                "SELECT * FROM unnest($1::int8[], $2::text[]) WITH ORDINALITY AS t(a, b, i)",
                P_INTS(ints, 3), P_TEXTS(texts, 4)));
    assert_int_equal(rows.count, 4);
    assert_int_equal(rows.affected, 4);
    assert_int_equal(pg_int(&rows, 1, 0), -6);
    assert_true(pg_is_null(&rows, 3, 0));
    assert_string_equal(pg_peek(&rows, 3, 1), texts[3]);
    pg_rows_free(&rows);
    ok(pg_query(c, &rows, "SELECT ARRAY[1, NULL, 3]::int8[], '{}'::int8[], NULL::int8[]", NULL, 0));
    assert_int_equal(pg_ints(&rows, 0, 0, back, 4), 3);
    assert_int_equal(back[1], 0);
    assert_int_equal(back[2], 3);
    assert_int_equal(pg_ints(&rows, 0, 1, back, 4), 0);
    assert_int_equal(pg_ints(&rows, 0, 2, back, 4), 0);
    pg_rows_free(&rows);
    pg_release(c);
}

static void test_vectors(void **state)
{
    enum { D = 1536, N = 3 };
    static float floats[N * D], floats_back[D];
    static uint16_t halves[N * D], halves_back[D];
    struct pg *c = take();
    struct pg_rows rows;
    (void)state;
    assert_true(pg_server(c)->vector_version >= 500);
    for (int i = 0; i < N * D; i++) {
        floats[i] = (float)sin(i) / 7;
        halves[i] = (uint16_t)(0x3000 + i % 0x800); /* 0.125 to 0.5 */
    }
    ok(PG_QUERY(c, &rows, "SELECT $1, vector_dims($1)::int8, $1 <=> $1", P_VECTOR(floats, D)));
    assert_true(pg_floats(&rows, 0, 0, floats_back, D));
    assert_memory_equal(floats, floats_back, sizeof floats_back);
    assert_false(pg_floats(&rows, 0, 0, floats_back, D - 1));
    assert_int_equal(pg_int(&rows, 0, 1), D);
    assert_true(fabs(pg_real(&rows, 0, 2)) < 1e-6);
    pg_rows_free(&rows);
    ok(PG_QUERY(c, &rows, "SELECT v, i FROM unnest($1::vector[]) WITH ORDINALITY AS t(v, i)",
                P_VECTORS(floats, N, D)));
    assert_int_equal(rows.count, N);
    assert_true(pg_floats(&rows, 2, 0, floats_back, D));
    assert_memory_equal(floats + 2 * D, floats_back, sizeof floats_back);
    pg_rows_free(&rows);
    if (pg_server(c)->has_halfvec) {
        ok(PG_QUERY(c, &rows, "SELECT $1, ($1::vector::real[])[1], ($1::vector::real[])[2]",
                    P_HALFVEC(halves, D)));
        assert_true(pg_halves(&rows, 0, 0, halves_back, D));
        assert_memory_equal(halves, halves_back, sizeof halves_back);
        assert_true(pg_real(&rows, 0, 1) == 0.125); /* 0x3000 */
        assert_true(pg_real(&rows, 0, 2) == 0.125 + 0.125 / 1024);
        pg_rows_free(&rows);
        ok(PG_QUERY(c, &rows, "SELECT v FROM unnest($1::halfvec[]) AS t(v)",
                    P_HALFVECS(halves, N, D)));
        assert_true(pg_halves(&rows, 1, 0, halves_back, D));
        assert_memory_equal(halves + D, halves_back, sizeof halves_back);
        pg_rows_free(&rows);
        ok(PG_QUERY(c, &rows, "SELECT v IS NULL FROM unnest($1::halfvec[]) AS t(v)",
                    P_HALFVECS(NULL, 2, D)));
        assert_int_equal(rows.count, 2);
        assert_int_equal(pg_int(&rows, 1, 0), 1);
        pg_rows_free(&rows);
    }
    fails(PG_RUN(c, "SELECT $1::vector(3)", P_VECTOR(floats, 4)), ERR_INVALID, "database_value");
    floats[1] = NAN;
    fails(PG_RUN(c, "SELECT $1::vector(4) + $1", P_VECTOR(floats, 4)), ERR_INVALID,
          "database_value");
    pg_release(c);
}

static void test_vectors_without_pgvector(void **state)
{
    static const float v[3];
    struct pg_fixture empty;
    struct pg_pool *other;
    struct pg *c;
    (void)state;
    pg_fixture_open_empty(&empty);
    ok(pg_pool_open(empty.url, NULL, &other));
    ok(pg_acquire(other, 5000, NULL, &c));
    assert_int_equal(pg_server(c)->vector_version, 0);
    assert_int_equal(PG_RUN(c, "SELECT $1", P_VECTOR(v, 3)), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_schema");
    assert_non_null(strstr(error_last()->message, "aegis db migrate"));
    pg_release(c);
    pg_pool_close(other);
    pg_fixture_close(&empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_texts_and_bytes),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_vectors_without_pgvector),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, set_up, tear_down);
}
