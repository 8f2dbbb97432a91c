#include <string.h>

#include "commands/app.h"

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
