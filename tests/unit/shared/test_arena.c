#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/arena.h"
#include "shared/error.h"

static void gives_zeroed_aligned_memory(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size); /* the next one must not overlap it */
        if (size > 2900)
            break;
        if (a.limit - a.used < 4000)
            arena_free(&a);
    }
    arena_free(&a);
}

static void allocations_do_not_overlap(void **state)
{
    enum { COUNT = 500 };
    static const size_t sizes[] = {1, 16, 40, 3000, 8192, 100000};
    struct arena a;
    unsigned char *p[COUNT];
    (void)state;
    arena_init(&a, 64 << 20);
    for (int i = 0; i < COUNT; i++) {
        p[i] = arena_alloc(&a, sizes[i % 6]);
        assert_non_null(p[i]);
        memset(p[i], i, sizes[i % 6]);
    }
    for (int i = 0; i < COUNT; i++)
        for (size_t k = 0; k < sizes[i % 6]; k++)
            assert_int_equal(p[i][k], i & 0xff);
    arena_free(&a);
}

static void the_cap_holds(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1000);
    assert_non_null(arena_alloc(&a, 900));
    assert_null(arena_alloc(&a, 200));
    assert_int_equal(error_last()->code, ERR_NO_MEMORY);
    assert_non_null(arena_alloc(&a, 64));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 900)); /* it can be used again */
    arena_free(&a);
}

static void sizes_that_overflow_are_refused(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    assert_int_equal(error_last()->code, ERR_NO_MEMORY);
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    assert_non_null(arena_array(&a, 0, 8));
    arena_free(&a);
}

static void copies_strings(void **state)
{
    struct arena a;
    char long_text[20000];
    (void)state;
    arena_init(&a, 1 << 20);
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_string_equal(arena_strdup(&a, "text"), "text");
    assert_null(arena_strdup(&a, NULL));
    assert_string_equal(arena_strndup(&a, "text", 2), "te");
    assert_null(arena_strndup(&a, NULL, 3));
    assert_string_equal(arena_printf(&a, "%d-%s", 5, "x"), "5-x");
    assert_int_equal(strlen(arena_printf(&a, "%s", long_text)), sizeof long_text - 1);
    arena_free(&a);
    arena_init(&a, 4);
    assert_null(arena_strdup(&a, "longer"));
    assert_null(arena_printf(&a, "%s", "longer"));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_memory),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(copies_strings),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
