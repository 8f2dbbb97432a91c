#include "adapters/aws/lambda_runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/json.h"

enum { ENDPOINT_TEXT = 256, URL_TEXT = 512, TYPE_TEXT = 64, ERROR_BODY = 8192 };

struct lambda_runtime {
    struct http_engine *http;
    char base[ENDPOINT_TEXT + 64]; /* "http://127.0.0.1:9001/2018-06-01/runtime" */
};

int lambda_runtime_open(struct http_engine *http, const char *endpoint, struct lambda_runtime **out)
{
    const char *where = endpoint ? endpoint : getenv("AWS_LAMBDA_RUNTIME_API");
    *out = NULL;
    if (!where || !*where || strlen(where) >= ENDPOINT_TEXT)
        return error_set(ERR_INVALID, NULL,
                         "AWS_LAMBDA_RUNTIME_API does not name the runtime API ('host:port'): this "
                         "runs only where AWS Lambda starts it");
    struct lambda_runtime *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the Lambda runtime");
    r->http = http;
    snprintf(r->base, sizeof r->base, "http://%s/2018-06-01/runtime", where);
    *out = r;
    return OK;
}

void lambda_runtime_close(struct lambda_runtime *runtime)
{
    free(runtime);
}

/* ---- the next invocation ---- */

/* It becomes a part of a URL. */
static bool is_request_id(const char *id)
{
    return *id && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == strlen(id);
}

static int bad_reply(const char *what)
{
    return error_set(ERR_SYSTEMIC, "lambda_runtime",
                     "the Lambda runtime API's answer has no usable header '%s'", what);
}

static int read_headers(struct lambda_invocation *i)
{
    char deadline[32] = "", *end;
    const struct http_response *r = &i->response;
    if (!http_response_header(r, "lambda-runtime-aws-request-id", i->request_id,
                              sizeof i->request_id) ||
        !is_request_id(i->request_id))
        return bad_reply("Lambda-Runtime-Aws-Request-Id");
    if (!http_response_header(r, "lambda-runtime-deadline-ms", deadline, sizeof deadline))
        return bad_reply("Lambda-Runtime-Deadline-Ms");
    i->deadline_ms = strtoll(deadline, &end, 10);
    if (*end || i->deadline_ms <= 0)
        return bad_reply("Lambda-Runtime-Deadline-Ms");
    http_response_header(r, "lambda-runtime-invoked-function-arn", i->function_arn,
                         sizeof i->function_arn);
    http_response_header(r, "lambda-runtime-trace-id", i->trace, sizeof i->trace);
    return OK;
}

static int unexpected(const char *what, int status)
{
    return error_set(ERR_SYSTEMIC, "lambda_runtime",
                     "the Lambda runtime API answered '%s' with HTTP status %d", what, status);
}

int lambda_runtime_next(struct lambda_runtime *r, const struct cancel *cancel,
                        struct lambda_invocation *out)
{
    char url[URL_TEXT];
    snprintf(url, sizeof url, "%s/invocation/next", r->base);
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .idle_timeout_ms = -1,
                                   .timeout_ms = -1,
                                   .max_response = CAP_LAMBDA_PAYLOAD,
                                   .direct = true};
    *out = (struct lambda_invocation){0};
    int rc = http_perform(r->http, &request, cancel, &out->response);
    if (rc && rc != ERR_TOO_LARGE)
        return rc;
    if (out->response.status != 200)
        return unexpected("next", out->response.status);
    struct error large = *error_last();
    int bad = read_headers(out);
    if (bad)
        return bad;
    return rc ? error_restore(&large) : OK;
}

void lambda_invocation_free(struct lambda_invocation *invocation)
{
    http_response_free(&invocation->response);
}

/* ---- answers ---- */

static int judge(const char *what, int status)
{
    switch (status) {
    case 202:
        return OK;
    case 413:
        return error_set(ERR_TOO_LARGE, NULL, "the Lambda runtime API finds the answer too large");
    case 400:
    case 403:
    case 404:
    case 410:
        return error_set(ERR_CONFLICT, NULL,
                         "the Lambda runtime API refused '%s' with HTTP status %d; the "
                         "invocation's deadline may have passed",
                         what, status);
    default:
        return unexpected(what, status);
    }
}

static int post(struct lambda_runtime *r, const char *path, const char *error_type,
                const char *json, size_t length)
{
    char url[URL_TEXT];
    snprintf(url, sizeof url, "%s/%s", r->base, path);
    const struct http_header headers[] = {
        {"Content-Type", error_type ? "application/vnd.aws.lambda.error+json" : "application/json"},
        {"Lambda-Runtime-Function-Error-Type", error_type},
    };
    struct http_request request = {.method = "POST",
                                   .url = url,
                                   .headers = headers,
                                   .header_count = error_type ? 2 : 1,
                                   .body = json,
                                   .body_length = length,
                                   .direct = true};
    struct http_response response;
    int rc = http_perform(r->http, &request, NULL, &response);
    if (!rc)
        rc = judge(path, response.status);
    http_response_free(&response);
    return rc;
}

int lambda_runtime_respond(struct lambda_runtime *r, const struct lambda_invocation *i,
                           const char *json, size_t length)
{
    char path[LAMBDA_ID_TEXT + 32];
    if (length > CAP_LAMBDA_RESPONSE)
        return error_set(ERR_TOO_LARGE, NULL,
                         "an answer of %zu bytes is larger than AWS Lambda's limit of %zu", length,
                         CAP_LAMBDA_RESPONSE);
    snprintf(path, sizeof path, "invocation/%s/response", i->request_id);
    return post(r, path, NULL, json, length);
}

/* {"errorMessage": "...", "errorType": "Aegis.database_unreachable", "stackTrace": []} */
static int error_body(const struct error *why, const char *type, struct buffer *out)
{
    buffer_init(out, ERROR_BODY);
    int rc = buffer_append_string(out, "{\"errorMessage\":");
    if (!rc)
        rc = json_append_string(out, why->message, strlen(why->message));
    if (!rc)
        rc = buffer_append_string(out, ",\"errorType\":");
    if (!rc)
        rc = json_append_string(out, type, strlen(type));
    return rc ? rc : buffer_append_string(out, ",\"stackTrace\":[]}");
}

static int post_error(struct lambda_runtime *r, const char *path, const struct error *why)
{
    char type[TYPE_TEXT];
    struct buffer body;
    snprintf(type, sizeof type, "Aegis.%s",
             why->reason[0] ? why->reason : error_code_name(why->code));
    int rc = error_body(why, type, &body);
    if (!rc)
        rc = post(r, path, type, body.data, body.length);
    buffer_free(&body);
    return rc;
}

int lambda_runtime_fail(struct lambda_runtime *r, const struct lambda_invocation *i,
                        const struct error *why)
{
    char path[LAMBDA_ID_TEXT + 32];
    snprintf(path, sizeof path, "invocation/%s/error", i->request_id);
    return post_error(r, path, why);
}

int lambda_runtime_fail_init(struct lambda_runtime *r, const struct error *why)
{
    return post_error(r, "init/error", why);
}
