#include "commands/telemetry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands/app_parts.h"
#include "server/otlp.h"
#include "server/otlp_pairs.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/log.h"

enum { OWN_ATTRIBUTES = 5, HOST_TEXT = 65 };

struct telemetry {
    struct otlp *otlp;
};

/* ---- settings ---- */

static bool is_protocol(const struct app *app, const char *name)
{
    return !strcmp(config_string(app->config, "otlp.protocol"), name);
}

static bool has_endpoint(const struct app *app)
{
    static const char *const keys[] = {"otlp.endpoint", "otlp.traces_endpoint",
                                       "otlp.metrics_endpoint"};
    bool has = false;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        has |= *config_string(app->config, keys[i]) != '\0';
    return has && !config_bool(app->config, "otlp.disabled");
}

/* A receiver of http/protobuf takes JSON at the same place; one of gRPC has another port. */
bool telemetry_wanted(const struct app *app)
{
    if (!has_endpoint(app))
        return false;
    if (is_protocol(app, "http/json"))
        return true;
    bool same_place = is_protocol(app, "http/protobuf");
    log_write(
        LOG_WARN, "otlp.protocol", LOG_STR("asked", config_string(app->config, "otlp.protocol")),
        LOG_STR("message",
                same_place ? "Aegis speaks http/json only, and does so; every collector takes it "
                             "where it takes http/protobuf"
                           : "Aegis speaks http/json only, so nothing is exported: set "
                             "OTEL_EXPORTER_OTLP_PROTOCOL=http/json and the endpoint of OTLP/HTTP, "
                             "usually port 4318"),
        LOG_END);
    return same_place;
}

/* Credentials in an address would be in every log. */
static int check_url(const char *key, const char *url)
{
    const char *host = strstr(url, "://");
    if (!host || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
        return error_set(ERR_INVALID, NULL,
                         "%s: '%.80s' is no address of OTLP/HTTP; write http://HOST:4318", key,
                         url);
    if (memchr(host + 3, '@', strcspn(host + 3, "/?#")))
        return error_set(ERR_INVALID, NULL,
                         "%s: a name and password do not belong into the address; write them as "
                         "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Basic%%20...",
                         key);
    return OK;
}

/* The signal's own URL, else the common one with its path. NULL: it is not exported. */
static int url_of(struct app *app, const char *key, const char *path, const char **out)
{
    const char *own = config_string(app->config, key);
    const char *base = config_string(app->config, "otlp.endpoint");
    size_t length = strlen(base);
    *out = NULL;
    if (!*own && !*base)
        return OK;
    while (length && base[length - 1] == '/')
        length--;
    *out = *own ? own : arena_printf(&app->arena, "%.*s/%s", (int)length, base, path);
    return *out ? check_url(*own ? key : "otlp.endpoint", *out) : ERR_NO_MEMORY;
}

static bool is_named(const struct http_header *all, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(all[i].name, name))
            return true;
    return false;
}

/* What the settings say counts more than what is said for them. */
static int read_resource(struct app *app, struct otlp_resource *out)
{
    struct http_header *given, *all;
    size_t count;
    char host[HOST_TEXT] = "localhost";
    const char *name = config_string(app->config, "otlp.service_name");
    int rc = otlp_pairs_parse("otlp.resource_attributes",
                              config_string(app->config, "otlp.resource_attributes"), &app->arena,
                              &given, &count);
    if (rc)
        return rc;
    gethostname(host, sizeof host - 1);
    const struct http_header own[OWN_ATTRIBUTES] = {
        {"service.name", *name ? name : "aegis"},
        {"service.version", AEGIS_VERSION},
        {"service.instance.id", arena_printf(&app->arena, "%s:%d", host, (int)getpid())},
        {"host.name", arena_strdup(&app->arena, host)},
        {"process.pid", arena_printf(&app->arena, "%d", (int)getpid())},
    };
    all = arena_array(&app->arena, count + OWN_ATTRIBUTES, sizeof *all);
    if (!all || !own[2].value || !own[3].value || !own[4].value)
        return ERR_NO_MEMORY;
    *out = (struct otlp_resource){.attributes = all};
    for (size_t i = 0; i < OWN_ATTRIBUTES; i++)
        if (!is_named(given, count, own[i].name) || (i == 0 && *name))
            all[out->count++] = own[i];
    for (size_t i = 0; i < count; i++)
        if (strcmp(given[i].name, "service.name") != 0 || !*name)
            all[out->count++] = given[i];
    return OK;
}

