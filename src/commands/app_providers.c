#include <string.h>

#include "adapters/offline/offline.h"
#include "adapters/openai/openai.h"
#include "commands/app_keys.h"
#include "commands/app_parts.h"
#include "shared/error.h"
#include "shared/http.h"

static const struct {
    const char *provider, *base_url, *model;
} keys[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = {"provider.transcribe", "openai.transcribe_base_url",
                          "openai.transcribe_model"},
    [MODEL_SUMMARISE] = {"provider.summarise", "openai.summarise_base_url",
                         "openai.summarise_model"},
    [MODEL_EMBED] = {"provider.embed", "openai.embed_base_url", "openai.embed_model"},
    [MODEL_ANSWER] = {"provider.answer", "openai.answer_base_url", "openai.answer_model"},
};

static bool is_set(const struct app *app, const char *key)
{
    return *config_string(app->config, key) != '\0';
}

/* auto: whoever can be called is called. An answer comes from where summaries do. */
static bool has_openai(const struct app *app, enum model_operation operation)
{
    if (is_set(app, "openai.base_url") || app_has_key(app, operation, true))
        return true;
    if (is_set(app, keys[operation].base_url) || app_has_key(app, operation, false))
        return true;
    return operation == MODEL_ANSWER && has_openai(app, MODEL_SUMMARISE);
}

const char *app_provider_name(const struct app *app, enum model_operation operation)
{
    const char *name = config_string(app->config, keys[operation].provider);
    if (!strcmp(name, "auto"))
        name = config_string(app->config, "provider");
    if (!strcmp(name, "auto"))
        name = has_openai(app, operation) ? "openai" : "offline";
    return name;
}

int app_offline(struct app *app)
{
    if (app->offline.ops)
        return OK;
    struct offline_options options = {.speech_model =
                                          config_string(app->config, "offline.speech_model")};
    return offline_provider_open(&options, &app->offline);
}

static const char *own_or_common(const struct app *app, const char *own, const char *common)
{
    const char *value = config_string(app->config, own);
    return *value ? value : config_string(app->config, common);
}

static struct openai_operation operation_options(const struct app *app, enum model_operation o)
{
    return (struct openai_operation){
        .base_url = own_or_common(app, keys[o].base_url, "openai.base_url"),
        .model = config_string(app->config, keys[o].model),
    };
}

/* Answers are given by the model of the summaries unless they have settings of their own. */
static struct openai_operation answer_options(const struct app *app)
{
    struct openai_operation own = operation_options(app, MODEL_ANSWER);
    struct openai_operation summaries = operation_options(app, MODEL_SUMMARISE);
    if (!is_set(app, keys[MODEL_ANSWER].base_url))
        own.base_url = summaries.base_url;
    if (!*own.model)
        own.model = summaries.model;
    return own;
}

static const char *price(void *ctx, const char *model)
{
    return config_price(ctx, model);
}

int app_http(struct app *app)
{
    if (app->http)
        return OK;
    struct http_options http = {
        .user_agent = "aegis/" AEGIS_VERSION,
        .max_connections_per_host = (int)config_int(app->config, "openai.max_connections"),
    };
    return http_engine_open(&http, &app->http);
}

int app_openai(struct app *app, const char *model, int dimension, struct model_provider *out)
{
    const struct config *c = app->config;
    struct openai_options options = {
        .organization = config_string(c, "openai.organization"),
        .project = config_string(c, "openai.project"),
        .reasoning_effort = config_string(c, "openai.reasoning_effort"),
        .summary_api = config_string(c, "openai.summary_api"),
        .embed_dimensions =
            dimension > 0 ? dimension : (int)config_int(c, "openai.embed_dimensions"),
        .timeout_ms = config_int(c, "openai.timeout"),
        .max_input = (size_t)config_int(c, "openai.max_input"),
        .price = price,
        .price_ctx = app->config,
    };
    for (enum model_operation o = 0; o < MODEL_OPERATIONS; o++)
        options.operations[o] = o == MODEL_ANSWER ? answer_options(app) : operation_options(app, o);
    if (model)
        options.operations[MODEL_EMBED].model = model;
    int rc = app_http(app);
    if (!rc && !app->keys)
        rc = app_keys_open(app, &app->keys);
    if (rc)
        return rc;
    options.keys = app_keys_getter(app->keys);
    return openai_provider_open(&options, app->http, out);
}

static int open_openai(struct app *app)
{
    return app->openai.ops ? OK : app_openai(app, NULL, 0, &app->openai);
}

int app_providers(struct app *app)
{
    if (app->providers.ctx) /* a service may have put counted ones in their place */
        return OK;
    for (enum model_operation o = 0; o < MODEL_OPERATIONS; o++) {
        bool offline = !strcmp(app_provider_name(app, o), "offline");
        int rc = offline ? app_offline(app) : open_openai(app);
        if (rc)
            return rc;
        app->providers.by_operation[o] = offline ? app->offline : app->openai;
    }
    app->providers.embedder = app_embedder;
    app->providers.ctx = app;
    return app_embedders_open(app);
}
