/*
 * app_secrets.c - the secret source by the settings. That on AWS is opened by the first who asks,
 * so that commands that need no secret need no region and no credentials either.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/rds_authorities.h"
#include "adapters/aws/secrets_manager.h"
#include "adapters/local/secrets_file.h"
#include "commands/app_aws.h"
#include "commands/app_parts.h"

struct late_source {
    struct app *app;
    pthread_mutex_t lock;
    struct secret_source source; /* ops NULL: not opened yet */
};

/* PGSSLROOTCERT is libpq's own, which a file in the URL would go before. */
static const char *authorities_of_rds(char out[PATH_MAX])
{
    return !getenv("PGSSLROOTCERT") && rds_authorities_file(out, PATH_MAX) ? out : "";
}

/* What the settings lack is nothing that another job would not lack too. */
static int open_manager(struct app *app, struct secret_source *out)
{
    const struct config *c = app->config;
    char rds[PATH_MAX];
    struct secrets_manager_options options = {
        .openai_secret = config_string(c, "secrets.openai"),
        .database_secret = config_string(c, "secrets.database"),
        .database = {.host = config_string(c, "secrets.database_host"),
                     .name = config_string(c, "secrets.database_name"),
                     .sslmode = config_string(c, "secrets.database_sslmode"),
                     .authorities = config_string(c, "secrets.database_sslrootcert"),
                     .rds = authorities_of_rds(rds)},
        .stage = config_string(c, "secrets.stage"),
        .cache_ms = config_int(c, "secrets.cache"),
    };
    int rc = app_aws_client(app, "secretsmanager", &options.client);
    if (!rc)
        rc = secrets_manager_open(&options, out);
    return rc == ERR_INVALID ? error_set(ERR_SYSTEMIC, "secrets_unreadable",
                                         "AWS Secrets Manager: %s", error_last()->message)
                             : rc;
}

static int open_late(struct late_source *late)
{
    pthread_mutex_lock(&late->lock);
    int rc = late->source.ops ? OK : open_manager(late->app, &late->source);
    pthread_mutex_unlock(&late->lock);
    return rc;
}

/* A secret that somebody named is not done without: that would be another database, and models that
 * nobody asked for. */
static bool is_named(const struct app *app, const char *name)
{
    return !strcmp(name, "database_url") ||
           config_source(app->config, "secrets.openai") != SOURCE_DEFAULT;
}

static int get(void *ctx, const char *name, char *out, size_t capacity)
{
    struct late_source *late = ctx;
    int rc = open_late(late);
    if (!rc)
        rc = late->source.ops->get(late->source.ctx, name, out, capacity);
    if (rc == ERR_NOT_FOUND && !strcmp(error_last()->reason, "secret_missing") &&
        is_named(late->app, name))
        return error_set(ERR_SYSTEMIC, "secret_missing", "%s", error_last()->message);
    return rc;
}

static void invalidate(void *ctx, const char *name)
{
    struct late_source *late = ctx;
    if (!open_late(late))
        late->source.ops->invalidate(late->source.ctx, name);
}

static void close_late(void *ctx)
{
    struct late_source *late = ctx;
    if (late->source.ops)
        late->source.ops->close(late->source.ctx);
    pthread_mutex_destroy(&late->lock);
    free(late);
}

static const struct secret_source_ops late_ops = {
    .name = "secrets_manager", .close = close_late, .get = get, .invalidate = invalidate};

/* "secrets" in the data directory, then what systemd's LoadCredential gives. */
static int open_files(struct app *app)
{
    const char *path = app_path(app, "secrets"), *credentials = getenv("CREDENTIALS_DIRECTORY");
    struct secret_source sources[2];
    if (!path)
        return ERR_NO_MEMORY;
    if (!credentials || !*credentials)
        return file_secrets_open(path, &app->secrets);
    int rc = file_secrets_open(path, &sources[0]);
    if (rc)
        return rc;
    rc = file_secrets_open(credentials, &sources[1]);
    if (rc)
        sources[0].ops->close(sources[0].ctx);
    return rc ? rc : chained_secrets_open(sources, 2, &app->secrets);
}

int app_secrets_open(struct app *app)
{
    if (strcmp(config_string(app->config, "secrets"), "secrets_manager") != 0)
        return open_files(app);
    struct late_source *late = calloc(1, sizeof *late);
    if (!late)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the secrets");
    late->app = app;
    pthread_mutex_init(&late->lock, NULL);
    app->secrets = (struct secret_source){.ops = &late_ops, .ctx = late};
    return OK;
}
