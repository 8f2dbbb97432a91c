/*
 * The AWS client against any status, headers and body: dates, waits and codes that services say.
 * Input: two bytes of status, header lines up to a zero byte, the body.
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/client.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "wrapped_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int aws_credentials_get(struct aws_credentials *c, const struct cancel *cancel,
                        struct aws_credential *out)
{
    (void)c, (void)cancel;
    *out = (struct aws_credential){.access_key_id = "AKIDEXAMPLE", .secret_access_key = "secret"};
    return OK;
}

void aws_credentials_refused(struct aws_credentials *c, const struct aws_credential *refused)
{
    (void)c, (void)refused;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aws_client *client;
    struct http_response response;
    struct aws_fault fault;
    struct aws_request request = {.method = "GET", .no_retry = true};
    struct aws_client_options options = {
        .clock = clock_system(), .service = "s3", .region = "eu-central-1"};
    if (!wrapped_http_play(data, size))
        return 0;
    REQUIRE(!aws_client_open(&options, &client));
    for (int i = 0; i < 2; i++) { /* the second may be signed with what the first learned */
        int rc = aws_perform(client, &request, NULL, &response, &fault);
        REQUIRE((rc == OK) == (response.status / 100 == 2));
        REQUIRE(rc == OK || error_last()->message[0]);
        REQUIRE(rc == OK || error_last()->retry_after_ms <= 20000);
        http_response_free(&response);
    }
    aws_client_close(client);
    return 0;
}
