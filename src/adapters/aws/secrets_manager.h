/*
 * secrets_manager.h - the secret source on AWS Secrets Manager (JSON 1.1, GetSecretValue,
 * https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html).
 *
 * It has "openai_api_key" and "database_url", each from a secret of its own, in the formats of
 * secret_value.h. Values are kept in memory: for cache_ms, or until one was refused (invalidate),
 * which is followed by one read, whoever else reports it within floor_ms. A value that was once
 * read goes on being used while Secrets Manager is out of reach, which the log says once; it is not
 * kept if it was refused and Secrets Manager says that it is there no more. Memory is wiped.
 */
#ifndef AEGIS_ADAPTERS_AWS_SECRETS_MANAGER_H
#define AEGIS_ADAPTERS_AWS_SECRETS_MANAGER_H

#include "adapters/aws/client.h"
#include "adapters/aws/secret_value.h"
#include "ports/secret_source.h"

struct secrets_manager_options {
    struct aws_client *client;       /* of "secretsmanager"; borrowed */
    const struct clock *clock;       /* for the times below; NULL: one that is never set back */
    const char *openai_secret;       /* name or ARN; NULL or "": there is none */
    const char *database_secret;     /* likewise */
    struct secret_database database; /* copied */
    const char *stage;               /* NULL or "": "AWSCURRENT" */
    int64_t cache_ms;                /* 0: read at each get */
    int64_t floor_ms;                /* 0: 5 s */
};

/*
 * Reads nothing yet. ERR_INVALID (a name that is too long), ERR_NO_MEMORY.
 *
 * get blocks: up to three requests of 10 s each, one of 5 s where there is a value to go on with.
 * Callers of one secret wait for the one that reads it, and failures are remembered for floor_ms.
 *   ERR_NOT_FOUND  no other name is known here; "secret_missing": no such secret or version
 *   ERR_SYSTEMIC   "secret_denied" (rights to the secret or to its key), "secret_unusable" (binary,
 *                  not in a known format, marked for deletion), "secrets_unreachable" (no answer,
 *                  5xx, throttled), or as of credentials.h and client.h; the text says what to do
 */
int secrets_manager_open(const struct secrets_manager_options *options, struct secret_source *out);

#endif
