/*
 * What Secrets Manager answers: any bytes, for a key and for a database. A value is one word, and
 * no error repeats a part of the answer. Input: the body.
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/secrets_manager.h"
#include "shared/caps.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const char *body;
static size_t body_length;

int aws_perform(struct aws_client *client, const struct aws_request *request,
                const struct cancel *cancel, struct http_response *out, struct aws_fault *fault)
{
    (void)client, (void)cancel;
    *fault = (struct aws_fault){0};
    *out = (struct http_response){.status = 200};
    buffer_init(&out->body, request->max_response);
    buffer_init(&out->header_block, 1);
    return buffer_append(&out->body, body, body_length);
}

const char *aws_client_endpoint(const struct aws_client *client)
{
    (void)client;
    return "https://secretsmanager.eu-central-1.amazonaws.com";
}

static void get(const struct secret_source *s, const char *name)
{
    char out[SECRET_TEXT];
    int rc = s->ops->get(s->ctx, name, out, sizeof out);
    if (!rc) {
        REQUIRE(*out && !strpbrk(out, " \t\r\n"));
        return;
    }
    REQUIRE(rc == ERR_SYSTEMIC || rc == ERR_NO_MEMORY);
    REQUIRE(strstr(error_last()->message, "secret 'aegis-ai/"));
    for (const char *p = error_last()->message; *p; p++)
        REQUIRE((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct secret_source source;
    struct secrets_manager_options options = {.openai_secret = "aegis-ai/key",
                                              .database_secret = "aegis-ai/database",
                                              .database = {.name = "d"}};
    body = (const char *)data;
    body_length = size;
    if (secrets_manager_open(&options, &source))
        return 0;
    get(&source, "openai_api_key");
    get(&source, "database_url");
    source.ops->close(source.ctx);
    return 0;
}
