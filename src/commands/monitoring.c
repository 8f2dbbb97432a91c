#include "commands/monitoring.h"

#include <stdlib.h>

#include "commands/telemetry.h"
#include "server/metered_providers.h"
#include "server/monitor.h"
#include "shared/error.h"
#include "shared/log.h"

struct monitoring {
    struct app *app;
    struct instruments instruments;
    struct monitor *monitor;     /* NULL: nobody asks */
    struct telemetry *telemetry; /* NULL: nobody is told */
    struct metered_providers *metered;
    struct model_providers unmetered;
};

static int meter(struct monitoring *m)
{
    struct app *app = m->app;
    int rc = app_providers(app);
    if (rc)
        return rc;
    m->unmetered = app->providers;
    return metered_providers_open(&m->unmetered, m->instruments.metrics, &m->metered,
                                  &app->providers);
}

static int listen(struct monitoring *m)
{
    struct app *app = m->app;
    struct monitor_options options = {.listen = config_string(app->config, "metrics.listen"),
                                      .database = app->database,
                                      .queue = app->queue,
                                      .instruments = &m->instruments};
    if (!*options.listen)
        return OK;
    int rc = monitor_open(&options, &m->monitor);
    if (!rc)
        log_write(LOG_INFO, "metrics.ready", LOG_STR("listen", monitor_address(m->monitor)),
                  LOG_END);
    return rc;
}

static int start(struct monitoring *m, bool process, bool tell)
{
    struct app *app = m->app;
    int rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (!rc)
        rc = instruments_open(&m->instruments, &app->database, &app->queue, 0);
    if (!rc)
        rc = listen(m);
    if (!rc && tell)
        rc = telemetry_open(app, &m->instruments, &m->telemetry);
    return rc || !process ? rc : meter(m);
}

int monitoring_open(struct app *app, bool process, struct monitoring **out)
{
    bool tell = telemetry_wanted(app);
    *out = NULL;
    if (!*config_string(app->config, "metrics.listen") && !tell)
        return OK;
    struct monitoring *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    m->app = app;
    int rc = start(m, process, tell);
    if (rc)
        monitoring_close(m);
    else
        *out = m;
    return rc;
}

void monitoring_drain(struct monitoring *m)
{
    if (m && m->monitor)
        monitor_drain(m->monitor);
}

void monitoring_close(struct monitoring *m)
{
    if (!m)
        return;
    struct error e = *error_last();
    if (m->metered)
        m->app->providers = m->unmetered;
    metered_providers_close(m->metered);
    monitor_close(m->monitor);
    telemetry_close(m->telemetry);
    instruments_close(&m->instruments);
    free(m);
    error_restore(&e);
}

void monitoring_event(struct monitoring *m, const struct life_event *event)
{
    if (m)
        metrics_event(m->instruments.metrics, event);
}

void monitoring_file(struct monitoring *m, const char *result)
{
    if (m)
        metrics_file(m->instruments.metrics, result);
}

void monitoring_attempt(struct monitoring *m, const struct attempt_report *report)
{
    if (m)
        telemetry_attempt(m->telemetry, report);
}

void monitoring_taken(void *monitoring, const struct ingest_report *report)
{
    struct monitoring *m = monitoring;
    if (m)
        telemetry_taken(m->telemetry, report);
}
