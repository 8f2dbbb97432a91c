#include "commands/app_aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs.h"
#include "commands/app_parts.h"

static const struct {
    const char *service, *setting;
} endpoints[] = {
    {"s3", "aws.endpoint_url_s3"},
    {"sqs", "aws.endpoint_url_sqs"},
    {"secretsmanager", "aws.endpoint_url_secrets_manager"},
};

enum { SERVICES = sizeof endpoints / sizeof endpoints[0] };

struct app_aws {
    char region[AWS_REGION_TEXT]; /* "" if it is said nowhere */
    struct aws_credentials *credentials;
    struct aws_client *clients[SERVICES];
    struct aws_client *long_queue; /* which may be elsewhere than the queue */
};

/* ---- opening ---- */

static int find_region(const struct app *app, char out[AWS_REGION_TEXT])
{
    const char *set = config_string(app->config, "aws.region");
    if (*set) {
        snprintf(out, AWS_REGION_TEXT, "%s", set);
        return OK;
    }
    int rc = aws_region(config_string(app->config, "aws.profile"), out);
    if (rc == ERR_NOT_FOUND)
        out[0] = '\0'; /* a place may know it; else the client says what to set */
    return rc == ERR_NOT_FOUND ? OK : rc;
}

/* AWS_PROFILE is left to the credentials: there it goes behind the keys of the environment. */
static const char *named_profile(const struct app *app)
{
    return config_source(app->config, "aws.profile") == SOURCE_ENVIRONMENT
               ? NULL
               : config_string(app->config, "aws.profile");
}

static int open_credentials(const struct app *app, struct app_aws *aws)
{
    int rc = find_region(app, aws->region);
    struct aws_credentials_options options = {
        .http = app->http,
        .clock = clock_system(),
        .profile = named_profile(app),
        .region = aws->region,
    };
    return rc ? rc : aws_credentials_open(&options, &aws->credentials);
}

static int open_aws(struct app *app)
{
    if (app->aws)
        return OK;
    int rc = app_http(app);
    if (rc)
        return rc;
    struct app_aws *aws = calloc(1, sizeof *aws);
    if (!aws)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the AWS clients");
    rc = open_credentials(app, aws);
    if (rc)
        free(aws);
    else
        app->aws = aws;
    return rc;
}

void app_aws_close(struct app *app)
{
    if (!app->aws)
        return;
    for (int i = 0; i < SERVICES; i++)
        aws_client_close(app->aws->clients[i]);
    aws_client_close(app->aws->long_queue);
    aws_credentials_close(app->aws->credentials);
    free(app->aws);
    app->aws = NULL;
}

int app_aws_credentials(struct app *app, struct aws_credentials **out)
{
    int rc = open_aws(app);
    *out = rc ? NULL : app->aws->credentials;
    return rc;
}

/* ---- clients ---- */

static const char *first_set(const char *a, const char *b, const char *c)
{
    return *a ? a : *b ? b : c;
}

static int open_client(const struct app *app, int i, const struct app_aws_place *place,
                       struct aws_client **out)
{
    const struct app_aws *aws = app->aws;
    struct aws_client_options options = {
        .http = app->http,
        .credentials = aws->credentials,
        .clock = clock_system(),
        .service = endpoints[i].service,
        .region = first_set(place->region, aws->region, ""),
        .endpoint = first_set(config_string(app->config, endpoints[i].setting),
                              config_string(app->config, "aws.endpoint_url"), place->endpoint),
    };
    return aws_client_open(&options, out);
}

static int service_index(const char *service)
{
    int i = 0;
    while (i < SERVICES && strcmp(endpoints[i].service, service) != 0)
        i++;
    return i;
}

int app_aws_client_at(struct app *app, const char *service, const struct app_aws_place *place,
                      struct aws_client **out)
{
    int i = service_index(service), rc = open_aws(app);
    *out = NULL;
    if (!rc && i == SERVICES)
        rc = error_set(ERR_INVALID, NULL, "no setting names the address of AWS's '%s'", service);
    if (!rc && !app->aws->clients[i])
        rc = open_client(app, i, place, &app->aws->clients[i]);
    if (!rc)
        *out = app->aws->clients[i];
    return rc;
}

int app_aws_client(struct app *app, const char *service, struct aws_client **out)
{
    return app_aws_client_at(app, service, &(struct app_aws_place){0}, out);
}

/* ---- places ---- */

static bool is(const char *text, const char *end, const char *expected)
{
    size_t n = (size_t)(end - text);
    return n == strlen(expected) && !strncmp(text, expected, n);
}

/* "sqs.REGION.amazonaws.com", or as it was once: "REGION.queue.amazonaws.com". */
static void region_of_host(const char *host, const char *end, char out[AWS_REGION_TEXT])
{
    bool today = end - host > 4 && !strncmp(host, "sqs.", 4);
    const char *label = today ? host + 4 : host, *rest = label;
    while (rest < end && *rest != '.')
        rest++;
    bool known = today ? is(rest, end, ".amazonaws.com") || is(rest, end, ".amazonaws.com.cn")
                       : is(rest, end, ".queue.amazonaws.com");
    if (known && rest - label < AWS_REGION_TEXT)
        snprintf(out, AWS_REGION_TEXT, "%.*s", (int)(rest - label), label);
}

void app_aws_queue_place(const char *queue_url, struct app_aws_place *out)
{
    const char *scheme = strstr(queue_url, "://");
    *out = (struct app_aws_place){0};
    if (!scheme)
        return;
    const char *host = scheme + 3;
    size_t length = strcspn(host, "/?#");
    size_t all = (size_t)(host - queue_url) + length;
    if (length == 0 || all >= sizeof out->endpoint)
        return;
    snprintf(out->endpoint, sizeof out->endpoint, "%.*s", (int)all, queue_url);
    region_of_host(host, host + length, out->region);
}

/* ---- the queue ---- */

int app_long_queue(struct app *app, struct job_queue *out)
{
    struct app_aws_place place;
    struct sqs_queue_options options = {.url = config_string(app->config, "queue.long_url"),
                                        .fair = config_bool(app->config, "queue.fair"),
                                        .send_only = true};
    *out = (struct job_queue){0};
    if (!*options.url)
        return OK;
    app_aws_queue_place(options.url, &place);
    int rc = open_aws(app);
    if (!rc && !app->aws->long_queue)
        rc = open_client(app, service_index("sqs"), &place, &app->aws->long_queue);
    if (rc)
        return rc;
    options.client = app->aws->long_queue;
    return sqs_queue_open(&options, out);
}

int app_sqs_queue(struct app *app)
{
    struct app_aws_place place;
    struct sqs_queue_options options = {
        .url = config_string(app->config, "queue.url"),
        .dead_letter_url = config_string(app->config, "queue.dead_letter_url"),
        .max_receives = (int)config_int(app->config, "queue.max_receives"),
        .fair = config_bool(app->config, "queue.fair"),
    };
    app_aws_queue_place(options.url, &place);
    int rc = app_aws_client_at(app, "sqs", &place, &options.client);
    return rc ? rc : sqs_queue_open(&options, &app->queue);
}
