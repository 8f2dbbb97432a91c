/* aws_client.h - what the benchmarks of AWS's services share. */
#ifndef AEGIS_BENCH_AWS_CLIENT_H
#define AEGIS_BENCH_AWS_CLIENT_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "adapters/aws/client.h"
#include "shared/error.h"

/* Ends the program with the last error, unless rc is 0. */
static inline void must(int rc)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, error_last()->message);
    exit(1);
}

/* For a service whose address is in that variable of the environment, as are region and keys. For
 * as long as the process. */
static inline struct aws_client *open_client(const char *service, const char *endpoint_variable)
{
    struct http_engine *http;
    struct aws_credentials *credentials;
    struct aws_client *client;
    must(http_engine_open(&(struct http_options){0}, &http));
    must(aws_credentials_open(
        &(struct aws_credentials_options){.http = http, .clock = clock_system()}, &credentials));
    must(aws_client_open(&(struct aws_client_options){.http = http,
                                                      .credentials = credentials,
                                                      .clock = clock_system(),
                                                      .service = service,
                                                      .region = getenv("AWS_REGION"),
                                                      .endpoint = getenv(endpoint_variable)},
                         &client));
    return client;
}

#endif
