/* client_internal.h - what the files of the client share: client.c (opening, the bucket of retries)
 * and client_perform.c (attempts, and what comes after them). */
#ifndef AEGIS_ADAPTERS_AWS_CLIENT_INTERNAL_H
#define AEGIS_ADAPTERS_AWS_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "adapters/aws/client.h"
#include "shared/retry.h"

enum {
    AWS_BACKOFF_CAP_MS = 20000,
    AWS_HOST_TEXT = 320,
};

struct aws_client {
    struct http_engine *http;
    struct aws_credentials *credentials;
    const struct clock *clock;
    struct retry_policy retry;
    char service[32], region[AWS_REGION_TEXT];
    bool own_endpoint; /* AWS's, another one for each region */
    char scheme[8], host[AWS_HOST_TEXT],
        endpoint[AWS_HOST_TEXT + 16]; /* host: with a port that is not usual */
    atomic_llong skew_ms;             /* the service's clock - ours */
    pthread_mutex_t lock;
    int tokens;
};

/* AWS's own host for the service in a region. */
void aws_own_host(const struct aws_client *c, const char *region, char out[AWS_HOST_TEXT]);

/* "standard" mode's bucket: what a retry takes out, a success puts back. False: it is empty. */
bool aws_take_tokens(struct aws_client *c, int cost);
void aws_put_tokens(struct aws_client *c, int count);

#endif
