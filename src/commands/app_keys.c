#include "commands/app_keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/local/secrets_file.h"
#include "shared/clock.h"

/* A base URL of its own goes with a key of its own: the common key is not sent to strangers. */
static const struct {
    const char *base_url, *setting, *secret;
} own_keys[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = {"openai.transcribe_base_url", "openai.transcribe_api_key",
                          "openai_transcribe_api_key"},
    [MODEL_SUMMARISE] = {"openai.summarise_base_url", "openai.summarise_api_key",
                         "openai_summarise_api_key"},
    [MODEL_EMBED] = {"openai.embed_base_url", "openai.embed_api_key", "openai_embed_api_key"},
    [MODEL_ANSWER] = {"openai.answer_base_url", "openai.answer_api_key", "openai_answer_api_key"},
};

/* Thousands of requests a second do not look into the same file each; a key that was changed
 * without the old one being refused is used this much later. */
enum { KEEP_MS = 1000 };

struct kept_key {
    char text[SECRET_TEXT];
    int64_t until_ms; /* monotonic; 0: none is kept */
};

struct app_keys {
    const struct app *app;
    pthread_mutex_t lock;
    bool stale;            /* a key was refused since the settings were read */
    struct config *reread; /* the settings as read since; NULL: the app's are the newest */
    struct kept_key kept[MODEL_OPERATIONS];
};

/* ---- finding ---- */

static int find(const struct app *app, const struct config *config, const char *setting,
                const char *secret, char *out, size_t capacity)
{
    const char *value = config_string(config, setting);
    size_t length = strlen(value);
    if (length >= capacity)
        return error_set(ERR_SYSTEMIC, "invalid_key", "setting '%s' is too long for a key",
                         setting);
    memcpy(out, value, length + 1);
    if (length)
        return OK;
    int rc = app->secrets.ops->get(app->secrets.ctx, secret, out, capacity);
    if (rc)
        out[0] = '\0';
    return rc == ERR_NOT_FOUND ? OK : rc;
}

/* Answers are given with the key of the summaries unless they have settings of their own. */
static int find_for(const struct app *app, const struct config *config,
                    enum model_operation operation, char *out, size_t capacity)
{
    int rc =
        find(app, config, own_keys[operation].setting, own_keys[operation].secret, out, capacity);
    if (rc || *out || *config_string(config, own_keys[operation].base_url))
        return rc;
    if (operation == MODEL_ANSWER)
        return find_for(app, config, MODEL_SUMMARISE, out, capacity);
    return find(app, config, "openai.api_key", "openai_api_key", out, capacity);
}

bool app_has_key(const struct app *app, enum model_operation operation, bool common)
{
    char key[SECRET_TEXT];
    int rc = find(app, app->config, common ? "openai.api_key" : own_keys[operation].setting,
                  common ? "openai_api_key" : own_keys[operation].secret, key, sizeof key);
    bool has = rc || *key;
    explicit_bzero(key, sizeof key);
    return has;
}

const char *app_key_origin(struct app *app)
{
    char key[SECRET_TEXT] = "";
    int rc = find(app, app->config, "openai.api_key", "openai_api_key", key, sizeof key);
    bool none = !*key;
    explicit_bzero(key, sizeof key);
    if (rc || none)
        return rc ? NULL : "";
    if (*config_string(app->config, "openai.api_key"))
        return config_source_text(app->config, "openai.api_key");
    if (!strcmp(config_string(app->config, "secrets"), "secrets_manager"))
        return arena_printf(&app->arena, "the secret '%s' in AWS Secrets Manager",
                            config_string(app->config, "secrets.openai"));
    return app_path(app, "secrets");
}

/* ---- serving ---- */

/* What cannot be read leaves the keys stale: the next request tries once more. */
static int read_anew(struct app_keys *keys)
{
    struct config *fresh;
    int rc = app_read_config(keys->app->arguments, &fresh);
    if (rc == ERR_NO_MEMORY)
        return rc;
    if (rc)
        return error_set(ERR_SYSTEMIC, "invalid_config", "%s", error_last()->message);
    config_close(keys->reread);
    keys->reread = fresh;
    keys->stale = false;
    return OK;
}

static int get_anew(struct app_keys *keys, enum model_operation operation, struct kept_key *kept)
{
    int rc = keys->stale ? read_anew(keys) : OK;
    if (!rc)
        rc = find_for(keys->app, keys->reread ? keys->reread : keys->app->config, operation,
                      kept->text, sizeof kept->text);
    if (!rc)
        kept->until_ms = clock_monotonic_ms() + KEEP_MS;
    return rc;
}

static int get(void *ctx, enum model_operation operation, char *out, size_t capacity)
{
    struct app_keys *keys = ctx;
    struct kept_key *kept = &keys->kept[operation];
    pthread_mutex_lock(&keys->lock);
    int rc = clock_monotonic_ms() < kept->until_ms ? OK : get_anew(keys, operation, kept);
    if (!rc && strlen(kept->text) >= capacity)
        rc = error_set(ERR_SYSTEMIC, "invalid_key", "the key is too long");
    if (!rc)
        memcpy(out, kept->text, strlen(kept->text) + 1);
    pthread_mutex_unlock(&keys->lock);
    return rc;
}

static void forget(struct app_keys *keys)
{
    explicit_bzero(keys->kept, sizeof keys->kept);
}

static void refused(void *ctx, enum model_operation operation)
{
    struct app_keys *keys = ctx;
    const struct secret_source *secrets = &keys->app->secrets;
    pthread_mutex_lock(&keys->lock);
    keys->stale = true;
    forget(keys);
    secrets->ops->invalidate(secrets->ctx, own_keys[operation].secret);
    secrets->ops->invalidate(secrets->ctx, "openai_api_key");
    pthread_mutex_unlock(&keys->lock);
}

struct openai_keys app_keys_getter(struct app_keys *keys)
{
    return (struct openai_keys){.get = get, .refused = refused, .ctx = keys};
}

int app_keys_open(struct app *app, struct app_keys **out)
{
    struct app_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    keys->app = app;
    pthread_mutex_init(&keys->lock, NULL);
    *out = keys;
    return OK;
}

void app_keys_close(struct app_keys *keys)
{
    if (!keys)
        return;
    config_close(keys->reread);
    forget(keys);
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}
