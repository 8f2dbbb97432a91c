#include <string.h>

#include "commands/app_parts.h"

int app_database_url(struct app *app, const char **out)
{
    char url[SECRET_TEXT];
    *out = config_string(app->config, "database.url");
    if (**out)
        return OK;
    int rc = app->secrets.ops->get(app->secrets.ctx, "database_url", url, sizeof url);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (!rc && !(*out = arena_strdup(&app->arena, url)))
        rc = ERR_NO_MEMORY;
    explicit_bzero(url, sizeof url);
    return rc;
}

/* In the thread of whoever connects. */
static int url_anew(void *ctx, char *out, size_t capacity)
{
    const struct app *app = ctx;
    const struct secret_source *secrets = &app->secrets;
    if (*config_string(app->config, "database.url"))
        return error_set(ERR_NOT_FOUND, NULL, "database.url is a setting, which stays what it is");
    secrets->ops->invalidate(secrets->ctx, "database_url");
    return secrets->ops->get(secrets->ctx, "database_url", out, capacity);
}

struct pg_url_source app_database_source(struct app *app)
{
    return (struct pg_url_source){.get = url_anew, .ctx = app};
}
