/*
 * What the Runtime API hands over: any status, headers and payload. Input: two bytes of status,
 * header lines up to a zero byte, the payload.
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/lambda_runtime.h"
#include "shared/error.h"
#include "wrapped_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lambda_runtime *runtime;
    struct lambda_invocation i;
    if (!wrapped_http_play(data, size))
        return 0;
    REQUIRE(!lambda_runtime_open(NULL, "127.0.0.1:9001", &runtime));
    int rc = lambda_runtime_next(runtime, NULL, &i);
    if (!rc) {
        REQUIRE(i.request_id[0] && !strpbrk(i.request_id, "/?#%. \r\n"));
        REQUIRE(i.deadline_ms > 0);
        rc = lambda_runtime_respond(runtime, &i, "{}", 2);
        REQUIRE((rc == OK) == (i.response.status == 202) || i.response.status == 200);
    } else {
        REQUIRE(rc == ERR_SYSTEMIC && error_last()->message[0]);
    }
    lambda_invocation_free(&i);
    lambda_runtime_close(runtime);
    return 0;
}
