#include "adapters/aws/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/fault.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/random.h"
#include "shared/retry.h"
#include "shared/sigv4.h"

enum {
    ATTEMPTS = 3,
    BACKOFF_MS = 1000,
    BACKOFF_CAP_MS = 20000,
    /* "standard" mode's bucket: what a retry takes out, a success puts back */
    BUCKET = 500,
    RETRY_TOKENS = 5,
    TIMEOUT_TOKENS = 10,
    SUCCESS_TOKENS = 1,
    SKEW_MS = 4 * 60 * 1000, /* differences below are not why a signature was refused */
    HOST_TEXT = 320,
    OWN_HEADERS = 5, /* those of the signature */
    HEADERS = 32,
};

struct aws_client {
    struct http_engine *http;
    struct aws_credentials *credentials;
    const struct clock *clock;
    struct retry_policy retry;
    char service[32], region[AWS_REGION_TEXT];
    bool own_endpoint; /* AWS's, another one for each region */
    char scheme[8], host[HOST_TEXT],
        endpoint[HOST_TEXT + 16]; /* host: with a port that is not usual */
    atomic_llong skew_ms;         /* the service's clock - ours */
    pthread_mutex_t lock;
    int tokens;
};

/* ---- opening ---- */

static void own_host(const struct aws_client *c, const char *region, char out[HOST_TEXT])
{
    const char *domain = strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
    snprintf(out, HOST_TEXT, "%s.%s.%s", c->service, region, domain);
}

static int default_endpoint(struct aws_client *c)
{
    c->own_endpoint = true;
    snprintf(c->scheme, sizeof c->scheme, "https");
    own_host(c, c->region, c->host);
    return OK;
}

static int bad_endpoint(const char *endpoint)
{
    return error_set(ERR_INVALID, "bad_url",
                     "the AWS endpoint '%s' is not a URL such as https://host or "
                     "http://127.0.0.1:9000, without path, user and query",
                     strchr(endpoint, '@') ? "(with a user)" : endpoint); /* or a password */
}

/* Scheme, host and port, each as curl understands them, and nothing else. */
static int take_endpoint(struct aws_client *c, CURLU *url, const char *endpoint)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *other = NULL;
    bool good = curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
                (!strcmp(scheme, "http") || !strcmp(scheme, "https")) && !strcmp(path, "/") &&
                strlen(host) + 8 < sizeof c->host &&
                curl_url_get(url, CURLUPART_USER, &other, 0) != CURLUE_OK &&
                curl_url_get(url, CURLUPART_PASSWORD, &other, 0) != CURLUE_OK &&
                !strpbrk(endpoint, "?#");
    if (good) {
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
        snprintf(c->scheme, sizeof c->scheme, "%s", scheme);
        snprintf(c->host, sizeof c->host, "%s%s%s", host, port ? ":" : "", port ? port : "");
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(other);
    return good ? OK : bad_endpoint(endpoint);
}

static int set_endpoint(struct aws_client *c, const char *endpoint)
{
    if (!endpoint || !*endpoint)
        return default_endpoint(c);
    CURLU *url = curl_url();
    int rc = url ? take_endpoint(c, url, endpoint)
                 : error_set(ERR_NO_MEMORY, NULL, "out of memory for the endpoint of a service");
    curl_url_cleanup(url);
    return rc;
}

static int configure(struct aws_client *c, const struct aws_client_options *o)
{
    if (!o->region || !*o->region)
        return error_set(ERR_INVALID, "aws_region",
                         "no AWS region is set; set AWS_REGION or `aws.region`");
    c->http = o->http;
    c->credentials = o->credentials;
    c->clock = o->clock;
    c->tokens = BUCKET;
    c->retry = (struct retry_policy){.base_ms = o->retry_base_ms ? o->retry_base_ms : BACKOFF_MS,
                                     .cap_ms = BACKOFF_CAP_MS,
                                     .max_attempts = o->max_attempts ? o->max_attempts : ATTEMPTS};
    snprintf(c->service, sizeof c->service, "%s", o->service);
    snprintf(c->region, sizeof c->region, "%s", o->region);
    int rc = set_endpoint(c, o->endpoint);
    snprintf(c->endpoint, sizeof c->endpoint, "%s://%s", c->scheme, c->host);
    return rc;
}

int aws_client_open(const struct aws_client_options *options, struct aws_client **out)
{
    struct aws_client *c = *out = calloc(1, sizeof *c);
    if (!c)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a client of %s", options->service);
    pthread_mutex_init(&c->lock, NULL);
    int rc = configure(c, options);
    if (rc) {
        aws_client_close(c);
        *out = NULL;
    }
    return rc;
}

void aws_client_close(struct aws_client *client)
{
    if (!client)
        return;
    pthread_mutex_destroy(&client->lock);
    free(client);
}

const char *aws_client_endpoint(const struct aws_client *client)
{
    return client->endpoint;
}

/* ---- the bucket of retries ---- */

static bool take_tokens(struct aws_client *c, int cost)
{
    pthread_mutex_lock(&c->lock);
    bool enough = c->tokens >= cost;
    if (enough)
        c->tokens -= cost;
    pthread_mutex_unlock(&c->lock);
    return enough;
}

static void put_tokens(struct aws_client *c, int count)
{
    pthread_mutex_lock(&c->lock);
    c->tokens = c->tokens + count < BUCKET ? c->tokens + count : BUCKET;
    pthread_mutex_unlock(&c->lock);
}

/* ---- one attempt ---- */

/* A call with what its attempts share. */
struct call {
    struct aws_client *client;
    const struct aws_request *request;
    const struct cancel *cancel;
    struct aws_credential credential;
    char host[HOST_TEXT], url[CAP_HTTP_URL + 1], hash[SIGV4_HASH_TEXT];
    char date[SIGV4_DATE_TEXT], authorization[SIGV4_AUTHORIZATION];
    struct http_header headers[HEADERS];
    size_t header_count;
    int paid; /* tokens of the newest retry */
    bool skew_mended, credential_mended;
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
    int64_t now = clock_now(c->clock) + atomic_load(&c->skew_ms);
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
    char host[HOST_TEXT];
    if (c->own_endpoint && r->region)
        own_host(c, r->region, host);
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
        int64_t assumed = atomic_load(&c->skew_ms), off = skew - assumed;
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
    return n < BACKOFF_CAP_MS / unit_ms ? n * unit_ms : BACKOFF_CAP_MS;
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
        put_tokens(call->client, call->paid ? call->paid : SUCCESS_TOKENS);
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
    if (call->request->no_retry || attempts >= c->retry.max_attempts || !take_tokens(c, cost))
        return false;
    call->paid = cost;
    uint64_t word;
    random_bytes(&word, sizeof word);
    int64_t delay = retry_delay(&c->retry, attempts, retry_after(response), word);
    return clock_sleep(delay, call->cancel) == OK;
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
        rc = again ? OK : error_last()->code;
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
