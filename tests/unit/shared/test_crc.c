/* crc.h: the check values of the catalogue, the definition, and pieces put together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/crc.h"
#include "support/seed.h"

static void has_the_catalogues_values(void **state)
{
    (void)state;
    /* https://reveng.sourceforge.io/crc-catalogue/all.htm, "check" */
    assert_int_equal(crc_of(CRC_32, "123456789", 9), 0xcbf43926);
    assert_int_equal(crc_of(CRC_32C, "123456789", 9), 0xe3069283);
    assert_true(crc_of(CRC_64_NVME, "123456789", 9) == UINT64_C(0xae8b14860a799888));
    for (int kind = 0; kind < CRC_KINDS; kind++)
        assert_int_equal(crc_of((enum crc_kind)kind, "", 0), 0);
}

/* A byte a time, by the definition. */
static uint64_t slowly(uint64_t polynomial, uint64_t ones, const unsigned char *bytes, size_t n)
{
    uint64_t crc = ones;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
    }
    return crc ^ ones;
}

static void agrees_with_the_definition_at_every_length(void **state)
{
    static const uint64_t polynomials[] = {0xedb88320, 0x82f63b78, 0x9a6c9329ac4bc9b5};
    static const uint64_t ones[] = {0xffffffff, 0xffffffff, UINT64_MAX};
    unsigned char bytes[80];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)rand();
    for (int kind = 0; kind < CRC_KINDS; kind++)
        for (size_t n = 0; n <= sizeof bytes; n++)
            assert_true(crc_of((enum crc_kind)kind, bytes, n) ==
                        slowly(polynomials[kind], ones[kind], bytes, n));
}

static void pieces_make_the_whole(void **state)
{
    unsigned char bytes[5000];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)rand();
    for (int kind = 0; kind < CRC_KINDS; kind++)
        for (int round = 0; round < 50; round++) {
            enum crc_kind k = (enum crc_kind)kind;
            size_t a = (size_t)rand() % sizeof bytes, b = a + (size_t)rand() % (sizeof bytes - a);
            uint64_t whole = crc_shift(k, crc_of(k, bytes + a, b - a), sizeof bytes - b) ^
                             crc_of(k, bytes + b, sizeof bytes - b) ^
                             crc_shift(k, crc_of(k, bytes, a), sizeof bytes - a);
            assert_true(whole == crc_of(k, bytes, sizeof bytes));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_catalogues_values),
        cmocka_unit_test(agrees_with_the_definition_at_every_length),
        cmocka_unit_test(pieces_make_the_whole),
    };
    srand(test_seed());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
