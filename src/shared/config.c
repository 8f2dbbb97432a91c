#include "shared/config_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/error.h"
#include "shared/nearest.h"

int config_index(const char *key)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(table[i].key, key))
            return (int)i;
    return -1;
}

const struct setting *config_find(const char *key)
{
    int index = config_index(key);
    return index < 0 ? NULL : &config_settings(NULL)[index];
}

int config_unknown_key(const char *key)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    struct nearest n = {.typed = key};
    for (size_t i = 0; i < count; i++)
        nearest_offer(&n, table[i].key);
    if (n.best)
        return error_set(ERR_INVALID, NULL, "unknown setting '%.64s'; did you mean '%s'?", key,
                         n.best);
    return error_set(ERR_INVALID, NULL, "unknown setting '%.64s'; `aegis config` lists them all",
                     key);
}

int config_assign(struct config *config, int index, const char *text, enum setting_source source,
                  int line, const char *from)
{
    const struct setting *setting = &config_settings(NULL)[index];
    struct config_value value = {.source = source, .line = line};
    int rc = config_value_parse(setting, text, &value.number, &value.real);
    if (rc)
        return rc;
    value.text = strdup(text);
    if (!value.text)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    if (source == SOURCE_FILE)
        snprintf(value.from, sizeof value.from, "%.48s:%d", from, line);
    else
        snprintf(value.from, sizeof value.from, "%s", from);
    free(config->values[index].text); /* NOLINT: the analyser mixes up two indexes */
    config->values[index] = value;
    return OK;
}

static int load_defaults(struct config *config)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        int rc = config_assign(config, (int)i, table[i].fallback, SOURCE_DEFAULT, 0, "default");
        if (rc)
            return rc;
    }
    return OK;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL; /* empty means unset */
}

static int load_environment(struct config *config)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        const char *value = table[i].env ? environment(table[i].env) : NULL;
        if (!value)
            continue;
        int rc = config_assign(config, (int)i, value, SOURCE_ENVIRONMENT, 0, table[i].env);
        if (rc)
            return error_prefix("environment variable %s", table[i].env);
    }
    return OK;
}

/* $variable/rest, else $HOME/fallback/rest; NULL if neither is set. The XDG Base Directory
 * Specification has relative paths in its variables ignored. */
static char *xdg_path(const char *variable, const char *fallback, const char *rest)
{
    char path[PATH_MAX];
    const char *base = environment(variable), *home = environment("HOME");
    int n = -1;
    if (base && *base == '/')
        n = snprintf(path, sizeof path, "%s/%s", base, rest);
    else if (home)
        n = snprintf(path, sizeof path, "%s/%s/%s", home, fallback, rest);
    return n > 0 && n < (int)sizeof path ? strdup(path) : NULL;
}

static int find_data_directory(const char *data, char **out)
{
    if (!data)
        data = environment("AEGIS_DATA");
    *out = data ? strdup(data) : xdg_path("XDG_DATA_HOME", ".local/share", "aegis");
    if (*out && **out)
        return OK;
    return error_set(ERR_INVALID, NULL,
                     "no data directory: give --data DIR, or set AEGIS_DATA or HOME");
}

static int load_if_there(struct config *config, const char *path, bool *found)
{
    *found = false;
    if (!path || access(path, F_OK))
        return OK;
    *found = true;
    return config_load_file(config, path);
}

static int load_usual_file(struct config *config)
{
    char in_data[PATH_MAX];
    bool found;
    if (snprintf(in_data, sizeof in_data, "%s/aegis.conf", config->data) >= (int)sizeof in_data)
        return error_set(ERR_INVALID, NULL, "path '%.64s...' is too long", config->data);
    int rc = load_if_there(config, in_data, &found);
    if (rc || found)
        return rc;
    char *in_home = xdg_path("XDG_CONFIG_HOME", ".config", "aegis/aegis.conf");
    rc = load_if_there(config, in_home, &found);
    free(in_home);
    return rc;
}

int config_open(const char *data, const char *path, struct config **out)
{
    *out = NULL;
    struct config *config = calloc(1, sizeof *config);
    if (!config)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    if (!path)
        path = environment("AEGIS_CONFIG");
    int rc = load_defaults(config);
    if (!rc)
        rc = find_data_directory(data, &config->data);
    if (!rc)
        rc = path ? config_load_file(config, path) : load_usual_file(config);
    if (!rc)
        rc = load_environment(config);
    if (rc)
        config_close(config);
    else
        *out = config;
    return rc;
}

void config_close(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < CONFIG_SETTINGS_CAP; i++)
        free(config->values[i].text);
    for (size_t i = 0; i < config->price_count; i++) {
        free(config->prices[i].model);
        free(config->prices[i].price);
    }
    free(config->prices);
    free(config->data);
    free(config->file);
    free(config);
}

int config_set(struct config *config, const char *key, const char *value)
{
    char from[64];
    snprintf(from, sizeof from, "--set %s", key);
    return config_set_from(config, key, value, from);
}

int config_set_from(struct config *config, const char *key, const char *value, const char *from)
{
    int index = config_index(key);
    return index < 0 ? config_unknown_key(key)
                     : config_assign(config, index, value, SOURCE_FLAG, 0, from);
}

const char *config_data_directory(const struct config *config)
{
    return config->data;
}

const char *config_file(const struct config *config)
{
    return config->file ? config->file : "";
}

enum {
    TEXTS = 1u << SETTING_STRING | 1u << SETTING_SECRET | 1u << SETTING_CHOICE,
    WHOLES = 1u << SETTING_INT | 1u << SETTING_DURATION_MS | 1u << SETTING_BYTES,
    ANY = ~0u,
};

/* Asking for a setting that is not in the table, or as another type, is a mistake in the program:
 * checked in every build. */
static const struct config_value *value_of(const struct config *config, const char *key,
                                           unsigned types)
{
    int index = config_index(key);
    if (index < 0 || !(types & 1u << config_settings(NULL)[index].type)) {
        fprintf(stderr, "aegis: internal error: no setting '%s' of that type\n", key);
        abort();
    }
    return &config->values[index];
}

const char *config_text(const struct config *config, const char *key)
{
    return value_of(config, key, ANY)->text;
}

const char *config_string(const struct config *config, const char *key)
{
    return value_of(config, key, TEXTS)->text;
}

int64_t config_int(const struct config *config, const char *key)
{
    return value_of(config, key, WHOLES)->number;
}

double config_number(const struct config *config, const char *key)
{
    return value_of(config, key, 1u << SETTING_NUMBER)->real;
}

bool config_bool(const struct config *config, const char *key)
{
    return value_of(config, key, 1u << SETTING_BOOL)->number != 0;
}

enum setting_source config_source(const struct config *config, const char *key)
{
    return value_of(config, key, ANY)->source;
}

const char *config_source_text(const struct config *config, const char *key)
{
    return value_of(config, key, ANY)->from;
}

const char *config_price(const struct config *config, const char *model)
{
    for (size_t i = 0; i < config->price_count; i++)
        if (!strcmp(config->prices[i].model, model))
            return config->prices[i].price;
    return NULL;
}

bool config_price_at(const struct config *config, size_t index, const char **model,
                     const char **price, int *line)
{
    if (index >= config->price_count)
        return false;
    *model = config->prices[index].model;
    *price = config->prices[index].price;
    *line = config->prices[index].line;
    return true;
}
