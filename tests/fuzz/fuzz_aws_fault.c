/*
 * What AWS services say of failure: a status, headers and a body of any bytes become a code, a
 * message and one line of text. Input: two bytes of status, header lines up to a zero byte, the
 * body.
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/fault.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check_fault(const struct http_response *reply)
{
    struct aws_fault fault;
    char message[AWS_MESSAGE_TEXT];
    fault_read(reply, &fault, message);
    REQUIRE(fault.status == reply->status);
    REQUIRE(memchr(fault.code, '\0', sizeof fault.code));
    REQUIRE(memchr(message, '\0', sizeof message) && !strpbrk(message, "\r\n"));
    int rc = fault_error(&fault, message, "'x'");
    REQUIRE(rc == ERR_TRANSIENT || rc == ERR_SYSTEMIC || rc == ERR_NOT_FOUND ||
            rc == ERR_CONFLICT || rc == ERR_INVALID);
    for (const char *p = error_last()->message; *p; p++)
        REQUIRE((unsigned char)*p >= 0x20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
    check_fault(&reply);
    http_response_free(&reply);
    return 0;
}
