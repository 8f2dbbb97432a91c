#include <string.h>

#include "adapters/offline/offline.h"
#include "commands/app.h"
#include "shared/error.h"

static const struct {
    const char *provider, *base_url, *api_key;
} keys[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = {"provider.transcribe", "openai.transcribe_base_url",
                          "openai.transcribe_api_key"},
    [MODEL_SUMMARISE] = {"provider.summarise", "openai.summarise_base_url",
                         "openai.summarise_api_key"},
    [MODEL_EMBED] = {"provider.embed", "openai.embed_base_url", "openai.embed_api_key"},
    [MODEL_ANSWER] = {"provider.answer", "openai.answer_base_url", "openai.answer_api_key"},
};

static bool is_set(const struct app *app, const char *key)
{
    return *config_string(app->config, key) != '\0';
}

/* auto: whoever can be called is called. An answer comes from where summaries do. */
static bool has_openai(const struct app *app, enum model_operation operation)
{
    if (is_set(app, "openai.api_key") || is_set(app, "openai.base_url"))
        return true;
    if (is_set(app, keys[operation].base_url) || is_set(app, keys[operation].api_key))
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

static int open_offline(struct app *app)
{
    if (app->offline.ops)
        return OK;
    struct offline_options options = {.speech_model =
                                          config_string(app->config, "offline.speech_model")};
    return offline_provider_open(&options, &app->offline);
}

static int open_openai(struct app *app)
{
    (void)app;
    return error_set(ERR_INVALID, NULL, "no openai yet");
}

int app_providers(struct app *app)
{
    for (enum model_operation o = 0; o < MODEL_OPERATIONS; o++) {
        bool offline = !strcmp(app_provider_name(app, o), "offline");
        int rc = offline ? open_offline(app) : open_openai(app);
        if (rc)
            return rc;
        app->providers.by_operation[o] = offline ? app->offline : app->openai;
    }
    return OK;
}
