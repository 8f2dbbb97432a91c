/* pg_test.h - what the tests of pg.h share: a fixture, a pool on it, and assertions on errors. */
#ifndef AEGIS_TESTS_PG_TEST_H
#define AEGIS_TESTS_PG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/pg.h"
#include "support/pg_fixture.h"

static struct pg_fixture fixture;
static struct pg_pool *pool;

static inline struct pg *take(void)
{
    struct pg *c;
    if (pg_acquire(pool, 10000, NULL, &c))
        fail_msg("%s", error_last()->message);
    return c;
}

static inline void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

static inline void fails(int rc, int code, const char *reason)
{
    assert_int_equal(rc, code);
    assert_int_equal(error_last()->code, code);
    assert_string_equal(error_last()->reason, reason);
    assert_null(strchr(error_last()->message, '\n'));
    assert_non_null(strstr(error_last()->message, fixture.name));
}

static inline int set_up(void **state)
{
    (void)state;
    pg_fixture_open(&fixture);
    return pg_pool_open(fixture.url, NULL, &pool);
}

static inline int tear_down(void **state)
{
    (void)state;
    pg_pool_close(pool);
    pg_fixture_close(&fixture);
    return 0;
}

#endif
