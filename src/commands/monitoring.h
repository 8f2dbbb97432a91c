/*
 * monitoring.h - a service's /healthz, /readyz and /metrics, where the setting metrics.listen asks
 * for them, and what it tells an OpenTelemetry collector, where otlp.endpoint does.
 */
#ifndef AEGIS_COMMANDS_MONITORING_H
#define AEGIS_COMMANDS_MONITORING_H

#include "commands/app.h"
#include "ingestion/ingest.h"

struct monitoring;

/* Opens database and queue, and providers if it will `process`, from then on counted in
 * app->providers. *out is NULL if no setting asks for anything: every function below takes that and
 * does nothing. */
int monitoring_open(struct app *app, bool process, struct monitoring **out);

/* Call before the processor is stopped: it is not ready any more. */
void monitoring_drain(struct monitoring *m);

/* Once no processor uses app->providers any more. Keeps the last error. */
void monitoring_close(struct monitoring *m);

void monitoring_event(struct monitoring *m, const struct life_event *event);
void monitoring_file(struct monitoring *m, const char *result);

/* Spans, of attempts and of ingestion (for ingestion_ports.taken). Thread-safe. */
void monitoring_attempt(struct monitoring *m, const struct attempt_report *report);
void monitoring_taken(void *monitoring, const struct ingest_report *report);

#endif
