#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/error.h"

static void formats_and_parses(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } table[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {1772366400123, "2026-03-01T12:00:00.123Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {4102444799999, "2099-12-31T23:59:59.999Z"},
        {-60836659200000, "0042-03-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    char text[CLOCK_TEXT];
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_string_equal(clock_format(table[i].ms, text), table[i].text);
        assert_int_equal(clock_parse(table[i].text, &ms), OK);
        assert_int_equal(ms, table[i].ms);
    }
    assert_string_equal(clock_format(INT64_MAX, text), "invalid-time");
    assert_string_equal(clock_format(INT64_MIN, text), "invalid-time");
}

static void parses_what_rfc_3339_allows(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {
        {"2026-03-01", 1772323200000},
        {"2026-03-01T12:00:00Z", 1772366400000},
        {"2026-03-01t12:00:00z", 1772366400000},
        {"2026-03-01 12:00:00Z", 1772366400000},
        {"2026-03-01T12:00:00", 1772366400000},
        {"2026-03-01T12:00:00.5Z", 1772366400500},
        {"2026-03-01T12:00:00.123456789Z", 1772366400123},
        {"2026-03-01T12:00:00.9999Z", 1772366400999},
        {"2026-03-01T13:30:00+01:30", 1772366400000},
        {"2026-03-01T07:00:00.25-05:00", 1772366400250},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2024-02-29", 1709164800000},
    };
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (clock_parse(table[i].text, &ms))
            fail_msg("'%s' was refused", table[i].text);
        assert_int_equal(ms, table[i].ms);
    }
}

static void refuses_everything_else(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-03",
        "2026-3-1",
        "2026-13-01",
        "2026-00-01",
        "2026-02-29",
        "2100-02-29",
        "2026-04-31",
        "2026-03-00",
        "-026-03-01",
        " 2026-03-01",
        "2026-03-01 ",
        "2026-03-01T",
        "2026-03-01T12",
        "2026-03-01T12:00",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:61Z",
        "2026-03-01T1:00:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00ZZ",
        "2026-03-01T12:00:00+1:00",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00+01:60",
        "2026-03-01T12:00:00+0100",
        "2026-03-01x12:00:00Z",
        "yesterday",
    };
    int64_t ms = 7;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (clock_parse(texts[i], &ms) != ERR_INVALID)
            fail_msg("'%s' was taken", texts[i]);
        assert_int_equal(ms, 7);
    }
}

static void formats_positions(void **state)
{
    char text[CLOCK_TEXT];
    (void)state;
    assert_string_equal(clock_format_position(0, text), "0:00");
    assert_string_equal(clock_format_position(187999, text), "3:07");
    assert_string_equal(clock_format_position(3599999, text), "59:59");
    assert_string_equal(clock_format_position(3723000, text), "1:02:03");
    assert_string_equal(clock_format_position(360000000, text), "100:00:00");
    assert_string_equal(clock_format_position(-5, text), "0:00");
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    int64_t last = clock_monotonic_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_monotonic_us();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_monotonic_ms() >= last / 1000);
    assert_true(clock_now(clock_system()) > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_parses),
        cmocka_unit_test(parses_what_rfc_3339_allows),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(formats_positions),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
