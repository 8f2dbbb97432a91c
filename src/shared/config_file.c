/*
 * config_file.c - aegis.conf, parsed by libinih.
 *
 * The library's line reader is replaced: it lets handlers know the line they are on, and takes the
 * blanks off the start of each line, so that an indented key is a key and not a continuation of the
 * one before.
 */
#include "shared/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/ini_lines.h"

struct reader {
    struct config *config;
    const char *path;
    const char *at, *end;
    int line;
    bool in_line; /* the last piece handed out did not end its line */
    int error_line;
    struct error error;
};

static char *read_line(char *out, int capacity, void *stream)
{
    struct reader *r = stream;
    if (r->at == r->end || capacity < 2)
        return NULL;
    if (!r->in_line) {
        r->line++;
        while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
            r->at++;
    }
    int n = 0;
    bool ended = false;
    while (n < capacity - 1 && r->at < r->end && !ended) {
        ended = *r->at == '\n';
        out[n++] = *r->at++;
    }
    out[n] = '\0';
    r->in_line = !ended;
    return out;
}

static int add_price(struct reader *r, const char *model, const char *price)
{
    struct config *c = r->config;
    int rc = config_price_check(model, price);
    if (rc)
        return rc;
    for (size_t i = 0; i < c->price_count; i++)
        if (!strcmp(c->prices[i].model, model))
            return error_set(ERR_INVALID, NULL,
                             "the price of '%.64s' is set twice (first on line %d)", model,
                             c->prices[i].line);
    if (c->price_count >= CONFIG_PRICES_CAP)
        return error_set(ERR_TOO_LARGE, NULL, "more than %d prices", CONFIG_PRICES_CAP);
    struct config_price_line *grown =
        realloc(c->prices, (c->price_count + 1) * sizeof c->prices[0]);
    if (!grown)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    c->prices = grown;
    struct config_price_line *line = &grown[c->price_count];
    *line = (struct config_price_line){strdup(model), strdup(price), r->line};
    c->price_count++;
    return line->model && line->price ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory");
}

/* A model name may hold the colon that libinih takes for the separator ("llama3.2:3b = 0 0 0"). */
static int price_line(struct reader *r, const char *name, const char *value)
{
    const char *equals = strchr(value, '=');
    if (!equals)
        return add_price(r, name, value);
    size_t rest = (size_t)(equals - value);
    while (rest > 0 && (value[rest - 1] == ' ' || value[rest - 1] == '\t'))
        rest--;
    char model[256];
    if (snprintf(model, sizeof model, "%s:%.*s", name, (int)rest, value) >= (int)sizeof model)
        return error_set(ERR_INVALID, NULL, "model name '%.64s...' is too long", name);
    const char *price = equals + 1;
    return add_price(r, model, price + strspn(price, " \t"));
}

static int setting_line(struct reader *r, const char *section, const char *name, const char *value)
{
    char key[256];
    int n = snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "", name);
    int index = n < (int)sizeof key ? config_index(key) : -1;
    if (index < 0)
        return config_unknown_key(key);
    const struct config_value *old = &r->config->values[index];
    if (old->source == SOURCE_FILE)
        return error_set(ERR_INVALID, NULL, "'%s' is set twice (first on line %d)", key, old->line);
    const char *base = strrchr(r->path, '/');
    return config_assign(r->config, index, value, SOURCE_FILE, r->line, base ? base + 1 : r->path);
}

static int on_line(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    if (r->error_line)
        return 1; /* the first error is the one reported */
    int rc = strcmp(section, "price") ? setting_line(r, section, name, value)
                                      : price_line(r, name, value);
    if (rc == OK)
        return 1;
    r->error_line = r->line;
    r->error = *error_last();
    return 0;
}

static int parse(struct reader *r)
{
    int bad = ini_lines_parse(read_line, r, on_line, r);
    if (bad == 0)
        return OK;
    if (bad == -2)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory while reading '%s'", r->path);
    if (bad == r->error_line) {
        error_restore(&r->error);
        return error_prefix("%s:%d", r->path, bad);
    }
    return error_set(ERR_INVALID, NULL,
                     "%s:%d: not understood: expected '[section]', 'key = value' or a comment",
                     r->path, bad);
}

int config_load_file(struct config *config, const char *path)
{
    struct buffer text;
    buffer_init(&text, CAP_CONFIG_FILE);
    int rc = file_read(path, &text);
    if (rc)
        goto cleanup;
    if (text.length > 0 && memchr(text.data, '\0', text.length)) {
        rc = error_set(ERR_INVALID, NULL, "'%s' is not a text file", path);
        goto cleanup;
    }
    config->file = strdup(path);
    if (!config->file) {
        rc = error_set(ERR_NO_MEMORY, NULL, "out of memory");
        goto cleanup;
    }
    struct reader reader = {.config = config,
                            .path = path,
                            .at = buffer_string(&text),
                            .end = buffer_string(&text) + text.length};
    rc = parse(&reader);
cleanup:
    buffer_free(&text);
    return rc;
}
