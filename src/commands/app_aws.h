/*
 * app_aws.h - what the adapters on AWS share: one set of credentials for all, one client for each
 * service.
 *
 * Region, profile and addresses are the settings aws.*. Nothing is looked up or connected to before
 * the first request.
 */
#ifndef AEGIS_COMMANDS_APP_AWS_H
#define AEGIS_COMMANDS_APP_AWS_H

#include "adapters/aws/client.h"
#include "commands/app.h"

/* The client of a service as it is signed ("s3", "sqs", "secretsmanager"), opened once and closed
 * by app_close. ERR_INVALID (no region, an address that is no URL), ERR_NO_MEMORY. */
int app_aws_client(struct app *app, const char *service, struct aws_client **out);

/* Where its requests go and how they are signed when the settings leave it open; the region of a
 * place is that of a resource and goes before the settings'. Any part may be "". */
struct app_aws_place {
    char endpoint[320];
    char region[AWS_REGION_TEXT];
};

/* As app_aws_client; `place` counts when the service's client is opened by this call. */
int app_aws_client_at(struct app *app, const char *service, const struct app_aws_place *place,
                      struct aws_client **out);

/* What the URL of a queue tells: its host, and its region if the host is one of AWS's. Parts that
 * it does not tell are "". */
void app_aws_queue_place(const char *queue_url, struct app_aws_place *out);

/* Opened once; for who needs them without a client. */
int app_aws_credentials(struct app *app, struct aws_credentials **out);

void app_aws_close(struct app *app);

#endif
