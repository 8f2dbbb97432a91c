#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/digest.h"
#include "shared/error.h"

static const char abc_sha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void known_answers(void **state)
{
    char text[DIGEST_TEXT];
    (void)state;
    struct digest d = digest_of("abc", 3); /* FIPS 180-4's example */
    digest_format(&d, text);
    assert_string_equal(text, abc_sha256);
    d = digest_of("", 0);
    digest_format(&d, text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void streams_give_the_same(void **state)
{
    char md5[33] = "", text[DIGEST_TEXT];
    (void)state;
    struct digest_stream *s = digest_begin(true);
    assert_non_null(s);
    digest_update(s, "a", 1);
    digest_update(s, "", 0);
    digest_update(s, "bc", 2);
    struct digest d = digest_end(s, md5);
    digest_format(&d, text);
    assert_string_equal(text, abc_sha256);
    assert_string_equal(md5, "900150983cd24fb0d6963f7d28e17f72"); /* RFC 1321's test suite */
    s = digest_begin(false);
    digest_update(s, "abc", 3);
    d = digest_end(s, md5);
    digest_format(&d, text);
    assert_string_equal(text, abc_sha256);
    assert_string_equal(md5, "900150983cd24fb0d6963f7d28e17f72"); /* not written */
    s = digest_begin(true);
    digest_update(s, "abc", 3);
    digest_end(s, NULL);
    digest_abort(digest_begin(true));
    digest_abort(NULL);
}

static void parses_what_it_formats(void **state)
{
    struct digest d, zero = {{0}};
    (void)state;
    assert_int_equal(digest_parse(abc_sha256, &d), OK);
    struct digest expected = digest_of("abc", 3);
    assert_true(digest_equal(&d, &expected));
    assert_true(digest_known(&d));
    assert_false(digest_known(&zero));
    assert_false(digest_equal(&d, &zero));
    assert_int_equal(digest_parse("", &d), ERR_INVALID);
    assert_int_equal(digest_parse("ba78", &d), ERR_INVALID);
    char text[DIGEST_TEXT + 1];
    strcpy(text, abc_sha256);
    text[10] = 'g';
    assert_int_equal(digest_parse(text, &d), ERR_INVALID);
    strcpy(text, abc_sha256);
    strcat(text, "0");
    assert_int_equal(digest_parse(text, &d), ERR_INVALID);
}

static void strings_are_told_apart(void **state)
{
    (void)state;
    struct digest a = digest_of_strings("ab", "c", NULL), b = digest_of_strings("a", "bc", NULL),
                  c = digest_of_strings("abc", NULL), d = digest_of_strings("abc", "", NULL),
                  again = digest_of_strings("ab", "c", NULL);
    assert_true(digest_equal(&a, &again));
    assert_false(digest_equal(&a, &b));
    assert_false(digest_equal(&b, &c));
    assert_false(digest_equal(&c, &d));
}

static void hex_goes_both_ways(void **state)
{
    unsigned char bytes[256], back[256];
    char text[513];
    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    hex_encode(bytes, sizeof bytes, text);
    assert_int_equal(strlen(text), 512);
    assert_true(hex_decode(text, sizeof back, back));
    assert_memory_equal(bytes, back, sizeof bytes);
    assert_true(hex_decode("FfaB", 2, back));
    assert_memory_equal(back, "\xff\xab", 2);
    assert_false(hex_decode("0", 1, back)); /* ends too early */
    assert_false(hex_decode("", 1, back));
    assert_false(hex_decode("0g", 1, back));
    assert_true(hex_decode("", 0, back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),          cmocka_unit_test(streams_give_the_same),
        cmocka_unit_test(parses_what_it_formats), cmocka_unit_test(strings_are_told_apart),
        cmocka_unit_test(hex_goes_both_ways),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
