#include <string.h>

#include "adapters/aws/store_s3.h"
#include "adapters/local/store_folder.h"
#include "adapters/local/store_shared.h"
#include "commands/app_aws.h"
#include "commands/app_parts.h"

static bool by_path(const struct config *c)
{
    const char *addressing = config_string(c, "s3.addressing");
    bool own_server =
        *config_string(c, "aws.endpoint_url_s3") || *config_string(c, "aws.endpoint_url");
    return !strcmp(addressing, "path") || (!strcmp(addressing, "auto") && own_server);
}

/* As the SDKs read it, in any case. */
static bool whenever_supported(const struct config *c, const char *setting)
{
    return !strcasecmp(config_string(c, setting), "when_supported");
}

static int open_s3(struct app *app)
{
    const struct config *c = app->config;
    struct s3_store_options options = {
        .clock = clock_system(),
        .send_checksums = whenever_supported(c, "s3.request_checksums"),
        .ask_checksums = whenever_supported(c, "s3.response_checksums"),
        .path_style = by_path(c),
        .home = config_string(c, "bucket"),
        .bucket_owner = config_string(c, "s3.bucket_owner"),
        .spool_directory = config_data_directory(c),
        .reserve = (int64_t)CAP_DISK_RESERVE,
    };
    int rc = app_aws_client(app, "s3", &options.client);
    return rc ? rc : s3_store_open(&options, &app->store);
}

int app_store(struct app *app)
{
    const struct config *c = app->config;
    const char *shared = config_string(c, "store.directory");
    if (app->store.ops)
        return OK;
    int rc = app_make_data_directory(app);
    if (rc)
        return rc;
    if (!strcmp(config_string(c, "store"), "s3"))
        return open_s3(app);
    if (*shared) {
        struct shared_store_options options = {.directory = shared,
                                               .reserve = (int64_t)CAP_DISK_RESERVE};
        return shared_store_open(&options, &app->store);
    }
    struct folder_store_options options = {.data = config_data_directory(c),
                                           .reserve = (int64_t)CAP_DISK_RESERVE};
    return folder_store_open(&options, &app->store);
}

int app_store_check(struct app *app, const char **where)
{
    struct aws_client *client;
    const char *bucket = config_string(app->config, "bucket");
    bool s3 = !strcmp(config_string(app->config, "store"), "s3");
    const char *shared = config_string(app->config, "store.directory");
    *where = *shared ? shared : "in the data directory";
    int rc = s3 ? app_aws_client(app, "s3", &client) : OK;
    if (!rc && s3)
        *where =
            arena_printf(&app->arena, "bucket '%s' at %s", bucket, aws_client_endpoint(client));
    if (!rc)
        rc = app_store(app);
    return rc || !s3 ? rc : s3_store_check(&app->store, bucket);
}
