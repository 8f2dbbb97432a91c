#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/client_internal.h"
#include "adapters/aws/fault.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/random.h"
#include "shared/sigv4.h"

enum {
    RETRY_TOKENS = 5,
    TIMEOUT_TOKENS = 10,
    SUCCESS_TOKENS = 1,
    SKEW_MS = 4 * 60 * 1000, /* differences below are not why a signature was refused */
    OWN_HEADERS = 5,         /* those of the signature */
    HEADERS = 32,
};

/* ---- one attempt ---- */

/* A call with what its attempts share. */
struct call {
    struct aws_client *client;
    const struct aws_request *request;
    const struct cancel *cancel;
    struct aws_credential credential;
    char host[AWS_HOST_TEXT], url[CAP_HTTP_URL + 1], hash[SIGV4_HASH_TEXT];
    char date[SIGV4_DATE_TEXT], authorization[SIGV4_AUTHORIZATION];
    struct http_header headers[HEADERS];
    size_t header_count;
    int64_t skew_ms; /* that the newest attempt was signed with */
    int paid;        /* tokens of the newest retry */
    bool skew_mended, credential_mended, no_credential;
};

static void add(struct call *call, const char *name, const char *value)
{
    call->headers[call->header_count++] = (struct http_header){name, value};
}

static void add_headers(struct call *call)
{
    const struct aws_request *r = call->request;
    call->header_count = 0;
    add(call, "Host", call->host);
    add(call, "X-Amz-Date", call->date);
    if (!strcmp(call->client->service, "s3"))
        add(call, "X-Amz-Content-Sha256", call->hash);
    if (call->credential.session_token[0])
        add(call, "X-Amz-Security-Token", call->credential.session_token);
    for (size_t i = 0; i < r->header_count; i++)
        add(call, r->headers[i].name, r->headers[i].value);
}

static int sign(struct call *call)
{
    struct aws_client *c = call->client;
    const struct aws_request *r = call->request;
    call->skew_ms = atomic_load(&c->skew_ms); /* another call may mend it meanwhile */
    int64_t now = clock_now(c->clock) + call->skew_ms;
    sigv4_date(now, call->date);
    add_headers(call);
    struct sigv4_scope scope = {.access_key_id = call->credential.access_key_id,
                                .secret_access_key = call->credential.secret_access_key,
                                .region = r->region ? r->region : c->region,
                                .service = c->service,
                                .time_ms = now};
    struct sigv4_request request = {.method = r->method,
                                    .path = r->path ? r->path : "/",
                                    .query = r->query ? r->query : "",
                                    .headers = call->headers,
                                    .header_count = call->header_count,
                                    .payload_hash = call->hash,
                                    .path_as_sent = !strcmp(c->service, "s3")};
    int rc = sigv4_sign(&scope, &request, call->authorization);
    if (!rc)
        add(call, "Authorization", call->authorization);
    return rc;
}

static int prepare(struct call *call)
{
    const struct aws_client *c = call->client;
    const struct aws_request *r = call->request;
    if (r->header_count + OWN_HEADERS > HEADERS)
        return error_set(ERR_INVALID, NULL, "a request with %zu headers", r->header_count);
    char host[AWS_HOST_TEXT];
    if (c->own_endpoint && r->region)
        aws_own_host(c, r->region, host);
    else
        snprintf(host, sizeof host, "%s", c->host);
    if (r->hash)
        snprintf(call->hash, sizeof call->hash, "%s", r->hash);
    else
        sigv4_hash(r->body ? r->body : "", r->length, call->hash);
    snprintf(call->host, sizeof call->host, "%.64s%.254s", r->host_prefix ? r->host_prefix : "",
             host);
    int n = snprintf(call->url, sizeof call->url, "%s://%s%s%s%s", c->scheme, call->host,
                     r->path ? r->path : "/", r->query && *r->query ? "?" : "",
                     r->query ? r->query : "");
    if ((size_t)n >= sizeof call->url)
        return error_set(ERR_INVALID, "bad_url", "a URL of %d bytes is longer than the cap of %zu",
                         n, CAP_HTTP_URL);
    return OK;
}

static int send_once(struct call *call, struct http_response *out)
{
    const struct aws_request *r = call->request;
    int rc = aws_credentials_get(call->client->credentials, call->cancel, &call->credential);
    call->no_credential = rc != OK;
    if (!rc)
        rc = sign(call);
    if (rc)
        return rc;
    struct http_request request = {.method = r->method,
                                   .url = call->url,
                                   .headers = call->headers,
                                   .header_count = call->header_count,
                                   .body = r->body,
                                   .body_length = r->length,
                                   .idle_timeout_ms = r->idle_timeout_ms,
                                   .timeout_ms = r->timeout_ms,
                                   .max_response = r->max_response,
                                   .cut_long = r->cut_long,
                                   .as_is = true};
    return http_perform(call->client->http, &request, call->cancel, out);
}

/* ---- what comes after it ---- */

/* How far the service's clock is ahead of ours; false if it does not say. */
static bool read_skew(const struct call *call, const struct http_response *response, int64_t *skew)
{
    char date[64];
    if (!http_response_header(response, "date", date, sizeof date))
        return false;
    time_t theirs = curl_getdate(date, NULL);
    *skew = (int64_t)theirs * 1000 - clock_now(call->client->clock);
    return theirs > 0;
}

