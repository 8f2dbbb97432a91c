/* base64.h against OpenSSL's decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "shared/base64.h"
#include "shared/random.h"

enum { MOST = 100 };

static void decodes_every_length(void **state)
{
    (void)state;
    unsigned char bytes[3 * MOST], out[3 * MOST + 1];
    char text[4 * MOST + 1];
    for (size_t groups = 0; groups <= MOST; groups++) {
        random_bytes(bytes, sizeof bytes);
        EVP_EncodeBlock((unsigned char *)text, bytes, (int)(3 * groups));
        out[3 * groups] = 0xa5;
        assert_true(base64_groups(text, groups, out));
        if (memcmp(out, bytes, 3 * groups))
            fail_msg("%zu groups: '%s' came out differently", groups, text);
        assert_int_equal(out[3 * groups], 0xa5); /* nothing is written behind */
    }
}

/* Each byte at each place of what a vector holds, and behind it. */
static void takes_digits_and_nothing_else(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char out[3 * 20];
    char text[4 * 20];
    for (size_t at = 0; at < sizeof text; at++)
        for (int c = 0; c < 256; c++) {
            memset(text, 'A', sizeof text);
            text[at] = (char)c;
            const char *digit = c ? strchr(alphabet, c) : NULL;
            if (base64_groups(text, 20, out) != (digit != NULL))
                fail_msg("byte %d at %zu", c, at);
            if (digit) {
                uint32_t group = (uint32_t)out[at / 4 * 3] << 16 |
                                 (uint32_t)out[at / 4 * 3 + 1] << 8 | out[at / 4 * 3 + 2];
                assert_int_equal(group, (digit - alphabet) << (18 - 6 * (at % 4)));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_every_length),
        cmocka_unit_test(takes_digits_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
