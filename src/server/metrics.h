/*
 * metrics.h - what this process has done since it started, in counters.
 *
 * Thread-safe and short: safe to call from worker threads. A counter with new labels takes a place
 * of CAP_METRIC_SERIES; when all are taken, further labels are counted under none of them but in
 * aegis_metrics_dropped_total.
 */
#ifndef AEGIS_SERVER_METRICS_H
#define AEGIS_SERVER_METRICS_H

#include "ports/database.h"
#include "ports/model_provider.h"
#include "server/exposition.h"

struct metrics;

int metrics_open(struct metrics **out);
void metrics_close(struct metrics *metrics); /* NULL is fine */

/* A life-cycle step of a job of this process. */
void metrics_event(struct metrics *metrics, const struct life_event *event);
/* The same by its type and the reason, "" if there is none. */
void metrics_step(struct metrics *metrics, const char *type, const char *reason);

/* A call of a model; `outcome` is "ok" or a reason code. */
void metrics_call(struct metrics *metrics, const struct model_call *call, const char *outcome);

/* How long one request of an operation took, retries within the provider and waiting included. */
void metrics_duration(struct metrics *metrics, enum model_operation operation, int64_t us);

/* A file that the watcher saw; `result` is "ingested", "unchanged", ... */
void metrics_file(struct metrics *metrics, const char *result);

/* Spans or requests with metrics that were not exported. */
void metrics_lost(struct metrics *metrics, const char *signal, int64_t count);

void metrics_write(struct metrics *metrics, struct exposition *x);

#endif
