/*
 * sqs_place.h - a queue and its dead-letter queue on the SQS that tests are given.
 */
#ifndef AEGIS_TESTS_SQS_PLACE_H
#define AEGIS_TESTS_SQS_PLACE_H

#include "adapters/aws/queue_sqs.h"

struct sqs_place {
    struct http_engine *http;
    struct aws_credentials *credentials;
    struct aws_client *client;
    char name[48];
    char url[256], dead_url[256];
};

/* Makes both queues, with a redrive policy if max_receives is not 0. `suffix` is "" or ".fifo". A
 * failure fails the test. */
void sqs_place_make(struct sqs_place *p, const char *suffix, int max_receives);
void sqs_place_remove(struct sqs_place *p);

/* One call of SQS; a failure fails the test. The reply is the caller's to free. */
char *sqs_place_call(struct sqs_place *p, const char *action, const char *body);

#endif
