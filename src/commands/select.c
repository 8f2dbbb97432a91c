#include "commands/select.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/error.h"

static int parse_time(const struct app *app, const char *option, int64_t *out)
{
    const char *text = arguments_value(app->arguments, option, NULL);
    *out = 0;
    if (!text)
        return OK;
    int rc = clock_parse(text, out);
    return rc ? error_prefix("--%s", option) : OK;
}

int select_filter(const struct app *app, struct media_filter *out)
{
    const struct arguments *a = app->arguments;
    *out = (struct media_filter){
        .collection = arguments_value(a, "collection", NULL),
        .kind = arguments_value(a, "kind", NULL),
        .language = arguments_value(a, "language", NULL),
        .prefix = arguments_value(a, "prefix", NULL),
    };
    int rc = parse_time(app, "since", &out->since_ms);
    return rc ? rc : parse_time(app, "until", &out->until_ms);
}

bool filter_is_empty(const struct media_filter *f)
{
    return !f->collection && !f->kind && !f->language && !f->prefix && !f->since_ms &&
           !f->until_ms && !f->media_id;
}

bool parse_id(const char *text, int64_t *id)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *id = strtoll(text, &end, 10);
    return !errno && *end == '\0' && *id > 0;
}

static int find_by_url(struct app *app, const char *reference, struct media_row *out)
{
    const char *bucket = reference + strlen("s3://"), *slash = strchr(bucket, '/');
    char name[CAP_BUCKET + 1];
    if (!slash || (size_t)(slash - bucket) >= sizeof name)
        return ERR_NOT_FOUND;
    snprintf(name, sizeof name, "%.*s", (int)(slash - bucket), bucket);
    return app->database.ops->media_find(app->database.ctx, name, slash + 1, &app->arena, out);
}

/* A key of any bucket: the media whose key starts with it, searched for the one that equals it. */
static int find_anywhere(struct app *app, const char *key, struct media_row *out)
{
    enum { PAGE = 100 };
    struct media_filter filter = {.prefix = key};
    int64_t before = 0;
    for (;;) {
        struct media_row *rows;
        size_t count = 0;
        int rc = app->database.ops->media_list(app->database.ctx, &filter, before, PAGE,
                                               &app->arena, &rows, &count);
        if (rc)
            return rc;
        for (size_t i = 0; i < count; i++)
            if (!strcmp(rows[i].key, key)) {
                *out = rows[i];
                return OK;
            }
        if (count < PAGE)
            return ERR_NOT_FOUND;
        before = rows[count - 1].media_id;
    }
}

/* A file's own path: media added from files are named by it. */
static int find_by_path(struct app *app, const char *path, struct media_row *out)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return ERR_NOT_FOUND;
    const char *bucket = config_string(app->config, "bucket");
    return app->database.ops->media_find(app->database.ctx, bucket, real + 1, &app->arena, out);
}

static bool ends_with_name(const char *key, const char *name)
{
    size_t m = strlen(key), n = strlen(name);
    return m > n && key[m - n - 1] == '/' && !strcmp(key + m - n, name);
}

/* The one medium among the newest whose key ends in /NAME. Two are an error, not a guess. */
static int find_by_name(struct app *app, const char *name, struct media_row *out)
{
    enum { PAGE = 500, LOOKED_AT = 20000 };
    struct media_filter any = {0};
    int64_t before = 0, found = 0;
    size_t count = PAGE;
    struct arena page;
    arena_init(&page, MIB(64));
    int rc = OK;
    for (size_t seen = 0; !rc && count == PAGE && seen < LOOKED_AT; seen += count) {
        struct media_row *rows;
        count = 0;
        rc = app->database.ops->media_list(app->database.ctx, &any, before, PAGE, &page, &rows,
                                           &count);
        for (size_t i = 0; !rc && i < count; i++) {
            before = rows[i].media_id;
            if (!ends_with_name(rows[i].key, name))
                continue;
            if (found)
                rc = error_set(ERR_INVALID, NULL,
                               "several media are called '%.200s', such as %" PRId64 " and %" PRId64
                               "; give the id or the whole key",
                               name, found, rows[i].media_id);
            found = rows[i].media_id;
        }
        arena_free(&page);
    }
    if (rc)
        return rc;
    return found ? app->database.ops->media_get(app->database.ctx, found, &app->arena, out)
                 : ERR_NOT_FOUND;
}

int select_media(struct app *app, const char *reference, struct media_row *out)
{
    int rc = app_database(app);
    if (rc)
        return rc;
    const struct database *db = &app->database;
    const char *bucket = config_string(app->config, "bucket");
    int64_t id;
    rc = ERR_NOT_FOUND;
    if (parse_id(reference, &id))
        rc = db->ops->media_get(db->ctx, id, &app->arena, out);
    if (rc == ERR_NOT_FOUND && !strncmp(reference, "s3://", 5))
        rc = find_by_url(app, reference, out);
    if (rc == ERR_NOT_FOUND)
        rc = db->ops->media_find(db->ctx, bucket, reference, &app->arena, out);
    if (rc == ERR_NOT_FOUND)
        rc = find_by_path(app, reference, out);
    if (rc == ERR_NOT_FOUND)
        rc = find_anywhere(app, reference, out);
    if (rc == ERR_NOT_FOUND)
        rc = find_by_name(app, reference, out);
    if (rc == ERR_NOT_FOUND)
        return error_set(ERR_NOT_FOUND, NULL,
                         "no medium has the id or key '%.200s'; `aegis list` shows what there is",
                         reference);
    return rc;
}
