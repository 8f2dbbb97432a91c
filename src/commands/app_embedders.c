/*
 * Who embeds for spaces of other models than the one that is set: queries of a space that serves
 * still, and the filling of one that is to serve. Opened when first needed, kept until the end.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "commands/app_parts.h"
#include "shared/error.h"

enum { EMBEDDERS = 32 };

struct app_embedders {
    pthread_mutex_t lock;
    struct made {
        char model[96];
        int dimension;
        struct model_provider provider;
    } made[EMBEDDERS];
    size_t count;
};

int app_embedders_open(struct app *app)
{
    if (app->embedders)
        return OK;
    app->embedders = calloc(1, sizeof *app->embedders);
    if (!app->embedders)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the providers");
    pthread_mutex_init(&app->embedders->lock, NULL);
    return OK;
}

void app_embedders_close(struct app *app)
{
    struct app_embedders *all = app->embedders;
    if (!all)
        return;
    for (size_t i = 0; i < all->count; i++)
        all->made[i].provider.ops->close(all->made[i].provider.ctx);
    pthread_mutex_destroy(&all->lock);
    free(all);
    app->embedders = NULL;
}

static const struct made *find(const struct app_embedders *all, const char *model, int dimension)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->made[i].dimension == dimension && !strcmp(all->made[i].model, model))
            return &all->made[i];
    return NULL;
}

static int make(struct app *app, const char *model, int dimension)
{
    struct app_embedders *all = app->embedders;
    struct made *made = &all->made[all->count];
    if (all->count == EMBEDDERS)
        return error_set(ERR_TOO_LARGE, NULL,
                         "more than %d embedding models were used: start this "
                         "process again",
                         EMBEDDERS);
    snprintf(made->model, sizeof made->model, "%s", model);
    made->dimension = dimension;
    int rc = app_openai(app, model, dimension, &made->provider);
    all->count += !rc;
    return rc;
}

int app_embedder(void *ctx, const char *provider, const char *model, int dimension,
                 struct model_provider *out)
{
    struct app *app = ctx;
    struct app_embedders *all = app->embedders;
    bool offline = !strcmp(provider, "offline");
    if (!offline && strcmp(provider, "openai") != 0)
        return error_set(ERR_NOT_FOUND, NULL, "there is no provider '%s'", provider);
    pthread_mutex_lock(&all->lock);
    int rc = offline ? app_offline(app) : OK;
    if (!rc && !offline && !find(all, model, dimension))
        rc = make(app, model, dimension);
    if (!rc)
        *out = offline ? app->offline : find(all, model, dimension)->provider;
    pthread_mutex_unlock(&all->lock);
    return rc;
}
