#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/buffer.h"
#include "shared/error.h"

static void appends(void **state)
{
    struct buffer b;
    (void)state;
    buffer_init(&b, 100);
    assert_string_equal(buffer_string(&b), "");
    assert_int_equal(buffer_append(&b, NULL, 0), OK);
    assert_int_equal(buffer_append_string(&b, "one"), OK);
    assert_int_equal(buffer_append_char(&b, ','), OK);
    assert_int_equal(buffer_printf(&b, "%d%s", 2, "x"), OK);
    assert_int_equal(buffer_printf(&b, "%s", ""), OK);
    assert_int_equal(buffer_append(&b, "\0z", 2), OK);
    assert_int_equal(b.length, 8);
    assert_memory_equal(b.data, "one,2x\0z", 9);
    buffer_free(&b);
    buffer_free(&b);
    assert_string_equal(buffer_string(&b), "");
}

static void the_cap_is_exact(void **state)
{
    struct buffer b;
    (void)state;
    buffer_init(&b, 10);
    assert_int_equal(buffer_append(&b, "0123456789", 10), OK);
    assert_int_equal(buffer_append_char(&b, 'x'), ERR_TOO_LARGE);
    assert_int_equal(buffer_printf(&b, "%d", 1), ERR_TOO_LARGE);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX), ERR_TOO_LARGE);
    assert_string_equal(buffer_string(&b), "0123456789"); /* unchanged */
    assert_int_equal(buffer_append(&b, "", 0), OK);
    buffer_free(&b);
    buffer_init(&b, 0);
    assert_int_equal(buffer_append_char(&b, 'x'), ERR_TOO_LARGE);
    assert_int_equal(buffer_append(&b, "", 0), OK);
    buffer_free(&b);
}

static void grows_without_a_limit_that_overflows(void **state)
{
    struct buffer b;
    (void)state;
    buffer_init(&b, SIZE_MAX);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buffer_append_string(&b, "0123456789"), OK);
    assert_int_equal(b.length, 10000);
    assert_memory_equal(b.data + 9990, "0123456789", 11);
    buffer_free(&b);
}

static void reserves_room_to_read_into(void **state)
{
    struct buffer b;
    (void)state;
    buffer_init(&b, 1000);
    assert_int_equal(buffer_append_string(&b, "head"), OK);
    assert_int_equal(buffer_reserve(&b, 996), OK);
    assert_string_equal(buffer_string(&b), "head");
    memset(b.data + b.length, 'x', 996);
    b.length += 996;
    b.data[b.length] = '\0'; /* there is always room for it */
    assert_int_equal(strlen(b.data), 1000);
    buffer_free(&b);
}

static void clears_truncates_and_hands_over(void **state)
{
    struct buffer b;
    (void)state;
    buffer_init(&b, 1000);
    buffer_clear(&b);
    assert_null(buffer_take(&b));
    assert_int_equal(buffer_append_string(&b, "content"), OK);
    buffer_truncate(&b, 20);
    assert_string_equal(buffer_string(&b), "content");
    buffer_truncate(&b, 3);
    assert_string_equal(buffer_string(&b), "con");
    char *taken = buffer_take(&b);
    assert_string_equal(taken, "con");
    free(taken);
    assert_int_equal(b.length, 0);
    assert_int_equal(buffer_append_string(&b, "again"), OK);
    buffer_clear(&b);
    assert_string_equal(buffer_string(&b), "");
    assert_null(buffer_take(&b)); /* empty, though it had memory */
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(the_cap_is_exact),
        cmocka_unit_test(grows_without_a_limit_that_overflows),
        cmocka_unit_test(reserves_room_to_read_into),
        cmocka_unit_test(clears_truncates_and_hands_over),
    };
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
