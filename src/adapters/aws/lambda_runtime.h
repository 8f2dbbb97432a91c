/*
 * lambda_runtime.h - the client's side of the AWS Lambda Runtime API, version 2018-06-01: how a
 * custom runtime gets its invocations and answers them.
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. One invocation at a time, from
 * one thread. Once one is answered the whole process may stand still until the next one comes.
 */
#ifndef AEGIS_ADAPTERS_AWS_LAMBDA_RUNTIME_H
#define AEGIS_ADAPTERS_AWS_LAMBDA_RUNTIME_H

#include <stdint.h>

#include "shared/cancel.h"
#include "shared/error.h"
#include "shared/http.h"

struct lambda_runtime;

enum { LAMBDA_ID_TEXT = 64, LAMBDA_ARN_TEXT = 512, LAMBDA_TRACE_TEXT = 1024 };

struct lambda_invocation {
    char request_id[LAMBDA_ID_TEXT];
    char function_arn[LAMBDA_ARN_TEXT]; /* with the version or alias that was invoked */
    char trace[LAMBDA_TRACE_TEXT];      /* X-Ray's header; "" if none */
    int64_t deadline_ms;                /* Unix time at which Lambda kills the process */
    struct http_response response;      /* its body is the payload, at most CAP_LAMBDA_PAYLOAD */
};

/* `endpoint` ("host:port"; NULL: AWS_LAMBDA_RUNTIME_API) is copied, `http` borrowed. ERR_INVALID if
 * there is no endpoint. Does not connect. */
int lambda_runtime_open(struct http_engine *http, const char *endpoint,
                        struct lambda_runtime **out);
void lambda_runtime_close(struct lambda_runtime *runtime); /* NULL is fine */

/*
 * Waits for the next invocation, for as long as it takes. Its trace header is in *out alone: the
 * variable _X_AMZN_TRACE_ID is for AWS's own SDKs, and to set it while other threads (curl's, on
 * their way to a proxy) read the environment would not be safe. Free *out in any case.
 * ERR_CANCELLED; ERR_TOO_LARGE (the payload: the invocation must still be answered); ERR_SYSTEMIC
 * "lambda_runtime" (not answered as documented: the process should exit); what http_perform
 * returns.
 */
int lambda_runtime_next(struct lambda_runtime *runtime, const struct cancel *cancel,
                        struct lambda_invocation *out);
void lambda_invocation_free(struct lambda_invocation *invocation);

/*
 * Each answers an invocation and ends it. ERR_TOO_LARGE: the answer is larger than
 * CAP_LAMBDA_RESPONSE, the invocation waits for another one. ERR_CONFLICT: refused, as of one whose
 * deadline has passed; the next can be asked for. ERR_SYSTEMIC "lambda_runtime": the process should
 * exit. Blocking; not cancellable, because an answer that is ready must arrive.
 */
int lambda_runtime_respond(struct lambda_runtime *runtime,
                           const struct lambda_invocation *invocation, const char *json,
                           size_t length);
int lambda_runtime_fail(struct lambda_runtime *runtime, const struct lambda_invocation *invocation,
                        const struct error *why);

/* Tells that the process cannot start to work; it should exit then. Errors as above. */
int lambda_runtime_fail_init(struct lambda_runtime *runtime, const struct error *why);

#endif
