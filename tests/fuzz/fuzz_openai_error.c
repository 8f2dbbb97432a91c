/*
 * Error replies: a status, headers and a body of any bytes become one line of text that never holds
 * the key. Input: two bytes of status, header lines up to a zero byte, the body.
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check_line(const char *text)
{
    for (; *text; text++)
        REQUIRE((unsigned char)*text >= 0x20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint at = {
        .base_url = (char *)"http://h/v1", .api_key = (char *)"KEYKEYKEY", .model = (char *)"m"};
    struct http_response reply = {0};
    if (size < 2)
        return 0;
    const char *headers = (const char *)data + 2, *end = (const char *)data + size;
    const char *zero = memchr(headers, '\0', size - 2);
    const char *body = zero ? zero + 1 : end;
    buffer_init(&reply.body, 1 << 20);
    buffer_init(&reply.header_block, 1 << 20);
    reply.status = 300 + (data[0] << 8 | data[1]) % 300;
    buffer_append(&reply.header_block, headers, (size_t)((zero ? zero : end) - headers));
    buffer_append(&reply.body, body, (size_t)(end - body));
    int rc = error_of_reply(&at, "KEYKEYKEY", data[0] % MODEL_OPERATIONS, &reply, 1700000000000);
    REQUIRE(rc == ERR_TRANSIENT || rc == ERR_PERMANENT || rc == ERR_SYSTEMIC);
    REQUIRE(error_last()->reason[0]);
    REQUIRE(error_last()->retry_after_ms >= -1 && error_last()->retry_after_ms <= 86400000);
    REQUIRE(!strstr(error_last()->message, "KEYKEYKEY"));
    check_line(error_last()->message);
    http_response_free(&reply);
    return 0;
}
