#include "adapters/local/secrets_environment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/local/secrets_file.h"
#include "shared/error.h"

static int environment_get(void *ctx, const char *name, char *out, size_t capacity)
{
    char variable[SECRET_NAME + 1];
    (void)ctx;
    int rc = secret_name_check(name);
    if (rc)
        return rc;
    size_t length = strlen(name);
    for (size_t i = 0; i <= length; i++)
        variable[i] = (char)toupper((unsigned char)name[i]);
    const char *value = getenv(variable);
    if (!value || !*value)
        return error_set(ERR_NOT_FOUND, "no_secret", "environment variable %s is not set",
                         variable);
    if (snprintf(out, capacity, "%s", value) >= (int)capacity)
        return error_set(ERR_TOO_LARGE, NULL, "environment variable %s is longer than %zu bytes",
                         variable, capacity - 1);
    return OK;
}

static void environment_invalidate(void *ctx, const char *name)
{
    (void)ctx; /* nothing is kept */
    (void)name;
}

static void environment_close(void *ctx)
{
    (void)ctx;
}

void environment_secrets_open(struct secret_source *out)
{
    static const struct secret_source_ops ops = {
        .name = "environment",
        .close = environment_close,
        .get = environment_get,
        .invalidate = environment_invalidate,
    };
    *out = (struct secret_source){.ops = &ops};
}
