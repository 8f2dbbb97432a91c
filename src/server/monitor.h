/*
 * monitor.h - health, readiness and Prometheus metrics of a service, on a port of its own
 * (docs/monitoring.md): GET /healthz, /readyz, /metrics.
 *
 * It answers anybody who reaches the port, so it tells no more than counts, model names and reason
 * codes, and whatever is asked of it costs no more than a look at the database a second.
 */
#ifndef AEGIS_SERVER_MONITOR_H
#define AEGIS_SERVER_MONITOR_H

#include "ports/database.h"
#include "ports/job_queue.h"
#include "server/instruments.h"

struct monitor_options {
    const char *listen; /* as address.h says */
    struct database database;
    struct job_queue queue;
    struct instruments *instruments; /* borrowed until monitor_close */
};

struct monitor;

/* Listens and answers from now on, with threads of its own. ERR_INVALID (the address), ERR_BUSY
 * (the port is taken). */
int monitor_open(const struct monitor_options *options, struct monitor **out);
void monitor_close(struct monitor *monitor); /* NULL is fine */

/* /readyz says no from now on: the process finishes what it is at. */
void monitor_drain(struct monitor *monitor);

/* Borrowed. */
const char *monitor_address(const struct monitor *monitor); /* "127.0.0.1:9464" */

#endif
