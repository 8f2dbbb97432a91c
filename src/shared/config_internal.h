/*
 * config_internal.h - what the parts of the configuration share (config.c, config_value.c,
 * config_table.c, config_file.c).
 */
#ifndef AEGIS_SHARED_CONFIG_INTERNAL_H
#define AEGIS_SHARED_CONFIG_INTERNAL_H

#include "shared/config.h"

enum { CONFIG_SETTINGS_CAP = 96, CONFIG_PRICES_CAP = 512, CONFIG_VALUE_CAP = 8192 };

struct config_value {
    char *text; /* owned */
    int64_t number;
    double real;
    enum setting_source source;
    int line; /* SOURCE_FILE: where in the file */
    char from[64];
};

struct config_price_line {
    char *model, *price; /* owned */
    int line;
};

struct config {
    char *data;
    char *file; /* NULL if none was read */
    struct config_value values[CONFIG_SETTINGS_CAP];
    struct config_price_line *prices;
    size_t price_count;
};

/* The setting's index in the table, or -1. */
int config_index(const char *key);

/* ERR_INVALID with the nearest key in the text. */
int config_unknown_key(const char *key);

/* Checks `text` against the setting and converts it. ERR_INVALID names the key and what is allowed;
 * a secret's value is never in the text. */
int config_value_parse(const struct setting *setting, const char *text, int64_t *number,
                       double *real);

/* "0.25 0.025 2.00", "0.02" or "0.006/min". */
int config_price_check(const char *model, const char *price);

/* Replaces the value of setting `index`. On error the old value stays. */
int config_assign(struct config *config, int index, const char *text, enum setting_source source,
                  int line, const char *from);

/* Reads an INI file into `config`. */
int config_load_file(struct config *config, const char *path);

#endif
