/*
 * secret_source.h - the port to secrets (environment, file, AWS Secrets Manager).
 *
 * Secrets never appear in logs, error texts or process arguments.
 */
#ifndef AEGIS_PORTS_SECRET_SOURCE_H
#define AEGIS_PORTS_SECRET_SOURCE_H

#include <stddef.h>

enum { SECRET_TEXT = 4096 };

struct secret_source_ops {
    const char *name; /* "environment", "file", "secrets_manager" */
    void (*close)(void *ctx);

    /* Copies the secret `name` (such as "openai_api_key") as a string. May block. Thread-safe.
     * ERR_NOT_FOUND if there is none, ERR_TOO_LARGE, ERR_SYSTEMIC if the source cannot be read. */
    int (*get)(void *ctx, const char *name, char *out, size_t capacity);

    /* The secret was refused: forget any cached copy, so that the next get reads it anew. */
    void (*invalidate)(void *ctx, const char *name);
};

struct secret_source {
    const struct secret_source_ops *ops;
    void *ctx;
};

#endif
