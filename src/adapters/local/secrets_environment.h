/*
 * secrets_environment.h - secrets from environment variables: "openai_api_key" is OPENAI_API_KEY.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_SECRETS_ENVIRONMENT_H
#define AEGIS_ADAPTERS_LOCAL_SECRETS_ENVIRONMENT_H

#include "ports/secret_source.h"

/* An empty variable is no secret. Cannot fail; close it as any other. The environment must not be
 * changed by other threads meanwhile (setenv(3)). */
void environment_secrets_open(struct secret_source *out);

#endif