static int read_options(struct app *app, struct otlp_options *out)
{
    struct http_header *headers;
    int rc = url_of(app, "otlp.traces_endpoint", "v1/traces", &out->traces_url);
    if (!rc)
        rc = url_of(app, "otlp.metrics_endpoint", "v1/metrics", &out->metrics_url);
    if (!rc)
        rc = otlp_pairs_parse("otlp.headers", config_string(app->config, "otlp.headers"),
                              &app->arena, &headers, &out->header_count);
    if (!rc)
        rc = read_resource(app, &out->resource);
    if (rc)
        return rc;
    out->headers = headers;
    out->timeout_ms = config_int(app->config, "otlp.timeout");
    out->interval_ms = config_int(app->config, "otlp.metric_interval");
    return OK;
}

/* ---- opening and closing ---- */

static int start(struct app *app, struct instruments *instruments, struct otlp **out)
{
    struct otlp_options options = {.instruments = instruments};
    int rc = read_options(app, &options);
    if (!rc)
        rc = app_http(app);
    options.http = app->http;
    if (!rc)
        rc = otlp_open(&options, out);
    if (!rc)
        log_write(LOG_INFO, "otlp.ready", LOG_STR("traces", options.traces_url),
                  LOG_STR("metrics", instruments ? options.metrics_url : ""), LOG_END);
    return rc;
}

int telemetry_open(struct app *app, struct instruments *instruments, struct telemetry **out)
{
    *out = NULL;
    struct telemetry *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc = start(app, instruments, &t->otlp);
    if (rc)
        free(t);
    else
        *out = t;
    return rc;
}

void telemetry_close(struct telemetry *t)
{
    if (!t)
        return;
    otlp_close(t->otlp);
    free(t);
}

void telemetry_flush(struct telemetry *t, int64_t deadline_ms)
{
    if (t)
        otlp_flush(t->otlp, deadline_ms);
}

/* ---- spans ---- */

/* What to add to clock_monotonic_us for Unix time. */
static int64_t unix_offset_us(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 - clock_monotonic_us();
}

static size_t parts_of(const struct attempt_report *r, int64_t offset,
                       struct span_part parts[STAGES])
{
    size_t n = 0;
    for (int s = 0; s < STAGES; s++)
        if (r->stage_began_us[s])
            parts[n++] = (struct span_part){.name = stage_name((enum stage)s),
                                            .began_us = r->stage_began_us[s] + offset,
                                            .ended_us = r->stage_ended_us[s] + offset};
    return n;
}

static bool is_failure(const char *type)
{
    return !strcmp(type, "job.retrying") || !strcmp(type, "job.dead") || !strcmp(type, "job.lost");
}

void telemetry_attempt(struct telemetry *t, const struct attempt_report *r)
{
    struct span_part parts[STAGES];
    struct trace_context parent;
    const struct job_work *w = r->work;
    if (!t)
        return;
    int64_t offset = unix_offset_us();
    bool failed = is_failure(r->type);
    trace_context_of_job(w->trace_id, w->job_id, true, &parent);
    struct span span = {.name = "job.attempt",
                        .kind = SPAN_CONSUMER,
                        .trace_id = w->trace_id,
                        .parent_id = parent.span_id,
                        .began_us = r->began_us + offset,
                        .ended_us = r->ended_us + offset,
                        .job_id = w->job_id,
                        .media_id = w->media_id,
                        .attempt = w->attempt,
                        .bucket = w->bucket,
                        .key = w->key,
                        .outcome = strchr(r->type, '.') + 1,
                        .error = failed ? r->reason : "",
                        .message = r->message,
                        .parts = parts,
                        .part_count = parts_of(r, offset, parts)};
    otlp_span(t->otlp, &span);
}

void telemetry_taken(void *telemetry, const struct ingest_report *r)
{
    struct telemetry *t = telemetry;
    struct trace_context own;
    if (!t)
        return;
    int64_t offset = unix_offset_us();
    trace_context_of_job(r->event->trace_id, r->outcome->job_id, true, &own);
    otlp_span(t->otlp, &(struct span){.name = "job.ingest",
                                      .kind = SPAN_PRODUCER,
                                      .trace_id = r->event->trace_id,
                                      .span_id = own.span_id,
                                      .parent_id = r->event->parent_span,
                                      .began_us = r->began_us + offset,
                                      .ended_us = r->ended_us + offset,
                                      .job_id = r->outcome->job_id,
                                      .media_id = r->outcome->media_id,
                                      .bucket = r->event->bucket,
                                      .key = r->event->key,
                                      .error = r->error,
                                      .message = r->message});
}
