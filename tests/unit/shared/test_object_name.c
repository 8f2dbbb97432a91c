#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/object_name.h"

static void buckets(void **state)
{
    static const char *const good[] = {"media", "a", "a1", "my-talks.2026", "1a", "10.0.0", "a.b"};
    static const char *const bad[] = {"",   "Media", "my_talks", "-a",       "a-",  ".a",
                                      "a.", "a..b",  "a b",      "10.0.0.1", "a/b", "caf\xc3\xa9"};
    char name[CAP_BUCKET + 2];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (object_bucket_check(good[i]))
            fail_msg("'%s' was refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (object_bucket_check(bad[i]) != ERR_INVALID)
            fail_msg("'%s' was taken", bad[i]);
    memset(name, 'b', sizeof name - 1);
    name[CAP_BUCKET + 1] = '\0';
    assert_int_equal(object_bucket_check(name), ERR_INVALID);
    name[CAP_BUCKET] = '\0';
    assert_int_equal(object_bucket_check(name), OK);
}

static void keys(void **state)
{
    static const char *const good[] = {"a", "/", "..", "a b\n", "caf\xc3\xa9", "\xf0\x9f\x98\x80"};
    static const char *const bad[] = {"", "\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80"};
    char key[CAP_KEY + 2];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(object_key_check(good[i]), OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(object_key_check(bad[i]), ERR_INVALID);
    memset(key, 'k', sizeof key - 1);
    key[CAP_KEY + 1] = '\0';
    assert_int_equal(object_key_check(key), ERR_INVALID);
    key[CAP_KEY] = '\0';
    assert_int_equal(object_key_check(key), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests_name("object_name", tests, NULL, NULL);
}