/* A clock that is wrong and a credential that has expired can be mended: worth one more try. */
static bool mend(struct call *call, const struct http_response *response, enum fault_kind kind)
{
    struct aws_client *c = call->client;
    int64_t skew;
    if (kind == FAULT_SKEWED && !call->skew_mended && read_skew(call, response, &skew)) {
        int64_t off = skew - call->skew_ms;
        call->skew_mended = true;
        if (off > -SKEW_MS && off < SKEW_MS)
            return false;
        atomic_store(&c->skew_ms, skew);
        return true;
    }
    if (kind == FAULT_EXPIRED && !call->credential_mended) {
        call->credential_mended = true;
        aws_credentials_refused(c->credentials, &call->credential);
        return true;
    }
    return false;
}

static void describe(const struct call *call, char out[AWS_MESSAGE_TEXT])
{
    const struct aws_request *r = call->request;
    for (size_t i = 0; i < r->header_count; i++)
        if (!strcasecmp(r->headers[i].name, "X-Amz-Target")) {
            snprintf(out, AWS_MESSAGE_TEXT, "'%s' at '%s'", r->headers[i].value, call->host);
            return;
        }
    snprintf(out, AWS_MESSAGE_TEXT, "%s '%s%s'", r->method, call->host, r->path ? r->path : "/");
}

/* -1: not a number (Retry-After may be a date, which no AWS service sends) */
static int64_t read_wait(const struct http_response *response, const char *name, int64_t unit_ms)
{
    char text[32], *end;
    if (!http_response_header(response, name, text, sizeof text))
        return -1;
    int64_t n = strtoll(text, &end, 10);
    if (end == text || *end || n < 0)
        return -1;
    return n < AWS_BACKOFF_CAP_MS / unit_ms ? n * unit_ms : AWS_BACKOFF_CAP_MS;
}

/* What the service asks for, in milliseconds, cut to the longest backoff; -1 if nothing. */
static int64_t retry_after(const struct http_response *response)
{
    int64_t ms = read_wait(response, "x-amz-retry-after", 1);
    return ms >= 0 ? ms : read_wait(response, "retry-after", 1000);
}

enum next { DONE, AGAIN_AT_ONCE, AGAIN_LATER };

static enum next judge_fault(struct call *call, const struct http_response *response,
                             struct aws_fault *fault)
{
    char message[AWS_MESSAGE_TEXT], what[AWS_MESSAGE_TEXT];
    fault_read(response, fault, message);
    enum fault_kind kind = fault_kind(fault);
    if (mend(call, response, kind))
        return AGAIN_AT_ONCE;
    describe(call, what);
    fault_error(fault, message, what);
    error_retry_after(retry_after(response));
    return kind == FAULT_THROTTLED || kind == FAULT_UNAVAILABLE ? AGAIN_LATER : DONE;
}

static enum next judge(struct call *call, int rc, const struct http_response *response,
                       struct aws_fault *fault)
{
    *fault = (struct aws_fault){0};
    if (rc)
        return rc == ERR_TIMEOUT || rc == ERR_TRANSIENT ? AGAIN_LATER : DONE;
    if (response->status / 100 == 2) {
        aws_put_tokens(call->client, call->paid ? call->paid : SUCCESS_TOKENS);
        error_clear();
        return DONE;
    }
    return judge_fault(call, response, fault);
}

/* False: not worth waiting for, and the last error stays what it was, or cancelled. */
static bool wait_before(struct call *call, int attempts, const struct http_response *response)
{
    struct aws_client *c = call->client;
    int cost = error_last()->code == ERR_TIMEOUT ? TIMEOUT_TOKENS : RETRY_TOKENS;
    if (call->request->no_retry || attempts >= c->retry.max_attempts || !aws_take_tokens(c, cost))
        return false;
    call->paid = cost;
    uint64_t word;
    random_bytes(&word, sizeof word);
    int64_t delay = retry_delay(&c->retry, attempts, retry_after(response), word);
    return clock_sleep(delay, call->cancel) == OK;
}

/* Without a credential nothing else would work either. */
static int outcome(const struct call *call)
{
    const struct error *e = error_last();
    if (call->no_credential && (e->code == ERR_TRANSIENT || e->code == ERR_TIMEOUT))
        return error_set(ERR_SYSTEMIC, "aws_credentials", "%s", e->message);
    return e->code;
}

int aws_perform(struct aws_client *client, const struct aws_request *request,
                const struct cancel *cancel, struct http_response *out, struct aws_fault *fault)
{
    struct call call = {.client = client, .request = request, .cancel = cancel};
    struct aws_fault ignored;
    int rc = prepare(&call);
    *out = (struct http_response){0};
    if (!fault)
        fault = &ignored;
    *fault = (struct aws_fault){0};
    for (int attempts = 1; !rc;) {
        rc = send_once(&call, out);
        enum next next = judge(&call, rc, out, fault);
        bool again =
            next == AGAIN_AT_ONCE || (next == AGAIN_LATER && wait_before(&call, attempts++, out));
        rc = again ? OK : outcome(&call);
        if (!again)
            break;
        http_response_free(out);
        *out = (struct http_response){0};
    }
    explicit_bzero(&call.credential, sizeof call.credential);
    return rc;
}

int aws_call_json(struct aws_client *client, const char *version, const char *target,
                  const char *body, size_t length, const struct cancel *cancel,
                  struct http_response *out, struct aws_fault *fault)
{
    char type[64];
    snprintf(type, sizeof type, "application/x-amz-json-%s", version);
    struct http_header headers[] = {{"Content-Type", type}, {"X-Amz-Target", target}};
    struct aws_request request = {
        .method = "POST", .headers = headers, .header_count = 2, .body = body, .length = length};
    return aws_perform(client, &request, cancel, out, fault);
}
