/*
 * instruments.h - everything that is told of this process and its pipeline: counters, figures of
 * database and queue, memory. One source for all formats.
 */
#ifndef AEGIS_SERVER_INSTRUMENTS_H
#define AEGIS_SERVER_INSTRUMENTS_H

#include "server/figures.h"
#include "server/metrics.h"

struct instruments {
    struct metrics *metrics;
    struct figures figures;
    double start_time; /* of the process, Unix time in seconds */
    bool looks;        /* figures run */
};

/* Borrows database and queue until instruments_close. figures_max_age_ms 0: 5 s. Give it to
 * instruments_close also after an error. */
int instruments_open(struct instruments *instruments, const struct database *database,
                     const struct job_queue *queue, int64_t figures_max_age_ms);
void instruments_close(struct instruments *instruments);

/* Blocks as figures_write. */
void instruments_write(struct instruments *instruments, struct exposition *x);

#endif
