/*
 * process_figures.h - memory, processor time, descriptors and start of this process, named as all
 * of Prometheus's client libraries name them
 * (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics). Linux, proc(5).
 */
#ifndef AEGIS_SERVER_PROCESS_FIGURES_H
#define AEGIS_SERVER_PROCESS_FIGURES_H

#include "server/exposition.h"

/* Unix time of this process's start, in seconds; 0 if it cannot be read. By the wall clock as it is
 * now: ask once and keep it, so that it does not seem to start anew when the clock is set. */
double process_start_time(void);

/* What cannot be read is left out. `start_time` of process_start_time. */
void process_figures_write(struct exposition *x, double start_time);

#endif
