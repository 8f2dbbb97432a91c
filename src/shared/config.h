/*
 * config.h - every setting: flags over environment over aegis.conf (INI) over defaults.
 *
 * One table (config.c) names each setting once: key, type, default, environment variable, flag,
 * range and one line of help; `aegis config`, --help, the man page and the parser all read it.
 */
#ifndef AEGIS_SHARED_CONFIG_H
#define AEGIS_SHARED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_STRING,
    SETTING_INT,
    SETTING_BOOL,
    SETTING_DURATION_MS,
    SETTING_BYTES,
    SETTING_CHOICE,
    SETTING_SECRET,
    SETTING_NUMBER
};
enum setting_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct setting {
    const char *key; /* "openai.base_url": section and name in aegis.conf */
    enum setting_type type;
    const char *fallback; /* default as text; "" for none */
    const char *env;      /* "AEGIS_WORKERS", "OPENAI_BASE_URL" */
    const char *choices;  /* "auto|offline|openai" for SETTING_CHOICE */
    int64_t min, max;     /* for numbers */
    const char *help;     /* one line */
};

struct config;

/* The table; *count entries (count may be NULL). */
const struct setting *config_settings(size_t *count);
const struct setting *config_find(const char *key); /* NULL if there is none */

/* "a whole number from 1 to 4096": what the setting takes, for people. */
void config_allowed(const struct setting *setting, char *out, size_t size);

/* Reads defaults and environment, then `path` (NULL: "<data>/aegis.conf" if there is one, else
 * $XDG_CONFIG_HOME/aegis/aegis.conf if there is one). `data` (NULL: AEGIS_DATA, else
 * $XDG_DATA_HOME/aegis, else ~/.local/share/aegis) is the --data flag. ERR_INVALID names file, line
 * and key for an unknown key or a bad value. */
int config_open(const char *data, const char *path, struct config **out);
void config_close(struct config *config);

/* A flag: "workers=8" form split by the caller. ERR_INVALID names the key. */
int config_set(struct config *config, const char *key, const char *value);
/* As config_set, when the flag has a name of its own: `from` ("--workers") is its source text. */
int config_set_from(struct config *config, const char *key, const char *value, const char *from);

const char *config_data_directory(const struct config *config);
const char *config_file(const struct config *config); /* "" if none was read */

/* Values; asserting that key exists with that type. Strings are borrowed and never NULL. */
const char *config_string(const struct config *config, const char *key);
int64_t config_int(const struct config *config,
                   const char *key); /* also durations (ms) and bytes */
double config_number(const struct config *config, const char *key);
bool config_bool(const struct config *config, const char *key);
/* Any setting as it was written ("2m"). A secret's text too: mask it before it is shown. */
const char *config_text(const struct config *config, const char *key);

/* Where a value came from, for people: "default", "aegis.conf:12", "AEGIS_WORKERS", "--workers". */
enum setting_source config_source(const struct config *config, const char *key);
const char *config_source_text(const struct config *config, const char *key);

/* [price] section: "gpt-5.4-mini = 0.25 0.025 2.00" (US dollars per million input, cached input and
 * output tokens) or "gpt-transcribe = 0.006/min". NULL if the model has no line. */
const char *config_price(const struct config *config, const char *model);
/* The lines of [price] in file order; false past the last. */
bool config_price_at(const struct config *config, size_t index, const char **model,
                     const char **price, int *line);

#endif
