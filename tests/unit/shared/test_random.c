#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/random.h"

static void bytes_are_all_written(void **state)
{
    unsigned char bytes[1000], seen[1000] = {0};
    (void)state;
    for (int round = 0; round < 20; round++) {
        memset(bytes, 0, sizeof bytes);
        random_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < sizeof seen; i++)
        assert_int_not_equal(seen[i], 0); /* once in 256^20 otherwise */
    random_bytes(bytes, 0);
}

static void below_is_below_and_uniform(void **state)
{
    int counts[7] = {0};
    (void)state;
    assert_int_equal(random_below(0), 0);
    assert_int_equal(random_below(1), 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t n = random_below(7);
        assert_true(n < 7);
        counts[n]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9300, 10700); /* seven standard deviations */
    bool high = false;
    for (int i = 0; i < 200; i++)
        high |= random_below(UINT64_MAX) >> 63;
    assert_true(high);
}

static void trace_ids_are_32_digits_and_differ(void **state)
{
    char a[TRACE_ID_TEXT], b[TRACE_ID_TEXT];
    (void)state;
    for (int i = 0; i < 100; i++) {
        random_trace_id(a);
        random_trace_id(b);
        assert_int_equal(strlen(a), 32);
        assert_int_equal(strspn(a, "0123456789abcdef"), 32);
        assert_int_not_equal(strspn(a, "0"), 32);
        assert_string_not_equal(a, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_all_written),
        cmocka_unit_test(below_is_below_and_uniform),
        cmocka_unit_test(trace_ids_are_32_digits_and_differ),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
