#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/address.h"
#include "shared/error.h"

static void reads(const char *text, const char *expected)
{
    struct address a;
    char shown[ADDRESS_TEXT];
    if (address_parse(text, &a))
        fail_msg("'%s': %s", text, error_last()->message);
    assert_string_equal(expected, address_format(&a, shown));
}

static void without_an_address_it_is_this_machine_only(void **state)
{
    (void)state;
    reads(":9464", "127.0.0.1:9464");
    reads("localhost:80", "127.0.0.1:80");
    reads("127.0.0.1:0", "127.0.0.1:0");
    reads("0.0.0.0:65535", "0.0.0.0:65535");
    reads("[::1]:9464", "[::1]:9464");
    reads("[::]:9464", "[::]:9464");
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {"",         "9464",     "127.0.0.1",   ":",
                                        ":x",       ":65536",   "::1:9464",    "[127.0.0.1]:80",
                                        "[::1:80",  "a.b.c:80", "*:9464",      ":94 64",
                                        "[]:80",    ":-1",      "1.2.3.4:80:", ":00000080",
                                        "[::1]9464"};
    struct address a;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (address_parse(wrong[i], &a) != ERR_INVALID)
            fail_msg("'%s' is taken", wrong[i]);
}

static void a_taken_port_is_told(void **state)
{
    struct address any, bound;
    int first, second;
    (void)state;
    assert_int_equal(OK, address_parse(":0", &any));
    assert_int_equal(OK, address_listen(&any, &first, &bound));
    assert_int_equal(ERR_BUSY, address_listen(&bound, &second, NULL));
    assert_non_null(strstr(error_last()->message, "another process"));
    close(first);
}

static void everybodys_address_is_reached_by_the_loopback(void **state)
{
    struct address a, b;
    char shown[ADDRESS_TEXT];
    (void)state;
    assert_int_equal(OK, address_parse("0.0.0.0:9464", &a));
    address_reachable(&a, &b);
    assert_string_equal("127.0.0.1:9464", address_format(&b, shown));
    assert_int_equal(OK, address_parse("[::]:9464", &a));
    address_reachable(&a, &b);
    assert_string_equal("[::1]:9464", address_format(&b, shown));
    assert_int_equal(OK, address_parse("10.1.2.3:9464", &a));
    address_reachable(&a, &b);
    assert_string_equal("10.1.2.3:9464", address_format(&b, shown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_address_it_is_this_machine_only),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_taken_port_is_told),
        cmocka_unit_test(everybodys_address_is_reached_by_the_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
