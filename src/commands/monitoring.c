#include "commands/monitoring.h"

#include <stdlib.h>

#include "server/metered_providers.h"
#include "server/monitor.h"
#include "shared/error.h"
#include "shared/log.h"

struct monitoring {
    struct app *app;
    struct monitor *monitor;
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
    return metered_providers_open(&m->unmetered, monitor_metrics(m->monitor), &m->metered,
                                  &app->providers);
}

static int start(struct monitoring *m, bool process)
{
    struct app *app = m->app;
    int rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (rc)
        return rc;
    struct monitor_options options = {.listen = config_string(app->config, "metrics.listen"),
                                      .database = app->database,
                                      .queue = app->queue};
    rc = monitor_open(&options, &m->monitor);
    return rc || !process ? rc : meter(m);
}

int monitoring_open(struct app *app, bool process, struct monitoring **out)
{
    *out = NULL;
    if (!*config_string(app->config, "metrics.listen"))
        return OK;
    struct monitoring *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    m->app = app;
    int rc = start(m, process);
    if (rc) {
        monitoring_close(m);
        return rc;
    }
    log_write(LOG_INFO, "metrics.ready", LOG_STR("listen", monitor_address(m->monitor)), LOG_END);
    *out = m;
    return OK;
}

void monitoring_drain(struct monitoring *m)
{
    if (m)
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
    free(m);
    error_restore(&e);
}

void monitoring_event(struct monitoring *m, const struct life_event *event)
{
    if (m)
        metrics_event(monitor_metrics(m->monitor), event);
}

void monitoring_file(struct monitoring *m, const char *result)
{
    if (m)
        metrics_file(monitor_metrics(m->monitor), result);
}
