#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/late.h"
#include "shared/libxml.h"

/* libm is on every machine. */
double floor(double x);
double no_such_function(double x);

#define LIBM_FUNCTIONS(X)    X(floor)
#define LESS_FUNCTIONS(X)    X(floor) X(no_such_function)
#define NOWHERE_FUNCTIONS(X) X(floor)

LATE_LIBRARY(libm, LIBM_FUNCTIONS)
LATE_LIBRARY_DEFINE(libm, "libm.so.6", LIBM_FUNCTIONS)
LATE_LIBRARY(libless, LESS_FUNCTIONS)
LATE_LIBRARY_DEFINE(libless, "libm.so.6", LESS_FUNCTIONS)
LATE_LIBRARY(libnowhere, NOWHERE_FUNCTIONS)
LATE_LIBRARY_DEFINE(libnowhere, "libnowhere.so.1", NOWHERE_FUNCTIONS)

static void test_functions_are_there_once_loaded(void **state)
{
    (void)state;
    assert_null(libm.floor);
    assert_int_equal(libm_load(), OK);
    assert_true(libm.floor(3.5) == 3);
    assert_int_equal(libm_load(), OK);
}

static void test_a_missing_library_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(libnowhere_load(), ERR_SYSTEMIC);
        assert_string_equal(error_last()->reason, "library_missing");
        assert_non_null(strstr(error_last()->message, "'libnowhere.so.1'"));
    }
}

static void test_a_missing_function_is_named(void **state)
{
    (void)state;
    assert_int_equal(libless_load(), ERR_SYSTEMIC);
    assert_non_null(strstr(error_last()->message, "no_such_function"));
}

static void *load(void *ctx)
{
    *(int *)ctx = libxml_load();
    return NULL;
}

static void test_many_may_load_at_once(void **state)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    int rcs[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load, &rcs[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(rcs[i], OK);
    }
    assert_non_null(libxml.xmlReaderForMemory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_are_there_once_loaded),
        cmocka_unit_test(test_a_missing_library_is_named),
        cmocka_unit_test(test_a_missing_function_is_named),
        cmocka_unit_test(test_many_may_load_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
