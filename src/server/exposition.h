/*
 * exposition.h - Prometheus's text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Writes to a buffer with a cap; once that is reached nothing more is added, and whoever serves it
 * looks at the buffer's length (exposition_full).
 */
#ifndef AEGIS_SERVER_EXPOSITION_H
#define AEGIS_SERVER_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { LABELS_TEXT = 480 };

struct exposition {
    struct buffer text;
    bool full; /* the cap or memory was reached: what there is ends early */
};

/* The lines before a family's samples. `type` is "counter", "gauge" or "histogram". */
void exposition_family(struct exposition *x, const char *name, const char *type, const char *help);

/* One sample; `labels` as of labels_add, "" for none. */
void exposition_sample(struct exposition *x, const char *name, const char *labels, double value);

/* A family of one sample without labels. */
void exposition_single(struct exposition *x, const char *name, const char *type, const char *help,
                       double value);

/* Appends name="value" with the value escaped. What does not fit is cut within the value. */
void labels_add(char labels[LABELS_TEXT], const char *name, const char *value);

#endif
