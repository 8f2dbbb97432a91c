/*
 * telemetry.h - what a process tells an OpenTelemetry collector, where the settings otlp.* ask for
 * it: spans of jobs, and what /metrics has. docs/monitoring.md has their names.
 */
#ifndef AEGIS_COMMANDS_TELEMETRY_H
#define AEGIS_COMMANDS_TELEMETRY_H

#include "commands/app.h"
#include "ingestion/ingest.h"
#include "server/instruments.h"

struct telemetry;

/* Do the settings ask for it? Protocols that are not spoken are warned of. */
bool telemetry_wanted(const struct app *app);

/* For who wants it. `instruments` (NULL: no metrics) are borrowed until telemetry_close.
 * ERR_INVALID names the setting. Every function below takes NULL and does nothing. */
int telemetry_open(struct app *app, struct instruments *instruments, struct telemetry **out);

/* Sends what waits, for at most some seconds. Keeps the last error. */
void telemetry_close(struct telemetry *telemetry);

/* For a process that stands still afterwards: sends the spans, until `deadline_ms` at most. */
void telemetry_flush(struct telemetry *telemetry, int64_t deadline_ms);

/* The span "job.attempt", with one for each stage. Thread-safe, as below; does not block. */
void telemetry_attempt(struct telemetry *telemetry, const struct attempt_report *report);

/* The span "job.ingest"; for ingestion_ports.taken. */
void telemetry_taken(void *telemetry, const struct ingest_report *report);

#endif
