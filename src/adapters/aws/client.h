/*
 * client.h - signed requests to one AWS service (or a server that speaks its API), repeated as the
 * SDKs do.
 *
 * Retries are the SDKs' "standard" mode
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html): three attempts,
 * after errors of the connection, 500, 502, 503, 504 and throttling, with exponential backoff and
 * full jitter up to 20 s, bounded by a bucket of tokens that all callers share. A clock that is
 * wrong is corrected by the server's Date header, an expired credential fetched anew, once each.
 */
#ifndef AEGIS_ADAPTERS_AWS_CLIENT_H
#define AEGIS_ADAPTERS_AWS_CLIENT_H

#include "adapters/aws/credentials.h"
#include "shared/http.h"

struct aws_client;

enum { AWS_CODE_TEXT = 64 };

struct aws_client_options {
    struct http_engine *http;            /* borrowed */
    struct aws_credentials *credentials; /* borrowed */
    const struct clock *clock;
    const char *service;  /* as signed: "s3", "sqs", "secretsmanager" */
    const char *region;   /* "eu-central-1" */
    const char *endpoint; /* "https://host[:port]"; NULL or "": AWS's own for service and region */
    /* Tests set these; 0: as above. */
    int max_attempts;
    int64_t retry_base_ms;
};

/* ERR_INVALID (an endpoint that is no http(s) URL, no region), ERR_NO_MEMORY. */
int aws_client_open(const struct aws_client_options *options, struct aws_client **out);
void aws_client_close(struct aws_client *client); /* NULL is fine */

const char *aws_client_endpoint(const struct aws_client *client); /* "https://host[:port]" */

struct aws_request {
    const char *method;
    int64_t idle_timeout_ms;           /* as of struct http_request */
    const char *host_prefix;           /* "bucket." for virtual-host style; NULL or "": none */
    const char *path;                  /* absolute, percent-encoded; NULL: "/" */
    const char *query;                 /* percent-encoded, without "?"; NULL: none */
    const struct http_header *headers; /* besides those of the signature */
    size_t header_count;
    const void *body;
    size_t length;
    const char *hash;    /* SHA-256 of the body in hex, of who has it; NULL: it is reckoned */
    const char *region;  /* NULL: the client's (S3: the bucket's, when it is another) */
    size_t max_response; /* as of struct http_request */
    bool cut_long;       /* as of struct http_request */
    int64_t timeout_ms;  /* as of struct http_request */
    bool no_retry;       /* one attempt: the caller repeats in its own way */
};

/* What a service said that is not success. */
struct aws_fault {
    int status;
    char code[AWS_CODE_TEXT]; /* "NoSuchKey", "AWS.SimpleQueueService.NonExistentQueue"; "" if none
                               */
};

/*
 * Blocks until the answer is there. 0: status 2xx; `out` as of http_perform, freed by the caller in
 * any case. Otherwise the error is set, `fault` (may be NULL) says what the service said (status 0
 * if it said nothing), and the error's class is
 *
 *   - ERR_SYSTEMIC: credentials or rights ("aws_access_denied"; "aws_credentials", also if none can
 *     be had for the moment), no such bucket or queue ("aws_no_such_resource");
 *   - ERR_TRANSIENT: throttling ("aws_throttled"), 5xx ("aws_unavailable"), connection; after the
 *     retries;
 *   - ERR_NOT_FOUND: 404 of anything else;
 *   - ERR_CONFLICT: 409, 412;
 *   - ERR_INVALID: any other 4xx ("aws_refused");
 *   - what http_perform returns.
 *
 * Adapters branch on `fault` where a code means something else to them.
 */
int aws_perform(struct aws_client *client, const struct aws_request *request,
                const struct cancel *cancel, struct http_response *out, struct aws_fault *fault);

/* The JSON protocols: POST / with X-Amz-Target (`target` such as "AmazonSQS.SendMessage") and
 * content type application/x-amz-json-VERSION ("1.0", "1.1"). */
int aws_call_json(struct aws_client *client, const char *version, const char *target,
                  const char *body, size_t length, const struct cancel *cancel,
                  struct http_response *out, struct aws_fault *fault);

#endif
