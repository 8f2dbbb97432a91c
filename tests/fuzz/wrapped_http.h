/*
 * wrapped_http.h - the HTTP engine of a fuzz target: every request is answered with the input. The
 * linker puts it in place of http_perform (--wrap).
 */
#ifndef AEGIS_TESTS_FUZZ_WRAPPED_HTTP_H
#define AEGIS_TESTS_FUZZ_WRAPPED_HTTP_H

#include <string.h>

#include "shared/caps.h"
#include "shared/http.h"

int __wrap_http_perform(struct http_engine *engine, const struct http_request *request,
                        const struct cancel *cancel, struct http_response *out);

static struct {
    int status;
    const char *head, *body;
    size_t head_length, body_length;
} wrapped_http;

/* From now on; false: the input is too short. Two bytes of status, header lines up to a zero byte,
 * the body. */
static bool wrapped_http_play(const uint8_t *data, size_t size)
{
    if (size < 2)
        return false;
    const char *head = (const char *)data + 2, *end = (const char *)data + size;
    const char *zero = memchr(head, '\0', size - 2);
    wrapped_http.status = data[0] & 1 ? 200 + data[1] % 7 : 200 + (data[0] << 8 | data[1]) % 400;
    wrapped_http.head = head;
    wrapped_http.head_length = (size_t)((zero ? zero : end) - head);
    wrapped_http.body = zero ? zero + 1 : end;
    wrapped_http.body_length = (size_t)(end - wrapped_http.body);
    return true;
}

int __wrap_http_perform(struct http_engine *engine, const struct http_request *request,
                        const struct cancel *cancel, struct http_response *out)
{
    (void)engine, (void)cancel;
    *out = (struct http_response){.status = wrapped_http.status};
    buffer_init(&out->body, request->max_response ? request->max_response : CAP_HTTP_RESPONSE);
    buffer_init(&out->header_block, CAP_HTTP_HEADERS);
    int rc = buffer_append(&out->header_block, wrapped_http.head, wrapped_http.head_length);
    return rc ? rc : buffer_append(&out->body, wrapped_http.body, wrapped_http.body_length);
}

#endif
