/*
 * What gives AWS credentials from outside: an answer of STS (XML), of an endpoint (JSON), the
 * shared files (INI). The first byte picks the reader; what it accepts has to keep its promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/caps.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void expect_text(const char *text, size_t capacity)
{
    REQUIRE(strnlen(text, capacity) < capacity);
}

static void expect_credential(const struct aws_credential *c)
{
    expect_text(c->access_key_id, sizeof c->access_key_id);
    expect_text(c->secret_access_key, sizeof c->secret_access_key);
    expect_text(c->session_token, sizeof c->session_token);
    REQUIRE(c->expires_ms > 0);
}

static void sts(const char *text, size_t length)
{
    struct aws_sts_answer a;
    if (aws_read_sts(text, length, &a)) {
        REQUIRE(error_last()->message[0]);
        return;
    }
    expect_text(a.code, sizeof a.code);
    expect_text(a.message, sizeof a.message);
    if (!*a.code)
        expect_credential(&a.credential);
}

static void endpoint(const char *text, size_t length)
{
    struct buffer body;
    struct aws_credential c;
    buffer_init(&body, MIB(16));
    REQUIRE(buffer_append(&body, text, length) == OK);
    if (aws_read_endpoint(&body, &c))
        REQUIRE(error_last()->message[0]);
    else
        expect_credential(&c);
    buffer_free(&body);
}

static void profile(const char *text, size_t length, bool config)
{
    struct aws_profile *p = calloc(1, sizeof *p);
    REQUIRE(p);
    int rc = aws_profile_parse(text, length, "file", config, "x", p);
    REQUIRE(rc == OK || error_last()->message[0]);
    REQUIRE(p->found || (!*p->access_key_id && !*p->role_arn && !p->sso && !*p->region));
    expect_text(p->access_key_id, sizeof p->access_key_id);
    expect_text(p->session_token, sizeof p->session_token);
    expect_text(p->duration_seconds, sizeof p->duration_seconds);
    expect_text(p->role_arn, sizeof p->role_arn);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] % 4) {
    case 0:
        sts(text, size - 1);
        break;
    case 1:
        endpoint(text, size - 1);
        break;
    default:
        profile(text, size - 1, data[0] % 4 == 2);
        break;
    }
    return 0;
}
