/* float32 <-> binary16: every half survives the round trip; rounding is to nearest, ties to even.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "database/vector_half.h"

static uint16_t one(float x)
{
    float in[8] = {x, x, x, x, x, x, x, x};
    uint16_t out[9];
    half_from_floats(in, 8, out); /* by hardware where there is any */
    half_from_floats(in, 1, out + 8);
    assert_int_equal(out[0], out[8]); /* by the portable code */
    return out[0];
}

static void every_half_survives(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        uint16_t in[8], back;
        float wide[8], narrow;
        for (int i = 0; i < 8; i++)
            in[i] = (uint16_t)h;
        half_to_floats(in, 8, wide);
        half_to_floats(in, 1, &narrow);
        assert_memory_equal(&wide[0], &narrow, sizeof narrow);
        back = one(narrow);
        if (isnan(narrow))
            assert_int_equal(back, h | 0x200); /* quiet */
        else
            assert_int_equal(back, h);
    }
}

/* Between two neighbours: the middle goes to the even one, anything else to the nearer one. */
static void rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7bff; h++) {
        uint16_t pair[2] = {h, (uint16_t)(h + 1)};
        float f[2];
        half_to_floats(pair, 2, f);
        float middle = f[0] + (f[1] - f[0]) / 2; /* exact: 11 bits and one more */
        assert_int_equal(one(middle), h % 2 ? h + 1 : h);
        assert_int_equal(one(nextafterf(middle, 0)), h);
        assert_int_equal(one(nextafterf(middle, 1e9F)), h + 1);
        assert_int_equal(one(-nextafterf(middle, 1e9F)), 0x8000 | (h + 1));
    }
}

static void knows_the_special_values(void **state)
{
    (void)state;
    assert_int_equal(one(65504.0F), 0x7bff);
    assert_int_equal(one(65519.996F), 0x7bff);
    assert_int_equal(one(65520.0F), 0x7c00);
    assert_int_equal(one(INFINITY), 0x7c00);
    assert_int_equal(one(-INFINITY), 0xfc00);
    assert_int_equal(one(-0.0F), 0x8000);
    assert_int_equal(one(1e-30F), 0);
    assert_int_equal(one(1.0F), 0x3c00);
    assert_int_equal(one(5.9604645e-8F), 1);
    assert_true((one(NAN) & 0x7fff) > 0x7c00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(knows_the_special_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
