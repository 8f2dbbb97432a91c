#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/random.h"
#include "shared/retry.h"

static const struct retry_policy policy = {.base_ms = 1000, .cap_ms = 60000, .max_attempts = 8};

static void the_ceiling_doubles_up_to_the_cap(void **state)
{
    static const int64_t ceilings[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    (void)state;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(retry_delay(&policy, i + 1, -1, UINT64_MAX), ceilings[i]);
        assert_int_equal(retry_delay(&policy, i + 1, -1, 0), 0);
        assert_int_equal(retry_delay(&policy, i + 1, -1, UINT64_C(1) << 63), ceilings[i] / 2);
    }
    assert_int_equal(retry_delay(&policy, 1000000000, -1, UINT64_MAX), 60000);
    assert_int_equal(retry_delay(&policy, 0, -1, UINT64_MAX), 1000);
}

static void what_the_other_side_named_is_the_floor(void **state)
{
    static const struct {
        int64_t named, least, most;
    } table[] = {
        {0, 0, 0},
        {100, 100, 110},
        {5000, 5000, 5500},
        {20000, 20000, 21000},       /* a tenth would be two seconds */
        {3600000, 3600000, 3601000}, /* the policy's cap does not cut it */
        {86400000, 86400000, 86401000},
        {INT64_MAX, 86400000, 86401000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(retry_delay(&policy, 3, table[i].named, 0), table[i].least);
        assert_int_equal(retry_delay(&policy, 3, table[i].named, UINT64_MAX), table[i].most);
    }
}

static void extreme_policies_do_not_overflow(void **state)
{
    const struct retry_policy huge = {.base_ms = INT64_MAX / 2 + 1, .cap_ms = INT64_MAX};
    const struct retry_policy none = {.base_ms = 0, .cap_ms = 1000};
    const struct retry_policy wrong = {.base_ms = -5, .cap_ms = 1000};
    const struct retry_policy inverted = {.base_ms = 5000, .cap_ms = 1000};
    (void)state;
    assert_int_equal(retry_delay(&huge, 50, -1, UINT64_MAX), INT64_MAX);
    assert_int_equal(retry_delay(&none, INT32_MAX, -1, UINT64_MAX), 0);
    assert_int_equal(retry_delay(&wrong, 3, -1, UINT64_MAX), 0);
    assert_int_equal(retry_delay(&inverted, 1, -1, UINT64_MAX), 1000);
}

static void jitter_fills_the_whole_range(void **state)
{
    int tenths[10] = {0};
    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t word;
        random_bytes(&word, sizeof word);
        int64_t delay = retry_delay(&policy, 4, -1, word);
        assert_in_range(delay, 0, 8000);
        tenths[delay * 10 / 8001]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], 800, 1200); /* 1,000 each; 30 is one standard deviation */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ceiling_doubles_up_to_the_cap),
        cmocka_unit_test(what_the_other_side_named_is_the_floor),
        cmocka_unit_test(extreme_policies_do_not_overflow),
        cmocka_unit_test(jitter_fills_the_whole_range),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
