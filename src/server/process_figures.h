/*
 * process_figures.h - memory, processor time, descriptors and start of this process, named as all
 * of Prometheus's client libraries name them
 * (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics). Linux, proc(5).
 */
#ifndef AEGIS_SERVER_PROCESS_FIGURES_H
#define AEGIS_SERVER_PROCESS_FIGURES_H

#include "server/exposition.h"

/* What cannot be read is left out. */
void process_figures_write(struct exposition *x);

#endif
